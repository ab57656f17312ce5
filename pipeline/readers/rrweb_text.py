"""A file of recorded events in, its JSON text out, whole or by lines."""

import re
from pathlib import Path

import pyarrow as pa

from pipeline.names import printable
from pipeline.readers import opening
from pipeline.readers.base import LogFile

# The pattern begins with plain letters, which `re` looks for fastest.
_HALF_CHARACTER = re.compile(
    rb"\\u(?:[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u)[dD][c-fC-F][0-9a-fA-F]{2})"
)


def read_json(path: Path) -> bytes:
    """Return the text of a file such that a JSON parser refuses no more of it than it must."""
    return opening.as_utf8(mend_half_characters(opening.read_text(path)))


def mend_half_characters(text: bytes) -> bytes:
    """Return JSON without half surrogate pairs, which browsers write and DuckDB refuses.

    A page cuts an emoji in two when it shortens a text; that must not cost the recording.
    """
    return _HALF_CHARACTER.sub(rb"\\ufffd", text)


def json_lines(text: bytes) -> pa.Table:
    """Return the lines that are not empty: `line`, from 1, and what stands there, `json`."""
    lines = opening.split_lines(text)
    line = opening.written_lines(lines)
    json = lines.take(pa.array(line - 1)).cast(pa.large_string())
    return pa.table({"line": line, "json": json})


def session_name(file: LogFile) -> str:
    """Return the file's path below the folder that the user named, without suffixes."""
    folder = file.path.parent.resolve().relative_to(file.root.resolve())
    return printable((folder / opening.bare_name(file.path)).as_posix())
