"""Staged shards in, a partition out: doubles left out, replays marked, counted, published."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool

from pipeline.doubles import digests, find_doubles
from pipeline.errors import DataError
from pipeline.publish import publish_partition, seal, write_parquet
from pipeline.replay.evidence import Evidence
from pipeline.replay.verdict import with_replays
from pipeline.schemas import SCORES
from pipeline.shards import Shard
from pipeline.staged import StagedShards


@dataclass(frozen=True)
class Replays:
    """Evidence on the sessions of each shard in turn, and what turns it into a verdict."""

    evidence: Iterable[Evidence]
    base_rate: float
    medium_threshold: float


def gather(
    staged: StagedShards,
    shards: Sequence[Shard],
    target: Path,
    manifest: Mapping[str, object],
    replays: Replays | None = None,
) -> dict[str, int]:
    """Put the partition together from finished shards, publish it, and return its counts."""
    kept = _rows_kept(staged, shards)
    counts = dict.fromkeys(("n_sessions", "n_flagged", "n_abstained", "n_replays"), 0)
    evidence = iter(replays.evidence) if replays else None
    _clear(staged.partition)
    files = []
    for shard, is_kept in zip(shards, kept, strict=True):
        path = staged.partition / f"part-{shard.number:05}.parquet"
        with pq.ParquetFile(staged.part(shard.number)) as parquet:
            table = parquet.read()
        is_changed = replays is not None or not is_kept.all()
        if replays is not None and evidence is not None:
            table = with_replays(table, next(evidence), replays.base_rate, replays.medium_threshold)
        table = table.filter(pa.array(is_kept))
        write_parquet(table, path) if is_changed else _link(staged.part(shard.number), path)
        files.append(path.name)
        for name, n in _counts(table).items():
            counts[name] += n
    if not shards:
        files = [write_parquet(SCORES.empty_table(), staged.partition / "part-00000.parquet").name]
    seal(staged.partition, {**manifest, **counts, "files": files})
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


def _session_ids(staged: StagedShards, shard: Shard) -> list[str]:
    with pq.ParquetFile(staged.part(shard.number)) as parquet:
        return parquet.read(columns=["session_id"])["session_id"].to_pylist()


def _counts(table: pa.Table) -> dict[str, int]:
    """Return what the manifest says of these rows."""
    return {
        "n_sessions": table.num_rows,
        "n_flagged": pc.sum(table["is_flagged"]).as_py() or 0,
        "n_abstained": table["fraud_score"].null_count,
        "n_replays": table.num_rows - table["replay_of"].null_count,
    }


def _clear(folder: Path) -> None:
    """Make an empty folder: what a crash left in it is put together anew."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()


def _link(source: Path, path: Path) -> None:
    """Give a file a second name; the first one stays, for a run that is cut short now."""
    os.link(source, path)
