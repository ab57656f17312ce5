"""A synthetic keeps the plan and the clock, and changes only the way of moving."""

from dataclasses import fields, replace

import numpy as np
import pytest
from conftest import make_sessions
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import lognorm

from pipeline.errors import ConfigError
from pipeline.features.best_feature import feature_aucs
from pipeline.features.kinematics import CLOCK_FEATURES, KINEMATIC_FEATURES, kinematic_features
from pipeline.features.movements import MovementConfig, find_movements
from pipeline.ingest.parse import parse_logs
from pipeline.schemas import Kind
from pipeline.sessions.jumps import find_jumps
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from pipeline.sessions.windows import cut_windows
from pipeline.simulate.generators import BOT_NAMES, GENERATORS, Generator
from pipeline.simulate.motor import lagged_pid, lognormal_stroke, minimum_jerk, windmouse
from pipeline.simulate.plan import Plan, grid_px, keep_moving, make_plan, writes_changes_only
from pipeline.simulate.recorded import random_phases, shuffled_steps, uneven_replay
from pipeline.simulate.shapes import (
    catmull_rom,
    constant_line,
    draw_easing,
    gradient_noise,
    minimum_jerk_progress,
    step_quantised,
    teleport,
)
from pipeline.simulate.synthetic import simulate_sessions, synthetic_sessions

DOWN, UP = int(Kind.DOWN), int(Kind.UP)


def reach(n: int = 51, x_px: float = 1000.0) -> list[tuple]:
    """Return a straight reach to the right, an event each 16 ms, rounded to whole px."""
    tau = np.linspace(0, 1, n)
    return [(16 * i, round(x_px * t), 300) for i, t in enumerate(minimum_jerk_progress(tau))]


def out_and_back(pause_ms: int = 500) -> list[tuple]:
    """Return a reach, a rest, a click, and the reach back."""
    out = reach()
    last_ms, x, y = out[-1]
    t = last_ms + pause_ms
    click = [(t, x, y, DOWN), (t + 90, x, y, UP)]
    return [*out, *click, *[(t + 90 + ms, x - dx, y) for ms, dx, _ in reach()[1:]]]


def plan_of(sessions: Sessions) -> Plan:
    return make_plan(sessions, find_movements(sessions))


def speed_px_s(sessions: Sessions) -> np.ndarray:
    step = np.hypot(np.diff(sessions.x_px), np.diff(sessions.y_px))
    return step / (np.diff(sessions.t_us) / 1e6)


# --- movements


def test_a_rest_ends_a_movement():
    # Right for 4 events, 300 ms without an event, down for 3 events.
    path = [
        (0, 0, 0),
        (16, 5, 0),
        (32, 9, 0),
        (48, 12, 0),
        (348, 12, 5),
        (364, 12, 9),
        (380, 12, 20),
    ]

    movements = find_movements(make_sessions(path))

    assert movements.first.tolist() == [0, 4]
    assert movements.last.tolist() == [3, 6]


def test_standing_still_with_events_is_a_rest_too():
    still = [(48 + 16 * i, 12, 0) for i in range(10)]  # 144 ms at one place
    path = [(0, 0, 0), (16, 5, 0), (32, 9, 0), *still, (208, 15, 0), (224, 20, 0)]

    movements = find_movements(make_sessions(path))

    # From the first event to the rest's first, from the rest's last to the end.
    assert movements.first.tolist() == [0, 12]
    assert movements.last.tolist() == [3, 14]


def test_a_button_ends_a_movement_and_starts_the_next():
    path = [(16 * i, 10 * i, 0, DOWN if i == 4 else 0) for i in range(9)]

    movements = find_movements(make_sessions(path))

    assert movements.first.tolist() == [0, 4]
    assert movements.last.tolist() == [4, 8]


def test_going_out_and_back_without_a_rest_is_two_movements():
    x = [*range(0, 100, 10), *range(100, -1, -10)]
    path = [(16 * i, x, 0) for i, x in enumerate(x)]

    movements = find_movements(make_sessions(path))

    assert movements.first.tolist() == [0, 10]
    assert movements.last.tolist() == [10, 20]


def test_a_slow_clock_is_no_row_of_rests():
    path = [(200 * i, 10 * i, 0) for i in range(10)]

    movements = find_movements(make_sessions(path))

    assert (movements.first.tolist(), movements.last.tolist()) == ([0], [9])


