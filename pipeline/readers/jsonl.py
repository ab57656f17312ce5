"""Rows of JSON: lines with an object each, arrays of them, and objects that hold such arrays.

Lines with a row each are read a block at a time, each twice at most, as in
`common/delimited.py`: with types, or where that fails as text. All else goes the way of
`common/json_walk.py`.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.json as arrow_json
from jaxtyping import Bool, Int64

from pipeline.readers.common import log_files
from pipeline.readers.common.columns import Reading, read_columns
from pipeline.readers.common.formats import REJECTED, Format, Log, LogFile, reject, rejected_file
from pipeline.readers.common.json_files import kind_of_json, read_rows
from pipeline.readers.common.json_rows import cell_text, first_names, flat, sample_of
from pipeline.readers.common.json_walk import Shapes
from pipeline.readers.common.limits import limits
from pipeline.readers.common.log_files import TextBlock
from pipeline.readers.common.tabular import cell_types, check_width, to_log
from pipeline.storage.paths import StoragePath

_HEAD_LINES = 20


def _read(file: LogFile) -> Iterator[Log]:
    """Give the log in a file; the first block has its keys."""
    blocks = log_files.text_blocks(file.path, file.max_bytes)
    for first in blocks:
        if first.text.strip(b"\r\n"):
            break
    else:
        yield rejected_file("empty_file")
        return
    raw = _first_rows(first.text)
    rows = [flat(row) for row in raw]
    has_dots = any("." in key for row in raw for key in row)
    if not rows or (not any(_is_row_a_line(row) for row in rows) and not file.columns):
        yield from read_rows(file, "jsonl")
        return
    names = first_names(rows)
    check_width(names, file.path)
    reading = read_columns(file.columns, sample_of(names, rows), file.path, file.is_named)
    if reading.has_lists:
        yield from read_rows(file, "jsonl")
        return

    def read(block: TextBlock) -> Log:
        table, line, rejected = _read_rows(block, reading, has_dots)
        return to_log(table, line, rejected, "jsonl", file, reading)

    yield from log_files.each_block(read, chain([first], blocks))


def _is_row_a_line(row: Mapping[str, object]) -> bool:
    return Shapes({}).of(row).is_row


def _read_rows(
    block: TextBlock, reading: Reading, has_dots: bool
) -> tuple[pa.Table, Int64[np.ndarray, " rows"], pa.Table]:
    """Return the rows of a block by our names, the line of each, and `REJECTED` rows.

    A key with a dot in it looks like one inside an object, and is read as text.
    """
    lines = log_files.split_lines(block.text)
    line = log_files.written_lines(lines)
    names = reading.names
    table = None
    if not has_dots and _all_begin_as_objects(lines, line):
        table = _read_typed(block.text, names)
    rejected = REJECTED.empty_table()
    before = block.first_line - 1
    if table is None or table.num_rows != len(line):
        is_long = log_files.line_bytes(lines)[line - 1] > limits().line_bytes
        too_long, line = reject(line[is_long] + before, "too_large"), line[~is_long]
        table, is_object = _read_as_text(lines.take(pa.array(line - 1)), names)
        others = reject(line[~is_object] + before, "not_a_json_object")
        line, rejected = line[is_object], pa.concat_tables([too_long, others])
    return table, line + before, rejected


def _all_begin_as_objects(lines: pa.LargeBinaryArray, line: Int64[np.ndarray, " rows"]) -> bool:
    """Say whether each written line begins with a brace.

    Arrow 26 reads through a null pointer, and the process dies, where a block of text begins
    with the value `null`; blocks begin where lines do.
    """
    _, offsets, text = lines.buffers()
    starts = np.frombuffer(offsets, np.int64)[line - 1]
    return bool((np.frombuffer(text, np.uint8)[starts] == ord("{")).all())


def _first_rows(text: bytes) -> list[dict]:
    """Return the objects at the beginning of the file, endless lines left out."""
    rows: list[dict] = []
    start = n_read = 0
    while start < len(text) and n_read < log_files.HEAD_BYTES:
        end = text.find(b"\n", start) % (len(text) + 1)
        if end - start <= log_files.HEAD_BYTES:
            row = _object(text[start:end])
            rows += [row] if row else []
            n_read += end - start
        start = end + 1
    return rows


def _object(line: bytes) -> dict | None:
    """Return the JSON object in a line, None if there is none."""
    try:
        # One byte that is no text doesn't spoil the others.
        value = json.loads(line.decode("utf-8", "replace"), parse_int=_whole)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < 19 else float(digits)  # int() refuses thousands


def _read_typed(text: bytes, names: Mapping[str, str]) -> pa.Table | None:
    """Return the table if every value is of its type, else None."""
    types = cell_types(names)
    schema: dict[str, pa.DataType] = {}
    inner: dict[str, dict[str, pa.DataType]] = {}
    for ours, name in names.items():
        type_ = types[ours]
        type_ = type_.value_type if pa.types.is_dictionary(type_) else type_
        outer, dot, part = name.partition(".")
        if dot:
            inner.setdefault(outer, {})[part] = type_
        schema[outer] = pa.struct(inner[outer]) if dot else type_
    try:
        table = arrow_json.read_json(
            pa.BufferReader(text),
            arrow_json.ReadOptions(block_size=len(text) + 1, use_threads=False),
            arrow_json.ParseOptions(pa.schema(schema), unexpected_field_behavior="ignore"),
        )
    except pa.ArrowInvalid:
        return None
    flat_table = table.flatten() if inner else table
    return pa.table({ours: flat_table[name] for ours, name in names.items()})


def _read_as_text(
    lines: pa.Array, names: Mapping[str, str]
) -> tuple[pa.Table, Bool[np.ndarray, " rows"]]:
    """Return the columns as strings, for the lines that are objects, and which those are."""
    rows = [_object(line) for line in lines.to_pylist()]
    objects = [flat(row) for row in rows if row is not None]
    columns = {
        ours: pa.array([cell_text(row.get(name)) for row in objects], pa.string())
        for ours, name in names.items()
    }
    return pa.table(columns), np.array([row is not None for row in rows], bool)


def _recognise(head: bytes, path: StoragePath) -> bool:
    """Say whether one of the first lines is an object with as many keys as a log needs.

    A line without end may be one; its columns are then looked for further down. Otherwise one
    session's absurd row at the beginning of a log would hide all others.
    """
    if kind_of_json(head) == "jsonl":
        return True
    lines = log_files.as_text(head).lstrip().split(b"\n")
    if not lines[0].startswith((b"{", b"null")):
        return False
    is_endless = len(lines) == 1 and len(head) >= log_files.HEAD_BYTES
    return is_endless or any(len(_object(line) or ()) >= 4 for line in lines[:_HEAD_LINES])


FORMAT = Format(
    "jsonl",
    _recognise,
    _read,
    is_generic=True,
    is_streamed=True,
    quote=log_files.quote_lines,
)
