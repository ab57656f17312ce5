"""What a bot can take from a recorded person: another movement's shape, or its timing."""

import numpy as np
from jaxtyping import Complex128, Float64, Int64

from pipeline.simulate.plan import Plan

_SHORTEST_PX = 20.0  # a shorter movement has no shape to speak of
_FEWEST_POINTS = 5


def draw_sources(rng: np.random.Generator, plan: Plan) -> Int64[np.ndarray, " movements"]:
    """Draw for each movement the one that it borrows from: of the same session, not itself.

    A session without another that is long enough borrows from itself.
    """
    n_points = plan.last - plan.first + 1
    fit = np.flatnonzero((plan.length_px >= _SHORTEST_PX) & (n_points >= _FEWEST_POINTS))
    own = np.arange(len(plan))
    if len(fit) < 2:
        return own
    drawn = rng.integers(len(fit), size=len(plan))
    return np.where(fit[drawn] == own, fit[(drawn + 1) % len(fit)], fit[drawn])


def borrowed_progress(
    plan: Plan, source: Int64[np.ndarray, " movements"]
) -> Float64[np.ndarray, " points"]:
    """Return how far along its path the person was, in the source, at each point's time."""
    return np.interp(
        2.0 * source[plan.movement] + plan.tau, 2.0 * plan.movement + plan.tau, progress(plan)
    )


def borrowed_shape(
    plan: Plan,
    source: Int64[np.ndarray, " movements"],
    s: Float64[np.ndarray, " points"],
) -> Complex128[np.ndarray, " points"]:
    """Return where the person was, on the source's chord, after the share `s` of the path."""
    place = 2.0 * source[plan.movement] + np.clip(s, 0, 1)
    return np.interp(place, 2.0 * plan.movement + progress(plan), on_own_chord(plan))


def borrowed_move(
    plan: Plan,
    source: Int64[np.ndarray, " movements"],
    tau: Float64[np.ndarray, " points"],
) -> Complex128[np.ndarray, " points"]:
    """Return where the person was, on the source's chord, at the time `tau` of the source."""
    place = 2.0 * source[plan.movement] + np.clip(tau, 0, 1)
    return np.interp(place, 2.0 * plan.movement + plan.tau, on_own_chord(plan))


def progress(plan: Plan) -> Float64[np.ndarray, " points"]:
    """Return the share of its movement's path that the person had gone at each point."""
    way_px = np.cumsum(np.abs(np.diff(plan.human, prepend=plan.human[:1])))
    done_px = way_px - way_px[plan.first][plan.movement]
    length_px = done_px[plan.last][plan.movement]
    return np.divide(done_px, length_px, out=plan.tau.copy(), where=length_px > 0)


def on_own_chord(plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Return the person's positions, each movement turned and scaled to run from 0 to 1."""
    chord = np.where(plan.length_px > 0, plan.end - plan.start, 1)[plan.movement]
    return (plan.human - plan.start[plan.movement]) / chord
