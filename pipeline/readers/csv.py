"""Delimited text with a header; columns as in `tabular.py`."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.readers.common import log_files
from pipeline.readers.common.delimited import Columns, Rows, read_delimited, read_header
from pipeline.readers.common.formats import Format, Log, LogFile, join_logs
from pipeline.readers.common.limits import limits
from pipeline.readers.common.tabular import REQUIRED, cell_types, check_header, log_names, to_log


def read_csv(file: LogFile) -> Log:
    """Return the log in a delimited text file with columns of our names or mapped ones."""
    return join_logs(_read_blocks(file, limits().file_bytes))


def read_csv_blocks(file: LogFile) -> Iterator[Log]:
    """Give the log in a large file, a block of rows at a time."""
    return _read_blocks(file, limits().streamed_bytes)


def _read_blocks(file: LogFile, most: int) -> Iterator[Log]:
    def choose(found: list[str]) -> Columns:
        check_header(found, file.path)
        names = log_names(file.columns, found, file.path)
        types = cell_types(names)
        return {ours: (name, types[ours]) for ours, name in names.items()}

    def as_log(rows: Rows) -> Log:
        return to_log(rows.table, rows.line, rows.rejected, "csv", file.path, rows.is_beginning)

    return read_delimited(file.path, most, choose, as_log)


def recognise_csv(head: bytes, path: Path) -> bool:
    """Say whether the first line can be a header: names, and as many as a log needs.

    An empty file is taken too: it is quarantined as such.
    """
    text = log_files.as_text(head).strip()
    if not text or b"\0" in text or text.startswith((b"{", b"[")):
        return not text
    names = read_header(text).names
    return len(names) >= len(REQUIRED) and all(name and not _is_number(name) for name in names)


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


FORMAT = Format(
    "csv",
    recognise_csv,
    read_csv,
    is_generic=True,
    quote=log_files.quote_lines,
    read_blocks=read_csv_blocks,
)
