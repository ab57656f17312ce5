"""Write tables and files whole or not at all: no reader ever sees half of one.

A file is written under another name and renamed; a file for an object store is written on this
machine's disk and uploaded as one object. A partition, a folder of files, is made in a staging
folder beside its table, so that nothing but partitions ever lies in the table:

    SCORES.staging/run_date=2026-11-01-7f3a.../   ->   SCORES/run_date=2026-11-01/

`publish_partition` puts it in its place in one of two ways. On a disk the names of the old and the
new folder are exchanged, because plain `pd.read_parquet("scores")` lists the folder and reads
whatever is there: it knows of no manifest, so old and new parts must never lie side by side. An
object store has no folders to rename. There the new parts are put beside the old ones under names
of their own; then `_manifest.json`, which lists them, is replaced as one object; then the old parts
are deleted. A reader must follow the manifest there, as `pipeline.scores.partitions` does.
"""

import ctypes
import errno
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
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

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
_LAST: Final = (MANIFEST, SUCCESS)  # written after all others
_LISTS: Final = ("files", "quarantine")  # in a manifest: the files that a reader opens
REPLACED: Final = ".replaced-"  # then the time in s, and anything
_REPLACED_STAY_S: Final = 60.0
_AT_FDCWD: Final = -100  # linux/fcntl.h: paths are relative to the working directory
_RENAME_EXCHANGE: Final = 2  # linux/fs.h


def write_parquet(
    tables: pa.Table | Iterable[pa.Table], path: StoragePath, flush: bool = True
) -> StoragePath:
    """Write a table, or several of one schema each as a row group, and return `path`."""
    parts: Iterator[pa.Table] = iter([tables] if isinstance(tables, pa.Table) else tables)
    first = next(parts, None)
    if first is None:
        raise PublishError(path, "there is no table to write", "give an empty one")
    with parquet_writer(path, first.schema, flush) as writer:
        for table in chain([first], parts):
            writer.write_table(table, row_group_size=max(table.num_rows, 1))
    return path


@contextmanager
def parquet_writer(
    path: StoragePath, schema: pa.Schema, flush: bool = True
) -> Iterator[pq.ParquetWriter]:
    """Give a writer of tables of one schema; what it wrote replaces `path` at the end."""
    with (
        replacing(path, flush) as unfinished,
        pq.ParquetWriter(unfinished, schema, compression="zstd") as writer,
    ):
        yield writer


def write_json(content: Mapping[str, object], path: StoragePath, flush: bool = True) -> StoragePath:
    """Write a JSON file and return `path`."""
    with replacing(path, flush) as unfinished:
        unfinished.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    return path


@contextmanager
def replacing(path: StoragePath, flush: bool = True) -> Iterator[Path]:
    """Give a hidden name beside `path` to write to; it replaces `path` at the end.

    Without `flush` nobody waits for the disk: a power cut may leave less than was written, and
    who reads it must notice. For an object store it is a file on this machine's disk, which is
    uploaded at the end.
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
            if flush:
                _flush(unfinished)
            unfinished.replace(path)
            if flush:
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
    """Remove a folder if nothing is in it."""
    if isinstance(folder, RemotePath):
        if not any(folder.iterdir()):
            remove_tree(folder)
        return
    try:
        folder.rmdir()
    except OSError as error:
        # Another writer's partition is in the making there, or has just removed it.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise


def seal(staged: StoragePath, manifest: Mapping[str, object]) -> None:
    """Write `_manifest.json`, and last `_SUCCESS`: the files in `staged` are complete."""
    write_json(manifest, staged / MANIFEST)
    (staged / SUCCESS).touch()


def publish_partition(staged: StoragePath, target: StoragePath) -> StoragePath:
    """Put the sealed folder `staged` in the place of `target`, and return `target`."""
    if not (staged / SUCCESS).is_file():
        raise PublishError(target, f"{staged} has no {SUCCESS}: it is not complete")
    if isinstance(target, RemotePath):
        _publish_by_manifest(staged, target)
        return target
    try:
        _publish_by_rename(require_local(staged, str(target)), target)
    except OSError as error:
        raise PublishError(target, f"it can't be published: {error}") from error
    return target


def _publish_by_rename(staged: Path, target: Path) -> None:
    """Exchange the names of two folders, which Linux does in one step.

    Elsewhere two renames have to do, and between them, for some microseconds, there is no `target`.
    The old folder isn't emptied now, since a reader that had begun to list it would miss its
    files: it stays hidden in the staging folder until something is published later.
    """
    _flush(staged)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = next((p for p in staged.parents if p.suffix == ".staging"), staged.parent)
    _drop_replaced(folder)
    old = folder / f"{REPLACED}{time.time():.0f}-{uuid.uuid4().hex}"
    if not target.exists():
        staged.rename(target)
    elif exchange(staged, target):
        staged.rename(old)
    else:
        target.rename(old)
        try:
            staged.rename(target)
        except OSError:
            old.rename(target)
            raise
    _flush(target.parent)


def _drop_replaced(folder: Path) -> None:
    """Remove the folders that were replaced so long ago that no reader still lists them."""
    for old in folder.glob(f"{REPLACED}*"):
        if time.time() - float(old.name.split("-")[1]) > _REPLACED_STAY_S:
            shutil.rmtree(old, ignore_errors=True)


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders at once; return whether this system can."""
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


