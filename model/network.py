"""Points in, logits out: the drawing kernel and the CNN as one function to be compiled.

Points, not images, travel to the device; training, scoring and the analyst's picture come from
the same kernel.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float32, PRNGKeyArray

from model.cnn import CNN, Conv
from model.config import RunConfig
from model.folded import FixedConv, FoldedCNN
from model.habits import N_HABITS, HabitsMLP, habits
from model.trace import TraceCNN, traces, valid_segments
from pipeline.overlap import overlapped, usable_cores
from pipeline.sessions import Sessions
from pipeline.windows import Points, Windows, pad_windows
from rasterize.canvas import Canvas
from rasterize.draw import Paths, draw, to_device

T = TypeVar("T")

SCORING_BATCH = 64  # the fastest on a CPU, from 32 to 128 alike


class Network(nnx.Module):
    """Draws each window on its canvas, looks at the picture, along the path, and at habits.

    It gives a logit of fraud. For the owner task it gives an embedding: windows of one hand lie
    close together. That is what it has learnt, and behind it the habits as they are, which know
    people never seen better than anything learnt from few (docs/ablation.md); with
    `owner.learns = "never"` they are all. The picture is there, by default, for people only.
    """

    def __init__(self, config: RunConfig):
        rng = np.random.default_rng(config.seed)
        self.canvas: Canvas = nnx.static(config.canvas)
        self.dropout = config.cnn.dropout
        is_owner = config.task == "owner"
        learns = not (is_owner and config.owner.learns == "never")
        sees = config.cnn.widths if learns and (config.owner.picture or not is_owner) else ()
        follows = config.trace.widths if learns else ()
        width = config.habits.width if learns else 0
        self.is_folded = False
        self.cnn: CNN | FoldedCNN | None = (
            CNN(config.cnn, len(config.canvas.channels), rng=rng) if sees else None
        )
        self.trace = TraceCNN(config.trace, rng=rng) if follows else None
        summarises = config.habits.summaries and not is_owner
        self.habits = HabitsMLP(width, summarises, rng=rng) if width else None
        self.shows_habits = is_owner and config.owner.habits
        self.n_learnt = (config.owner.embedding if is_owner else 1) if learns else 0
        if not learns:  # a network without any number can't be written
            self.head = nnx.Param(np.ones((1, N_HABITS), np.float32))
            return
        n_features = 2 * sum(widths[-1] for widths in (sees, follows) if widths) + width
        # An embedding of zeros would teach nothing; a logit of zero is the fair first guess.
        spread = n_features**-0.5 if is_owner else 0.0
        head = spread * rng.standard_normal((n_features, self.n_learnt), np.float32)
        self.head = nnx.Param(head.astype(np.float32))
        self.bias = nnx.Param(np.zeros(self.n_learnt, np.float32))

    def features(self, paths: Paths) -> Float[Array, "batch features"]:
        """Return what picture, path and habits show of each window."""
        seen = []
        if self.cnn is not None:
            seen.append(self.cnn(draw(paths, self.canvas).astype(compute_dtype())))
        if self.trace is not None:
            steps = traces(paths, self.canvas).astype(compute_dtype())
            seen.append(self.trace(steps, valid_segments(paths)))
        if self.habits is not None:
            seen.append(self.habits(paths))
        return jnp.concatenate(seen, axis=-1)

    def __call__(
        self, paths: Paths, dropout_key: PRNGKeyArray | None = None
    ) -> Float[Array, "batch outputs"]:
        """Return a logit, or an embedding; with a key, features drop out."""
        if not self.n_learnt:
            return habits(paths) * self.head[...]
        features = self.features(paths)
        if dropout_key is not None:
            kept = jax.random.bernoulli(dropout_key, 1 - self.dropout, features.shape)
            features = jnp.where(kept, features / (1 - self.dropout), 0)
        outputs = features @ self.head[...] + self.bias[...][None, :]
        return jnp.concatenate([outputs, habits(paths)], axis=1) if self.shows_habits else outputs

    @property
    def n_outputs(self) -> int:
        """Return how many numbers it gives of a window."""
        return self.n_learnt + (N_HABITS if self.shows_habits else 0)


def folded(network: Network) -> Network:
    """Return the network as a CPU scores with it; on another device it stays as it is.

    What is the same for all windows is done here, once: predict with the result where there are
    many calls.
    """
    if network.is_folded or jax.default_backend() != "cpu":
        return network
    network = nnx.merge(*nnx.split(network))  # another one, of the same arrays
    network.is_folded = True
    if isinstance(network.cnn, CNN):
        network.cnn = FoldedCNN(network.cnn, network.canvas.size)
    if network.trace is not None:
        convs = network.trace.convs
        network.trace.convs = nnx.List(
            [FixedConv(conv) if isinstance(conv, Conv) else conv for conv in convs]
        )
    return network


def compute_dtype() -> jnp.dtype:
    """Return what images are computed in: bf16 where the device has it in hardware."""
    return jnp.dtype(jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16)


@partial(jax.jit, static_argnums=0)
def _forward(graph: nnx.GraphDef, params: nnx.State, paths: Paths) -> Float[Array, "batch outputs"]:
    return nnx.merge(graph, params)(paths)


@partial(jax.jit, static_argnums=0)
def _features(
    graph: nnx.GraphDef, params: nnx.State, paths: Paths
) -> Float[Array, "batch features"]:
    return nnx.merge(graph, params).features(paths)


def predict(
    network: Network,
    sessions: Sessions,
    windows: Windows,
    n_points: int,
    batch_size: int = SCORING_BATCH,
) -> Float32[np.ndarray, "windows outputs"]:
    """Return what `network` says of each window."""
    n_outputs = network.n_outputs
    return _in_batches(_forward, network, sessions, windows, n_points, batch_size, n_outputs)


def features(
    network: Network,
    sessions: Sessions,
    windows: Windows,
    n_points: int,
    batch_size: int = SCORING_BATCH,
) -> Float32[np.ndarray, "windows features"]:
    """Return what `network` sees of each window, before it says anything: for a probe."""
    n_features = network.head[...].shape[0]
    return _in_batches(_features, network, sessions, windows, n_points, batch_size, n_features)


def _in_batches(
    compiled: Callable[[nnx.GraphDef, nnx.State, Paths], Array],
    network: Network,
    sessions: Sessions,
    windows: Windows,
    n_points: int,
    batch_size: int,
    n_columns: int,
) -> Float32[np.ndarray, "windows columns"]:
    """Run `compiled` over windows in batches of one fixed shape.

    The last batch is filled up with its first window again: a batch of its own size would
    compile the network a second time.
    """
    graph, params = nnx.split(folded(network))

    def look(begin: int) -> np.ndarray:
        chosen = np.arange(begin, begin + batch_size)
        chosen = np.where(chosen < len(windows), chosen, begin)
        points = pad_windows(sessions, windows.take(chosen), n_points)
        return np.asarray(compiled(graph, params, to_device(points)))

    found = list(side_by_side(look, range(0, len(windows), batch_size)))
    return np.concatenate([*found, np.zeros((0, n_columns), np.float32)])[: len(windows)]


def side_by_side(look: Callable[[int], T], begins: Sequence[int]) -> Iterator[T]:
    """Give `look` of each batch, in order, as many at a time as there are cores.

    Each takes little more than one core: what draws, and Winograd's products, use no other. The
    first batch goes alone, so that the network is compiled once.
    """
    yield from map(look, begins[:1])
    yield from overlapped(look, begins[1:], usable_cores())


def predict_points(
    network: Network, points: Points, batch_size: int = SCORING_BATCH
) -> Float32[np.ndarray, "windows outputs"]:
    """Run `network` over windows that are laid out already, as `predict` does."""
    graph, params = nnx.split(folded(network))

    def look(begin: int) -> np.ndarray:
        chosen = np.arange(begin, begin + batch_size)
        some = points.take(np.where(chosen < len(points), chosen, begin))
        return np.asarray(_forward(graph, params, to_device(some)))

    outputs = list(side_by_side(look, range(0, len(points), batch_size)))
    return np.concatenate([*outputs, np.zeros((0, network.n_outputs), np.float32)])[: len(points)]
