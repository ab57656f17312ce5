"""Points to logits: draw the print and run a small CNN on it, in one compiled function.

Points, not images, travel to the device; training, scoring and the analyst's print come from the
same kernel. The network sees nothing but the print.
"""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float32, Int, PRNGKeyArray

from model.config import NetworkConfig, PanelsConfig, RunConfig
from model.drawing import differentiable_print, draw_print
from rasterize.motion import Paths

STEPS: Final = 8
"""Points on the line from the reference to a print at which gradients are taken."""

_MOMENTUM = 0.95  # of the running mean and variance
_EPSILON = 1e-5


class Conv(nnx.Module):
    """A convolution that halves the side, normalised over the batch (Ioffe and Szegedy 2015).

    Scoring takes the mean and variance that training kept: no session's score can depend on its
    neighbours in the batch.
    """

    def __init__(self, kernel: int, n_in: int, n_out: int, *, rng: np.random.Generator):
        # Made in NumPy: nnx's own initialisers are compiled one by one, 12 s for a network.
        spread = math.sqrt(2 / (kernel * kernel * n_in))
        weights = spread * rng.standard_normal((kernel, kernel, n_in, n_out), np.float32)
        self.kernel = nnx.Param(weights.astype(np.float32))
        self.gain = nnx.Param(np.ones(n_out, np.float32))
        self.bias = nnx.Param(np.zeros(n_out, np.float32))
        self.mean = nnx.BatchStat(np.zeros(n_out, np.float32))
        self.variance = nnx.BatchStat(np.ones(n_out, np.float32))

    def __call__(
        self, x: Float[Array, "batch side side n_in"], is_training: bool
    ) -> Float[Array, "batch side_out side_out n_out"]:
        """Return the image at half the side, normalised and rectified."""
        kernel = self.kernel[...].astype(x.dtype)
        y = jax.lax.conv_general_dilated(
            x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        ).astype(jnp.float32)
        mean, variance = self.mean[...], self.variance[...]
        if is_training:
            kept = (mean, variance)
            mean, variance = y.mean(axis=(0, 1, 2)), y.var(axis=(0, 1, 2))
            self.mean[...], self.variance[...] = (
                _MOMENTUM * before + (1 - _MOMENTUM) * now
                for before, now in zip(kept, (mean, variance), strict=True)
            )
        scale = self.gain[...] * jax.lax.rsqrt(variance + _EPSILON)
        shift = self.bias[...] - mean * scale
        return jax.nn.relu(y * scale[None, None, None, :] + shift[None, None, None, :])


