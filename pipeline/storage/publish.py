"""Tables in, files out, whole or not at all: no reader ever sees half of one.

A file is written under another name and renamed. A partition, a folder of files, is made
in a sibling of the table's folder, so that nothing but partitions ever lies in it:

    SCORES.staging/run_date=2026-11-01-7f3a.../   ->   SCORES/run_date=2026-11-01/

An object store has no names to exchange. There the parts of a partition are put beside the old
ones, under names of their own; then `_manifest.json`, which lists them, is replaced, as one object
whole or not at all; then the old ones are deleted. Who reads by the manifest sees one or the other
(`pipeline.scores.partitions`).
"""

import ctypes
import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import PublishError
from pipeline.storage.paths import (
    RemotePath,
    StoragePath,
    relative_path,
    remove_tree,
    require_local,
)

log = logging.getLogger(__name__)

MANIFEST: Final = "_manifest.json"
SUCCESS: Final = "_SUCCESS"
LAST: Final = (MANIFEST, SUCCESS)  # written after all others
LISTS: Final = ("files", "quarantine")  # in a manifest: what a reader opens
_LISTED_WITHIN_S = 0.05  # a folder whose listing has begun
_AT_FDCWD = -100  # linux/fcntl.h: paths are relative to the working directory
_RENAME_EXCHANGE = 2  # linux/fs.h


def write_parquet(tables: pa.Table | Iterable[pa.Table], path: StoragePath) -> StoragePath:
    """Write a table, or several of one schema each as a row group, and return `path`."""
    parts: Iterator[pa.Table] = iter([tables] if isinstance(tables, pa.Table) else tables)
    first = next(parts, None)
    if first is None:
        raise PublishError(path, "there is no table to write", "give an empty one")
    with parquet_writer(path, first.schema) as writer:
        for table in chain([first], parts):
            writer.write_table(table, row_group_size=max(table.num_rows, 1))
    return path


