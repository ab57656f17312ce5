"""Delimited text, mostly with a header; its columns are found by `common/columns.py`."""

from collections.abc import Iterator

from pipeline.readers.common import log_files
from pipeline.readers.common.columns import (
    REQUIRED,
    Reading,
    Sample,
    read_columns,
)
from pipeline.readers.common.delimited import (
    BLANKS,
    Header,
    read_delimited,
    read_header,
    refuse_headerless,
    sample_rows,
)
from pipeline.readers.common.formats import Format, Log, LogFile
from pipeline.readers.common.names import place_role, time_role
from pipeline.storage.paths import StoragePath

_FEWEST_LINES = 3  # of a table without header


def _read(file: LogFile) -> Iterator[Log]:
    """Give the log in a delimited text file."""

    def choose(header: Header, sample: Sample) -> Reading:
        if header.is_missing and not any(name.isdecimal() for name in file.columns.values()):
            refuse_headerless(header, sample, file.path)
        return read_columns(file.columns, sample, file.path, file.is_named)

    return read_delimited(file, "csv", choose)


def _recognise(head: bytes, path: StoragePath) -> bool:
    """Say whether the first line can be a header: names, and as many as a log needs.

    Or numbers and words in the same columns of the first lines. An empty file is taken too: it is
    quarantined as such.
    """
    text = log_files.as_text(head).strip(b"\n\r ")
    if not text or b"\0" in text or text.startswith((b"{", b"[")):
        return not text
    header = read_header(text)
    if len(header.names) < len(REQUIRED):
        return False
    if not header.is_missing and header.separator != BLANKS and len(header.names) > len(REQUIRED):
        return True
    sample = sample_rows(text, header)
    if header.is_missing:
        numeric = [name for name in header.names if sample.is_time(name)]
        return len(numeric) >= len(REQUIRED) and sample.n_rows >= _FEWEST_LINES
    roles = {role[0] for name in header.names if (role := place_role(name))}
    return roles == {"x", "y"} and any(map(time_role, header.names))


FORMAT = Format(
    "csv",
    _recognise,
    _read,
    is_generic=True,
    is_streamed=True,
    quote=log_files.quote_lines,
)
