"""Score flow: a day of the store and a trained model to the day's partition of scores."""

from typing import Annotated

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

import flows.prefect.environment  # noqa: F401 - before Prefect
from flows.jobs.days import ingest_day
from flows.prefect.artifacts import progress_artifact, show_day, show_drift
from flows.prefect.parameters import (
    RETRIES,
    RETRY_DELAY_S,
    Budget,
    Day,
    Drift,
    HistoryDays,
    Logs,
    Models,
    Scheduler,
    Scores,
    SettingsFile,
    Simulate,
    Store,
    Where,
    Workers,
    alone_with,
    described,
    flow_run_name,
    may_pass,
    run_day,
    run_site,
)
from flows.settings import Settings
from model.config import Promote, RunConfig
from pipeline.monitoring.drift import strongest
from pipeline.storage.paths import StoragePath
from pipeline.storage.store import day_folder


# NO_CACHE: Prefect would key a result on the path, and the store itself knows what it has.
@task(
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAY_S,
    retry_condition_fn=may_pass,
    cache_policy=NO_CACHE,
    task_run_name="ingest-{day}",
)
def ingest_logs_of(site: Settings, day: str) -> StoragePath:
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
    settings: SettingsFile = None, date: Day = None, logs: Logs = None, store: Store = None
) -> StoragePath:
    """Add the logs that are new to the store."""
    site = run_site(settings, logs=tuple(logs) if logs else None, store=store)
    with alone_with(site.store):
        return ingest_logs_of(site, run_day(date, site))


# NO_CACHE: a key on paths would miss that their content has changed. What a try that failed
# has finished, the next one goes on from: shards are kept on disk.
@task(
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAY_S,
    retry_condition_fn=may_pass,
    cache_policy=NO_CACHE,
    task_run_name="score-{day}",
)
def score_sessions_of(site: Settings, day: str) -> StoragePath:
    """Sessions to the partition of one day, whole or not at all."""
    from flows.jobs.days import score_day

    return score_day(site, day, progress_artifact(f"Scoring {day}"))


@task(cache_policy=NO_CACHE, task_run_name="show-{day}")
def show_scores_of(site: Settings, day: str, partition: StoragePath) -> None:
    """The day's top scores, pictures and summary, for whoever opens the run's page."""
    show_day(site, day, partition)


@flow(flow_run_name=flow_run_name)
@described
def score(
    settings: SettingsFile = None,
    date: Day = None,
    store: Store = None,
    model: Models = None,
    scores: Scores = None,
    budget: Budget = None,
    history_days: HistoryDays = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    device: Where = None,
) -> StoragePath:
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


@task(
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAY_S,
    retry_condition_fn=may_pass,
    cache_policy=NO_CACHE,
    task_run_name="watch-{day}",
)
def compare_day(site: Settings, day: str) -> StoragePath:
    """A day of sessions and scores to a partition of the DRIFT table."""
    from flows.jobs.days import monitor_day

    return monitor_day(site, day)


@flow(flow_run_name=flow_run_name)
@described
def monitor(
    settings: SettingsFile = None,
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


When = Annotated[Promote, Field(description="Whether the new model scores from now on.")]
Config = Annotated[
    RunConfig | None,
    Field(description="All of it. Empty: the settings' [run]."),
]


@task(cache_policy=NO_CACHE)
def train_challenger(site: Settings, promote: Promote) -> StoragePath:
    """Labelled sessions to a trained model with its figures, promoted if it is better."""
    from flows.jobs.days import train_and_compare
    from flows.jobs.progress import finish

    logger = get_run_logger()

    def tell(epoch: object) -> None:
        logger.info("%s", epoch)

    found = finish(train_and_compare(site, promote), tell)
    card = (found.run / "MODEL_CARD.md").read_text()
    create_markdown_artifact(
        card, key="model-card", description=f"{found.model_id}: {found.why}"[:200]
    )
    return found.run


@flow(flow_run_name=flow_run_name)
@described
def train(
    settings: SettingsFile = None,
    store: Store = None,
    scores: Scores = None,
    models: Models = None,
    simulate: Simulate = None,
    device: Where = None,
    promote: When = "if better",
    config: Config = None,
) -> StoragePath:
    """Train on the store and the labels fed back; promote the model on a clear gain."""
    site = run_site(
        settings, store=store, scores=scores, models=models, simulate=simulate, device=device,
        run=config,
    )  # fmt: skip
    with alone_with(site.models):
        return train_challenger(site, promote)
