"""The flows that Prefect runs: each reads the settings, does a day's job, and shows its result.

Prefect loads this file as a module of the file's own name. Called flows.py it would stand in the
way of the package `flows`.
"""

from functools import partial
from typing import Annotated

from flows.prefect.environment import set_prefect_defaults

# Prefect reads the environment when it is imported. Its own processes have it from `serve`, but
# other programs may import this module before Prefect.
set_prefect_defaults()

# isort: split
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from flows.jobs.progress import finish
from flows.prefect.artifacts import progress_artifact, show_adaptation, show_day, show_drift
from flows.prefect.parameters import (
    RETRIES,
    RETRY_DELAY_S,
    alone_with_table,
    flow_run_name,
    form,
    may_pass,
)
from flows.settings import Settings
from model.config import Promote
from pipeline.monitoring.drift import strongest
from pipeline.storage.paths import StoragePath
from pipeline.storage.store import day_folder

# NO_CACHE: Prefect would key a result on paths and miss that their content has changed. A retry
# goes on from what the failed run has finished: the store knows its files, shards are on disk.
retried_task = partial(
    task,
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAY_S,
    retry_condition_fn=may_pass,
    cache_policy=NO_CACHE,
)


@retried_task(task_run_name="ingest-{day}")
def ingest_logs_of(settings: Settings, day: str) -> StoragePath:
    """Add the logs to a partition of the store; files that are in it already are skipped."""
    from flows.jobs.days import ingest_day  # here: `form` sets JAX up before it is imported

    report = ingest_day(settings, day)
    lines = "\n".join(f"- {line}" for line in report.summary())
    create_markdown_artifact(
        f"# Ingested as of {day}\n\n{lines}\n\nStore: `{settings.store}`\n",
        key="ingest",
        description=f"What came of the logs of {day}",
    )
    return day_folder(settings.store, day)


@flow(flow_run_name=flow_run_name)
@form("logs", "store")
def ingest(settings: Settings, day: str) -> StoragePath:
    """Add the logs that are new to the store."""
    with alone_with_table(settings.store):
        return ingest_logs_of(settings, day)


@retried_task(task_run_name="score-{day}")
def score_sessions_of(settings: Settings, day: str) -> StoragePath:
    """Score the sessions of one day into its partition, whole or not at all."""
    from flows.jobs.days import score_day

    return score_day(settings, day, progress_artifact(f"Scoring {day}"))


@task(cache_policy=NO_CACHE, task_run_name="show-{day}")
def show_scores_of(settings: Settings, day: str, partition: StoragePath) -> None:
    """Show the day's top scores, pictures and summary on the run's page."""
    show_day(settings, day, partition)


@flow(flow_run_name=flow_run_name)
@form(
    *("store", "scores", "budget", "history_days", "workers", "scheduler", "device"),
    model="models",
)
def score(settings: Settings, day: str) -> StoragePath:
    """Score the sessions that came into the store on a day.

    With `workers` processes here, or those of the Dask cluster whose `scheduler` is named, shards
    are scored at the same time. They are one task to Prefect: a task for each would cost its server
    too much, and a run that is retried goes on with the shards that are missing anyway.
    """
    with alone_with_table(settings.scores):
        partition = score_sessions_of(settings, day)
    show_scores_of(settings, day, partition)
    return partition


@retried_task(task_run_name="monitor-{day}")
def compare_day(settings: Settings, day: str) -> StoragePath:
    """Compare a day of sessions and scores with the reference, into a partition of DRIFT."""
    from flows.jobs.days import monitor_day

    return monitor_day(settings, day)


@flow(flow_run_name=flow_run_name)
@form("store", "scores", "models", "drift")
def monitor(settings: Settings, day: str) -> State:
    """Compare a day's sessions and scores with the model's reference; fail on strong drift."""
    from flows.jobs.monitor import read_drift

    with alone_with_table(settings.drift):
        partition = compare_day(settings, day)
    found = read_drift(partition)
    show_drift(found, day, partition)
    strong = [row["measure"] for row in found.to_pylist() if row["level"] == "strong"]
    if strongest(found) == "strong":
        names = ", ".join(dict.fromkeys(strong))
        return Failed(message=f"strong drift on {day}: {names}; the table is in {partition}")
    return Completed(message=f"{strongest(found)} drift on {day}", data=partition)


@retried_task(task_run_name="adapt-{day}")
def adapt_champion_to(settings: Settings, day: str) -> str:
    """Adapt the champion to recorders of the last days, and say what came of it."""
    from flows.jobs.days import adapt_to_days

    found = adapt_to_days(settings, day)
    show_adaptation(found, day)
    return found.why


@flow(flow_run_name=flow_run_name)
@form("store", "scores", "models", "device", config="adapt")
def adapt(settings: Settings, day: str) -> State:
    """Set the champion's level to recorders that it lacks, once there are enough sessions.

    The adapted model is a new champion; `pointerprint models rollback` brings the one before back.
    """
    with alone_with_table(settings.models):
        why = adapt_champion_to(settings, day)
    return Completed(message=why)


@task(cache_policy=NO_CACHE)
def train_challenger(settings: Settings, promote: Promote) -> StoragePath:
    """Train a model with its figures on labelled sessions, and promote it if it is better."""
    from flows.jobs.days import train_and_compare

    logger = get_run_logger()
    found = finish(train_and_compare(settings, promote), lambda epoch: logger.info("%s", epoch))
    card = (found.run / "MODEL_CARD.md").read_text()
    create_markdown_artifact(
        card, key="model-card", description=f"{found.model_id}: {found.why}"[:200]
    )
    return found.run


When = Annotated[Promote, Field(description="Whether the new model scores from now on.")]


@flow(flow_run_name=flow_run_name)
@form("store", "scores", "models", "simulate", "device", config="run")
def train(settings: Settings, promote: When = "if better") -> StoragePath:
    """Train on the store and the labels fed back; promote the model on a clear gain."""
    with alone_with_table(settings.models):
        return train_challenger(settings, promote)
