"""A run small enough for tests: its settings, stores, and a model nobody trained."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from conftest import make_sessions

from flows.jobs.progress import finish, ignore
from flows.jobs.score import ScoreJob, score
from model.calibrate import Calibration
from model.config import NetworkConfig, OwnerConfig, PanelsConfig, RunConfig, TrainConfig
from model.fraud import FraudScorer
from model.network import new_network
from model.policy import Policy, Threshold
from model.run import TrainedModel
from model.scorer import Scorer
from model.training_data import balance_records
from pipeline.ingest.ingest import ingest_logs
from pipeline.schemas import QUARANTINE
from pipeline.sessions.labels import read_labels
from pipeline.sessions.recorder import name_recorders
from pipeline.sessions.windows import WindowConfig
from pipeline.storage.store import Part, write_part
from rasterize.canvas import Canvas

TINY = RunConfig(
    window=WindowConfig(max_events=32),
    canvas=Canvas(size=16, cell_px=32.0, n_samples=32),
    panels=PanelsConfig(names=("hodograph", "step", "speed_turn"), cells=16),
    network=NetworkConfig(widths=(8, 16), hidden=16),
    train=TrainConfig(epochs=2, steps_per_epoch=20, batch_size=32, learning_rate=1e-2),
    owner=OwnerConfig(
        window=WindowConfig(max_events=32),
        panels=PanelsConfig(names=("hodograph", "step", "speed_return"), cells=16),
        components=30,
        dimensions=8,
        hold_out="sessions",
    ),
)


def untrained(config: RunConfig = TINY) -> TrainedModel:
    """Return a model as its seed made it, which flags from a score of 0.9 on."""
    return untrained_with(FraudScorer(config, new_network(config)))


def untrained_with(scorer: Scorer) -> TrainedModel:
    """Return a model with this scorer; calibration and threshold are made up."""
    threshold = Threshold(0.01, 0.9, 0.0, None, False, "made up")
    policy = Policy(0.01, (threshold,), 1, 1)
    return TrainedModel(scorer.config, scorer, Calibration(1.0, 0.0, 0.5), policy)


def one_recorder(group: np.ndarray) -> np.ndarray:
    """Return what training balances, where all sessions are of one recorder."""
    n = len(group)
    return balance_records(np.full(n, "recorder", object), group, np.zeros(n, bool))


def easy_store(store: Path, n: int = 64, people: int = 8) -> Path:
    """Return `store` with what even the tiny network tells apart: crooked people, straight bots."""
    rng = np.random.default_rng(0)
    t_ms = np.arange(32) * 16
    crooked = [rng.normal(0, 9, (2, 32)).cumsum(axis=1) for _ in range(n)]
    angles = rng.uniform(0, 2 * np.pi, n)
    straight = [np.outer([np.cos(angle), np.sin(angle)], t_ms) for angle in angles]
    sessions = make_sessions(
        *(list(zip(t_ms, x, y, strict=True)) for x, y in crooked + straight),
        label=np.repeat([0, 1], n).astype(np.int8),
        account_id=np.array(
            [f"{who}_{i % people}" for who in ("person", "bot") for i in range(n)], object
        ),
    )
    part = Part(store, "2026-11-01", "easy")
    write_part(part, [name_recorders(sessions)], QUARANTINE.empty_table(), {"files": []})
    return store


def score_now(
    sources: Sequence[Path], model: Path, to: Path, date: str, show=ignore, **options
) -> Path:
    """Run a `ScoreJob` to its end, and return the partition it published."""
    return finish(score(ScoreJob(sources, model, to, date, **options)), show)


def ingest_sample(sample_dir: Path, store: Path) -> Path:
    """Return `store` with the sample's sessions and their labels in it."""
    labels = read_labels(sample_dir / "labels.csv").to_pydict()
    ingest_logs(
        [sample_dir / "logs"],
        store,
        labels=dict(zip(labels["session_id"], labels["label"], strict=True)),
        ingest_date="2026-11-01",
    )
    return store
