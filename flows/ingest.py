"""Ingest flow: logs to a store."""

from pathlib import Path

import flows.settings  # noqa: F401 - before Prefect

# isort: split
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows.days import alone_with, flow_run_name, run_day, run_site
from flows.jobs.days import ingest_day
from flows.parameters import Day, Logs, Settings, Store, described
from flows.site import Site
from flows.tries import RETRIES, RETRY_DELAY_S, may_pass
from pipeline.store import day_folder


# NO_CACHE: Prefect would key a result on the path, and the store itself knows what it has.
@task(
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAY_S,
    retry_condition_fn=may_pass,
    cache_policy=NO_CACHE,
    task_run_name="ingest-{day}",
)
def ingest_logs_of(site: Site, day: str) -> Path:
    """Logs to a partition of the store; files that are in it already are skipped."""
    report = ingest_day(site, day)
    lines = "\n".join(f"- {line}" for line in report.summary())
    create_markdown_artifact(
        f"# Ingested as of {day}\n\n{lines}\n\nStore: `{site.store}`\n",
        key="ingest",
        description=f"What came of the logs of {day}",
    )
    return day_folder(site.store, day)


@flow(flow_run_name=flow_run_name)
@described
def ingest(
    settings: Settings = None, date: Day = None, logs: Logs = None, store: Store = None
) -> Path:
    """Add the logs that are new to the store."""
    site = run_site(settings, logs=tuple(logs) if logs else None, store=store)
    with alone_with(site.store):
        return ingest_logs_of(site, run_day(date, site))
