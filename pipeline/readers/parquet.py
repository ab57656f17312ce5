"""Parquet with a row an event; columns as in `tabular.py`, times as numbers or timestamps."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from pipeline.errors import LogError
from pipeline.readers import opening
from pipeline.readers.base import REJECTED, Format, Log, LogFile
from pipeline.readers.tabular import check_header, log_names, to_log

MAGIC = b"PAR1"


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(pa.BufferReader(opening.read_unpacked(path)))
    except pa.ArrowInvalid as error:
        raise LogError(path, f"it is no Parquet file: {error}", "is the file complete?") from error


def read_parquet(file: LogFile) -> Log:
    """Return the log in a Parquet file; a row's line is its number, from 1."""
    parquet = _open(file.path)
    check_header(parquet.schema_arrow.names, file.path)
    names = log_names(file.columns, parquet.schema_arrow.names, file.path)
    table = parquet.read(columns=list(names.values()))
    table = pa.table({ours: table[name] for ours, name in names.items()})
    line = np.arange(1, table.num_rows + 1)
    return to_log(table, line, REJECTED.empty_table(), "parquet", file.path)


def quote_rows(path: Path, line: Int64[np.ndarray, " rows"]) -> list[str]:
    """Return these rows as JSON, cut at 1,000 characters."""
    rows = _open(path).read().take(pa.array(line - 1)).to_pylist()
    return [json.dumps(row, default=str)[: opening.RAW_CHARACTERS] for row in rows]


def recognise_parquet(head: bytes, path: Path) -> bool:
    """Say whether the file begins as Parquet does."""
    return head.startswith(MAGIC)


FORMAT = Format("parquet", recognise_parquet, read_parquet, is_generic=True, quote=quote_rows)
