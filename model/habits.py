"""Points in, habits out: how often a hand goes how fast, turns how far, holds a button how long.

A picture shows where a path led; what a person does again and again shows in the distributions
of small things. Each is a histogram over the window's events. Shares enter as square roots, so
that distances between two windows are Hellinger's; a few events more are counted as if spread
evenly, so that a share of one event in two says less than of fifty in a hundred. Measured:
docs/decisions/0007-owner.md.
"""

from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Shaped

from model.cnn import scaled_relu
from model.kinematics import N_SUMMARIES, summaries
from pipeline.schemas import Kind
from rasterize.draw import Paths, valid_points

_SPEED_PX_S = (60, 150, 300, 500, 800, 1200, 1800, 2600, 4000, 7000)
_STEP_PX = (1.1, 1.5, 2.3, 3.2, 4.5, 7, 12, 20, 40, 90)
_TURN_RAD = (-2.4, -1.2, -0.6, -0.3, -0.12, -0.02, 0.02, 0.12, 0.3, 0.6, 1.2, 2.4)
_TURN_SIZE_RAD = (0.02, 0.12, 0.3, 0.6, 1.2)
_SPEED_CHANGE = (-1.5, -0.8, -0.4, -0.15, 0.15, 0.4, 0.8, 1.5)  # difference of log speeds
_REST_MS = (100, 180, 300, 500, 900, 1600, 3000, 6000)
_HOLD_MS = (40, 70, 90, 110, 140, 180, 300)
_BEFORE_MS = (30, 80, 150, 300, 600, 1200)
_BETWEEN_MS = (250, 400, 800, 2000, 5000)
_DRAG_PX = (0.5, 3, 20)
_SPEED_LEVELS_PX_S = (0.0, 300.0, 1200.0, np.inf)  # slow, at ease, fast
_N_SECTORS = 16
_SECTORS = tuple(np.arange(1, _N_SECTORS) - 0.5)
_CHANGE_SIGN = (-0.6, -0.15, 0.15, 0.6)  # braked hard, a little, steady, and faster
_N_SIGNS = len(_CHANGE_SIGN) + 1
_PAIRS = tuple(np.arange(1, _N_SIGNS**2) - 0.5)  # a change, and the one before
_MADE_UP = 3.0  # events that are counted as if spread evenly over a histogram's bins
_SCALE = 8.0  # brings the square roots of shares to about unit variance


class _Histogram(NamedTuple):
    """What is counted, where, and the edges of its bins."""

    values: Float[Array, "batch places"]
    counted: Bool[Array, "batch places"]
    edges: tuple[float, ...]


def habits(paths: Paths) -> Float[Array, "batch habits"]:
    """Return the habits of each window: the roots of shares, brought to a common scale."""
    valid = valid_points(paths)
    inside = valid[:, 1:]
    dx, dy = jnp.diff(paths.x_px, axis=1), jnp.diff(paths.y_px, axis=1)
    rest_ms = jnp.diff(paths.t_ms, axis=1)
    step_px = jnp.hypot(dx, dy)
    moves = inside & (step_px > 0)
    speed = 1000 * step_px / jnp.maximum(rest_ms, 1.0)
    heading = jnp.arctan2(dy, dx)
    # Turns and changes of speed are between moving segments, whatever rests lie between them.
    before = _last_where(moves)
    has_before = moves & (before >= 0)
    turn = heading - _at(heading, before)
    turn = (turn + jnp.pi) % (2 * jnp.pi) - jnp.pi
    log_speed = jnp.log1p(speed)
    change = log_speed - _at(log_speed, before)
    change_before = _at(change, before)
    has_two = has_before & _at(has_before, before)
    pair = _N_SIGNS * _bin(change, _CHANGE_SIGN) + _bin(change_before, _CHANGE_SIGN)
    sector = jnp.round(heading / (2 * jnp.pi / _N_SECTORS)) % _N_SECTORS
    counted = [
        _Histogram(speed, moves, _SPEED_PX_S),
        _Histogram(step_px, moves, _STEP_PX),
        _Histogram(turn, has_before, _TURN_RAD),
        _Histogram(change, has_before, _SPEED_CHANGE),
        _Histogram(pair, has_two, _PAIRS),
        _Histogram(rest_ms, inside, _REST_MS),
        *_clicks(paths, valid, rest_ms),
    ]
    for slow, fast in pairwise(_SPEED_LEVELS_PX_S):
        at_level = (speed >= slow) & (speed < fast)
        counted.append(_Histogram(sector, moves & at_level, _SECTORS))
        counted.append(_Histogram(jnp.abs(turn), has_before & at_level, _TURN_SIZE_RAD))
        counted.append(_Histogram(change, has_before & at_level, _SPEED_CHANGE))
    return jnp.concatenate([*map(_roots, counted), _rates(paths, valid)], axis=1)


