"""Remake tests/golden/ from a path by hand: `python tests/make_golden.py`, then look at them.

With `scores`, remake what a frozen model says of the sample instead: only after a change that
is meant to change scores, together with `ENCODING` in model/manifest.py.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from flax import nnx
from PIL import Image
from tiny import untrained

from model.calibrate import Calibration
from model.config import NetworkConfig, PanelsConfig, RunConfig
from model.fraud import FraudScorer
from model.run import TrainedModel
from model.score import score_sessions
from pipeline.ingest.parse import parse_logs
from pipeline.schemas import Kind
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from pipeline.sessions.windows import Points, WindowConfig
from rasterize.canvas import Canvas
from rasterize.draw import density, draw_counts
from rasterize.motion import to_device
from rasterize.palette import share_color
from rasterize.panels import PANELS
from rasterize.picture import draw_pictures

GOLDEN = Path(__file__).resolve().parent / "golden"
CANVAS = Canvas(size=16, cell_px=4.0, placement="absolute", n_samples=64)

# t_ms, x_px, y_px, kind: right, a press, down with the button held, a rest of 300 ms, back.
PATH = (
    (0, 8, 8, Kind.MOVE),
    (20, 28, 8, Kind.MOVE),
    (100, 56, 8, Kind.MOVE),
    (120, 56, 8, Kind.DOWN),
    (300, 56, 56, Kind.DRAG),
    (600, 56, 56, Kind.UP),
    (640, 8, 28, Kind.MOVE),
)


def points() -> Points:
    """Return the path as a batch of one."""
    t_ms, x_px, y_px, kind = np.array(PATH, np.float32).T[:, None]
    return Points(t_ms, x_px, y_px, kind.astype(np.int8), np.array([len(PATH)], np.int32))


def panels() -> Image.Image:
    """Return every panel of the path, four in a row, with the colours for people."""
    counts = draw_counts(to_device(points()), tuple(PANELS.values()), 24, how="scatter")
    tiles = [
        share_color((tile + 1) / 5) for tile in np.moveaxis(np.asarray(density(counts)[0]), 2, 0)
    ]
    rows = [np.concatenate(tiles[i : i + 4], axis=1) for i in range(0, len(tiles), 4)]
    return Image.fromarray(np.concatenate(rows))


def picture() -> Image.Image:
    """Return the picture for people."""
    return draw_pictures(points(), CANVAS)[0]


# All that a frozen score depends on is said here, so that new defaults don't change it.
SCORED = RunConfig(
    window=WindowConfig(rule="moves", max_events=64, min_events=8),
    canvas=Canvas(size=16, cell_px=24.0, n_samples=64),
    panels=PanelsConfig(names=("hodograph", "step", "speed_turn", "speed_change"), cells=16),
    network=NetworkConfig(widths=(8, 16), hidden=16),
)
N_SCORED = 40  # sessions of the sample


def frozen_model(parameters: Path = GOLDEN / "parameters.npz") -> TrainedModel:
    """Return a tiny model whose parameters lie in tests/golden/; nobody trained it."""
    model = untrained(SCORED)
    graph, params = nnx.split(model.scorer.network)
    leaves, structure = jax.tree.flatten(params)
    with np.load(parameters) as stored:
        frozen = [jnp.asarray(stored[str(i)]) for i in range(len(leaves))]
    network = nnx.merge(graph, jax.tree.unflatten(structure, frozen))
    return TrainedModel(
        SCORED, FraudScorer(SCORED, network), Calibration(1.0, 1.5, 0.5), model.policy
    )


def scored_sessions(sample_data: Path) -> Sessions:
    """Return the sessions whose scores are frozen, spread over the sample."""
    sessions = concatenate_sessions(list(parse_logs([sample_data / "logs"])))
    return sessions.take(np.linspace(0, len(sessions) - 1, N_SCORED).astype(np.int64))


def scores_of(model: TrainedModel, sessions: Sessions) -> pa.Table:
    """Return the rows of sessions, as of a fixed moment."""
    moment = datetime(2026, 11, 1, tzinfo=UTC)
    return score_sessions(model, "golden", sessions, "golden", moment)


def freeze_scores() -> None:
    """Write the parameters, if they aren't there, and what they say of the sample."""
    path = GOLDEN / "parameters.npz"
    if not path.exists():
        leaves = jax.tree.leaves(nnx.split(untrained(SCORED).scorer.network)[1])
        rng = np.random.default_rng(0)  # as they are made some are 0, and their part is unseen
        noisy = {
            str(i): (np.asarray(leaf) + rng.normal(0, 0.1, leaf.shape)).astype(np.float32)
            for i, leaf in enumerate(leaves)
        }
        np.savez_compressed(path, **noisy)
    sessions = scored_sessions(GOLDEN.parent.parent / "sample_data")
    table = scores_of(frozen_model(), sessions).select(
        ["session_id", "fraud_score", "n_windows", "worst_window_ms"]
    )
    (GOLDEN / "scores.json").write_text(json.dumps(table.to_pylist(), indent=1) + "\n")


def main() -> None:
    """Write the files that the tests compare with."""
    if sys.argv[1:] == ["scores"]:
        freeze_scores()
        return
    GOLDEN.mkdir(exist_ok=True)
    panels().save(GOLDEN / "panels.png")
    picture().save(GOLDEN / "picture.png")


if __name__ == "__main__":
    main()
