"""Window logits to the scores table."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from conftest import make_sessions
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.schemas import SCORES, Kind
from pipeline.scores.table import (
    ScorePolicy,
    abstain_reasons,
    bands_of,
    pool_logits,
    scores_table,
    worst_window,
)
from pipeline.sessions.windows import Windows

LOGITS = np.array([1.0, 5.0, 3.0, -2.0], np.float32)
OWNER = np.array([0, 0, 0, 2])  # session 1 has no window

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
VERDICT = ScorePolicy(0.9, 0.5, min_events=3, model_id="m1", run_id="r1", scored_at=NOON)

WALK = [(0, 0, 0), (100, 9, 12), (200, 18, 24), (300, 27, 36)]
STILL = [(0, 5, 5), (100, 5, 5), (200, 5, 5), (300, 5, 5)]
RESTING = [(0, 5, 5), (100, 28.5, 5), (200, 20, 28.5), (300, 5, 5)]  # less than a target's width
CLICKS = [(0, 0, 0, Kind.CLICK), (100, 9, 9, Kind.CLICK), (200, 30, 9, Kind.CLICK)]


def make_windows(*rows: tuple[int, int, int]) -> Windows:
    session, start, stop = np.array(rows, np.int64).reshape(-1, 3).T
    return Windows(session, start, stop)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean", 3.0),
        ("max", 5.0),
        ("top_mean", 4.0),  # the higher two of three
        ("logmeanexp", np.log((np.e + np.e**5 + np.e**3) / 3)),
    ],
)
def test_pooling_one_session(pooling, expected):
    pooled = pool_logits(LOGITS, OWNER, 3, pooling, top_share=0.5)
    np.testing.assert_allclose(pooled, [expected, np.nan, -2.0])


@pytest.mark.parametrize("pooling", ["mean", "max", "top_mean", "logmeanexp"])
@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_the_order_of_the_windows_does_not_count(pooling, seed):
    rng = np.random.default_rng(seed)
    owner, logits = np.sort(rng.integers(0, 6, 30)), rng.normal(0, 50, 30)
    order = rng.permutation(30)
    np.testing.assert_allclose(
        pool_logits(logits[order], owner[order], 6, pooling), pool_logits(logits, owner, 6, pooling)
    )


@pytest.mark.parametrize("pooling", ["mean", "max", "top_mean", "logmeanexp"])
def test_a_longer_session_of_the_same_is_not_more_suspicious(pooling):
    pooled = pool_logits(np.full(9, 2.0), np.array([0] + [1] * 8), 2, pooling)
    np.testing.assert_allclose(pooled, [2.0, 2.0])


def test_pooling_nothing_gives_nothing():
    empty = np.zeros(0, np.float32), np.zeros(0, np.int64)
    for pooling in ("mean", "max", "top_mean", "logmeanexp"):
        assert np.isnan(pool_logits(*empty, 2, pooling)).all()


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ConfigError, match="one of mean, max, top_mean, logmeanexp"):
        # Below the type check of the tests, which a config file does not pass.
        pool_logits.__wrapped__(LOGITS, OWNER, 3, "median")


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_broken_logit_stops_the_run(broken):
    logits = np.array([0.0, broken, 0.0, 0.0], np.float32)
    with pytest.raises(FloatingPointError, match=r"1 of 4 windows .*window 1"):
        pool_logits(logits, OWNER, 3)


def test_worst_window_is_the_first_of_the_highest():
    worst = worst_window(np.array([1.0, 5.0, 5.0, -2.0]), OWNER, 3)
    np.testing.assert_array_equal(worst, [1, -1, 3])


def test_bands_begin_at_their_thresholds():
    bands = bands_of(np.array([0.49, 0.5, 0.89, 0.9, np.nan]), 0.5, 0.9)
    assert bands.tolist() == ["low", "medium", "medium", "high", "abstained"]


def test_bands_are_compared_as_the_table_stores_them():
    # 0.9 in 32 bits is a little below 0.9 in 64: a score written as 0.9 is at the threshold.
    assert bands_of(np.array([0.9], np.float32), 0.5, 0.9).tolist() == ["high"]


def test_reasons_to_abstain_have_an_order():
    sessions = make_sessions(WALK, WALK[:2], STILL, STILL[:2], CLICKS, WALK, WALK, RESTING)
    windows = make_windows((0, 0, 4), (2, 6, 10), (5, 15, 19), (7, 23, 27))
    other = np.array(["no_profile"] * 8, object)
    other[0] = None
    reasons = abstain_reasons(sessions, windows, 3, other)
    assert reasons.tolist() == [
        None,
        "too_few_events",
        "no_moves",  # the pointer stays
        "too_few_events",  # first, though it stays as well
        "no_moves",  # only clicks
        "no_profile",
        "too_few_events",  # enough in all, no stretch for a window; first, though no profile
        "no_moves",  # the hand rests
    ]


def make_table(**changes: object) -> pa.Table:
    """Return the table of a judged walk, a flagged one, and one too short."""
    sessions = make_sessions(
        WALK, WALK, WALK[:2], started_at=np.array(["2026-11-01T08:00", "NaT", "NaT"], "M8[us]")
    )
    arguments = {
        "windows": make_windows((0, 0, 2), (0, 2, 4), (1, 4, 8)),
        "window_logits": np.array([-3.0, -1.0, 4.0], np.float32),
        "score": np.array([0.1, 0.95, np.nan]),
        "verdict": VERDICT,
    }
    return scores_table(sessions, **arguments | changes)


def test_the_table_is_as_declared():
    table = make_table()
    assert table.schema.equals(SCORES, check_metadata=True)
    table.validate(full=True)


def test_a_row_for_every_session():
    rows = make_table().to_pylist()
    assert rows[0] == {
        "session_id": "s0",
        "account_id": None,
        "started_at": datetime(2026, 11, 1, 8, tzinfo=UTC),
        "fraud_score": pytest.approx(0.1),
        "needs_review": None,  # said when all sessions of the day are there
        "band": "low",
        "is_flagged": False,
        "threshold": pytest.approx(0.9),
        "abstain_reason": None,
        "reasons": [],
        "replay_of": None,
        "recorder": None,
        "recorder_known": None,
        "n_events": 4,
        "n_windows": 2,
        "worst_window_ms": 200,  # its second window begins with its third event
        "model_id": "m1",
        "run_id": "r1",
        "scored_at": NOON,
    }
    assert [row["band"] for row in rows] == ["low", "high", "abstained"]
    assert [row["is_flagged"] for row in rows] == [False, True, False]


def test_an_abstained_row_says_why_and_nothing_else():
    row = make_table().to_pylist()[2]
    assert row["abstain_reason"] == "too_few_events"
    assert row["fraud_score"] is None
    assert row["worst_window_ms"] is None
    assert row["started_at"] is None


def test_another_reason_to_abstain_takes_the_score_away():
    other = np.array([None, "immature_profile", None], object)
    row = make_table(other_abstain=other).to_pylist()[1]
    assert (row["abstain_reason"], row["fraud_score"]) == ("immature_profile", None)
    assert (row["band"], row["is_flagged"]) == ("abstained", False)


def test_reasons_are_taken_as_they_are():
    reasons = pa.array([["straight"], [], []], pa.list_(pa.string()))
    assert make_table(reasons=reasons)["reasons"].to_pylist() == [["straight"], [], []]


def test_flags_agree_with_the_columns_that_are_written():
    table = make_table(score=np.array([0.9, 0.8999999, np.nan]))
    frame = table.to_pandas()
    assert frame["is_flagged"].tolist() == (frame["fraud_score"] >= frame["threshold"]).tolist()
    assert frame["is_flagged"].tolist() == [True, False, False]


@pytest.mark.parametrize("broken", [np.nan, 1.5, -0.1])
def test_a_score_that_is_none_stops_the_run(broken):
    with pytest.raises(FloatingPointError, match=r"not in 0\.\.1"):
        make_table(score=np.array([0.1, broken, np.nan]))


def test_no_sessions_give_an_empty_table():
    table = scores_table(
        make_sessions(), make_windows(), np.zeros(0, np.float32), np.zeros(0), VERDICT
    )
    assert table.num_rows == 0
    assert table.schema.equals(SCORES)
