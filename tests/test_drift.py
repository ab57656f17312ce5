"""What has changed is found, chance raises no alarm, and neither do few sessions."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from conftest import make_sessions

from pipeline.config import DriftConfig
from pipeline.errors import ConfigError, NotFoundError, SchemaError
from pipeline.monitoring.drift import find_drift, holm, psi, strongest
from pipeline.monitoring.reference import (
    UNITS,
    effective_size,
    read_reference,
    session_measures,
    summarise,
    write_reference,
)
from pipeline.schemas import DRIFT

NOW = datetime(2026, 11, 1, tzinfo=UTC)
CONFIG = DriftConfig()


def sample(rng, n: int, shift: float = 0.0, screen: str = "800x600") -> dict[str, np.ndarray]:
    """Return made-up measures of `n` sessions."""
    screens = np.where(rng.random(n) < 0.7, screen, "1920x1080").astype(object)
    return {
        "fraud_score": rng.beta(2, 8, n),
        "duration_s": rng.lognormal(3 + shift, 1, n),
        "screen": screens,
        "source": np.full(n, "rrweb", object),
    }


def summary(measures: dict, accounts=None):
    n = len(next(iter(measures.values())))
    return summarise(measures, np.full(n, None, object) if accounts is None else accounts)


def drift(reference, day, config: DriftConfig = CONFIG) -> pa.Table:
    return find_drift(reference, day, config, "model", NOW)


def row(table: pa.Table, measure: str, test: str) -> dict:
    found = [r for r in table.to_pylist() if (r["measure"], r["test"]) == (measure, test)]
    assert len(found) == 1
    return found[0]


def test_the_distance_of_two_histograms_is_what_one_computes_by_hand():
    half, many = np.array([50.0, 50.0]), 1e9
    value, by_chance, p_value = psi(half, np.array([20.0, 80.0]), many, many)

    assert value == pytest.approx((0.2 - 0.5) * np.log(0.4) + (0.8 - 0.5) * np.log(1.6))
    assert by_chance == pytest.approx(2e-9)
    assert p_value == 0
    assert psi(half, half, 100.0, 100.0)[0] == 0
    assert psi(half, half, 100.0, 100.0)[2] == 1


def test_the_median_gap_is_found_by_ks_at_its_size():
    reference = summary({"duration_s": np.arange(1000.0)})
    day = summary({"duration_s": np.arange(500.0, 1500.0)})
    found = row(drift(reference, day), "duration_s", "ks")

    assert found["value"] == pytest.approx(0.5, abs=0.002)
    assert (found["day_value"], found["reference_value"]) == (999.5, 499.5)
    assert found["level"] == "strong"


@pytest.mark.parametrize("n", [10, 40, 300, 3000])
def test_a_day_like_the_reference_seldom_raises_an_alarm(n):
    rng = np.random.default_rng(n)
    reference = summary(sample(rng, 2000))
    levels = [strongest(drift(reference, summary(sample(rng, n)))) for _ in range(60)]

    # At `chance` 1 % less than one of 60 days; five or more are less likely than 1 in 2,000.
    assert sum(level in ("some", "strong") for level in levels) < 5
    assert levels.count("strong") < 3


def test_with_chance_alone_it_would_be_as_often_as_was_allowed():
    config = DriftConfig(some_psi=1e-9, strong_psi=1e-9, some_ks=1e-9, strong_ks=1e-9, chance=0.2)
    rng = np.random.default_rng(0)
    reference = summary(sample(rng, 2000))
    days = [drift(reference, summary(sample(rng, 300)), config) for _ in range(60)]
    alarms = sum(strongest(day) == "strong" for day in days)

    assert 1 <= alarms <= 22  # 12 of 60 on average at most


@pytest.mark.parametrize("n", [60, 1000])
def test_a_strong_change_is_found_in_what_changed_and_nowhere_else(n):
    rng = np.random.default_rng(1)
    reference = summary(sample(rng, 2000))
    table = drift(reference, summary(sample(rng, n, shift=1.5, screen="390x844")))

    assert strongest(table) == "strong"
    assert row(table, "duration_s", "ks")["level"] == "strong"
    screen = row(table, "screen", "psi")
    assert (screen["level"], screen["word"]) == ("strong", "390x844")
    assert screen["day_value"] == pytest.approx(0.7, abs=0.15)
    assert row(table, "fraud_score", "psi")["level"] == "ok"
    assert row(table, "source", "psi")["level"] == "ok"


def test_a_small_change_of_very_many_is_sure_and_of_no_matter():
    rng = np.random.default_rng(2)
    table = drift(summary(sample(rng, 100_000)), summary(sample(rng, 100_000, shift=0.05)))
    found = row(table, "duration_s", "psi")

    assert found["p_value"] < 1e-6
    assert found["level"] == "ok"


def test_few_sessions_are_not_tested_and_none_are_an_alarm():
    rng = np.random.default_rng(3)
    reference = summary(sample(rng, 2000))
    few = drift(reference, summary(sample(rng, 20, shift=9)))

    assert row(few, "duration_s", "ks")["p_value"] is None
    assert strongest(few) == "too_few" or "ok" in few["level"].to_pylist()
    assert "strong" not in few["level"].to_pylist()
    none = drift(reference, summary(sample(rng, 0)))
    assert strongest(none) == "strong"
    assert none["measure"].to_pylist() == ["sessions"]
    assert strongest(drift(reference, {}, DriftConfig(alarm_when_empty=False))) == "too_few"


def test_many_sessions_of_one_account_are_worth_few():
    one_each = np.array([f"u{i}" for i in range(50)], object)
    assert effective_size(one_each) == 50
    assert effective_size(np.repeat(one_each, 20)) == pytest.approx(50)
    assert effective_size(np.array(["a"] * 900 + ["b"] * 100, object)) == pytest.approx(
        1000**2 / (900**2 + 100**2)
    )
    assert effective_size(np.full(7, None, object)) == 7
    rng = np.random.default_rng(4)
    busy = summary(sample(rng, 1000, shift=1.5), np.full(1000, "one", object))
    assert "strong" not in drift(summary(sample(rng, 2000)), busy)["level"].to_pylist()


def test_p_values_are_corrected_for_all_tests_together():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_a_reference_is_written_and_read_back(tmp_path):
    rng = np.random.default_rng(5)
    reference = summary(sample(rng, 5000))
    write_reference(reference, tmp_path)
    back = read_reference(tmp_path)

    assert back["screen"] == reference["screen"]
    np.testing.assert_array_equal(back["duration_s"].values, reference["duration_s"].values)
    assert (len(back["duration_s"].values), back["duration_s"].n) == (1001, 5000)
    (tmp_path / "reference.json").write_text("{}")
    with pytest.raises(SchemaError, match=r"reference\.json.*train the model again"):
        read_reference(tmp_path)
    with pytest.raises(NotFoundError, match="the model has no reference"):
        read_reference(tmp_path / "other")


def test_the_measures_of_a_session_are_what_one_reads_off_it():
    sessions = make_sessions(
        [(0, 0, 0), (100, 1, 1), (300, 2, 2)],
        [(0, 0, 0)],
        viewport_width=np.array([800, 0], np.int32),
        viewport_height=np.array([600, 0], np.int32),
    )
    found = session_measures(sessions)

    assert found["n_events"].tolist() == [3, 1]
    assert found["duration_s"].tolist() == [0.3, 0]
    assert found["events_per_s"][0] == pytest.approx(2 / 0.3)
    assert found["interval_median_ms"][0] == 150
    assert np.isnan([found["events_per_s"][1], found["interval_median_ms"][1]]).all()
    assert found["screen"].tolist() == ["800x600", "unknown"]
    assert set(found) < set(UNITS)


def test_the_table_has_its_schema():
    rng = np.random.default_rng(6)
    reference = summary(sample(rng, 100))
    assert drift(reference, reference).schema.equals(DRIFT, check_metadata=True)


def test_thresholds_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match=r"chance 2\.0"):
        DriftConfig(chance=2.0)
