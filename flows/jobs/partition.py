"""Put the partition of a day together from finished shards, and publish it.

Duplicate sessions are left out, and all rows go into one file: who opens it has one version of the
day, however many row groups it reads. What raw logs had that is in no session is published beside
it; readers of the table don't see it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, Final

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from pipeline.config import AbstainIs
from pipeline.errors import DataError, printable
from pipeline.ingest.parse import DUPLICATE
from pipeline.ingest.report import duplicates_table, join_shard_reports
from pipeline.schemas import QUARANTINE, SCORES
from pipeline.scores.abstentions import Tally, abstaining_accounts, reasons_counted, with_review
from pipeline.scores.recorders import unknown_recorders, unknown_recorders_text
from pipeline.scores.starter import starter_text
from pipeline.scores.table import repeated_hashes, short_hashes
from pipeline.storage.paths import StoragePath, open_parquet, remove_tree
from pipeline.storage.publish import parquet_writer, publish_partition, seal, write_parquet
from pipeline.storage.shards import Shard, StagedShards

PART = "part-00000.parquet"
QUARANTINE_PART = "_quarantine/part-00000.parquet"
"""Readers of Parquet folders pass over what begins with an underscore."""


_COUNTS = ("n_sessions", "n_flagged", "n_abstained", "n_replays", "n_review")


def staged_scores(staged: StagedShards, shards: Sequence[Shard]) -> Iterator[pa.Table]:
    """Give the rows of each finished shard."""
    for shard in shards:
        yield _rows(staged, shard)


def publish_scores(
    staged: StagedShards,
    shards: Sequence[Shard],
    rows: Iterable[pa.Table],
    target: StoragePath,
    manifest: Mapping[str, object],
    abstain_is: AbstainIs = "review",
) -> dict[str, Any]:
    """Publish the `rows` of finished shards as partition `target`, and return its manifest.

    `manifest` says what is known of the run already; what came of it is added.
    """
    counts: Counter[str] = Counter()
    abstained: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    tally = Tally()
    kept = _rows_kept(staged, shards)

    def counted() -> Iterator[pa.Table]:
        for table, is_kept in zip(rows, kept, strict=True):
            table = with_review(table.filter(pa.array(is_kept)), abstain_is)
            counts.update(partition_counts(table))
            abstained.update(reasons_counted(table))
            unknown.update(unknown_recorders(table))
            tally.add(table)
            yield table
        if not shards:
            yield SCORES.empty_table()

    remove_tree(staged.partition, ignore_errors=True)  # what a crash left of it
    staged.partition.mkdir(parents=True)
    write_parquet(counted(), staged.partition / PART)
    n_quarantined = _write_quarantine(staged, shards, kept)
    results = [staged.read_result(shard.number) or {} for shard in shards]
    logs = [result["logs"] for result in results if result.get("logs")]
    published = {
        **manifest,
        **{name: counts[name] for name in _COUNTS},
        "n_doubles": sum(int((~is_kept).sum()) for is_kept in kept),
        "abstained": dict(sorted(abstained.items())),
        "abstaining_accounts": [asdict(account) for account in abstaining_accounts(tally)],
        "unknown_recorders": dict(sorted(unknown.items())),
        "n_quarantined": n_quarantined,
        "logs": join_shard_reports(logs).to_json() if logs else None,
        "files": [PART],
        "quarantine": [QUARANTINE_PART] if n_quarantined else [],
    }
    seal(staged.partition, published)
    publish_partition(staged.partition, target)
    return published


def _write_quarantine(
    staged: StagedShards, shards: Sequence[Shard], kept: Sequence[Bool[np.ndarray, " sessions"]]
) -> int:
    """Put all rejected rows in one file, if there are any, and return their number.

    A session that an earlier shard has already counts as rejected.
    """
    with ExitStack() as stack:
        writer, n_rows = None, 0
        for table in _rejected(staged, shards, kept):
            if writer is None:
                path = staged.partition / QUARANTINE_PART
                writer = stack.enter_context(parquet_writer(path, QUARANTINE))
            writer.write_table(table)
            n_rows += table.num_rows
    return n_rows


def _rejected(
    staged: StagedShards, shards: Sequence[Shard], kept: Sequence[Bool[np.ndarray, " sessions"]]
) -> Iterator[pa.Table]:
    """Give the rejected rows of each shard's raw logs, some thousands at a time."""
    for shard, is_kept in zip(shards, kept, strict=True):
        logs = (staged.read_result(shard.number) or {}).get("logs")
        if logs is None:
            continue
        if logs["n_rejected"]:
            with open_parquet(staged.rejected(shard.number)) as parquet:
                for batch in parquet.iter_batches():
                    yield pa.Table.from_batches([batch]).cast(QUARANTINE)
        if not is_kept.all():
            yield duplicates_table(logs, np.flatnonzero(~is_kept), _rows(staged, shard))