@contextmanager
def parquet_writer(path: StoragePath, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Give a writer of tables of one schema; what it wrote takes the place of `path` at the end."""
    with (
        replacing(path) as unfinished,
        pq.ParquetWriter(unfinished, schema, compression="zstd") as writer,
    ):
        yield writer


def write_json(content: Mapping[str, object], path: StoragePath) -> StoragePath:
    """Write a JSON file and return `path`."""
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    return path


@contextmanager
def replacing(path: StoragePath) -> Iterator[Path]:
    """Give a hidden name beside `path` to write to; it takes the place of `path` at the end.

    For an object store it is a file on this machine's disk, which is uploaded at the end.
    """
    if isinstance(path, RemotePath):
        with tempfile.TemporaryDirectory(prefix="pointerprint-") as folder:
            unfinished = Path(folder, path.name)
            yield unfinished
            path.upload(unfinished)
        return
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield unfinished
            _flush(unfinished)
            unfinished.replace(path)
            _flush(path.parent)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise PublishError(path, f"it can't be written: {error}") from error


def _flush(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def staging(target: StoragePath, table: StoragePath) -> Iterator[Path]:
    """Give an empty folder beside `table` in which to make `target`; it is gone at the end.

    For an object store it is a folder on this machine's disk.
    """
    if isinstance(table, RemotePath):
        with tempfile.TemporaryDirectory(prefix="pointerprint-") as folder:
            yield Path(folder)
        return
    staged = require_local(staging_folder(table), "staging") / f"{target.name}-{uuid.uuid4().hex}"
    try:
        staged.mkdir(parents=True)
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        remove_if_empty(staged.parent)


def staging_folder(table: StoragePath) -> StoragePath:
    """Return the folder beside `table` in which its partitions are made."""
    table = table.resolve()
    return table.with_name(f"{table.name}.staging")


def remove_if_empty(folder: StoragePath) -> None:
    """Take a folder away if nothing is in it."""
    if isinstance(folder, RemotePath):
        if not any(folder.iterdir()):
            remove_tree(folder)
        return
    try:
        folder.rmdir()
    except OSError as error:
        # Another writer's partition is in the making there, or has just taken it away.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise


def seal(staged: StoragePath, manifest: Mapping[str, object]) -> None:
    """Write `_manifest.json`, and last `_SUCCESS`: what lies in `staged` is complete."""
    write_json(manifest, staged / MANIFEST)
    (staged / SUCCESS).touch()


def publish_partition(staged: StoragePath, target: StoragePath) -> StoragePath:
    """Put the sealed folder `staged` in the place of `target`, and return `target`.

    Linux exchanges two names in one step. Elsewhere two renames have to do, and between
    them, for some microseconds, there is no `target`. The old folder stays for a moment longer:
    who had begun to list it would find it emptied.
    """
    if not (staged / SUCCESS).is_file():
        raise PublishError(target, f"{staged} has no {SUCCESS}: it is not complete")
    if isinstance(target, RemotePath):
        _publish_by_manifest(staged, target)
        return target
    staged = require_local(staged, str(target))
    _flush(staged)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            staged.rename(target)
        elif exchange(staged, target):
            time.sleep(_LISTED_WITHIN_S)
            shutil.rmtree(staged)
        else:
            _replace_in_two_steps(staged, target)
        _flush(target.parent)
    except OSError as error:
        raise PublishError(target, f"it can't be published: {error}") from error
    return target


def _publish_by_manifest(staged: StoragePath, target: RemotePath) -> None:
    """Put the files of `staged` beside those of `target`, then the manifest, then clear up.

    Files that the manifest lists get names that no other publishing gives; what is already
    there stays as it is until the new manifest is.
    """
    mark = uuid.uuid4().hex[:8]
    path = staged / MANIFEST
    manifest = json.loads(path.read_text()) if path.is_file() else {}
    lists = {key: manifest[key] for key in LISTS if key in manifest}
    listed = {name: _marked(name, mark) for names in lists.values() for name in names}
    paths = sorted(p for p in staged.rglob("*") if p.is_file())
    names = {p: relative_path(p, staged).as_posix() for p in paths}
    put = {p: target / listed.get(name, name) for p, name in names.items() if name not in LAST}
    for source, destination in put.items():
        _copy(source, destination)
    if manifest:
        put_there = {key: [listed[name] for name in names] for key, names in lists.items()}
        write_json({**manifest, **put_there}, target / MANIFEST)
    (target / SUCCESS).touch()
    kept = {*put.values(), *(target / name for name in LAST)}
    for old in target.rglob("*"):
        if old not in kept and old.is_file():
            old.unlink()


def _marked(name: str, mark: str) -> str:
    """Return `part-00000.parquet` as `part-00000-<mark>.parquet`."""
    stem, dot, suffix = name.partition(".")
    return f"{stem}-{mark}{dot}{suffix}"


def _copy(source: StoragePath, destination: RemotePath) -> None:
    if isinstance(source, RemotePath):
        source.copy_to(destination)
    else:
        destination.upload(source)


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders at once; say whether this system can."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    names = os.fsencode(one), os.fsencode(other)
    if rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(other))


def _replace_in_two_steps(staged: Path, target: Path) -> None:
    """Rename the old folder away and the new one in; on failure put the old one back."""
    old = staged.with_name(f"{staged.name}.old")
    target.rename(old)
    try:
        staged.rename(target)
    except OSError:
        old.rename(target)
        raise
    time.sleep(_LISTED_WITHIN_S)
    shutil.rmtree(old)


@contextmanager
def lock(path: StoragePath) -> Iterator[None]:
    """Hold the sibling `PATH.lock`, and wait while another process holds it.

    An object store has no locks: there it keeps apart the writers on this machine only.

    The system lets go of it when the process ends, however that comes about. The file goes
    with the last who held it; after a crash it stays, and holds nobody up.
    """
    if isinstance(path, RemotePath):
        digest = hashlib.sha256(str(path).encode()).hexdigest()[:16]
        name = Path(tempfile.gettempdir(), f"pointerprint-{digest}.lock")
    else:
        name = path.with_name(f"{path.name}.lock")
    try:
        file = _take(name)
    except OSError as error:
        raise PublishError(path, f"it can't be locked: {error}") from error
    with file:
        try:
            yield
        finally:
            name.unlink(missing_ok=True)


def _take(name: Path) -> IO[str]:
    """Return the open file `name`, locked."""
    while True:
        name.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = name.open("a")
        except FileNotFoundError:
            continue  # the folder was taken away as empty just now
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting for another process, which holds %s", name)
            fcntl.flock(file, fcntl.LOCK_EX)
        # Whoever held it before took the name away: then what we hold is no longer its file.
        if name.exists() and os.path.samestat(name.stat(), os.fstat(file.fileno())):
            return file
        file.close()
