"""Where the people among unlabelled sessions lie: found, whatever the frauds, few or none."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from model.calibrate import RecorderLevel, apply_levels
from model.level import (
    MOST_FRAUDS,
    LevelEstimate,
    distance_to_people,
    estimate_level,
    fit_level_reference,
    level_at,
)
from pipeline.errors import SchemaError
from pipeline.storage.records import parse_record, record_json

UNIT = norm.ppf(0.95)  # a normal's spread: from its median to its 95th percentile
THRESHOLD, TARGET = 1.5, 0.01
N_PEOPLE = 1000.0


def calibrated(n: int = 2000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return adjusted logits of three recorders' people and of frauds, labels and recorders."""
    rng = np.random.default_rng(0)
    people = [rng.normal(middle, 1 / UNIT, n) for middle in (-0.2, 0.0, 0.2)]
    frauds = rng.normal(3, 1.5, n)
    recorder = np.repeat(np.array(["a", "b", "c", "a"], object), n)
    return np.concatenate([*people, frauds]), np.repeat([0, 0, 0, 1], n), recorder


REFERENCE = fit_level_reference(*calibrated())


def site(n: int, middle: float, spread: float, fraud_share: float, seed: int = 0) -> np.ndarray:
    """Return adjusted logits of a site's sessions, frauds last."""
    rng = np.random.default_rng(seed)
    n_fraud = round(n * fraud_share)
    people = rng.normal(middle, spread / UNIT, n - n_fraud)
    return np.append(people, rng.normal(middle + 3, 1.5, n_fraud))


def test_the_reference_is_of_people_within_a_recorder():
    assert REFERENCE.middle == pytest.approx(0, abs=0.03)
    assert REFERENCE.spread == pytest.approx(1, abs=0.05)
    assert REFERENCE.quantile(0.5) == pytest.approx(0, abs=0.03)
    assert REFERENCE.quantile(0.95) == pytest.approx(1, abs=0.05)
    assert REFERENCE.quantile(0.99) == pytest.approx(norm.ppf(0.99) / UNIT, abs=0.1)
    assert np.median(REFERENCE.frauds) == pytest.approx(3, abs=0.2)
    content = record_json(REFERENCE)
    assert record_json(parse_record(type(REFERENCE), content, "reference")) == content
    del content["frauds"]
    with pytest.raises(SchemaError, match="frauds: Field required"):
        parse_record(type(REFERENCE), content, "reference")


def test_a_recorder_of_few_sessions_is_no_reference_unless_there_is_no_other():
    values, label, recorder = calibrated(60)
    few = np.append(values, [9.0, 9.5]), np.append(label, [0, 0]), np.append(recorder, ["d", "d"])
    found, alone = fit_level_reference(*few), fit_level_reference(values, label, recorder)
    np.testing.assert_array_equal(found.people, alone.people)
    only = np.array([0.0, 1.0, 3.0]), np.array([0, 0, 1]), np.array(["d"] * 3, object)
    assert np.isfinite(fit_level_reference(*only).people).all()


@pytest.mark.parametrize("fraud_share", [0.0, 0.05, 0.2])
@pytest.mark.parametrize(("middle", "spread"), [(0.0, 1.0), (1.5, 1.0), (-0.3, 0.5), (0.4, 1.6)])
def test_middle_spread_and_share_of_frauds_are_found(middle, spread, fraud_share):
    found = estimate_level(site(400, middle, spread, fraud_share), REFERENCE)
    assert found.middle == pytest.approx(middle, abs=0.12 * max(spread, 1))
    assert found.spread == pytest.approx(spread, rel=0.2)
    assert found.fraud_share == pytest.approx(fraud_share, abs=0.04)
    assert found.n_sessions == 400


def test_few_sessions_leave_the_level_nearer_to_where_it_was():
    few, many = (estimate_level(site(n, 1.5, 1.0, 0.0), REFERENCE) for n in (5, 500))
    assert few.middle < many.middle
    assert few.spread < 1.3


