"""Sessions of many accounts in; out comes a network whose embeddings tell their hands apart.

The network learns to name the account of each window (softmax over accounts); the last layer,
which only knows those, is thrown away. docs/decisions/0007-owner.md compares losses.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Float64, Int, Int64, PRNGKeyArray

from model.checkpoint import load_training, save_training
from model.config import RunConfig, TrainConfig
from model.network import Network
from model.parallel import dealt_out, device_mesh, on_each_device, on_one_device
from model.train import descend, make_optimizer
from pipeline.errors import DataError
from pipeline.sessions import Sessions
from pipeline.standard import standardise
from pipeline.windows import cut_windows, pad_windows, thin_windows
from rasterize.draw import Paths, to_device

_BALANCE = 0.75  # of accounts: 1 all alike, 0 by their number of windows


@dataclass(frozen=True)
class OwnerEpoch:
    """What one epoch brought."""

    epoch: int
    train_loss: float
    train_accuracy: float  # share of windows whose account is named rightly, features dropped out


class AccountHead(nnx.Module):
    """Embeddings to a logit for each account of the training."""

    def __init__(self, n_features: int, n_accounts: int, *, rng: np.random.Generator):
        weights = rng.standard_normal((n_features, n_accounts), np.float32) * n_features**-0.5
        self.weights = nnx.Param(weights.astype(np.float32))
        self.bias = nnx.Param(np.zeros(n_accounts, np.float32))

    def __call__(self, embedding: Float[Array, "batch features"]) -> Float[Array, "batch accounts"]:
        """Return how the embedding speaks for each account."""
        learnt = embedding[:, : self.weights[...].shape[0]]  # the rest are habits as they are
        return jax.nn.relu(learnt) @ self.weights[...] + self.bias[...][None, :]


class Namer(nnx.Module):
    """The network and its account head, as they are trained."""

    def __init__(self, config: RunConfig, n_accounts: int):
        self.network = Network(config)
        rng = np.random.default_rng([config.seed, 1])
        self.head = AccountHead(config.owner.embedding, n_accounts, rng=rng)


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=(2, 3))
def train_step(
    graph: nnx.GraphDef,
    config: RunConfig,
    params: nnx.State,
    optimizer_state: optax.OptState,
    paths: Paths,
    accounts: Int[Array, " windows"],
    chosen: Int[Array, " batch"],
    key: PRNGKeyArray,
) -> tuple[nnx.State, optax.OptState, Float[Array, "2"]]:
    """Update `params` with the `chosen` windows; give loss and accuracy before the update."""
    batch = Paths(*(column[chosen] for column in paths))

    def loss(params: nnx.State) -> tuple[Float[Array, ""], Float[Array, ""]]:
        namer = nnx.merge(graph, params)
        logits = namer.head(namer.network(batch, key))
        targets = optax.smooth_labels(
            jax.nn.one_hot(accounts[chosen], logits.shape[1]), config.owner.label_smoothing
        )
        is_right = logits.argmax(axis=1) == accounts[chosen]
        return optax.softmax_cross_entropy(logits, targets).mean(), is_right.mean()

    (value, accuracy), gradient = jax.value_and_grad(loss, has_aux=True)(params)
    params, optimizer_state = descend(_schedule(config), params, optimizer_state, gradient)
    return params, optimizer_state, jnp.stack([value, accuracy])


def fit_owner(
    sessions: Sessions,
    config: RunConfig,
    state_dir: Path,
    resume: bool = False,
    progress: Callable[[OwnerEpoch], None] = lambda epoch: None,
) -> tuple[Network, list[OwnerEpoch]]:
    """Train on all of `sessions`, each with its account; give the network and its history.

    After each epoch all that is needed to go on lies in `state_dir`; `resume` goes on from it.
    """
    sessions = standardise(sessions, config.owner.standard).sessions
    windows = thin_windows(
        cut_windows(sessions, config.owner.window), config.owner.windows_per_session
    )
    names, account = np.unique(
        sessions.account_id[windows.session].astype(str), return_inverse=True
    )
    if len(names) < 2:
        raise DataError(
            "owner", f"{len(names)} accounts have windows to train on", "at least two are needed"
        )
    graph, params = nnx.split(Namer(config, len(names)))
    optimizer_state = make_optimizer(_schedule(config)).init(params)
    history: list[OwnerEpoch] = []
    if resume:
        params, optimizer_state, rows = load_training(state_dir, (params, optimizer_state))
        history = [OwnerEpoch(**row) for row in rows]
    mesh = device_mesh(config.train.batch_size)
    points = pad_windows(sessions, windows, config.owner.window.max_events)
    paths, accounts, params, optimizer_state = on_each_device(
        (to_device(points), jnp.asarray(account), params, optimizer_state), mesh
    )
    weights = account_weights(account)
    n_steps = config.train.steps_per_epoch
    while len(history) < config.owner.epochs:
        number = len(history) + 1
        picks = np.random.default_rng([config.seed, number]).choice(
            len(windows), (n_steps, config.train.batch_size), p=weights
        )
        results = []
        for step, pick in enumerate(picks):
            key = jax.random.fold_in(jax.random.key(config.seed), number * n_steps + step)
            params, optimizer_state, result = train_step(
                graph, config, params, optimizer_state, paths, accounts, dealt_out(pick, mesh), key
            )
            results.append(result)
        loss, accuracy = np.mean(jax.device_get(results), axis=0).tolist()
        history.append(OwnerEpoch(number, loss, accuracy))
        save_training(state_dir, (params, optimizer_state), [asdict(row) for row in history])
        progress(history[-1])
    return nnx.merge(graph, on_one_device(params, mesh)).network, history


def account_weights(
    account: Int64[np.ndarray, " windows"],
) -> Float64[np.ndarray, " windows"]:
    """Return how often each window is to be seen: accounts nearly alike, however long theirs."""
    weights = np.bincount(account)[account] ** -_BALANCE
    return weights / weights.sum()


def _schedule(config: RunConfig) -> TrainConfig:
    """Return the training's settings over the owner task's epochs."""
    return replace(config.train, epochs=config.owner.epochs)
