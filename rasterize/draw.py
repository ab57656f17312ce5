"""Draw windows as images, by JAX functions that run inside the jitted step.

Every image is made of spots, each spread over its four nearest cells (bilinear splatting, which is
what makes lines smooth and the image differentiable with respect to the points). The path is spots
at equal distances along it; a panel is a spot an event. The counts behind a panel add up: those of
a session are the sum of its windows'.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from pipeline.features.quantities import speed_px_s
from rasterize.canvas import Canvas
from rasterize.motion import Paths, is_pressed, motion_of, same_piece
from rasterize.panels import Panel, Values

PRIOR_EVENTS: Final = 3.0
"""Events counted as if spread evenly over a panel: one of one says less than fifty of fifty."""

Splat = Literal["scatter", "product"]

FASTEST: Final[Mapping[str, Splat]] = {"cpu": "scatter"}
"""How a platform draws fastest, by JAX's name for it (docs/decisions/0013-print.md)."""

UNMEASURED: Final[Splat] = "product"
"""How other platforms draw: nobody has measured there."""

AnyArray = TypeVar("AnyArray", Array, np.ndarray)


def draw_images(
    paths: Paths,
    panels: Sequence[Panel],
    cells: int,
    weight: Float[Array, "batch points"] | None = None,
    how: Splat | None = None,
) -> Float[Array, "batch cells cells panels"]:
    """Return the images of each window's print: `density(draw_counts(...))` in one pass."""
    counts, total = _counts_and_total(paths, panels, cells, weight, how)
    return _roots(counts, total)


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
    return _counts_and_total(paths, panels, cells, weight, how)[0]


def _counts_and_total(
    paths: Paths,
    panels: Sequence[Panel],
    cells: int,
    weight: Float[Array, "batch points"] | None,
    how: Splat | None,
) -> tuple[Float[Array, "batch cells cells panels"], Float[Array, "batch 1 1 panels"]]:
    """Return the counts, and their sum over each panel, which is known before they are drawn."""
    x, y, counted = _in_panels(paths, panels, cells)
    each = counted if weight is None else counted * weight[None]
    # What doesn't count lies outside: many spots in one cell would have to wait for each other.
    x = jnp.where(counted > 0, x, -2.0)
    n_panels, batch, points = x.shape
    spots = (n_panels * batch, points)
    # A window's panels lie beside each other, which is the order in which they are needed.
    order = (jnp.arange(n_panels)[:, None] + n_panels * jnp.arange(batch)).reshape(-1)
    drawn = _with_margin(
        x.reshape(spots), y.reshape(spots), each.reshape(*spots, 1), cells, how, order
    )
    drawn = drawn.reshape(batch, n_panels, cells + 2, cells + 2)
    counts = _blurred(_blurred(drawn, 2), 3).transpose(0, 2, 3, 1)
    return counts, each.sum(axis=2).T[:, None, None, :]


def nearest_cells(
    paths: Paths, panels: Sequence[Panel], cells: int
) -> Int[Array, "batch panels points"]:
    """Return in which cell (row x cells + column) each event lies; -1 where it doesn't count."""
    x, y, counted = _in_panels(paths, panels, cells)
    row, column = jnp.rint(y).astype(jnp.int32), jnp.rint(x).astype(jnp.int32)
    return jnp.where(counted > 0, row * cells + column, -1).transpose(1, 0, 2)


def _in_panels(
    paths: Paths, panels: Sequence[Panel], cells: int
) -> tuple[
    Float[Array, "panels batch points"],
    Float[Array, "panels batch points"],
    Float[Array, "panels batch points"],
]:
    """Return where each event lies in each panel, in cells, and 1 where it counts, 0 elsewhere."""
    motion = motion_of(paths)
    x, y, counted = zip(*(panel.positions(motion) for panel in panels), strict=True)
    return _stacked(x) * (cells - 1), _stacked(y) * (cells - 1), _stacked(counted)


def _stacked(arrays: Sequence[Shaped[Array, "*shape"]]) -> Float[Array, "arrays *shape"]:
    """Return arrays stacked, each computed and written in turn.

    `jnp.stack` becomes a loop that asks of each number which array it is of: on a CPU a print then
    takes a quarter longer.
    """
    stacked = jnp.zeros((len(arrays), *arrays[0].shape), jnp.float32)
    for i, array in enumerate(arrays):
        stacked = stacked.at[i].set(array.astype(jnp.float32))
    return stacked


