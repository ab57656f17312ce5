"""Parquet, a row an event; its columns are those of `common/tabular.py`."""

import json
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from itertools import zip_longest

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Int64

from pipeline.errors import LogError
from pipeline.readers.common import log_files
from pipeline.readers.common.columns import KNOWN, SAMPLE_ROWS, WORDS, Sample, read_columns
from pipeline.readers.common.formats import REJECTED, Format, Log, LogFile
from pipeline.readers.common.json_files import as_lines, kind_of_rows, read_events
from pipeline.readers.common.limits import limits
from pipeline.readers.common.tabular import check_doubles, check_width, to_log
from pipeline.storage.paths import StoragePath

MAGIC = b"PAR1"


@contextmanager
def _opened(path: StoragePath) -> Iterator[tuple[bytes, pq.ParquetFile]]:
    """Give a Parquet file's bytes, and itself; every error of Arrow becomes a `LogError`."""
    content = log_files.read_unpacked(path)
    try:
        with pq.ParquetFile(pa.BufferReader(content)) as parquet:
            _check_size(parquet.metadata.num_rows, len(content), path)
            yield content, parquet
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
    with _opened(file.path) as (content, parquet):
        columns = _flat_names(parquet.schema_arrow)
        names = dict(columns)
        check_width(list(names), file.path)
        first = next(
            parquet.iter_batches(SAMPLE_ROWS, row_groups=[0] if parquet.num_row_groups else []),
            None,
        )
        head = pa.table([]) if first is None else pa.Table.from_batches([first])
        if kind := _kind_of_events(head):
            yield from read_events(file, kind, as_lines(_rows(parquet.iter_batches())))
            return
        sample = _sample(names, head)
        reading = read_columns(file.columns, sample, file.path, file.is_named)
        check_doubles([name for name, _ in columns], reading.names.values(), file.path)
        words = {names[name] for ours, name in reading.names.items() if ours in WORDS}
        chosen = sorted({names[name] for name in reading.names.values()})
        table = _flat(_read_columns(content, parquet, chosen, words))
        table = pa.table({ours: table[name] for ours, name in reading.names.items()})
        line = np.arange(1, table.num_rows + 1)
        yield to_log(table, line, REJECTED.empty_table(), "parquet", file, reading)


def _read_columns(
    content: bytes, parquet: pq.ParquetFile, columns: Sequence[str], words: Set[str]
) -> pa.Table:
    """Return these columns; text among `words` as the dictionaries that the file mostly has."""
    is_text = {field.name for field in parquet.schema_arrow if pa.types.is_string(field.type)}
    source = pa.BufferReader(content)
    encoded = pq.ParquetFile(
        source, read_dictionary=sorted(words & is_text), metadata=parquet.metadata
    )
    table = encoded.read(columns=columns)
    return table if all(map(_is_sound, table.columns)) else parquet.read(columns=columns)


def _is_sound(column: pa.ChunkedArray) -> bool:
    """Say whether each cell has its word: of one that is in a dictionary twice Arrow keeps one."""
    return not pa.types.is_dictionary(column.type) or all(
        (pc.max(part.indices).as_py() or 0) < max(len(part.dictionary), 1) for part in column.chunks
    )


def _kind_of_events(head: pa.Table) -> str | None:
    """Return `rrweb` or `posthog` if the first rows have such events in their cells."""
    text = [
        column
        for column in head.columns
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    ]
    if not any(map(_holds_json, text)):
        return None
    return kind_of_rows(as_lines(_rows(head.to_batches())))


def _holds_json(column: pa.ChunkedArray) -> bool:
    return bool(pc.any(pc.match_substring_regex(column, r"^\s*[{\[]")).as_py())


def _rows(batches: Iterable[pa.RecordBatch]) -> Iterator[dict[str, object]]:
    """Give the rows; a moment as text."""
    for batch in batches:
        columns = [
            column.cast(pa.string()) if pa.types.is_temporal(column.type) else column
            for column in batch.columns
        ]
        yield from pa.RecordBatch.from_arrays(columns, batch.schema.names).to_pylist()


def _is_flattened(column: pa.Field) -> bool:
    """Say whether the parts of a column are columns: of a struct, unless it has a name of ours."""
    return pa.types.is_struct(column.type) and column.name not in KNOWN


def _flat_names(schema: pa.Schema) -> list[tuple[str, str]]:
    """Return the names of columns, a struct's parts as `outer.inner`, and what they are part of."""
    names = []
    for column in schema:
        inner = column.type if _is_flattened(column) else []
        parts = [(f"{column.name}.{part.name}", column.name) for part in inner]
        names += parts or [(column.name, column.name)]
    return names


def _flat(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Return the columns of a table, and those inside its structs."""
    columns = dict(zip(table.column_names, table.columns, strict=True))
    for field, column in zip(table.schema, table.columns, strict=True):
        if _is_flattened(field):
            parts = column.flatten()
            names = [f"{field.name}.{part.name}" for part in field.type]
            columns |= dict(zip(names, parts, strict=True))
    return columns


def _sample(names: Iterable[str], first: pa.Table) -> Sample:
    """Return the first rows of a table."""
    flat = _flat(first)
    cells = [_values(flat[name]) if name in flat else [] for name in names]
    return Sample(list(names), zip_longest(*cells))


def _values(column: pa.ChunkedArray) -> list[object]:
    """Return a column's values; a moment as ISO 8601, none where Python has no such value."""
    if pa.types.is_timestamp(column.type):
        return ["1970-01-01T00:00:00"] * len(column)  # its type says what it is
    try:
        return column.to_pylist()
    except (OverflowError, ValueError, pa.ArrowException):
        return [None] * len(column)


def _quote_rows(path: StoragePath, line: Int64[np.ndarray, " rows"]) -> list[str | None]:
    """Return these rows as JSON, cut at 1,000 characters; null where Python has no such value."""
    with _opened(path) as (_, parquet):
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
