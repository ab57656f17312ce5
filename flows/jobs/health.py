"""The health of an installation: when each job last succeeded, what came of it, room on the disk.

All of it is read from what the jobs publish, so that it holds without Prefect's server too.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from flows.settings import Settings
from model.registry import list_models, read_champion
from pipeline.monitoring.drift import DriftLevel
from pipeline.scores.partitions import read_manifest
from pipeline.storage.paths import RemotePath, StoragePath, as_path
from pipeline.storage.publish import MANIFEST, SUCCESS
from pipeline.storage.store import ingested_days
from pipeline.storage.version import program_version

_COUNTED: Final = ("n_sessions", "n_flagged", "n_review", "n_abstained", "n_quarantined")
_LEVELS: Final[Mapping[DriftLevel, int]] = {"too_few": -1, "ok": 0, "some": 1, "strong": 2}


@dataclass(frozen=True)
class HealthJob:
    """What to look at, and from when on something is wrong."""

    settings: Settings
    server: str  # address of Prefect's server
    server_answers: bool
    expects_server: bool  # one is configured, or `serve` ran here before
    max_age_h: float = 26.0  # since the last success of a daily job that has a schedule
    min_free_gb: float = 1.0  # on each disk


@dataclass(frozen=True)
class JobHealth:
    """The last success of a job."""

    job: str
    at: str | None  # ISO 8601, UTC; None: never
    age_h: float | None
    day: str | None  # the day it was about; the model's id for `train`


@dataclass(frozen=True)
class Health:
    """What was found, and what is wrong with it."""

    version: str
    jobs: tuple[JobHealth, ...]
    last_day: Mapping[str, float]  # counts of the last day scored, and its duration_s
    drift: DriftLevel | None  # of the last day compared
    free_bytes: Mapping[str, int]  # by setting: store, scores, models, drift
    champion: str | None
    server: str  # its address
    server_answers: bool
    problems: tuple[str, ...]

    @property
    def is_healthy(self) -> bool:
        """Say whether nothing is wrong."""
        return not self.problems


def health(job: HealthJob, now: datetime | None = None) -> Health:
    """Return the health of an installation, as of `now`."""
    now, settings = now or datetime.now(UTC), job.settings
    scored, compared = _last(settings.scores), _last(settings.drift)
    ingested = max(ingested_days(settings.store).items(), key=lambda pair: pair[1], default=None)
    last = next(reversed(list(list_models(settings.models))), None)
    champion = read_champion(settings.models)
    jobs = (
        _job("ingest", ingested[1] if ingested else None, ingested and ingested[0], now),
        _job("score", scored.get("scored_at"), scored.get("run_date"), now),
        _job("monitor", compared.get("checked_at"), compared.get("run_date"), now),
        _job("train", last.trained_at if last else None, last.model_id if last else None, now),
    )
    free = {name: n for name in ("store", "scores", "models", "drift")
            if (n := _free_bytes(getattr(settings, name))) is not None}  # fmt: skip
    is_silent = job.expects_server and not job.server_answers
    problems = [
        *_late(jobs, settings, job.max_age_h),
        *(f"{name}: {n / 1e9:.1f} GB free, fewer than {job.min_free_gb:g}"
          for name, n in free.items() if n < job.min_free_gb * 1e9),
        *([f"the server at {job.server} does not answer"] if is_silent else []),
        *(["strong drift on the last day compared"] if compared.get("level") == "strong" else []),
    ]  # fmt: skip
    return Health(
        version=program_version(),
        jobs=jobs,
        last_day={
            name: scored[name] for name in (*_COUNTED, "duration_s") if scored.get(name) is not None
        },
        drift=compared.get("level"),
        free_bytes=free,
        champion=champion.model_id if champion else None,
        server=job.server,
        server_answers=job.server_answers,
        problems=tuple(problems),
    )


def _last(table: StoragePath) -> dict[str, Any]:
    """Return the manifest of the last day published in a table, with its `run_date`."""
    paths = [path for path in as_path(table).glob(f"run_date=*/{MANIFEST}")
             if (path.parent / SUCCESS).is_file()]  # fmt: skip
    if not paths:
        return {}
    partition = max(paths, key=str).parent
    return read_manifest(partition) | {"run_date": partition.name.partition("=")[2]}


def _job(name: str, at: str | None, day: str | None, now: datetime) -> JobHealth:
    if at is None:
        return JobHealth(name, None, None, None)
    when = datetime.fromisoformat(at)
    return JobHealth(name, at, (now - when).total_seconds() / 3600, day)


def _late(jobs: tuple[JobHealth, ...], settings: Settings, max_age_h: float) -> Iterator[str]:
    """Give what is wrong with the daily jobs that have a schedule."""
    for found in jobs:
        if found.job == "train" or not getattr(settings.schedule, found.job):
            continue
        if found.age_h is None:
            yield f"{found.job}: it has never succeeded"
        elif found.age_h > max_age_h:
            yield f"{found.job}: its last success is {found.age_h:.0f} h ago, over {max_age_h:g}"


def _free_bytes(folder: StoragePath) -> int | None:
    """Return how much room there is for a folder that may not be there yet; None: no disk."""
    folder = as_path(folder)
    if isinstance(folder, RemotePath):
        return None
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def health_json(found: Health) -> dict[str, Any]:
    """Return it as JSON holds it."""
    return {"is_healthy": found.is_healthy} | json.loads(json.dumps(asdict(found)))


def health_text(found: Health) -> str:
    """Return it as lines for people."""
    lines = [f"pointerprint {found.version}: {'healthy' if found.is_healthy else 'NOT healthy'}"]
    lines += [f"- {problem}" for problem in found.problems]
    lines.append(f"{'job':<8} {'last success (UTC)':<20} {'age, h':>7}  day or model")
    for one in found.jobs:
        age = "-" if one.age_h is None else f"{one.age_h:.1f}"
        lines.append(f"{one.job:<8} {(one.at or 'never')[:19]:<20} {age:>7}  {one.day or '-'}")
    counts = ", ".join(
        f"{name.removeprefix('n_')} {n:,}" for name, n in found.last_day.items() if name in _COUNTED
    )
    lines.append(f"last day scored: {counts or '-'}; drift: {found.drift or '-'}")
    room = ", ".join(f"{name} {n / 1e9:.1f} GB" for name, n in found.free_bytes.items())
    lines.append(f"free: {room or '-'}")
    lines.append(f"server {found.server}: {'answers' if found.server_answers else 'no answer'}")
    return "\n".join(lines)


def health_metrics(found: Health) -> str:
    """Return it in Prometheus' text format."""
    ages = [(f'job="{one.job}"', datetime.fromisoformat(one.at).timestamp())
            for one in found.jobs if one.at]  # fmt: skip
    free = [(f'folder="{name}"', n) for name, n in found.free_bytes.items()]
    series: list[tuple[str, str, Sequence[tuple[str, float]]]] = [
        ("info", "The version that runs", [(f'version="{found.version}"', 1)]),
        ("healthy", "1 if nothing is wrong", [("", found.is_healthy)]),
        ("server_up", "1 if Prefect's server answers", [("", found.server_answers)]),
        ("last_success_timestamp_seconds", "When a job last succeeded", ages),
        ("disk_free_bytes", "Room on the disk of a folder", free),
        *((f"last_day_{name.removeprefix('n_').replace('duration_s', 'duration_seconds')}",
           "Of the last day scored", [("", n)]) for name, n in found.last_day.items()),
    ]  # fmt: skip
    if found.drift is not None:
        what = "Of the last day compared: -1 too few sessions, 0 none, 1 some, 2 strong"
        series.append(("drift_level", what, [("", _LEVELS[found.drift])]))
    lines = []
    for name, what, values in series:
        lines += [f"# HELP pointerprint_{name} {what}.", f"# TYPE pointerprint_{name} gauge"]
        for label, value in values:
            labels = f"{{{label}}}" if label else ""
            lines.append(f"pointerprint_{name}{labels} {float(value):.15g}")
    return "\n".join(lines)
