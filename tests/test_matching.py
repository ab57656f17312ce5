"""Matching: what is kept is alike, and chained moves are the moves they were."""

import numpy as np
import pytest
from conftest import make_sessions
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.matching import (
    MatchConfig,
    chain_moves,
    cut_stretches,
    find_moves,
    match_exactly,
    strata,
)
from pipeline.errors import ConfigError


def zigzag(n_moves: int, step_px: float, pause_ms: float, n_events: int = 8) -> list[tuple]:
    """Return a path of moves of 7 steps each, to the right and back, with pauses between."""
    rows, t, x = [], 0.0, 0.0
    for move in range(n_moves):
        for event in range(n_events):
            rows.append((t, x, 0.0))
            if event < n_events - 1:
                t, x = t + 16, x + step_px * (1 if move % 2 == 0 else -1)
        t += pause_ms
    return rows


def test_moves_have_their_distance_duration_and_pause():
    moves = find_moves(make_sessions(zigzag(3, 10, 500)))
    np.testing.assert_allclose(moves.distance_px, 70)
    np.testing.assert_allclose(moves.duration_ms, 7 * 16)
    np.testing.assert_allclose(moves.pause_ms, [0, 500, 500])


def test_short_moves_are_left_out_and_pauses_start_anew_in_each_session():
    sessions = make_sessions(zigzag(2, 1, 500), zigzag(2, 10, 400))
    moves = find_moves(sessions)
    np.testing.assert_array_equal(moves.session, [1, 1])
    np.testing.assert_allclose(moves.pause_ms, [0, 400])


def test_a_bin_holds_half_an_octave_and_three_kinds_of_pause():
    moves = find_moves(make_sessions(zigzag(2, 10, 200), zigzag(2, 20, 900)))
    distance, duration, pause = strata(moves).T
    np.testing.assert_array_equal(distance - distance[0], [0, 0, 2, 2])  # twice as far
    assert len(set(duration)) == 1
    np.testing.assert_array_equal(pause, [0, 1, 0, 2])


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=60),
    st.integers(0, 5),
)
def test_each_stratum_keeps_equally_many_of_both_classes_and_as_many_as_can_be(rows, seed):
    stratum = np.array([[code] for code, _ in rows])
    treated = np.array([is_treated for _, is_treated in rows])
    keep = match_exactly(stratum, treated, np.random.default_rng(seed))
    for code in range(4):
        here = stratum[:, 0] == code
        n_each = [(here & (treated == c)).sum() for c in (False, True)]
        assert [(keep & here & (treated == c)).sum() for c in (False, True)] == [min(n_each)] * 2


def test_which_rows_are_kept_is_chance():
    stratum = np.zeros((40, 1), np.int64)
    treated = np.arange(40) < 5
    kept = [match_exactly(stratum, treated, np.random.default_rng(seed)) for seed in range(20)]
    assert len({tuple(mask) for mask in kept}) > 10


def test_chained_moves_keep_their_steps_and_nothing_jumps():
    config = MatchConfig(moves_per_session=3)
    sessions = make_sessions(zigzag(4, 10, 500), zigzag(3, 20, 200))
    moves = find_moves(sessions, config)
    owner = np.array(["a"] * 4 + ["b"] * 3)
    rng = np.random.default_rng(0)
    chained = chain_moves(sessions, moves, owner, rng, config)

    assert list(chained.session_id) == ["a#0", "b#0"]  # the fourth move of a is left over
    np.testing.assert_array_equal(chained.n_events, [24, 24])
    for i, step_px in enumerate((10, 20)):
        events = slice(chained.offsets[i], chained.offsets[i + 1])
        step = np.abs(np.diff(chained.x_px[events]))
        np.testing.assert_allclose(step[step > 0], step_px)
        assert (step == 0).sum() == 2  # one pause between two moves each
        elapsed = np.diff(chained.t_us[events])
        assert chained.t_us[events.start] == 0
        assert (elapsed > 0).all()
    # Each pause is the one that the move had; one of a has none, its session's first.
    pauses = np.diff(chained.t_us[:24])[[7, 15]]
    assert set(pauses) <= {1000, 500_000}


def test_stretches_are_cut_as_they_were():
    sessions = make_sessions(zigzag(5, 10, 500))
    cut = cut_stretches(sessions, find_moves(sessions), 2)
    assert list(cut.session_id) == ["s0@0", "s0@1"]
    np.testing.assert_array_equal(cut.n_events, [16, 16])
    np.testing.assert_array_equal(cut.t_us[:16], sessions.t_us[:16])
    np.testing.assert_array_equal(cut.x_px[16:], sessions.x_px[16:32])
    assert cut.t_us[16] == 0


def test_no_more_stretches_than_asked_for():
    sessions = make_sessions(zigzag(8, 10, 500))
    assert len(cut_stretches(sessions, find_moves(sessions), 2, at_most=3)) == 3


def test_sizes_that_can_not_be_are_errors():
    with pytest.raises(ConfigError, match="matching"):
        MatchConfig(shortest_px=0.0)
