"""Parse JSON with DuckDB, which sees no files and leaves nothing on the disk."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.errors import LogError
from pipeline.readers.common import log_files
from pipeline.storage.paths import StoragePath

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


# The pattern begins with plain letters, which `re` looks for fastest.
_HALF_CHARACTER = re.compile(
    rb"\\u(?:[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u)[dD][c-fC-F][0-9a-fA-F]{2})"
)


def read_json_text(path: StoragePath) -> bytes:
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
