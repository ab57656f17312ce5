"""A batch of windows on the device, and the quantities of their motion."""

import math
from typing import Final, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, Shaped

from pipeline.features.quantities import (
    is_jump,
    speed_change,
    speed_px_s,
    step_px,
    turn_rad,
)
from pipeline.sessions.kinds import Kind
from pipeline.sessions.windows import Points
from rasterize.panels import Motion


class Paths(NamedTuple):
    """A batch of windows on the device: `pipeline.sessions.windows.Points` as JAX arrays.

    No segment leads from one `piece` of a path to the next: between them the pointer jumped.
    """

    t_ms: Float[Array, "batch points"]
    x_px: Float[Array, "batch points"]
    y_px: Float[Array, "batch points"]
    kind: Int[Array, "batch points"]
    piece: Int[Array, "batch points"]
    n_points: Int[Array, " batch"]


def to_device(points: Points) -> Paths:
    """Send a batch of windows to the device."""
    return Paths(*jax.device_put(tuple(on_host(points))))


def on_host(points: Points) -> Paths:
    """Return a batch of windows as NumPy arrays; a compiled function sends them on itself."""
    columns = (points.t_ms, points.x_px, points.y_px, points.kind)
    return Paths(*cast(tuple[Array, ...], (*columns, pieces_of(points), points.n_points)))


def pieces_of(points: Points) -> Int32[np.ndarray, "windows points"]:
    """Return which piece of its path each event is of: 0, then one more after every jump."""
    length_px = step_px(np.diff(points.x_px), np.diff(points.y_px))
    jumps = is_jump(length_px, np.diff(points.t_ms))
    pieces = np.zeros(points.t_ms.shape, np.int32)
    np.cumsum(jumps, axis=1, out=pieces[:, 1:])
    return pieces


def valid_points(paths: Paths) -> Bool[Array, "batch points"]:
    """Return which columns hold an event rather than filling."""
    return jnp.arange(paths.t_ms.shape[1])[None, :] < paths.n_points[:, None]


def same_piece(paths: Paths) -> Bool[Array, "batch points"]:
    """Return which events a segment leads to: not a window's first, nor one after a jump."""
    return jnp.pad(jnp.diff(paths.piece, axis=1) == 0, ((0, 0), (1, 0)))


def motion_of(paths: Paths) -> Motion:
    """Return the quantities of each window's motion, all in one shape: batch x points."""
    valid = valid_points(paths)
    is_segment = valid & same_piece(paths)
    interval_ms, dx_px, dy_px = (_from_last(c) for c in (paths.t_ms, paths.x_px, paths.y_px))
    # The direction of no step is not defined, nor is its gradient: such a step points right.
    is_moving = is_segment & ((dx_px != 0) | (dy_px != 0))
    length_px = jnp.where(is_moving, step_px(jnp.where(is_moving, dx_px, 1.0), dy_px), 0.0)
    speed = speed_px_s(length_px, interval_ms)
    unit_px = jnp.where(is_moving, length_px, 1.0)
    direction = _direction_rad(jnp.where(is_moving, dx_px, 1.0), dy_px)
    before = _last_where(is_moving)
    is_turning = is_moving & (before >= 0) & (_at(paths.piece, before) == paths.piece)
    speed_before = _at(speed, before)
    turn = turn_rad(direction, _at(direction, before))
    change = speed_change(speed, speed_before)
    return Motion(
        kind=paths.kind,
        interval_ms=interval_ms,
        dx_px=dx_px,
        dy_px=dy_px,
        step_px=length_px,
        speed_px_s=speed,
        heading_x=jnp.where(is_moving, dx_px / unit_px, 0.0),
        heading_y=jnp.where(is_moving, dy_px / unit_px, 0.0),
        turn_rad=turn,
        speed_change=change,
        step_before_px=_at(length_px, before),
        speed_before_px_s=speed_before,
        turn_before_rad=_at(turn, before),
        speed_change_before=_at(change, before),
        is_segment=is_segment,
        is_moving=is_moving,
        is_turning=is_turning,
        is_turning_again=is_turning & _at(is_turning, before),
        **_presses(paths, valid),
    )


