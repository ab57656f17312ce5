"""Train the network on labelled windows: the epochs, and which of them is kept.

Sessions come resampled (`pipeline.sessions.resample`). Windows lie on the device as points. For a
step a batch is picked, its paths are changed (`augment`) and drawn, while the step before updates
the network; no image ever exists on the host.
"""

import logging
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int64, Shaped

from model.batches import (
    device_mesh,
    on_each_device,
    on_one_device,
    predict,
    split_over_devices,
)
from model.checkpoint import load_training, save_training
from model.config import RunConfig, TrainConfig
from model.network import Network, new_network
from model.step import Weights, draw_augmented, make_optimizer, pick_windows, train_step
from model.training_data import balance_groups, window_weights
from pipeline.features.best_feature import roc_auc
from pipeline.scores.table import pool_logits
from pipeline.sessions.resample import resample, throttle_sessions
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import (
    Points,
    Windows,
    concatenate_points,
    cut_windows,
    pad_windows,
    subsample_windows,
)
from pipeline.splits.split import Split
from pipeline.storage.overlap import overlapped
from rasterize.motion import Paths, to_device

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Epoch:
    """The losses of one epoch."""

    epoch: int
    train_loss: float
    valid_loss: float  # of sessions, mean over both classes
    valid_auc: float


def fit_split(
    sessions: Sessions, split: Split, config: RunConfig, state_dir: Path, resume: bool = False
) -> Generator[Epoch, None, tuple[Network, list[Epoch]]]:
    """Train on the train partition, stop by the valid partition (see `fit`)."""
    resampled = resample(sessions, config.resample).sessions
    windows = cut_windows(resampled, config.window)
    groups, is_train, is_valid = balance_groups(split), split.is_in("train"), split.is_in("valid")
    return fit(resampled, windows, groups, is_train, is_valid, config, state_dir, resume)


def fit(
    sessions: Sessions,
    windows: Windows,
    groups: Shaped[np.ndarray, " sessions"],
    is_train: Bool[np.ndarray, " sessions"],
    is_valid: Bool[np.ndarray, " sessions"],
    config: RunConfig,
    state_dir: Path,
    resume: bool = False,
) -> Generator[Epoch, None, tuple[Network, list[Epoch]]]:
    """Train until the validation loss stops falling; return the best network and all epochs.

    The best of the second half: before, steps are as long as they ever get, and where classes
    are easy to separate a first epoch may be best by luck (docs/decisions/0013-print.md).

    After each epoch all that is needed to go on lies in `state_dir`; `resume` goes on from it.
    """
    graph, *states = nnx.split(new_network(config), nnx.Param, nnx.BatchStat)
    weights = jax.tree.map(jnp.array, Weights(*states))
    optimizer_state = make_optimizer(config.train).init(weights.params)
    history, best = [], weights
    if resume:
        weights, optimizer_state, best, rows = load_training(
            state_dir, (weights, optimizer_state, best)
        )
        history = [Epoch(**row) for row in rows]
    # The step gives its buffers away, so the best parameters need some of their own.
    best = jax.tree.map(np.asarray, best)
    points, owners = _training_points(sessions, windows, is_train, config)
    owner = np.concatenate(owners)
    often = np.concatenate([window_weights(of_copy, sessions.label, groups) for of_copy in owners])
    often = often / often.sum(dtype=np.float64)
    mesh = device_mesh(config.train.batch_size)
    paths = on_each_device(to_device(points), mesh)
    labels = on_each_device(jnp.asarray(sessions.label[owner], jnp.float32), mesh)
    weights, optimizer_state = on_each_device((weights, optimizer_state), mesh)
    valid = subsample_windows(
        windows.take(is_valid[windows.session]), config.train.windows_per_session
    )
    log.info("training on %d windows, validating on %d", len(owner), len(valid))
    shape = (config.train.steps_per_epoch, config.train.batch_size)
    while len(history) < config.train.epochs and not _is_stale(history, config.train):
        number = len(history) + 1
        picks = np.random.default_rng([config.seed, number]).choice(len(owner), shape, p=often)
        losses = []
        for images, targets, key in training_batches(paths, labels, picks, number, config, mesh):
            weights, optimizer_state, loss = train_step(
                graph, config, weights, optimizer_state, images, targets, key
            )
            # Waited for, or steps would queue up with all their prints.
            losses.append(float(loss))
        network = nnx.merge(graph, *on_one_device(weights, mesh))
        valid_loss, valid_auc = _validate(network, sessions, valid, config)
        epoch = Epoch(number, float(np.mean(losses)), valid_loss, valid_auc)
        history.append(epoch)
        if _best(history, config.train.epochs) == len(history) - 1:
            best = jax.tree.map(np.asarray, weights)
        save_training(state_dir, (weights, optimizer_state, best), [asdict(row) for row in history])
        yield epoch
    return nnx.merge(graph, *jax.tree.map(jnp.asarray, best)), history


