"""A probe finds the recorder where it is, and takes no person for a recorder."""

import numpy as np
import pytest

from model.probe import ProbeConfig, compare_probes, probe_recorders
from pipeline.errors import DataError

N_PEOPLE, PER_PERSON = 12, 10
PERSON = np.repeat([f"p{i}" for i in range(N_PEOPLE)], PER_PERSON).astype(object)
RECORDER = np.where(np.arange(len(PERSON)) // PER_PERSON % 2, "web", "desktop").astype(object)


def noise(seed: int, n: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(len(PERSON), n))


def highest(numbers: np.ndarray) -> float:
    return probe_recorders(numbers, RECORDER, PERSON, n_resamples=2).rows[0].auc.value


def test_a_direction_that_is_the_recorder_is_found():
    leak = np.outer(RECORDER == "web", np.ones(6)) * 2
    assert highest(noise(0) + leak) > 0.98


def test_noise_says_nothing():
    assert np.mean([highest(noise(seed)) for seed in range(5)]) == pytest.approx(0.5, abs=0.08)


def test_a_person_is_not_taken_for_a_recorder():
    # Each person has a place of their own: on rows of the same people it would be perfect.
    means = []
    for seed in range(20):
        of_person = np.random.default_rng(seed).normal(size=(N_PEOPLE, 6)) * 10
        means.append(highest(noise(seed) + np.repeat(of_person, PER_PERSON, axis=0)))
    assert np.mean(means) == pytest.approx(0.5, abs=0.12)


def test_units_and_numbers_that_never_change_do_not_count():
    leak = noise(0) + np.outer(RECORDER == "web", np.ones(6))
    scaled = np.hstack([leak * 1e6 + 1e3, np.full((len(leak), 1), 7.0)])
    assert highest(scaled) == pytest.approx(highest(leak), abs=1e-9)


def test_each_recorder_is_against_all_others_and_one_of_one_person_is_left_out():
    recorder = RECORDER.copy()
    recorder[PERSON == "p0"] = "tablet"
    recorder[PERSON == "p2"] = recorder[PERSON == "p4"] = "phone"
    is_phone = np.outer(recorder == "phone", [9, 0, 0, 0, 0, 0])

    probe = probe_recorders(noise(0) + is_phone, recorder, PERSON, n_resamples=20)

    best = probe.rows[0]
    assert (best.recorder, best.n_rows, best.n_people) == ("phone", 20, 2)
    assert best.auc.value > 0.98
    assert sorted(row.recorder for row in probe.rows) == ["desktop", "phone", "web"]
    assert probe.left_out == {"tablet": 10}
    assert best.auc.low <= best.auc.value <= best.auc.high
    assert "fraud" in best.auc.note  # 2 people are few
    assert probe.to_json()["rows"][0]["auc"]["n_groups"] == N_PEOPLE


def test_embedding_and_clock_are_probed_on_the_same_people():
    leak = np.outer(RECORDER == "web", np.ones(2)) * 3
    both = compare_probes(
        {"embedding": noise(0), "clock": noise(1, 2) + leak},
        RECORDER,
        PERSON,
        ProbeConfig(folds=4),
        n_resamples=2,
    )
    assert both["clock"].rows[0].auc.value > 0.98 > both["embedding"].rows[0].auc.value


@pytest.mark.parametrize(
    ("numbers", "recorder", "message"),
    [
        (noise(0), np.full(len(PERSON), "web", object), "1 recorders"),
        (noise(0), np.where(PERSON == "p0", None, RECORDER), "no recorder"),
        (noise(0) * np.nan, RECORDER, "not finite"),
    ],
)
def test_what_cannot_be_probed_is_refused(numbers, recorder, message):
    with pytest.raises(DataError, match=message):
        probe_recorders(numbers, recorder, PERSON)
