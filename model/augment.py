"""Augment paths: randomise what a recorder, a screen or the task decides.

This happens on the device inside the training step, before the path is drawn, and to both classes
alike. The result is as `pipeline.sessions.resample` leaves a path at scoring.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from model.config import AugmentConfig
from pipeline.sessions.resample import ResampleConfig
from rasterize.motion import Paths, valid_points


def augment(
    paths: Paths,
    key: PRNGKeyArray,
    config: AugmentConfig,
    resample: ResampleConfig = ResampleConfig(),
) -> Paths:
    """Return paths as another screen and another recorder would have logged them."""
    shape_key, clock_key, crop_key, drop_key, share_key, period_key, keep_key = jax.random.split(
        key, 7
    )
    n, _ = paths.t_ms.shape
    paths = _another_screen(paths, shape_key, config)
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
        stays &= jnp.diff(paths.kind, axis=1) == 0
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
    columns = (jnp.take_along_axis(column, event, axis=1) for column in paths[:4])
    t_ms, x_px, y_px, kind = columns
    return Paths(t_ms, x_px, y_px, kind, n_points)


def _another_screen(paths: Paths, key: PRNGKeyArray, config: AugmentConfig) -> Paths:
    """Scale, turn a little and mirror; shift by less than a pixel, so that rounding varies."""
    scale_key, turn_key, mirror_key, shift_key = jax.random.split(key, 4)
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
    return paths._replace(x_px=cos * x - sin * y + shift[0], y_px=sin * x + cos * y + shift[1])


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
