"""Delete an account wherever an installation's settings lead, and say what that can't reach.

The tables that tell which sessions are its own are changed last, so that a run that was killed is
completed by the next. Logs that were ingested stay known by their hash: none comes in anew.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flows.jobs.partition import partition_counts
from flows.settings import Settings
from model.manifest import write_manifest
from pipeline.scores.partitions import open_scores, partition_files, read_manifest
from pipeline.sessions.feedback import feedback_folder
from pipeline.storage.paths import RemotePath, StoragePath, as_path, open_parquet, remove_tree
from pipeline.storage.publish import (
    MANIFEST,
    REPLACED,
    lock,
    parquet_writer,
    replacing,
    staging_folder,
    write_json,
)
from pipeline.storage.shards import alone_with
from pipeline.storage.store import Part, part_paths, quarantine_folder
from pipeline.storage.version import program_version

ALWAYS_OUT_OF_REACH = (
    "the logs themselves, backups, copies, exports, and pages elsewhere than named",
    "Prefect's database, whose pages show each day's highest scores, and MLflow's",
    "networks, populations and reference ranges of models trained on its sessions: train again",
)


@dataclass(frozen=True)
class ForgetJob:
    """Whom to forget.

    Attributes:
        settings: Where stores, scores, models lie.
        account: The account_id.
        reports: Folders whose pages (*.html, below them too) are looked through; none: those beside
            the scores, and in `reports/` there.
        delete: False: only count.
    """

    settings: Settings
    account: str
    reports: tuple[Path, ...] = ()
    delete: bool = False


@dataclass
class Receipt:
    """What was deleted. The account is named by its hash alone."""

    account_sha256: str
    at: str
    is_deleted: bool  # False: only counted
    counts: Counter[str] = field(default_factory=Counter)  # rows or files by place
    not_reached: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "account_sha256": self.account_sha256,
            "at": self.at,
            "pointerprint": program_version(),
            "is_deleted": self.is_deleted,
            "counts": dict(self.counts),
            "not_reached": self.not_reached,
        }


def forget(job: ForgetJob) -> Receipt:
    """Delete all rows, profiles, pictures and pages of an account, or only count them."""
    settings = job.settings
    store, scores = as_path(settings.store), as_path(settings.scores)
    digest = hashlib.sha256(job.account.encode()).hexdigest()
    receipt = Receipt(digest, datetime.now(UTC).isoformat(timespec="seconds"), job.delete)
    own, logs = _own_sessions(store, scores, job.account)
    receipt.not_reached += [f"log {name}" for name in sorted(logs)]
    _forget_pages(job, own, receipt)
    for table in (store, scores):
        _forget_feedback(table, own, job.delete, receipt)
    for path in quarantine_folder(store).glob("ingest_date=*/part-*.parquet"):
        receipt.counts["quarantine"] += _drop_rows(path, _quotes(job.account, own), job.delete)
    for run in _runs(as_path(settings.models)):
        _forget_profiles(run, job, own, receipt)
    for partition in sorted(scores.glob("run_date=*")):
        _forget_scores(partition, job, own, receipt)
    if job.delete:
        _drop_unfinished_scores(scores)
    _forget_sessions(store, job, own, receipt)
    receipt.not_reached += ALWAYS_OUT_OF_REACH
    return receipt


Mask = Callable[[pa.Table], np.ndarray]
"""Which rows of a table are the account's."""


def _own_sessions(
    store: StoragePath, scores: StoragePath, account: str
) -> tuple[set[str], set[str]]:
    """Return the account's sessions, and the logs that they came from."""
    own: set[str] = set()
    logs: set[str] = set()
    for path in part_paths(store):
        with open_parquet(path) as parquet:
            table = parquet.read(columns=["session_id", "account_id", "source_file"])
        table = table.filter(pa.array(_has(account)(table)))
        own.update(table["session_id"].to_pylist())
        logs.update(table["source_file"].to_pylist())
    if any(scores.glob("run_date=*/*.parquet")):
        rows = open_scores(scores).to_table(columns=["session_id", "account_id"])
        own.update(rows.filter(pa.array(_has(account)(rows)))["session_id"].to_pylist())
    return own, logs


