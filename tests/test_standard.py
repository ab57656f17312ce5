"""One plain recorder: what it leaves out, and that two recorders of one hand come out alike."""

import numpy as np
import pytest
from conftest import make_sessions

from pipeline.errors import ConfigError
from pipeline.schemas import Kind
from pipeline.sessions.resample import ResampleConfig, resample, throttle_sessions
from pipeline.sessions.windows import Windows


def test_each_step_can_be_checked_by_eye():
    sessions = make_sessions(
        [
            (0, 0.2, 0),
            (5, 3.0, 0),  # of this tick of 16 ms the last event is kept
            (17, 3.3, 0),  # rounds to where it was
            (33, 8.6, 0, Kind.DRAG),
            (2000, 10.0, 0),  # after a long rest
        ],
        [(0, 1, 1), (8, 2, 1)],
    )
    standard = resample(sessions, ResampleConfig(longest_rest_ms=125.0))

    np.testing.assert_array_equal(standard.event, [1, 3, 4, 6])
    np.testing.assert_array_equal(standard.sessions.offsets, [0, 3, 4])
    np.testing.assert_array_equal(standard.sessions.x_px, [3, 9, 10, 2])
    np.testing.assert_array_equal(standard.sessions.t_us, [0, 28_000, 153_000, 0])
    np.testing.assert_array_equal(standard.sessions.kind, [Kind.MOVE] * 4)


def test_with_everything_off_nothing_changes():
    sessions = make_sessions([(0, 0.2, 0), (5, 0.2, 0, Kind.DOWN), (900, 3.3, 1)])
    off = ResampleConfig(0.0, 0.0, 0.0, changes_only=False, buttons=True)
    standard = resample(sessions, off).sessions
    for name in ("t_us", "x_px", "y_px", "kind", "offsets"):
        np.testing.assert_array_equal(getattr(standard, name), getattr(sessions, name))


def test_a_press_in_place_is_kept_where_buttons_are():
    sessions = make_sessions([(0, 1, 1), (20, 1, 1, Kind.DOWN), (40, 1, 1)])
    standard = resample(sessions, ResampleConfig(buttons=True))
    np.testing.assert_array_equal(standard.sessions.kind, [Kind.MOVE, Kind.DOWN, Kind.MOVE])


def test_a_session_of_one_place_or_none_is_left_standing():
    sessions = make_sessions([(0, 5, 5), (100, 5, 5)], [], [(0, 1, 1), (50, 2, 2)])
    np.testing.assert_array_equal(resample(sessions).sessions.offsets, [0, 1, 1, 3])


def test_a_fast_recorder_and_a_slow_one_give_nearly_the_same_path():
    t_ms = np.arange(0, 1000, 2.0)
    x, y = 400 * np.sin(t_ms / 200), 300 * np.cos(t_ms / 300)
    fast = list(zip(t_ms, x, y, strict=True))
    slow = fast[::4]  # 125 Hz
    standard = resample(make_sessions(fast, slow)).sessions
    ends = standard.offsets
    n_fast, n_slow = np.diff(ends)
    assert abs(n_fast - n_slow) <= 2
    assert np.median(np.diff(standard.t_us[: ends[1]])) == 16_000
    assert np.median(np.diff(standard.t_us[ends[1] :])) == 16_000


def test_windows_are_found_again_among_the_recorded_events():
    sessions = make_sessions([(0, 0, 0), (4, 1, 0), (20, 2, 0), (40, 2, 0), (60, 3, 0)])
    standard = resample(sessions)
    np.testing.assert_array_equal(standard.event, [1, 2, 4])
    recorded = standard.recorded(Windows(np.array([0]), np.array([0]), np.array([3])))
    np.testing.assert_array_equal([recorded.start, recorded.stop], [[1], [5]])


def test_each_session_can_be_throttled_to_a_period_of_its_own():
    path = [(10 * i, i, 0) for i in range(10)]
    slower = throttle_sessions(make_sessions(path, path), np.array([1.0, 50.0]))
    np.testing.assert_array_equal(slower.n_events, [10, 2])
    np.testing.assert_array_equal(slower.x_px[-2:], [4, 9])


def test_a_size_below_zero_is_an_error():
    with pytest.raises(ConfigError, match="below 0"):
        ResampleConfig(period_ms=-1.0)


def test_a_rest_is_shortened_but_not_a_jump():
    rest = [(0, 0, 0), (16, 5, 0), (1016, 9, 0), (1032, 14, 0)]
    jump = [(0, 0, 0), (16, 5, 0), (1016, 400, 0), (1032, 404, 0)]
    teleports = [(0, 0, 0), (500, 300, 0), (1000, 0, 0), (1500, 300, 0)]
    sessions = make_sessions(rest, jump, teleports)
    found = resample(sessions, ResampleConfig(longest_rest_ms=125.0)).sessions.t_us / 1000
    np.testing.assert_array_equal(found, [0, 16, 141, 157, 0, 16, 1016, 1032, 0, 125, 250, 375])
