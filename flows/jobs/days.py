"""Do what is due on a day, as an installation's settings say. No Prefect here.

The flows, `backfill` and `monitor` call these, so that a day is the same however it comes about.
"""

import logging
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from datetime import date, timedelta

from flows.jobs.adapt import AdaptChampionJob, AdaptedChampion, adapt_champion
from flows.jobs.inputs import IngestJob, ingest
from flows.jobs.monitor import MonitorJob, monitor
from flows.jobs.progress import Progress, finish, ignore
from flows.jobs.retrain import Retrained, RetrainJob, retrain
from flows.jobs.score import ScoreJob, score
from flows.jobs.tracking import track
from flows.settings import Settings
from model.config import Promote
from model.registry import champion_or_starter, is_registry, is_starter
from model.train import Epoch
from pipeline.errors import ConfigError
from pipeline.ingest.report import IngestReport
from pipeline.readers.common.columns import parse_columns
from pipeline.scores.partitions import read_manifest
from pipeline.storage.paths import StoragePath, as_path
from pipeline.storage.publish import SUCCESS
from pipeline.storage.store import (
    check_date,
    day_folder,
    ingest_days,
    is_store,
    require_ingested,
)

log = logging.getLogger(__name__)


def ingest_day(settings: Settings, day: str) -> IngestReport:
    """Add the logs that are new to the store, as of `day`."""
    settings.check_logs()
    columns = parse_columns(settings.columns)
    job = IngestJob(
        settings.logs, settings.store, day, settings.format, columns, recorder=settings.recorder
    )
    report = finish(ingest(job))
    log.info("ingested into %(store)s as of %(day)s", {"store": str(settings.store), "day": day})
    return report


def score_day(
    settings: Settings, day: str, show: Callable[[Progress], object] = ignore
) -> StoragePath:
    """Score the sessions that came into the store on `day`; those before may have been replayed.

    A day on which nothing came has a partition without rows: it is done, not forgotten. But only
    if the store was ingested into on that day; else it is an error.
    """
    require_ingested(settings.store, day)
    sources = day_sources(settings, day)
    if not sources:
        log.warning("ingesting on %(day)s found no sessions", {"day": day})
    job = ScoreJob(
        sources,
        model_that_scores(settings),
        settings.scores,
        day,
        history=_days_before(settings, day, settings.history_days),
        workers=settings.workers,
        scheduler=settings.scheduler or None,
        budget=settings.budget,
        abstain_is=settings.abstain_is,
    )
    return finish(score(job), show)


def model_that_scores(settings: Settings) -> StoragePath:
    """Return the settings' models, or the starter model if none of them is champion yet."""
    models = as_path(settings.models)
    is_made = models.exists() and not is_registry(models)  # a RUN, or something that is none
    found = models if is_made else champion_or_starter(models)
    if found is None:
        return models  # whose error says what to do
    if is_starter(found):
        log.warning("%(models)s has no champion: the starter scores", {"models": str(models)})
    return found


def monitor_day(settings: Settings, day: str) -> StoragePath:
    """Compare `day` with the reference of the model that scored it."""
    job = MonitorJob(
        settings.store, settings.scores, settings.models, settings.drift, day, settings.alarm
    )
    return monitor(job)


def adapt_to_days(settings: Settings, day: str) -> AdaptedChampion:
    """Adapt the champion to recorders of the last days, up to `day`, that it doesn't cover."""
    stores = tuple(
        _days_before(settings, day, settings.adapt.days - 1) + day_sources(settings, day)
    )
    job = AdaptChampionJob(stores, settings.models, (settings.scores,), settings.adapt)
    return adapt_champion(job)


def train_and_compare(
    settings: Settings, promote_when: Promote
) -> Generator[Epoch, None, Retrained]:
    """Train a challenger on the store and the labels fed back; promote it if it is better."""
    config = settings.run
    if settings.budget is not None:
        config = replace(config, policy=replace(config.policy, budget=settings.budget))
    job = RetrainJob(
        stores=(settings.store,),
        models=settings.models,
        config=config,
        simulate=settings.simulate,
        feedback=(settings.scores,),
        promotion=settings.promote,
        promote_when=promote_when,
    )
    found = yield from retrain(job)
    if settings.mlflow_uri:
        track(settings.mlflow_uri, found)
    return found


def day_sources(settings: Settings, day: str) -> list[StoragePath]:
    """Return the day's partition of the store; nothing if there is none."""
    folder = day_folder(settings.store, day)
    return [folder] if is_store(folder) else []


def _days_before(settings: Settings, day: str, n: int) -> list[StoragePath]:
    """Return the partitions of the store of the last `n` days before."""
    first = (date.fromisoformat(day) - timedelta(days=n)).isoformat()
    days = [found for found in ingest_days(settings.store) if first <= found < day]
    return [day_folder(settings.store, found) for found in days]


def each_day(start: str, end: str) -> Iterator[str]:
    """Give the days from `start` to `end`, both included."""
    first, last = (date.fromisoformat(check_date(day)) for day in (start, end))
    if last < first:
        raise ConfigError("backfill", f"{end} is before {start}", "--start, then --end")
    for n in range((last - first).days + 1):
        yield (first + timedelta(days=n)).isoformat()


def is_published(table: StoragePath, day: str) -> bool:
    """Say whether a table of days has this one, whole."""
    return (as_path(table) / f"run_date={day}" / SUCCESS).is_file()


def is_scored(settings: Settings, day: str) -> bool:
    """Say whether a day is published, and not as empty while the store has sessions of it."""
    if not is_published(settings.scores, day):
        return False
    partition = as_path(settings.scores) / f"run_date={day}"
    return bool(read_manifest(partition)["n_sessions"]) or not day_sources(settings, day)