def test_movements_never_reach_into_another_session():
    sessions = make_sessions(reach(5), reach(6))

    movements = find_movements(sessions)

    assert (movements.first.tolist(), movements.last.tolist()) == ([0, 5], [4, 10])


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="not above 0"):
        MovementConfig(rest_ms=0.0)


# --- synthetic


@pytest.mark.parametrize("bot", BOT_NAMES)
def test_a_synthetic_session_keeps_plan_clock_and_grid(bot):
    human = make_sessions(out_and_back(), reach())
    movements = find_movements(human)

    synthetic = simulate_sessions(human, [bot])

    for kept in ("t_us", "kind", "button", "offsets", "account_id", "source_file"):
        np.testing.assert_array_equal(getattr(synthetic, kept), getattr(human, kept))
    inside = np.zeros(len(human.t_us), bool)
    for first, last in zip(movements.first, movements.last, strict=True):
        inside[first + 1 : last] = True
    np.testing.assert_array_equal(
        synthetic.x_px[~inside], human.x_px[~inside]
    )  # clicks are among them
    np.testing.assert_array_equal(synthetic.y_px[~inside], human.y_px[~inside])
    assert (synthetic.x_px != human.x_px).any() or (synthetic.y_px != human.y_px).any()
    np.testing.assert_array_equal(synthetic.x_px, np.rint(synthetic.x_px))
    assert np.isfinite(synthetic.y_px).all()


def test_a_synthetic_session_is_labelled_as_one():
    synthetic = simulate_sessions(make_sessions(reach()), ["windmouse"], per_session=2)

    assert synthetic.session_id.tolist() == ["s0~windmouse-0", "s0~windmouse-1"]
    assert synthetic.source.tolist() == ["simulated:windmouse"] * 2
    assert synthetic.label.tolist() == [1, 1]
    assert (synthetic.x_px[:51] != synthetic.x_px[51:]).any() or (
        synthetic.y_px[:51] != synthetic.y_px[51:]
    ).any()


def test_a_synthetic_session_is_the_same_whatever_else_its_parent_gets():
    two = make_sessions(reach(), reach(), session_id=np.array(["a", "b"], object))
    chosen = [(0, "bezier", 0), (1, "windmouse", 0), (0, "jittered_replay", 0), (0, "bezier", 1)]
    together = synthetic_sessions(two, chosen)
    for i, one in enumerate(chosen):
        alone, found = synthetic_sessions(two, [one]), together.take(np.array([i]))
        assert found.session_id.tolist() == alone.session_id.tolist()
        np.testing.assert_array_equal(found.x_px, alone.x_px)
        np.testing.assert_array_equal(found.y_px, alone.y_px)


def test_as_many_synthetic_sessions_as_bots_are_one_of_each():
    synthetic = simulate_sessions(make_sessions(reach()), per_session=len(BOT_NAMES))

    assert sorted(synthetic.source) == sorted(f"simulated:{name}" for name in BOT_NAMES)


def test_a_synthetic_session_does_not_depend_on_other_sessions_or_their_order():
    three = make_sessions(reach(), out_and_back(), reach(80, 400.0))
    apart = concatenate_sessions([simulate_sessions(three.take(np.array([i]))) for i in (2, 0, 1)])

    together = simulate_sessions(three).take(np.array([2, 0, 1]))

    for field in fields(Sessions):
        np.testing.assert_array_equal(getattr(together, field.name), getattr(apart, field.name))


def test_a_new_bot_changes_only_the_sessions_that_it_takes_over(monkeypatch):
    rows = [reach(40), out_and_back(), reach(80, 400.0)] * 8
    human = make_sessions(*rows)
    per_session = 3
    before = simulate_sessions(human, per_session=per_session)
    new = Generator("new_bot", constant_line, "crude", "new", "none")
    monkeypatch.setitem(GENERATORS, "new_bot", new)

    after = simulate_sessions(human, tuple(GENERATORS), per_session)

    is_new = after.source == "simulated:new_bot"
    assert 0 < is_new.sum() < len(human)
    place = {name: i for i, name in enumerate(before.session_id)}
    kept = before.take(np.array([place[name] for name in after.session_id[~is_new]]))
    for field in fields(Sessions):
        np.testing.assert_array_equal(
            getattr(after.take(~is_new), field.name), getattr(kept, field.name)
        )


def test_bots_may_be_named_in_any_order():
    human = make_sessions(reach())

    one, other = (
        simulate_sessions(human, bots) for bots in (["bezier", "teleport"], ["teleport", "bezier"])
    )

    assert one.session_id.tolist() == other.session_id.tolist()


