"""Delimited text: comma, semicolon, tab or blanks, whichever parts the first lines alike.

It is read some megabytes at a time, on all cores, and each of these blocks twice at most.
First with the types that the columns should have, which is fast and fails as a whole; then,
if it failed, as text, so that a bad cell costs one row.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
from jaxtyping import Int64

from pipeline.errors import ColumnsError, UnknownFormatError, printable
from pipeline.readers.common import cells, log_files
from pipeline.readers.common.columns import SAMPLE_ROWS, Reading, Sample, headerless_guess
from pipeline.readers.common.formats import REJECTED, Format, Log, LogFile, reject, rejected_file
from pipeline.readers.common.limits import limits
from pipeline.readers.common.log_files import TextBlock
from pipeline.readers.common.names import TIME_UNITS
from pipeline.readers.common.tabular import cell_types, check_doubles, check_width, to_log
from pipeline.storage.paths import StoragePath

SEPARATORS: Final = ",;\t|"
BLANKS: Final = " "
_SAMPLE_BYTES: Final = 2**17
_NUMBER: Final = re.compile(r"\s*[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\s*")
_VALUE: Final = re.compile(rf"{_NUMBER.pattern}|\s*\d{{4}}-\d\d-\d\d[T ].*|\s*\d\d?:\d\d:.*")

ColumnTypes = Mapping[str, tuple[str, pa.DataType]]
"""The columns to read: our name -> the log's name, and the type its cells should have."""

Rows = tuple[pa.Table, Int64[np.ndarray, " kept"], pa.Table]
"""Rows by our names of columns, the line of each, and `REJECTED` rows."""


@dataclass(frozen=True)
class Header:
    """The first line that is not empty: names, or cells, where the table has no header."""

    names: list[str]
    separator: str
    end: int  # bytes up to the line's end; 0 without a header
    is_missing: bool = False

    @property
    def unique_names(self) -> list[str]:
        """Return the names, a later one of the same name marked, so that each is one column's."""
        seen: dict[str, int] = {}
        unique = []
        for name in self.names:
            seen[name] = seen.get(name, 0) + 1
            unique.append(name if seen[name] == 1 else f"{name}\0{seen[name]}")
        return unique


def read_header(text: bytes) -> Header:
    """Return the header of a delimited text; without a line, no names.

    A first line with a number or a date in it is no header: its columns are called 1, 2, 3.
    """
    start = len(text) - len(text.lstrip(b"\r\n"))
    line_end = text.find(b"\n", start)
    end = len(text) if line_end < 0 else line_end + 1
    lines = [log_files.as_utf8(text[start:end]).decode().strip("\r\n")]
    if not lines[0]:
        return Header([], ",", end)
    separator = max(SEPARATORS, key=lines[0].count)
    if separator not in lines[0]:
        separator = BLANKS if len(lines[0].split()) > 2 else ","
    names = [name.strip().strip("\"'").strip() for name in _cells(lines[0], separator)]
    if any(_VALUE.fullmatch(name) for name in names):
        return Header([str(i) for i in range(1, len(names) + 1)], separator, start, True)
    if separator == BLANKS:
        names[0] = names[0].lstrip("#")
    return Header([name or str(i) for i, name in enumerate(names, 1)], separator, end)


def _cells(line: str, separator: str) -> list[str]:
    """Return the cells of a line."""
    return line.split() if separator == BLANKS else line.split(separator)


def sample_rows(text: bytes, header: Header) -> Sample:
    """Return the first rows below the header, and no endless one."""
    head = log_files.as_utf8(text[header.end : header.end + _SAMPLE_BYTES]).decode()
    lines = [line for line in head.split("\n")[: SAMPLE_ROWS + 1] if line.strip()]
    if len(lines) > 1 and len(text) > header.end + _SAMPLE_BYTES:
        lines.pop()
    if header.separator == BLANKS:
        rows = [line.split(None, len(header.names) - 1) for line in lines]
    else:
        rows = list(_parsed(lines, header.separator))
    n = len(header.names)
    return Sample(header.unique_names, [(row + [""] * n)[:n] for row in rows])


def _parsed(lines: list[str], separator: str) -> Iterator[list[str]]:
    """Give the cells of lines, whatever marks stand in them."""
    for line in lines:
        try:
            yield next(csv.reader([line.replace("\0", "")], delimiter=separator), [])
        except csv.Error:
            yield line.split(separator)


def read_delimited(
    file: LogFile,
    source: str,
    choose: Callable[[Header, Sample], Reading],
    complete: Callable[[pa.Table], pa.Table] = lambda table: table,
) -> Iterator[Log]:
    """Give the log in a file, a block of rows at a time.

    `choose` tells from the header and the first rows how the table is read; `complete` turns the
    table of these columns into one with all that `to_log` needs.
    """
    blocks = log_files.text_blocks(file.path, file.max_bytes)
    for first in blocks:
        header = read_header(first.text)
        if header.names:
            break
    else:
        yield rejected_file("empty_file")
        return
    check_width(header.names, file.path)
    reading = choose(header, sample_rows(first.text, header))
    check_doubles(header.names, reading.names.values(), file.path)
    types = cell_types(reading.names)
    if reading.has_lists:
        types = dict.fromkeys(types, pa.string())
    columns = {ours: (name, types[ours]) for ours, name in reading.names.items()}
    n_above = log_files.count_lines(first.text[: header.end])
    body = TextBlock(first.text[header.end :], first.first_line + n_above, first.n_lines - n_above)

    def read(block: TextBlock) -> Log:
        table, line, rejected = _read_rows(block, header, columns, reading)
        return to_log(complete(table), line, rejected, source, file, reading)

    yield from log_files.each_block(read, chain([body], blocks))


