"""Fair bots: a line with noise that starts and ends at nothing."""

import numpy as np
from jaxtyping import Complex128, Float64, Int64

from pipeline.simulate.plan import Plan
from pipeline.simulate.timing import draw_easing


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
