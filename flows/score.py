"""Score flow: a store and a trained model to the day's partition of scores."""

from pathlib import Path

import flows.settings  # noqa: F401 - before Prefect

# isort: split
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.days import flow_run_name, run_day
from model.device import prepare_jax


@task(cache_policy=NO_CACHE)  # a key on paths would miss that their content has changed
def score_day(
    sources: list[Path],
    model: Path,
    scores: Path,
    date: str,
    workers: int = 1,
    scheduler: str | None = None,
) -> Path:
    """Sessions to the partition of one day, whole or not at all."""
    prepare_jax()
    from flows.jobs.score import score as job

    return job(sources, model, scores, date, workers=workers, scheduler=scheduler)


@flow(flow_run_name=flow_run_name)
def score(
    sources: list[Path],
    model: Path,
    scores: Path,
    date: str | None = None,
    workers: int = 1,
    scheduler: str | None = None,
) -> Path:
    """Score stores or logs. `date` defaults to the day the run was scheduled for.

    With `workers` processes here, or those of the Dask cluster whose `scheduler` is named, shards
    are scored at the same time. They are one task to Prefect: a task for each would cost its server
    more than it tells, and a run that is retried goes on with the shards that are missing anyway.
    """
    return score_day(sources, model, scores, run_day(date), workers, scheduler)
