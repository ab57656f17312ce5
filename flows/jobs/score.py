"""The scoring job: stores or logs and a trained model in, a partition of scores out.

Inputs are cut into shards. Each is scored to a file of its own in a sibling of SCORES, and when
all are there, the partition is put together and published. A run that was killed goes on with the
shards that are missing; memory does not grow with the number of sessions.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from flows.jobs.inputs import each_sessions
from flows.jobs.partition import Begun, Replays, make_partition
from flows.jobs.replays import search_replays
from flows.jobs.shards import Work, score_shard
from flows.jobs.summary import summary_lines
from flows.jobs.workers import by_processes, on_cluster
from model.registry import resolve_run
from model.run import TrainedModel, load_model
from pipeline.config import AbstainIs
from pipeline.ingest.parse import NO_COLUMNS, refuse_no_logs
from pipeline.readers import AUTO
from pipeline.schemas import SCORES
from pipeline.storage.paths import as_path
from pipeline.storage.shards import Shard, inputs_digest, plan_shards
from pipeline.storage.store import check_date

log = logging.getLogger(__name__)


def _no_progress(n_done: int, n_sessions: int) -> None:
    """Say nothing."""


def score(
    paths: Sequence[Path],
    run: Path,
    scores: Path,
    run_date: str,
    format: str = AUTO,
    columns: Mapping[str, str] = NO_COLUMNS,
    progress: Callable[[int, int], None] = _no_progress,
    history: Sequence[Path] = (),
    replays: bool = True,
    workers: int = 1,
    scheduler: str | None = None,
    budget: float | None = None,
    abstain_is: AbstainIs = "review",
) -> Path:
    """Score every session in `paths` and publish `SCORES/run_date=...`, whole or not at all.

    Replays are looked for among these sessions and those of `history`, which aren't scored.
    `progress` is called with how many sessions are done, and of how many (0: not known). With
    `workers` processes, or those of a Dask cluster, shards are scored at the same time.
    `run` may be a folder of models: the one that is champion now scores to the end. Whether
    sessions that can't be judged are for review, `abstain_is` says.
    """
    check_date(run_date)
    paths, run, scores = [as_path(path) for path in paths], as_path(run), as_path(scores)
    target = scores / f"run_date={run_date}"
    run = resolve_run(run)
    model = load_model(run, budget)
    shards = plan_shards(paths)
    searches = replays and model.null_model is not None
    began = time.monotonic()

    def score_missing(begun: Begun, missing: Sequence[Shard]) -> None:
        work = Work(
            run, model.model_id, begun.run_id, begun.scored_at, begun.staged,
            format, columns, searches, budget,
        )  # fmt: skip
        _score(work, model, shards, missing, workers, scheduler, progress)
        _refuse_no_logs(work, shards)

    def search(begun: Begun) -> Replays | None:
        earlier = each_sessions(history, format, columns)
        evidence = search_replays(begun.staged, len(shards), earlier, model.null_model or {})
        return Replays(evidence, model.calibration.base_rate, model.policy.medium_threshold)

    published = make_partition(
        target,
        shards,
        inputs_digest(shards, _what_decides(model, format, columns, searches)),
        score_missing,
        {
            "model_id": model.model_id,
            "threshold": model.policy.threshold,
            "inputs": [path.name for path in paths],
            # Where a report finds the paths and the network again.
            "read_from": {
                "paths": [str(path.absolute()) for path in paths],
                "format": format,
                "columns": dict(columns),
            },
            "run": str(run.absolute()),
        },
        search if searches else lambda begun: None,
        abstain_is,
    )
    seconds = time.monotonic() - began
    counts = {name: n for name, n in published.items() if name.startswith("n_")}
    log.info("scored %(n_sessions)d sessions, flagged %(n_flagged)d", counts)
    for line in summary_lines(published):
        log.info("%s", line)
    log.info(
        "%(seconds).1f s, %(sessions_per_s).0f sessions a second",
        {"seconds": seconds, "sessions_per_s": counts["n_sessions"] / seconds},
    )
    return target


def _what_decides(
    model: TrainedModel, format: str, columns: Mapping[str, str], searches: bool
) -> dict[str, object]:
    """Return what else than the inputs decides what is in a staged shard."""
    return {
        "model_id": model.model_id,
        "threshold": model.policy.threshold,
        "format": format,
        "columns": dict(columns),
        "replays": searches,
        "usual": model.reference_ranges.to_json() if model.reference_ranges is not None else None,
        "scores": SCORES.metadata[b"version"].decode(),
        "pointerprint": metadata.version("pointerprint"),
    }


def _score(
    work: Work,
    model: TrainedModel,
    shards: Sequence[Shard],
    missing: Sequence[Shard],
    workers: int,
    scheduler: str | None,
    progress: Callable[[int, int], None],
) -> None:
    """Score the shards that aren't finished."""
    notes = [work.staged.read_note(shard.number) for shard in shards]
    n_done = sum(note["n_sessions"] for note in notes if note)
    n_all = sum(shard.n_sessions for shard in shards)
    n_all = n_all if all(shard.is_of_store for shard in shards) else 0

    def show(n_more: int) -> None:
        nonlocal n_done
        n_done += n_more
        progress(n_done, n_all)

    if not missing:
        return
    if scheduler is not None:
        for n_sessions in on_cluster(work, missing, scheduler):
            show(n_sessions)
    elif workers != 1:
        for n_sessions in by_processes(work, missing, workers):
            show(n_sessions)
    else:
        for shard in missing:
            score_shard(work, shard, show, model)


def _refuse_no_logs(work: Work, shards: Sequence[Shard]) -> None:
    """Raise why, if an input of raw logs has no log in it."""
    logs = [shard for shard in shards if not shard.is_of_store]
    for source in sorted({shard.source for shard in logs}):
        own = [shard for shard in logs if shard.source == source]
        notes = [work.staged.read_note(shard.number) for shard in own]
        if not any(note and note["n_groups"] for note in notes):
            refuse_no_logs(own[0].logs, work.format, work.columns)
