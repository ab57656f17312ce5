"""Length calibration: the same FPR at every length, and the order within one length kept."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_sessions
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from model.calibrate import (
    Calibration,
    LengthCalibration,
    fit_length_calibration,
    weighted_quantiles,
)
from model.config import AugmentConfig
from model.policy import PolicyConfig, fit_policy
from model.training_data import draw_sub_sessions
from pipeline.errors import DataError, SchemaError
from pipeline.storage.records import parse_record, record_json

MADE = LengthCalibration((8.0, 256.0), (-1.0, -4.0), (2.0, 1.0))
AS_RECORDED = AugmentConfig(same_recorder_share=1.0)


def draw_people(n_people: int, n_each: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return logits of people as `MADE` has them, their lengths, and whose they are."""
    rng = np.random.default_rng(seed)
    n_events = np.rint(8 * 32 ** rng.random(n_people * n_each)).astype(int)
    share = np.log(n_events / 8) / np.log(32)
    logits = rng.normal(-1 - 3 * share, 2 - share)
    return logits, n_events, np.repeat(np.arange(n_people), n_each).astype(str)


def test_the_median_and_the_spread_that_people_were_drawn_with_are_found():
    logits, n_events, _ = draw_people(20, 500, 0)
    found = fit_length_calibration(logits, n_events, 8, 256)
    share = np.log(np.array(found.n_events) / 8) / np.log(32)
    # At the ends a kernel sees one side alone: people there are a little like those next to them.
    np.testing.assert_allclose(found.middle, -1 - 3 * share, atol=0.35)
    np.testing.assert_allclose(found.spread, norm.ppf(0.95) * (2 - share), atol=0.35)


def test_long_sessions_are_held_against_people_in_one_full_window():
    rng = np.random.default_rng(0)
    n_events = np.repeat([256, 5000], 500)
    logits = rng.normal(-3, np.where(n_events == 256, 1.0, 0.1))  # means of many windows
    found = fit_length_calibration(logits, n_events, 8, 256)
    assert found.spread[-1] == pytest.approx(norm.ppf(0.95), rel=0.15)
    at_most, beyond = found.adjust(np.array([-1.0, -1.0]), np.array([256, 5000]))
    assert at_most == pytest.approx(beyond)


def test_weights_count_as_often_as_a_value_stands_there():
    values, often = np.array([3.0, 1.0, 2.0]), np.array([1, 4, 2])
    by_weight = weighted_quantiles(values, often.astype(float), (0.25, 0.5))
    in_full = weighted_quantiles(np.repeat(values, often), np.ones(7), (0.25, 0.5))
    assert by_weight == pytest.approx(in_full, abs=0.6)
    assert weighted_quantiles(np.arange(101.0), np.ones(101), (0.5,)) == [50.0]


def test_adjusted_logits_are_counted_by_hand():
    # At 256 events 4 above the median, in spreads of 1; at 8 one above, in spreads of 2; halfway by
    # the logarithm 2.5 above, in spreads of 1.5.
    adjusted = MADE.adjust(np.array([0.0, 0.0, 0.0, 0.0, np.nan]), np.array([256, 8, 4, 45, 20]))
    np.testing.assert_allclose(adjusted, [4.0, 0.5, 0.5, 2.5 / 1.5, np.nan], rtol=0.01)


def test_one_threshold_flags_short_and_long_more_alike():
    def rates(scores: np.ndarray) -> tuple[float, float]:
        """Return the rates of false alarms of the shorter half and of the longer."""
        policy = fit_policy(scores, people, PolicyConfig((0.05,), 0.05, n_resamples=100))
        flagged, is_short = scores >= policy.threshold, n_events < np.median(n_events)
        return float(flagged[is_short].mean()), float(flagged[~is_short].mean())

    logits, n_events, people = draw_people(50, 200, 2)
    plain = Calibration(0.5, 0.0, 0.5)
    found = fit_length_calibration(logits, n_events, 8, 256)
    short, long = rates(plain.apply(logits))
    short_now, long_now = rates(replace(plain, length=found).apply(logits, n_events))
    assert long < 0.005
    assert long_now > 3 * long
    assert short_now < 0.9 * short


