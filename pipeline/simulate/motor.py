"""Models of the human hand, which careful bots use."""

import numpy as np
from jaxtyping import Complex128, Float64
from scipy.special import ndtr

from pipeline.simulate.plan import Plan
from pipeline.simulate.timing import minimum_jerk_progress


def minimum_jerk(rng: np.random.Generator, plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Reach smoothly from rest to rest, bowed a little to one side."""
    bow = rng.uniform(0, 0.1) * rng.standard_normal(len(plan))
    progress = minimum_jerk_progress(plan.tau)
    return plan.on_chord(progress + 1j * bow[plan.movement] * np.sin(np.pi * progress))


def tremor_minimum_jerk(rng: np.random.Generator, plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Reach smoothly with tremor of 8 to 12 Hz and noise that grows with the speed.

    Signal-dependent noise: Harris and Wolpert 1998, "Signal-dependent noise determines
    motor planning", Nature 394. Physiological tremor: Elble and Koller 1990, "Tremor".
    """
    path = minimum_jerk(rng, plan)
    frequency_hz = rng.uniform(8, 12, len(plan))[plan.movement]
    phase = rng.uniform(0, 2 * np.pi, (2, len(plan)))[:, plan.movement]
    angle = 2 * np.pi * frequency_hz * plan.tau * plan.duration_s[plan.movement]
    tremor = np.sin(angle + phase[0]) + 1j * np.sin(angle + phase[1])

    step_px = np.abs(np.diff(path, prepend=path[:1]))
    step_px[plan.first] = 0
    x, y = rng.standard_normal((2, len(path)))
    noise = rng.uniform(0.02, 0.25) * step_px * (x + 1j * y)
    return plan.meet_ends(path + rng.uniform(0.2, 1.5) * tremor + noise)


def sigma_lognormal(rng: np.random.Generator, plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Add up one to four overlapping strokes, each an arc with lognormal speed.

    Plamondon 1995, "A kinematic theory of rapid human movements", Biol. Cybern. 72; arcs
    as in O'Reilly and Plamondon 2009, "Development of a Sigma-Lognormal representation".
    """
    n_strokes = rng.integers(1, 5)
    shape = (len(plan), n_strokes)
    main_size, arc = rng.uniform(2, 8), rng.uniform(0.05, 0.8)
    size = rng.uniform(0.3, 1, shape)
    size[:, 0] *= main_size
    begin = np.arange(n_strokes) * rng.uniform(0.08, 0.18) + rng.uniform(-0.04, 0.04, shape)
    median = rng.uniform(0.12, 0.32) * rng.uniform(0.8, 1.25, shape)
    sigma = rng.uniform(0.15, 0.45) * rng.uniform(0.8, 1.25, shape)
    angles = arc * rng.standard_normal((2, *shape))
    over = (begin + median * np.exp(2.5 * sigma)).max(axis=1, initial=0)  # 99% of every stroke done
    time = (over * rng.uniform(0.8, 1.1))[plan.movement] * plan.tau
    strokes = size[plan.movement] * lognormal_stroke(
        time[:, None] - begin[plan.movement],
        *(parameter[plan.movement] for parameter in (np.log(median), sigma, *angles)),
    )
    path = strokes.sum(axis=1)
    path -= path[plan.first][plan.movement]
    reach = path[plan.last]
    reach[np.abs(reach) < 1e-3] = 1  # strokes that cancel: `meet_ends` does the rest
    return plan.meet_ends(plan.on_chord(path / reach[plan.movement]))


def lognormal_stroke(
    time: Float64[np.ndarray, "*shape"],
    mu: Float64[np.ndarray, "*shape"],
    sigma: Float64[np.ndarray, "*shape"],
    angle_start: Float64[np.ndarray, "*shape"],
    angle_end: Float64[np.ndarray, "*shape"],
) -> Complex128[np.ndarray, "*shape"]:
    """Return where a stroke of length 1 is, `time` after its command.

    Its speed is the lognormal density and its direction turns in step with its progress,
    so the integral of speed times direction has a closed form: an arc.
    """
    progress = ndtr((np.log(np.maximum(time, 1e-12)) - mu) / sigma)
    turn = (angle_end - angle_start) * progress
    return progress * np.sinc(turn / (2 * np.pi)) * np.exp(1j * (angle_start + turn / 2))