# Of `x`, `x**3`, ...: the odd polynomial nearest to the arc tangent of -1 to 1, within 4e-8.
_ARCTAN: Final = (
    *(0.9999993356, -0.3332986081, 0.1994656581, -0.1390862978),
    *(0.0964219702, -0.0559123143, 0.0218629452, -0.0040545629),
)


def _direction_rad(
    dx_px: Float[Array, "batch points"], dy_px: Float[Array, "batch points"]
) -> Float[Array, "batch points"]:
    """Return `direction_rad` of steps that have a length, within 4e-7.

    On a CPU XLA's own takes seven times as long, a tenth of the time that a print takes.
    """
    is_steep = jnp.abs(dy_px) > jnp.abs(dx_px)
    ratio = jnp.where(is_steep, -dx_px, dy_px) / jnp.where(is_steep, dy_px, dx_px)
    square, angle = ratio * ratio, jnp.zeros_like(ratio)
    for coefficient in reversed(_ARCTAN):
        angle = angle * square + coefficient
    left = jnp.where(dy_px < 0, -math.pi, math.pi)
    return angle * ratio + jnp.where(is_steep, left / 2, jnp.where(dx_px < 0, left, 0.0))


def _presses(paths: Paths, valid: Bool[Array, "batch points"]) -> dict[str, Shaped[Array, "..."]]:
    """Return how long and how far each press holds, and how long since the one before."""
    n_points = valid.shape[1]
    down = valid & (paths.kind == Kind.DOWN)
    up = jnp.where(valid & (paths.kind == Kind.UP), jnp.arange(n_points), n_points)
    release = jax.lax.associative_scan(jnp.minimum, up, axis=1, reverse=True)
    last_press = _last_where(down)
    return {
        "hold_ms": _at(paths.t_ms, release) - paths.t_ms,
        "drag_px": step_px(
            _at(paths.x_px, release) - paths.x_px, _at(paths.y_px, release) - paths.y_px
        ),
        "since_press_ms": paths.t_ms - _at(paths.t_ms, last_press),
        "is_held": down & (release < n_points),
        "is_next_press": down & (last_press >= 0),
    }


def is_pressed(kind: Int[Array, "batch points"]) -> Float[Array, "batch points"]:
    """Return 1 where a button is held: from a press to its release, and at every drag."""
    order = jnp.arange(kind.shape[1])[None, :]
    down = (kind == Kind.DOWN) | (kind == Kind.DRAG)
    up = (kind == Kind.UP) | (kind == Kind.MOVE) | (kind == Kind.CLICK)
    last_down, last_up = (_running_max(jnp.where(one, order, -1)) for one in (down, up))
    return (last_down > last_up).astype(jnp.float32)


def _from_last(column: Float[Array, "batch points"]) -> Float[Array, "batch points"]:
    """Return the difference from the event before, 0 for the first."""
    return jnp.pad(jnp.diff(column, axis=1), ((0, 0), (1, 0)))


def _last_where(mask: Bool[Array, "batch points"]) -> Int[Array, "batch points"]:
    """Return the last column before each one where `mask` holds, -1 where there is none."""
    last = _running_max(jnp.where(mask, jnp.arange(mask.shape[1]), -1))
    return jnp.pad(last[:, :-1], ((0, 0), (1, 0)), constant_values=-1)


def _running_max(column: Int[Array, "batch points"]) -> Int[Array, "batch points"]:
    """Return the largest value so far: four times as fast on a CPU as `jax.lax.cummax`."""
    return jax.lax.associative_scan(jnp.maximum, column, axis=1)


def _at(
    values: Shaped[Array, "batch points"], column: Int[Array, "batch points"]
) -> Shaped[Array, "batch points"]:
    return jnp.take_along_axis(values, column.clip(0, values.shape[1] - 1), axis=1)
