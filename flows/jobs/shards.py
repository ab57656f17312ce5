"""Score shards: in this process, in several, or on a Dask cluster.

A worker is sent paths and writes files; nothing large travels. It imports JAX itself, after its
process is set up: one that was forked after JAX started threads hangs, so processes are spawned.
"""

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from flows.console import Stopped
from model.device import prepare_jax
from pipeline.errors import ConfigError, DataError, WorkerError
from pipeline.ingest.report import ShardReport
from pipeline.replay.signature import Recordings, concatenate_recordings, record, write_recordings
from pipeline.schemas import SCORES
from pipeline.sessions.sessions import Sessions
from pipeline.storage.overlap import overlapped
from pipeline.storage.paths import StoragePath
from pipeline.storage.publish import write_parquet
from pipeline.storage.shards import Shard, StagedShards, read_shard

if TYPE_CHECKING:  # it would load JAX
    from model.run import TrainedModel

_PIECE: Final = 1_024  # sessions that a thread scores at once
_PATIENCE: Final = "30s"  # for a scheduler to answer


@dataclass(frozen=True)
class ScoringRun:
    """What all shards of a run have in common; small, since workers are sent it."""

    model: StoragePath  # the RUN
    model_id: str
    budget: float | None
    run_id: str
    scored_at: datetime  # UTC
    staged: StagedShards
    format: str
    columns: Mapping[str, str]
    recorder: str  # of raw logs; empty: found or estimated
    keeps_recordings: bool  # replays are searched for afterwards


def score_shard(run: ScoringRun, shard: Shard, model: "TrainedModel") -> Iterator[int]:
    """Score and stage a shard; give the number of sessions of each piece that is scored."""
    from model.score import score_sessions

    def score_piece(sessions: Sessions) -> tuple[pa.Table, Recordings | None]:
        rows = score_sessions(model, run.model_id, sessions, run.run_id, run.scored_at)
        return rows, record(sessions) if run.keeps_recordings else None

    tables, recordings, n_groups = [SCORES.empty_table()], [], 0
    with ShardReport(run.staged.rejected(shard.number)) as report:
        groups = read_shard(shard, run.format, run.columns, report, run.recorder)
        pieces = (piece for group in groups for piece in _pieces(group))
        for rows, recording in overlapped(score_piece, pieces):
            tables.append(rows)
            recordings += [recording] if recording is not None else []
            n_groups += 1
            yield rows.num_rows
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    write_parquet(table, run.staged.part(shard.number), flush=False)
    if recordings:
        write_recordings(concatenate_recordings(recordings), run.staged.recordings(shard.number))
    run.staged.finish(
        shard.number,
        {
            "n_sessions": table.num_rows,
            "n_groups": n_groups,
            "n_movements": sum(recording.n_movements for recording in recordings),
            "logs": None if shard.is_of_store else report.to_json(),
        },
    )


def _pieces(sessions: Sessions) -> Iterator[Sessions]:
    """Give a group in pieces, so that one group keeps every core busy; at least one piece."""
    for start in range(0, max(len(sessions), 1), _PIECE):
        yield sessions.between(start, min(start + _PIECE, len(sessions)))


def score_by_processes(run: ScoringRun, shards: Sequence[Shard], n_workers: int) -> Iterator[int]:
    """Give the number of sessions of each shard as `n_workers` processes finish them."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(n_workers, len(shards)), spawn, _keep_to_some_cores, (spawn.Value("i", 0), n_workers)
    ) as pool:
        futures = [pool.submit(score_in_worker, run, shard) for shard in shards]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise WorkerError(
                "workers",
                "a worker process exited unexpectedly",
                "was it out of memory? finished shards are kept: run it again, with fewer workers",
            ) from error
        except (Stopped, KeyboardInterrupt, GeneratorExit):  # nobody waits for the shards any more
            for process in list(pool._processes.values()):
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def score_on_cluster(run: ScoringRun, shards: Sequence[Shard], address: str) -> Iterator[int]:
    """Give the number of sessions of each shard as the workers of a Dask cluster finish them.

    They read the sources and the RUN, and write the staged shards, under the same paths.
    """
    try:
        from distributed import Client
        from distributed import as_completed as completed
    except ImportError as error:
        raise ConfigError(
            "scheduler", "Dask is not installed", "pip install 'pointerprint[dask]'"
        ) from error
    try:
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise WorkerError(
            address, f"no Dask scheduler answers: {error}", "such as tcp://10.0.0.1:8786"
        ) from error
    with client:
        # Not pure: Dask would take the result of another scoring with the same arguments.
        futures = client.map(score_in_worker, [run] * len(shards), shards, pure=False)
        for future in completed(futures, loop=client.loop):
            yield future.result()


def score_in_worker(run: ScoringRun, shard: Shard) -> int:
    """Score and stage a shard in a process that may not have JAX yet; return its sessions."""
    prepare_jax()
    return sum(score_shard(run, shard, _load_model(run.model, run.model_id, run.budget)))


@lru_cache(maxsize=1)
def _load_model(path: StoragePath, model_id: str, budget: float | None) -> "TrainedModel":
    """Return the model, loaded once a process; it must be the one that the run began with."""
    from model.run import load_model

    model = load_model(path, budget)
    if model.model_id != model_id:
        raise DataError(
            path,
            f"model {model.model_id} is here, and {model_id} was when the scoring began",
            "score again: it was trained, or had accounts enrolled, in between",
        )
    return model


def _keep_to_some_cores(counter, n_workers: int) -> None:
    """Give each worker process cores of its own, before JAX makes a thread for each it sees."""
    with counter.get_lock():
        number = counter.value
        counter.value += 1
    if hasattr(os, "sched_setaffinity"):  # Linux
        cores = sorted(os.sched_getaffinity(0))
        own = cores[number % n_workers :: n_workers]
        if own:
            os.sched_setaffinity(0, own)