def test_another_seed_is_another_path():
    human = make_sessions(out_and_back())

    one, same, other = (simulate_sessions(human, ["bezier"], seed=seed) for seed in (1, 1, 2))

    np.testing.assert_array_equal(one.y_px, same.y_px)
    assert (one.y_px != other.y_px).any()


def test_a_synthetic_session_stays_on_the_screen():
    at_the_top = [(16 * i, 20 * i, 1) for i in range(60)]
    size = {
        "viewport_width": np.array([1280], np.int32),
        "viewport_height": np.array([720], np.int32),
    }

    synthetic = simulate_sessions(make_sessions(at_the_top, **size), per_session=4 * len(BOT_NAMES))

    assert synthetic.y_px.min() == 0  # it would have left: bezier, noise and others bow
    assert synthetic.x_px.max() <= 1279


def test_a_recorder_of_changes_writes_no_synthetic_session_that_stands():
    # A log without one repeated position; an eased start would round to many.
    human = make_sessions([(16 * i, 10 * i, 5 * i) for i in range(80)])

    synthetic = simulate_sessions(human, ["minimum_jerk"])

    assert (np.hypot(np.diff(synthetic.x_px), np.diff(synthetic.y_px)) > 0).all()
    assert (np.diff(minimum_jerk_progress(np.linspace(0, 1, 80))) * 800 < 0.5).any()


def test_sessions_with_nothing_to_move_come_back_as_they_are():
    still = [(100 * i, 7, 7) for i in range(9)]
    human = make_sessions([(0, 1, 2)], still)

    synthetic = simulate_sessions(human)

    np.testing.assert_array_equal(synthetic.x_px, human.x_px)


def test_no_sessions_give_no_synthetic_ones():
    assert len(simulate_sessions(make_sessions(reach()).take(np.zeros(1, bool)))) == 0


def test_an_unknown_bot_is_met_with_a_suggestion():
    with pytest.raises(ConfigError, match=r"unknown bot 'windmose'.*did you mean windmouse"):
        simulate_sessions(make_sessions(reach()), ["windmose"])


@pytest.mark.parametrize(("bots", "per_session"), [((), 1), (("bezier",), 0)])
def test_synthetic_sessions_of_nothing_are_refused(bots, per_session):
    with pytest.raises(ConfigError):
        simulate_sessions(make_sessions(reach()), bots, per_session)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 300), st.integers(-40, 2000), st.integers(0, 1100), st.integers(0, 6)
        ),
        min_size=1,
        max_size=60,
    ),
    st.sampled_from(BOT_NAMES),
)
def test_any_session_has_a_synthetic_one(rows, bot):
    t_ms = np.cumsum([row[0] for row in rows])
    human = make_sessions([(t, *row[1:]) for t, row in zip(t_ms, rows, strict=True)])

    synthetic = simulate_sessions(human, [bot])

    assert np.isfinite(synthetic.x_px).all()
    assert np.isfinite(synthetic.y_px).all()
    not_move = ~np.isin(human.kind, [Kind.MOVE, Kind.DRAG, Kind.TOUCH])
    np.testing.assert_array_equal(synthetic.x_px[not_move], human.x_px[not_move])


def test_synthetic_sessions_of_real_recordings_keep_their_clock_and_clicks(sample_dir):
    (human,) = parse_logs([sample_dir / "logs" / "human.csv"])

    synthetic = simulate_sessions(human)

    np.testing.assert_array_equal(synthetic.t_us, human.t_us)
    is_click = np.isin(human.kind, [DOWN, UP])
    assert is_click.sum() == 84
    np.testing.assert_array_equal(synthetic.x_px[is_click], human.x_px[is_click])
    np.testing.assert_array_equal(synthetic.y_px[is_click], human.y_px[is_click])
    assert ((synthetic.x_px != human.x_px) | (synthetic.y_px != human.y_px)).mean() > 0.3
    both = concatenate_sessions([replace(human, label=np.zeros(len(human), np.int8)), synthetic])
    windows = cut_windows(both)
    features, labels = kinematic_features(both, windows), both.label[windows.session]
    is_clock = np.isin(KINEMATIC_FEATURES, CLOCK_FEATURES)
    assert (feature_aucs(features[:, is_clock], labels) == 0.5).all()


# --- generators


