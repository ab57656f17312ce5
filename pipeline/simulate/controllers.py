"""Fair bots: a pointer with a velocity, driven to its target step by step.

All movements of a session are driven at once, so a step costs the same for one or many.
"""

import numpy as np
from jaxtyping import Complex128, Float64, Int64

from pipeline.simulate.plan import Plan

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