def _clicks(
    paths: Paths, valid: Bool[Array, "batch points"], rest_ms: Float[Array, "batch segments"]
) -> list[_Histogram]:
    """Return how long buttons are held, what comes before, between, and how far they are drawn."""
    down = valid & (paths.kind == Kind.DOWN)
    up = valid & (paths.kind == Kind.UP)
    release = _next_where(up)
    released = down & (release < up.shape[1])
    last_down = _last_where(down)
    before_ms = jnp.pad(rest_ms, ((0, 0), (1, 0)))
    drawn_px = jnp.hypot(
        _at(paths.x_px, release) - paths.x_px, _at(paths.y_px, release) - paths.y_px
    )
    return [
        _Histogram(_at(paths.t_ms, release) - paths.t_ms, released, _HOLD_MS),
        _Histogram(before_ms, down.at[:, 0].set(False), _BEFORE_MS),
        _Histogram(paths.t_ms - _at(paths.t_ms, last_down), down & (last_down >= 0), _BETWEEN_MS),
        _Histogram(drawn_px, released, _DRAG_PX),
    ]


def _rates(paths: Paths, valid: Bool[Array, "batch points"]) -> Float[Array, "batch 3"]:
    """Return the roots of the shares of presses, drags and scrolls among the events."""
    kinds = jnp.array([Kind.DOWN, Kind.DRAG, Kind.SCROLL])
    of_kind = (paths.kind[..., None] == kinds) & valid[..., None]
    share = of_kind.sum(axis=1) / jnp.maximum(valid.sum(axis=1, keepdims=True), 1)
    return _SCALE * jnp.sqrt(share)


def _roots(histogram: _Histogram) -> Float[Array, "batch bins"]:
    """Return the roots of the shares, less that of equal shares: 0 where nothing counts."""
    values, counted, edges = histogram
    above = counted[..., None] & (values[..., None] >= jnp.asarray(edges, values.dtype))
    total = counted.sum(axis=1, keepdims=True)
    beyond = jnp.concatenate([total, above.sum(axis=1), jnp.zeros_like(total)], axis=1)
    n_bins = len(edges) + 1
    share = (beyond[:, :-1] - beyond[:, 1:] + _MADE_UP / n_bins) / (total + _MADE_UP)
    return _SCALE * (jnp.sqrt(share) - n_bins**-0.5)


def _bin(
    values: Float[Array, "batch places"], edges: tuple[float, ...]
) -> Float[Array, "batch places"]:
    """Return between which two of `edges` each value lies, counted from 0."""
    return (values[..., None] >= jnp.asarray(edges, values.dtype)).sum(-1).astype(values.dtype)


def _last_where(mask: Bool[Array, "batch places"]) -> Shaped[Array, "batch places"]:
    """Return the last place before each one where `mask` holds, -1 where there is none."""
    place = jnp.where(mask, jnp.arange(mask.shape[1]), -1)
    return jnp.pad(jax.lax.cummax(place, axis=1)[:, :-1], ((0, 0), (1, 0)), constant_values=-1)


def _next_where(mask: Bool[Array, "batch places"]) -> Shaped[Array, "batch places"]:
    """Return the next place from each one on where `mask` holds, their number if there is none."""
    n_places = mask.shape[1]
    place = jnp.where(mask, jnp.arange(n_places), n_places)
    return jax.lax.cummin(place, axis=1, reverse=True)


def _at(
    values: Shaped[Array, "batch places"], place: Shaped[Array, "batch places"]
) -> Shaped[Array, "batch places"]:
    return jnp.take_along_axis(values, place.clip(0, values.shape[1] - 1), axis=1)


class HabitsMLP(nnx.Module):
    """Habits, and with `summarises` summaries of the motion, to features: one hidden layer."""

    def __init__(self, width: int, summarises: bool, *, rng: np.random.Generator):
        self.summarises = summarises
        n = N_HABITS + (N_SUMMARIES if summarises else 0)
        weights = rng.standard_normal((n, width), np.float32) / np.sqrt(n)
        self.weights = nnx.Param(weights.astype(np.float32))
        self.bias = nnx.Param(np.zeros(width, np.float32))

    def __call__(self, paths: Paths) -> Float[Array, "batch width"]:
        """Return what the hidden layer makes of the windows' habits."""
        seen = habits(paths)
        if self.summarises:
            seen = jnp.concatenate([seen, summaries(paths)], axis=1)
        return scaled_relu(seen @ self.weights[...] + self.bias[...][None, :])


N_HABITS = (
    sum(
        len(edges) + 1
        for edges in (
            *(_SPEED_PX_S, _STEP_PX, _TURN_RAD, _SPEED_CHANGE, _PAIRS, _REST_MS),
            *(_HOLD_MS, _BEFORE_MS, _BETWEEN_MS, _DRAG_PX),
            *3 * (_SECTORS, _TURN_SIZE_RAD, _SPEED_CHANGE),
        )
    )
    + 3
)
