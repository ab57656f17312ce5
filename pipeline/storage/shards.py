"""Cut inputs into shards, in a fixed order.

A shard is a run of row groups of a store's parts, or a run of raw logs. It is what a worker takes,
and what needn't be done again after a crash; within it sessions still come some thousands at a
time, so that its size decides nothing about memory.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from pipeline.ingest.find import FoundFile, find_files
from pipeline.ingest.parse import NO_COLUMNS, ParsedLog, parse_files
from pipeline.ingest.report import ShardReport
from pipeline.readers import AUTO
from pipeline.schemas import SESSIONS, check_schema
from pipeline.sessions.recorder import name_recorders
from pipeline.sessions.sessions import Sessions
from pipeline.storage.paths import RemotePath, StoragePath, open_parquet, remove_tree
from pipeline.storage.publish import lock, remove_if_empty, staging_folder, write_json
from pipeline.storage.store import is_store, part_paths, read_row_groups

SHARD_SESSIONS: Final = 16_384
SHARD_BYTES: Final = 256 * 2**20  # of row groups, unpacked
SHARD_LOG_BYTES: Final = 64 * 2**20  # of raw logs, as they lie on the disk


@dataclass(frozen=True)
class RowGroups:
    """Row groups `first` to before `stop` of a store's part."""

    path: StoragePath
    first: int
    stop: int


@dataclass(frozen=True)
class Shard:
    """Part of one input; shards are numbered in the order of the table."""

    number: int
    source: int  # which of the inputs it is of
    pieces: tuple[RowGroups | FoundFile, ...]
    n_sessions: int  # 0: nobody knows before it is read

    @property
    def is_of_store(self) -> bool:
        """Return whether its sessions come from a store, not from raw logs."""
        return isinstance(self.pieces[0], RowGroups)

    @property
    def logs(self) -> list[FoundFile]:
        """Return its raw logs."""
        return [piece for piece in self.pieces if isinstance(piece, FoundFile)]


def plan_shards(paths: Sequence[StoragePath]) -> list[Shard]:
    """Return the shards of stores and raw logs; the same inputs give the same ones."""
    shards: list[Shard] = []
    for source, path in enumerate(paths):
        pieces = _row_groups(path) if is_store(path) else _logs(path)
        for chosen in _bundles(pieces):
            n_sessions = sum(piece.n_sessions for piece in chosen)
            shards.append(Shard(len(shards), source, _joined(chosen), n_sessions))
    return shards


def read_shard(
    shard: Shard,
    format: str = AUTO,
    columns: Mapping[str, str] = NO_COLUMNS,
    report: ShardReport | None = None,
    recorder: str = "",
) -> Iterator[Sessions]:
    """Give the sessions of a shard, some thousands at a time, in a fixed order.

    What became of each raw log is added to `report`; `recorder` names what wrote them.
    """
    for piece in shard.pieces:
        if isinstance(piece, RowGroups):
            yield from read_row_groups(piece.path, range(piece.first, piece.stop))
    for log in parse_files(shard.logs, format, columns):
        if recorder and isinstance(log, ParsedLog):
            log = replace(log, sessions=name_recorders(log.sessions, recorder))
        if report is not None:
            report.add(log)
        if isinstance(log, ParsedLog):
            yield log.sessions


