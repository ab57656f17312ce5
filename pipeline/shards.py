"""Inputs in, shards out: what is scored as one, in a fixed order.

A shard is a run of row groups of a store's parts, or a run of raw logs. It is what a worker takes,
and what needn't be done again after a crash; within it sessions still come some thousands at a
time, so that its size decides nothing about memory.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.logs import NO_COLUMNS, FoundFile, NotALog, ParsedLog, find_files, parse_files
from pipeline.places import open_parquet
from pipeline.readers import AUTO
from pipeline.schemas import SESSIONS, check_schema
from pipeline.sessions import Sessions
from pipeline.store import is_store, part_paths, read_row_groups

SHARD_SESSIONS: Final = 16_384
SHARD_BYTES: Final = 256 * 2**20  # of row groups, unpacked
SHARD_LOG_BYTES: Final = 64 * 2**20  # of raw logs, as they lie on the disk


@dataclass(frozen=True)
class RowGroups:
    """Row groups `first` to before `stop` of a store's part."""

    path: Path
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


def plan_shards(paths: Sequence[Path]) -> list[Shard]:
    """Return the shards of stores and raw logs; the same inputs give the same ones."""
    shards: list[Shard] = []
    for source, path in enumerate(paths):
        pieces = _row_groups(path) if is_store(path) else _logs(path)
        for chosen in _bundles(pieces):
            n_sessions = sum(piece.n_sessions for piece in chosen)
            shards.append(Shard(len(shards), source, _joined(chosen), n_sessions))
    return shards


def _untold(outcome: ParsedLog | NotALog) -> None:
    """Tell nobody."""


def read_shard(
    shard: Shard,
    format: str = AUTO,
    columns: Mapping[str, str] = NO_COLUMNS,
    tell: Callable[[ParsedLog | NotALog], None] = _untold,
) -> Iterator[Sessions]:
    """Give the sessions of a shard, some thousands at a time, in a fixed order.

    `tell` is called with what came of each raw log.
    """
    for piece in shard.pieces:
        if isinstance(piece, RowGroups):
            yield from read_row_groups(piece.path, range(piece.first, piece.stop))
    yield from parse_files(shard.logs, format, columns, tell)


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


def _row_groups(store: Path) -> Iterator[_Weighed]:
    """Give each row group of a store."""
    for path in part_paths(store):
        with open_parquet(path) as parquet:
            check_schema(parquet.schema_arrow, SESSIONS, path)
            for i in range(parquet.num_row_groups):
                group = parquet.metadata.row_group(i)
                share = max(group.num_rows / SHARD_SESSIONS, group.total_byte_size / SHARD_BYTES)
                yield _Weighed(RowGroups(path, i, i + 1), group.num_rows, share)


def _logs(path: Path) -> Iterator[_Weighed]:
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
