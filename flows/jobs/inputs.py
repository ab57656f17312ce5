"""Read what jobs take: logs into a store, and the sessions of stores or raw logs."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from flows.jobs.progress import Progress, counted
from flows.settings import Settings, load_settings
from pipeline.ingest.ingest import ingest_steps
from pipeline.ingest.parse import NO_COLUMNS, parse_logs
from pipeline.ingest.report import IngestReport
from pipeline.readers import AUTO
from pipeline.sessions.labels import read_labels
from pipeline.sessions.sessions import Sessions
from pipeline.storage.paths import StoragePath
from pipeline.storage.store import is_store, read_sessions


def today(settings: Settings | None = None) -> str:
    """Return the date of now in the settings' time zone, in which the days of the schedules begin.

    Without `settings` those of the working folder count; without any it is UTC.
    """
    return datetime.now((settings or load_settings()).schedule.zone).date().isoformat()


@dataclass(frozen=True)
class IngestJob:
    """Which logs to add to which store.

    Attributes:
        logs: Files or folders; files that are in the store already are skipped.
        to: The store.
        date: Day of the partition, YYYY-MM-DD.
        format: Format of the logs.
        columns: The logs' names of columns, by ours.
        labels: CSV or Parquet, session_id,label.
        recorder: Name of what wrote the logs; empty: found or estimated.
        strict: Any bad row is an error.
    """

    logs: Sequence[StoragePath]
    to: StoragePath
    date: str
    format: str = AUTO
    columns: Mapping[str, str] = field(default_factory=dict)
    labels: StoragePath | None = None
    recorder: str = ""
    strict: bool = False


def ingest(job: IngestJob) -> Generator[Progress, None, IngestReport]:
    """Read logs, clean them, and add their sessions to the store; return what became of them."""
    steps = ingest_steps(
        job.logs,
        job.to,
        format=job.format,
        columns=job.columns,
        labels=label_by_session(job.labels) if job.labels else None,
        recorder=job.recorder,
        ingest_date=job.date,
        strict=job.strict,
    )
    return (yield from counted(steps, "files"))


def label_by_session(path: StoragePath) -> dict[str, int]:
    """Return the labels of a file by session."""
    columns = read_labels(path).to_pydict()
    return dict(zip(columns["session_id"], columns["label"], strict=True))


def each_sessions(
    paths: Sequence[StoragePath], format: str = AUTO, columns: Mapping[str, str] = NO_COLUMNS
) -> Iterator[Sessions]:
    """Give the sessions of stores and raw logs, some thousands at a time, in a fixed order."""
    for path in paths:
        yield from read_sessions(path) if is_store(path) else parse_logs([path], format, columns)
