"""One shard: its sessions in, its rows and recordings out, staged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from model.run import TrainedModel, load_model
from model.score import score_sessions
from pipeline.errors import DataError
from pipeline.ingest.report import outcomes_to
from pipeline.replay.recordings import Recordings, concatenate_recordings, record, write_recordings
from pipeline.schemas import SCORES
from pipeline.sessions.sessions import Sessions
from pipeline.storage.overlap import overlapped
from pipeline.storage.publish import write_parquet
from pipeline.storage.shards import Shard, StagedShards, read_shard


@dataclass(frozen=True)
class Work:
    """What all shards of a scoring have in common; small, since it travels to workers."""

    run: Path
    model_id: str
    run_id: str
    scored_at: datetime
    staged: StagedShards
    format: str
    columns: Mapping[str, str]
    keeps_recordings: bool
    budget: float | None = None  # of false alarms; None: the model's own


def score_shard(
    work: Work,
    shard: Shard,
    progress: Callable[[int], None] = lambda n_sessions: None,
    model: TrainedModel | None = None,
) -> int:
    """Score and stage a shard, and return how many sessions it has.

    A worker loads the `model` itself.
    """
    model = model or _model(work.run, work.model_id, work.budget)

    def score_group(sessions: Sessions) -> tuple[pa.Table, Recordings | None]:
        rows = score_sessions(model, work.model_id, sessions, work.run_id, work.scored_at)
        return rows, record(sessions) if work.keeps_recordings else None

    tables, recordings, n_groups = [SCORES.empty_table()], [], 0
    with outcomes_to(work.staged.rejected(shard.number)) as outcomes:
        groups = read_shard(shard, work.format, work.columns, outcomes)
        for rows, recording in overlapped(score_group, groups):
            tables.append(rows)
            recordings += [recording] if recording is not None else []
            n_groups += 1
            progress(rows.num_rows)
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    write_parquet(table, work.staged.part(shard.number))
    if recordings:
        write_recordings(concatenate_recordings(recordings), work.staged.recordings(shard.number))
    work.staged.finish(
        shard.number,
        {
            "n_sessions": table.num_rows,
            "n_groups": n_groups,
            "n_movements": sum(recording.n_movements for recording in recordings),
            "logs": None if shard.is_of_store else outcomes.to_json(),
        },
    )
    return table.num_rows


@lru_cache(maxsize=1)
def _model(run: Path, model_id: str, budget: float | None) -> TrainedModel:
    """Return the model, loaded once a process; a worker must find the one that was meant."""
    model = load_model(run, budget)
    if model.model_id != model_id:
        raise DataError(
            run,
            f"model {model.model_id} is here, and {model_id} was when the scoring began",
            "score again: it was trained, or had accounts enrolled, in between",
        )
    return model