def _has(account: str, own: Set[str] = frozenset()) -> Mask:
    """Return which rows are of an account, or of its sessions and those simulated from them."""

    def mask(table: pa.Table) -> np.ndarray:
        found = np.zeros(table.num_rows, bool)
        if "account_id" in table.column_names:
            found |= np.array([name == account for name in table["account_id"].to_pylist()], bool)
        if own and "session_id" in table.column_names:
            ids = table["session_id"].to_pylist()
            found |= np.array([name.partition("~")[0] in own for name in ids], bool)
        return found

    return mask


def _quotes(account: str, own: Iterable[str]) -> Mask:
    """Return which rejected rows quote the account or one of its sessions; rather too many."""
    names = (account, *own)

    def mask(table: pa.Table) -> np.ndarray:
        rows = zip(table["source_file"].to_pylist(), table["raw"].to_pylist(), strict=True)
        return np.array(
            [any(name in f"{file} {raw or ''}" for name in names) for file, raw in rows], bool
        )

    return mask


def _drop_rows(path: StoragePath, mask: Mask, delete: bool) -> int:
    """Delete rows of a file, which goes if none is left, and return how many there are."""
    with open_parquet(path) as parquet:
        n_dropped = sum(int(mask(table).sum()) for table in _groups(parquet))
        n_rows = parquet.metadata.num_rows
    if delete and n_dropped == n_rows:
        path.unlink()
    elif delete and n_dropped:
        _rewrite(path, mask)
    return n_dropped


def _groups(parquet: pq.ParquetFile) -> Iterator[pa.Table]:
    for group in range(parquet.num_row_groups):
        yield parquet.read_row_group(group)


def _rewrite(path: StoragePath, mask: Mask, own: Set[str] = frozenset()) -> None:
    """Replace a file by one without some rows; nobody is a replay of `own` any more."""
    with open_parquet(path) as parquet, parquet_writer(path, parquet.schema_arrow) as writer:
        for table in _groups(parquet):
            kept = table.filter(pa.array(~mask(table)))
            if "replay_of" in kept.column_names:
                place = kept.column_names.index("replay_of")
                names = [None if name in own else name for name in kept["replay_of"].to_pylist()]
                kept = kept.set_column(place, kept.field(place), pa.array(names, pa.string()))
            writer.write_table(kept)


def _forget_pages(job: ForgetJob, own: Set[str], receipt: Receipt) -> None:
    """Delete pages that name the account or one of its sessions."""
    quoted = [_as_page_has_it(name) for name in (job.account, *own)]
    for path in sorted(_pages(job)):
        text = path.read_text(errors="replace")
        if "pointerprint" in text and any(name in text for name in quoted):
            receipt.counts["reports"] += 1
            if job.delete:
                path.unlink()


def _pages(job: ForgetJob) -> Iterator[Path]:
    """Give the pages of the folders named; if none is, those beside the scores, and in reports/."""
    for folder in job.reports:
        yield from folder.rglob("*.html")
    home = as_path(job.settings.scores).parent
    if not job.reports and not isinstance(home, RemotePath):
        yield from home.glob("*.html")
        yield from (home / "reports").rglob("*.html")


def _as_page_has_it(name: str) -> str:
    text = json.dumps(name)
    for mark in "<>&":  # as the page's JSON is escaped
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def _forget_feedback(table: StoragePath, own: Set[str], delete: bool, receipt: Receipt) -> None:
    with lock(feedback_folder(table)):
        for path in feedback_folder(table).glob("part-*.parquet"):
            receipt.counts["feedback"] += _drop_rows(path, _has("", own), delete)


def _runs(models: StoragePath) -> list[StoragePath]:
    """Return the RUNs of a folder of models, or the one RUN that it is."""
    return sorted(
        path.parent for path in (*models.glob("config.json"), *models.glob("*/config.json"))
    )


