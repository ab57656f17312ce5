"""Scores don't change by accident: a frozen model, orders, groupings, batches, absurd paths."""

import json
from functools import cache

import make_golden
import numpy as np
import pyarrow as pa
import pytest
from conftest import make_sessions
from hypothesis import given, settings
from hypothesis import strategies as st

import model.batches
from model.run import TrainedModel
from pipeline.ingest.clean import FARTHEST_PX
from pipeline.sessions.sessions import Sessions, concatenate_sessions

FROZEN = 1e-4
"""How far a score may be from its frozen value on another processor or version of JAX."""

SAME = 2e-6
"""How far batches of other sizes may put it: 32-bit sums in another order."""


@cache
def the_model() -> TrainedModel:
    return make_golden.frozen_model()


@pytest.fixture
def frozen() -> TrainedModel:
    return the_model()


@pytest.fixture(scope="module")
def sample(sample_dir) -> Sessions:
    return make_golden.scored_sessions(sample_dir)


def by_session(table: pa.Table) -> dict[str, float | None]:
    return dict(
        zip(*(table[name].to_pylist() for name in ("session_id", "fraud_score")), strict=True)
    )


def test_a_frozen_model_says_what_it_always_said(frozen, sample):
    expected = json.loads((make_golden.GOLDEN / "scores.json").read_text())
    found = make_golden.scores_of(frozen, sample)
    for name in ("session_id", "n_windows", "worst_window_ms"):
        assert found[name].to_pylist() == [row[name] for row in expected], name
    scores = np.array([row["fraud_score"] for row in expected], np.float64)
    assert np.isfinite(scores).mean() > 0.7  # the others rest within a target
    assert (
        np.ptp(scores[np.isfinite(scores)]) > 0.5
    )  # a model that says the same of all would guard nothing
    np.testing.assert_allclose(
        found["fraud_score"].to_numpy(), scores, atol=FROZEN, rtol=0,
        err_msg="trained models see something else now: if that is meant, raise ENCODING in "
        "model/manifest.py and run `python tests/make_golden.py scores`",
    )  # fmt: skip


def test_the_order_of_sessions_does_not_count_bit_by_bit(frozen, sample):
    backwards = sample.take(np.arange(len(sample))[::-1])
    forwards = make_golden.scores_of(frozen, sample)
    assert by_session(make_golden.scores_of(frozen, backwards)) == by_session(forwards)


@pytest.mark.parametrize("n_each", [1, 7])
def test_which_sessions_are_scored_together_does_not_count_bit_by_bit(frozen, sample, n_each):
    apart = [
        make_golden.scores_of(
            frozen, sample.take(np.arange(start, min(start + n_each, len(sample))))
        )
        for start in range(0, len(sample), n_each)
    ]
    together = make_golden.scores_of(frozen, sample)
    assert by_session(pa.concat_tables(apart)) == by_session(together)


@pytest.mark.parametrize("batch_size", [3])
def test_the_size_of_a_batch_does_not_count(frozen, sample, batch_size, monkeypatch):
    usual = by_session(make_golden.scores_of(frozen, sample))
    monkeypatch.setattr(model.batches, "BATCH", batch_size)
    found = by_session(make_golden.scores_of(frozen, sample))
    assert found.keys() == usual.keys()
    for name, score in usual.items():
        assert found[name] == pytest.approx(score, abs=SAME), name


def test_a_session_scores_the_same_whatever_events_follow_in_memory(frozen, sample):
    absurd = make_sessions([(i * 1000, (-1) ** i * FARTHEST_PX, FARTHEST_PX) for i in range(99)])
    usual = by_session(make_golden.scores_of(frozen, sample))
    beside = by_session(
        make_golden.scores_of(frozen, concatenate_sessions([absurd, sample, absurd]))
    )
    assert {name: beside[name] for name in usual} == usual


NUMBERS = st.one_of(
    st.floats(-FARTHEST_PX, FARTHEST_PX, width=32, allow_nan=False),
    st.sampled_from([0.0, -0.0, 1e-30, -1e-30, 1e-45, FARTHEST_PX, -FARTHEST_PX]),
)
STEPS_MS = st.sampled_from([0, 0, 1, 8, 16, 1000, 10**6, 30 * 86_400_000])


@settings(max_examples=40, deadline=None, database=None)
@given(st.lists(st.tuples(STEPS_MS, NUMBERS, NUMBERS, st.integers(0, 6)), min_size=8, max_size=80))
def test_no_path_that_cleaning_lets_through_has_a_score_that_is_no_number(rows):
    t_ms = np.minimum(np.cumsum([row[0] for row in rows]), 60 * 86_400_000)
    path = [(t, x, y, kind) for t, (_, x, y, kind) in zip(t_ms, rows, strict=True)]
    [row] = make_golden.scores_of(the_model(), make_sessions(path)).to_pylist()
    if row["fraud_score"] is None:
        assert row["abstain_reason"] in ("no_moves", "too_few_events", "touch")
    else:
        assert 0 <= row["fraud_score"] <= 1
