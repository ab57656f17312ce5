"""PostHog's session recordings: JSON lines, `[window_id, event]` each.

A window of the browser is a session of its own, called by file and window: what the pointer
does in two windows is no path. The events are rrweb's (see `rrweb_events.py`).
"""

import re
from pathlib import Path

from pipeline.readers.common import log_files
from pipeline.readers.common.formats import Format, Log, LogFile, reject_file
from pipeline.readers.common.json_parser import connect, json_lines, read_json, session_name
from pipeline.readers.common.rrweb_events import RECORDED, to_log
from pipeline.schemas import EVENTS

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


def recognise_posthog(head: bytes, path: Path) -> bool:
    """Say whether the file begins with a pair of a window's name and an event."""
    return _PAIR.match(log_files.as_text(head)) is not None


def read_posthog(file: LogFile) -> Log:
    """Return the log of the windows recorded in a file."""
    text = read_json(file.path)
    if not text.strip():
        return Log(EVENTS.empty_table(), reject_file("empty_file"), {})
    with connect(file.path) as connection:
        connection.register("lines", json_lines(text))
        split = connection.sql(_SPLIT_SQL, params={"file_name": session_name(file)})
        recorded = split.to_arrow_table().select(RECORDED.names).cast(RECORDED)
        return to_log(connection, recorded, "posthog")


FORMAT = Format("posthog", recognise_posthog, read_posthog)
