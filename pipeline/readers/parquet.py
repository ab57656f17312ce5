"""Parquet, a row an event; its columns are those of `common/tabular.py`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from pipeline.errors import LogError
from pipeline.readers.common import log_files
from pipeline.readers.common.formats import REJECTED, Format, Log, LogFile
from pipeline.readers.common.limits import limits
from pipeline.readers.common.tabular import check_header, log_names, to_log
from pipeline.storage.paths import StoragePath

MAGIC = b"PAR1"


@contextmanager
def _opened(path: StoragePath) -> Iterator[pq.ParquetFile]:
    """Give a Parquet file; every error of Arrow, then or later, becomes a `LogError`."""
    content = log_files.read_unpacked(path)
    try:
        with pq.ParquetFile(pa.BufferReader(content)) as parquet:
            _check_size(parquet.metadata.num_rows, len(content), path)
            yield parquet
    except (pa.ArrowException, OSError) as error:
        raise LogError(
            path, f"it is not a whole Parquet file: {error}", "is the file complete?"
        ) from error


def _check_size(n_rows: int, n_bytes: int, path: StoragePath) -> None:
    """Raise `LogError` for more rows than a log's bytes can hold: one word, a billion times."""
    most = max(limits().free_rows, limits().rows_per_byte * n_bytes)
    if n_rows > most:
        raise LogError(
            path,
            f"it has {n_rows:,} rows in {n_bytes:,} bytes, at most {most:,} are read",
            "set the limits of docs/limits.md",
        )


def _read(file: LogFile) -> Iterator[Log]:
    """Give the log in a Parquet file; a row's line is its number, from 1."""
    with _opened(file.path) as parquet:
        check_header(parquet.schema_arrow.names, file.path)
        names = log_names(file.columns, parquet.schema_arrow.names, file.path)
        table = parquet.read(columns=list(names.values()))
        table = pa.table({ours: table[name] for ours, name in names.items()})
        line = np.arange(1, table.num_rows + 1)
        yield to_log(table, line, REJECTED.empty_table(), "parquet", file.path)


def _quote_rows(path: StoragePath, line: Int64[np.ndarray, " rows"]) -> list[str | None]:
    """Return these rows as JSON, cut at 1,000 characters; null where Python has no such value."""
    with _opened(path) as parquet:
        rows = parquet.read().take(pa.array(line - 1))
    return [_as_json(rows.slice(i, 1)) for i in range(rows.num_rows)]


def _as_json(row: pa.Table) -> str | None:
    try:
        return json.dumps(row.to_pylist()[0], default=str)[: log_files.RAW_CHARACTERS]
    except (OverflowError, ValueError):  # a date after the year 9999, bytes that are no text
        return None


def _recognise(head: bytes, path: StoragePath) -> bool:
    """Say whether the file begins as Parquet does."""
    return head.startswith(MAGIC)


FORMAT = Format("parquet", _recognise, _read, is_generic=True, quote=_quote_rows)
