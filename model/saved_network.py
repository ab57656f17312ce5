"""A network as it lies in a RUN: arrays, and a program that needs no Flax."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np
from jax import export
from jaxtyping import Array, Float, Int

from model.batches import SCORED
from model.checkpoint import load_parameters
from model.config import NetworkConfig, PanelsConfig, RunConfig
from model.traced import traced_once
from rasterize.motion import Paths

if TYPE_CHECKING:  # it loads Flax
    from model.network import Network


@dataclass(frozen=True)
class SavedNetwork:
    """The network of a RUN, before anybody needs more of it than its logits."""

    config: RunConfig
    parameters: dict[str, np.ndarray]

    @classmethod
    def load(cls, folder: Path, config: RunConfig) -> "SavedNetwork":
        """Return the network whose parameters are in `folder`; they must fit the settings."""
        return cls(config, load_parameters(_program(config).shapes, folder))

    def compiled(self) -> Callable[[Paths, np.int32], Float[Array, " batch"]]:
        """Return `model.network.logits_of` this network as one compiled program."""
        run, on_device = _program(self.config).run, self._on_device
        return lambda paths, n: run(on_device, n, *paths)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return parameters and running statistics by their places, such as `convs/0/kernel`."""
        return self.parameters

    @cached_property
    def _on_device(self) -> dict[str, Array]:
        return jax.device_put(self.parameters)

    @cached_property
    def network(self) -> "Network":
        """Return the network itself."""
        from model.network import network_of

        return network_of(self.config.network, self.config.panels, self.parameters)


@dataclass(frozen=True)
class _Program:
    """What takes arrays, a number of windows and their columns to logits; the arrays' shapes."""

    run: Callable[..., Float[Array, " batch"]]
    shapes: dict[str, tuple[int, ...]]


def _program(config: RunConfig) -> _Program:
    return _program_of(config.network, config.panels, config.window.max_events)


@lru_cache(maxsize=16)
def _program_of(network: NetworkConfig, panels: PanelsConfig, n_points: int) -> _Program:
    """Return the program of networks of these sizes, for batches of windows of `n_points`."""

    def trace() -> export.Exported:
        from model.network import Network, logits_of, network_of

        def logits(
            arrays: dict[str, Array], n: Int[Array, ""], *columns: Array
        ) -> Float[Array, " batch"]:
            return logits_of(network_of(network, panels, arrays), Paths(*columns), n)

        arrays = Network(network, panels, 0).arrays()
        n = jax.ShapeDtypeStruct((), np.int32)
        return export.export(jax.jit(logits))(arrays, n, *_like_paths(n_points))

    traced = traced_once(trace, network, panels, n_points, SCORED)
    (arrays, *_), _ = jax.tree.unflatten(traced.in_tree, traced.in_avals)
    shapes = {name: array.shape for name, array in arrays.items()}
    return _Program(jax.jit(traced.call), shapes)


def _like_paths(n_points: int) -> list[jax.ShapeDtypeStruct]:
    """Return the shapes and types of the columns of a batch of windows, as models take them."""
    types = {"kind": np.int8, "piece": np.int32, "n_points": np.int32}
    shapes = {"n_points": (SCORED,)}
    return [
        jax.ShapeDtypeStruct(shapes.get(name, (SCORED, n_points)), types.get(name, np.float32))
        for name in Paths._fields
    ]
