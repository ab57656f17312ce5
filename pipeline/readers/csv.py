"""Delimited text with a header: comma, semicolon or tab, whichever the header has most of.

Read twice at most. First with the types that the columns should have, which is fast and
fails as a whole; then, if it failed, as text, so that a bad cell costs one row.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
from jaxtyping import Int64

from pipeline.limits import limits
from pipeline.readers import opening
from pipeline.readers.base import (
    REJECTED,
    Format,
    Log,
    LogFile,
    further_down,
    reject,
    reject_file,
)
from pipeline.readers.tabular import REQUIRED, cell_types, check_header, log_names, to_log
from pipeline.schemas import EVENTS

SEPARATORS = ",;\t"
_BLOCK_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Rows:
    """The rows of a delimited text: chosen columns by our names, and where they stood."""

    table: pa.Table
    line: Int64[np.ndarray, " rows"]
    rejected: pa.Table  # REJECTED


@dataclass(frozen=True)
class Header:
    """The first line that is not empty."""

    names: list[str]
    separator: str
    end: int  # bytes up to the line's end


def read_header(text: bytes) -> Header:
    """Return the header of a delimited text; without one, no names."""
    start = len(text) - len(text.lstrip(b"\r\n"))
    line_end = text.find(b"\n", start)
    end = len(text) if line_end < 0 else line_end + 1
    line = opening.as_utf8(text[start:end]).decode().strip("\r\n")
    separator = max(SEPARATORS, key=line.count)
    names = [name.strip().strip('"').strip() for name in line.split(separator)] if line else []
    return Header(names, separator, end)


def read_rows(text: bytes, header: Header, types: Mapping[str, tuple[str, pa.DataType]]) -> Rows:
    """Return the columns in `types` (our name -> the log's name, its type) of every row.

    Where a cell isn't of its type all of the columns come as strings.
    """
    table = _read_typed(text, header, types)
    if table is not None and table.num_rows + 1 == opening.count_lines(text):
        return Rows(table, np.arange(2, table.num_rows + 2), REJECTED.empty_table())
    line = opening.written_lines(opening.split_lines(text))[1:]  # some are empty, or bad
    if table is not None and table.num_rows == len(line):
        return Rows(table, line, REJECTED.empty_table())
    return _read_as_text(text, header, types, line)


def _read_typed(
    text: bytes, header: Header, types: Mapping[str, tuple[str, pa.DataType]]
) -> pa.Table | None:
    """Return the table if every cell is of its type, else None."""
    body = pa.py_buffer(text)[header.end :]
    try:
        return _parse(body, header, types, arrow_csv.ParseOptions(delimiter=header.separator))
    except pa.ArrowInvalid:
        return None


def _read_as_text(
    text: bytes,
    header: Header,
    types: Mapping[str, tuple[str, pa.DataType]],
    line: Int64[np.ndarray, " rows"],
) -> Rows:
    """Return the columns as strings; rows with another number of cells are rejected.

    A quotation mark that isn't closed would swallow the rows after it. If the rows don't
    add up, marks are taken for characters like others, since a row is a line.
    """
    body, line, too_long = _without_long_lines(text, header, line)
    strings = {ours: (name, pa.string()) for ours, (name, _) in types.items()}
    table, uneven = _parse_evenly(body, header, strings, '"')
    if table.num_rows + len(uneven) != len(line):
        table, uneven = _parse_evenly(body, header, strings, False)
        unquoted = [pc.utf8_trim(column, '"') for column in table.columns]
        table = pa.table(unquoted, table.column_names)
    is_even = np.ones(len(line), bool)
    is_even[uneven] = False
    rejected = [reject(line[~is_even], "wrong_number_of_columns"), reject(too_long, "too_large")]
    return Rows(table, line[is_even], pa.concat_tables(rejected))


def _without_long_lines(
    text: bytes, header: Header, line: Int64[np.ndarray, " rows"]
) -> tuple[pa.Buffer, Int64[np.ndarray, " kept"], Int64[np.ndarray, " long"]]:
    """Return the rows but those over the limit, as UTF-8, and the lines kept and left out."""
    is_long = opening.line_bytes(opening.split_lines(text))[line - 1] > limits().line_bytes
    body = text[header.end :]
    if is_long.any():
        lines = opening.split_lines(text).take(pa.array(line[~is_long] - 1))
        body = b"".join(lines.to_pylist())
    return pa.py_buffer(opening.as_utf8(body)), line[~is_long], line[is_long]


def _parse_evenly(
    body: pa.Buffer,
    header: Header,
    types: Mapping[str, tuple[str, pa.DataType]],
    quote: Literal['"', False],
) -> tuple[pa.Table, list[int]]:
    """Return the rows with as many cells as the header, and the numbers of the others, from 0."""
    uneven: list[int] = []

    def skip(row: arrow_csv.InvalidRow) -> str:
        uneven.append(row.number - 1)
        return "skip"

    options = arrow_csv.ParseOptions(
        delimiter=header.separator, quote_char=quote, invalid_row_handler=skip
    )
    return _parse(body, header, types, options), uneven


def _parse(
    body: pa.Buffer,
    header: Header,
    types: Mapping[str, tuple[str, pa.DataType]],
    options: arrow_csv.ParseOptions,
) -> pa.Table:
    """Return the columns in `types` under our names."""
    if not body.size:
        return pa.table({ours: pa.array([], type_) for ours, (_, type_) in types.items()})
    table = arrow_csv.read_csv(
        pa.BufferReader(body),
        # Threads forget the numbers of the rows that they skip.
        arrow_csv.ReadOptions(
            column_names=header.names,
            block_size=_BLOCK_BYTES,
            use_threads=options.invalid_row_handler is None,
        ),
        options,
        arrow_csv.ConvertOptions(
            column_types=dict(types.values()), include_columns=list(dict(types.values()))
        ),
    )
    return pa.table({ours: table[name] for ours, (name, _) in types.items()})


def read_csv(file: LogFile) -> Log:
    """Return the log in a delimited text file with columns of our names or mapped ones."""
    text = opening.read_text(file.path)
    header = read_header(text)
    if not header.names:
        return Log(EVENTS.empty_table(), reject_file("empty_file"), {})
    check_header(header.names, file.path)
    names = log_names(file.columns, header.names, file.path)
    types = cell_types(names)
    rows = read_rows(text, header, {ours: (name, types[ours]) for ours, name in names.items()})
    return to_log(rows.table, rows.line, rows.rejected, "csv", file.path)


def read_csv_blocks(file: LogFile) -> Iterator[Log]:
    """Give the log in a large file, a block of rows at a time."""
    header, types, first = None, {}, b""
    for block in opening.text_blocks(file.path):
        text, n_before = block.text, 0
        if header is None:
            header = read_header(text)
            if not header.names:
                yield Log(EVENTS.empty_table(), reject_file("empty_file"), {})
                return
            check_header(header.names, file.path)
            names = log_names(file.columns, header.names, file.path)
            typed = cell_types(names)
            types = {ours: (name, typed[ours]) for ours, name in names.items()}
            first = text[: header.end].lstrip(b"\r\n")
        else:  # it gets the header above it
            header = Header(header.names, header.separator, len(first))
            text, n_before = first + text, block.first_line - 2
        rows = read_rows(text, header, types)
        yield further_down(to_log(rows.table, rows.line, rows.rejected, "csv", file.path), n_before)


def recognise_csv(head: bytes, path: Path) -> bool:
    """Say whether the first line can be a header: names, and as many as a log needs.

    An empty file is taken too: it is quarantined as such.
    """
    text = opening.as_text(head).strip()
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
    quote=opening.quote_lines,
    read_blocks=read_csv_blocks,
)
