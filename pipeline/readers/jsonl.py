"""JSON lines, an object an event; its keys are the columns of `common/tabular.py`.

Each block is read twice at most, as in `common/delimited.py`: with types, or where that fails as
text, by DuckDB.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as arrow_json
from jaxtyping import Bool, Int64

from pipeline.readers.common import log_files
from pipeline.readers.common.formats import REJECTED, Format, Log, LogFile, reject, rejected_file
from pipeline.readers.common.json_parser import connect
from pipeline.readers.common.limits import limits
from pipeline.readers.common.log_files import TextBlock
from pipeline.readers.common.tabular import REQUIRED, cell_types, check_header, log_names, to_log
from pipeline.storage.paths import StoragePath

_HEAD_LINES = 20


def _read(file: LogFile) -> Iterator[Log]:
    """Give the log in a file with keys of our names or mapped ones; the first block has them."""
    blocks = log_files.text_blocks(file.path, file.max_bytes)
    for first in blocks:
        if first.text.strip(b"\r\n"):
            break
    else:
        yield rejected_file("empty_file")
        return
    keys = _keys(first.text)
    check_header(keys, file.path)
    names = log_names(file.columns, keys, file.path)

    def read(block: TextBlock) -> Log:
        table, line, rejected = _read_rows(block, names, file.path)
        return to_log(table, line, rejected, "jsonl", file.path, block is first)

    yield from log_files.each_block(read, chain([first], blocks))


def _read_rows(
    block: TextBlock, names: Mapping[str, str], path: StoragePath
) -> tuple[pa.Table, Int64[np.ndarray, " rows"], pa.Table]:
    """Return the rows of a block by our names, the line of each, and `REJECTED` rows."""
    lines = log_files.split_lines(block.text)
    line = log_files.written_lines(lines)
    types = cell_types(names)
    table = None
    if _all_begin_as_objects(lines, line):
        table = _read_typed(block.text, {name: types[ours] for ours, name in names.items()})
    rejected = REJECTED.empty_table()
    before = block.first_line - 1
    if table is None or table.num_rows != len(line):
        is_long = log_files.line_bytes(lines)[line - 1] > limits().line_bytes
        too_long, line = reject(line[is_long] + before, "too_large"), line[~is_long]
        table, is_object = _read_as_text(block.text, list(names.values()), line, path)
        others = reject(line[~is_object] + before, "not_a_json_object")
        line, rejected = line[is_object], pa.concat_tables([too_long, others])
    return pa.table({ours: table[name] for ours, name in names.items()}), line + before, rejected


def _all_begin_as_objects(lines: pa.LargeBinaryArray, line: Int64[np.ndarray, " rows"]) -> bool:
    """Say whether each written line begins with a brace.

    Arrow 26 reads through a null pointer, and the process dies, where a block of text begins
    with the value `null`; blocks begin where lines do.
    """
    _, offsets, text = lines.buffers()
    starts = np.frombuffer(offsets, np.int64)[line - 1]
    return bool((np.frombuffer(text, np.uint8)[starts] == ord("{")).all())


def _keys(text: bytes) -> list[str]:
    """Return the keys of the objects at the beginning of the file, endless lines left out."""
    keys: dict[str, None] = {}
    start = n_read = 0
    while start < len(text) and n_read < log_files.HEAD_BYTES:
        end = text.find(b"\n", start) % (len(text) + 1)
        if end - start <= log_files.HEAD_BYTES:
            keys |= dict.fromkeys(_object(text[start:end]))
            n_read += end - start
        start = end + 1
    return list(keys)


def _object(line: bytes) -> dict:
    """Return the JSON object in a line; if there is none, an empty one."""
    try:
        # int() refuses thousands of digits; one byte that is no text doesn't spoil the keys.
        value = json.loads(line.decode("utf-8", "replace"), parse_int=float)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _read_typed(text: bytes, types: Mapping[str, pa.DataType]) -> pa.Table | None:
    """Return the table if every value is of its type, else None."""
    plain = {
        name: type_.value_type if pa.types.is_dictionary(type_) else type_
        for name, type_ in types.items()
    }
    try:
        return arrow_json.read_json(
            pa.BufferReader(text),
            arrow_json.ReadOptions(block_size=len(text) + 1, use_threads=False),
            arrow_json.ParseOptions(pa.schema(plain), unexpected_field_behavior="ignore"),
        )
    except pa.ArrowInvalid:
        return None


def _read_as_text(
    text: bytes, names: list[str], line: Int64[np.ndarray, " rows"], where: StoragePath
) -> tuple[pa.Table, Bool[np.ndarray, " rows"]]:
    """Return the columns as strings, for the lines that are objects, and which those are."""
    lines = log_files.split_lines(log_files.as_utf8(text)).take(pa.array(line - 1))
    rows = lines.cast(pa.large_string())
    table = pa.table({"row": rows})
    pointers = ["/" + name.replace("~", "~0").replace("/", "~1") for name in names]
    with connect(where) as connection:
        connection.register("rows", table)
        parsed = connection.sql(
            """
            SELECT json_valid(row) AND coalesce(json_type(TRY_CAST(row AS JSON)) = 'OBJECT', false)
                AS is_object,
                CASE WHEN is_object THEN json_extract_string(row, ?) END AS cells
            FROM rows
            """,
            params=[pointers],
        ).to_arrow_table()
    is_object = parsed["is_object"].to_numpy()
    cells = parsed["cells"].filter(parsed["is_object"])
    columns = [pc.list_element(cells, i) for i in range(len(names))]
    return pa.table(columns, names), is_object


def _recognise(head: bytes, path: StoragePath) -> bool:
    """Say whether one of the first lines is an object with as many keys as a log needs.

    A line without end may be one; its columns are then looked for further down. Otherwise one
    session's absurd row at the beginning of a log would hide all others.
    """
    lines = log_files.as_text(head).lstrip().split(b"\n")
    if not lines[0].startswith((b"{", b"null")):
        return False
    is_endless = len(lines) == 1 and len(head) >= log_files.HEAD_BYTES
    return is_endless or any(len(_object(line)) >= len(REQUIRED) for line in lines[:_HEAD_LINES])


FORMAT = Format(
    "jsonl",
    _recognise,
    _read,
    is_generic=True,
    is_streamed=True,
    quote=log_files.quote_lines,
)
