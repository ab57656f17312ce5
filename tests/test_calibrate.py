"""Calibration: what is said happens, the order is kept, and nothing becomes infinite."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from model.calibrate import Calibration, fit_calibration
from model.metrics import reliability_curve
from pipeline.errors import DataError, SchemaError
from pipeline.storage.records import parse_record, record_json

HALF = Calibration(slope=1.0, intercept=0.0, base_rate=0.5)

finite = st.floats(allow_nan=False, allow_infinity=False)


def draw_logits(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return logits of which every one is twice too sure of itself, and labels."""
    rng = np.random.default_rng(seed)
    true_logits = rng.normal(0, 2, n)
    labels = (rng.random(n) < expit(true_logits)).astype(np.int64)
    return 2 * true_logits, labels


def test_two_sessions_are_pulled_off_zero_and_one():
    # One of each class: the targets are 2/3 and 1/3, and two points fix the line.
    fitted = fit_calibration(np.array([-1.0, 1.0]), np.array([0, 1]))
    np.testing.assert_allclose(fitted.apply(np.array([-1.0, 1.0])), [1 / 3, 2 / 3], atol=1e-6)


def test_a_network_that_is_too_sure_is_corrected():
    logits, labels = draw_logits(4000)
    fitted = fit_calibration(logits, labels)

    assert fitted.slope == pytest.approx(0.5, abs=0.03)
    assert fitted.intercept == pytest.approx(0, abs=0.1)
    before, after = (reliability_curve(p, labels) for p in (expit(logits), fitted.apply(logits)))
    assert after.ece() < 0.03 < before.ece()


def test_the_fit_is_a_logistic_regression_on_many_sessions():
    logits, labels = draw_logits(4000)  # smoothing the labels hardly counts among so many
    line = LogisticRegression(C=np.inf).fit(logits[:, None], labels)
    fitted = fit_calibration(logits, labels)
    assert fitted.slope == pytest.approx(line.coef_[0, 0], rel=0.02)


def test_classes_that_are_apart_give_a_finite_fit():
    logits = np.concatenate([np.full(50, -1e6), np.full(50, 1e6)])
    probabilities = fit_calibration(logits, np.repeat([0, 1], 50)).apply(logits)
    np.testing.assert_allclose(probabilities[[0, -1]], [1 / 52, 51 / 52], rtol=1e-4)


def test_a_weight_counts_a_session_more():
    logits, labels = draw_logits(4000)
    weights = np.where(labels == 1, 3, 1)
    weighted = fit_calibration(logits, labels, weights)
    repeated = fit_calibration(np.repeat(logits, weights), np.repeat(labels, weights))
    assert weighted.base_rate == pytest.approx(repeated.base_rate)
    assert weighted.slope == pytest.approx(repeated.slope, rel=0.005)
    assert weighted.intercept == pytest.approx(repeated.intercept, rel=0.005)


def test_a_model_that_does_not_separate_is_refused():
    with pytest.raises(DataError, match="doesn't separate"):
        fit_calibration(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 1, 0, 0]))
    with pytest.raises(DataError, match="doesn't separate"):
        fit_calibration(np.zeros(4), np.array([1, 1, 0, 0]))


def test_one_class_cannot_be_calibrated():
    with pytest.raises(DataError, match="0 fraud and 3 legitimate"):
        fit_calibration(np.arange(3.0), np.zeros(3, np.int64))


def test_a_broken_logit_cannot_be_calibrated():
    with pytest.raises(DataError, match="1 logits are not finite"):
        fit_calibration(np.array([0.0, np.inf]), np.array([0, 1]))


def test_a_prior_multiplies_the_odds():
    # Odds of 1:1 at a base rate of a half are odds of 1:99 where one in a hundred is fraud.
    assert HALF.with_prior(0.01).apply(np.zeros(1))[0] == pytest.approx(0.01)
    assert HALF.with_prior(0.01).with_prior(0.5).intercept == pytest.approx(HALF.intercept)


@pytest.mark.parametrize("prior", [0.0, 1.0, -0.1])
def test_a_prior_of_none_or_all_is_refused(prior):
    with pytest.raises(DataError, match="prior"):
        HALF.with_prior(prior)


@given(arrays(np.float64, st.integers(1, 20), elements=finite), st.floats(1e-3, 1e3))
@settings(max_examples=60, deadline=None)
def test_probabilities_are_finite_and_in_the_order_of_the_logits(logits, slope):
    probabilities = Calibration(slope, 0.5, 0.5).apply(np.sort(logits))
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert (np.diff(probabilities) >= 0).all()


def test_logits_of_a_network_keep_their_strict_order():
    probabilities = HALF.apply(np.linspace(-30, 30, 1001).astype(np.float32))
    assert (np.diff(probabilities) > 0).all()
    np.testing.assert_allclose(logit(probabilities[500]), 0, atol=1e-12)


def test_json_gives_the_calibration_back():
    calibration = Calibration(0.3, -1.25, 0.1)
    assert parse_record(Calibration, record_json(calibration), "calibration") == calibration


@pytest.mark.parametrize("json_", [{}, {"method": "isotonic", "slope": 1}, {"method": "platt"}])
def test_another_file_is_not_a_calibration(json_):
    with pytest.raises(SchemaError, match=r"calibration: (slope|intercept)"):
        parse_record(Calibration, json_, "calibration")


def test_weights_of_any_number_type_say_how_much_a_session_counts():
    logits, labels = np.array([-2.0, -1, 0, 1, 0.5, 2]), np.array([0, 0, 0, 1, 1, 1])
    twice = fit_calibration(np.append(logits, logits[3:]), np.append(labels, labels[3:]))
    weighed = fit_calibration(logits, labels, np.array([1, 1, 1, 2, 2, 2], np.float32))
    assert weighed.base_rate == pytest.approx(2 / 3) == twice.base_rate
    assert weighed.slope > 0
    balanced = fit_calibration(np.append(logits, logits[3:]), np.append(labels, labels[3:]),
                               np.array([2, 2, 2, *6 * [1]]))  # fmt: skip
    assert balanced.base_rate == pytest.approx(0.5)
