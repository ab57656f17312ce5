"""Careful bots: a recorded human movement with one of its orders destroyed, and the rest kept.

Surrogates come from time-series analysis (Theiler et al. 1992, Physica D 58, 77-94): what they
share with the recording can't be what tells them apart, so a detector has to learn the order that
was lost. Scripts lose the same ones: who replays a path with uneven sleeps, or draws step lengths
from a table, has a hand's distributions and none of its flow.
"""

import numpy as np
from jaxtyping import Complex128, Float64, Int64
from scipy.signal import lfilter

from pipeline.simulate.plan import Plan
from pipeline.simulate.shapes import gradient_noise

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
        2.0 * source[plan.movement] + plan.tau, 2.0 * plan.movement + plan.tau, path_progress(plan)
    )


def borrowed_shape(
    plan: Plan,
    source: Int64[np.ndarray, " movements"],
    s: Float64[np.ndarray, " points"],
) -> Complex128[np.ndarray, " points"]:
    """Return where the person was, on the source's chord, after the share `s` of the path."""
    place = 2.0 * source[plan.movement] + np.clip(s, 0, 1)
    return np.interp(place, 2.0 * plan.movement + path_progress(plan), on_own_chord(plan))


def borrowed_move(
    plan: Plan,
    source: Int64[np.ndarray, " movements"],
    tau: Float64[np.ndarray, " points"],
) -> Complex128[np.ndarray, " points"]:
    """Return where the person was, on the source's chord, at the time `tau` of the source."""
    place = 2.0 * source[plan.movement] + np.clip(tau, 0, 1)
    return np.interp(place, 2.0 * plan.movement + plan.tau, on_own_chord(plan))


def path_progress(plan: Plan) -> Float64[np.ndarray, " points"]:
    """Return the share of its movement's path that the person had gone at each point."""
    way_px = np.cumsum(np.abs(np.diff(plan.human, prepend=plan.human[:1])))
    done_px = way_px - way_px[plan.first][plan.movement]
    length_px = done_px[plan.last][plan.movement]
    return np.divide(done_px, length_px, out=plan.tau.copy(), where=length_px > 0)


def on_own_chord(plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Return the person's positions, each movement turned and scaled to run from 0 to 1."""
    chord = np.where(plan.length_px > 0, plan.end - plan.start, 1)[plan.movement]
    return (plan.human - plan.start[plan.movement]) / chord


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
