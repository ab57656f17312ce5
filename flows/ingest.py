"""Ingest flow: logs to a store."""

from pathlib import Path

import flows.settings  # noqa: F401 - before Prefect

# isort: split
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.days import flow_run_name, run_day
from pipeline.ingest import ingest_logs


# NO_CACHE: Prefect would key a result on the path, and the store itself knows what it has.
@task(retries=2, retry_delay_seconds=5, cache_policy=NO_CACHE)
def ingest_day(logs: list[Path], store: Path, date: str) -> Path:
    """Logs to a partition of the store; files that are in it already are skipped."""
    ingest_logs(logs, store, ingest_date=date)
    return store


@flow(flow_run_name=flow_run_name)
def ingest(logs: list[Path], store: Path, date: str | None = None) -> Path:
    """Add the day's logs to the store. `date` defaults to the day the run was scheduled for."""
    return ingest_day(logs, store, run_day(date))
