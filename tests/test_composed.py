"""Bots put together by chance, and what they take from a recorded person."""

import numpy as np
import pytest
from conftest import make_sessions

from pipeline.features.movements import find_movements
from pipeline.simulate import composed
from pipeline.simulate.plan import Plan, make_plan
from pipeline.simulate.recorded import (
    borrowed_move,
    borrowed_progress,
    borrowed_shape,
    draw_sources,
    on_own_chord,
    path_progress,
)
from pipeline.simulate.synthetic import simulate_sessions


def two_reaches() -> Plan:
    """Return the plan of a slow start to the right, and of a bow downwards at one speed."""
    t_ms = np.arange(21) * 10
    tau = t_ms / 200
    right = [(t, 400 * s**2, 0.0) for t, s in zip(t_ms, tau, strict=True)]
    bow = [
        (1200 + t, 400 + 20 * np.sin(np.pi * s), 300 * s) for t, s in zip(t_ms, tau, strict=True)
    ]
    sessions = make_sessions(right + bow)
    return make_plan(sessions, find_movements(sessions))


def test_a_movement_borrows_from_another_one():
    plan = two_reaches()
    for seed in range(5):
        assert draw_sources(np.random.default_rng(seed), plan).tolist() == [1, 0]


def test_who_has_no_other_movement_borrows_from_itself():
    sessions = make_sessions([(10 * i, 20.0 * i, 0.0) for i in range(10)])
    plan = make_plan(sessions, find_movements(sessions))
    assert draw_sources(np.random.default_rng(0), plan).tolist() == [0]


def test_progress_is_the_share_of_the_path():
    plan = two_reaches()
    np.testing.assert_allclose(path_progress(plan)[plan.movement == 0], (np.arange(21) / 20) ** 2)


def test_timing_is_borrowed_without_the_shape():
    plan = two_reaches()
    of_other = borrowed_progress(plan, np.array([1, 0]))
    np.testing.assert_allclose(of_other[plan.movement == 1], (np.arange(21) / 20) ** 2)


def test_a_shape_is_borrowed_without_the_timing():
    plan = two_reaches()
    # Half the way along, the bow is 20 px off its chord of 300 px.
    shape = borrowed_shape(plan, np.array([1, 0]), np.full(len(plan.tau), 0.5))
    np.testing.assert_allclose(shape[plan.movement == 0], 0.5 - 1j * 20 / 300, atol=1e-3)


def test_a_borrowed_move_is_the_move_itself_at_its_own_times():
    plan = two_reaches()
    np.testing.assert_allclose(borrowed_move(plan, np.arange(2), plan.tau), on_own_chord(plan))


@pytest.mark.parametrize("make", [*composed._SHAPES])
def test_every_shape_runs_from_start_to_end(make):
    plan = two_reaches()
    shape = make(np.random.default_rng(0), plan)
    np.testing.assert_allclose(shape(np.zeros(len(plan.tau))), 0, atol=1e-9)
    np.testing.assert_allclose(shape(np.ones(len(plan.tau))), 1, atol=1e-9)


@pytest.mark.parametrize("draw", [*composed._TIMINGS])
@pytest.mark.parametrize("seed", range(5))
def test_every_timing_runs_from_start_to_end(draw, seed):
    plan = two_reaches()
    done = draw(np.random.default_rng(seed), plan)
    np.testing.assert_allclose(done[plan.first], 0, atol=0.02)
    np.testing.assert_allclose(done[plan.last], 1, atol=0.02)


def test_no_two_sessions_are_composed_alike():
    rng = np.random.default_rng(0)
    path = [(10 * i, x, y) for i, (x, y) in enumerate(rng.normal(3, 2, (60, 2)).cumsum(axis=0))]
    bots = simulate_sessions(make_sessions(path), ["composed"], per_session=6)
    shapes = {bots.x_px[i * 60 : (i + 1) * 60].tobytes() for i in range(6)}
    assert len(shapes) == 6
