"""Crude bots: straight lines, steps and jumps."""

import numpy as np
from jaxtyping import Complex128, Float64

from pipeline.simulate.plan import Plan
from pipeline.simulate.timing import draw_easing


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
