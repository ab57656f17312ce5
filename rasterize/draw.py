"""Draw windows as images, by JAX functions that run inside the jitted step.

Every image is made of spots, each spread over its four nearest cells (bilinear splatting, which is
what makes lines smooth and the image differentiable with respect to the points). The path is spots
at equal distances along it; a panel is a spot an event. The counts behind a panel add up: those of
a session are the sum of its windows'.
"""

from collections.abc import Sequence
from typing import Final, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pipeline.features.quantities import speed_px_s
from rasterize.canvas import Canvas
from rasterize.motion import Paths, is_pressed, motion_of, same_piece
from rasterize.panels import Panel

PRIOR_EVENTS: Final = 3.0
"""Events counted as if spread evenly over a panel: one of one says less than fifty of fifty."""

Splat = Literal["scatter", "product"]

AnyArray = TypeVar("AnyArray", Array, np.ndarray)


def draw_counts(
    paths: Paths,
    panels: Sequence[Panel],
    cells: int,
    weight: Float[Array, "batch points"] | None = None,
    how: Splat | None = None,
) -> Float[Array, "batch cells cells panels"]:
    """Return how many events of each window lie in each cell of each panel, slightly blurred.

    Rows go down along `Panel.y`, columns right along `Panel.x`. The sum over a panel's cells is the
    number of events that count in it. With `weight`, each event counts for so much.
    """
    x, y, counted = _in_panels(paths, panels, cells)
    each = counted.astype(jnp.float32)
    if weight is not None:
        each = each * weight[:, None]
    batch, n_panels, points = x.shape
    shape = (batch * n_panels, points)
    drawn = splat(x.reshape(shape), y.reshape(shape), each.reshape(*shape, 1), cells, how)
    blur = _binomial(cells)
    drawn = drawn.reshape(batch, n_panels, cells, cells)
    return jnp.einsum("ij,bpjk,kl->bilp", blur, drawn, blur)


def nearest_cells(
    paths: Paths, panels: Sequence[Panel], cells: int
) -> Int[Array, "batch panels points"]:
    """Return in which cell (row x cells + column) each event lies; -1 where it doesn't count."""
    x, y, counted = _in_panels(paths, panels, cells)
    row, column = jnp.rint(y).astype(jnp.int32), jnp.rint(x).astype(jnp.int32)
    return jnp.where(counted, row * cells + column, -1)


def _in_panels(
    paths: Paths, panels: Sequence[Panel], cells: int
) -> tuple[
    Float[Array, "batch panels points"],
    Float[Array, "batch panels points"],
    Bool[Array, "batch panels points"],
]:
    """Return where each event lies in each panel, in cells, and in which it counts."""
    motion = motion_of(paths)
    found = zip(*(panel.positions(motion) for panel in panels), strict=True)
    x, y, counted = (jnp.stack(column, axis=1) for column in found)
    return x * (cells - 1), y * (cells - 1), counted


def density(
    counts: Float[AnyArray, "*batch cells cells panels"],
) -> Float[AnyArray, "*batch cells cells panels"]:
    """Return counts as images: the root of each cell's share, 0 where it is the even one.

    Roots, so that distances between two images are Hellinger's. A panel in which nothing counts is
    0 everywhere.
    """
    xp = counts.__array_namespace__()
    n_cells = counts.shape[-2] * counts.shape[-3]
    total = counts.sum(axis=(-3, -2), keepdims=True)
    share = (counts + PRIOR_EVENTS / n_cells) / (total + PRIOR_EVENTS)
    return xp.sqrt(share * n_cells) - 1


def _binomial(cells: int) -> Float[np.ndarray, "cells cells"]:
    """Return the matrix of a blur by 1/4, 1/2, 1/4 that loses nothing at the edges."""
    blur = np.zeros((cells, cells), np.float32)
    for i in range(cells):
        for to, share in ((max(i - 1, 0), 0.25), (i, 0.5), (min(i + 1, cells - 1), 0.25)):
            blur[i, to] += share
    return blur


def splat(
    x: Float[Array, "batch spots"],
    y: Float[Array, "batch spots"],
    values: Float[Array, "batch spots layers"],
    size: int,
    how: Splat | None = None,
) -> Float[Array, "batch size size layers"]:
    """Add each spot's values to its four nearest cells, by nearness; outside nothing is drawn.

    As a scatter, or as a product of two matrices, the shares of each spot in rows and in columns.
    None takes the scatter on a CPU, where it was measured to be three times as fast
    (docs/decisions/0013-print.md), and the product elsewhere, where neither was measured yet.
    """
    if how is None:
        how = "scatter" if jax.default_backend() == "cpu" else "product"
    if how == "product":
        rows, columns = _cell_shares(y, size), _cell_shares(x, size)
        return jnp.einsum("bsi,bsj,bsl->bijl", rows, columns, values)
    batch, _, layers = values.shape
    left, top = jnp.floor(x), jnp.floor(y)
    right_share, lower_share = x - left, y - top
    column = left.astype(jnp.int32)[..., None] + jnp.array([0, 1, 0, 1])
    row = top.astype(jnp.int32)[..., None] + jnp.array([0, 0, 1, 1])
    share = jnp.stack(
        [
            (1 - right_share) * (1 - lower_share),
            right_share * (1 - lower_share),
            (1 - right_share) * lower_share,
            right_share * lower_share,
        ],
        axis=-1,
    )
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    image = jnp.arange(batch)[:, None, None]
    cell = jnp.where(inside, (image * size + row) * size + column, batch * size * size)
    flat = jnp.zeros((batch * size * size, layers), values.dtype)
    added = share[..., None] * values[:, :, None, :]
    flat = flat.at[cell.reshape(-1)].add(added.reshape(-1, layers), mode="drop")
    return flat.reshape(batch, size, size, layers)


