"""PostHog's session recordings: JSON lines, `[window_id, event]` each.

A window of the browser is a session of its own, called by file and window: what the pointer
does in two windows is no path. The events are rrweb's (see `common/rrweb_events.py`).
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.readers.common import log_files
from pipeline.readers.common.formats import Format, Log, LogFile
from pipeline.readers.common.json_parser import json_lines
from pipeline.readers.common.rrweb_events import read_rrweb_events
from pipeline.storage.paths import StoragePath

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_PAIR = re.compile(rb'\s*\[\s*"[^"\\]*"\s*,\s*\{')

# What is no pair stays as it is, and is rejected as no event. As text: as JSON, DuckDB would
# refuse all of the lines for one that is none.
_SPLIT_SQL = """
    SELECT line, event, $file_name || coalesce('/' || window_id, '') AS session_id
    FROM (
        SELECT line,
            type_at(json, '$[0]') = 'VARCHAR' AND type_at(json, '$[1]') IS NOT NULL
                AND type_at(json, '$[2]') IS NULL AS is_pair,
            CASE WHEN is_pair THEN json->>'$[0]' END AS window_id,
            CASE WHEN is_pair THEN (json->'$[1]')::VARCHAR ELSE json END AS event
        FROM lines
    )
    ORDER BY line
"""


def _recognise(head: bytes, path: StoragePath) -> bool:
    """Say whether the file begins with a pair of a window's name and an event."""
    return _PAIR.match(log_files.as_text(head)) is not None


def _read(file: LogFile) -> Iterator[Log]:
    """Give the log of the windows recorded in a file."""
    return read_rrweb_events(file, "posthog", _split)


def _split(connection: "DuckDBPyConnection", text: bytes, file_name: str) -> pa.Table:
    """Return the events of a file; each window is a session."""
    connection.register("lines", json_lines(text))
    return connection.sql(_SPLIT_SQL, params={"file_name": file_name}).to_arrow_table()


FORMAT = Format("posthog", _recognise, _read)
