"""The print of windows as models take it, drawn by the settings of a run."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from model.config import PanelsConfig
from rasterize.draw import draw_counts, draw_images
from rasterize.motion import Paths


def draw_print(paths: Paths, config: PanelsConfig) -> Float[Array, "batch cells cells panels"]:
    """Return the print of each window as the network sees it."""
    return draw_images(paths, config.panels, config.cells)


@partial(jax.jit, static_argnums=0)
def count_print(config: PanelsConfig, paths: Paths) -> Float[Array, "batch cells cells panels"]:
    """Return the counts behind each window's print."""
    return draw_counts(paths, config.panels, config.cells)


def differentiable_print(
    paths: Paths, config: PanelsConfig
) -> tuple[
    Float[Array, "batch cells cells panels"],
    Callable[[Float[Array, "batch cells cells panels"]], tuple[Float[Array, "batch points"]]],
]:
    """Return the print of each window, and what takes slopes by its cells to slopes by its events.

    An event's slope is by its weight: what would change if it counted a little less.
    """
    return jax.vjp(
        lambda weight: draw_images(paths, config.panels, config.cells, weight),
        jnp.ones(paths.t_ms.shape, jnp.float32),
    )
