"""Points in, summaries of the motion out: how smooth, how straight, how jagged, one number each.

Habits say how often a hand does what; what comes after what, and in which proportion, is lost in
them. These are measures of `pipeline.kinematics`, as a function to be compiled: being inside the
network, they are of the changed paths in training, as everything else is. Measured:
docs/decisions/0011-summaries.md.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from rasterize.draw import SHORTEST_MS, Paths, valid_points

_PAUSE_MS = 100.0
_NO_TURN_RAD = 0.01

# Of each summary: its mean and standard deviation over windows of the people and bots that fold 0
# of benchmarks/bots trains on, rounded; found once. They only bring the numbers to one scale.
_SCALES = {
    "root of straightness": (0.42, 0.20),
    "root of deviation": (0.35, 0.10),
    "log of mean speed": (6.42, 0.63),
    "log of the speeds' spread": (6.59, 0.81),
    "log of the highest speed": (8.36, 0.92),
    "log of the speeds' relative spread": (0.72, 0.20),
    "correlation of a speed with the next": (0.63, 0.26),
    "correlation of a log speed with the next": (0.62, 0.21),
    "correlation of a speed with the next but one": (0.48, 0.31),
    "log of the peaks of speed a second": (1.91, 0.41),
    "log of acceleration": (9.54, 0.98),
    "log of jerk": (14.0, 1.00),
    "change of log speed": (0.55, 0.23),
    "log of the mean turn": (-1.01, 0.47),
    "log of the turns' spread": (-0.40, 0.37),
    "correlation of a turn with the next": (-0.08, 0.20),
    "correlation of a turn's size with the next": (0.17, 0.19),
    "log of curvature": (-3.61, 0.74),
    "root of the share without a turn": (0.40, 0.14),
    "root of the share of turns above a right angle": (0.22, 0.10),
    "root of the share along an axis": (0.44, 0.15),
    "log of the mean step": (2.66, 0.65),
    "log of the steps' spread": (2.71, 0.80),
    "root of the share of time at rest": (0.41, 0.13),
    "log of the mean interval": (3.10, 0.16),
    "log of the intervals' spread": (2.94, 0.33),
}
N_SUMMARIES = len(_SCALES)

_Places = Float[Array, "batch places"]
_Counted = Bool[Array, "batch places"]
_Numbers = Float[Array, " batch"]


def summaries(paths: Paths) -> Float[Array, "batch summaries"]:
    """Return the summaries of each window on a common scale; what can't be said is as of 0."""
    inside = valid_points(paths)[:, 1:]
    # Filling repeats the last event: its steps are 0, and sums need no mask.
    dx, dy = jnp.diff(paths.x_px, axis=1), jnp.diff(paths.y_px, axis=1)
    interval_ms = jnp.diff(paths.t_ms, axis=1)
    elapsed_s = jnp.maximum(interval_ms, SHORTEST_MS) / 1000
    step_px = jnp.hypot(dx, dy)
    path_px = step_px.sum(axis=1)
    duration_s = (elapsed_s * inside).sum(axis=1)
    rests = elapsed_s * (inside & (interval_ms > _PAUSE_MS))
    columns = [
        *_shape(dx, dy, path_px, inside),
        *_speeds(step_px / elapsed_s, elapsed_s, duration_s, inside),
        *_turns(dx, dy, path_px, inside & (step_px > 0)),
        jnp.log1p(_mean(step_px, inside & (step_px > 0))),
        jnp.log1p(_std(step_px, inside & (step_px > 0))),
        jnp.sqrt(_ratio(rests.sum(axis=1), duration_s)),
        jnp.log1p(_mean(interval_ms, inside)),
        jnp.log1p(_std(interval_ms, inside)),
    ]
    centre, spread = np.array(list(_SCALES.values()), np.float32).T
    return (jnp.stack(columns, axis=1) - centre) / spread


def _shape(dx: _Places, dy: _Places, path_px: _Numbers, inside: _Counted) -> list[_Numbers]:
    """Describe how straight the way is as a whole."""
    chord_x, chord_y = dx.sum(axis=1, keepdims=True), dy.sum(axis=1, keepdims=True)
    chord_px = jnp.hypot(chord_x, chord_y)
    way_x, way_y = jnp.cumsum(dx, axis=1), jnp.cumsum(dy, axis=1)
    across_px = jnp.abs(chord_x * way_y - chord_y * way_x) / jnp.maximum(chord_px, 1e-6)
    # With both ends in one place there is no line: the distance from that place counts.
    off_px = jnp.where(chord_px > 0, across_px, jnp.hypot(way_x, way_y))
    farthest_px = off_px.max(axis=1, where=inside, initial=0)
    return [jnp.sqrt(_ratio(chord_px[:, 0], path_px)), jnp.sqrt(_ratio(farthest_px, path_px))]


