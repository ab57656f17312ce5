"""Metrics against literal examples and scikit-learn; intervals against what they promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from sklearn import metrics as sklearn

from model.bootstrap import bootstrap_draws, cluster_bootstrap, rate_interval, wilson_interval
from model.metrics import (
    NotEnoughNegatives,
    RocCurve,
    brier,
    check_negatives,
    reliability_curve,
    roc_curve,
    weighted_auc,
)
from pipeline.errors import DataError
from pipeline.features.best_feature import roc_auc

LABELS = np.array([0, 0, 1, 1])
SCORES = np.array([0.1, 0.4, 0.35, 0.8])


@st.composite
def scored_sessions(draw):
    """Scores on a coarse grid, so that there are ties, and labels of both kinds."""
    n = draw(st.integers(2, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels = rng.permutation(np.arange(n) < rng.integers(1, n)).astype(np.int64)
    return np.round(rng.random(n) * draw(st.integers(1, 20))), labels


def test_auc_counts_the_pairs_in_order():
    # Pairs fraud over legitimate: 0.35 > 0.1, 0.8 > 0.1, 0.8 > 0.4; but 0.35 < 0.4: 3 of 4.
    assert roc_auc(SCORES, LABELS) == 0.75


def test_a_tie_counts_half():
    assert roc_auc(np.array([0.5, 0.5]), np.array([0, 1])) == 0.5


def test_roc_curve_flags_equal_scores_together():
    curve = roc_curve(np.array([0.9, 0.5, 0.5, 0.1]), np.array([1, 1, 0, 0]))

    np.testing.assert_array_equal(curve.threshold, [np.inf, 0.9, 0.5, 0.1])
    np.testing.assert_array_equal(curve.tpr, [0, 0.5, 1, 1])
    np.testing.assert_array_equal(curve.fpr, [0, 0, 0.5, 1])


def test_average_precision_of_a_constant_is_the_base_rate():
    labels = np.array([1, 0, 0, 0])
    assert roc_curve(np.zeros(4), labels).average_precision() == 0.25


def test_eer_is_where_fpr_and_miss_rate_are_equal():
    # At 0.4 and above one of two legitimate is flagged and one of two frauds is missed.
    assert roc_curve(SCORES, LABELS).eer() == 0.5
    assert roc_curve(np.array([0.0, 1.0]), np.array([0, 1])).eer() == 0
    assert roc_curve(np.array([1.0, 0.0]), np.array([0, 1])).eer() == 1


def test_tpr_at_fpr_keeps_the_target():
    legitimate = np.linspace(0, 0.99, 100)  # one false alarm is 1 %
    scores = np.concatenate([legitimate, [0.5, 0.985, 1.0]])
    labels = np.repeat([0, 1], [100, 3])

    # 0.985 is reached with one false alarm (0.99); 0.5 would take fifty.
    assert roc_curve(scores, labels).tpr_at_fpr(0.01) == pytest.approx(2 / 3)


@pytest.mark.parametrize(("n", "budget"), [(99, 0.01), (999, 0.001)])
def test_a_rate_is_refused_where_one_false_alarm_breaks_the_budget(n, budget):
    enough = np.repeat([0, 1], [n + 1, 1])
    check_negatives(enough, budget)
    assert roc_curve(enough.astype(float), enough).tpr_at_fpr(budget) == 1
    with pytest.raises(NotEnoughNegatives, match=f"refused: {n} legitimate .* 1 in {n + 1}"):
        check_negatives(enough[1:], budget)


def test_brier_is_the_squared_distance():
    assert brier(np.array([1.0, 0.5]), np.array([1, 0])) == 0.125


def test_calibration_error_is_the_distance_in_bins_of_equal_mass():
    probabilities = np.array([0.1, 0.1, 0.3, 0.3, 0.9, 0.9])
    labels = np.array([0, 0, 0, 1, 1, 1])
    curve = reliability_curve(probabilities, labels, n_bins=3)

    np.testing.assert_allclose(curve.predicted, [0.1, 0.3, 0.9])
    np.testing.assert_allclose(curve.observed, [0, 0.5, 1])
    np.testing.assert_array_equal(curve.n_sessions, [2, 2, 2])
    assert curve.ece() == pytest.approx((0.1 + 0.2 + 0.1) / 3)


def test_equal_scores_share_a_bin():
    assert len(reliability_curve(np.full(50, 0.3), np.arange(50) % 2, n_bins=10)) == 1


@pytest.mark.parametrize("labels", [np.zeros(3, np.int64), np.ones(3, np.int64)])
def test_one_class_cannot_be_ranked(labels):
    with pytest.raises(DataError, match="all 3 sessions are"):
        roc_auc(np.arange(3.0), labels)


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(DataError, match="1 of 2 scores are not finite"):
        roc_auc(np.array([0.1, np.nan]), np.array([0, 1]))


@given(scored_sessions())
@settings(max_examples=60, deadline=None)
def test_metrics_agree_with_scikit_learn(sessions):
    scores, labels = sessions
    fpr, tpr, _ = sklearn.roc_curve(labels, scores, drop_intermediate=False)

    curve, precision = roc_curve(scores, labels), sklearn.average_precision_score(labels, scores)
    assert curve.auc() == pytest.approx(sklearn.roc_auc_score(labels, scores))
    assert roc_auc(scores, labels) == pytest.approx(curve.auc())
    assert curve.average_precision() == pytest.approx(precision)
    np.testing.assert_allclose(curve.fpr, fpr)
    np.testing.assert_allclose(curve.tpr, tpr)
    crossing = brentq(lambda x: 1 - x - _on_curve(x, fpr, tpr), 0, 1)
    assert curve.eer() == pytest.approx(crossing, abs=1e-6)


def _on_curve(x: float, fpr: np.ndarray, tpr: np.ndarray) -> float:
    """Return the curve's height at `x`, taking the slope of a vertical stretch as very steep."""
    return float(np.interp(x, fpr + np.arange(len(fpr)) * 1e-9, tpr))


