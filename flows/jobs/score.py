"""The scoring job: stores or logs and a trained model in, a partition of scores out."""

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from flows.jobs.inputs import each_sessions
from flows.jobs.replays import judge_replays
from model.run import load_model
from model.score import score_sessions
from pipeline.errors import DataError
from pipeline.logs import NO_COLUMNS
from pipeline.publish import lock, publish_partition, seal, staging, write_parquet
from pipeline.readers import AUTO
from pipeline.replay.recordings import record
from pipeline.schemas import SCORES
from pipeline.store import check_date

log = logging.getLogger(__name__)


def score(
    paths: Sequence[Path],
    run: Path,
    scores: Path,
    run_date: str,
    format: str = AUTO,
    columns: Mapping[str, str] = NO_COLUMNS,
    progress: Callable[[int], None] = lambda n_sessions: None,
    history: Sequence[Path] = (),
    replays: bool = True,
) -> Path:
    """Score every session in `paths` and publish `SCORES/run_date=...`, whole or not at all.

    Replays are looked for among these sessions and those of `history`, which aren't scored.
    """
    check_date(run_date)
    model = load_model(run)
    model_id, run_id, scored_at = model.model_id, uuid.uuid4().hex, datetime.now(UTC)
    seen: set[str] = set()
    tables, recordings = [SCORES.empty_table()], []
    for sessions in each_sessions(paths, format, columns):
        tables.append(score_sessions(model, model_id, sessions, run_id, scored_at))
        _refuse_doubles(tables[-1], seen)
        if replays and model.chance is not None:
            recordings.append(record(sessions))
        progress(len(seen))
    # A replay shows only beside its original: no row is ready before all have been read.
    earlier = each_sessions(history, format, columns)
    table = judge_replays(pa.concat_tables(tables), recordings, earlier, model)
    counts = {
        "n_sessions": table.num_rows,
        "n_flagged": table["is_flagged"].to_pylist().count(True),
        "n_abstained": table["fraud_score"].null_count,
        "n_replays": table["replay_of"].drop_null().length(),
    }

    target = scores / f"run_date={run_date}"
    with lock(scores), staging(target, scores) as staged:
        write_parquet(table, staged / "part-00000.parquet")
        seal(
            staged,
            counts
            | {
                "run_id": run_id,
                "model_id": model_id,
                "threshold": model.policy.threshold,
                "scored_at": scored_at.isoformat(),
                "inputs": [path.name for path in paths],
                # Where a report finds the paths and the network again.
                "read_from": {
                    "paths": [str(path.absolute()) for path in paths],
                    "format": format,
                    "columns": dict(columns),
                },
                "run": str(run.absolute()),
            },
        )
        publish_partition(staged, target)
    log.info("scored %(n_sessions)d sessions, flagged %(n_flagged)d", counts)
    return target


def _refuse_doubles(table: pa.Table, seen: set[str]) -> None:
    """Raise `DataError` if a session is in two of the inputs: its score would stand twice."""
    ids = table["session_id"].to_pylist()
    doubles = [session_id for session_id in ids if session_id in seen]
    if doubles:
        raise DataError(
            "score",
            f"session {doubles[0]!r} is in more than one input ({len(doubles)} such sessions)",
            "score the inputs apart, or ingest them into one store",
        )
    seen.update(ids)
