"""Log to stderr: as text, or a line of JSON a message.

A message whose arguments are a mapping, `log.info("scored %(n_sessions)d sessions", counts)`, has
them as fields of its own: counts and units can be read without taking the sentence apart.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

from pipeline.errors import without_secrets

OURS: Final = ("pipeline", "rasterize", "model", "flows")
_FLOW: Final = ("flow_run_id", "flow_run_name", "task_run_id", "task_run_name")


class Lines(logging.Formatter):
    """A message as text, without secrets: other programs' errors are quoted in them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, with what went wrong behind it."""
        return without_secrets(super().format(record))


class JsonLines(logging.Formatter):
    """A line of JSON a message; `fields` holds the mapping it was given."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()

    def format(self, record: logging.LogRecord) -> str:
        """Return the message as one line."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if isinstance(record.args, dict):
            line["fields"] = record.args
        line |= {name: getattr(record, name) for name in _FLOW if getattr(record, name, None)}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return without_secrets(json.dumps(line, default=str))


def set_levels(level: str) -> None:
    """Have the program's own loggers tell what is of `level` or above; others keep theirs."""
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())


def set_up_logs(format: str, level: str) -> None:
    """Have the program's own loggers say on stderr what they do."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonLines() if format == "json" else Lines("%(levelname)s %(name)s: %(message)s")
    )
    for name in OURS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
    set_levels(level)