def density(
    counts: Float[AnyArray, "*batch cells cells panels"],
) -> Float[AnyArray, "*batch cells cells panels"]:
    """Return counts as images: the root of each cell's share, 0 where it is the even one.

    Roots, so that distances between two images are Hellinger's. A panel in which nothing counts is
    0 everywhere.
    """
    return _roots(counts, counts.sum(axis=(-3, -2), keepdims=True))


def _roots(
    counts: Float[AnyArray, "*batch cells cells panels"], total: Values
) -> Float[AnyArray, "*batch cells cells panels"]:
    n_cells = counts.shape[-2] * counts.shape[-3]
    per_event = n_cells / (total + PRIOR_EVENTS)
    root = counts.__array_namespace__().sqrt
    return root((counts + PRIOR_EVENTS / n_cells) * per_event) - 1


def _blurred(
    drawn: Float[Array, "panels batch rows columns"], axis: int
) -> Float[Array, "panels batch rows2 columns2"]:
    """Return images blurred by 1/4, 1/2, 1/4 along an axis, without its empty margin.

    The blur loses nothing: what would go into the margin stays in the cell at the edge.
    """
    cells = drawn.shape[axis] - 2
    own = np.full(cells, 0.5, np.float32)
    own[[0, -1]] = 0.75
    before, here, after = (
        jax.lax.slice_in_dim(drawn, begin, begin + cells, axis=axis) for begin in range(3)
    )
    shape = [cells if i == axis else 1 for i in range(drawn.ndim)]
    return 0.25 * (before + after) + own.reshape(shape) * here


def splat(
    x: Float[Array, "batch spots"],
    y: Float[Array, "batch spots"],
    values: Float[Array, "batch spots layers"],
    size: int,
    how: Splat | None = None,
) -> Float[Array, "batch size size layers"]:
    """Add each spot's values to its four nearest cells, by nearness; outside nothing is drawn."""
    order = jnp.arange(x.shape[0])
    return _with_margin(x, y, values, size, how, order)[:, 1:-1, 1:-1]


def fastest_splat() -> Splat:
    """Return how this process's platform draws."""
    return FASTEST.get(jax.default_backend(), UNMEASURED)


def _with_margin(
    x: Float[Array, "batch spots"],
    y: Float[Array, "batch spots"],
    values: Float[Array, "batch spots layers"],
    size: int,
    how: Splat | None,
    order: Int[Array, " batch"],
) -> Float[Array, "batch side side layers"]:
    """Return what `splat` draws, and a cell more on each side; row i is drawn as image `order[i]`.

    As a scatter, or as a product of two matrices, the shares of each spot in rows and in columns.
    """
    if (how or fastest_splat()) == "product":
        rows, columns = _cell_shares(y, size), _cell_shares(x, size)
        # A GPU would round to ten bits: shares of cells need all of them.
        exact = jax.lax.Precision.HIGHEST
        drawn = jnp.einsum("bsi,bsj,bsl->bijl", rows, columns, values, precision=exact)
        return jnp.pad(drawn[jnp.argsort(order)], ((0, 0), (1, 1), (1, 1), (0, 0)))
    batch, spots, layers = values.shape
    side = size + 2
    left, top = jnp.floor(x), jnp.floor(y)
    is_inside = (left >= -1) & (left < size) & (top >= -1) & (top < size)
    row = order[:, None] * side + 1 + top.astype(jnp.int32)
    cell = jnp.where(is_inside, row * side + 1 + left.astype(jnp.int32), -2 * side)
    right_share, lower_share = x - left, y - top
    # Not a stack of both, which on a CPU asks of each number which of them it is.
    in_columns = 1 - jnp.abs(right_share[..., None] - jnp.arange(2, dtype=x.dtype))
    drawn = jnp.zeros((batch * side * side, layers), values.dtype)
    # Two cells side by side are one update: the number of updates is what takes time.
    for rows_down, share in ((0, 1 - lower_share), (1, lower_share)):
        added = in_columns[..., None] * (share[..., None] * values)[:, :, None, :]
        drawn = jax.lax.scatter_add(
            drawn,
            (cell + rows_down * side).reshape(batch * spots, 1),
            added.reshape(batch * spots, 2, layers),
            _TWO_CELLS,
            mode=jax.lax.GatherScatterMode.FILL_OR_DROP,
        )
    return drawn.reshape(batch, side, side, layers)


_TWO_CELLS: Final = jax.lax.ScatterDimensionNumbers(
    update_window_dims=(1, 2), inserted_window_dims=(), scatter_dims_to_operand_dims=(0,)
)


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
