"""Which Prefect server an installation talks to, and what its processes get told. No Prefect here.

Prefect reads the environment when it is imported, so whoever starts it sets these first.
"""

import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import flows.settings
from flows.site import ServerConfig, Site
from flows.site_reading import FILE_VARIABLE, NOT_SETTINGS, PREFIX, Found, as_environment

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: where flows run, since entrypoints are seen from it."""


def own_url(server: ServerConfig) -> str:
    """Return the address of the server that `serve` starts."""
    return f"http://{server.host}:{server.port}/api"


def configured_url(site: Site, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the address of the server that somebody named; None: nobody has."""
    environ = os.environ if environ is None else environ
    return environ.get("PREFECT_API_URL") or site.server.api_url or None


def find_url(site: Site) -> str | None:
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


def process_environment(site: Site, found: Found, url: str, file: Path | None) -> dict[str, str]:
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
    logs = flows.settings.logging_environment(site.log.format, site.log.level)
    return flows.settings.DEFAULTS | kept | told | logs | as_environment(found)
