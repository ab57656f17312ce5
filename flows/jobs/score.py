"""Score the sessions of stores or logs, and publish the scores as a day's partition.

Sources are cut into shards. Each is scored into a file of its own in a sibling of SCORES; when all
are there, the partition is put together and published. A run that was killed goes on with the
shards that are missing, and memory doesn't grow with the number of sessions.
"""

import logging
import time
import uuid
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from flows.jobs.inputs import each_sessions
from flows.jobs.partition import publish_scores, staged_scores, summary_lines
from flows.jobs.progress import Progress
from flows.jobs.shards import ScoringRun, score_by_processes, score_on_cluster, score_shard
from model.registry import resolve_run
from model.run import TrainedModel, load_model
from pipeline.config import AbstainIs
from pipeline.errors import ConfigError, DataError
from pipeline.ingest.parse import refuse_no_logs
from pipeline.readers import AUTO
from pipeline.schemas import SCORES
from pipeline.sessions.recorder import check_recorder
from pipeline.storage.paths import StoragePath, as_path
from pipeline.storage.shards import (
    Shard,
    alone_with,
    drop_staged,
    inputs_digest,
    open_staged,
    plan_shards,
)
from pipeline.storage.store import check_date
from pipeline.storage.version import program_version

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoreJob:
    """What to score, with which model, and where the scores go."""

    sources: Sequence[StoragePath]  # stores, or raw logs as they came
    model: StoragePath  # a RUN, a folder of models: its champion, or `starter`: what ships
    to: StoragePath  # the SCORES table
    date: str  # of the partition, YYYY-MM-DD
    format: str = AUTO  # of raw logs
    columns: Mapping[str, str] = field(default_factory=dict)  # the logs' column names
    recorder: str = ""  # that wrote the raw logs; empty: found or estimated
    history: Sequence[StoragePath] = ()  # earlier sessions that may have been replayed; not scored
    replays: bool = True  # compare sessions with each other and with the history
    workers: int = 1  # processes that score at the same time
    scheduler: str | None = None  # of a Dask cluster that scores instead: tcp://HOST:PORT
    budget: float | None = None  # target FPR, one that the model has; None: the model's own
    abstain_is: AbstainIs = "review"  # whether sessions that abstain are for review

    def __post_init__(self) -> None:
        """Take paths in an object store for what they are, and refuse what can't be done."""
        check_date(self.date)
        object.__setattr__(self, "recorder", check_recorder(self.recorder))
        if self.workers < 1:
            raise ConfigError("workers", f"{self.workers} is too few", "at least 1")
        for name in ("model", "to"):
            object.__setattr__(self, name, as_path(getattr(self, name)))
        for name in ("sources", "history"):
            object.__setattr__(self, name, tuple(map(as_path, getattr(self, name))))

    @property
    def partition(self) -> StoragePath:
        """Return the folder that is published."""
        return self.to / f"run_date={self.date}"


def score(job: ScoreJob) -> Generator[Progress, None, StoragePath]:
    """Score every session, and publish `SCORES/run_date=...`, whole or not at all.

    Yield how many sessions are scored, and return the partition.
    """
    began = time.monotonic()
    job = replace(job, model=resolve_run(job.model))  # the champion of now scores to the end
    model = load_model(job.model, job.budget)
    shards = plan_shards(job.sources)
    with alone_with(job.partition):
        run = _begin(job, model, shards)
        try:
            yield from _score_missing(job, run, model, shards)
            _refuse_sources_without_logs(job, run, shards)
            rows = staged_scores(run.staged, shards)
            if run.keeps_recordings:
                from flows.jobs.replays import mark_replays  # it loads SciPy

                history = each_sessions(job.history, job.format, job.columns)
                rows = mark_replays(run.staged, len(shards), history, model)
            manifest = publish_scores(
                run.staged, shards, rows, job.partition, _described(job, run, model, began),
                job.abstain_is,
            )  # fmt: skip
        except DataError:  # the same sources would end the same way again
            drop_staged(run.staged)
            raise
        drop_staged(run.staged)
    _log_summary(manifest, time.monotonic() - began)
    return job.partition


