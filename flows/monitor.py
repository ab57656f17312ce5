"""Monitor flow: a day's sessions and scores beside the model's reference."""

from pathlib import Path

import flows.settings  # noqa: F401 - before Prefect

# isort: split
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.artifacts import show_drift
from flows.days import alone_with, flow_run_name, run_day, run_site
from flows.parameters import Day, Drift, Models, Scores, Settings, Store, described
from flows.site import Site
from flows.tries import RETRIES, RETRY_DELAY_S, may_pass
from pipeline.drift import strongest


@task(
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAY_S,
    retry_condition_fn=may_pass,
    cache_policy=NO_CACHE,
    task_run_name="watch-{day}",
)
def compare_day(site: Site, day: str) -> Path:
    """A day of sessions and scores to a partition of the DRIFT table."""
    from flows.jobs.days import monitor_day

    return monitor_day(site, day)


@flow(flow_run_name=flow_run_name)
@described
def monitor(
    settings: Settings = None,
    date: Day = None,
    store: Store = None,
    scores: Scores = None,
    models: Models = None,
    drift: Drift = None,
) -> State:
    """Say what of a day's sessions and scores differs from what the model knows; fail if much."""
    from flows.jobs.monitor import read_drift

    site = run_site(settings, store=store, scores=scores, models=models, drift=drift)
    day = run_day(date, site)
    with alone_with(site.drift):
        partition = compare_day(site, day)
    found = read_drift(partition)
    show_drift(found, day, partition)
    strong = [row["measure"] for row in found.to_pylist() if row["level"] == "strong"]
    if strongest(found) == "strong":
        names = ", ".join(dict.fromkeys(strong))
        return Failed(message=f"strong drift on {day}: {names}; the table is in {partition}")
    return Completed(message=f"{strongest(found)} drift on {day}", data=partition)