def refuse_headerless(header: Header, sample: Sample, where: StoragePath) -> None:
    """Raise `ColumnsError` that says how a table without header can be read."""
    guess = headerless_guess(sample)
    flags = {"t_ms": "1", "x": "2", "y": "3"} if len(guess) < 3 else guess
    raise ColumnsError(
        where,
        f"it has no header line: it begins with {', '.join(sample.first_row())}",
        "name its columns by their numbers, such as --columns "
        + ",".join(f"{ours}={number}" for ours, number in flags.items()),
    )


def _read_rows(block: TextBlock, header: Header, columns: ColumnTypes, reading: Reading) -> Rows:
    """Return every row of a block of text, which lies below the header.

    Where a cell isn't of its type all of the columns come as strings.
    """
    first_line, n_lines = block.first_line, block.n_lines
    if header.separator == BLANKS:
        return _read_between_blanks(block, header, columns)
    mark = "," if reading.has_decimal_comma else "."
    table = _read_typed(block.text, header, columns, mark)
    if table is not None and table.num_rows == n_lines:
        return table, np.arange(first_line, first_line + n_lines), REJECTED.empty_table()
    # Some lines are empty, or bad.
    line = log_files.written_lines(log_files.split_lines(block.text)) + (first_line - 1)
    if table is not None and table.num_rows == len(line):
        return table, line, REJECTED.empty_table()
    table, line, rejected = _read_as_text(block, header, columns, line)
    return _with_points(table) if reading.has_decimal_comma else table, line, rejected


def _with_points(table: pa.Table) -> pa.Table:
    """Return columns of text with a point for each decimal comma of a number."""
    return pa.table(
        {
            name: pc.replace_substring(column, ",", ".")
            if name in (*TIME_UNITS, "x", "y")
            else column
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
    )


def _read_between_blanks(block: TextBlock, header: Header, columns: ColumnTypes) -> Rows:
    """Return the rows of a table whose cells lie between blanks; the last cells may be missing."""
    lines = log_files.split_lines(block.text)
    line = log_files.written_lines(lines)
    is_long = log_files.line_bytes(lines)[line - 1] > limits().line_bytes
    index = {name: i for i, name in enumerate(header.unique_names)}
    wanted = [index[name] for name, _ in columns.values()]
    most = max(wanted) + 1
    found = lines.take(pa.array(line[~is_long] - 1)).to_pylist()
    rows = [row.decode("utf-8", "replace").split(None, most) for row in found]
    is_whole = np.array([len(row) >= most for row in rows], bool)
    whole = [row for row in rows if len(row) >= most]
    table = pa.table(
        {
            ours: pa.array([row[i] for row in whole], pa.string())
            for ours, i in zip(columns, wanted, strict=True)
        }
    )
    before = block.first_line - 1
    rejected = [
        reject(line[~is_long][~is_whole] + before, "wrong_number_of_columns"),
        reject(line[is_long] + before, "too_large"),
    ]
    return table, line[~is_long][is_whole] + before, pa.concat_tables(rejected)


def _read_typed(
    text: bytes, header: Header, columns: ColumnTypes, decimal_mark: str
) -> pa.Table | None:
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
        table = _parse(pa.py_buffer(text), header, types, options, decimal_mark)
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
    decimal_mark: str = ".",
) -> pa.Table:
    """Return the columns in `types` under our names."""
    if not body.size:
        return pa.table({ours: pa.array([], type_) for ours, (_, type_) in types.items()})
    table = arrow_csv.read_csv(
        pa.BufferReader(body),
        # One thread: other blocks keep the other cores busy, and threads forget the numbers of
        # the rows that they skip.
        arrow_csv.ReadOptions(
            column_names=header.unique_names, block_size=body.size + 1, use_threads=False
        ),
        options,
        arrow_csv.ConvertOptions(
            column_types=dict(types.values()),
            include_columns=list(dict(types.values())),
            decimal_point=decimal_mark,
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
        if file.columns and file.is_named:
            raise ColumnsError(
                file.path, f"{name} has columns of its own: --columns has no use", "leave it out"
            )

        def choose(found: Header, sample: Sample) -> Reading:
            if missing := set(names.values()) - set(found.names):
                raise UnknownFormatError(
                    file.path,
                    f"it is not a {name} log: missing column(s) {', '.join(sorted(missing))}",
                    f"found {', '.join(found.names)}",
                )
            return Reading(names, sessions="a session a file")

        def complete(table: pa.Table) -> pa.Table:
            ids = session_id(file.path), printable(file.path.resolve().parent.name)
            for column, word in zip(("session_id", "account_id"), ids, strict=True):
                table = table.append_column(column, cells.constant(word, table.num_rows))
            return table

        return read_delimited(file, name, choose, complete)

    return Format(name, recognise, read, quote=log_files.quote_lines)
