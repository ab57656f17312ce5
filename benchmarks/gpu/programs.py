"""The product's own functions, compiled for a device, a way of drawing and a type of numbers."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from model.config import NetworkConfig, PanelsConfig, RunConfig
from model.drawing import draw_print
from model.network import new_network
from model.step import Weights, draw_augmented, make_optimizer, train_step
from pipeline.config import WindowConfig
from pipeline.sessions.windows import Points
from rasterize.draw import FASTEST, UNMEASURED, Splat
from rasterize.motion import Paths, on_host

Compiled = Callable[..., Any]


@dataclass(frozen=True)
class Sizes:
    """How large everything is."""

    config: RunConfig
    agree_batch: int
    draw_batch: int
    score_batches: tuple[int, ...]
    cpu_batches: tuple[int, ...]  # of them on the CPU beside a GPU
    n_batches: int  # of a run of scoring
    train_batches: tuple[int, ...]
    matrix: int  # side of the product that tells the peak
    copied_mib: int
    sent_mib: int
    case_s: float = 2.0  # a case is repeated for so long


FULL = Sizes(
    RunConfig(), 256, 4096, (64, 256, 1024, 4096, 16384), (64, 256), 16, (128, 512, 2048), 8192,
    1024, 256,
)  # fmt: skip
CPU = replace(
    FULL, draw_batch=64, score_batches=(64, 256), train_batches=(128,), matrix=2048,
    copied_mib=256, sent_mib=64,
)  # fmt: skip
SMALL = Sizes(
    RunConfig(
        window=WindowConfig(max_events=16),
        panels=PanelsConfig(names=("hodograph", "step", "speed_turn"), cells=12),
        network=NetworkConfig(widths=(8, 8), hidden=8),
    ),
    4, 4, (4,), (4,), 4, (4,), 128, 1, 1, 0.05,
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """The device that is measured, the CPU beside it, and how large everything is."""

    device: Any
    cpu: Any
    sizes: Sizes

    @property
    def has_gpu(self) -> bool:
        """Return whether the device is another than the CPU."""
        return self.device.platform != "cpu"

    @property
    def splat(self) -> Splat:
        """Return how the product draws on the device."""
        return FASTEST.get(self.device.platform, UNMEASURED)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Return which types the network is measured in; a CPU has no use for bfloat16."""
        return ("bfloat16", "float32") if self.has_gpu else ("float32",)


def find_setting(sizes: Sizes) -> Setting:
    """Return the first device that JAX finds, and this machine's CPU."""
    setting = Setting(jax.devices()[0], jax.devices("cpu")[0], sizes)
    return setting if setting.has_gpu or sizes is not FULL else replace(setting, sizes=CPU)


@contextmanager
def as_if(splat: Splat, dtype: str) -> Iterator[None]:
    """Let what is traced inside draw and compute as on another platform."""
    with (
        patch("rasterize.draw.fastest_splat", lambda: splat),
        patch("model.network.compute_dtype", lambda: jnp.dtype(dtype)),
    ):
        yield


def sample_paths(config: RunConfig, n_windows: int, seed: int = 0) -> Paths:
    """Return windows of a pointer that speeds up, slows down, turns and rests, on the host."""
    rng = np.random.default_rng(seed)
    shape = (n_windows, config.window.max_events)
    velocity = np.zeros((2, *shape))
    push = rng.normal(0, 3, (2, *shape))
    for i in range(1, shape[1]):
        velocity[..., i] = 0.85 * velocity[..., i - 1] + push[..., i]
    rests = rng.random(shape) < 0.1
    x_px, y_px = np.rint(np.cumsum(np.where(rests, 0, velocity), axis=2)).astype(np.float32)
    interval_ms = rng.choice([8, 8, 16, 16, 24], shape) + 300 * (rng.random(shape) < 0.02)
    interval_ms[:, 0] = 0
    n_points = rng.integers(shape[1] * 3 // 4, shape[1] + 1, n_windows).astype(np.int32)
    t_ms = np.cumsum(interval_ms, axis=1).astype(np.float32)
    return on_host(Points(t_ms, x_px, y_px, np.zeros(shape, np.int8), n_points))


def compiled_draw(setting: Setting, device: Any, splat: Splat, paths: Paths) -> Compiled:
    """Return the drawing of a print, compiled for a device and a shape of paths."""
    panels = setting.sizes.config.panels
    with as_if(splat, "float32"):
        lowered = jax.jit(lambda paths: draw_print(paths, panels)).lower(on(device, paths))
    return lowered.compile()


def compiled_forward(
    setting: Setting, device: Any, splat: Splat, dtype: str, paths: Paths
) -> tuple[Compiled, Compiled]:
    """Return points to logits with the network's weights on a device; and the bare program."""
    graph, params = nnx.split(new_network(setting.sizes.config))
    params = on(device, params)
    with as_if(splat, dtype):
        program = (
            jax.jit(lambda params, paths: nnx.merge(graph, params).of_paths(paths))
            .lower(params, on(device, paths))
            .compile()
        )
    return partial(program, params), program


class Trainer:
    """Training steps on one device: each changes the weights that the one before has left."""

    def __init__(self, setting: Setting, device: Any, splat: Splat, dtype: str, n_windows: int):
        config = setting.sizes.config
        graph, *states = nnx.split(new_network(config), nnx.Param, nnx.BatchStat)
        self.weights = on(device, jax.tree.map(jnp.array, Weights(*states)))
        self._optimizer_state = on(device, make_optimizer(config.train).init(self.weights.params))
        labels = (np.arange(n_windows) % 2).astype(np.float32)
        self._paths, self._labels = on(device, (sample_paths(config, n_windows), labels))
        self._device, self._steps = device, 0
        # Traced anew: the functions themselves would keep how another device draws.
        draw = jax.jit(partial(inspect.unwrap(draw_augmented), config))
        step = jax.jit(partial(inspect.unwrap(train_step), graph, config), donate_argnums=(0, 1))
        with as_if(splat, dtype):
            self._draw = draw.lower(self._paths, self._key()).compile()
            images = self._draw(self._paths, self._key())
            self._step = step.lower(
                self.weights, self._optimizer_state, images, self._labels, self._key()
            ).compile()

    def _key(self) -> jax.Array:
        return on(self._device, jax.random.fold_in(jax.random.key(0), self._steps))

    def step(self) -> jax.Array:
        """Take a step and return its loss, which may not be computed yet."""
        key = self._key()
        images = self._draw(self._paths, key)
        self.weights, self._optimizer_state, loss = self._step(
            self.weights, self._optimizer_state, images, self._labels, key
        )
        self._steps += 1
        return loss

    def numbers(self) -> np.ndarray:
        """Return all weights as one array on the host."""
        leaves: Sequence[Any] = jax.tree.leaves(self.weights)
        return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in leaves])


def on(device: Any, tree: Any) -> Any:
    """Return a tree of arrays on a device."""
    return jax.device_put(tree, device)
