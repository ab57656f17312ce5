"""An installation's settings and a day in, what is due on that day done: no Prefect here.

The flows, `backfill` and `monitor` call these, so that a day is the same however it comes about.
"""

import logging
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from datetime import date, timedelta

from flows.jobs.monitor import MonitorJob, monitor
from flows.jobs.progress import Progress, finish, ignore
from flows.jobs.retrain import Retrained, RetrainJob, retrain
from flows.jobs.score import ScoreJob, score
from flows.jobs.tracking import track
from flows.settings import Settings
from model.config import Promote
from model.train import Epoch
from pipeline.errors import ConfigError
from pipeline.ingest.ingest import ingest_logs
from pipeline.ingest.report import IngestReport
from pipeline.readers.common.tabular import parse_columns
from pipeline.storage.paths import StoragePath, as_path
from pipeline.storage.publish import SUCCESS
from pipeline.storage.store import check_date, day_folder, ingest_days, is_store

log = logging.getLogger(__name__)


def ingest_day(site: Settings, day: str) -> IngestReport:
    """Add the logs that are new to the store, as of `day`."""
    site.check_logs()
    report = ingest_logs(
        site.logs,
        site.store,
        format=site.format,
        columns=parse_columns(site.columns),
        ingest_date=day,
    )
    log.info("ingested into %(store)s as of %(day)s", {"store": str(site.store), "day": day})
    return report


def score_day(site: Settings, day: str, show: Callable[[Progress], object] = ignore) -> StoragePath:
    """Score the sessions that came into the store on `day`; those before may have been replayed.

    A day on which nothing came has a partition without rows: it is done, not forgotten.
    """
    sources = day_sources(site, day)
    if not sources:
        log.warning("no sessions were ingested on %(day)s", {"day": day})
    job = ScoreJob(
        sources,
        site.models,
        site.scores,
        day,
        history=_days_before(site, day),
        workers=site.workers,
        scheduler=site.scheduler or None,
        budget=site.budget,
        abstain_is=site.abstain_is,
    )
    return finish(score(job), show)


def monitor_day(site: Settings, day: str) -> StoragePath:
    """Compare `day` with the reference of the model that scored it."""
    return monitor(MonitorJob(site.store, site.scores, site.models, site.drift, day, site.alarm))


def train_and_compare(site: Settings, promote_when: Promote) -> Generator[Epoch, None, Retrained]:
    """Train a challenger on the store and the labels fed back; promote it if it is better."""
    config = site.run
    if site.budget is not None:
        config = replace(config, policy=replace(config.policy, budget=site.budget))
    job = RetrainJob(
        (site.store,), site.models, config, site.simulate, (site.scores,), site.promote,
        promote_when,
    )  # fmt: skip
    found = yield from retrain(job)
    if site.mlflow_uri:
        track(site.mlflow_uri, found)
    return found


def day_sources(site: Settings, day: str) -> list[StoragePath]:
    """Return the day's partition of the store; nothing if there is none."""
    folder = day_folder(site.store, day)
    return [folder] if is_store(folder) else []


def _days_before(site: Settings, day: str) -> list[StoragePath]:
    """Return the partitions of the store of the last `history_days` days before."""
    first = (date.fromisoformat(day) - timedelta(days=site.history_days)).isoformat()
    days = [found for found in ingest_days(site.store) if first <= found < day]
    return [day_folder(site.store, found) for found in days]


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