def _publish_by_manifest(staged: StoragePath, target: RemotePath) -> None:
    """Put the files of `staged` beside those of `target`, then the manifest, then clean up.

    Files that the manifest lists get names that no other publishing gives; the old ones stay as
    they are until the new manifest is there.
    """
    mark = uuid.uuid4().hex[:8]
    path = staged / MANIFEST
    manifest = json.loads(path.read_text()) if path.is_file() else {}
    lists = {key: manifest[key] for key in _LISTS if key in manifest}
    listed = {name: _marked(name, mark) for names in lists.values() for name in names}
    kept = {target / name for name in _LAST}
    for source in sorted(p for p in staged.rglob("*") if p.is_file()):
        name = relative_path(source, staged).as_posix()
        if name in _LAST:
            continue
        destination = target / listed.get(name, name)
        if isinstance(source, RemotePath):
            source.copy_to(destination)
        else:
            destination.upload(source)
        kept.add(destination)
    if manifest:
        new_lists = {key: [listed[name] for name in names] for key, names in lists.items()}
        write_json({**manifest, **new_lists}, target / MANIFEST)
    (target / SUCCESS).touch()
    for old in target.rglob("*"):
        if old not in kept and old.is_file():
            old.unlink()


def _marked(name: str, mark: str) -> str:
    """Return `part-00000.parquet` as `part-00000-<mark>.parquet`."""
    stem, dot, suffix = name.partition(".")
    return f"{stem}-{mark}{dot}{suffix}"


@contextmanager
def lock(path: StoragePath) -> Iterator[None]:
    """Hold the sibling `PATH.lock`, and wait while another process holds it.

    The system releases it when the process ends, however that comes about. The file is removed
    by whoever held it; one that a crash left blocks nobody. An object store has no locks: there
    only the writers on this machine are kept apart.
    """
    if isinstance(path, RemotePath):
        digest = hashlib.sha256(str(path).encode()).hexdigest()[:16]
        name = Path(tempfile.gettempdir(), f"pointerprint-{digest}.lock")
    else:
        name = path.with_name(f"{path.name}.lock")
    try:
        held = _acquire(name)
    except OSError as error:
        raise PublishError(path, f"it can't be locked: {error}") from error
    try:
        yield
    finally:
        name.unlink(missing_ok=True)  # while it is held: whoever waits sees that it is gone
        held.release()


def _acquire(name: Path) -> FileLock:
    """Return the held lock of the file `name`."""
    # Not the fallback for file systems without locks: its lock would outlive a killed process.
    held = FileLock(name, thread_local=False, fallback_to_soft=False)
    is_logged = False
    while True:
        try:
            name.parent.mkdir(parents=True, exist_ok=True)
            held.acquire(timeout=-1 if is_logged else 0)
            return held
        except FileNotFoundError:
            continue  # another process has just removed the folder, since it was empty
        except Timeout:
            log.info("waiting for another process, which holds %s", name)
            is_logged = True
