"""Windows are offsets: every event is in one, or in none that is long enough."""

import numpy as np
import pytest
from conftest import make_sessions
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.sessions.windows import WindowConfig, cut_windows, pad_windows

MOVES = [(0, 0, 0), (10, 1, 0), (20, 2, 0), (2000, 3, 0), (2010, 4, 0)]


def test_a_gap_ends_a_window():
    windows = cut_windows(make_sessions(MOVES), WindowConfig("gap", 4, 1000, 2))
    assert list(zip(windows.start, windows.stop, strict=True)) == [(0, 3), (3, 5)]


def test_moves_ignore_gaps_and_split_in_equal_parts():
    windows = cut_windows(make_sessions(MOVES), WindowConfig("moves", 4, 1000, 2))
    assert list(zip(windows.start, windows.stop, strict=True)) == [(0, 2), (2, 5)]


def test_no_window_reaches_into_the_next_session():
    windows = cut_windows(make_sessions(MOVES, MOVES), WindowConfig("moves", 128, 1000, 2))
    assert list(windows.session) == [0, 1]
    assert list(zip(windows.start, windows.stop, strict=True)) == [(0, 5), (5, 10)]


def test_what_is_too_short_is_no_window():
    assert len(cut_windows(make_sessions(MOVES), WindowConfig("gap", 4, 1000, 4))) == 0
    assert len(cut_windows(make_sessions([], MOVES[:1]))) == 0


def test_padding_repeats_the_last_event_and_is_not_counted():
    sessions = make_sessions(MOVES)
    points = pad_windows(sessions, cut_windows(sessions, WindowConfig("gap", 4, 1000, 2)), 4)
    assert points.n_points.tolist() == [3, 2]
    assert points.t_ms.tolist() == [[0, 10, 20, 20], [0, 10, 10, 10]]
    assert points.x_px.tolist() == [[0, 1, 2, 2], [3, 4, 4, 4]]


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="min_events 9 and max_events 8"):
        WindowConfig(min_events=9, max_events=8)


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=5),
    rule=st.sampled_from(["moves", "both"]),
    seed=st.integers(0, 9),
)
def test_every_event_is_in_exactly_one_window(lengths, rule, seed):
    steps_ms = np.random.default_rng(seed).choice([5, 50, 1500], sum(lengths) + 1)
    times = iter(np.cumsum(steps_ms))
    sessions = make_sessions(*[[(next(times), 0, 0) for _ in range(n)] for n in lengths])
    # min_events 2 is the least; single events between two gaps are then the only ones left out.
    windows = cut_windows(sessions, WindowConfig(rule, 7, 1000, 2))
    covered = np.zeros(sum(lengths), int)
    for start, stop in zip(windows.start, windows.stop, strict=True):
        assert 2 <= stop - start <= 7
        covered[start:stop] += 1
    assert covered.max(initial=0) <= 1
    if rule == "moves":
        alone = np.repeat(np.array(lengths), lengths) == 1
        assert (covered[~alone] == 1).all()