def training_batches(
    paths: Paths,
    labels: Float[Array, " windows"],
    picks: Int64[np.ndarray, "steps batch"],
    epoch: int,
    config: RunConfig,
    mesh: Mesh | None,
) -> Iterator[tuple[Float[Array, "batch cells cells panels"], Float[Array, " batch"], Array]]:
    """Give the prints, labels and key of each step of an epoch.

    The next ones are drawn while the caller computes: neither work keeps two cores busy by itself.
    """
    steps = epoch * len(picks) + np.arange(len(picks))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(config.seed), steps)

    def draw(step: int) -> tuple[Array, Array, Array]:
        chosen = split_over_devices(picks[step], mesh)
        picked, targets = pick_windows(paths, labels, chosen)
        images = draw_augmented(config, picked, keys[step])
        return jax.block_until_ready(images), targets, keys[step]

    return overlapped(draw, range(len(picks)), n_threads=1)


def _is_stale(history: list[Epoch], config: TrainConfig) -> bool:
    """Return whether the best validation loss lies `patience` epochs back."""
    return len(history) - 1 - _best(history, config.epochs) >= config.patience


def _best(history: list[Epoch], n_epochs: int) -> int:
    """Return which epoch of the second half has the lowest loss; before, the last one."""
    late = range(max(min(n_epochs // 2, len(history) - 1), 0), len(history))
    return min(late, key=lambda i: history[i].valid_loss, default=-1)


def _training_points(
    sessions: Sessions,
    windows: Windows,
    is_train: Bool[np.ndarray, " sessions"],
    config: RunConfig,
) -> tuple[Points, list[Int64[np.ndarray, " _windows"]]]:
    """Return the windows to train on as points, and for each copy of the sessions whose they are.

    Besides the sessions as they are there are copies, each session throttled to a period of its
    own: a window that was recorded slowly covers a longer part of the path, which no change of a
    window that was cut before can show.
    """
    at_most, n_points = config.train.windows_per_session, config.window.max_events
    chosen = subsample_windows(windows.take(is_train[windows.session]), at_most)
    points, owners = [pad_windows(sessions, chosen, n_points)], [chosen.session]
    rows = np.flatnonzero(is_train)
    shortest_ms = max(config.resample.period_ms, 8.0)
    longest_ms = max(config.augment.slowest_recorder_ms, shortest_ms)
    for copy in range(config.augment.slower_copies):
        rng = np.random.default_rng([config.seed, copy])
        period_ms = np.exp(rng.uniform(np.log(shortest_ms), np.log(longest_ms), len(rows)))
        slower = throttle_sessions(sessions.take(rows), period_ms)
        slow = subsample_windows(cut_windows(slower, config.window), at_most)
        points.append(pad_windows(slower, slow, n_points))
        owners.append(rows[slow.session])
    return concatenate_points(points), owners


def _validate(
    network: Network, sessions: Sessions, windows: Windows, config: RunConfig
) -> tuple[float, float]:
    """Return the cross entropy of session logits, both classes alike, and their ROC AUC."""
    logits = predict(network.compiled(), sessions, windows, config.window.max_events)
    pooled = pool_logits(logits, windows.session, len(sessions), config.score.pooling)
    is_scored = np.isfinite(pooled)
    logit, label = pooled[is_scored], sessions.label[is_scored]
    loss = np.logaddexp(0, np.where(label == 1, -logit, logit))
    balanced = np.mean([loss[label == c].mean() for c in (0, 1)])
    return float(balanced), float(roc_auc(logit, label))
