"""Crude bots: straight lines, steps and jumps."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Complex128, Float64, Int64

from pipeline.simulate.plan import Plan

Easing = Callable[[Float64[np.ndarray, "..."]], Float64[np.ndarray, "..."]]


def minimum_jerk_progress(tau: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
    """Return the progress of the smoothest reach from rest to rest.

    Flash and Hogan 1985, "The coordination of arm movements", J. Neurosci. 5(7), eq. 3.
    """
    return tau**3 * (10 - 15 * tau + 6 * tau**2)


def draw_easing(rng: np.random.Generator) -> Easing:
    """Draw a kind of easing and its strength (Penner 2002, "Motion, tweening, and easing").

    These are the curves that automation libraries offer by name; some overshoot.
    """
    power = rng.uniform(1.2, 5)
    steepness = rng.uniform(4, 12)
    back = rng.uniform(0.5, 2)
    easings: tuple[Easing, ...] = (
        lambda tau: tau**power,
        lambda tau: 1 - (1 - tau) ** power,
        lambda tau: np.where(tau < 0.5, (2 * tau) ** power / 2, 1 - (2 - 2 * tau) ** power / 2),
        lambda tau: (1 - np.cos(np.pi * tau)) / 2,
        lambda tau: np.sin(np.pi * tau / 2),
        lambda tau: (1 - 2 ** (-steepness * tau)) / (1 - 2**-steepness),
        lambda tau: np.sqrt(1 - (1 - tau) ** 2),
        lambda tau: (np.tanh(steepness * (tau - 0.5) / 2) / np.tanh(steepness / 4) + 1) / 2,
        lambda tau: 1 + (back + 1) * (tau - 1) ** 3 + back * (tau - 1) ** 2,
        lambda tau: tau,
    )
    return easings[rng.integers(len(easings))]


def perlin_noise_line(rng: np.random.Generator, plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Go straight by an easing, with coherent noise in one to four octaves."""
    size_px = rng.uniform(0.01, 0.12) * plan.length_px + rng.uniform(0, 3)
    cells = rng.uniform(1.5, 8)
    wobble = np.zeros(len(plan.tau), np.complex128)
    for octave in range(rng.integers(1, 5)):
        place = plan.tau * cells * 2**octave
        x, y = (gradient_noise(rng, place, plan.movement, len(plan)) for _ in range(2))
        wobble += (x + 1j * y) / 2**octave
    line = plan.on_chord(draw_easing(rng)(plan.tau))
    return plan.meet_ends(line + 2 * size_px[plan.movement] * wobble)


def gaussian_random_walk_bridge(
    rng: np.random.Generator, plan: Plan
) -> Complex128[np.ndarray, " points"]:
    """Go straight by an easing while a random walk leads astray and home again."""
    size_px = rng.uniform(0.01, 0.15) * plan.length_px + rng.uniform(0, 2)
    step = np.sqrt(np.maximum(np.diff(plan.tau, prepend=0), 0))  # a new movement steps back: 0
    x, y = rng.standard_normal((2, len(plan.tau))) * step
    walk = np.cumsum(x + 1j * y)
    line = plan.on_chord(draw_easing(rng)(plan.tau))
    return plan.meet_ends(line + size_px[plan.movement] * (walk - walk[plan.first][plan.movement]))


def gradient_noise(
    rng: np.random.Generator,
    place: Float64[np.ndarray, " points"],
    row: Int64[np.ndarray, " points"],
    n_rows: int,
) -> Float64[np.ndarray, " points"]:
    """Return smooth noise at `place` (0 and up, one feature a unit), each row its own.

    Perlin 2002, "Improving noise", in one dimension: slopes drawn at whole places, blended.
    """
    cell = np.floor(place).astype(np.int64)
    slopes = rng.uniform(-1, 1, (n_rows, int(cell.max(initial=0)) + 2))
    s = place - cell
    blend = s**3 * (10 - 15 * s + 6 * s**2)
    left, right = slopes[row, cell] * s, slopes[row, cell + 1] * (s - 1)
    return left + blend * (right - left)


def constant_line(rng: np.random.Generator, plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Go straight at one speed, as a `moveTo(x, y, duration)` without easing does."""
    return plan.on_chord(plan.tau)


def eased_line(rng: np.random.Generator, plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Go straight by one of a few easings that the session draws."""
    easings = [draw_easing(rng) for _ in range(rng.integers(1, 4))]
    chosen = rng.integers(len(easings), size=len(plan))[plan.movement]
    return plan.on_chord(np.choose(chosen, [easing(plan.tau) for easing in easings]))


def step_quantised(rng: np.random.Generator, plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Go in equal steps at a steady tick; straight, or along one axis and then the other."""
    tick_s = rng.uniform(0.005, 0.08)
    n_ticks = np.maximum(np.rint(plan.duration_s / tick_s), 2)[plan.movement]
    progress = np.floor(plan.tau * n_ticks) / n_ticks
    route = rng.choice(["straight", "x first", "y first"])
    if route == "straight":
        return plan.on_chord(progress)
    return _axis_by_axis(plan, progress, is_x_first=bool(route == "x first"))


def _axis_by_axis(
    plan: Plan, progress: Float64[np.ndarray, " points"], is_x_first: bool
) -> Complex128[np.ndarray, " points"]:
    """Go along one axis, then along the other, at one speed."""
    chord = plan.end - plan.start
    width, height = np.real(chord)[plan.movement], np.imag(chord)[plan.movement]
    x_share = np.abs(width) / np.maximum(np.abs(width) + np.abs(height), 1e-9)
    x_begins = np.zeros_like(progress) if is_x_first else 1 - x_share
    y_begins = x_share if is_x_first else np.zeros_like(progress)
    x = np.clip((progress - x_begins) / np.maximum(x_share, 1e-9), 0, 1)
    y = np.clip((progress - y_begins) / np.maximum(1 - x_share, 1e-9), 0, 1)
    return plan.start[plan.movement] + width * x + 1j * height * y


def teleport(rng: np.random.Generator, plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Stand, and jump: one to four jumps a movement, as clicks by script coordinates look."""
    n_jumps = rng.integers(1, 5)
    jumps = np.sort(rng.uniform(0.02, 0.98, (len(plan), n_jumps)), axis=1)
    n_done = (plan.tau[:, None] >= jumps[plan.movement]).sum(axis=1)
    stray = rng.uniform(0, 0.15) * rng.standard_normal((len(plan), n_jumps + 1))
    stray[:, [0, -1]] = 0
    return plan.on_chord(n_done / n_jumps + 1j * stray[plan.movement, n_done])


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
