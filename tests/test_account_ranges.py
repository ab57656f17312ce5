"""Sessions that differ from their account in what is measured, whatever any network says."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from conftest import make_sessions
from hypothesis import given
from hypothesis import strategies as st
from people import hand, people

from pipeline.errors import SchemaError
from pipeline.reasons.account import (
    SUB_SESSION_LENGTHS,
    Constancy,
    account_ranges,
    find_deviations,
    measure_constancy,
    sub_sessions_column,
)
from pipeline.reasons.find import find_reasons, reason_lists
from pipeline.reasons.reference import LENGTHS, QUANTILES, ReferenceRanges, read_reference_ranges
from pipeline.reasons.registry import (
    ACCOUNT_MEASURES,
    DIFFERS,
    MEASURES,
    UNLIKE_PROFILE,
    measure_sessions,
)
from pipeline.schemas import PROFILES, REASONS, SUB_SESSION, Kind
from pipeline.sessions.ragged import Grouping
from pipeline.sessions.resample import throttle_sessions
from pipeline.sessions.sessions import Sessions


def profiles(sessions: Sessions, device: str = "") -> pa.Table:
    """Return `PROFILES` of sessions, with embeddings of nothing."""
    n = len(sessions)
    columns = {
        "account_id": sessions.account_id,
        "device": [device] * n,
        "session_id": sessions.session_id,
        "n_events": sessions.n_events,
        "n_windows": [1] * n,
        "embedding": [[0.0]] * n,
        "stretches": sub_sessions_column(sessions),
    }
    arrays = [pa.array(columns[field.name], field.type) for field in PROFILES]
    return pa.table(arrays, schema=PROFILES)


@pytest.fixture(scope="module")
def constancy() -> Constancy:
    """Return how constant 12 people are."""
    return measure_constancy(people(0, 12))


@pytest.fixture(scope="module")
def known() -> Sessions:
    """Return sessions of people who were not among them."""
    return people(100, 8)


@pytest.fixture(scope="module")
def enrolled(known) -> pa.Table:
    """Return the profiles of two of each one's sessions; the third is left to try."""
    return profiles(known.take(np.arange(len(known)) % 3 > 0))


@pytest.fixture(scope="module")
def tried(known) -> Sessions:
    """Return the session of each person that isn't enrolled."""
    return known.take(np.arange(len(known)) % 3 == 0)


@pytest.fixture(scope="module")
def slow() -> Sessions:
    """Return a session under the name of each of these people by somebody three times as slow."""
    return people(100, 8, 1, slower=3.0)


def deviations(sessions: Sessions, table: pa.Table, constancy: Constancy) -> dict[str, set[str]]:
    """Return by session the measures that are named."""
    measured, interval_ms = measure_sessions(sessions, ACCOUNT_MEASURES)
    found = find_deviations(measured, interval_ms, sessions, account_ranges(table), constancy)
    named: dict[str, set[str]] = {}
    for session, measure in zip(found.session, found.measure, strict=True):
        named.setdefault(sessions.session_id[session], set()).add(list(ACCOUNT_MEASURES)[measure])
    return named


def ranges_with(own: Constancy | None) -> ReferenceRanges:
    """Return reference ranges in which nothing is odd among people."""
    never = np.tile((-np.inf, 0.0, 0.5, 1.0, np.inf), (len(LENGTHS), 1))
    assert never.shape == (len(LENGTHS), len(QUANTILES))
    return ReferenceRanges(dict.fromkeys(MEASURES, never), (8.0, 32.0), own)


def test_people_are_like_themselves(tried, enrolled, constancy):
    assert deviations(tried, enrolled, constancy) == {}


def test_another_pace_differs_and_pace_is_what_is_named(slow, enrolled, constancy):
    found = deviations(slow, enrolled, constancy)

    assert set(found) == set(slow.session_id)
    assert all(measures & {"speed_px_s", "movement_s"} for measures in found.values())
    assert all(len(measures) == 2 for measures in found.values())


