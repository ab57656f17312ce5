"""A labels file in, a `LABELS` table out: `session_id,label[,account_id]`, CSV or Parquet."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import DataError, MissingColumnsError, NotFoundError
from pipeline.readers import cells, opening
from pipeline.readers.csv import read_header, read_rows
from pipeline.readers.parquet import MAGIC
from pipeline.schemas import LABELS

_SHOWN = 5  # sessions that an error names


def read_labels(path: Path) -> pa.Table:
    """Return the label of each session, in the order of the file; 1 is fraud, 0 legitimate."""
    if not path.is_file():
        raise NotFoundError(path, "there is no such labels file")
    table = _read_parquet(path) if opening.read_head(path).startswith(MAGIC) else _read_csv(path)
    label, is_wrong = cells.labels(table["label"])
    session_id = table["session_id"].cast(pa.string()).combine_chunks()
    bad = np.flatnonzero(is_wrong | label.is_null().to_numpy(zero_copy_only=False))
    if len(bad):
        found = table["label"].take(pa.array(bad[:_SHOWN])).to_pylist()
        names = session_id.take(pa.array(bad[:_SHOWN])).to_pylist()
        raise DataError(
            path,
            f"{len(bad)} label(s) are neither 0 nor 1: "
            + ", ".join(f"{name}={value}" for name, value in zip(names, found, strict=True)),
            "1 is fraud, 0 is legitimate",
        )
    account = pa.nulls(len(label), pa.string())
    if "account_id" in table.column_names:
        account = table["account_id"].cast(pa.string())
    return _once_each(pa.table([session_id, label, account], LABELS.names), path)


def _read_csv(path: Path) -> pa.Table:
    text = opening.read_text(path)
    header = read_header(text)
    _check_columns(header.names, path)
    names = [name for name in LABELS.names if name in header.names]
    rows = read_rows(text, header, {name: (name, pa.string()) for name in names})
    if rows.rejected.num_rows:
        line = rows.rejected["line"][0].as_py()
        raise DataError(path, f"line {line} has another number of columns than the header")
    return rows.table


def _read_parquet(path: Path) -> pa.Table:
    parquet = pq.ParquetFile(pa.BufferReader(opening.read_unpacked(path)))
    _check_columns(parquet.schema_arrow.names, path)
    return parquet.read([name for name in LABELS.names if name in parquet.schema_arrow.names])


def _check_columns(found: list[str], path: Path) -> None:
    missing = [name for name in ("session_id", "label") if name not in found]
    if missing:
        raise MissingColumnsError(path, missing, found)


def _once_each(labels: pa.Table, path: Path) -> pa.Table:
    """Drop repeated sessions; raise `DataError` where two rows contradict each other."""
    ids = labels["session_id"].combine_chunks().dictionary_encode()
    if ids.null_count or pc.any(pc.equal(ids.dictionary, "")).as_py():
        raise DataError(path, "a row has no session_id")
    code = ids.indices.to_numpy()
    first = np.unique(code, return_index=True)[1]
    label = labels["label"].to_numpy()
    differs = np.unique(code[label != label[first][code]])
    if len(differs):
        names = ids.dictionary.take(pa.array(differs[:_SHOWN])).to_pylist()
        raise DataError(
            path,
            f"{len(differs)} session(s) are labelled both 0 and 1: {', '.join(names)}",
            "keep one row for each",
        )
    return labels.take(pa.array(first)).cast(LABELS)
