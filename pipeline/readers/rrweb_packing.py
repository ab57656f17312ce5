"""Events as they were recorded in, events none of which is packed out.

rrweb packs a whole event: JSON, zlib, each byte a character. PostHog packs an event's `data`
in the same way with gzip. Whoever records chooses what is packed, so what may come out is
limited: a few kilobytes can hold gigabytes of zeros.
"""

import json
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.limits import limits
from pipeline.readers.rrweb_text import mend_half_characters

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ZLIB_OR_GZIP = zlib.MAX_WBITS + 32  # told apart by the first bytes
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


class UnpackError(Exception):
    """A string that can't be unpacked; its one argument is the reason, a word."""


def unpack_events(connection: "DuckDBPyConnection", recorded: pa.Table) -> pa.Table:
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
