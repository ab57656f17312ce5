"""Score flow: a day of the store and a trained model to the day's partition of scores."""

from pathlib import Path

import flows.settings  # noqa: F401 - before Prefect

# isort: split
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.artifacts import progress_artifact, show_day
from flows.days import alone_with, flow_run_name, run_day, run_site
from flows.parameters import (
    Budget,
    Day,
    HistoryDays,
    Models,
    Scheduler,
    Scores,
    Settings,
    Store,
    Where,
    Workers,
    described,
)
from flows.site import Site
from flows.tries import RETRIES, RETRY_DELAY_S, may_pass


# NO_CACHE: a key on paths would miss that their content has changed. What a try that failed
# has finished, the next one goes on from: shards are kept on disk.
@task(
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAY_S,
    retry_condition_fn=may_pass,
    cache_policy=NO_CACHE,
    task_run_name="score-{day}",
)
def score_sessions_of(site: Site, day: str) -> Path:
    """Sessions to the partition of one day, whole or not at all."""
    from flows.jobs.days import score_day

    return score_day(site, day, progress_artifact(f"Scoring {day}"))


@task(cache_policy=NO_CACHE, task_run_name="show-{day}")
def show_scores_of(site: Site, day: str, partition: Path) -> None:
    """The day's top scores, pictures and summary, for whoever opens the run's page."""
    show_day(site, day, partition)


@flow(flow_run_name=flow_run_name)
@described
def score(
    settings: Settings = None,
    date: Day = None,
    store: Store = None,
    model: Models = None,
    scores: Scores = None,
    budget: Budget = None,
    history_days: HistoryDays = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    device: Where = None,
) -> Path:
    """Score the sessions that came into the store on a day.

    With `workers` processes here, or those of the Dask cluster whose `scheduler` is named, shards
    are scored at the same time. They are one task to Prefect: a task for each would cost its server
    more than it tells, and a run that is retried goes on with the shards that are missing anyway.
    """
    site = run_site(
        settings, store=store, models=model, scores=scores, budget=budget,
        history_days=history_days, workers=workers, scheduler=scheduler, device=device,
    )  # fmt: skip
    day = run_day(date, site)
    with alone_with(site.scores):
        partition = score_sessions_of(site, day)
    show_scores_of(site, day, partition)
    return partition