@pytest.mark.parametrize("generator", GENERATORS.values(), ids=BOT_NAMES)
def test_every_generator_ends_where_it_should(generator):
    plan = plan_of(make_sessions(out_and_back()))

    path = generator.generate(np.random.default_rng(0), plan)

    np.testing.assert_allclose(path[plan.first], plan.start, atol=1e-6)
    np.testing.assert_allclose(path[plan.last], plan.end, atol=1e-6)
    assert generator.summary
    assert generator.source


def test_shuffled_steps_are_the_same_steps():
    plan = plan_of(make_sessions(out_and_back()))

    path = shuffled_steps(np.random.default_rng(0), plan)

    for first, last in zip(plan.first, plan.last, strict=True):
        old, new = (np.diff(way[first : last + 1]) for way in (plan.human, path))
        np.testing.assert_allclose(np.sort_complex(new), np.sort_complex(old), atol=1e-6)
        assert (np.abs(new - old) > 1).any()


def test_an_uneven_replay_stays_on_its_path_at_another_speed():
    plan = plan_of(make_sessions(out_and_back()))

    path = uneven_replay(np.random.default_rng(0), plan)

    np.testing.assert_allclose(np.imag(path), 300, atol=1e-6)
    for first, last in zip(plan.first, plan.last, strict=True):
        way = np.real(path[first : last + 1] - path[first])
        assert (np.diff(np.sign(way[-1]) * way) > -1e-6).all()  # never back
        old, new = (np.abs(np.diff(p[first : last + 1], 2)).mean() for p in (plan.human, path))
        assert new > 1.5 * old  # uneven: the changes of speed are larger


def test_random_phases_keep_the_spectrum_of_velocity():
    plan = plan_of(make_sessions(out_and_back()))

    path = random_phases(np.random.default_rng(0), plan)

    for first, last in zip(plan.first, plan.last, strict=True):
        old, new = (np.diff(way[first : last + 1]) for way in (plan.human, path))
        size = np.abs(np.fft.fft(old))
        np.testing.assert_allclose(np.abs(np.fft.fft(new)), size, atol=1e-3 * size.max())
        assert (np.abs(new - old) > 1).any()


def test_the_page_on_simulation_lists_every_generator(sample_dir):
    page = (sample_dir.parent / "docs" / "simulation.md").read_text()

    for bot in GENERATORS.values():
        assert f"| `{bot.name}` | {bot.craft} | {bot.summary} | {bot.source} |" in page


def test_generators_cover_every_craft():
    assert {generator.craft for generator in GENERATORS.values()} == {"crude", "fair", "careful"}


def test_constant_line_has_one_speed():
    synthetic = simulate_sessions(make_sessions(reach()), ["constant_line"])

    # 1000 px in 50 segments of 16 ms: 20 px each.
    np.testing.assert_array_equal(np.diff(synthetic.x_px), np.full(50, 20, np.float32))
    np.testing.assert_allclose(speed_px_s(synthetic), 1250)


def test_constant_line_is_a_line_between_the_ends():
    plan = plan_of(make_sessions([(0, 0, 0), (10, 9, 1), (20, 11, 7), (40, 40, 20)]))

    path = constant_line(np.random.default_rng(0), plan)

    np.testing.assert_allclose(path, [0, 10 + 5j, 20 + 10j, 40 + 20j])


def test_minimum_jerk_is_fastest_in_the_middle():
    tau = np.linspace(0, 1, 1001)

    speed = np.gradient(minimum_jerk_progress(tau), tau)

    assert speed.argmax() == 500
    assert speed.max() == pytest.approx(1.875, abs=1e-4)  # of the mean speed


def test_a_minimum_jerk_session_advances_by_minimum_jerk():
    plan = plan_of(make_sessions(reach()))

    path = minimum_jerk(np.random.default_rng(0), plan)

    np.testing.assert_allclose(path.real, 1000 * minimum_jerk_progress(plan.tau))


def test_a_stroke_has_lognormal_speed():
    time = np.linspace(0, 1.5, 3001)
    shape = np.ones_like(time)

    path = lognormal_stroke(time, np.log(0.3) * shape, 0.25 * shape, 0.2 * shape, 0.9 * shape)

    speed = np.abs(np.gradient(path, time))
    np.testing.assert_allclose(speed, lognorm(0.25, scale=0.3).pdf(time), atol=0.01)
    heading = np.angle(np.diff(path)[[100, -1500]])  # long before and long after the peak
    np.testing.assert_allclose(heading, [0.2, 0.9], atol=0.02)