class Network(nnx.Module):
    """The print of a window to a logit of fraud.

    The panels are the channels of one image, which three convolutions halve three times. What is
    left is not pooled: where in a panel something lies is what it means. Beside them one linear
    layer goes from every pixel straight to the logit.
    """

    def __init__(self, config: NetworkConfig, panels: PanelsConfig, seed: int):
        rng = np.random.default_rng(seed)
        self.panels: PanelsConfig = nnx.static(panels)
        self.dropout = config.dropout
        n_panels, side = len(panels.names), panels.cells
        n_in = (n_panels, *config.widths[:-1])
        self.convs = nnx.List(
            [
                Conv(5 if i == 0 else 3, n_in[i], n_out, rng=rng)
                for i, n_out in enumerate(config.widths)
            ]
        )
        for _ in config.widths:
            side = -(-side // 2)
        n_features = side * side * config.widths[-1]
        self.hidden = nnx.Param(_uniform(rng, (n_features, config.hidden), n_features))
        self.hidden_bias = nnx.Param(np.zeros(config.hidden, np.float32))
        self.head = nnx.Param(_uniform(rng, (config.hidden,), config.hidden))
        shape = (panels.cells, panels.cells, n_panels)
        self.pixels = nnx.Param(_uniform(rng, shape, math.prod(shape)))
        self.bias = nnx.Param(np.zeros((), np.float32))

    def __call__(
        self,
        images: Float[Array, "batch cells cells panels"],
        dropout_key: PRNGKeyArray | None = None,
    ) -> Float[Array, " batch"]:
        """Return a logit for each print. With a key it is training: features drop out."""
        is_training = dropout_key is not None
        x = images
        for conv in self.convs:
            x = conv(x.astype(compute_dtype()), is_training)
        x = x.reshape(len(x), -1)
        keys = jax.random.split(dropout_key) if is_training else (None, None)
        x = self._dropped(x, keys[0]) @ self.hidden[...] + self.hidden_bias[...][None, :]
        x = self._dropped(jax.nn.relu(x), keys[1]) @ self.head[...]
        return x + jnp.einsum("bijp,ijp->b", images, self.pixels[...]) + self.bias[...]

    def of_paths(
        self, paths: Paths, dropout_key: PRNGKeyArray | None = None
    ) -> Float[Array, " batch"]:
        """Draw each window's print and return its logit."""
        return self(draw_print(paths, self.panels), dropout_key)

    def compiled(self) -> Callable[[Paths, np.int32], Float[Array, " batch"]]:
        """Return `logits_of` this network as one compiled program."""
        graph, params = nnx.split(self)
        return partial(_logits(graph), params)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return parameters and running statistics by their places, such as `convs/0/kernel`."""
        return {
            jax.tree_util.keystr(path[:-1], simple=True, separator="/"): np.asarray(leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(nnx.state(self))
        }

    def _dropped(
        self, x: Float[Array, "batch features"], key: PRNGKeyArray | None
    ) -> Float[Array, "batch features"]:
        if key is None:
            return x
        kept = jax.random.bernoulli(key, 1 - self.dropout, x.shape)
        return jnp.where(kept, x / (1 - self.dropout), 0)


def _uniform(
    rng: np.random.Generator, shape: tuple[int, ...], fan_in: int
) -> Float32[np.ndarray, "..."]:
    """Return weights of a linear layer before training, within 1 / sqrt(fan_in)."""
    reach = fan_in**-0.5
    return rng.uniform(-reach, reach, shape).astype(np.float32)


def new_network(config: RunConfig) -> Network:
    """Return the network of a run before training."""
    return Network(config.network, config.panels, config.seed)


def network_of(config: NetworkConfig, panels: PanelsConfig, arrays: Mapping[str, Any]) -> Network:
    """Return a network of these sizes with arrays as `Network.arrays` gives them."""
    network = Network(config, panels, 0)
    graph, params = nnx.split(network)
    leaves = [jnp.asarray(arrays[name]) for name in network.arrays()]
    return nnx.merge(graph, jax.tree.unflatten(jax.tree.structure(params), leaves))


def compute_dtype() -> jnp.dtype:
    """Return what convolutions are computed in: bf16 where the device has it in hardware."""
    return jnp.dtype(jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16)


WINDOWS_AT_ONCE: Final[Mapping[str, int]] = {"cpu": 32}
"""Windows that a platform, by JAX's name for it, computes at a time; others take the whole batch.

So few share the caches of a CPU, and the next ones take their memory."""


def logits_of(
    network: Network, paths: Paths, n: Int[Array, ""] | np.int32
) -> Float[Array, " batch"]:
    """Return the logits of the first `n` windows of a batch; those of the others may be 0."""
    size = len(paths.n_points)
    step = min(WINDOWS_AT_ONCE.get(jax.default_backend(), size), size)

    def add(i: Int[Array, ""], logits: Float[Array, " batch"]) -> Float[Array, " batch"]:
        part = (jax.lax.dynamic_slice_in_dim(column, i * step, step) for column in paths)
        found = network.of_paths(Paths(*part))
        return jax.lax.dynamic_update_slice_in_dim(logits, found, i * step, 0)

    return jax.lax.fori_loop(0, -(-n // step), add, jnp.zeros(size, jnp.float32))


@lru_cache(maxsize=16)
def _logits(
    graph: nnx.GraphDef,
) -> Callable[[nnx.State, Paths, np.int32], Float[Array, " batch"]]:
    """Return the compiled network; looked up once a call, since hashing a graph takes a while."""
    return jax.jit(lambda params, paths, n: logits_of(nnx.merge(graph, params), paths, n))


@partial(jax.jit, static_argnums=0)
def integrated_gradients(
    graph: nnx.GraphDef,
    params: nnx.State,
    paths: Paths,
    reference: Float[Array, "cells cells panels"],
) -> tuple[Float[Array, "batch cells cells panels"], Float[Array, "batch points"]]:
    """Return by how much cells and events raise the network's logit over that of `reference`."""
    network = nnx.merge(graph, params)
    images, to_events = differentiable_print(paths, network.panels)
    shares = (jnp.arange(STEPS) + 0.5) / STEPS
    line = reference + shares[:, None, None, None, None] * (images - reference)
    slopes = jax.grad(lambda images: network(images).sum())(line.reshape(-1, *reference.shape))
    slope = slopes.reshape(line.shape).mean(axis=0)
    return (images - reference) * slope, to_events(slope)[0]
