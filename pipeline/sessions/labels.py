"""Read a labels file, CSV or Parquet: `session_id,label[,account_id]`.

A file that people made, such as a report's verdicts, says `fraud`, `legitimate`, `unsure` or
`undecided`, may have notes, and has a `'` before what a spreadsheet would take for a formula.
"""

import csv
import io
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import DataError, MissingColumnsError, NotFoundError
from pipeline.readers.common import cells, log_files
from pipeline.readers.common.delimited import read_header
from pipeline.readers.parquet import MAGIC
from pipeline.schemas import LABELS
from pipeline.storage.paths import StoragePath, as_path

LABEL_WORDS: Final = {"fraud": "1", "legitimate": "0"}
"""What people say for a label."""

NO_LABEL_WORDS: Final = ("unsure", "undecided")
"""What they say where they have none: they can't tell, or have only written a note so far."""

_SHIELDED = r"^'('*[=+\-@\t\r\n＝＋－＠])"
_SHOWN = 5  # sessions that an error names


def read_labels(path: StoragePath) -> pa.Table:
    """Return the label of each session, in the order of the file; 1 is fraud, 0 legitimate."""
    path = as_path(path)
    if not path.is_file():
        raise NotFoundError(path, "there is no such labels file")
    table = _read_parquet(path) if log_files.read_head(path).startswith(MAGIC) else _read_csv(path)
    table = _spelt_as_numbers(table)
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


def read_group_column(path: StoragePath, column: str) -> dict[str, str]:
    """Return what a column of a labels file says of each session, such as its device."""
    path = as_path(path)
    if log_files.read_head(path).startswith(MAGIC):
        table = pq.read_table(pa.BufferReader(log_files.read_unpacked(path)))
        names, columns = table.column_names, table.to_pydict()
    else:
        names, rows = csv_rows(path)
        columns = {name: [cells[i] for _, cells in rows] for i, name in enumerate(names)}
    if column not in names:
        raise MissingColumnsError(path, [column], names)
    session_id = without_shield(pa.chunked_array([pa.array(map(str, columns["session_id"]))]))
    said = ("" if value is None else str(value).strip() for value in columns[column])
    return dict(zip(session_id.to_pylist(), said, strict=True))


def without_shield(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return cells as they were before a `'` kept a spreadsheet from running them.

    One is taken away where it stands before `=`, `+`, `-`, `@`, a tab or a line's end; a report
    puts one before such a beginning, and one more where there is one, so every id comes back.
    """
    return pc.replace_substring_regex(cells, _SHIELDED, r"\1")


def _spelt_as_numbers(table: pa.Table) -> pa.Table:
    """Return `table` with words for labels as 1 and 0, without the rows that say neither."""
    if not pa.types.is_string(table["label"].type):
        return table
    given = table["label"].to_pandas().str.strip().str.lower()
    is_sure = (~given.isin(NO_LABEL_WORDS)).to_numpy(bool)
    numbers = pa.array(given.replace(LABEL_WORDS)[is_sure], pa.string())
    return table.filter(is_sure).set_column(
        table.column_names.index("label"), "label", pa.chunked_array([numbers])
    )


def csv_rows(path: StoragePath) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header of delimited text and its rows, each with its line.

    By Python's own reader: a session's id, or a note, may hold line breaks.
    """
    text = log_files.as_utf8(log_files.read_text(path))
    header = read_header(text)
    reader = csv.reader(io.StringIO(text.decode(), newline=""), delimiter=header.separator)
    rows = []
    try:
        for cells in reader:
            if len(cells) not in (0, len(header.names)):
                what = f"line {reader.line_num} has another number of columns than the header"
                raise DataError(path, what)
            rows += [(reader.line_num, cells)] if cells else []
    except csv.Error as error:
        raise DataError(path, f"line {reader.line_num}: {error}") from error
    return header.names, rows[1:]


def _read_csv(path: StoragePath) -> pa.Table:
    header, rows = csv_rows(path)
    _check_columns(header, path)
    names = [name for name in LABELS.names if name in header]
    columns = {name: [cells[header.index(name)] for _, cells in rows] for name in names}
    table = pa.table({name: pa.array(columns[name], pa.string()) for name in names})
    for i, name in enumerate(names):
        if name != "label":
            table = table.set_column(i, name, without_shield(table[name]))
    return table


def _read_parquet(path: StoragePath) -> pa.Table:
    parquet = pq.ParquetFile(pa.BufferReader(log_files.read_unpacked(path)))
    _check_columns(parquet.schema_arrow.names, path)
    return parquet.read([name for name in LABELS.names if name in parquet.schema_arrow.names])


def _check_columns(found: list[str], path: StoragePath) -> None:
    missing = [name for name in ("session_id", "label") if name not in found]
    if missing:
        raise MissingColumnsError(path, missing, found)


def _once_each(labels: pa.Table, path: StoragePath) -> pa.Table:
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
