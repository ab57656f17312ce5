"""Turn rrweb's events, as JSON, into a log: what the rrweb and the posthog reader share.

rrweb (2.1) writes `{type, data, timestamp}`, time in ms since 1970. Moves come in batches,
each position with its `timeOffset` from the batch's time (0 or negative), so a click stands
in the file before moves that came before it: rows are in the file's order, and cleaning,
which sorts by time, puts them right. A batch is called moves or drags by its last position.

Positions are from the corner of the viewport, except for those in a frame, which count from
the frame's: only the page's whole layout would say where that was.

What people typed and saw is in the file too. It is parsed past and never kept: not in an
event, not in a rejected row's `raw`, which says no more than the event's type and source.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import printable
from pipeline.readers.common import log_files
from pipeline.readers.common.formats import REJECTED, Log, LogFile, rejected_file
from pipeline.readers.common.json_parser import connect, mend_half_characters, read_json_text
from pipeline.readers.common.limits import limits
from pipeline.schemas import EVENTS, Button, Kind
from pipeline.storage.paths import relative_path

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

RECORDED: Final = pa.schema(
    [
        pa.field("line", pa.int64(), nullable=False),  # line of the file, or the event's number
        pa.field("session_id", pa.string(), nullable=False),
        pa.field("event", pa.large_string()),  # JSON, or other text
    ]
)


@dataclass(frozen=True)
class PointerEvent:
    """A kind of rrweb's pointer events, and what it is in our events."""

    source: int  # rrweb's IncrementalSource
    interaction: int | None  # rrweb's MouseInteractions, where the source is 2, MouseInteraction
    kind: Kind
    button: Button = Button.NONE


# rrweb doesn't record the button. A context menu is the right one's; all else counts as the
# left one's, the press and release of a right click too.
POINTER_EVENTS: Final = (
    PointerEvent(1, None, Kind.MOVE),  # MouseMove
    PointerEvent(6, None, Kind.TOUCH),  # TouchMove
    PointerEvent(12, None, Kind.DRAG),  # Drag
    PointerEvent(3, None, Kind.SCROLL),  # its x, y are how far, not where: no position
    PointerEvent(2, 0, Kind.UP, Button.LEFT),
    PointerEvent(2, 1, Kind.DOWN, Button.LEFT),
    PointerEvent(2, 2, Kind.CLICK, Button.LEFT),
    PointerEvent(2, 3, Kind.CLICK, Button.RIGHT),  # ContextMenu
    PointerEvent(2, 4, Kind.CLICK, Button.LEFT),  # DblClick
    PointerEvent(2, 7, Kind.TOUCH),  # TouchStart
    PointerEvent(2, 9, Kind.TOUCH),  # TouchEnd
)

_TOUCH = 2  # of rrweb's PointerTypes; a finger presses no button

_EVENT = {
    "type": "INTEGER",
    "timestamp": "DOUBLE",
    "data": {
        "source": "INTEGER",
        "type": "INTEGER",
        "pointerType": "INTEGER",
        "x": "FLOAT",
        "y": "FLOAT",
        "width": "INTEGER",
        "height": "INTEGER",
        "positions": [{"x": "FLOAT", "y": "FLOAT", "timeOffset": "VARCHAR"}],
    },
}

_ZLIB_OR_GZIP = zlib.MAX_WBITS + 32  # zlib sees by the first bytes which it is
_NOTHING = pa.scalar("", pa.large_string())

# A full snapshot's data stay packed: nothing in them is about the pointer.
_PACKED_SQL = """
    SELECT row,
        CASE WHEN is_whole THEN event WHEN is_part THEN event->'$.data' END AS packed,
        CASE WHEN is_part THEN format('{{"type":{},"timestamp":{},"data":',
            event->'$.type', coalesce(event->'$.timestamp', 'null')) ELSE '' END AS before,
        CASE WHEN is_part THEN '}' ELSE '' END AS after
    FROM (
        SELECT row, event, type_at(event, '$') = 'VARCHAR' AS is_whole,
            CASE WHEN type_at(event, '$.data') = 'VARCHAR'
                THEN event->>'$.type' IN ('3', '4') END AS is_part
        FROM recorded
    )
    WHERE is_whole OR is_part
    ORDER BY row
"""

