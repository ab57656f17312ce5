"""End to end: a log of events to a Parquet of scores, ours against what a user writes first."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from benchmarks.models import untrained_run
from benchmarks.speed.network import sample_prints, sizes_of
from benchmarks.speed.peers_job import NaiveProcess
from benchmarks.speed.recordings import DAY, make_sessions, write_log
from benchmarks.speed.timing import Result, interleaved
from flows.jobs.progress import finish
from flows.jobs.score import ScoreJob, score
from model.batches import SCORED
from model.config import RunConfig
from model.fraud import FraudScorer
from model.network import new_network
from model.prints import input_windows
from pipeline.ingest.ingest import ingest_logs
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import pad_windows
from pipeline.storage.overlap import overlapped, usable_cores
from rasterize.motion import on_host

N_SESSIONS, N_EVENTS = 2048, 200
N_RESNET = 64  # sessions: it takes a second for a dozen
RESNET = "naive, ResNet-18 on pictures of the path at 224 px"
WHOLE = "ours, Parquet, reasons and replays too"
ARITHMETIC = "drawing and network alone"
CONFIG = RunConfig()


def measure(repeats: int) -> Result:
    """Score the same sessions by every means, from Parquet and from CSV."""
    with tempfile.TemporaryDirectory() as name:
        return _measure(Path(name), repeats)


def _measure(folder: Path, repeats: int) -> Result:
    sessions = make_sessions(N_SESSIONS, N_EVENTS)
    parquet = write_log(sessions, folder / "log.parquet")
    csv = write_log(sessions, folder / "log.csv")
    few = write_log(sessions.take(np.arange(N_RESNET)), folder / "few.parquet")
    store = folder / "store"
    ingest_logs([parquet], store, ingest_date=DAY)
    run = untrained_run(folder / "run")
    whole = untrained_run(folder / "whole", people=make_sessions(N_SESSIONS, N_EVENTS, seed=1))
    same, pictures = NaiveProcess(CONFIG.panels.names, sizes_of(CONFIG)), NaiveProcess((), {})

    def ours(source: Path, run: Path = run) -> Callable[[], object]:
        return lambda: finish(score(ScoreJob([source], run, folder / "scores", DAY)))

    def naive(source: Path, n_workers: int = 0) -> Callable[[], object]:
        return lambda: same(source, folder / "naive.parquet", n_workers)

    cases = {
        "ours, Parquet": ours(parquet),
        "ours, CSV": ours(csv),
        "ours, store": ours(store),
        WHOLE: ours(parquet, whole),
        "naive, Parquet": naive(parquet),
        "naive, Parquet, 2 workers": naive(parquet, 2),
        "naive, CSV": naive(csv),
        RESNET: lambda: pictures(few, folder / "naive.parquet"),
        "forward pass alone": _forward_alone(),
        ARITHMETIC: _arithmetic_alone(run, sessions),
    }
    try:
        timings = interleaved(cases, repeats)
    finally:
        same.close()
        pictures.close()
    n_sessions = dict.fromkeys(cases, N_SESSIONS) | {RESNET: N_RESNET}
    rate = {case: n_sessions[case] / timing.wall_s for case, timing in timings.items()}
    rows = [
        {
            "way": case,
            "sessions/s": rate[case],
            "ours from Parquet / this": rate["ours, Parquet"] / rate[case],
        }
        for case in cases
    ]
    share = rate["ours, Parquet"] / rate["forward pass alone"]
    of_job = {
        case: timings[ARITHMETIC].cpu_s / timings[case].cpu_s for case in ("ours, Parquet", WHOLE)
    }
    return Result(
        "end-to-end",
        f"A log of {N_SESSIONS:,} sessions of {N_EVENTS} events to a Parquet of scores",
        rows,
        [
            f"End to end / forward pass alone: **{share:.2f}**.",
            f"Of the job's processor time drawing and network by themselves take "
            f"**{of_job['ours, Parquet']:.2f}**, with reasons and replays "
            f"{of_job[WHOLE]:.2f}.",
        ],
    )


def _forward_alone() -> Callable[[], object]:
    """Return the network over as many prints, which are there already: the bound."""
    graph, params = nnx.split(new_network(CONFIG))
    images = sample_prints()
    forward = jax.jit(lambda params, images: nnx.merge(graph, params)(images))
    n_batches = N_SESSIONS // len(images)
    return lambda: list(
        overlapped(lambda _: np.asarray(forward(params, images)), range(n_batches), usable_cores())
    )


def _arithmetic_alone(run: Path, sessions: Sessions) -> Callable[[], object]:
    """Return what draws and predicts the sessions' windows, which lie ready: the arithmetic."""
    scorer = FraudScorer.load(run, CONFIG)
    resampled, windows = input_windows(scorer.inputs, sessions)
    batches = []
    for begin in range(0, len(windows), SCORED):
        n = min(SCORED, len(windows) - begin)
        chosen = begin + np.arange(SCORED) % n
        points = pad_windows(resampled.sessions, windows.take(chosen), CONFIG.window.max_events)
        batches.append((on_host(points), np.int32(n)))
    logits_of = scorer.trained.compiled()
    return lambda: list(
        overlapped(lambda batch: np.asarray(logits_of(*batch)), batches, usable_cores())
    )
