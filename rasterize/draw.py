"""Points in, images out: the drawing kernel, a pure JAX function.

A path becomes spots of ink set at equal distances along it (so a slow stretch is as bold as
a fast one), each spread over its four nearest cells (bilinear splatting, which is what makes
lines smooth and the image differentiable with respect to the points). What a spot carries,
speed and direction, is averaged in each cell by its ink.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from pipeline.schemas import Kind
from pipeline.windows import Points
from rasterize.canvas import Canvas

SHORTEST_MS = 1.0  # two events at one time are a jump: fast, not infinitely so


class Paths(NamedTuple):
    """A batch of windows on the device: `pipeline.windows.Points` as JAX arrays."""

    t_ms: Float[Array, "batch points"]
    x_px: Float[Array, "batch points"]
    y_px: Float[Array, "batch points"]
    kind: Int[Array, "batch points"]
    n_points: Int[Array, " batch"]


def to_device(points: Points) -> Paths:
    """Send a batch of windows to the device."""
    return Paths(
        *jax.device_put((points.t_ms, points.x_px, points.y_px, points.kind, points.n_points))
    )


def draw(paths: Paths, canvas: Canvas) -> Float[Array, "batch size size channels"]:
    """Draw each path on a canvas of its own; channel order is `canvas.channels`."""
    if canvas.resample_ms:
        paths = throttle(paths, jnp.full(paths.n_points.shape, canvas.resample_ms))
    x, y = place(paths, canvas)
    marks = [name for name in canvas.channels if name in ("pause", "click")]
    carried = [name for name in canvas.channels if name not in ("ink", *marks)]
    path_x, path_y, ink, values = _spots(paths, x, y, canvas, carried)
    layers = jnp.concatenate([ink[..., None], values * ink[..., None]], axis=-1)
    drawn = splat(path_x, path_y, layers, canvas.size)
    total = drawn[..., :1]
    # A cell's mean value, times how full of ink it is: faint at the line's edge. The mean of ink
    # itself is 1, so one factor serves all layers, and they need not be taken apart.
    planes = [drawn * ((1 - jnp.exp(-2 * total)) / jnp.maximum(total, 1e-6))]
    if marks:
        weights = jnp.stack([_mark_weights(paths, name, canvas) for name in marks], axis=-1)
        planes.append(1 - jnp.exp(-splat(x, y, weights, canvas.size)))
    order = ["ink", *carried, *marks]
    image = jnp.concatenate(planes, axis=-1)
    if tuple(order) == canvas.channels:
        return image
    return image[..., jnp.array([order.index(name) for name in canvas.channels])]


def valid_points(paths: Paths) -> Bool[Array, "batch points"]:
    """Return which places hold an event rather than filling."""
    return jnp.arange(paths.t_ms.shape[1])[None, :] < paths.n_points[:, None]


def place(
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


def throttle(paths: Paths, period_ms: Float[Array, " batch"]) -> Paths:
    """Return each path as a recorder that logs once in `period_ms` would have seen it.

    At each tick the last event so far is kept, as a browser's throttled handler does. A path
    longer than its places can hold at that period is logged at the shortest period that fits.
    """
    n_places = paths.t_ms.shape[1]
    valid = valid_points(paths)
    last_ms = paths.t_ms.max(axis=1)
    period_ms = jnp.maximum(period_ms, last_ms / (n_places - 1))
    n_ticks = jnp.ceil(last_ms / period_ms - 1e-4).astype(jnp.int32) + 1
    tick = jnp.minimum(jnp.arange(n_places)[None, :], n_ticks[:, None] - 1)
    tick_ms = jnp.minimum(tick * period_ms[:, None], last_ms[:, None])
    t_ms = jnp.where(valid, paths.t_ms, jnp.inf)  # filling never counts as "so far"
    seen = jax.vmap(lambda t, at: jnp.searchsorted(t, at, side="right", method="scan"))(
        t_ms, tick_ms + 1e-3
    )
    event = jnp.maximum(seen - 1, 0)

    def at_ticks(values: Array) -> Array:
        return jnp.take_along_axis(values, event, axis=1)

    return Paths(
        at_ticks(paths.t_ms), at_ticks(paths.x_px), at_ticks(paths.y_px), at_ticks(paths.kind),
        n_ticks,
    )  # fmt: skip


def segment_speed(paths: Paths) -> Float[Array, "batch segments"]:
    """Return the mean speed of each segment, in px/s."""
    distance_px = jnp.hypot(jnp.diff(paths.x_px, axis=1), jnp.diff(paths.y_px, axis=1))
    return 1000 * distance_px / jnp.maximum(jnp.diff(paths.t_ms, axis=1), SHORTEST_MS)


def speed_fraction(speed_px_s: Float[Array, "*any"], canvas: Canvas) -> Float[Array, "*any"]:
    """Return where a speed lies on the canvas's colour scale: 0 slow, 1 fast, logarithmic."""
    span = jnp.log(canvas.fast_px_s / canvas.slow_px_s)
    return jnp.clip(jnp.log(jnp.maximum(speed_px_s, 1e-3) / canvas.slow_px_s) / span, 0, 1)