_TYPED_SQL = """
    CREATE TEMP TABLE typed AS
    SELECT row, line, session_id, event.type AS type, event.timestamp AS time_ms,
        CASE WHEN event.type IN (3, 4) THEN event.data END AS data,
        CASE WHEN reason IS NOT NULL THEN reason WHEN NOT is_json THEN 'not_json' END AS reason
    FROM (
        SELECT row, line, session_id, reason, is_json,
            CASE WHEN is_json THEN json_transform(json, $event) END AS event
        FROM (
            SELECT row, line, session_id, event AS json,
                CASE WHEN strlen(event) > $max_bytes THEN 'too_large' ELSE reason END AS reason,
                CASE WHEN strlen(event) <= $max_bytes THEN json_valid(event) END AS is_json
            FROM recorded
        )
    )
"""

# An event is rejected, ignored, or one of the pointer with a row for each of its `points`.
_PARSED_SQL = """
    CREATE TEMP TABLE parsed AS
    SELECT row, line, session_id, type, data.source AS source, time_ms, kind,
        CASE WHEN data.pointerType = $touch THEN $no_button ELSE button END AS button,
        CASE WHEN type = 4 OR data.source = 4 THEN data.width END AS width,
        CASE WHEN type = 4 OR data.source = 4 THEN data.height END AS height,
        CASE
            WHEN kind = $scroll THEN [{x: NULL::FLOAT, y: NULL::FLOAT, timeOffset: '0'}]
            WHEN interaction IS NOT NULL THEN [{x: data.x, y: data.y, timeOffset: '0'}]
            WHEN kind IS NOT NULL THEN data.positions
        END AS points,
        CASE
            WHEN reason IS NOT NULL THEN reason
            WHEN type IS NULL OR (type = 3 AND data.source IS NULL) THEN 'not_an_event'
            WHEN type = 3 AND data.source = 2 AND data.type IS NULL THEN 'not_an_event'
            WHEN whole_us(time_ms) IS NULL THEN 'no_time'
            WHEN kind IS NOT NULL AND points IS NULL THEN 'no_positions'
        END AS rejected_as,
        CASE
            WHEN rejected_as IS NOT NULL THEN NULL
            WHEN kind IS NULL THEN 'not_a_pointer_event'
            WHEN len(points) = 0 THEN 'no_moves'
        END AS ignored_as
    FROM typed LEFT JOIN pointer_events ON type = 3 AND from_source = data.source
        AND (interaction IS NULL OR interaction = data.type)
"""

# The first size of its viewport that a session records counts.
_EVENTS_SQL = """
    WITH viewports AS (
        SELECT session_id, arg_min(width, row) AS viewport_width,
            arg_min(height, row) AS viewport_height
        FROM parsed WHERE rejected_as IS NULL AND width > 0 AND height > 0 GROUP BY session_id
    ),
    points AS (
        SELECT row, line, session_id, kind, button, time_ms,
            generate_subscripts(points, 1) AS i, unnest(points) AS point
        FROM parsed WHERE rejected_as IS NULL AND ignored_as IS NULL
    )
    SELECT session_id, line, kind, button, viewport_width, viewport_height,
        CASE WHEN point.timeOffset IS NULL THEN whole_us(time_ms)
            ELSE whole_us(time_ms + TRY_CAST(point.timeOffset AS DOUBLE)) END AS t_us,
        finite(point.x) AS x_px, finite(point.y) AS y_px
    FROM points LEFT JOIN viewports USING (session_id)
    ORDER BY row, i
"""

_REJECTED_SQL = """
    SELECT line, rejected_as AS reason,
        'type ' || type || coalesce(', source ' || source, '') AS raw
    FROM parsed WHERE rejected_as IS NOT NULL ORDER BY row
"""

_IGNORED_SQL = "SELECT ignored_as, count(*) FROM parsed WHERE ignored_as IS NOT NULL GROUP BY ALL"


def read_rrweb_events(
    file: LogFile,
    source: str,
    split: "Callable[[DuckDBPyConnection, bytes, str], pa.Table]",
) -> Iterator[Log]:
    """Give the log in a file; `source` is the format's name.

    `split` gives the events in a file's text, with the columns of `RECORDED`. Its last argument
    names sessions that have no name: the file's path below the folder that the user named.
    """
    text = read_json_text(file.path)
    if not text.strip():
        yield rejected_file("empty_file")
        return
    folder = relative_path(file.path.parent.resolve(), file.root.resolve())
    file_name = printable((folder / log_files.bare_name(file.path)).as_posix())
    with connect(file.path) as connection:
        recorded = split(connection, text, file_name).select(RECORDED.names).cast(RECORDED)
        yield _to_log(connection, recorded, source)


