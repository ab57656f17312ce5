"""The loss, the optimiser and the training step. (No tables: they run on a bare GPU machine.)"""

from functools import partial
from typing import NamedTuple, cast

import jax
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from model.augment import augment
from model.config import RunConfig, TrainConfig
from model.network import Network
from rasterize.motion import Paths


class Weights(NamedTuple):
    """What training changes of a network."""

    params: nnx.State  # what the gradient changes
    statistics: nnx.State  # the running means and variances of its convolutions


def loss_fn(
    network: Network,
    paths: Paths,
    labels: Float[Array, " batch"],
    dropout_key: PRNGKeyArray,
    label_smoothing: float,
) -> Float[Array, ""]:
    """Return the mean binary cross entropy; label 1 is fraud."""
    logits = network.of_paths(paths, dropout_key)
    targets = labels * (1 - label_smoothing) + label_smoothing / 2
    return optax.sigmoid_binary_cross_entropy(logits, targets).mean()


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Return AdamW with warm-up and cosine decay, gradients clipped."""
    n_steps = config.epochs * config.steps_per_epoch
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, max(int(config.warmup_share * n_steps), 1), n_steps
    )
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(schedule, weight_decay=config.weight_decay),
    )


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=(2, 3))
def train_step(
    graph: nnx.GraphDef,
    config: RunConfig,
    weights: Weights,
    optimizer_state: optax.OptState,
    paths: Paths,
    labels: Float[Array, " windows"],
    chosen: Int[Array, " batch"],
    key: PRNGKeyArray,
) -> tuple[Weights, optax.OptState, Float[Array, ""]]:
    """Update `weights` with the `chosen` windows; give the loss before the update."""
    augment_key, dropout_key = jax.random.split(key)
    batch = Paths(*(column[chosen] for column in paths))
    batch = augment(batch, augment_key, config.augment, config.resample)

    def loss(params: nnx.State) -> tuple[Float[Array, ""], nnx.State]:
        # Rebuilt here, or nnx takes them for variables of the function outside, not to be changed.
        statistics = jax.tree.map(lambda kept: kept, weights.statistics)
        network = nnx.merge(graph, params, statistics)
        smoothing = config.train.label_smoothing
        value = loss_fn(network, batch, labels[chosen], dropout_key, smoothing)
        return value, nnx.state(network, nnx.BatchStat)

    (value, statistics), gradient = jax.value_and_grad(loss, has_aux=True)(weights.params)
    updates, optimizer_state = make_optimizer(config.train).update(
        gradient, optimizer_state, weights.params
    )
    params = cast(nnx.State, optax.apply_updates(weights.params, updates))
    return Weights(params, statistics), optimizer_state, value
