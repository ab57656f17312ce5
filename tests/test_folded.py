"""The network as it scores: Winograd's convolution is the plain one, and nothing else changes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from model import winograd
from model.config import CNNConfig, HabitsConfig, RunConfig, TraceConfig
from model.folded import FoldedCNN, TiledConv
from model.network import Network, folded
from rasterize.canvas import Canvas
from rasterize.draw import Paths


def plain(x: jax.Array, weights: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, weights, (1, 1), "SAME", dimension_numbers=("HWNC", "HWIO", "HWNC")
    )


def test_one_dot_becomes_the_weights_turned_round():
    weights = np.arange(1, 10, dtype=np.float32).reshape(3, 3, 1, 1)
    image = np.zeros((4, 4, 1, 1), np.float32)
    image[1, 2] = 1
    found = winograd.convolve(jnp.asarray(image), jnp.asarray(winograd.weights_at_points(weights)))
    expected = [[0, 9, 8, 7], [0, 6, 5, 4], [0, 3, 2, 1], [0, 0, 0, 0]]
    np.testing.assert_allclose(found[:, :, 0, 0], expected, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (3, 6)])
def test_it_is_the_plain_convolution(height, width):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(height, width, 2, 5)), jnp.float32)
    weights = (rng.normal(size=(3, 3, 5, 7)) / 45**0.5).astype(np.float32)
    found = winograd.convolve(x, jnp.asarray(winograd.weights_at_points(weights)))
    np.testing.assert_allclose(found, plain(x, jnp.asarray(weights)), atol=3e-5)


def shaken(config: RunConfig) -> Network:
    """Return a network none of whose parameters is as it was made."""
    rng = np.random.default_rng(0)
    graph, params = nnx.split(Network(config))
    return nnx.merge(graph, jax.tree.map(lambda a: a + rng.normal(0, 0.3, a.shape), params))


def some_paths(batch: int = 5, n: int = 24) -> Paths:
    rng = np.random.default_rng(1)
    t_ms = np.cumsum(rng.integers(1, 300, (batch, n)), axis=1).astype(np.float32)
    x_px, y_px = rng.normal(0, 20, (2, batch, n)).cumsum(axis=2).astype(np.float32)
    kind = rng.integers(0, 3, (batch, n)).astype(np.int8)
    return Paths(*map(jnp.asarray, (t_ms, x_px, y_px, kind, np.full(batch, n, np.int32))))


@partial(jax.jit, static_argnums=0)
def forward(graph: nnx.GraphDef, params: nnx.State, paths: Paths) -> jax.Array:
    return nnx.merge(graph, params)(paths)


def says(network: Network, paths: Paths) -> jax.Array:
    return forward(*nnx.split(network), paths)


@pytest.mark.parametrize(
    "cnn",
    [
        CNNConfig(patch=4, widths=(8, 16, 8)),  # sides of 8, 4 and 2: tiles, then none
        CNNConfig(patch=8, widths=(8,), blocks=0),
    ],
)
def test_a_folded_network_says_the_same(cnn):
    network = shaken(
        RunConfig(
            canvas=Canvas(size=32, n_samples=64),
            cnn=cnn,
            trace=TraceConfig((8, 8)),
            habits=HabitsConfig(width=0),
        )
    )
    paths, before = some_paths(), says(network, some_paths())

    quick = folded(network)

    assert quick is not network
    assert folded(quick) is quick
    np.testing.assert_allclose(says(quick, paths), before, rtol=1e-5, atol=1e-5)
    assert not isinstance(network.cnn, FoldedCNN)  # it stays as it was
    np.testing.assert_array_equal(says(network, paths), before)


def test_the_defaults_convolutions_all_go_by_tiles():
    cnn = folded(Network(RunConfig())).cnn
    assert isinstance(cnn, FoldedCNN)
    blocks = [block for stage in cnn.stages for block in stage]
    assert len(blocks) == 2
    assert all(isinstance(c, TiledConv) for block in blocks for c in (block.first, block.second))
