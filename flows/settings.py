"""Prefect's settings, for a machine where nobody set any. Import this before Prefect."""

import os

# Prefect reads the environment when it is imported.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
# A first start of the embedded server takes longer than Prefect's 20 s on a small machine.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "pipeline,rasterize,model,flows")
# The jobs' own messages reach the page of a flow run; without one they are for the console alone.
os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
