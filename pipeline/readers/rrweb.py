"""rrweb recordings: a JSON array of events, or JSON lines with an event each.

In place of an event there may be a packed string, a batch (an array of events), or a
recording `{"session_id": ..., "events": [...]}`. Without a `session_id` the session is
called by the file's path below the folder that the user named.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.readers.common import log_files
from pipeline.readers.common.formats import Format, Log, LogFile
from pipeline.readers.common.json_parser import json_lines
from pipeline.readers.common.rrweb_events import read_rrweb_events
from pipeline.storage.paths import StoragePath

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_KEY = rb'\{\s*"(?:type|data|timestamp|delay)"\s*:'
_PACKED = (
    rb'"x(?:\\u0001|\\u005[eE]|\^|\\u009[cC]|\xc2\x9c|\\u00[dD][aA]|\xc3\x9a)'  # zlib's header
)
_EVENT = re.compile(rb'\s*\[?\s*(?:"?(' + _KEY + rb")|" + _PACKED + rb")")
_RECORDING = re.compile(
    rb'\s*\[?\s*\{[^\[]*?"events"\s*:\s*\[\s*(?:' + _KEY + rb"|" + _PACKED + rb"|\])"
)
_TYPE = re.compile(rb'"type"\s*:\s*[0-9]')

# A document holds events, recordings or both; a recording holds events.
_SPLIT_SQL = """
    WITH items AS (
        SELECT line, generate_subscripts(items, 1) AS i, unnest(items) AS item
        FROM (
            SELECT line, CASE WHEN type_at(json, '$') = 'ARRAY'
                THEN from_json(json, '["JSON"]')::VARCHAR[] ELSE [json] END AS items
            FROM documents
        )
    ),
    recordings AS (
        SELECT line, i, type_at(item, '$.events') = 'ARRAY' AS is_recording,
            CASE WHEN is_recording THEN item->>'$.session_id' END AS session_id,
            CASE WHEN is_recording THEN from_json(item->'$.events', '["JSON"]')::VARCHAR[]
                ELSE [item] END AS events
        FROM items
    )
    SELECT line, coalesce(session_id, $file_name) AS session_id, unnest(events) AS event,
        i, generate_subscripts(events, 1) AS j
    FROM recordings ORDER BY line, i, j
"""


def _recognise(head: bytes, path: StoragePath) -> bool:
    """Say whether the file begins with an event, packed or not, or with a recording."""
    text = log_files.as_text(head).replace(rb"\"", b'"')  # an event may be JSON in a string
    event = _EVENT.match(text)
    if event and event[1]:
        return _TYPE.search(text) is not None
    return event is not None or _RECORDING.match(text) is not None


def _read(file: LogFile) -> Iterator[Log]:
    """Give the log of the recordings in a file."""
    return read_rrweb_events(file, "rrweb", _split)


def _split(connection: "DuckDBPyConnection", text: bytes, file_name: str) -> pa.Table:
    """Return the events of a file.

    A file that is one document may be laid out over lines as its writer likes, so its events
    are numbered; else an event's line is the file's.
    """
    whole = pa.table({"line": [1], "json": pa.array([text], pa.large_string())})
    connection.register("documents", whole)
    [(is_one_document,)] = connection.sql("SELECT json_valid(json) FROM documents").fetchall()
    if not is_one_document:
        connection.register("documents", json_lines(text))
    recorded = connection.sql(_SPLIT_SQL, params={"file_name": file_name}).to_arrow_table()
    if is_one_document:
        number = pa.array(np.arange(1, recorded.num_rows + 1))
        recorded = recorded.set_column(recorded.column_names.index("line"), "line", number)
    return recorded


FORMAT = Format("rrweb", _recognise, _read)
