"""Shards in, finished shards out: one after another, by processes, or on a Dask cluster.

A worker gets paths and writes files; nothing large travels. JAX is only imported in it: a process
that was forked after JAX started threads hangs, so processes are spawned.
"""

import logging
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Final

from flows.console import Stopped
from model.device import prepare_jax
from pipeline.errors import ConfigError, WorkerError
from pipeline.storage.shards import Shard

if TYPE_CHECKING:  # it would load JAX
    from flows.jobs.shards import Work

log = logging.getLogger(__name__)

_PATIENCE: Final = "30s"  # for a scheduler to answer


def score_elsewhere(work: "Work", shard: Shard) -> int:
    """Score a shard in a process that may not have JAX yet."""
    prepare_jax()
    from flows.jobs.shards import score_shard

    return score_shard(work, shard)


def by_processes(work: "Work", shards: Sequence[Shard], n_workers: int) -> Iterator[int]:
    """Give the number of sessions of each shard as `n_workers` processes finish them."""
    if n_workers < 1:
        raise ConfigError("workers", f"{n_workers} is too few", "at least 1")
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(n_workers, len(shards)), spawn, _keep_to_some_cores, (spawn.Value("i", 0), n_workers)
    ) as pool:
        futures = [pool.submit(score_elsewhere, work, shard) for shard in shards]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise WorkerError(
                "workers",
                "a worker process ended without a word",
                "was it out of memory? finished shards are kept: run it again, with fewer workers",
            ) from error
        except (Stopped, KeyboardInterrupt, GeneratorExit):  # nobody waits for the shards any more
            for process in list(pool._processes.values()):
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


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


def on_cluster(work: "Work", shards: Sequence[Shard], address: str) -> Iterator[int]:
    """Give the number of sessions of each shard as the workers of a Dask cluster finish them.

    They read the inputs and the RUN, and write the staged shards, under the same paths.
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
        futures = client.map(score_elsewhere, [work] * len(shards), shards, pure=False)
        for future in completed(futures, loop=client.loop):
            yield future.result()
