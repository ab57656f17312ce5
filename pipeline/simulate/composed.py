"""Bots composed at random of a shape, a timing and layers of noise.

Whoever writes the next bot combines what is known in another way than the last one did. The
other generators are one way each; this one draws a new way for every session.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Complex128, Float64
from scipy.special import betainc, ndtr

from pipeline.simulate.plan import Plan
from pipeline.simulate.recorded import (
    borrowed_move,
    borrowed_progress,
    borrowed_shape,
    draw_sources,
)
from pipeline.simulate.shapes import (
    Shape,
    bezier_shape,
    draw_easing,
    gradient_noise,
    minimum_jerk_progress,
    waypoints_shape,
)

_Progress = Float64[np.ndarray, " points"]
_Path = Complex128[np.ndarray, " points"]


def composed(rng: np.random.Generator, plan: Plan) -> _Path:
    """Follow a drawn shape at a drawn timing, with none to three layers of noise."""
    shape = _SHAPES[rng.integers(len(_SHAPES))](rng, plan)
    timing = _TIMINGS[rng.integers(len(_TIMINGS))](rng, plan)
    return plan.meet_ends(_with_noise(rng, plan, plan.on_chord(shape(timing))))


def morphed_moves(rng: np.random.Generator, plan: Plan) -> _Path:
    """Play other recorded movements of the person, turned and scaled to fit, retimed a little."""
    strength = rng.choice([0.0, rng.uniform(0, 0.6)])
    warp = strength * rng.uniform(-1, 1, len(plan))[plan.movement] / np.pi
    tau = plan.tau + warp * np.sin(np.pi * plan.tau)
    local = borrowed_move(plan, draw_sources(rng, plan), tau)
    local = np.where((rng.random(len(plan)) < 0.5)[plan.movement], np.conj(local), local)
    flatten = rng.uniform(0.3, 1.2)
    path = plan.on_chord(np.real(local) + 1j * flatten * np.imag(local))
    return plan.meet_ends(_with_noise(rng, plan, path, at_most=1))


def _straight(rng: np.random.Generator, plan: Plan) -> Shape:
    return lambda s: s.astype(np.complex128)


def _bowed(rng: np.random.Generator, plan: Plan) -> Shape:
    """Draw an arc, its top before or behind the middle."""
    height = (rng.uniform(0, 0.3) * rng.standard_normal(len(plan)))[plan.movement]
    skew = rng.uniform(0.5, 2)
    return lambda s: s + 1j * height * np.sin(np.pi * np.clip(s, 0, 1) ** skew)


def _wavy(rng: np.random.Generator, plan: Plan) -> Shape:
    """Draw a few waves across the chord, the longer the higher."""
    order = np.arange(1, rng.integers(2, 8))
    size = rng.uniform(0.01, 0.2) / order ** rng.uniform(0.5, 2)
    height = (size * rng.standard_normal((len(plan), len(order))))[plan.movement]
    return lambda s: s + 1j * (height * np.sin(np.pi * order * s[:, None])).sum(axis=1)


def _recorded_shape(rng: np.random.Generator, plan: Plan) -> Shape:
    """Draw the shape of another movement of the person, flattened or heightened."""
    source = draw_sources(rng, plan)
    height = rng.uniform(0.2, 1.3) * rng.choice([-1, 1], len(plan))[plan.movement]

    def shape(s: _Progress) -> _Path:
        local = borrowed_shape(plan, source, s)
        return np.real(local) + 1j * height * np.imag(local)

    return shape


def _eased(rng: np.random.Generator, plan: Plan) -> _Progress:
    return draw_easing(rng)(plan.tau)


def _bell(rng: np.random.Generator, plan: Plan) -> _Progress:
    """Return the progress of one bell of speed, early or late, pointed or blunt."""
    powers = rng.uniform(1, 5, 2) * rng.uniform(0.8, 1.25, (len(plan), 2))
    early, late = powers[plan.movement].T
    return betainc(early, late, plan.tau)


def _lognormal(rng: np.random.Generator, plan: Plan) -> _Progress:
    """Return the progress of one lognormal stroke, scaled to end in time."""
    sigma = (rng.uniform(0.2, 0.9) * rng.uniform(0.8, 1.25, len(plan)))[plan.movement]
    middle = (rng.uniform(0.2, 0.5) * rng.uniform(0.8, 1.25, len(plan)))[plan.movement]
    done = ndtr(np.log(np.maximum(plan.tau, 1e-9) / middle) / sigma)
    return done / ndtr(-np.log(middle) / sigma)


def _in_pieces(rng: np.random.Generator, plan: Plan) -> _Progress:
    """Return the progress of several overlapping smooth reaches, the first the longest."""
    n = rng.integers(2, 5)
    share = rng.uniform(0.1, 1, (len(plan), n)) * np.r_[rng.uniform(1, 5), np.ones(n - 1)]
    share /= share.sum(axis=1, keepdims=True)
    begin = np.sort(rng.uniform(0, 0.7, (len(plan), n)), axis=1)
    begin -= begin[:, :1]
    length = rng.uniform(0.25, 1, (len(plan), n)) * (1 - begin)
    since = (plan.tau[:, None] - begin[plan.movement]) / length[plan.movement]
    return (share[plan.movement] * minimum_jerk_progress(np.clip(since, 0, 1))).sum(axis=1)


def _stumbling(rng: np.random.Generator, plan: Plan) -> _Progress:
    """Return an easing whose steps come out uneven, as sleeping between two steps makes them."""
    eased = draw_easing(rng)(plan.tau)
    step = np.diff(eased, prepend=eased[:1])
    shape = rng.uniform(0.5, 20)
    way = np.cumsum(step * rng.gamma(shape, 1 / shape, len(step)))
    way -= way[plan.first][plan.movement]
    length = way[plan.last][plan.movement]
    return np.divide(way, length, out=plan.tau.copy(), where=np.abs(length) > 1e-9)


def _recorded_timing(rng: np.random.Generator, plan: Plan) -> _Progress:
    return borrowed_progress(plan, draw_sources(rng, plan))


def _own_timing(rng: np.random.Generator, plan: Plan) -> _Progress:
    return borrowed_progress(plan, np.arange(len(plan)))


def _with_noise(rng: np.random.Generator, plan: Plan, path: _Path, at_most: int = 3) -> _Path:
    """Return `path` with up to so many layers of noise; one that was drawn twice is stronger."""
    for layer in rng.integers(len(_LAYERS), size=rng.integers(at_most + 1)):
        x, y = (_LAYERS[layer](rng, plan, path) for _ in range(2))
        path = path + np.exp(rng.uniform(np.log(0.2), np.log(4))) * (x + 1j * y)
    return path


def _white(rng: np.random.Generator, plan: Plan, path: _Path) -> _Progress:
    return rng.standard_normal(len(path))


def _with_speed(rng: np.random.Generator, plan: Plan, path: _Path) -> _Progress:
    """Return noise that grows with the step it is added to."""
    step_px = np.abs(np.diff(path, prepend=path[:1]))
    step_px[plan.first] = 0
    return rng.standard_normal(len(path)) * step_px / 10


def _smooth(rng: np.random.Generator, plan: Plan, path: _Path) -> _Progress:
    place = plan.tau * plan.duration_s[plan.movement] / rng.uniform(0.03, 0.5)
    return 4 * gradient_noise(rng, place, plan.movement, len(plan))


def _tremor(rng: np.random.Generator, plan: Plan, path: _Path) -> _Progress:
    """Return a swing of 5 to 15 Hz, of each movement another."""
    frequency_hz, phase = rng.uniform(5, 15, len(plan)), rng.uniform(0, 2 * np.pi, len(plan))
    angle = 2 * np.pi * frequency_hz[plan.movement] * plan.tau * plan.duration_s[plan.movement]
    return np.sin(angle + phase[plan.movement])


_SHAPES: tuple[Callable[[np.random.Generator, Plan], Shape], ...] = (
    _straight,
    _bowed,
    _wavy,
    bezier_shape,
    waypoints_shape,
    _recorded_shape,
)
_TIMINGS: tuple[Callable[[np.random.Generator, Plan], _Progress], ...] = (
    _eased,
    _bell,
    _lognormal,
    _in_pieces,
    _stumbling,
    _recorded_timing,
    _own_timing,
)
_LAYERS: tuple[Callable[[np.random.Generator, Plan, _Path], _Progress], ...] = (
    _white,
    _with_speed,
    _smooth,
    _tremor,
)
