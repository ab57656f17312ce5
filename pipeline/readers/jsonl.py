"""JSON lines, an object an event; columns as in `tabular.py`.

Read twice at most, as in `csv.py`: with types, or where that fails as text, by DuckDB.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as arrow_json
from jaxtyping import Int64

from pipeline.readers.common import log_files
from pipeline.readers.common.formats import (
    REJECTED,
    Format,
    Log,
    LogFile,
    further_down,
    reject,
    reject_file,
)
from pipeline.readers.common.json_parser import connect
from pipeline.readers.common.limits import limits
from pipeline.readers.common.tabular import REQUIRED, cell_types, check_header, log_names, to_log
from pipeline.schemas import EVENTS

_BLOCK_BYTES = 4 * 2**20
_ASKED_LINES = 20


def read_jsonl(file: LogFile) -> Log:
    """Return the log in a file of JSON lines with keys of our names or mapped ones."""
    text = log_files.read_text(file.path)
    line = log_files.written_lines(log_files.split_lines(text))
    if not len(line):
        return Log(EVENTS.empty_table(), reject_file("empty_file"), {})
    keys = _keys(text)
    check_header(keys, file.path)
    return _read_lines(text, line, log_names(file.columns, keys, file.path), file.path)


def read_jsonl_blocks(file: LogFile) -> Iterator[Log]:
    """Give the log in a large file, a block of lines at a time; its first block has the keys."""
    names: dict[str, str] = {}
    for text, first_line, _ in log_files.text_blocks(file.path):
        line = log_files.written_lines(log_files.split_lines(text))
        if not names:
            keys = _keys(text)
            check_header(keys, file.path)
            names = log_names(file.columns, keys, file.path)
        log = _read_lines(text, line, names, file.path, first_line == 1)
        yield further_down(log, first_line - 1)


def _read_lines(
    text: bytes,
    line: Int64[np.ndarray, " rows"],
    names: Mapping[str, str],
    path: Path,
    is_beginning: bool = True,
) -> Log:
    """Return the log in these lines of a text."""
    types = cell_types(names)
    table = None
    if _all_begin_as_objects(text, line):
        table = _read_typed(text, {name: types[ours] for ours, name in names.items()})
    rejected = REJECTED.empty_table()
    if table is None or table.num_rows != len(line):
        is_long = log_files.line_bytes(log_files.split_lines(text))[line - 1] > limits().line_bytes
        rejected, line = reject(line[is_long], "too_large"), line[~is_long]
        table, is_object = _read_as_text(text, list(names.values()), line, path)
        others = reject(line[~is_object], "not_a_json_object")
        line, rejected = line[is_object], pa.concat_tables([rejected, others])
    table = pa.table({ours: table[name] for ours, name in names.items()})
    return to_log(table, line, rejected, "jsonl", path, is_beginning)


def _all_begin_as_objects(text: bytes, line: Int64[np.ndarray, " rows"]) -> bool:
    """Say whether each written line begins with a brace.

    Arrow 26 reads through a null pointer, and the process dies, where a block of text begins
    with the value `null`; blocks begin where lines do.
    """
    starts = np.frombuffer(log_files.split_lines(text).buffers()[1], np.int64)[line - 1]
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
            arrow_json.ReadOptions(block_size=_BLOCK_BYTES),
            arrow_json.ParseOptions(pa.schema(plain), unexpected_field_behavior="ignore"),
        )
    except pa.ArrowInvalid:
        return None


def _read_as_text(
    text: bytes, names: list[str], line: Int64[np.ndarray, " rows"], where: Path
) -> tuple[pa.Table, np.ndarray]:
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


def recognise_jsonl(head: bytes, path: Path) -> bool:
    """Say whether one of the first lines is an object with as many keys as a log needs.

    A line without end may be one; its columns are then looked for further down. Otherwise one
    session's absurd row at the beginning of a log would hide all others.
    """
    lines = log_files.as_text(head).lstrip().split(b"\n")
    if not lines[0].startswith((b"{", b"null")):
        return False
    is_endless = len(lines) == 1 and len(head) >= log_files.HEAD_BYTES
    return is_endless or any(len(_object(line)) >= len(REQUIRED) for line in lines[:_ASKED_LINES])


FORMAT = Format(
    "jsonl",
    recognise_jsonl,
    read_jsonl,
    is_generic=True,
    quote=log_files.quote_lines,
    read_blocks=read_jsonl_blocks,
)
