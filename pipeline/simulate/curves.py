"""Fair bots: curves through drawn control points, timed by an easing."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Complex128, Float64, Int64

from pipeline.simulate.plan import Plan
from pipeline.simulate.timing import draw_easing, minimum_jerk_progress

Shape = Callable[[Float64[np.ndarray, " points"]], Complex128[np.ndarray, " points"]]
"""How far along a path each point is (0 start, 1 end) to where that is, the chord being 0 to 1."""


def bezier(rng: np.random.Generator, plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Follow a cubic Bezier curve whose control points lie beside the chord."""
    shape = bezier_shape(rng, plan)
    return plan.on_chord(shape(draw_easing(rng)(plan.tau)))


def bezier_shape(rng: np.random.Generator, plan: Plan) -> Shape:
    """Draw a cubic Bezier curve for each movement."""
    bend = rng.uniform(0.02, 0.5)  # of the chord's length
    side = rng.choice([-1, 1], (len(plan), 2))
    if rng.random() < 0.5:  # bow rather than S
        side[:, 1] = side[:, 0]
    control = rng.uniform([0.05, 0.5], [0.5, 0.95], (len(plan), 2)) + 1j * side * rng.uniform(
        0, 2 * bend, (len(plan), 2)
    )
    first, second = control[plan.movement].T
    return lambda s: 3 * (1 - s) ** 2 * s * first + 3 * (1 - s) * s**2 * second + s**3


def spline_through_waypoints(
    rng: np.random.Generator, plan: Plan
) -> Complex128[np.ndarray, " points"]:
    """Follow a smooth curve through a few waypoints drawn around the chord."""
    shape = waypoints_shape(rng, plan)
    return plan.on_chord(shape(draw_easing(rng)(plan.tau)))


def waypoints_shape(rng: np.random.Generator, plan: Plan) -> Shape:
    """Draw a smooth curve through one to five waypoints for each movement."""
    n_waypoints = rng.integers(1, 6)
    spread = rng.uniform(0.02, 0.25)
    even = np.linspace(0, 1, n_waypoints + 2)
    off = rng.standard_normal((len(plan), len(even))) * (0.3 + 1j) * spread / np.sqrt(n_waypoints)
    off[:, [0, -1]] = 0
    return lambda s: catmull_rom(even + off, s, plan.movement)


def spline_overshoot(rng: np.random.Generator, plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Shoot past the target on a bow, wait a moment, and come back.

    The two phases of aiming: Woodworth 1899, "The accuracy of voluntary movement".
    """
    n = len(plan)
    misses = rng.random(n) < rng.uniform(0.3, 1)
    reach, scatter = rng.uniform(0.02, 0.2), rng.uniform(0.01, 0.08)
    miss = misses * (reach * rng.standard_exponential(n) + 1j * scatter * rng.standard_normal(n))
    bow = rng.uniform(0, 0.15) * rng.standard_normal(n)
    arrival = np.where(misses, rng.uniform(0.5, 0.85, n), 1)
    wait = rng.uniform(0, 0.1)
    arrival, miss, bow = arrival[plan.movement], miss[plan.movement], bow[plan.movement]

    out = minimum_jerk_progress(np.clip(plan.tau / arrival, 0, 1))
    left = np.maximum(1 - arrival - wait, 1e-9)
    back = minimum_jerk_progress(np.clip((plan.tau - arrival - wait) / left, 0, 1))
    return plan.on_chord(out * (1 + miss) + 1j * bow * np.sin(np.pi * out) - back * miss)


def catmull_rom(
    knots: Complex128[np.ndarray, "curves knots"],
    progress: Float64[np.ndarray, " points"],
    curve: Int64[np.ndarray, " points"],
) -> Complex128[np.ndarray, " points"]:
    """Return where `curve` is at `progress` (0 first knot, 1 last knot).

    Catmull and Rom 1974, "A class of local interpolating splines"; outside 0..1 the end
    pieces go on, so an easing may overshoot.
    """
    n_pieces = knots.shape[1] - 1
    before = 2 * knots[:, :1] - knots[:, 1:2]
    after = 2 * knots[:, -1:] - knots[:, -2:-1]
    padded = np.concatenate([before, knots, after], axis=1)
    piece = np.clip(np.floor(progress * n_pieces), 0, n_pieces - 1).astype(np.int64)
    s = progress * n_pieces - piece
    a, b, c, d = (padded[curve, piece + i] for i in range(4))
    return b + s * ((c - a) + s * ((2 * a - 5 * b + 4 * c - d) + s * (3 * b - a - 3 * c + d))) / 2
