"""What a job reads: stores, or raw logs as they came."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from pipeline.ingest.parse import NO_COLUMNS, parse_logs
from pipeline.readers import AUTO
from pipeline.sessions.sessions import Sessions
from pipeline.storage.paths import StoragePath
from pipeline.storage.store import is_store, read_sessions


def today() -> str:
    """Return the date of now, UTC, as partitions are named."""
    return datetime.now(UTC).date().isoformat()


def each_sessions(
    paths: Sequence[StoragePath], format: str = AUTO, columns: Mapping[str, str] = NO_COLUMNS
) -> Iterator[Sessions]:
    """Give the sessions of stores and raw logs, some thousands at a time, in a fixed order."""
    for path in paths:
        yield from read_sessions(path) if is_store(path) else parse_logs([path], format, columns)
