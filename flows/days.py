"""Which day a flow run is about, with which settings, and that no two runs share a table."""

import datetime
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from prefect import get_client
from prefect.concurrency.sync import concurrency
from prefect.runtime import flow_run

from flows.logs import set_levels
from flows.site import Site
from flows.site_reading import load_site
from model.device import prepare_jax


def run_site(settings: Path | None, **given: object) -> Site:
    """Return the installation's settings with those that the run was `given` in their place."""
    said = {name: value for name, value in given.items() if value is not None}
    site = replace(load_site(settings), **said)
    # Prefect gives our loggers its handlers, but not a level: they would tell warnings only.
    set_levels(site.log.level)
    prepare_jax(site.device)
    return site


def run_day(date: datetime.date | None, site: Site) -> str:
    """Return `date`, or the day the run was scheduled for: one that starts late keeps its day."""
    if date is not None:
        return date.isoformat()
    scheduled = flow_run.scheduled_start_time or datetime.datetime.now(datetime.UTC)
    return scheduled.astimezone(site.schedule.zone).date().isoformat()


def flow_run_name() -> str:
    """Name a run after its flow and day; a template would show the day as `None`."""
    date, settings = (flow_run.parameters.get(name) for name in ("date", "settings"))
    day = str(date) if date else run_day(None, load_site(settings))
    return f"{flow_run.flow_name}-{day}"


@contextmanager
def alone_with(table: Path) -> Iterator[None]:
    """Hold a limit of one run a table, on Prefect's server: others wait, and its page says so.

    On one machine the tables' own locks keep writers apart. This holds across machines, and for
    the ad hoc deployments together with the scheduled ones.
    """
    path = str(table.absolute())
    name = f"pointerprint-{table.name}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, 1)
    with concurrency(name, occupy=1):
        yield
