"""A batch of prints, loss, optimiser, step. (No tables: they run on a bare GPU machine.)"""

from functools import partial
from typing import NamedTuple, cast

import jax
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from model.augment import augment
from model.config import RunConfig, TrainConfig
from model.drawing import draw_print
from model.network import Network
from rasterize.motion import Paths


class Weights(NamedTuple):
    """What training changes of a network."""

    params: nnx.State  # what the gradient changes
    statistics: nnx.State  # the running means and variances of its convolutions


def loss_fn(
    network: Network,
    images: Float[Array, "batch cells cells panels"],
    labels: Float[Array, " batch"],
    dropout_key: PRNGKeyArray,
    label_smoothing: float,
) -> Float[Array, ""]:
    """Return the mean binary cross entropy; label 1 is fraud."""
    logits = network(images, dropout_key)
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


@jax.jit
def pick_windows(
    paths: Paths, labels: Float[Array, " windows"], chosen: Int[Array, " batch"]
) -> tuple[Paths, Float[Array, " batch"]]:
    """Return the `chosen` windows and their labels.

    Apart from the other two, which then needn't be compiled again for another number of windows.
    """
    return Paths(*(column[chosen] for column in paths)), labels[chosen]


@partial(jax.jit, static_argnums=0)
def draw_augmented(
    config: RunConfig, paths: Paths, key: PRNGKeyArray
) -> Float[Array, "batch cells cells panels"]:
    """Return the prints of a batch of windows, each path changed at random before."""
    augment_key, _ = jax.random.split(key)
    changed = augment(paths, augment_key, config.augment, config.resample)
    return draw_print(changed, config.panels)


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=(2, 3))
def train_step(
    graph: nnx.GraphDef,
    config: RunConfig,
    weights: Weights,
    optimizer_state: optax.OptState,
    images: Float[Array, "batch cells cells panels"],
    labels: Float[Array, " batch"],
    key: PRNGKeyArray,
) -> tuple[Weights, optax.OptState, Float[Array, ""]]:
    """Update `weights` with a batch of prints; give the loss before the update."""
    _, dropout_key = jax.random.split(key)

    def loss(params: nnx.State) -> tuple[Float[Array, ""], nnx.State]:
        # Rebuilt here, or nnx takes them for variables of the function outside, not to be changed.
        statistics = jax.tree.map(lambda kept: kept, weights.statistics)
        network = nnx.merge(graph, params, statistics)
        value = loss_fn(network, images, labels, dropout_key, config.train.label_smoothing)
        return value, nnx.state(network, nnx.BatchStat)

    (value, statistics), gradient = jax.value_and_grad(loss, has_aux=True)(weights.params)
    updates, optimizer_state = make_optimizer(config.train).update(
        gradient, optimizer_state, weights.params
    )
    params = cast(nnx.State, optax.apply_updates(weights.params, updates))
    return Weights(params, statistics), optimizer_state, value
