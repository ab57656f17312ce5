"""Published partitions in, their rows out: by the manifest, which is the one thing that switches.

On a disk a partition is a folder that is replaced at once, and its manifest lists what lies in it.
In an object store old parts lie beside new ones for some seconds, and only the manifest tells which
are which. A reader of this module sees one or the other, whole.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from pipeline.errors import NotFoundError
from pipeline.schemas import QUARANTINE, SCORES, check_schema
from pipeline.storage.paths import RemotePath, StoragePath, as_path, open_parquet
from pipeline.storage.publish import MANIFEST

_HINT = "`pointerprint score LOG --model RUN --to SCORES` makes some"
_TRIES = 20  # while others replace it, again and again
_PAUSE_S = 0.1


def partition_files(partition: StoragePath) -> list[StoragePath]:
    """Return the parts of a partition, in order; without a manifest, all there are."""
    path = partition / MANIFEST
    listed = json.loads(path.read_text()).get("files") if path.is_file() else None
    if listed is None:
        return sorted(partition.glob("*.parquet"))
    return [partition / name for name in listed]


def read_manifest(partition: StoragePath) -> dict[str, Any]:
    """Return what a partition says of itself."""
    return json.loads((as_path(partition) / MANIFEST).read_text())


def read_quarantine(partition: StoragePath) -> pa.Table:
    """Return the rows of raw logs that were rejected when this partition of SCORES was made."""

    def read() -> pa.Table:
        tables = [QUARANTINE.empty_table()]
        for name in read_manifest(partition).get("quarantine", ()):
            with open_parquet(as_path(partition) / name) as parquet:
                check_schema(parquet.schema_arrow, QUARANTINE, name)
                tables.append(parquet.read())
        return pa.concat_tables(tables).unify_dictionaries()

    return _again_if_replaced(read)


def read_partition(partition: StoragePath) -> pa.Table:
    """Return the rows of one partition of SCORES."""
    return _again_if_replaced(lambda: _read(as_path(partition)))


def _again_if_replaced(read: Callable[[], pa.Table]) -> pa.Table:
    """Read once more if parts are gone that the manifest listed: it was replaced in between."""
    for _ in range(_TRIES - 1):
        with suppress(FileNotFoundError):
            return read()
        time.sleep(_PAUSE_S)
    return read()


def _read(partition: StoragePath) -> pa.Table:
    tables = []
    for path in partition_files(partition):
        with open_parquet(path) as parquet:
            check_schema(parquet.schema_arrow, SCORES, path)
            tables.append(parquet.read())
    if not tables:
        raise NotFoundError(partition, "there are no scores here", _HINT)
    return pa.concat_tables(tables, promote_options="default")


def open_scores(scores: StoragePath) -> ds.Dataset:
    """Return the partitions of a SCORES folder, with their `run_date`, yet to be read."""
    scores = as_path(scores)
    partitions = sorted(scores.glob("run_date=*"))
    files = [file for partition in partitions for file in partition_files(partition)]
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


def read_scores(scores: StoragePath) -> pa.Table:
    """Return all partitions of a SCORES folder, with their `run_date`."""
    return _again_if_replaced(lambda: open_scores(scores).to_table())


_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def for_spreadsheets(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose words no spreadsheet takes for a formula when its CSV is opened.

    An apostrophe before the word is what spreadsheets themselves use to say "text".
    """
    words = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    return frame.assign(**{str(name): frame[name].map(_as_text) for name in words})


def _as_text(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
