"""The benchmark of robustness: what each change does, and what is counted."""

from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
from conftest import make_sessions
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import TINY, untrained

from benchmarks.bots.folds import Fold
from benchmarks.robustness.__main__ import bots_of, measure
from benchmarks.robustness.changes import (
    CHANGES,
    at_speed,
    drop,
    keep_first,
    pause,
    round_times,
    smooth,
    stand_still,
)
from benchmarks.robustness.figures import some_of_each
from benchmarks.robustness.mixing import BETWEEN_US, PIECES, SHARES, mix, mixtures
from benchmarks.robustness.text import to_text
from model.policy import Policy, Threshold
from pipeline.schemas import Kind

RNG = np.random.default_rng


def walk(n: int, step_px: float = 3.0, every_ms: int = 16, at: float = 0.0) -> list[tuple]:
    return [(every_ms * i, at + step_px * i, at + step_px * (i % 2)) for i in range(n)]


def test_smoothing_is_a_mean_within_the_session():
    sessions = make_sessions([(0, 0, 9), (1, 3, 0), (2, 9, 0)], [(0, 90, 90), (1, 100, 90)])
    smoothed = smooth(RNG(0), sessions, 3)
    assert smoothed.x_px.tolist() == [2, 4, 6, 95, 95]
    assert smoothed.y_px.tolist() == [4, 3, 0, 90, 90]


def test_speed_and_ticks_change_times_alone():
    sessions = make_sessions([(0, 0, 0), (15, 1, 1), (31, 2, 2)])
    assert at_speed(RNG(0), sessions, 2).t_us.tolist() == [0, 7500, 15500]
    assert round_times(RNG(0), sessions, 10).t_us.tolist() == [0, 10_000, 30_000]


def test_rests_push_what_follows_back_and_every_session_begins_at_zero():
    sessions = make_sessions(walk(50), walk(50))
    rested = pause(RNG(0), sessions, every=5)
    steps_us = np.diff(rested.t_us) - np.diff(sessions.t_us)
    inside = np.arange(99) != 49
    assert rested.t_us[[0, 50]].tolist() == [0, 0]
    assert set(np.unique(steps_us[inside]) > 0) == {False, True}
    assert steps_us[inside].min() == 0
    assert steps_us[inside].max() <= 3e6


def test_events_are_dropped_and_the_ends_stay():
    sessions = make_sessions(walk(40), walk(3))
    assert keep_first(RNG(0), sessions, 7).n_events.tolist() == [7, 3]
    thinned = drop(RNG(0), sessions, 0.6)
    assert 2 < thinned.n_events[0] < 40
    ends = thinned.t_us[np.r_[thinned.offsets[:-1], thinned.offsets[1:] - 1]]
    assert ends.tolist() == [0, 0, 39 * 16_000, 2 * 16_000]


def test_who_stands_still_sends_no_move():
    still = stand_still(RNG(0), make_sessions(walk(9), walk(9, at=50)))
    assert set(still.kind.tolist()) == {Kind.CLICK}
    assert still.x_px.tolist() == [0] * 9 + [50] * 9


