"""The monitoring job: compare a day with its model's reference; publish a day of DRIFT."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from model.registry import is_adapted, is_starter, resolve_run
from pipeline.config import DriftConfig
from pipeline.errors import NotFoundError
from pipeline.monitoring.drift import find_drift, strongest
from pipeline.monitoring.reference import (
    REFERENCE_FILE,
    Measures,
    Reference,
    read_reference,
    score_measures,
    session_measures,
    summarise,
)
from pipeline.scores.partitions import partition_files, read_partition
from pipeline.scores.starter import STARTER_REFERENCE
from pipeline.sessions.sessions import Sessions
from pipeline.storage.paths import StoragePath, as_path, open_parquet
from pipeline.storage.publish import MANIFEST, lock, publish_partition, seal, staging, write_parquet
from pipeline.storage.store import check_date, day_folder, is_store, read_sessions
from pipeline.storage.version import program_version

log = logging.getLogger(__name__)

_PART = "part-00000.parquet"


@dataclass(frozen=True)
class MonitorJob:
    """What `monitor` does."""

    store: StoragePath
    scores: StoragePath
    models: StoragePath  # the registry, or a RUN: for a day whose manifest names no RUN
    drift: StoragePath  # where the table of days is published
    run_date: str
    config: DriftConfig = field(default_factory=DriftConfig)


def monitor(job: MonitorJob) -> StoragePath:
    """Compare a day with the reference of the model that scored it, and publish the changes."""
    run_date, drift = check_date(job.run_date), as_path(job.drift)
    store, scores = as_path(job.store), as_path(job.scores)
    table = _read_day(scores, run_date)
    run, reference = _reference(scores, run_date, job.models)
    is_of_others = is_starter(run) and not is_adapted(run)
    if is_of_others:
        log.warning("%s", STARTER_REFERENCE)
    day = _summary(day_folder(store, run_date), table)
    checked_at = datetime.now(UTC)
    model_ids = table["model_id"].unique().to_pylist()
    found = find_drift(
        reference, day, job.config, model_ids[0] if model_ids else run.name, checked_at
    )
    target = drift / f"run_date={run_date}"
    level = strongest(found)
    with lock(drift), staging(target, drift) as staged:
        write_parquet(found, staged / _PART)
        seal(
            staged,
            {
                "files": [_PART],
                "level": level,
                "n_sessions": table.num_rows,
                "reference": str(run.absolute()),
                "is_starter": is_of_others,
                "checked_at": checked_at.isoformat(),
                "pointerprint": program_version(),
            },
        )
        publish_partition(staged, target)
    log.info(
        "compared %(n_sessions)d sessions of %(run_date)s: %(level)s",
        {"n_sessions": table.num_rows, "run_date": run_date, "level": level},
    )
    return target


def read_drift(partition: StoragePath) -> pa.Table:
    """Return a day of the DRIFT table."""
    (part,) = partition_files(as_path(partition))
    with open_parquet(part) as parquet:
        return parquet.read()


def drift_text(drift: pa.Table) -> str:
    """Return a day's changes as a table for a terminal."""
    lines = [
        f"{'measure':<19} {'test':<5} {'value':>8} {'by chance':>9} {'p':>8}  {'level':<8} "
        f"{'day':>11} {'reference':>11}  what"
    ]
    for row in drift.to_pylist():
        numbers = [row["value"], row["by_chance"], row["p_value"]]
        value, by_chance, p_value = ("-" if n is None else f"{n:.3g}" for n in numbers)
        day, reference = (
            "-" if n is None else f"{n:.1%}" if row["word"] else f"{n:.4g}"
            for n in (row["day_value"], row["reference_value"])
        )
        lines.append(
            f"{row['measure']:<19} {row['test']:<5} {value:>8} {by_chance:>9} {p_value:>8}  "
            f"{row['level']:<8} {day:>11} {reference:>11}  {row['word'] or row['unit']}"
        )
    return "\n".join(lines)


def _read_day(scores: StoragePath, run_date: str) -> pa.Table:
    try:
        return read_partition(scores / f"run_date={run_date}")
    except NotFoundError as error:
        raise NotFoundError(
            error.where, "the day isn't scored", "`pointerprint score` or `backfill` scores it"
        ) from error


def _reference(
    scores: StoragePath, run_date: str, models: StoragePath
) -> tuple[StoragePath, Reference]:
    """Return the reference of the model that scored the day, else that of the champion."""
    manifest = scores / f"run_date={run_date}" / MANIFEST
    named = json.loads(manifest.read_text()).get("run") if manifest.is_file() else None
    kept = as_path(named) if named else None
    run = kept if kept and (kept / REFERENCE_FILE).is_file() else resolve_run(models)
    return run, read_reference(run)


def _summary(day: StoragePath, table: pa.Table) -> Reference:
    """Return how the day's measures are distributed: of its scores, and of its sessions."""
    accounts = np.array(table["account_id"].to_pylist(), object)
    summary = summarise(score_measures(table), accounts)
    if is_store(day):
        summary |= summarise(*_joined(read_sessions(day)))
    return summary


def _joined(groups: Iterator[Sessions]) -> tuple[Measures, np.ndarray]:
    """Return the measures of all sessions, and their accounts; the paths aren't kept."""
    parts = [(session_measures(sessions), sessions.account_id) for sessions in groups]
    names = parts[0][0].keys() if parts else ()
    joined = {name: np.concatenate([found[name] for found, _ in parts]) for name in names}
    return joined, np.concatenate([np.zeros(0, object), *(accounts for _, accounts in parts)])
