"""Finished shards on disk, until all are there: what a crash leaves, the next run goes on from.

    SCORES.staging/run_date=2026-11-01-<digest>/
        begun.json                what the run is called, when it began
        shard-00000.parquet       SCORES of the first shard
        shard-00000.npz           its recordings, if replays are searched for
        shard-00000.rejected.parquet  QUARANTINE of its raw logs, if rows were rejected
        shard-00000.json          it is finished: written last
        partition/                what is published, put together at the end

The digest is of the inputs, the model and the settings: with others, nothing is left to go on from.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.places import remove_tree
from pipeline.publish import lock, remove_if_empty, staging_folder, write_json


@dataclass(frozen=True)
class StagedShards:
    """Where the shards of one run lie."""

    folder: Path

    def part(self, number: int) -> Path:
        """Return the path of a shard's scores."""
        return self.folder / f"shard-{number:05}.parquet"

    def recordings(self, number: int) -> Path:
        """Return the path of a shard's recordings."""
        return self.folder / f"shard-{number:05}.npz"

    def rejected(self, number: int) -> Path:
        """Return the path of the rows of a shard's raw logs that were rejected."""
        return self.folder / f"shard-{number:05}.rejected.parquet"

    def note(self, number: int) -> Path:
        """Return the path of the file that says that a shard is finished."""
        return self.folder / f"shard-{number:05}.json"

    @property
    def partition(self) -> Path:
        """Return the path of the partition in the making."""
        return self.folder / "partition"

    def finish(self, number: int, note: Mapping[str, object]) -> None:
        """Write down that a shard is finished, and what is to be known of it."""
        write_json(note, self.note(number))

    def read_note(self, number: int) -> dict | None:
        """Return what `finish` wrote; None: the shard isn't finished."""
        path = self.note(number)
        return json.loads(path.read_text()) if path.exists() else None


@contextmanager
def alone_with(target: Path) -> Iterator[None]:
    """Hold the lock of one partition: others of the table can be made at the same time."""
    folder = staging_folder(target.parent)
    try:
        with lock(folder / target.name):
            yield
    finally:
        remove_if_empty(folder)


def open_staged(
    target: Path, digest: str, begun: Mapping[str, str]
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
    if not path.exists():
        write_json(begun, path)
    return StagedShards(folder), json.loads(path.read_text())


def drop_staged(staged: StagedShards) -> None:
    """Take a run's shards away: they are published."""
    _drop(staged.folder)
    remove_if_empty(staged.folder.parent)


def _drop(folder: Path) -> None:
    """Take a folder away, first what says that its shards are finished: this may be killed too."""
    for note in folder.glob("shard-*.json"):
        note.unlink()
    remove_tree(folder)