@given(share=st.sampled_from(SHARES), n_pieces=st.sampled_from([1, PIECES]), seed=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_a_mixture_has_all_of_the_bot_its_share_of_a_human_and_no_jump(share, n_pieces, seed):
    bots = make_sessions(walk(30, 3.0), walk(60, 3.0))
    people = make_sessions(walk(700, 1.0, 8, 900.0), walk(600, 1.0, 8, 5.0))
    mixed = mix(RNG(seed), bots, people, share, n_pieces)

    assert len(mixed) == 2
    n_human = mixed.n_events - bots.n_events
    assert np.allclose(n_human / mixed.n_events, share, atol=0.15)
    for i in range(2):
        events = slice(*mixed.offsets[i : i + 2])
        step, step_us = np.diff(mixed.x_px[events]), np.diff(mixed.t_us[events])
        assert step.max() <= 3.0
        assert step_us.min() >= 0
        # The bot's own steps are 3 px long; at a joint there is none.
        assert bots.n_events[i] - n_pieces <= (step == 3.0).sum() <= bots.n_events[i] - 1
        assert (step_us == BETWEEN_US).sum() == 2 * n_pieces - 1


def test_a_fresh_stretch_is_used_once_and_too_few_are_an_error():
    bots = make_sessions(*[walk(20)] * 4)
    people = make_sessions(walk(50, 1.0), walk(50, 2.0))
    mixed = mix(RNG(0), bots, people, 0.5, again=False)
    human = [mixed.x_px[mixed.offsets[i] + 20 : mixed.offsets[i + 1]] for i in range(4)]
    # Two of each donor's stretches of 20 fit in its 50 events.
    assert [np.diff(x).max() for x in human] == [1, 1, 2, 2]
    with pytest.raises(ValueError, match="too few events"):
        mix(RNG(0), make_sessions(*[walk(20)] * 5), people, 0.5, again=False)


def test_bots_of_a_fold_are_recorded_and_simulated_ones_without_its_people():
    both = make_sessions(*[walk(9)] * 6, label=np.array([0, 1, 1, 1, 1, 1], np.int8))
    one = make_sessions(walk(9), label=np.array([0], np.int8))
    fold = Fold(one, (), {}, {"simulated": both}, {"recorded": both}, one)
    bots = bots_of(fold, at_most=4, seed=0)
    assert bots.label.tolist() == [1] * 8
    assert sorted(bots.account_id) == ["recorded"] * 4 + ["simulated"] * 4


def test_so_many_of_each_are_chosen():
    sessions = make_sessions(*[walk(3)] * 7)
    group = np.array(list("aaaaabb"), object)
    chosen = some_of_each(sessions, group, 3, seed=0)
    assert group[chosen].tolist() == list("aaabb")
    assert (np.diff(chosen) > 0).all()


def test_every_change_has_its_figures_and_a_line():
    model = untrained(TINY)  # its seed made it say 0 of everything
    rng = RNG(0)
    shaken = jax.tree.map(
        lambda leaf: leaf + rng.normal(0, 0.1, leaf.shape).astype(leaf.dtype),
        nnx.state(model.scorer.network, nnx.Param),
    )
    nnx.update(model.scorer.network, shaken)
    threshold = Threshold(0.01, 0.0, 0.0, None, False, "made up")  # all that is scored is flagged
    model = replace(model, policy=Policy(0.01, (threshold,), 1, 1))
    bots = make_sessions(
        *[walk(60 + i, 3.0 + i) for i in range(4)], account_id=np.array([*"aabb"], object)
    )
    people = make_sessions(
        *[walk(600, 1.0) for _ in range(3)], account_id=np.array([*"pqr"], object)
    )
    names = ("as it comes", "times rounded to 10 ms", "clicks at one place, no move")
    changes = {name: CHANGES[name] for name in names}
    changes["the first 7 events alone"] = partial(keep_first, n_events=7)
    report = measure(model, bots, people, people, 0, changes)

    assert (report["n_bots"], report["n_flagged"], report["n_people"]) == (4, 4, 3)
    rows = report["bots"]
    assert set(rows) == {*changes, *mixtures(people)}
    assert set(report["people"]) == set(changes)
    assert rows["as it comes"]["flagged"]["value"] == 1
    assert rows["as it comes"]["log_odds_moved"] == 0
    assert rows["times rounded to 10 ms"]["log_odds_moved"] != 0
    for silent in ("clicks at one place, no move", "the first 7 events alone"):
        assert (rows[silent]["abstained"], rows[silent]["flagged"]["value"]) == (1, 0)
        assert rows[silent]["log_odds_moved"] is None
    assert set(rows["as it comes"]["by_group"]) == {"a", "b"}
    assert report["recordings"]["n_windows"] > 1
    text = to_text(report)
    for name in rows:
        assert f"| {name} |" in text
    assert "Flagged as they come: 4 of 4 sessions of 2 generators" in text