def _forget_profiles(run: StoragePath, job: ForgetJob, own: Set[str], receipt: Receipt) -> None:
    with lock(run):
        for name in ("profiles.parquet", "prints.parquet"):
            path = run / "profiles" / name
            if not path.is_file():
                continue
            with open_parquet(path) as parquet:
                table = parquet.read()
            is_own = _has(job.account, own)(table)
            receipt.counts["profiles"] += int(is_own.sum())
            if job.delete and is_own.any():
                with replacing(path) as unfinished:
                    pq.write_table(table.filter(pa.array(~is_own)), unfinished, compression="zstd")
                    write_manifest(run, {f"profiles/{name}": unfinished})
                write_manifest(run)
    split = run / "split.json"
    named = json.loads(split.read_text()).get("sessions", {}) if split.is_file() else {}
    n_known = len(own & {name for names in named.values() for name in names})
    if n_known:
        receipt.not_reached.append(
            f"model {run.name}: it was trained and measured on {n_known:,} of its sessions, which "
            "split.json names; train again, and delete it"
        )


def _forget_scores(partition: StoragePath, job: ForgetJob, own: Set[str], receipt: Receipt) -> None:
    """Take the account's rows out of a day; its picture goes first, while the rows tell."""
    mask = _has(job.account, own)
    with alone_with(partition):
        files = partition_files(partition)
        tables = {path: _read(path) for path in files}
        n_own = sum(int(mask(table).sum()) for table in tables.values())
        receipt.counts["scores"] += n_own
        scores = partition.parent
        picture = scores.with_name(f"{scores.name}.pictures") / f"{partition.name}.png"
        if n_own and picture.is_file():
            receipt.counts["pictures"] += 1
            if job.delete:
                picture.unlink()
        manifest = read_manifest(partition) if (partition / MANIFEST).is_file() else {}
        for name in manifest.get("quarantine", ()):
            path = partition / name
            is_quoted = _quotes(job.account, own)(_read(path))
            receipt.counts["quarantine"] += int(is_quoted.sum())
            if job.delete and is_quoted.any():
                _rewrite(path, _quotes(job.account, own))
        for path, table in tables.items() if job.delete else ():
            replays = table["replay_of"].to_pylist() if "replay_of" in table.column_names else ()
            if mask(table).any() or own & set(filter(None, replays)):
                _rewrite(path, mask, own)
        if job.delete and manifest:
            _recount(partition, manifest, job.account)


def _recount(partition: StoragePath, manifest: dict[str, Any], account: str) -> None:
    """Have a manifest count the rows that are left, also after a run that was killed."""
    counts: Counter[str] = Counter()
    for path in partition_files(partition):
        counts.update(partition_counts(_read(path)))
    accounts = manifest.get("abstaining_accounts", [])
    kept = [row for row in accounts if row["account_id"] != account]
    new = manifest | {name: counts[name] for name in counts}
    if accounts:
        new["abstaining_accounts"] = kept
    if new != manifest:
        write_json(new, partition / MANIFEST)


def _read(path: StoragePath) -> pa.Table:
    with open_parquet(path) as parquet:
        return parquet.read()


def _drop_unfinished_scores(scores: StoragePath) -> None:
    """Delete what unfinished runs and replaced partitions left: it holds rows too."""
    folder = staging_folder(scores)
    for left in folder.iterdir() if folder.is_dir() else ():
        if left.name.startswith(REPLACED):
            remove_tree(left)
        elif left.is_dir():
            with alone_with(scores / left.name[: len("run_date=2026-11-01")]):
                remove_tree(left, ignore_errors=True)


def _forget_sessions(store: StoragePath, job: ForgetJob, own: Set[str], receipt: Receipt) -> None:
    mask = _has(job.account, own)
    with lock(store):
        for path in part_paths(store):
            with open_parquet(path) as parquet:
                n_own = sum(int(mask(table).sum()) for table in _groups(parquet))
                n_kept = parquet.metadata.num_rows - n_own
            receipt.counts["store"] += n_own
            if job.delete and n_own:
                day = path.parent.name.partition("=")[2]
                part = Part(store, day, path.stem.rpartition("-")[2])
                if part.manifest.is_file():  # first: an empty part must not look interrupted
                    manifest = json.loads(part.manifest.read_text())
                    write_json(manifest | {"n_sessions": n_kept}, part.manifest)
                if n_kept:
                    _rewrite(path, mask)
                else:
                    path.unlink()
                    if not isinstance(path, RemotePath) and not any(path.parent.iterdir()):
                        path.parent.rmdir()
