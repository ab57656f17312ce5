"""Points in, features out: the motion itself, segment by segment, beside the picture.

What a cell of a picture averages away, the step from one event to the next, is what tells a
careful script from a hand. Measured: docs/decisions/0005-trace.md.
"""

from itertools import pairwise

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from model.cnn import Conv, scaled_relu
from model.config import TraceConfig
from model.folded import FixedConv
from rasterize.canvas import Canvas
from rasterize.draw import Paths, is_pressed, segment_speed, speed_fraction, valid_points

N_TRACES = 8


def traces(paths: Paths, canvas: Canvas) -> Float[Array, "batch segments 8"]:
    """Return of each segment: speed, direction, turn, duration, length, held button.

    Direction and turn are cosine and sine; a segment without length has neither, all zero.
    """
    dx, dy = jnp.diff(paths.x_px, axis=1), jnp.diff(paths.y_px, axis=1)
    length_px = jnp.hypot(dx, dy)
    unit = jnp.maximum(length_px, 1e-6)
    cos, sin = dx / unit, dy / unit
    before_cos, before_sin = _one_later(cos), _one_later(sin)
    columns = [
        speed_fraction(segment_speed(paths), canvas),
        cos,
        sin,
        cos * before_cos + sin * before_sin,
        sin * before_cos - cos * before_sin,
        jnp.log1p(jnp.maximum(jnp.diff(paths.t_ms, axis=1), 0)) / 4,
        jnp.log1p(length_px) / 4,
        is_pressed(paths.kind)[:, :-1],
    ]
    return jnp.stack(columns, axis=-1) * valid_segments(paths)[..., None]


def valid_segments(paths: Paths) -> Bool[Array, "batch segments"]:
    """Return which segments lie between two events rather than in the filling."""
    return valid_points(paths)[:, 1:]


def _one_later(values: Float[Array, "batch segments"]) -> Float[Array, "batch segments"]:
    return jnp.pad(values[:, :-1], ((0, 0), (1, 0)))


class TraceCNN(nnx.Module):
    """Traces to features: convolutions along the path, each halving it, then mean and maximum."""

    def __init__(self, config: TraceConfig, *, rng: np.random.Generator):
        widths = (N_TRACES, *config.widths)
        self.convs: nnx.List[Conv | FixedConv] = nnx.List(
            [
                Conv((1, config.kernel), n_in, n_out, stride=(1, 2), rng=rng)
                for n_in, n_out in pairwise(widths)
            ]
        )

    def __call__(
        self, traces: Float[Array, "batch segments 8"], valid: Bool[Array, "batch segments"]
    ) -> Float[Array, "batch features"]:
        """Return what the last convolution saw, on average and at most along the path."""
        x = traces[:, None]
        for conv in self.convs:
            x = scaled_relu(conv(x))
            valid = valid[:, ::2]
            x = x * valid[:, None, :, None].astype(x.dtype)
        x = x[:, 0].astype(jnp.float32)
        n_valid = jnp.maximum(valid.sum(axis=1), 1).astype(jnp.float32)
        return jnp.concatenate([x.sum(axis=1) / n_valid[:, None], x.max(axis=1)], axis=-1)
