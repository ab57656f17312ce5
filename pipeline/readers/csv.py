"""Delimited text with a header: comma, semicolon or tab, whichever the header has most of.

It is read some megabytes at a time, on all cores, and each of these blocks twice at most.
First with the types that the columns should have, which is fast and fails as a whole; then,
if it failed, as text, so that a bad cell costs one row.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
from jaxtyping import Int64

from pipeline.readers import opening
from pipeline.readers.base import REJECTED, Format, Log, LogFile, join_logs, reject, reject_file
from pipeline.readers.limits import limits
from pipeline.readers.opening import TextBlock
from pipeline.readers.tabular import REQUIRED, cell_types, check_header, log_names, to_log
from pipeline.schemas import EVENTS
from pipeline.storage.overlap import overlapped, usable_cores

SEPARATORS = ",;\t"
_MOST_THREADS = 8  # each holds a block and what is made of it

Columns = Mapping[str, tuple[str, pa.DataType]]
"""The columns to read: our name -> the log's name, and the type its cells should have."""


@dataclass(frozen=True)
class Rows:
    """The rows of a delimited text: chosen columns by our names, and where they stood."""

    table: pa.Table
    line: Int64[np.ndarray, " rows"]
    rejected: pa.Table  # REJECTED
    is_beginning: bool = False  # of the file


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


def read_delimited(
    path: Path,
    most: int,
    choose: Callable[[list[str]], Columns],
    to_log: Callable[[Rows], Log],
) -> Iterator[Log]:
    """Give the log in a file of at most `most` bytes, a block of rows at a time.

    `choose` says which columns to read of those in the header, `to_log` what the rows mean.
    """
    blocks = opening.text_blocks(path, most)
    for first in blocks:
        header = read_header(first.text)
        if header.names:
            break
    else:
        yield Log(EVENTS.empty_table(), reject_file("empty_file"), {})
        return
    columns = choose(header.names)
    n_above = opening.count_lines(first.text[: header.end])
    body = TextBlock(first.text[header.end :], first.first_line + n_above, first.n_lines - n_above)

    def read(block: TextBlock) -> Log:
        rows = read_rows(block, header, columns)
        return to_log(replace(rows, is_beginning=block is body))

    second = next(blocks, None)
    if second is None:
        yield read(body)
    else:
        n_threads = min(usable_cores(), _MOST_THREADS)
        yield from overlapped(read, chain([body, second], blocks), n_threads)


def read_rows(block: TextBlock, header: Header, columns: Columns) -> Rows:
    """Return every row of a block of text, which lies below the header.

    Where a cell isn't of its type all of the columns come as strings.
    """
    first_line, n_lines = block.first_line, block.n_lines
    table = _read_typed(block.text, header, columns)
    if table is not None and table.num_rows == n_lines:
        return Rows(table, np.arange(first_line, first_line + n_lines), REJECTED.empty_table())
    # Some lines are empty, or bad.
    line = opening.written_lines(opening.split_lines(block.text)) + (first_line - 1)
    if table is not None and table.num_rows == len(line):
        return Rows(table, line, REJECTED.empty_table())
    return _read_as_text(block, header, columns, line)


def _read_typed(text: bytes, header: Header, columns: Columns) -> pa.Table | None:
    """Return the table if every cell is of its type, else None.

    Words are taken as bytes and told apart afterwards: mostly the same one stands in many rows
    one after another.
    """
    types = {
        ours: (name, pa.binary() if pa.types.is_dictionary(type_) else type_)
        for ours, (name, type_) in columns.items()
    }
    options = arrow_csv.ParseOptions(delimiter=header.separator)
    try:
        table = _parse(pa.py_buffer(text), header, types, options)
        return pa.table(
            {
                name: _words(column) if pa.types.is_binary(column.type) else column
                for name, column in zip(table.column_names, table.columns, strict=True)
            }
        )
    except pa.ArrowInvalid:
        return None


def _words(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of bytes as words of one dictionary; raise `ArrowInvalid` for no text."""
    runs = pc.run_end_encode(column.chunk(0) if column.num_chunks == 1 else column.combine_chunks())
    different = runs.values.dictionary_encode()
    lengths = np.diff(runs.run_ends.to_numpy(), prepend=0)
    codes = np.repeat(different.indices.to_numpy(), lengths)
    words = different.dictionary.cast(pa.string())
    return pa.chunked_array([pa.DictionaryArray.from_arrays(pa.array(codes), words)])


def _read_as_text(
    block: TextBlock, header: Header, columns: Columns, line: Int64[np.ndarray, " rows"]
) -> Rows:
    """Return the columns as strings; rows with another number of cells are rejected.

    A quotation mark that isn't closed would swallow the rows after it. If the rows don't
    add up, marks are taken for characters like others, since a row is a line.
    """
    body, line, too_long = _without_long_lines(block, line)
    strings = {ours: (name, pa.string()) for ours, (name, _) in columns.items()}
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
    block: TextBlock, line: Int64[np.ndarray, " rows"]
) -> tuple[pa.Buffer, Int64[np.ndarray, " kept"], Int64[np.ndarray, " long"]]:
    """Return the rows but those over the limit, as UTF-8, and the lines kept and left out."""
    lines = opening.split_lines(block.text)
    is_long = opening.line_bytes(lines)[line - block.first_line] > limits().line_bytes
    body = block.text
    if is_long.any():
        kept = lines.take(pa.array(line[~is_long] - block.first_line))
        body = b"".join(kept.to_pylist())
    return pa.py_buffer(opening.as_utf8(body)), line[~is_long], line[is_long]


def _parse_evenly(
    body: pa.Buffer,
    header: Header,
    types: Columns,
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
    types: Columns,
    options: arrow_csv.ParseOptions,
) -> pa.Table:
    """Return the columns in `types` under our names."""
    if not body.size:
        return pa.table({ours: pa.array([], type_) for ours, (_, type_) in types.items()})
    table = arrow_csv.read_csv(
        pa.BufferReader(body),
        # One thread: other blocks keep the other cores busy, and threads forget the numbers of
        # the rows that they skip.
        arrow_csv.ReadOptions(
            column_names=header.names, block_size=body.size + 1, use_threads=False
        ),
        options,
        arrow_csv.ConvertOptions(
            column_types=dict(types.values()), include_columns=list(dict(types.values()))
        ),
    )
    return pa.table({ours: table[name] for ours, (name, _) in types.items()})


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
