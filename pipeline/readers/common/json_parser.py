"""The DuckDB that parses JSON."""

import json
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import LogError, printable
from pipeline.readers.common import log_files
from pipeline.readers.common.formats import LogFile
from pipeline.readers.common.limits import limits

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


# The pattern begins with plain letters, which `re` looks for fastest.
_HALF_CHARACTER = re.compile(
    rb"\\u(?:[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u)[dD][c-fC-F][0-9a-fA-F]{2})"
)


def read_json(path: Path) -> bytes:
    """Return the text of a file such that a JSON parser refuses no more of it than it must."""
    return log_files.as_utf8(mend_half_characters(log_files.read_text(path)))


def mend_half_characters(text: bytes) -> bytes:
    """Return JSON without half surrogate pairs, which browsers write and DuckDB refuses.

    A page cuts an emoji in two when it shortens a text; that must not cost the recording.
    """
    return _HALF_CHARACTER.sub(rb"\\ufffd", text)


def json_lines(text: bytes) -> pa.Table:
    """Return the lines that are not empty: `line`, from 1, and what stands there, `json`."""
    lines = log_files.split_lines(text)
    line = log_files.written_lines(lines)
    json = lines.take(pa.array(line - 1)).cast(pa.large_string())
    return pa.table({"line": line, "json": json})


def session_name(file: LogFile) -> str:
    """Return the file's path below the folder that the user named, without suffixes."""
    folder = file.path.parent.resolve().relative_to(file.root.resolve())
    return printable((folder / log_files.bare_name(file.path)).as_posix())


# Of text that is no JSON, `type_at` is null, where DuckDB's own functions raise.
# Times beyond 4e15 ms would overflow when two of them, in us, are subtracted.
_MACROS_SQL = """
    CREATE MACRO type_at(json, path) AS CASE WHEN json_valid(json) THEN json_type(json, path) END;
    CREATE MACRO whole_us(ms) AS CASE WHEN abs(ms) < 4e15 THEN round(ms * 1000)::BIGINT END;
    CREATE MACRO finite(px) AS CASE WHEN isfinite(px) THEN px END;
"""


@contextmanager
def connect(where: object) -> Iterator["DuckDBPyConnection"]:
    """Give a DuckDB that sees the tables it is given and nothing else.

    A connection of its own to the process's one database: what is registered or made there
    (`TEMP` tables only) is gone at the end.
    """
    import duckdb  # half a second that other formats need not pay

    with _database(os.getpid()).cursor() as connection:
        try:
            yield connection
        except (duckdb.Error, UnicodeDecodeError) as error:
            # Its message quotes the file, and so what people typed: it goes no further. Cut
            # within a character, it can't even be decoded.
            what = f"DuckDB can't parse it ({type(error).__name__})"
            raise LogError(where, what, "please report this") from None


@cache
def _database(process: int) -> "DuckDBPyConnection":
    """Return the database in memory of this process; to make one takes longer than a small file."""
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "enable_external_access": False,
        "python_enable_replacements": False,
        "temp_directory": "",  # what people typed is in there: it never goes to the disk
    }
    database = duckdb.connect(config=settings)
    database.execute(_MACROS_SQL)
    return database
