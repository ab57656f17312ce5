"""Points in, logits out: the drawing kernel and the CNN as one function to be compiled.

Points, not images, travel to the device; training, scoring and the analyst's picture come from
the same kernel.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float32, PRNGKeyArray

from model.cnn import CNN
from model.config import RunConfig
from model.trace import TraceCNN, traces, valid_segments
from pipeline.sessions import Sessions
from pipeline.windows import Windows, pad_windows
from rasterize.canvas import Canvas
from rasterize.draw import Paths, draw, to_device

SCORING_BATCH = 64  # the fastest on a CPU, from 32 to 128 alike


class Network(nnx.Module):
    """Draws each window on its canvas and looks at the picture, and along the path."""

    def __init__(self, config: RunConfig, n_outputs: int = 1):
        rng = np.random.default_rng(config.seed)
        self.canvas: Canvas = nnx.static(config.canvas)
        self.dropout = config.cnn.dropout
        self.cnn = CNN(config.cnn, len(config.canvas.channels), rng=rng)
        n_features = 2 * config.cnn.widths[-1]
        self.trace = TraceCNN(config.trace, rng=rng) if config.trace.widths else None
        if config.trace.widths:
            n_features += 2 * config.trace.widths[-1]
        self.head = nnx.Param(np.zeros((n_features, n_outputs), np.float32))
        self.bias = nnx.Param(np.zeros(n_outputs, np.float32))

    def features(self, paths: Paths) -> Float[Array, "batch features"]:
        """Return what picture and path show of each window."""
        seen = [self.cnn(draw(paths, self.canvas).astype(compute_dtype()))]
        if self.trace is not None:
            steps = traces(paths, self.canvas).astype(compute_dtype())
            seen.append(self.trace(steps, valid_segments(paths)))
        return jnp.concatenate(seen, axis=-1)

    def __call__(
        self, paths: Paths, dropout_key: PRNGKeyArray | None = None
    ) -> Float[Array, "batch outputs"]:
        """Return the outputs (a logit for the fraud task); with a key, features drop out."""
        features = self.features(paths)
        if dropout_key is not None:
            kept = jax.random.bernoulli(dropout_key, 1 - self.dropout, features.shape)
            features = jnp.where(kept, features / (1 - self.dropout), 0)
        return features @ self.head[...] + self.bias[...][None, :]


def compute_dtype() -> jnp.dtype:
    """Return what images are computed in: bf16 where the device has it in hardware."""
    return jnp.dtype(jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16)


@partial(jax.jit, static_argnums=0)
def _forward(graph: nnx.GraphDef, params: nnx.State, paths: Paths) -> Float[Array, "batch outputs"]:
    return nnx.merge(graph, params)(paths)


def predict(
    network: Network,
    sessions: Sessions,
    windows: Windows,
    n_points: int,
    batch_size: int = SCORING_BATCH,
) -> Float32[np.ndarray, "windows outputs"]:
    """Run `network` over windows in batches of one fixed shape.

    The last batch is filled up with its first window again: a batch of its own size would
    compile the network a second time. Batches are sent without waiting for the one before, so
    reading, laying out and computing overlap.
    """
    graph, params = nnx.split(network)
    outputs = []
    for begin in range(0, len(windows), batch_size):
        chosen = np.arange(begin, begin + batch_size)
        chosen = np.where(chosen < len(windows), chosen, begin)
        points = pad_windows(sessions, windows.take(chosen), n_points)
        outputs.append(_forward(graph, params, to_device(points)))
    if not outputs:
        return np.zeros((0, network.head[...].shape[1]), np.float32)
    return np.concatenate(jax.device_get(outputs))[: len(windows)]
