"""A candidate in; out come what it tells apart, after the same short training as the others."""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float32
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from benchmarks.ablation.measure import Budget, Embedder, network_embedder, scored
from benchmarks.ablation.recordings import Recordings
from benchmarks.ablation.rows import with_settings
from benchmarks.bots.folds import Fold
from benchmarks.cost.networks import Candidate
from flows.jobs.rounds import fit_in_rounds
from flows.jobs.train import training_sessions
from model.config import RunConfig, TrainConfig
from model.metrics import roc_auc
from model.network import SCORING_BATCH
from model.score import look
from model.train import thin_windows
from pipeline.scores import pool_logits
from pipeline.sessions import Sessions
from pipeline.standard import standardise
from pipeline.windows import Windows, cut_windows, pad_windows
from rasterize.draw import draw, to_device

Pictures = Float32[np.ndarray, "windows values"]
N_COMPONENTS = 128  # of a picture's cells, before a linear model sees them
LINEAR_WINDOWS = 16  # a session, of those a linear model is fitted on
BOT_TRAINING = TrainConfig(epochs=4, steps_per_epoch=50, batch_size=64, patience=4)


def measure_owner(candidate: Candidate, recordings: Recordings) -> dict[str, float]:
    """Return AUCs: known accounts, device matched; and people never seen, at 15 s."""
    budget = Budget()
    config = with_settings(budget.config_for(0), candidate.settings)
    embedder = (
        network_embedder(config, recordings)
        if candidate.widths
        else _linear_embedder(config, recordings)
    )
    cell = scored(embedder, config, recordings, with_verdicts=False)
    label, matched = recordings.claims.label, np.asarray(recordings.matched)
    other = np.array(cell["other_15s"])
    return {
        "known": float(roc_auc(np.array(cell["known"])[matched], label[matched])),
        "unseen_15s": float(roc_auc(np.array(cell["people_15s"]).ravel(), other.ravel())),
    }


def measure_bots(candidate: Candidate, fold: Fold) -> dict[str, Any]:
    """Return the AUC of each family never trained on, at matched moves."""
    config = replace(candidate.config("fraud"), train=BOT_TRAINING)
    config = replace(config, twins=replace(config.twins, hard_rounds=0, per_session=2))
    sessions, split = training_sessions(fold.rest, config, True)
    if candidate.widths:
        with tempfile.TemporaryDirectory() as folder:
            network, _ = fit_in_rounds(sessions, split, config, Path(folder) / "state")
        logits = lambda tested: look(network, config, tested).of_session  # noqa: E731
    else:
        train = sessions.take(split.indices("train"))
        logits = _linear_logits(config, train)
    aucs = {}
    for family, tested in fold.matched.items():
        found = logits(tested)
        found = np.where(np.isfinite(found), found, np.nanmin(found))
        if 0 < tested.label.sum() < len(tested):
            aucs[family] = float(roc_auc(found, tested.label))
    print(candidate.name, aucs, file=sys.stderr)
    return {"families": aucs, "mean": float(np.mean(list(aucs.values())))}


def pictures(config: RunConfig, sessions: Sessions, windows: Windows, n_points: int) -> Pictures:
    """Return the pictures of windows, a row of cell values each."""
    canvas, rows = config.canvas, []
    drawn = jax.jit(lambda paths: draw(paths, canvas).reshape(SCORING_BATCH, -1))
    for begin in range(0, len(windows), SCORING_BATCH):
        chosen = np.minimum(np.arange(begin, begin + SCORING_BATCH), len(windows) - 1)
        rows.append(drawn(to_device(pad_windows(sessions, windows.take(chosen), n_points))))
    return np.concatenate(jax.device_get(rows))[: len(windows)]


def _linear_embedder(config: RunConfig, recordings: Recordings) -> Embedder:
    """Return the axes along which a linear model tells the training's accounts apart."""
    training, cut = recordings.training, config.owner.window
    windows = thin_windows(cut_windows(training, cut), LINEAR_WINDOWS)
    model = make_pipeline(
        PCA(N_COMPONENTS, random_state=0), LinearDiscriminantAnalysis(n_components=40)
    ).fit(
        pictures(config, training, windows, cut.max_events),
        training.account_id.astype(str)[windows.session],
    )

    def embed(sessions: Sessions) -> tuple[Windows, np.ndarray]:
        found = cut_windows(sessions, cut)
        return found, model.transform(pictures(config, sessions, found, cut.max_events))

    return embed


def _linear_logits(config: RunConfig, train: Sessions):
    """Return a logistic regression on the cells of pictures, as logits of sessions."""

    def seen(sessions: Sessions, at_most: int | None = None) -> tuple[Windows, Pictures]:
        standard = standardise(sessions, config.standard).sessions
        windows = cut_windows(standard, config.window)
        windows = thin_windows(windows, at_most) if at_most else windows
        return windows, pictures(config, standard, windows, config.window.max_events)

    windows, cells = seen(train, LINEAR_WINDOWS)
    model = make_pipeline(
        PCA(N_COMPONENTS, random_state=0),
        LogisticRegression(max_iter=300, class_weight="balanced"),
    ).fit(cells, train.label[windows.session])

    def logits(tested: Sessions) -> np.ndarray:
        windows, cells = seen(tested)
        return pool_logits(model.decision_function(cells), windows.session, len(tested))

    return logits
