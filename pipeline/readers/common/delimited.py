"""Delimited text with a header: comma, semicolon or tab, whichever the header has most of.

It is read some megabytes at a time, on all cores, and each of these blocks twice at most.
First with the types that the columns should have, which is fast and fails as a whole; then,
if it failed, as text, so that a bad cell costs one row.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
from jaxtyping import Int64

from pipeline.errors import UnknownFormatError, printable
from pipeline.readers.common import cells, log_files
from pipeline.readers.common.cells import constant
from pipeline.readers.common.formats import (
    REJECTED,
    Log,
    LogFile,
    join_logs,
    reject,
    reject_file,
)
from pipeline.readers.common.limits import limits
from pipeline.readers.common.log_files import TextBlock
from pipeline.readers.common.tabular import cell_types, check_header, to_log
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
    line = log_files.as_utf8(text[start:end]).decode().strip("\r\n")
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
    blocks = log_files.text_blocks(path, most)
    for first in blocks:
        header = read_header(first.text)
        if header.names:
            break
    else:
        yield Log(EVENTS.empty_table(), reject_file("empty_file"), {})
        return
    columns = choose(header.names)
    n_above = log_files.count_lines(first.text[: header.end])
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
    line = log_files.written_lines(log_files.split_lines(block.text)) + (first_line - 1)
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
    lines = log_files.split_lines(block.text)
    is_long = log_files.line_bytes(lines)[line - block.first_line] > limits().line_bytes
    body = block.text
    if is_long.any():
        kept = lines.take(pa.array(line[~is_long] - block.first_line))
        body = b"".join(kept.to_pylist())
    return pa.py_buffer(log_files.as_utf8(body)), line[~is_long], line[is_long]


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


SCROLL: Final = "Scroll"
_NAMES: Final = {"event": "state", "button": "button", "x": "x", "y": "y"}


def has_header(head: bytes, header: tuple[str, ...]) -> bool:
    """Say whether a file's first line is exactly this."""
    return tuple(read_header(log_files.as_text(head)).names) == header


def read_recording(file: LogFile, source: str, unit: str, session_id: str) -> Log:
    """Return the log of one session; `unit` (`t_s` or `t_ms`) is that of the client's time."""
    names = {unit: "client timestamp"} | _NAMES
    account_id = printable(file.path.resolve().parent.name)

    def choose(found: list[str]) -> Columns:
        if missing := set(names.values()) - set(found):
            raise UnknownFormatError(
                file.path, f"it is no {source} log: it has no column {', '.join(sorted(missing))}"
            )
        check_header(found, file.path)
        types = cell_types(names)
        return {ours: (name, types[ours]) for ours, name in names.items()}

    def as_log(rows: Rows) -> Log:
        table, n = _with_scrolls(rows.table), rows.table.num_rows
        table = table.append_column("session_id", constant(session_id, n))
        table = table.append_column("account_id", constant(account_id, n))
        return to_log(table, rows.line, rows.rejected, source, file.path)

    return join_logs(read_delimited(file.path, limits().file_bytes, choose, as_log))


def _with_scrolls(table: pa.Table) -> pa.Table:
    """Return a recording in which turns of the wheel are events like others.

    They are written as button Scroll going Up or Down.
    """
    button, event = (cells.words(table[name]) for name in ("button", "event"))
    buttons, events = button.dictionary.to_pylist(), event.dictionary.to_pylist()
    if SCROLL in buttons:
        is_scroll = button.indices.to_numpy() == buttons.index(SCROLL)
        codes = np.where(is_scroll, np.int32(len(events)), event.indices.to_numpy())
        event = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array([*events, "scroll"]))
    given = {name: table[name] for name in table.column_names}
    return pa.table(given | {"button": button, "event": event})
