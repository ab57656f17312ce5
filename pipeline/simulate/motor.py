"""Models of how people move, which careful bots use."""

import numpy as np
from jaxtyping import Complex128, Float64, Int64
from scipy.special import ndtr

from pipeline.simulate.plan import Plan
from pipeline.simulate.shapes import minimum_jerk_progress

_N_STEPS = 200  # of a lagging controller, over a movement
_MAX_STEPS = 400  # of WindMouse; whoever has not arrived by then is taken there by `meet_ends`


def windmouse(rng: np.random.Generator, plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Let gravity pull to the target while wind blows, a step a tick.

    After B. Land 2005, "WindMouse, an algorithm for generating human-like mouse motion".
    Steps grow with the distance, since the movement's duration is given.
    """
    gravity = rng.uniform(3, 15)
    wind_px = rng.uniform(0.5, 10)
    limit_px = np.maximum(rng.uniform(4, 20), plan.length_px / rng.uniform(15, 60))
    # Nearer than this the wind drops and steps get short: within one step it would circle.
    calm_px = np.maximum(rng.uniform(6, 25), rng.uniform(1, 3) * limit_px)
    position, velocity, wind = (
        plan.start.copy(),
        np.zeros_like(plan.start),
        np.zeros_like(plan.start),
    )
    track = [position]
    n_steps = np.zeros(len(plan), np.int64)
    for _ in range(_MAX_STEPS):
        way = plan.end - position
        distance_px = np.abs(way)
        is_going = distance_px >= 1
        if not is_going.any():
            break
        gust_px = np.where(distance_px >= calm_px, np.minimum(wind_px, distance_px), 0)
        x, y = rng.uniform(-1, 1, (2, len(plan)))
        wind = wind / np.sqrt(3) + (x + 1j * y) * gust_px / np.sqrt(5)
        slow_px = np.where(limit_px < 3, rng.uniform(3, 6, len(plan)), limit_px / np.sqrt(5))
        limit_px = np.where(distance_px < calm_px, slow_px, limit_px)
        velocity = velocity + wind + gravity * way / np.maximum(distance_px, 1)
        speed_px = np.abs(velocity)
        capped_px = limit_px * rng.uniform(0.5, 1, len(plan))
        velocity = np.where(
            speed_px > limit_px, velocity * capped_px / np.maximum(speed_px, 1e-9), velocity
        )
        position = np.where(is_going, position + velocity, position)
        n_steps += is_going
        track.append(position)
    return plan.meet_ends(
        _at_steps(np.array(track), plan.tau * n_steps[plan.movement], plan.movement)
    )


def lagged_pid(rng: np.random.Generator, plan: Plan) -> Complex128[np.ndarray, " points"]:
    """Follow a target that slides to the end, with lag, inertia and noise on each axis.

    A proportional-derivative loop (Astrom and Murray 2008, "Feedback Systems", ch. 10).
    """
    n = len(plan)
    stiffness = rng.uniform(5, 25) * rng.uniform(0.7, 1.4, (n, 2))  # rad a movement, x and y
    damping = rng.uniform(0.35, 1.3)
    slide = rng.uniform(0, 0.7)  # of the movement: how long the target is under way
    noise = rng.uniform(0, 0.04) * plan.length_px[:, None]
    start, chord = _axes(plan.start), _axes(plan.end - plan.start)
    position, velocity, drift = start.copy(), np.zeros((n, 2)), np.zeros((n, 2))
    track = [position]
    for step in range(1, _N_STEPS + 1):
        target = start + chord * min(1, step / max(slide * _N_STEPS, 1))
        drift = 0.9 * drift + noise * rng.standard_normal((n, 2))
        pull = stiffness**2 * (target + drift - position) - 2 * damping * stiffness * velocity
        velocity = velocity + pull / _N_STEPS
        position = position + velocity / _N_STEPS
        track.append(position)
    x, y = np.moveaxis(np.array(track), 2, 0)
    return plan.meet_ends(_at_steps(x + 1j * y, plan.tau * _N_STEPS, plan.movement))


def _axes(position: Complex128[np.ndarray, " movements"]) -> Float64[np.ndarray, "movements 2"]:
    """Return x and y as two columns."""
    return np.stack([np.real(position), np.imag(position)], axis=1)


def _at_steps(
    track: Complex128[np.ndarray, "steps movements"],
    step: Float64[np.ndarray, " points"],
    movement: Int64[np.ndarray, " points"],
) -> Complex128[np.ndarray, " points"]:
    """Return where each movement is at a step, or in between two."""
    before = np.minimum(step.astype(np.int64), len(track) - 1)
    after = np.minimum(before + 1, len(track) - 1)
    share = step - before
    return track[before, movement] * (1 - share) + track[after, movement] * share


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