@given(scored_sessions(), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_a_weight_is_a_repetition(sessions, seed):
    scores, labels = sessions
    weights = np.random.default_rng(seed).integers(1, 4, len(scores))
    repeated = np.repeat(scores, weights), np.repeat(labels, weights)

    weighted, whole = roc_curve(scores, labels, weights), roc_curve(*repeated)
    for metric in (RocCurve.auc, RocCurve.average_precision, RocCurve.eer):
        assert metric(weighted) == pytest.approx(metric(whole))
    assert weighted_auc(scores, labels, weights) == pytest.approx(roc_auc(*repeated))


def test_groups_are_drawn_whole():
    # Sessions of a group share a score: the mean of any resample is made of whole groups.
    scores = np.repeat([1.0, 2.0, 4.0], 5)
    groups = np.repeat(np.array(["a", "b", "c"], object), 5)
    draws = bootstrap_draws(
        lambda s, y, w: np.average(s, weights=w), scores, np.zeros(15, int), groups
    )
    means = {(a + b + c) / 3 for a in (1, 2, 4) for b in (1, 2, 4) for c in (1, 2, 4)}

    assert set(np.round(draws, 9)) == set(np.round(list(means), 9))


def test_no_resample_lacks_a_class_and_a_mixed_group_stays_whole():
    labels = np.array([0, 0, 1, 0, 1, 1])
    groups = np.array(["only legitimate", "both", "both", "both too", "both too", "only fraud"])
    draws = bootstrap_draws(
        lambda s, y, w: np.array([w[1] - w[2], w @ y, w @ (1 - y)]),
        np.arange(6.0)[::-1].copy(),
        labels,
        groups.astype(object),
        200,
    )
    assert (draws[:, 0] == 0).all()
    assert (draws[:, 1:] > 0).all()


def test_people_who_resemble_themselves_widen_the_interval():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(20), 50)
    labels = np.repeat([0, 1], 500)
    scores = rng.normal(size=20)[person] + 0.1 * rng.normal(size=1000) + labels
    by_person = cluster_bootstrap(weighted_auc, scores, labels, person.astype(object), 200)
    by_session = cluster_bootstrap(
        weighted_auc, scores, labels, np.arange(1000).astype(object), 200
    )

    assert by_person.n_groups == 20
    assert by_person.low < by_person.value < by_person.high
    assert by_person.high - by_person.low > 3 * (by_session.high - by_session.low)


def test_the_same_seed_gives_the_same_interval():
    groups = np.array(["a", "b", "c", "d"], object)
    first, again = (
        cluster_bootstrap(weighted_auc, SCORES, LABELS, groups, 50, seed=3) for _ in "12"
    )
    assert first == again


def test_few_groups_are_said():
    groups = np.array(["a", "b", "c", "c"], object)
    interval = cluster_bootstrap(weighted_auc, SCORES, LABELS, groups, 10)
    assert "2 group(s) of legitimate sessions and 1 group(s) of fraud" in interval.note


def test_an_interval_without_width_is_said():
    labels = np.repeat([0, 1], 10)
    groups = np.arange(20).astype(object)
    interval = cluster_bootstrap(weighted_auc, labels.astype(float), labels, groups, 20)
    assert (interval.low, interval.high) == (1, 1)
    assert "too few errors" in interval.note


def test_wilson_interval_of_none_in_forty():
    # The score test's upper end is z^2 / (n + z^2) = 3.84 / 43.84.
    interval = wilson_interval(0, 40)
    assert (interval.value, interval.low) == (0, 0)
    assert interval.high == pytest.approx(0.0876, abs=1e-4)


def test_a_rate_of_none_is_not_certain():
    interval = rate_interval(np.zeros(40, bool), np.arange(40).astype(object), 50)
    assert interval.low == 0
    assert interval.high == pytest.approx(0.0876, abs=1e-4)


def test_a_rate_from_few_people_is_said():
    interval = rate_interval(np.ones(40, bool), np.zeros(40, np.int64).astype(object), 10)
    assert interval.n_groups == 1
    assert "only 1 group" in interval.note