def test_another_persons_sessions_differ_from_the_account(tried, enrolled, constancy):
    pace = np.argsort(measure_sessions(tried, ACCOUNT_MEASURES)[0]["movement_s"])
    other = np.empty_like(pace)
    other[pace] = np.roll(pace, len(pace) // 2)  # the slowest claims to be one of the middle
    others = replace(tried, account_id=tried.account_id[other])
    assert len(deviations(others, enrolled, constancy)) > len(tried) / 2


def test_one_measure_is_not_enough(tried, enrolled, constancy):
    held = tried.t_us.copy()
    pressed = np.flatnonzero(tried.kind == Kind.DOWN)
    held[pressed] -= 150_000  # pressed earlier, in the rest before
    measures, _ = measure_sessions(replace(tried, t_us=held), ACCOUNT_MEASURES)
    assert measures["hold_ms"].min() > 200

    assert deviations(replace(tried, t_us=held), enrolled, constancy) == {}


def test_the_reason_shows_what_was_measured_and_the_accounts_own_range(slow, enrolled, constancy):
    ranges = account_ranges(enrolled)
    found = find_reasons(slow, ranges_with(constancy), ranges)
    rows = found.to_pandas()

    assert found.schema.equals(REASONS, check_metadata=True)
    assert set(rows["code"]) == {UNLIKE_PROFILE}
    assert rows.groupby("session_id", sort=False)["strength"].apply(list).map(
        lambda both: both[0] >= both[1] >= 1
    ).all()  # fmt: skip
    speeds = rows[rows["measure"] == "speed_px_s"]
    assert len(speeds) > len(slow) / 2
    assert (speeds["unit"] == "px/s").all()
    assert (speeds["value"] < speeds["usual_low"]).all()
    assert (speeds["usual_low"] < speeds["usual_high"]).all()
    mine = slow.session_id.tolist().index(speeds["session_id"].iloc[0])
    own = measure_sessions(slow, ACCOUNT_MEASURES)[0]["speed_px_s"][mine]
    assert speeds["value"].iloc[0] == pytest.approx(own)
    lists = reason_lists(slow, ranges_with(constancy), ranges).to_pylist()
    assert lists == [[UNLIKE_PROFILE]] * len(slow)


def test_who_is_flagged_differs_most_in_something_from_what_was_enrolled(
    tried, enrolled, constancy
):
    ranges, flagged = account_ranges(enrolled), np.arange(len(tried)) % 2 == 0
    rows = find_reasons(tried, ranges_with(constancy), ranges, flagged).to_pandas()

    assert set(rows["code"]) == {DIFFERS}  # nobody is far from the account
    assert 0 < len(set(rows["session_id"])) <= flagged.sum()  # some are inside in all measures
    assert set(rows["session_id"]) <= set(tried.session_id[flagged])
    assert ((rows["value"] <= rows["usual_low"]) | (rows["value"] >= rows["usual_high"])).all()
    by_session = rows.groupby("session_id", sort=False)["strength"]
    assert by_session.size().between(1, 3).all()
    assert by_session.apply(lambda of: of.is_monotonic_decreasing).all()
    # What else is scored that day is no part of what is usual.
    first = tried.session_id == rows["session_id"][0]
    one = tried.take(np.flatnonzero(first))
    alone = find_reasons(one, ranges_with(constancy), ranges, np.array([True])).to_pandas()
    among_others = rows[rows["session_id"] == one.session_id[0]]
    assert alone.to_dict("records") == among_others.to_dict("records")


def test_who_is_far_from_the_account_is_called_so_flagged_or_not(slow, enrolled, constancy):
    ranges = account_ranges(enrolled)
    lists = reason_lists(slow, ranges_with(constancy), ranges, np.ones(len(slow), bool))
    assert lists.to_pylist() == [[UNLIKE_PROFILE]] * len(slow)


def test_without_a_reference_profiles_or_sub_sessions_there_is_no_such_reason(
    slow, enrolled, constancy
):
    ranges = account_ranges(enrolled)
    column = enrolled.schema.get_field_index("stretches")
    nothing = pa.nulls(enrolled.num_rows, PROFILES.field("stretches").type)
    earlier = enrolled.set_column(column, PROFILES.field("stretches"), nothing)

    assert find_reasons(slow, ranges_with(None), ranges).num_rows == 0
    assert find_reasons(slow, ranges_with(constancy), None).num_rows == 0
    assert find_reasons(slow, ranges_with(constancy), account_ranges(earlier)).num_rows == 0
    assert find_reasons(slow, ranges_with(constancy), account_ranges(enrolled[:0])).num_rows == 0


def test_a_session_without_account_or_profile_differs_from_nobody(slow, enrolled, constancy):
    for name in (None, "nobody"):
        of_nobody = replace(slow, account_id=np.full(len(slow), name, object))
        assert deviations(of_nobody, enrolled, constancy) == {}


def test_from_too_few_sub_sessions_no_range_is_known(slow, constancy):
    short = [hand(i, 0.5, 90, n_movements=6) for i in range(len(slow))]
    few = make_sessions(*short, account_id=slow.account_id)
    assert deviations(slow, profiles(few), constancy) == {}


def test_from_too_few_people_no_limit_is_known():
    few = measure_constancy(people(0, 1, n_sessions=2))
    assert np.isnan(few.limit).all()
    nobody = measure_constancy(make_sessions())
    assert np.isnan(nobody.half_widths).all()


def test_another_recorders_sessions_are_not_compared(slow, enrolled, constancy):
    throttled = throttle_sessions(slow, np.full(len(slow), 100.0))
    assert deviations(throttled, enrolled, constancy) == {}


def test_of_several_devices_the_nearest_counts(tried, slow, enrolled, constancy):
    on_touchpad = people(100, 8, 3, slower=3.0)
    second = profiles(on_touchpad.take(np.arange(len(on_touchpad)) % 3 > 0), "touchpad")
    both = pa.concat_tables([enrolled, second])

    assert deviations(slow, both, constancy) == {}
    assert deviations(tried, both, constancy) == {}
    slower_yet = people(100, 8, 1, slower=6.0)
    assert len(deviations(slower_yet, both, constancy)) > len(tried) / 2


def test_a_session_is_compared_alike_alone_and_among_others(tried, enrolled, constancy):
    mixed = replace(tried, account_id=np.roll(tried.account_id, 3))
    together = deviations(mixed, enrolled, constancy)
    assert together
    alone: dict[str, set[str]] = {}
    for i in range(len(mixed)):
        alone |= deviations(mixed.take(np.array([i])), enrolled, constancy)
    assert together == alone


def test_constancy_survives_the_disk(tmp_path, constancy):
    reference = ranges_with(constancy)
    (tmp_path / "reasons.json").write_text(json.dumps(reference.to_json()))
    again = read_reference_ranges(tmp_path)

    assert again is not None
    assert again.own is not None
    np.testing.assert_array_equal(again.own.limit, constancy.limit)
    np.testing.assert_array_equal(again.own.half_widths, constancy.half_widths)


@pytest.mark.parametrize(
    "change", [{"lengths": [1]}, {"limit": [1.0]}, {"half_width": {"speed_px_s": [1.0]}}]
)
def test_a_reference_of_another_version_is_refused(tmp_path, constancy, change):
    kept = ranges_with(constancy).to_json()
    kept["own"] |= change
    (tmp_path / "reasons.json").write_text(json.dumps(kept))
    with pytest.raises(SchemaError, match=r"reasons\.json.*train the model again"):
        read_reference_ranges(tmp_path)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(-1e6, 1e6)), max_size=40),
    st.floats(0, 1),
)
def test_quantiles_of_groups_are_numpys(rows, share):
    rows = sorted(rows, key=lambda row: row[0])
    of, values = np.array(rows, np.float64).reshape(-1, 2).T
    found = Grouping(of.astype(np.int64), 4).quantile(values, share)
    for group in range(4):
        own = values[of == group]
        expected = np.quantile(own, share) if len(own) else 0
        assert found[group] == pytest.approx(expected, abs=1e-6)


def test_profiles_keep_the_measures_by_name_and_no_path():
    assert [field.name for field in SUB_SESSION] == ["n_events", "interval_ms", *ACCOUNT_MEASURES]
    assert {measure.words for measure in ACCOUNT_MEASURES.values()} >= {"speed while moving"}
    column = sub_sessions_column(people(0, 1, 1))
    stretches = column.to_pylist()[0]
    assert {stretch["n_events"] for stretch in stretches} == set(SUB_SESSION_LENGTHS)
    assert stretches[-1]["speed_px_s"] > 0
    assert stretches[0]["hold_ms"] is None  # of too few presses


def test_a_run_without_a_measure_of_accounts_compares_the_others(
    tmp_path, slow, enrolled, constancy
):
    kept = ranges_with(constancy).to_json()
    del kept["own"]["half_width"]["speed_px_s"]
    (tmp_path / "reasons.json").write_text(json.dumps(kept))
    older = read_reference_ranges(tmp_path)

    assert older is not None
    found = find_reasons(slow, older, account_ranges(enrolled))["measure"].to_pylist()
    assert "speed_px_s" not in found
    assert "movement_s" in found