def _begin(job: ScoreJob, model: TrainedModel, shards: Sequence[Shard]) -> ScoringRun:
    """Return a new run of the job, or the one that a crash left unfinished.

    Its shards are taken only if they would come out the same today.
    """
    keeps_recordings = job.replays and model.null_model is not None
    ranges = model.reference_ranges
    decides = {
        "model_id": model.model_id,
        "threshold": model.policy.threshold,
        "format": job.format,
        "columns": dict(job.columns),
        "recorder": job.recorder,
        "replays": keeps_recordings,
        "recorders": dict(model.recorders),
        "reference_ranges": None if ranges is None else ranges.to_json(),
        "scores": SCORES.metadata[b"version"].decode(),
        "pointerprint": program_version(),
    }
    staged, begun = open_staged(
        job.partition,
        inputs_digest(shards, decides),
        {"run_id": uuid.uuid4().hex, "scored_at": datetime.now(UTC).isoformat()},
    )
    return ScoringRun(
        model=job.model,
        model_id=model.model_id,
        budget=job.budget,
        run_id=begun["run_id"],
        scored_at=datetime.fromisoformat(begun["scored_at"]),
        staged=staged,
        format=job.format,
        columns=job.columns,
        recorder=job.recorder,
        keeps_recordings=keeps_recordings,
    )


def _score_missing(
    job: ScoreJob, run: ScoringRun, model: TrainedModel, shards: Sequence[Shard]
) -> Iterator[Progress]:
    """Score the shards that aren't finished, here, in processes or on a cluster."""
    missing = [shard for shard in shards if not run.staged.is_whole(shard.number)]
    if not missing:
        return
    if len(missing) < len(shards):
        log.info("%d of %d shards are there already", len(shards) - len(missing), len(shards))
    if job.scheduler is not None:
        scored = score_on_cluster(run, missing, job.scheduler)
    elif job.workers > 1:
        scored = score_by_processes(run, missing, job.workers)
    else:
        scored = (n for shard in missing for n in score_shard(run, shard, model))
    done = (run.staged.read_result(shard.number) for shard in shards if shard not in missing)
    n_done = sum(result["n_sessions"] for result in done if result)
    is_known = all(shard.is_of_store for shard in shards)
    n_all = sum(shard.n_sessions for shard in shards) if is_known else 0
    for n_sessions in scored:
        n_done += n_sessions
        yield Progress(n_done, n_all, "sessions")


def _refuse_sources_without_logs(job: ScoreJob, run: ScoringRun, shards: Sequence[Shard]) -> None:
    """Raise why, if a source of raw logs has no log in it."""
    by_source: dict[int, list[Shard]] = {}
    for shard in shards:
        if not shard.is_of_store:
            by_source.setdefault(shard.source, []).append(shard)
    for own in by_source.values():
        results = [run.staged.read_result(shard.number) for shard in own]
        if not any(result and result["n_groups"] for result in results):
            refuse_no_logs(own[0].logs, job.format, job.columns)


def _described(
    job: ScoreJob, run: ScoringRun, model: TrainedModel, began: float
) -> dict[str, object]:
    """Return what the manifest says of the run, beside what came of it."""
    return {
        "pointerprint": program_version(),
        "duration_s": round(time.monotonic() - began, 3),  # but for publishing
        "run_id": run.run_id,
        "scored_at": run.scored_at.isoformat(),
        "model_id": run.model_id,
        "threshold": model.policy.threshold,
        "inputs": [path.name for path in job.sources],
        # Where a report finds the paths and the network again.
        "read_from": {
            "paths": [str(path.absolute()) for path in job.sources],
            "format": job.format,
            "columns": dict(job.columns),
        },
        "run": str(job.model.absolute()),
        "abstain_is": job.abstain_is,
        "is_starter": model.starter is not None,
        "is_adapted": bool(model.levels),
    }


def _log_summary(manifest: Mapping[str, int], seconds: float) -> None:
    """Log what came of a run, with counts that a JSON log keeps as fields."""
    counts = {name: n for name, n in manifest.items() if name.startswith("n_")}
    log.info("scored %(n_sessions)d sessions, flagged %(n_flagged)d", counts)
    for line in summary_lines(manifest):
        log.info("%s", line)
    log.info(
        "%(seconds).1f s, %(sessions_per_s).0f sessions a second",
        {"seconds": seconds, "sessions_per_s": counts["n_sessions"] / seconds},
    )