def test_people_are_the_most_of_the_sessions_however_far_up_they_lie():
    found = estimate_level(site(300, 3.0, 1.0, 0.0), REFERENCE)
    assert found.middle == pytest.approx(3, abs=0.2)
    assert found.fraud_share < 0.1 < MOST_FRAUDS


def test_sessions_that_are_all_alike_have_a_level():
    found = estimate_level(np.full(80, 0.5), REFERENCE)
    assert found.middle == pytest.approx(0.5, abs=0.1)
    assert 0 < found.spread < 0.3


@pytest.mark.parametrize("fraud_share", [0.0, 0.05, 0.2])
@pytest.mark.parametrize(("middle", "spread"), [(1.5, 1.0), (-0.3, 0.5)])
def test_after_adapting_people_reach_the_threshold_as_often_as_the_target(
    middle, spread, fraud_share
):
    rates, recall = [], []
    for seed in range(8):
        estimate = estimate_level(site(200, middle, spread, fraud_share, seed), REFERENCE)
        level = level_at(estimate, REFERENCE, THRESHOLD, TARGET, N_PEOPLE)
        unseen = np.split(site(20_000, middle, spread, 0.5, seed + 100), 2)
        people, frauds = (apply_levels(v, {"r": level}, np.full(10_000, "r")) for v in unseen)
        rates.append((people >= THRESHOLD).mean())
        recall.append((frauds >= THRESHOLD).mean())
    assert 0.003 < np.mean(rates) < 0.03
    assert np.mean(recall) > 0.75  # of frauds 3 above people's middle with a width of 1.5


def test_a_lower_threshold_needs_people_and_a_higher_one_does_not():
    low = LevelEstimate(-0.2, 0.5, 0.0, 200)
    high = LevelEstimate(1.5, 1.0, 0.0, 200)

    def threshold(estimate: LevelEstimate, n_people: float) -> float:
        level = level_at(estimate, REFERENCE, THRESHOLD, TARGET, float(n_people))
        return level.shift + level.scale * THRESHOLD

    own = -0.2 + 0.5 * REFERENCE.quantile(0.99)
    assert own < threshold(low, 1000) < threshold(low, 5) < threshold(low, 1) < THRESHOLD
    assert threshold(low, 1e9) == pytest.approx(THRESHOLD + 200 / 225 * (own - THRESHOLD))
    assert (
        threshold(high, 1) == threshold(high, 1000) == pytest.approx(1.5 + REFERENCE.quantile(0.99))
    )
    for estimate in (low, high):  # the median of people comes where it was calibrated
        level = level_at(estimate, REFERENCE, THRESHOLD, TARGET, 3.0)
        assert (estimate.middle - level.shift) / level.scale == pytest.approx(REFERENCE.middle)


def test_levels_are_of_their_recorders_and_keep_the_order():
    adjusted = np.array([1.0, 3.0, 1.0, np.nan])
    recorder = np.array(["r", "r", "other", None], object)
    found = apply_levels(adjusted, {"r": RecorderLevel(1.0, 2.0, 9)}, recorder)
    np.testing.assert_array_equal(found, [0.0, 1.0, 1.0, np.nan])
    np.testing.assert_array_equal(adjusted, [1.0, 3.0, 1.0, np.nan])


def test_the_distance_is_that_of_the_lower_part():
    room = THRESHOLD / REFERENCE.quantile(1 - TARGET)
    there = room * np.random.default_rng(0).choice(REFERENCE.people, 4000)

    def distance(values: np.ndarray, share: float = 0.0) -> float:
        return distance_to_people(values, REFERENCE, share, THRESHOLD, TARGET)

    assert distance(there) < 0.05
    assert distance(there + 0.7) == pytest.approx(0.7, abs=0.05)
    frauds = np.full(1000, 50.0)
    assert distance(np.append(there, frauds), 0.2) == pytest.approx(distance(there), abs=0.01)
    assert distance(there, 0.2) > 0.1


def test_a_changed_reference_changes_the_estimate_and_none_decides_a_score():
    values = site(100, 0.0, 1.0, 0.1)
    wider = replace(REFERENCE, people=2 * REFERENCE.people)
    assert estimate_level(values, wider).spread < estimate_level(values, REFERENCE).spread