def is_pressed(kind: Int[Array, "batch points"]) -> Float[Array, "batch points"]:
    """Return 1 where a button is held: from a press to its release, and at every drag."""
    order = jnp.arange(kind.shape[1])[None, :]
    down = (kind == Kind.DOWN) | (kind == Kind.DRAG)
    up = (kind == Kind.UP) | (kind == Kind.MOVE) | (kind == Kind.CLICK)
    last_down = jax.lax.cummax(jnp.where(down, order, -1), axis=1)
    last_up = jax.lax.cummax(jnp.where(up, order, -1), axis=1)
    return (last_down > last_up).astype(jnp.float32)


def splat(
    x: Float[Array, "batch spots"],
    y: Float[Array, "batch spots"],
    values: Float[Array, "batch spots layers"],
    size: int,
) -> Float[Array, "batch size size layers"]:
    """Add each spot's values to its four nearest cells, by nearness; outside nothing is drawn."""
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


def _spots(
    paths: Paths,
    x: Float[Array, "batch points"],
    y: Float[Array, "batch points"],
    canvas: Canvas,
    names: list[str],
) -> tuple[
    Float[Array, "batch spots"],
    Float[Array, "batch spots"],
    Float[Array, "batch spots"],
    Float[Array, "batch spots named"],
]:
    """Return x, y (cells), ink and the named values of spots at equal distances along the path."""
    dx, dy = jnp.diff(x, axis=1), jnp.diff(y, axis=1)
    length = jnp.hypot(dx, dy)
    reach = jnp.cumsum(length, axis=1)
    total = reach[:, -1:]
    n_spots = canvas.n_samples
    at = (jnp.arange(n_spots)[None, :] + 0.5) / n_spots * total
    segment = jax.vmap(lambda r, a: jnp.searchsorted(r, a, side="right", method="scan"))(reach, at)
    segment = jnp.minimum(segment, length.shape[1] - 1)
    unit = jnp.maximum(length, 1e-9)
    per_segment = {
        "speed": lambda: speed_fraction(segment_speed(paths), canvas),
        "velocity_x": lambda: speed_fraction(segment_speed(paths), canvas) * dx / unit,
        "velocity_y": lambda: speed_fraction(segment_speed(paths), canvas) * dy / unit,
        "direction_x": lambda: dx / unit,
        "direction_y": lambda: dy / unit,
        "press": lambda: is_pressed(paths.kind)[:, :-1],
    }
    columns = [x[:, :-1], y[:, :-1], dx / unit, dy / unit, reach - length]
    columns += [per_segment[name]() for name in names]
    picked = jnp.take_along_axis(jnp.stack(columns, axis=-1), segment[..., None], axis=1)
    start_x, start_y, cos, sin, start = (picked[..., i] for i in range(5))
    into = at - start
    ink = jnp.broadcast_to(total / n_spots, at.shape)
    return start_x + into * cos, start_y + into * sin, ink, picked[..., 5:]


def _mark_weights(paths: Paths, name: str, canvas: Canvas) -> Float[Array, "batch points"]:
    """Return how much of a mark each event leaves."""
    valid = valid_points(paths)
    if name == "click":
        kinds = (Kind.DOWN, Kind.CLICK, Kind.TOUCH)
        clicked = jnp.stack([paths.kind == kind for kind in kinds]).any(axis=0)
        return jnp.where(valid & clicked, 1.0, 0.0)
    rest_ms = jnp.pad(jnp.diff(paths.t_ms, axis=1), ((0, 0), (0, 1)))
    return jnp.where(valid, jnp.log1p(jnp.maximum(rest_ms / canvas.pause_ms - 1, 0)), 0.0)