def _cell_shares(at: Float[Array, "batch spots"], size: int) -> Float[Array, "batch spots size"]:
    """Return the share of each spot in each cell along one side."""
    return jnp.maximum(1 - jnp.abs(at[..., None] - jnp.arange(size, dtype=at.dtype)), 0)


def draw_path(paths: Paths, canvas: Canvas) -> Float[Array, "batch size size 3"]:
    """Return images of each path: ink, ink x speed (0 slow to 1 fast), ink with a button held."""
    x, y = to_cells(paths, canvas)
    path_x, path_y, ink, values = _spots(paths, x, y, canvas)
    layers = jnp.concatenate([ink[..., None], values * ink[..., None]], axis=-1)
    drawn = splat(path_x, path_y, layers, canvas.size, "scatter")
    total = drawn[..., :1]
    # A cell's mean value, times how full of ink it is: faint at the line's edge. The mean of ink
    # itself is 1, so one factor serves all layers, and they need not be taken apart.
    return drawn * ((1 - jnp.exp(-2 * total)) / jnp.maximum(total, 1e-6))


def to_cells(
    paths: Paths, canvas: Canvas
) -> tuple[Float[Array, "batch points"], Float[Array, "batch points"]]:
    """Return positions in cells; (0, 0) is the centre of the upper left cell."""
    if canvas.placement == "absolute":
        return paths.x_px / canvas.cell_px - 0.5, paths.y_px / canvas.cell_px - 0.5
    # Filling repeats the last event, so it never widens the box.
    left, right = paths.x_px.min(1, keepdims=True), paths.x_px.max(1, keepdims=True)
    top, bottom = paths.y_px.min(1, keepdims=True), paths.y_px.max(1, keepdims=True)
    cell_px: float | Float[Array, "batch 1"] = canvas.cell_px
    if canvas.placement == "box":
        side = jnp.maximum(jnp.maximum(right - left, bottom - top), 1.0)
        cell_px = side / (canvas.size - 2)
    middle = (canvas.size - 1) / 2
    return (
        (paths.x_px - (left + right) / 2) / cell_px + middle,
        (paths.y_px - (top + bottom) / 2) / cell_px + middle,
    )


def speed_fraction(speed: Float[Array, "*any"], canvas: Canvas) -> Float[Array, "*any"]:
    """Return where a speed (px/s) lies on the canvas's logarithmic colour scale, 0 to 1."""
    span = jnp.log(canvas.fast_px_s / canvas.slow_px_s)
    return jnp.clip(jnp.log(jnp.maximum(speed, 1e-3) / canvas.slow_px_s) / span, 0, 1)


def _spots(
    paths: Paths, x: Float[Array, "batch points"], y: Float[Array, "batch points"], canvas: Canvas
) -> tuple[
    Float[Array, "batch spots"],
    Float[Array, "batch spots"],
    Float[Array, "batch spots"],
    Float[Array, "batch spots 2"],
]:
    """Return x, y (cells), ink, speed and held button of spots evenly spaced on the path."""
    dx, dy = jnp.diff(x, axis=1), jnp.diff(y, axis=1)
    length = jnp.where(same_piece(paths)[:, 1:], jnp.hypot(dx, dy), 0.0)  # no ink across a jump
    length_px = jnp.hypot(jnp.diff(paths.x_px, axis=1), jnp.diff(paths.y_px, axis=1))
    speed = speed_px_s(length_px, jnp.diff(paths.t_ms, axis=1))
    reach = jnp.cumsum(length, axis=1)
    total = reach[:, -1:]
    n_spots = canvas.n_samples
    at = (jnp.arange(n_spots)[None, :] + 0.5) / n_spots * total
    segment = jax.vmap(lambda r, a: jnp.searchsorted(r, a, side="right", method="scan"))(reach, at)
    segment = jnp.minimum(segment, length.shape[1] - 1)
    unit = jnp.maximum(length, 1e-9)
    columns = [x[:, :-1], y[:, :-1], dx / unit, dy / unit, reach - length]
    columns += [speed_fraction(speed, canvas), is_pressed(paths.kind)[:, :-1]]
    picked = jnp.take_along_axis(jnp.stack(columns, axis=-1), segment[..., None], axis=1)
    start_x, start_y, cos, sin, start = (picked[..., i] for i in range(5))
    into = at - start
    ink = jnp.broadcast_to(total / n_spots, at.shape)
    return start_x + into * cos, start_y + into * sin, ink, picked[..., 5:]
