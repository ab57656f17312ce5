"""Delimited text with a header: comma, semicolon or tab, whichever the header has most of.

It is read some megabytes at a time, on all cores, and each of these blocks twice at most.
First with the types that the columns should have, which is fast and fails as a whole; then,
if it failed, as text, so that a bad cell costs one row.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
from jaxtyping import Int64

from pipeline.errors import UnknownFormatError, printable
from pipeline.readers.common import cells, log_files
from pipeline.readers.common.formats import REJECTED, Format, Log, LogFile, reject, rejected_file
from pipeline.readers.common.limits import limits
from pipeline.readers.common.log_files import TextBlock
from pipeline.readers.common.tabular import cell_types, check_header, to_log
from pipeline.storage.paths import StoragePath

SEPARATORS: Final = ",;\t"

_SCROLL: Final = "Scroll"

ColumnTypes = Mapping[str, tuple[str, pa.DataType]]
"""The columns to read: our name -> the log's name, and the type its cells should have."""

Rows = tuple[pa.Table, Int64[np.ndarray, " kept"], pa.Table]
"""Rows by our names of columns, the line of each, and `REJECTED` rows."""


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
    file: LogFile,
    source: str,
    choose: Callable[[list[str]], Mapping[str, str]],
    complete: Callable[[pa.Table], pa.Table] = lambda table: table,
) -> Iterator[Log]:
    """Give the log in a file, a block of rows at a time.

    `choose` gives our name and the log's of each column to read, from the names in the header;
    `complete` turns the table of these columns into one with all that `to_log` needs.
    """
    blocks = log_files.text_blocks(file.path, file.max_bytes)
    for first in blocks:
        header = read_header(first.text)
        if header.names:
            break
    else:
        yield rejected_file("empty_file")
        return
    check_header(header.names, file.path)
    names = choose(header.names)
    types = cell_types(names)
    columns = {ours: (name, types[ours]) for ours, name in names.items()}
    n_above = log_files.count_lines(first.text[: header.end])
    body = TextBlock(first.text[header.end :], first.first_line + n_above, first.n_lines - n_above)

    def read(block: TextBlock) -> Log:
        table, line, rejected = _read_rows(block, header, columns)
        return to_log(complete(table), line, rejected, source, file.path, block is body)

    yield from log_files.each_block(read, chain([body], blocks))


def _read_rows(block: TextBlock, header: Header, columns: ColumnTypes) -> Rows:
    """Return every row of a block of text, which lies below the header.

    Where a cell isn't of its type all of the columns come as strings.
    """
    first_line, n_lines = block.first_line, block.n_lines
    table = _read_typed(block.text, header, columns)
    if table is not None and table.num_rows == n_lines:
        return table, np.arange(first_line, first_line + n_lines), REJECTED.empty_table()
    # Some lines are empty, or bad.
    line = log_files.written_lines(log_files.split_lines(block.text)) + (first_line - 1)
    if table is not None and table.num_rows == len(line):
        return table, line, REJECTED.empty_table()
    return _read_as_text(block, header, columns, line)


def _read_typed(text: bytes, header: Header, columns: ColumnTypes) -> pa.Table | None:
    """Return the table if every cell is of its type, else None.

    Words are taken as bytes and compared afterwards: mostly many rows have the same one, one after
    another.
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
    block: TextBlock, header: Header, columns: ColumnTypes, line: Int64[np.ndarray, " rows"]
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
    return table, line[is_even], pa.concat_tables(rejected)


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
    types: ColumnTypes,
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
    types: ColumnTypes,
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


def session_file_format(
    name: str, header: tuple[str, ...], time: str, session_id: Callable[[StoragePath], str]
) -> Format:
    """Return the format of a research data set with a file a session and a folder an account.

    `time` (`t_s` or `t_ms`) is the unit of the client's clock. Turns of the wheel are written
    as button Scroll going Up or Down.
    """
    names = {time: "client timestamp", "event": "state", "button": "button", "x": "x", "y": "y"}

    def recognise(head: bytes, path: StoragePath) -> bool:
        return tuple(read_header(log_files.as_text(head)).names) == header

    def read(file: LogFile) -> Iterator[Log]:
        def choose(found: list[str]) -> Mapping[str, str]:
            if missing := set(names.values()) - set(found):
                raise UnknownFormatError(
                    file.path,
                    f"it is not a {name} log: missing column(s) {', '.join(sorted(missing))}",
                    f"found {', '.join(found)}",
                )
            return names

        def complete(table: pa.Table) -> pa.Table:
            ids = session_id(file.path), printable(file.path.resolve().parent.name)
            table = _with_scrolls(table)
            for column, word in zip(("session_id", "account_id"), ids, strict=True):
                table = table.append_column(column, cells.constant(word, table.num_rows))
            return table

        return read_delimited(file, name, choose, complete)

    return Format(name, recognise, read, quote=log_files.quote_lines)


def _with_scrolls(table: pa.Table) -> pa.Table:
    """Return a recording in which turns of the wheel are events like others."""
    button, event = (cells.words(table[name]) for name in ("button", "event"))
    buttons, events = button.dictionary.to_pylist(), event.dictionary.to_pylist()
    if _SCROLL in buttons:
        is_scroll = button.indices.to_numpy() == buttons.index(_SCROLL)
        codes = np.where(is_scroll, np.int32(len(events)), event.indices.to_numpy())
        event = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array([*events, "scroll"]))
    given = {name: table[name] for name in table.column_names}
    return pa.table(given | {"button": button, "event": event})
