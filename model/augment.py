"""Augment paths: randomise what a recorder, a screen or the task decides.

This happens on the device inside the training step, before the path is drawn, and to both classes
alike. The result is as `pipeline.sessions.resample` leaves a path at scoring.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from model.config import AugmentConfig
from pipeline.features.quantities import speed_px_s
from pipeline.sessions.resample import ResampleConfig
from rasterize.motion import Paths, same_piece, valid_points

_SMOOTHED_STEPS = 8  # of 0.6 kept each time, 2 % are left then


def augment(
    paths: Paths,
    key: PRNGKeyArray,
    config: AugmentConfig,
    resample: ResampleConfig = ResampleConfig(),
) -> Paths:
    """Return paths as another screen and another recorder would have logged them."""
    keys = jax.random.split(key, 8)
    shape_key, pointer_key, clock_key, crop_key, drop_key, share_key, period_key, keep_key = keys
    n, _ = paths.t_ms.shape
    paths = _another_screen(_another_pointer(paths, pointer_key, config), shape_key, config)
    as_recorded = jax.random.bernoulli(keep_key, config.same_recorder_share, (n, 1))
    t_ms = jnp.where(as_recorded, paths.t_ms, _another_clock(paths, clock_key, config))
    throttled = jax.random.bernoulli(share_key, config.throttled_share, (n, 1))
    period_ms = _log_uniform(period_key, (n, 1), 8.0, max(config.slowest_recorder_ms, 8.0))
    # Ticks are counted over all events: the last one of a tick may have been dropped.
    logged = ~throttled | _is_last_in_tick(t_ms, period_ms)
    logged &= ~_dropped(paths, drop_key, config)
    kept = _in_crop(paths, crop_key, config) & (as_recorded | logged)
    paths = compact(paths._replace(t_ms=t_ms), kept)
    if resample.grid_px:
        paths = paths._replace(
            x_px=jnp.rint(paths.x_px / resample.grid_px) * resample.grid_px,
            y_px=jnp.rint(paths.y_px / resample.grid_px) * resample.grid_px,
        )
    if resample.changes_only:
        stays = (jnp.diff(paths.x_px, axis=1) == 0) & (jnp.diff(paths.y_px, axis=1) == 0)
        stays &= (jnp.diff(paths.kind, axis=1) == 0) & (jnp.diff(paths.piece, axis=1) == 0)
        paths = compact(paths, jnp.pad(~stays, ((0, 0), (1, 0)), constant_values=True))
    interval_ms = jnp.diff(paths.t_ms, axis=1)
    if resample.longest_rest_ms:
        interval_ms = jnp.minimum(interval_ms, resample.longest_rest_ms)
    t_ms = jnp.pad(jnp.cumsum(interval_ms, axis=1), ((0, 0), (1, 0)))
    return paths._replace(t_ms=t_ms)


def compact(paths: Paths, kept: Bool[Array, "batch points"]) -> Paths:
    """Return the `kept` events of each path moved together; of a path that keeps none, the first.

    Entries behind the last event repeat it, as in `pipeline.sessions.windows.Points`.
    """
    kept = kept & valid_points(paths)
    kept = kept.at[:, 0].set(kept[:, 0] | ~kept.any(axis=1))
    order = jnp.argsort(~kept, axis=1, stable=True)
    n_points = kept.sum(axis=1).astype(paths.n_points.dtype)
    index = jnp.minimum(jnp.arange(kept.shape[1])[None, :], n_points[:, None] - 1)
    event = jnp.take_along_axis(order, index, axis=1)
    t_ms, x_px, y_px, kind, piece = (
        jnp.take_along_axis(column, event, axis=1) for column in paths[:-1]
    )
    return Paths(t_ms, x_px, y_px, kind, piece, n_points)


def _another_screen(paths: Paths, key: PRNGKeyArray, config: AugmentConfig) -> Paths:
    """Scale, turn a little and mirror; shift by less than a pixel, so that rounding varies.

    Some screens have a coarser grid: places were scaled after they had been rounded.
    """
    scale_key, turn_key, mirror_key, shift_key, share_key, grid_key = jax.random.split(key, 6)
    n = len(paths.n_points)
    scale = _log_uniform(scale_key, (n, 1), 1 / config.scale, config.scale)
    angle = jnp.deg2rad(config.turn_deg) * jax.random.uniform(
        turn_key, (n, 1), minval=-1.0, maxval=1.0
    )
    mirrored = jax.random.bernoulli(mirror_key, 0.5, (n, 1)) & config.mirror
    shift = jax.random.uniform(shift_key, (2, n, 1))
    x = jnp.where(mirrored, -scale, scale) * (paths.x_px - paths.x_px[:, :1])
    y = scale * (paths.y_px - paths.y_px[:, :1])
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    x, y = cos * x - sin * y + shift[0], sin * x + cos * y + shift[1]
    is_coarse = jax.random.bernoulli(share_key, config.coarse_share, (n, 1))
    finest_px = min(0.5, config.coarse_grid_px)
    grid_px = _log_uniform(grid_key, (n, 1), finest_px, config.coarse_grid_px)
    return paths._replace(
        x_px=jnp.where(is_coarse, jnp.rint(x / grid_px) * grid_px, x),
        y_px=jnp.where(is_coarse, jnp.rint(y / grid_px) * grid_px, y),
    )


def _another_pointer(paths: Paths, key: PRNGKeyArray, config: AugmentConfig) -> Paths:
    """Stretch one axis, let the gain grow or fall with speed, and smooth: each in half of them.

    A mouse driver's acceleration, a page that is scaled, a remote desktop that smooths. Steps
    across jumps stay as they are. In a few, a program keeps putting the pointer back to one place,
    as games and remote desktops do: every few events it starts from there again.
    """
    stretch_key, gain_key, smooth_key, *keys = jax.random.split(key, 9)
    back_key, often_key, event_key, *share_keys = keys
    n = len(paths.n_points)

    def in_half(number: int, of: Float[Array, "batch 1"]) -> Float[Array, "batch 1"]:
        return jnp.where(jax.random.bernoulli(share_keys[number], 0.5, (n, 1)), of, 0.0)

    stretch = in_half(0, jax.random.uniform(stretch_key, (n, 1), minval=-1.0) * config.stretch)
    gain = in_half(1, jax.random.uniform(gain_key, (n, 1), minval=-1.0) * config.gain)
    kept = in_half(2, jax.random.uniform(smooth_key, (n, 1)) * config.smoothing)
    dx = jnp.exp(stretch) * jnp.diff(paths.x_px, axis=1)
    dy = jnp.diff(paths.y_px, axis=1)
    is_step = same_piece(paths)[:, 1:]
    speed = speed_px_s(jnp.hypot(dx, dy), jnp.diff(paths.t_ms, axis=1))
    # As a driver's gain: steady below 50 and above 5,000 px/s.
    factor = (jnp.clip(speed, 50.0, 5000.0) / 500.0) ** gain
    dx, dy = (
        jnp.where(is_step, _smoothed(jnp.where(is_step, factor * step, 0.0), kept), step)
        for step in (dx, dy)
    )
    x, y = (
        jnp.pad(jnp.cumsum(step, axis=1), ((0, 0), (1, 0))) + column[:, :1]
        for step, column in ((dx, paths.x_px), (dy, paths.y_px))
    )
    is_put_back = jax.random.bernoulli(back_key, config.put_back_share, (n, 1))
    often = is_put_back / _log_uniform(often_key, (n, 1), 2.0, 64.0)  # once in 2 to 64 events
    is_back = jax.random.bernoulli(event_key, often, x.shape)
    start = jax.lax.cummax(jnp.where(is_back, jnp.arange(x.shape[1])[None, :], 0), axis=1)
    x, y = (
        column - jnp.take_along_axis(column, start, axis=1) + column[:, :1] for column in (x, y)
    )
    return paths._replace(x_px=x, y_px=y)


def _smoothed(
    steps: Float[Array, "batch steps"], kept: Float[Array, "batch 1"]
) -> Float[Array, "batch steps"]:
    """Return exponentially smoothed steps: of each, the share `kept` comes later."""
    result, weight = jnp.zeros_like(steps), 1 - kept
    for lag in range(_SMOOTHED_STEPS):
        result = result + weight * jnp.pad(steps, ((0, 0), (lag, 0)))[:, : steps.shape[1]]
        weight = weight * kept
    return result


def _another_clock(
    paths: Paths, key: PRNGKeyArray, config: AugmentConfig
) -> Float[Array, "batch points"]:
    """Return time stamps of a clock that runs at another speed, jitters and ticks."""
    speed_key, jitter_key, share_key, tick_key, phase_key = jax.random.split(key, 5)
    n = len(paths.n_points)
    t_ms = paths.t_ms * _log_uniform(speed_key, (n, 1), 1 / config.speed, config.speed)
    noise = jax.random.uniform(jitter_key, t_ms.shape, minval=-1.0, maxval=1.0)
    t_ms = t_ms + config.clock_jitter_ms * noise
    ticks = jax.random.bernoulli(share_key, config.ticking_share, (n, 1))
    tick_ms = jnp.asarray(config.ticks_ms)[
        jax.random.randint(tick_key, (n, 1), 0, len(config.ticks_ms))
    ]
    phase = jax.random.uniform(phase_key, (n, 1))
    t_ms = jnp.where(ticks, jnp.floor(t_ms / tick_ms + phase) * tick_ms, t_ms)
    # Never backwards: a time stamp is at least the one before.
    t_ms = jax.lax.cummax(t_ms, axis=1)
    return t_ms - t_ms[:, :1]


def _in_crop(paths: Paths, key: PRNGKeyArray, config: AugmentConfig) -> Bool[Array, "batch points"]:
    """Mark a crop of random length and position, so that neither matters."""
    length_key, start_key = jax.random.split(key)
    n = len(paths.n_points)
    share = _log_uniform(length_key, (n, 1), config.shortest_crop, 1.0)
    n_points = paths.n_points[:, None]
    length = jnp.maximum(share * n_points, jnp.minimum(config.fewest_events, n_points))
    begin = jnp.floor(jax.random.uniform(start_key, (n, 1)) * (n_points - length + 1))
    order = jnp.arange(paths.t_ms.shape[1])[None, :]
    return (order >= begin) & (order < begin + length)


def _dropped(paths: Paths, key: PRNGKeyArray, config: AugmentConfig) -> Bool[Array, "batch points"]:
    """Mark events that got lost, in each path another share of them."""
    share_key, event_key = jax.random.split(key)
    share = config.dropped_share * jax.random.uniform(share_key, (len(paths.n_points), 1)) ** 2
    return jax.random.uniform(event_key, paths.t_ms.shape) < share


def _is_last_in_tick(
    t_ms: Float[Array, "batch points"], period_ms: Float[Array, "batch 1"]
) -> Bool[Array, "batch points"]:
    """Mark what a throttled handler writes: where the pointer was at the end of each tick."""
    tick = jnp.floor(t_ms / period_ms)
    return jnp.pad(jnp.diff(tick, axis=1) > 0, ((0, 0), (0, 1)), constant_values=True)


def _log_uniform(
    key: PRNGKeyArray, shape: tuple[int, ...], low: float, high: float
) -> Float[Array, "..."]:
    return jnp.exp(jax.random.uniform(key, shape, minval=math.log(low), maxval=math.log(high)))