def test_steps_along_the_axes_are_axis_aligned():
    plan = plan_of(make_sessions([(16 * i, 10 * i, 6 * i) for i in range(40)]))

    routes = [np.diff(step_quantised(np.random.default_rng(seed), plan)) for seed in range(9)]

    aligned = [bool(((abs(r.real) < 1e-9) | (abs(r.imag) < 1e-9)).mean() > 0.9) for r in routes]
    assert 0 < sum(aligned) < 9  # some sessions go straight, some axis by axis


def test_teleport_has_few_places():
    plan = plan_of(make_sessions(reach()))

    places = np.unique(teleport(np.random.default_rng(1), plan))

    assert 2 <= len(places) <= 5


@pytest.mark.parametrize("drive", [windmouse, lagged_pid])
def test_controllers_arrive_by_themselves(drive):
    plan = plan_of(make_sessions(reach()))

    near = [abs(drive(np.random.default_rng(seed), plan)[-3] - plan.end[0]) for seed in range(20)]

    assert np.median(near) < 100  # of 1000 px, two events before the end


def test_catmull_rom_passes_through_its_knots():
    knots = np.array([[0, 1 + 2j, 3 - 1j, 4]], np.complex128)

    on_curve = catmull_rom(knots, np.array([0, 1 / 3, 2 / 3, 1]), np.zeros(4, np.int64))

    np.testing.assert_allclose(on_curve, knots[0], atol=1e-12)


def test_gradient_noise_is_nothing_at_whole_places():
    place = np.array([0.0, 0.5, 1.0, 2.0, 2.5])

    noise = gradient_noise(np.random.default_rng(0), place, np.zeros(5, np.int64), 1)

    assert noise[[0, 2, 3]].tolist() == [0, 0, 0]
    assert (noise[[1, 4]] != 0).all()


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_every_easing_goes_from_start_to_end(seed):
    ease = draw_easing(np.random.default_rng(seed))

    np.testing.assert_allclose(ease(np.array([0.0, 1.0])), [0, 1], atol=1e-12)


# --- the recorder


def test_the_grid_is_found():
    whole, half = np.array([3, 4], np.float32), np.array([3, 4.5], np.float32)

    assert grid_px(whole, whole) == 1
    assert grid_px(whole, half) == 0.5
    assert grid_px(whole, np.array([0.1, 0.2], np.float32)) == 0


def test_a_recorder_of_changes_is_recognised():
    assert writes_changes_only(make_sessions([(16 * i, i, 0) for i in range(9)]))
    assert not writes_changes_only(make_sessions([(16 * i, i // 2, 0) for i in range(9)]))


def test_keeping_moving_takes_from_the_fast_what_the_slow_lack():
    plan = plan_of(make_sessions([(16 * i, 10 * i, 0) for i in range(5)]))
    path = np.array([0, 0, 20, 40, 40], np.complex128)

    moved = keep_moving(plan, path, step_px=2.0)

    # 40 px in 4 steps, 2 px for each: 32 px are left for what were 0, 20, 20 and 0.
    np.testing.assert_allclose(moved, [0, 2, 20, 38, 40])


# --- jumps


@pytest.mark.parametrize(("period_ms", "gap_ms"), [(17, 900), (100, 300), (300, 1500)])
def test_no_bot_draws_a_path_across_a_jump(period_ms, gap_ms):
    rng = np.random.default_rng(0)
    rows, t = [], 0
    for trial in range(6):  # each a reach of 600 px, begun somewhere else
        start = 700 * (trial % 2) + rng.uniform(0, 90, 2)
        for done in minimum_jerk_progress(np.linspace(0, 1, 16)):
            rows.append((t, *np.rint(start + done * np.array([500, 330]))))
            t += period_ms
        t += gap_ms - period_ms
    person = make_sessions(rows)
    jumps = find_jumps(person)
    assert np.flatnonzero(jumps).tolist() == [16, 32, 48, 64, 80]

    made = simulate_sessions(person, per_session=2 * len(BOT_NAMES))

    ends = np.flatnonzero(jumps | np.roll(jumps, -1))
    for i in range(len(made)):
        bot = made.take(np.array([i]))
        assert find_jumps(bot)[jumps].all(), bot.session_id
        assert (bot.x_px[ends] == person.x_px[ends]).all()
        assert (bot.y_px[ends] == person.y_px[ends]).all()
        assert (bot.x_px != person.x_px).any(), bot.session_id
