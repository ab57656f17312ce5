"""From a store of 1,000 sessions to a RUN, by stage: `train` with its default settings."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.speed.recordings import DAY, make_sessions
from benchmarks.speed.timed_training import EPOCHS, STAGES
from benchmarks.speed.timing import Result
from pipeline.schemas import QUARANTINE
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from pipeline.simulate.synthetic import simulate_sessions
from pipeline.storage.store import Part, write_part

N_SESSIONS, N_ACCOUNTS = 1000, 100
START = "start and imports"
Seconds = Mapping[str, Sequence[float]]
"""By stage: of the clock, and of processors."""


def measure(repeats: int) -> Result:
    """Train from legitimate sessions, from labelled ones, and the owner task from accounts."""
    people = make_people(N_SESSIONS)
    half = people.take(np.arange(N_SESSIONS // 2))
    frauds = simulate_sessions(half)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone = write_store(folder / "people", people)
        labelled = write_store(folder / "labelled", concatenate_sessions([half, frauds]))
        cases = {
            "--simulate": (alone, "--simulate"),
            "labels": (labelled,),
            "--task owner": (alone, "--task", "owner"),
        }
        taken = {case: _repeated(words, folder, repeats) for case, words in cases.items()}
    rows: list[dict[str, object]] = []
    for stage in (START, *STAGES, EPOCHS, "whole"):
        row: dict[str, object] = {"stage": stage}
        for case, (medians, _) in taken.items():
            row[f"{case}: s"], row[f"{case}: CPU-s"] = medians.get(stage, (None, None))
        rows.append(row)
    cold = ", ".join(f"{case} {seconds:.1f} s" for case, (_, seconds) in taken.items())
    return Result(
        "train-run",
        f"A store of {N_SESSIONS:,} sessions of 200 events to a RUN, compiled before",
        rows,
        [f"With nothing compiled yet: {cold}."],
    )


def make_people(n: int) -> Sessions:
    """Return `n` legitimate sessions of `N_ACCOUNTS` accounts, or of fewer if there are fewer.

    The recordings are of one hand, so each account moves it at a pace of its own, and lower or
    higher: without a difference there is nothing to learn.
    """
    sessions, n_accounts = make_sessions(n), min(N_ACCOUNTS, n // 2)
    account = np.arange(n) % n_accounts
    pace, height = np.exp(np.random.default_rng(0).uniform(-0.7, 0.7, (2, n_accounts)))
    of_event = account[sessions.session_of_event]
    return replace(
        sessions,
        label=np.zeros(n, np.int8),
        account_id=np.array([f"account {i}" for i in account], object),
        t_us=(sessions.t_us * pace[of_event]).astype(np.int64),
        y_px=np.rint(sessions.y_px * height[of_event]).astype(np.float32),
    )


def write_store(store: Path, sessions: Sessions) -> Path:
    """Write a store of `sessions`."""
    write_part(Part(store, DAY, "made"), [sessions], QUARANTINE.empty_table(), {"files": []})
    return store


def _repeated(words: Sequence[object], folder: Path, repeats: int) -> tuple[Seconds, float]:
    """Return the medians of trainings compiled before, and seconds of one that was not."""
    shutil.rmtree(cache := folder / "cache", ignore_errors=True)
    first, *others = (trained(words, folder, cache) for _ in range(1 + repeats))
    medians = {
        stage: [float(statistics.median(one[stage][i] for one in others)) for i in (0, 1)]
        for stage in first
    }
    return medians, first["whole"][0]


def trained(words: Sequence[object], folder: Path, cache: Path) -> Seconds:
    """Train in a process of its own; compiled programs are kept in `cache`."""
    store, *flags = map(str, words)
    command = [sys.executable, "-m", "benchmarks.speed.timed_training", store, f"{folder}/run"]
    begun = time.perf_counter()
    done = subprocess.run(
        [*command, *flags],
        check=True,
        stdout=subprocess.PIPE,
        env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)},
    )
    took = time.perf_counter() - begun
    shutil.rmtree(folder / "run")
    found = json.loads(done.stdout)
    wall, cpu = (sum(column) for column in zip(*found["stages"].values(), strict=True))
    start_cpu_s = found["begun_cpu_s"]
    return found["stages"] | {START: (took - wall, start_cpu_s), "whole": (took, start_cpu_s + cpu)}
