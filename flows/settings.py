"""Prefect's settings, for a machine where nobody set any. Import this before Prefect."""

import os
from typing import Final

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
