"""Paths in, changed paths out: what a recorder or a screen decides is made random.

Everything here happens on the device inside the training step, before the path is drawn.
"""

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from model.config import AugmentConfig
from rasterize.draw import Paths, throttle


def augment(paths: Paths, key: PRNGKeyArray, config: AugmentConfig) -> Paths:
    """Return paths as another screen and another recorder would have logged them."""
    n, _ = paths.t_ms.shape
    scale_key, mirror_key, clock_key, share_key, period_key = jax.random.split(key, 5)
    spread = jnp.log(config.scale)
    scale = jnp.exp(jax.random.uniform(scale_key, (n, 1), minval=-spread, maxval=spread))
    mirrored = jax.random.bernoulli(mirror_key, 0.5, (n, 1)) & config.mirror
    noise = jax.random.uniform(clock_key, paths.t_ms.shape, minval=-1.0, maxval=1.0)
    # Never backwards: a time stamp is at least the one before.
    t_ms = jax.lax.cummax(paths.t_ms + config.clock_jitter_ms * noise, axis=1)
    t_ms = t_ms - t_ms[:, :1]
    paths = paths._replace(
        t_ms=t_ms,
        x_px=paths.x_px * jnp.where(mirrored, -scale, scale),
        y_px=paths.y_px * scale,
    )
    throttled = jax.random.bernoulli(share_key, config.throttled_share, (n,))
    period_ms = jax.random.uniform(
        period_key, (n,), minval=1.0, maxval=max(config.slowest_recorder_ms, 1.0)
    )
    slower = throttle(paths, period_ms)

    def pick(changed: jax.Array, kept: jax.Array) -> jax.Array:
        mask = throttled.reshape(-1, *[1] * (changed.ndim - 1))
        return jnp.where(mask, changed, kept)

    return Paths(*map(pick, slower, paths))