def _rows_kept(
    staged: StagedShards, shards: Sequence[Shard]
) -> list[Bool[np.ndarray, " sessions"]]:
    """Return which rows of each shard stay: of a session that is in two logs, the first.

    A session that is in two sources is an error: which of them is meant isn't known. Ids are held
    in memory only where their hash occurs twice.
    """
    hashes = [short_hashes(_session_ids(staged, shard)) for shard in shards]
    repeated = repeated_hashes(np.concatenate([np.zeros(0, np.uint64), *hashes]))
    source_of: dict[str, int] = {}
    in_two_sources: list[str] = []
    kept = []
    for shard, own in zip(shards, hashes, strict=True):
        is_kept = np.ones(len(own), bool)
        rows = np.flatnonzero(np.isin(own, repeated)).tolist()
        ids = _session_ids(staged, shard) if rows else []
        for row in rows:
            if ids[row] in source_of:
                is_kept[row] = False
                in_two_sources += [ids[row]] if source_of[ids[row]] != shard.source else []
            else:
                source_of[ids[row]] = shard.source
        kept.append(is_kept)
    if in_two_sources:
        raise DataError(
            "score",
            f"session {in_two_sources[0]!r} is in more than one input "
            f"({len(in_two_sources)} such sessions)",
            "score the inputs apart, or ingest them into one store",
        )
    return kept


def _rows(staged: StagedShards, shard: Shard) -> pa.Table:
    with open_parquet(staged.part(shard.number)) as parquet:
        return parquet.read()


def _session_ids(staged: StagedShards, shard: Shard) -> list[str]:
    with open_parquet(staged.part(shard.number)) as parquet:
        return parquet.read(columns=["session_id"])["session_id"].to_pylist()


def partition_counts(table: pa.Table) -> dict[str, int]:
    """Return what the manifest says of these rows."""
    n_review, n_flagged = (
        int(table[name].to_numpy(zero_copy_only=False).sum())
        for name in ("needs_review", "is_flagged")
    )
    n_scored = table.num_rows - table["fraud_score"].null_count
    n_replays = table.num_rows - table["replay_of"].null_count
    counts = (table.num_rows, n_flagged, table.num_rows - n_scored, n_replays, n_review)
    return dict(zip(_COUNTS, counts, strict=True))


_SHOWN: Final = 5  # accounts, files

_TOLD: Final = (
    *("n_sessions", "n_flagged", "n_review", "n_abstained", "n_replays", "n_doubles"),
    *("abstained", "abstain_is", "abstaining_accounts", "unknown_recorders", "n_quarantined"),
    "is_starter",
    "logs",
    *("threshold", "model_id", "run_id"),
)


def summary_json(partition: object, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `score --json` prints."""
    return {"partition": str(partition)} | {name: manifest[name] for name in _TOLD}


def summary_lines(manifest: Mapping[str, Any]) -> list[str]:
    """Return what was flagged, what abstained and why, and what is no session at all."""
    lines = [
        f"{manifest['n_sessions']:,} sessions: {manifest['n_flagged']:,} flagged, "
        f"{manifest['n_review']:,} for review"
    ]
    if text := starter_text(manifest):
        lines.append(text)
    if manifest["n_abstained"]:
        lines.append(f"abstained: {manifest['n_abstained']:,} ({_listed(manifest['abstained'])})")
    lines += _accounts(manifest["abstaining_accounts"])
    if unknown := unknown_recorders_text(manifest["unknown_recorders"], manifest["n_sessions"]):
        lines.append(unknown)
    logs = manifest["logs"] or {}
    if manifest["n_quarantined"]:
        rejected = Counter(logs.get("rejected", {}))
        if manifest["n_doubles"]:
            rejected[DUPLICATE] += manifest["n_doubles"]
        lines.append(f"quarantined: {manifest['n_quarantined']:,} rows ({_listed(rejected)})")
    not_logs = logs.get("not_logs", {})
    lines += [f"not a log: {name}: {why}" for name, why in list(not_logs.items())[:_SHOWN]]
    if len(not_logs) > _SHOWN:
        lines.append(f"and {len(not_logs) - _SHOWN:,} more that are no logs")
    return lines


def _accounts(accounts: list[dict[str, Any]]) -> list[str]:
    lines = [
        f"account {printable(row['account_id'])} abstains unusually often: "
        f"{row['n_abstained']:,} of {row['n_sessions']:,} sessions, others "
        f"{row['share_of_others']:.1%}"
        for row in accounts[:_SHOWN]
    ]
    if len(accounts) > _SHOWN:
        lines.append(f"and {len(accounts) - _SHOWN:,} more accounts")
    return lines


def _listed(tally: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in sorted(tally.items()))
