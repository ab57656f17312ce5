"""Delete what is older than some days: sessions, scores, drift, pictures, verdicts, ingested logs.

Each deletion is whole or not at all for readers, and the next run completes one that was killed.
What was ingested stays known by its hash, so that no old log comes in anew.
"""

import hashlib
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from flows.settings import Settings
from pipeline.errors import ConfigError
from pipeline.ingest.find import find_logs
from pipeline.sessions.feedback import feedback_folder
from pipeline.storage.paths import RemotePath, StoragePath, as_path, open_parquet, remove_tree
from pipeline.storage.publish import REPLACED, lock, remove_if_empty, staging_folder, write_json
from pipeline.storage.shards import alone_with
from pipeline.storage.store import Part, known_files, part_paths, quarantine_folder

PrunedKind = Literal["store", "quarantine", "scores", "drift", "picture", "log", "feedback"]


@dataclass(frozen=True)
class PruneJob:
    """What to keep."""

    settings: Settings
    keep_days: int  # before `today`
    today: date
    delete: bool = False  # False: only say what would be deleted

    def __post_init__(self) -> None:
        """Refuse to delete the day itself."""
        if self.keep_days < 1:
            raise ConfigError("prune", f"--keep-days is {self.keep_days}", "1 or more")

    @property
    def first_day(self) -> str:
        """Return the oldest day that is kept."""
        return (self.today - timedelta(days=self.keep_days)).isoformat()


@dataclass(frozen=True)
class Pruned:
    """A file or partition that is too old."""

    kind: PrunedKind
    day: str
    path: StoragePath
    n_bytes: int


def prune(job: PruneJob) -> list[Pruned]:
    """Delete what is too old, or only find it, and return it."""
    settings = job.settings
    # Logs first: the store knows which of them it has.
    found = list(_logs(job))
    found += _store(job)
    found += _partitions(job, "scores", as_path(settings.scores))
    found += _partitions(job, "drift", as_path(settings.drift))
    found += _feedback(job, as_path(settings.store))
    found += _feedback(job, as_path(settings.scores))
    return found


def _day_of(path: StoragePath) -> str:
    return path.name.partition("=")[2][:10]


def _logs(job: PruneJob) -> Iterator[Pruned]:
    """Give log files that were last changed before the first day and are in the store."""
    known = known_files(as_path(job.settings.store))
    for root in job.settings.logs:
        for path in find_logs(as_path(root)) if as_path(root).exists() else ():
            stat = path.stat()
            day = (
                datetime.fromtimestamp(stat.st_mtime, job.settings.schedule.zone).date().isoformat()
            )
            if day >= job.first_day or _sha256(path) not in known:
                continue
            if job.delete:
                path.unlink()
            yield Pruned("log", day, path, stat.st_size)


def _sha256(path: StoragePath) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _store(job: PruneJob) -> Iterator[Pruned]:
    store = as_path(job.settings.store)
    with lock(store):
        for path in part_paths(store):
            day = _day_of(path.parent)
            if day >= job.first_day:
                continue
            part = Part(store, day, path.stem.rpartition("-")[2])
            n_bytes = path.stat().st_size
            if job.delete:
                _note_pruned(part)  # first: a part without it would be ingested again
                path.unlink()
                if not isinstance(path, RemotePath):
                    remove_if_empty(path.parent)
            yield Pruned("store", day, path, n_bytes)
        for path in quarantine_folder(store).glob("ingest_date=*/part-*.parquet"):
            if (day := _day_of(path.parent)) < job.first_day:
                n_bytes = path.stat().st_size
                if job.delete:
                    path.unlink()
                yield Pruned("quarantine", day, path, n_bytes)


def _note_pruned(part: Part) -> None:
    """Have a part's manifest say that its sessions were deleted; which files it had stays known."""
    manifest = json.loads(part.manifest.read_text()) if part.manifest.is_file() else {"files": []}
    n_sessions = manifest.get("n_sessions") or manifest.get("n_pruned", 0)
    write_json(manifest | {"n_sessions": 0, "n_pruned": n_sessions}, part.manifest)


def _partitions(
    job: PruneJob, kind: Literal["scores", "drift"], table: StoragePath
) -> Iterator[Pruned]:
    pictures = table.with_name(f"{table.name}.pictures")
    for path in pictures.glob("run_date=*.png"):
        if (day := _day_of(path)) < job.first_day:
            n_bytes = path.stat().st_size
            if job.delete:
                path.unlink()
            yield Pruned("picture", day, path, n_bytes)
    for partition in sorted(table.glob("run_date=*")):
        if (day := _day_of(partition)) < job.first_day:
            n_bytes = sum(path.stat().st_size for path in partition.rglob("*") if path.is_file())
            if job.delete:
                with alone_with(partition):
                    _delete_partition(partition)
            yield Pruned(kind, day, partition, n_bytes)


def _feedback(job: PruneJob, table: StoragePath) -> Iterator[Pruned]:
    """Give files of verdicts, the latest older than the first day: their sessions are older yet."""
    with lock(feedback_folder(table)):
        for path in feedback_folder(table).glob("part-*.parquet"):
            with open_parquet(path) as parquet:
                given_at = max(parquet.read(columns=["given_at"])["given_at"].to_pylist())
            day = given_at.astimezone(job.settings.schedule.zone).date().isoformat()
            if day < job.first_day:
                n_bytes = path.stat().st_size
                if job.delete:
                    path.unlink()
                yield Pruned("feedback", day, path, n_bytes)


def _delete_partition(partition: StoragePath) -> None:
    """Take a partition out of its table at once, then delete it."""
    if isinstance(partition, RemotePath):
        remove_tree(partition)
        return
    staging = as_path(staging_folder(partition.parent))
    staging.mkdir(exist_ok=True)
    old = staging / f"{REPLACED}{time.time():.0f}-{uuid.uuid4().hex}"  # publishing clears these too
    partition.rename(str(old))
    remove_tree(old)


def prune_text(job: PruneJob, found: list[Pruned]) -> str:
    """Return what was found by kind, and what is to be done."""
    lines = []
    for kind in dict.fromkeys(one.kind for one in found):
        own = [one for one in found if one.kind == kind]
        days = sorted({one.day for one in own})
        size = sum(one.n_bytes for one in own) / 1e6
        lines.append(f"{kind:<10} {len(own):>6,}  {days[0]} to {days[-1]}  {size:,.1f} MB")
    done = "deleted" if job.delete else "would be deleted; --yes deletes"
    lines.append(f"{len(found):,} files and partitions of before {job.first_day} {done}")
    return "\n".join(lines)
