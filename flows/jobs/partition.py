"""Shards in, a published partition out, whatever scores them and however often it is killed.

Shards that are staged already are left as they are. When all are there, doubles are left out,
replays marked, and all goes into one file: who opens it has one version of the day, however many
row groups it reads.
"""

import logging
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from pipeline.doubles import digests, find_doubles
from pipeline.errors import DataError
from pipeline.places import open_parquet, remove_tree
from pipeline.publish import publish_partition, seal, write_parquet
from pipeline.replay.evidence import Evidence
from pipeline.replay.verdict import with_replays
from pipeline.schemas import SCORES
from pipeline.shards import Shard
from pipeline.staged import StagedShards, alone_with, drop_staged, open_staged

log = logging.getLogger(__name__)

PART = "part-00000.parquet"


@dataclass(frozen=True)
class Begun:
    """A run that was begun, now or before a crash."""

    staged: StagedShards
    run_id: str
    scored_at: datetime  # UTC


@dataclass(frozen=True)
class Replays:
    """Evidence on the sessions of each shard in turn, and what turns it into a verdict."""

    evidence: Iterable[Evidence]
    base_rate: float
    medium_threshold: float


def make_partition(
    target: Path,
    shards: Sequence[Shard],
    digest: str,
    score_missing: Callable[[Begun, Sequence[Shard]], None],
    manifest: Mapping[str, object],
    search: Callable[[Begun], Replays | None] = lambda begun: None,
) -> dict[str, int]:
    """Publish `target`, and return its counts.

    `score_missing` stages the shards it is given; `digest` says what they depend on, so that those
    of a run that was killed are taken only if they would be the same.
    """
    begun = {"run_id": uuid.uuid4().hex, "scored_at": datetime.now(UTC).isoformat()}
    with alone_with(target):
        staged, begun = open_staged(target, digest, begun)
        run = Begun(staged, begun["run_id"], datetime.fromisoformat(begun["scored_at"]))
        missing = [shard for shard in shards if staged.read_note(shard.number) is None]
        if len(missing) < len(shards):
            log.info("%d of %d shards are there already", len(shards) - len(missing), len(shards))
        try:
            score_missing(run, missing)
            counts = _gather(staged, shards, target, {**manifest, **begun}, search(run))
        except DataError:  # no second try with these inputs would come to another end
            drop_staged(staged)
            raise
        drop_staged(staged)
    return counts


def _gather(
    staged: StagedShards,
    shards: Sequence[Shard],
    target: Path,
    manifest: Mapping[str, object],
    replays: Replays | None,
) -> dict[str, int]:
    """Put the partition together from finished shards, publish it, and return its counts."""
    counts: dict[str, int] = dict.fromkeys(
        ("n_sessions", "n_flagged", "n_abstained", "n_replays"), 0
    )
    kept = _rows_kept(staged, shards)

    def tables() -> Iterator[pa.Table]:
        evidence = iter(replays.evidence) if replays else None
        for shard, is_kept in zip(shards, kept, strict=True):
            table = _rows(staged, shard)
            if replays is not None and evidence is not None:
                told = next(evidence)
                table = with_replays(table, told, replays.base_rate, replays.medium_threshold)
            table = table.filter(pa.array(is_kept))
            for name, n in _counts(table).items():
                counts[name] += n
            yield table
        if not shards:
            yield SCORES.empty_table()

    remove_tree(staged.partition, ignore_errors=True)  # what a crash left of it
    staged.partition.mkdir(parents=True)
    write_parquet(tables(), staged.partition / PART)
    seal(staged.partition, {**manifest, **counts, "files": [PART]})
    publish_partition(staged.partition, target)
    return counts


def _rows_kept(
    staged: StagedShards, shards: Sequence[Shard]
) -> list[Bool[np.ndarray, " sessions"]]:
    """Return which rows of each shard stay: of a session that is in two logs, the first.

    One that is in two inputs is an error: which of them is meant, nobody can say.
    """
    digest = [digests(_session_ids(staged, shard)) for shard in shards]
    starts = np.cumsum([0, *map(len, digest)])
    later, first = find_doubles(np.concatenate([np.zeros(0, "S16"), *digest]))
    source = np.repeat([shard.source for shard in shards], np.diff(starts))
    is_odd = source[later] != source[first]
    if is_odd.any():
        row = later[is_odd][0]
        shard = int(np.searchsorted(starts, row, side="right")) - 1
        name = _session_ids(staged, shards[shard])[row - starts[shard]]
        raise DataError(
            "score",
            f"session {name!r} is in more than one input ({is_odd.sum()} such sessions)",
            "score the inputs apart, or ingest them into one store",
        )
    is_kept = np.ones(starts[-1], bool)
    is_kept[later] = False
    return np.split(is_kept, starts[1:-1]) if shards else []


def _rows(staged: StagedShards, shard: Shard) -> pa.Table:
    with open_parquet(staged.part(shard.number)) as parquet:
        return parquet.read()


def _session_ids(staged: StagedShards, shard: Shard) -> list[str]:
    with open_parquet(staged.part(shard.number)) as parquet:
        return parquet.read(columns=["session_id"])["session_id"].to_pylist()


def _counts(table: pa.Table) -> dict[str, int]:
    """Return what the manifest says of these rows."""
    return {
        "n_sessions": table.num_rows,
        "n_flagged": int(table["is_flagged"].to_numpy().sum()),
        "n_abstained": table["fraud_score"].null_count,
        "n_replays": table.num_rows - table["replay_of"].null_count,
    }
