"""Clocks that were set back, and batches that came late, in forty recordings of a hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.clocks import (
    DATE_US,
    DATELESS,
    FAULTS,
    SPARSE,
    as_events,
    count,
    recordings_of_people,
    recordings_of_sample,
    set_back,
)
from pipeline.ingest.clean import clean_events
from pipeline.ingest.clock import UNORDERED_SHARE

FEWEST = {"set back by 0.5 s": 38}
"""Right of forty; else 39. Half a second is no longer than a rest."""


@pytest.fixture(scope="module")
def hands():
    return recordings_of_sample()


@pytest.mark.parametrize(
    ("fault", "has_dates"),
    [(fault, has_dates) for fault in FAULTS for has_dates in {fault not in DATELESS, False}],
)
def test_recordings_are_put_right(fault, has_dates, hands):
    n_right, n = count(hands, fault, has_dates)
    assert n >= 20
    assert n_right >= n - (40 - FEWEST.get(fault, 39))


@pytest.mark.parametrize("fault", FAULTS)
def test_most_sparse_recordings_are_put_right(fault, hands):
    n_right, n = count(hands, fault, has_dates=False, keep=SPARSE)
    assert n_right >= 0.85 * n


@pytest.mark.slow
@pytest.mark.parametrize("keep", [1, SPARSE], ids=["all", "sparse"])
def test_sessions_of_many_recorders_are_put_right(keep, data_dir):
    people = recordings_of_people()
    for fault in FAULTS:
        n_right, n = count(people, fault, fault not in DATELESS, keep, repeats=2)
        print(f"{fault}: {n_right} of {n}")
        assert n_right >= (0.95 if keep == 1 else 0.88) * n, fault


@settings(max_examples=40)
@given(data=st.data())
def test_no_event_is_lost_or_moved_whatever_the_clock_did(data, hands):
    t_us, x_px, y_px = data.draw(st.sampled_from(hands))
    seconds = data.draw(st.lists(st.floats(0.1, 86_400), min_size=1, max_size=3))
    log = set_back(t_us, np.random.default_rng(data.draw(st.integers(0, 99))), *seconds)
    order = np.array(data.draw(st.permutations(range(4))))
    parts = np.array_split(np.arange(len(t_us)), 4)
    order = np.concatenate([parts[i] for i in order])

    cleaned = clean_events(as_events(log.t_us[order] + DATE_US, x_px[order], y_px[order]))

    n_double = cleaned.ignored.get("duplicate_event", 0)
    assert cleaned.events.num_rows + n_double == len(t_us)
    assert np.all(np.diff(cleaned.events["t_us"].to_numpy()) >= 0)
    places = set(zip(x_px.tolist(), y_px.tolist(), strict=True))
    columns = (cleaned.events[name].to_pylist() for name in ("x_px", "y_px"))
    assert set(zip(*columns, strict=True)) == places


def test_a_first_batch_that_comes_late_is_no_clock_that_was_set():
    """The batch ends where the next begins, in time and in place."""
    t_us = np.arange(60) * 16_000
    x_px = np.arange(60, dtype=np.float32) * 5
    order = np.r_[20:40, 0:20, 40:60]
    for date in (0, DATE_US):
        cleaned = clean_events(as_events(t_us[order] + date, x_px[order], np.zeros(60, np.float32)))
        assert cleaned.events["x_px"].to_pylist() == x_px.tolist()
        assert cleaned.notes == {"backward_time": 1}


def test_rows_alike_by_chance_are_no_batch_that_came_twice():
    """A resting hand is at one place, and a clock set back gives the same times again."""
    t_us = np.arange(200) * 10_000
    x_px = np.where(np.arange(200) < 100, 0, np.arange(200) - 100).astype(np.float32)
    t_us[100:] += 3_000
    t_us[90:] -= 500_000
    cleaned = clean_events(as_events(t_us + DATE_US, x_px, np.zeros(200, np.float32)))
    assert cleaned.ignored == {}
    assert cleaned.events["x_px"].to_pylist() == x_px.tolist()


def test_a_long_log_whose_clock_is_set_all_the_time_is_read_whole():
    rng = np.random.default_rng(0)
    n = 300_000
    t_us = np.arange(n) * 10_000
    back = rng.random(n) < 0.3 * UNORDERED_SHARE
    t_us -= np.cumsum(back * 80_000)
    path = np.cumsum(rng.normal(0, 2, (2, n)), axis=1).astype(np.float32)
    cleaned = clean_events(as_events(t_us + DATE_US, *path))
    assert cleaned.events.num_rows == n
