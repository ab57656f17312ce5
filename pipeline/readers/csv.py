"""Delimited text with a header; its columns are those of `common/tabular.py`."""

from collections.abc import Iterator

from pipeline.readers.common import log_files
from pipeline.readers.common.delimited import read_delimited, read_header
from pipeline.readers.common.formats import Format, Log, LogFile
from pipeline.readers.common.tabular import REQUIRED, log_names
from pipeline.storage.paths import StoragePath


def _read(file: LogFile) -> Iterator[Log]:
    """Give the log in a delimited text file with columns of our names or mapped ones."""
    return read_delimited(file, "csv", lambda found: log_names(file.columns, found, file.path))


def _recognise(head: bytes, path: StoragePath) -> bool:
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
    _recognise,
    _read,
    is_generic=True,
    is_streamed=True,
    quote=log_files.quote_lines,
)
