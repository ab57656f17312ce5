"""Read published partitions of SCORES, by the manifest.

On a disk a partition is a folder that is replaced at once, and its manifest lists the files in it.
In an object store old parts lie beside new ones for some seconds, and only the manifest says which
are which. Either way a reader gets one version whole: if a part is gone that the manifest listed,
the partition was replaced in between, and it is read again by its new manifest.
"""

import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from pipeline.errors import NotFoundError
from pipeline.schemas import QUARANTINE, SCORES, check_schema
from pipeline.storage.paths import RemotePath, StoragePath, as_path, open_parquet
from pipeline.storage.publish import MANIFEST

_HINT: Final = "`pointerprint score LOG --model RUN --to SCORES` makes some"

Found = TypeVar("Found")


def partition_files(partition: StoragePath) -> list[StoragePath]:
    """Return the parts of a partition, in order; without a manifest, all there are."""
    path = partition / MANIFEST
    listed = json.loads(path.read_text()).get("files") if path.is_file() else None
    if listed is None:
        return sorted(partition.glob("*.parquet"))
    return [partition / name for name in listed]


def read_manifest(partition: StoragePath) -> dict[str, Any]:
    """Return the manifest of a partition."""
    return json.loads((as_path(partition) / MANIFEST).read_text())


def read_quarantine(partition: StoragePath) -> pa.Table:
    """Return the rows of raw logs that were rejected when this partition of SCORES was made."""
    partition = as_path(partition)

    def listed() -> list[StoragePath]:
        return [partition / name for name in read_manifest(partition).get("quarantine", ())]

    tables = _read_listed(listed, lambda files: _read_parts(files, QUARANTINE))
    return pa.concat_tables([QUARANTINE.empty_table(), *tables]).unify_dictionaries()


def read_partition(partition: StoragePath) -> pa.Table:
    """Return the rows of one partition of SCORES."""
    partition = as_path(partition)
    tables = _read_listed(
        lambda: partition_files(partition), lambda files: _read_parts(files, SCORES)
    )
    if not tables:
        raise NotFoundError(partition, "there are no scores here", _HINT)
    return pa.concat_tables(tables, promote_options="default")


def read_scores(scores: StoragePath, columns: list[str] | None = None) -> pa.Table:
    """Return all partitions of a SCORES folder, with their `run_date`."""
    scores = as_path(scores)
    return _read_listed(
        lambda: _all_files(scores), lambda files: _dataset(scores, files).to_table(columns)
    )


def open_scores(scores: StoragePath) -> ds.Dataset:
    """Return the partitions of a SCORES folder, with their `run_date`, yet to be read."""
    scores = as_path(scores)
    return _read_listed(lambda: _all_files(scores), lambda files: _dataset(scores, files))


def _read_listed(
    list_files: Callable[[], list[StoragePath]], read: Callable[[list[StoragePath]], Found]
) -> Found:
    """Read the files that manifests list, again and by the new list if one has been replaced."""
    files = list_files()
    while True:
        try:
            return read(files)
        except FileNotFoundError:
            newer = list_files()
            if newer == files:
                raise
            files = newer


def _read_parts(files: list[StoragePath], schema: pa.Schema) -> list[pa.Table]:
    tables = []
    for path in files:
        with open_parquet(path) as parquet:
            check_schema(parquet.schema_arrow, schema, path)
            tables.append(parquet.read())
    return tables


def _all_files(scores: StoragePath) -> list[StoragePath]:
    partitions = sorted(scores.glob("run_date=*"))
    return [file for partition in partitions for file in partition_files(partition)]


def _dataset(scores: StoragePath, files: list[StoragePath]) -> ds.Dataset:
    if not files:
        raise NotFoundError(scores, "there are no scores here", _HINT)
    is_remote = isinstance(scores, RemotePath)
    found = ds.dataset(
        [file.key if isinstance(file, RemotePath) else str(file) for file in files],
        format="parquet",
        partitioning="hive",
        filesystem=scores.filesystem if is_remote else None,
        partition_base_dir=scores.key if is_remote else str(scores),
    )
    check_schema(found.schema, SCORES, scores)
    # The schema is that of the oldest day: columns that came later are null there.
    later = [field for field in SCORES if field.name not in found.schema.names]
    return found.replace_schema(pa.schema([*found.schema, *later], found.schema.metadata))


_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def for_spreadsheets(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose texts no spreadsheet takes for a formula when its CSV is opened.

    An apostrophe before the text is what spreadsheets themselves use to say "text".
    """
    texts = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    return frame.assign(**{str(name): frame[name].map(_shield) for name in texts})


def _shield(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
