"""End to end: a log of events to a Parquet of scores, ours against what a user writes first."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from benchmarks.models import untrained_run
from benchmarks.speed.network import PICTURE, untrained
from benchmarks.speed.peers_job import NaiveProcess
from benchmarks.speed.recordings import make_sessions, write_log
from benchmarks.speed.timing import Result, interleaved
from flows.jobs.score import score
from model.config import RunConfig
from model.network import SCORING_BATCH, folded, side_by_side
from pipeline.ingest import ingest_logs

N_SESSIONS, N_EVENTS = 2048, 200
N_RESNET = 64  # sessions: it takes a second for a dozen
DAY = "2026-11-01"
SAME = replace(PICTURE, canvas=replace(PICTURE.canvas, channels=("ink", "speed", "press")))
"""Three channels, as a colour picture has: ours and PyTorch's multiply the same numbers."""


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
    same, full = (
        untrained_run(folder / run, config)
        for config, run in ((SAME, "same"), (RunConfig(), "full"))
    )
    sizes = {name: getattr(SAME.cnn, name) for name in ("patch", "widths", "blocks")}
    twin = NaiveProcess(sizes | {"channels": len(SAME.canvas.channels)})
    theirs = NaiveProcess(None)

    def ours(source: Path, run: Path) -> Callable[[], object]:
        return lambda: score([source], run, folder / "scores", DAY)

    def naive(source: Path, n_workers: int) -> Callable[[], object]:
        return lambda: twin(source, folder / "naive.parquet", SAME.canvas.size, n_workers)

    cases = {
        "ours, Parquet": ours(parquet, same),
        "ours, CSV": ours(csv, same),
        "ours, store": ours(store, same),
        "ours with the default network, Parquet": ours(parquet, full),
        "naive, Parquet": naive(parquet, 0),
        "naive, Parquet, 2 workers": naive(parquet, 2),
        "naive, CSV": naive(csv, 0),
        "naive, ResNet-18 at 224 px": lambda: theirs(few, folder / "naive.parquet", 224, 0),
        "forward pass alone": _forward_alone(SAME),
    }
    try:
        timings = interleaved(cases, repeats)
    finally:
        twin.close()
        theirs.close()
    n_sessions = dict.fromkeys(cases, N_SESSIONS) | {"naive, ResNet-18 at 224 px": N_RESNET}
    rate = {case: n_sessions[case] / timing.wall_s for case, timing in timings.items()}
    rows = [
        {
            "way": case,
            "sessions/s": rate[case],
            "ours from Parquet / this": rate["ours, Parquet"] / rate[case],
        }
        for case in cases
    ]
    return Result(
        "end-to-end",
        f"A log of {N_SESSIONS:,} sessions of {N_EVENTS} events to a Parquet of scores",
        rows,
        [
            f"End to end / forward pass alone: "
            f"**{rate['ours, Parquet'] / rate['forward pass alone']:.2f}**."
        ],
    )


def _forward_alone(config: RunConfig) -> Callable[[], object]:
    """Return the network over as many pictures, which are there already: the bound."""
    network = untrained(config)
    graph, params = nnx.split(folded(network))
    shape = (SCORING_BATCH, config.canvas.size, config.canvas.size, len(config.canvas.channels))
    images = jax.device_put(np.random.default_rng(0).random(shape, np.float32))

    @jax.jit
    def forward(params: nnx.State, images: jax.Array) -> jax.Array:
        ours = nnx.merge(graph, params)
        assert ours.cnn is not None
        return ours.cnn(images) @ ours.head[...] + ours.bias[...][None, :]

    n_batches = N_SESSIONS // SCORING_BATCH
    return lambda: list(
        side_by_side(lambda _: np.asarray(forward(params, images)), range(n_batches))
    )
