"""Careful bots: a recorded human movement with one of its orders destroyed, and the rest kept.

Surrogates come from time-series analysis (Theiler et al. 1992, Physica D 58, 77-94): what they
share with the recording can't be what tells them apart, so a detector has to learn the order that
was lost. Scripts lose the same ones: who replays a path with uneven sleeps, or draws step lengths
from a table, has a hand's distributions and none of its flow.
"""

import numpy as np
from jaxtyping import Complex128, Float64
from scipy.signal import lfilter

from pipeline.simulate.plan import Plan


def shuffled_steps(rng: np.random.Generator, plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Go the movement's own steps in another order, near by or far from where they were."""
    reach = np.exp(rng.uniform(np.log(1.0), np.log(12.0)))  # places a step is moved by
    place = np.arange(len(plan.tau)) + reach * rng.standard_normal(len(plan.tau))
    order = np.lexsort((place, plan.movement))
    # A movement's first step leads there from nowhere: it stays where it is.
    return plan.meet_ends(_walk(plan, _steps(plan)[order]))


def uneven_replay(rng: np.random.Generator, plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Follow the movement's own path at a speed that varies from step to step."""
    length = np.abs(_steps(plan))
    spread, memory = rng.uniform(0.1, 0.9), rng.uniform(-0.5, 0.7)
    factor = np.exp(spread * _coloured(rng, len(length), memory))
    reach = _along(plan, length)
    wanted = _along(plan, length * factor)
    total = reach[plan.last][plan.movement]
    wanted = wanted * total / np.maximum(wanted[plan.last][plan.movement], 1e-9)
    apart = plan.movement * (reach.max(initial=0) + 1.0)
    # A path that stands still has one place many times over; any of them will do.
    return np.interp(apart + wanted, apart + reach, plan.human)


def random_phases(rng: np.random.Generator, plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Keep how strongly each movement's velocity swings at each frequency, and draw the phases."""
    path = plan.human.copy()
    share = np.sqrt(rng.uniform(0.05, 1.0))  # of the way to wholly random phases
    for first, last in zip(plan.first, plan.last, strict=True):
        step = np.diff(plan.human[first : last + 1])
        spectrum = np.fft.fft(step)
        turned = spectrum * np.exp(1j * share * rng.uniform(-np.pi, np.pi, len(spectrum)))
        turned[0] = spectrum[0]  # the sum of all steps: the movement ends where it did
        path[first + 1 : last + 1] = plan.human[first] + np.cumsum(np.fft.ifft(turned))
    return plan.meet_ends(path)


def _steps(plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Return the step that leads to each point; none to a movement's first."""
    step = np.diff(plan.human, prepend=0)
    step[plan.first] = 0
    return step


def _walk(plan: Plan, step: Complex128[np.ndarray, " points"]) -> Complex128[np.ndarray, " points"]:
    way = np.cumsum(step)
    return plan.start[plan.movement] + way - way[plan.first][plan.movement]


def _along(plan: Plan, length: Float64[np.ndarray, " points"]) -> Float64[np.ndarray, " points"]:
    """Return the length of the way from each movement's start."""
    way = np.cumsum(length)
    return way - way[plan.first][plan.movement]


def _coloured(rng: np.random.Generator, n: int, memory: float) -> Float64[np.ndarray, " points"]:
    """Return noise of unit variance of which each value has `memory` of the one before."""
    return np.asarray(lfilter([np.sqrt(1 - memory**2)], [1, -memory], rng.standard_normal(n)))
