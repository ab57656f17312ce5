"""Prefect's settings: defaults where nobody set any, and the environment of its processes."""

import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from flows.settings import (
    FILE_VARIABLE,
    NOT_SETTINGS,
    PREFIX,
    FoundSettings,
    ServerConfig,
    Settings,
    as_environment,
)

DEFAULTS: Final = {
    # No telemetry, neither by the server nor by the client.
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # A first start of the embedded server takes longer than Prefect's 20 s on a small machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "pipeline,rasterize,model,flows",
    # The jobs' own messages reach the page of a flow run; without one they are for the console.
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}

SERVER_DEFAULTS: Final = {
    # In the server's memory, as Prefect has it, leases would be lost with it, their slots taken.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "5",
    "PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS": "10",
    # Runs of more than 90 days ago, whose pages show accounts, are deleted from its database.
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "true",
}
"""Of the server that `serve` starts."""


def logging_environment(format: str, level: str) -> dict[str, str]:
    """Return what makes Prefect's processes log as the installation's settings say."""
    variables = {"PREFECT_LOGGING_LEVEL": level.upper()}
    if format == "json":
        variables |= {
            "PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER": "json",
            "PREFECT_LOGGING_FORMATTERS_JSON_CLASS": "flows.console.JsonLines",
        }
    return variables


def set_prefect_defaults() -> None:
    """Set the defaults in this process's environment; Prefect reads it when it is imported."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


ROOT = Path(__file__).resolve().parent.parent.parent
"""The checkout: where flows run, since entrypoints are seen from it."""


def own_url(server: ServerConfig) -> str:
    """Return the address of the server that `serve` starts."""
    return f"http://{server.host}:{server.port}/api"


def configured_url(settings: Settings) -> str | None:
    """Return the address of the server that is configured; None: none is."""
    return os.environ.get("PREFECT_API_URL") or settings.server.api_url or None


def find_url(settings: Settings) -> str | None:
    """Return the address of the server that is named, or that `serve` has running here."""
    return configured_url(settings) or (
        own_url(settings.server) if is_healthy(own_url(settings.server)) else None
    )


def is_healthy(url: str, timeout_s: float = 3.0) -> bool:
    """Say whether a Prefect server answers."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=timeout_s) as answer:
            return answer.read().strip() == b"true"
    except (urllib.error.URLError, OSError, ValueError):
        return False


def process_environment(
    settings: Settings, found: FoundSettings, url: str, file: Path | None
) -> dict[str, str]:
    """Return the environment of Prefect's processes: the server's address, and the settings.

    They run in the checkout, so what variables and flags of this process set goes along, with
    absolute paths.
    """
    ours = {
        key for key in os.environ if key.startswith(PREFIX) and not key.startswith(NOT_SETTINGS)
    }
    kept = {key: value for key, value in os.environ.items() if key not in ours}
    own = {
        "PREFECT_API_URL": url,
        "PREFECT_HOME": os.environ.get("PREFECT_HOME") or str(settings.server.home),
        "PROJECT_ROOT": str(ROOT),
    }
    if settings.server.database_url:
        own["PREFECT_API_DATABASE_CONNECTION_URL"] = settings.server.database_url
    if file is not None:
        own[FILE_VARIABLE] = str(file)
    logs = logging_environment(settings.log.format, settings.log.level)
    return DEFAULTS | SERVER_DEFAULTS | kept | own | logs | as_environment(found)
