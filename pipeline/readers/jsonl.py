"""JSON lines, an object an event; columns as in `tabular.py`.

Read twice at most, as in `csv.py`: with types, or where that fails as text, by DuckDB.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as arrow_json
from jaxtyping import Int64

from pipeline.readers import opening
from pipeline.readers.base import REJECTED, Format, Log, LogFile, reject, reject_file
from pipeline.readers.tabular import REQUIRED, cell_types, log_names, to_log
from pipeline.schemas import EVENTS

_BLOCK_BYTES = 4 * 2**20


def read_jsonl(file: LogFile) -> Log:
    """Return the log in a file of JSON lines with keys of our names or mapped ones."""
    text = opening.read_text(file.path)
    line = opening.written_lines(opening.split_lines(text))
    if not len(line):
        return Log(EVENTS.empty_table(), reject_file("empty_file"), {})
    names = log_names(file.columns, _keys(text), file.path)
    types = cell_types(names)
    table = _read_typed(text, {name: types[ours] for ours, name in names.items()})
    rejected = REJECTED.empty_table()
    if table is None or table.num_rows != len(line):
        table, is_object = _read_as_text(opening.as_utf8(text), list(names.values()), line)
        line, rejected = line[is_object], reject(line[~is_object], "not_a_json_object")
    table = pa.table({ours: table[name] for ours, name in names.items()})
    return to_log(table, line, rejected, "jsonl", file.path)


def _keys(text: bytes) -> list[str]:
    """Return the keys of the objects at the beginning of the file."""
    keys: dict[str, None] = {}
    for line in text[: opening.HEAD_BYTES].splitlines():
        keys |= dict.fromkeys(_object(line))
    return list(keys)


def _object(line: bytes) -> dict:
    """Return the JSON object in a line; if there is none, an empty one."""
    try:
        value = json.loads(line)
    except ValueError:
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
    text: bytes, names: list[str], line: Int64[np.ndarray, " rows"]
) -> tuple[pa.Table, np.ndarray]:
    """Return the columns as strings, for the lines that are objects, and which those are."""
    import duckdb  # half a second that a clean file need not pay

    rows = opening.split_lines(text).take(pa.array(line - 1)).cast(pa.large_string())
    table = pa.table({"row": rows})
    pointers = ["/" + name.replace("~", "~0").replace("/", "~1") for name in names]
    with duckdb.connect() as connection:
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
    """Say whether the first line is an object with as many keys as a log needs."""
    first = opening.as_text(head).lstrip().split(b"\n", 1)[0]
    return len(_object(first)) >= len(REQUIRED)


FORMAT = Format("jsonl", recognise_jsonl, read_jsonl, is_generic=True, quote=opening.quote_lines)