def _speeds(
    speed: _Places, elapsed_s: _Places, duration_s: _Numbers, inside: _Counted
) -> list[_Numbers]:
    """Describe how the speed (px/s) runs."""
    two, three = inside[:, 1:], inside[:, 2:]
    acceleration = jnp.diff(speed, axis=1) / ((elapsed_s[:, 1:] + elapsed_s[:, :-1]) / 2)
    jerk = jnp.diff(acceleration, axis=1) / elapsed_s[:, 1:-1]
    mean, std = _mean(speed, inside), _std(speed, inside)
    middle = speed[:, 1:-1]
    is_peak = three & (middle >= speed[:, :-2]) & (middle > speed[:, 2:])
    is_peak &= middle > mean[:, None]
    log_speed = jnp.log1p(speed)
    centred = speed - mean[:, None]
    log_centred = log_speed - _mean(log_speed, inside)[:, None]
    length_px = (speed * elapsed_s * inside).sum(axis=1)
    return [
        jnp.log1p(_ratio(length_px, duration_s)),
        jnp.log1p(std),
        jnp.log1p(speed.max(axis=1, where=inside, initial=0)),
        jnp.log1p(_ratio(std, mean)),
        _correlation(centred[:, :-1], centred[:, 1:], two),
        _correlation(log_centred[:, :-1], log_centred[:, 1:], two),
        _correlation(centred[:, :-2], centred[:, 2:], three),
        jnp.log1p(_ratio(is_peak.sum(axis=1), duration_s)),
        jnp.log1p(_mean(jnp.abs(acceleration), two)),
        jnp.log1p(_mean(jnp.abs(jerk), three)),
        _mean(jnp.abs(jnp.diff(log_speed, axis=1)), two),
    ]


def _turns(dx: _Places, dy: _Places, path_px: _Numbers, moves: _Counted) -> list[_Numbers]:
    """Describe how the path turns between steps that follow each other."""
    heading = jnp.arctan2(dy, dx)
    turn = (jnp.diff(heading, axis=1) + jnp.pi) % (2 * jnp.pi) - jnp.pi
    counted = moves[:, 1:] & moves[:, :-1]
    both = counted[:, 1:] & counted[:, :-1]
    size = jnp.abs(turn)
    turned = turn - _mean(turn, counted)[:, None]
    sized = size - _mean(size, counted)[:, None]
    return [
        jnp.log(_mean(size, counted) + 0.01),
        jnp.log(jnp.sqrt(_mean(turn**2, counted)) + 0.01),
        _correlation(turned[:, :-1], turned[:, 1:], both),
        _correlation(sized[:, :-1], sized[:, 1:], both),
        jnp.log(_ratio((size * counted).sum(axis=1), path_px) + 1e-4),
        jnp.sqrt(_mean(size < _NO_TURN_RAD, counted)),
        jnp.sqrt(_mean(size > jnp.pi / 2, counted)),
        jnp.sqrt(_mean((dx == 0) | (dy == 0), moves)),
    ]


def _mean(values: Shaped[Array, "batch places"], counted: _Counted) -> _Numbers:
    return _ratio((values * counted).sum(axis=1), counted.sum(axis=1))


def _std(values: _Places, counted: _Counted) -> _Numbers:
    return jnp.sqrt(_mean((values - _mean(values, counted)[:, None]) ** 2, counted))


def _ratio(part: Shaped[Array, " batch"], whole: Shaped[Array, " batch"]) -> _Numbers:
    return jnp.where(whole > 0, part / jnp.maximum(whole, 1e-9), 0.0)


def _correlation(first: _Places, second: _Places, counted: _Counted) -> _Numbers:
    """Return the correlation of two rows that are centred; 0 where one doesn't vary."""
    together = (first * second * counted).sum(axis=1)
    size = jnp.sqrt((first**2 * counted).sum(axis=1) * (second**2 * counted).sum(axis=1))
    return _ratio(together, size)
