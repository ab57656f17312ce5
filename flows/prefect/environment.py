"""Prefect's settings, for a machine where nobody set any. Import this before Prefect."""

import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import flows.prefect.environment
from flows.settings import (
    FILE_VARIABLE,
    NOT_SETTINGS,
    PREFIX,
    Found,
    ServerConfig,
    Settings,
    as_environment,
)

DEFAULTS: Final = {
    # Nothing is told to anybody: not by the server, not by the client.
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # A first start of the embedded server takes longer than Prefect's 20 s on a small machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "pipeline,rasterize,model,flows",
    # The jobs' own messages reach the page of a flow run; without one they are for the console.
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}


def logging_environment(format: str, level: str) -> dict[str, str]:
    """Return what makes Prefect's processes log as the installation's settings say."""
    told = {"PREFECT_LOGGING_LEVEL": level.upper()}
    if format == "json":
        told |= {
            "PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER": "json",
            "PREFECT_LOGGING_FORMATTERS_JSON_CLASS": "flows.logs.JsonLines",
        }
    return told


for _name, _value in DEFAULTS.items():  # Prefect reads the environment when it is imported
    os.environ.setdefault(_name, _value)


ROOT = Path(__file__).resolve().parent.parent.parent
"""The checkout: where flows run, since entrypoints are seen from it."""


def own_url(server: ServerConfig) -> str:
    """Return the address of the server that `serve` starts."""
    return f"http://{server.host}:{server.port}/api"


def configured_url(site: Settings, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the address of the server that somebody named; None: nobody has."""
    environ = os.environ if environ is None else environ
    return environ.get("PREFECT_API_URL") or site.server.api_url or None


def find_url(site: Settings) -> str | None:
    """Return the address of the server that is named, or that `serve` has running here."""
    return configured_url(site) or (
        own_url(site.server) if is_healthy(own_url(site.server)) else None
    )


def is_healthy(url: str) -> bool:
    """Say whether a Prefect server answers."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=3) as answer:
            return answer.read().strip() == b"true"
    except (urllib.error.URLError, OSError, ValueError):
        return False


def process_environment(
    site: Settings, found: Found, url: str, file: Path | None
) -> dict[str, str]:
    """Return the environment of Prefect's processes: the server's address, and the settings.

    They run in the checkout, so what this process was told beside the file goes along with
    absolute paths.
    """
    ours = {key for key in os.environ if key.startswith(PREFIX) and key not in NOT_SETTINGS}
    kept = {key: value for key, value in os.environ.items() if key not in ours}
    told = {
        "PREFECT_API_URL": url,
        "PREFECT_HOME": os.environ.get("PREFECT_HOME") or str(site.server.home),
        "PROJECT_ROOT": str(ROOT),
    }
    if site.server.database_url:
        told["PREFECT_API_DATABASE_CONNECTION_URL"] = site.server.database_url
    if file is not None:
        told[FILE_VARIABLE] = str(file)
    logs = flows.prefect.environment.logging_environment(site.log.format, site.log.level)
    return flows.prefect.environment.DEFAULTS | kept | told | logs | as_environment(found)