def _to_log(connection: "DuckDBPyConnection", recorded: pa.Table, source: str) -> Log:
    """Return the log of `RECORDED` events, packed or not."""
    numbered = recorded.append_column("row", pa.array(np.arange(recorded.num_rows)))
    connection.register("recorded", _unpack_events(connection, numbered))
    connection.register("pointer_events", _pointer_events_table())
    parameters = {"max_bytes": limits().event_bytes, "event": json.dumps(_EVENT)}
    connection.execute(_TYPED_SQL, parameters)
    codes = {"touch": _TOUCH, "no_button": Button.NONE.value, "scroll": Kind.SCROLL.value}
    connection.execute(_PARSED_SQL, codes)
    events = connection.sql(_EVENTS_SQL).to_arrow_table()
    rejected = connection.sql(_REJECTED_SQL).to_arrow_table().cast(REJECTED)
    ignored = dict(connection.sql(_IGNORED_SQL).fetchall())
    return Log(_events_table(events, source), rejected, ignored)


def _pointer_events_table() -> pa.Table:
    rows = [(e.source, e.interaction, e.kind.value, e.button.value) for e in POINTER_EVENTS]
    columns = [pa.array(column, pa.int8()) for column in zip(*rows, strict=True)]
    return pa.table(columns, ["from_source", "interaction", "kind", "button"])


def _events_table(points: pa.Table, source: str) -> pa.Table:
    """Return `EVENTS`: `points` with the columns that are the same for a whole file."""
    n = points.num_rows
    columns = {
        "session_id": points["session_id"].dictionary_encode(),
        "account_id": pa.nulls(n, EVENTS.field("account_id").type),
        "source": pa.repeat(source, n).dictionary_encode(),
        "label": pa.nulls(n, pa.int8()),
    }
    columns = {name: points[name] for name in points.column_names} | columns
    return pa.table({name: columns[name] for name in EVENTS.names}).cast(EVENTS)


class UnpackError(Exception):
    """A string that can't be unpacked; its one argument is the reason, a word."""


def _unpack_events(connection: "DuckDBPyConnection", recorded: pa.Table) -> pa.Table:
    """Return `recorded` (`row` from 0, `event`) with the packed events unpacked.

    A column `reason` is added: why an event can't be unpacked, a word; null if it can.
    """
    connection.register("recorded", recorded)
    packed = connection.sql(_PACKED_SQL).to_arrow_table()
    texts, reasons = _unpack_strings(packed["packed"].to_pylist())
    text = pa.array(texts, pa.large_string())
    before, after = (packed[name].cast(pa.large_string()) for name in ("before", "after"))
    unpacked = pc.binary_join_element_wise(before, text, after, _NOTHING)
    is_packed = pa.array(np.isin(recorded["row"].to_numpy(), packed["row"].to_numpy()))
    event = pc.replace_with_mask(recorded["event"], is_packed, unpacked.combine_chunks())
    no_reason = pa.nulls(recorded.num_rows, pa.string())
    reason = pc.replace_with_mask(no_reason, is_packed, pa.array(reasons, pa.string()))
    unpacked = recorded.set_column(recorded.column_names.index("event"), "event", event)
    return unpacked.append_column("reason", reason)


def unpack(packed: str, max_bytes: int) -> bytes:
    """Return the JSON in a packed string; JSON that isn't packed comes back as it is."""
    if packed.lstrip().startswith("{"):
        return packed.encode()
    unpacker = zlib.decompressobj(_ZLIB_OR_GZIP)
    try:
        text = unpacker.decompress(packed.encode("latin1"), max_bytes + 1)
    except (zlib.error, UnicodeEncodeError) as error:
        raise UnpackError("cannot_unpack") from error
    if len(text) > max_bytes:
        raise UnpackError("too_large")
    if not unpacker.eof:
        raise UnpackError("cannot_unpack")
    return text


def _unpack_strings(strings: Sequence[str]) -> tuple[list[str | None], list[str | None]]:
    """Return what JSON strings hold, or else null and the reason why not."""
    texts: list[str | None] = []
    reasons: list[str | None] = []
    event_bytes, left_bytes = limits().event_bytes, limits().packed_bytes
    for string in strings:
        text, reason = None, None
        try:
            unpacked = unpack(json.loads(string), min(event_bytes, left_bytes))
            left_bytes -= len(unpacked)
            text = mend_half_characters(unpacked).decode("utf-8", errors="replace")
        except UnpackError as error:
            reason = str(error)
        texts.append(text)
        reasons.append(reason)
    return texts, reasons
