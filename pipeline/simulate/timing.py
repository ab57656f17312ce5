"""How far along its path a pointer is at each moment: laws from time 0..1 to progress 0..1."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

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