def inputs_digest(shards: Sequence[Shard], settings: Mapping[str, object]) -> str:
    """Return a hash that changes when an input, its division or a setting does.

    A file counts as changed when its size or the time of its last change differs.
    """
    described = [[shard.source, [_described(piece) for piece in shard.pieces]] for shard in shards]
    text = json.dumps([described, dict(settings)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Weighed:
    """A piece with what bounds a shard."""

    piece: RowGroups | FoundFile
    n_sessions: int
    share: float  # of a full shard


def _row_groups(store: StoragePath) -> Iterator[_Weighed]:
    """Give each row group of a store."""
    for path in part_paths(store):
        with open_parquet(path) as parquet:
            check_schema(parquet.schema_arrow, SESSIONS, path)
            for i in range(parquet.num_row_groups):
                group = parquet.metadata.row_group(i)
                share = max(group.num_rows / SHARD_SESSIONS, group.total_byte_size / SHARD_BYTES)
                yield _Weighed(RowGroups(path, i, i + 1), group.num_rows, share)


def _logs(path: StoragePath) -> Iterator[_Weighed]:
    """Give each file of a log or a folder of logs."""
    for found in find_files([path]):
        yield _Weighed(found, 0, found.path.stat().st_size / SHARD_LOG_BYTES)


def _bundles(pieces: Iterator[_Weighed]) -> Iterator[list[_Weighed]]:
    """Put pieces together until a shard is full."""
    bundle: list[_Weighed] = []
    for piece in pieces:
        if bundle and sum(other.share for other in bundle) + piece.share > 1:
            yield bundle
            bundle = []
        bundle.append(piece)
    if bundle:
        yield bundle


def _joined(bundle: Sequence[_Weighed]) -> tuple[RowGroups | FoundFile, ...]:
    """Return the pieces, with neighbouring row groups of one part as one."""
    joined: list[RowGroups | FoundFile] = []
    for piece in (weighed.piece for weighed in bundle):
        last = joined[-1] if joined else None
        if isinstance(piece, RowGroups) and isinstance(last, RowGroups) and last.path == piece.path:
            joined[-1] = RowGroups(last.path, last.first, piece.stop)
        else:
            joined.append(piece)
    return tuple(joined)


def _described(piece: RowGroups | FoundFile) -> list[object]:
    stat = piece.path.stat()
    groups = [piece.first, piece.stop] if isinstance(piece, RowGroups) else []
    return [str(piece.path), stat.st_size, stat.st_mtime_ns, *groups]


@dataclass(frozen=True)
class StagedShards:
    """Where the shards of one run lie."""

    folder: StoragePath

    def part(self, number: int) -> StoragePath:
        """Return the path of a shard's scores."""
        return self.folder / f"shard-{number:05}.parquet"

    def recordings(self, number: int) -> StoragePath:
        """Return the path of a shard's recordings."""
        return self.folder / f"shard-{number:05}.npz"

    def rejected(self, number: int) -> StoragePath:
        """Return the path of the rows of a shard's raw logs that were rejected."""
        return self.folder / f"shard-{number:05}.rejected.parquet"

    def result(self, number: int) -> StoragePath:
        """Return the path of the file that says that a shard is finished."""
        return self.folder / f"shard-{number:05}.json"

    @property
    def partition(self) -> StoragePath:
        """Return the path of the partition in the making."""
        return self.folder / "partition"

    def finish(self, number: int, result: Mapping[str, object]) -> None:
        """Write down that a shard is finished, and what is to be known of it.

        Nobody waits for the disk: hashes show whether a power cut left all of its files.
        """
        note = {"result": result, "sha256": self._hashes(number)}
        write_json(note, self.result(number), flush=False)

    def read_result(self, number: int) -> dict | None:
        """Return what `finish` wrote; None: the shard isn't finished."""
        note = _read_note(self.result(number))
        return None if note is None else note["result"]

    def is_whole(self, number: int) -> bool:
        """Return whether a shard is finished, and its files are those that were written."""
        note = _read_note(self.result(number))
        return note is not None and note["sha256"] == self._hashes(number)

    def _hashes(self, number: int) -> dict[str, str]:
        """Return the hashes of a shard's files; an object store never leaves half of one."""
        if isinstance(self.folder, RemotePath):
            return {}
        paths = (self.part(number), self.recordings(number), self.rejected(number))
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in paths
            if path.exists()
        }


def _read_note(path: StoragePath) -> dict | None:
    """Return what is in a JSON file; None: it isn't there, or not whole."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


@contextmanager
def alone_with(target: StoragePath) -> Iterator[None]:
    """Hold the lock of one partition: others of the table can be made at the same time."""
    folder = staging_folder(target.parent)
    try:
        with lock(folder / target.name):
            yield
    finally:
        remove_if_empty(folder)


def open_staged(
    target: StoragePath, digest: str, begun: Mapping[str, str]
) -> tuple[StagedShards, dict[str, str]]:
    """Return the staged shards of a run for partition `target`, and how it was begun.

    `begun` counts if this is the first try. What other runs left of this partition is taken
    away: the caller holds the partition's lock.
    """
    folder = staging_folder(target.parent) / f"{target.name}-{digest}"
    for other in folder.parent.glob(f"{target.name}-*"):
        if other != folder and not other.name.endswith(".lock"):
            _drop(other)
    path = folder / "begun.json"
    before = _read_note(path)
    if before is None:
        if folder.exists():
            _drop(folder)
        write_json(begun, path, flush=False)
    return StagedShards(folder), before or dict(begun)


def drop_staged(staged: StagedShards) -> None:
    """Take a run's shards away: they are published."""
    _drop(staged.folder)
    remove_if_empty(staged.folder.parent)


def _drop(folder: StoragePath) -> None:
    """Take a folder away, first what says that its shards are finished: this may be killed too."""
    for note in folder.glob("shard-*.json"):
        note.unlink()
    remove_tree(folder)
