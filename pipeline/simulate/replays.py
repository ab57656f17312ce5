"""Careful bots: a recorded human path, played again with changes."""

import numpy as np
from jaxtyping import Complex128, Float64

from pipeline.simulate.noise import gradient_noise
from pipeline.simulate.plan import Plan


def jittered_replay(rng: np.random.Generator, plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Replay the path with white or smooth jitter, as against a duplicate check."""
    size_px = rng.uniform(0.6, 4)
    if rng.random() < 0.5:
        x, y = rng.standard_normal((2, len(plan.tau)))
    else:
        wave_s = rng.uniform(0.05, 0.5)
        place = plan.tau * plan.duration_s[plan.movement] / wave_s
        x, y = (4 * gradient_noise(rng, place, plan.movement, len(plan)) for _ in range(2))
    return plan.meet_ends(plan.human + size_px * (x + 1j * y))


def warped_replay(rng: np.random.Generator, plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Replay the path with another timing, bent to one side, or mirrored at its chord."""
    path = _at_time(plan, _warped(rng, plan))
    chord = np.where(plan.length_px > 0, plan.end - plan.start, 1)[plan.movement]
    local = (path - plan.start[plan.movement]) / chord
    if rng.random() < 0.3:
        local = np.conj(local)
    stretch = 1 + rng.uniform(0.02, 0.4) * rng.standard_normal(len(plan))[plan.movement]
    bend = rng.uniform(0, 0.12) * rng.standard_normal(len(plan))[plan.movement]
    local = np.real(local) + 1j * (stretch * np.imag(local) + bend * np.sin(np.pi * plan.tau))
    return plan.meet_ends(plan.start[plan.movement] + chord * local)


def _warped(rng: np.random.Generator, plan: Plan) -> Float64[np.ndarray, " points"]:
    """Return a time that runs fast here and slow there, but never backwards."""
    strength = rng.uniform(0.1, 0.9)
    once, twice = strength * rng.uniform(-0.5, 0.5, (2, len(plan)))[:, plan.movement] / np.pi
    return plan.tau + once * np.sin(np.pi * plan.tau) + twice * np.sin(2 * np.pi * plan.tau) / 2


def _at_time(plan: Plan, tau: Float64[np.ndarray, " points"]) -> Complex128[np.ndarray, " points"]:
    """Return where the person was at other times of the same movements."""
    apart = 2.0 * plan.movement  # movements end to end on one axis, so that one call does
    return np.interp(apart + tau, apart + plan.tau, plan.human)