@given(st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=9), st.integers(1, 5000))
@settings(max_examples=50, deadline=None)
def test_sessions_of_one_length_keep_their_order(logits, n_events):
    found = MADE.adjust(np.sort(np.array(logits)), np.full(len(logits), n_events))
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("n_events", [np.full(9, 40), np.full(9, 1000)])
def test_people_of_one_length_stand_for_all_lengths(n_events):
    found = fit_length_calibration(np.linspace(-5, -3, 9), n_events, 8, 256)
    assert found.middle == pytest.approx([-4.0] * len(found.middle))
    assert np.ptp(found.spread) == pytest.approx(0)


def test_logits_that_are_all_alike_can_be_adjusted():
    found = fit_length_calibration(np.full(4, -3.0), np.array([8, 20, 90, 256]), 8, 8)
    at_median, above = found.adjust(np.array([-3.0, -2.0]), np.array([8, 8]))
    assert at_median == pytest.approx(0)
    assert 0 < above < 10


def test_a_calibration_by_length_needs_lengths_and_comes_back_from_json():
    calibration = Calibration(0.5, -1.0, 0.5, MADE)
    content = record_json(calibration)
    assert parse_record(Calibration, content, "calibration") == calibration
    with pytest.raises(DataError, match="no numbers of events"):
        calibration.apply(np.zeros(2))
    del content["length"]["middle"]
    with pytest.raises(SchemaError, match=r"length.middle: Field required"):
        parse_record(Calibration, content, "calibration")


def line(n: int, speed: float = 1.0) -> list[tuple[float, float, float]]:
    return [(10 * i, speed * 10 * i, 0) for i in range(n)]


def test_stretches_lie_in_their_session_and_have_any_length():
    sessions = make_sessions(line(400), line(5), line(50))
    weights = np.array([1.0, 1.0, 0.0])
    drawn, parent = draw_sub_sessions(
        sessions, weights, 600, 8, AS_RECORDED, np.random.default_rng(0)
    )
    assert set(parent) == {0, 1}
    assert drawn.session_id.tolist() == sessions.session_id[parent].tolist()
    long = drawn.n_events[parent == 0]
    assert (drawn.n_events[parent == 1] == 5).all()  # all there is
    assert long.min() >= 8
    assert long.max() > 300
    assert np.median(long) == pytest.approx(np.sqrt(8 * 400), rel=0.2)  # even on a log scale
    for i in np.flatnonzero(parent == 0)[:20]:
        stretch = slice(*drawn.offsets[i : i + 2])
        assert (np.diff(drawn.t_us[stretch]) == 10_000).all()
        np.testing.assert_array_equal(drawn.x_px[stretch], drawn.t_us[stretch] / 1000)


def test_stretches_by_other_recorders_are_quicker_slower_and_throttled():
    other = AugmentConfig(same_recorder_share=0.0, speed=2.0, throttled_share=0.5)
    drawn, _ = draw_sub_sessions(
        make_sessions(line(400)), np.ones(1), 400, 400, other, np.random.default_rng(0)
    )
    period_ms = np.array(
        [
            np.median(np.diff(drawn.t_us[slice(*drawn.offsets[i : i + 2])])) / 1000
            for i in range(len(drawn))
        ]
    )
    is_whole = drawn.n_events == 400
    assert 0.35 < is_whole.mean() < 0.75  # a throttle quicker than the log takes nothing away
    assert period_ms[is_whole].min() == pytest.approx(5, abs=0.5)
    assert period_ms[is_whole].max() == pytest.approx(20, abs=2)
    assert period_ms[~is_whole].max() > 60
    assert (drawn.n_events[~is_whole] > 15).all()
