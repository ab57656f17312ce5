"""One test for each rule of the table in `pipeline.ingest.clean`, then what holds for any log."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.ingest.clean import Cleaned, clean_events
from pipeline.schemas import EVENTS, Kind
from pipeline.sessions.tables import to_sessions

DAY_MS = 86_400_000
EPOCH_MS = 1_767_225_600_000  # 2026-01-01


def events(rows: list[tuple], viewport: tuple[int, int] | None = None) -> pa.Table:
    """Return events from (session, t_ms, x, y[, kind]); lines count from 2."""
    full = [row if len(row) == 5 else (*row, Kind.MOVE) for row in rows]
    session, t_ms, x, y, kind = zip(*full, strict=True) if full else ([],) * 5
    n = len(full)
    width, height = viewport or (None, None)
    columns = {
        "session_id": pa.array(session, pa.string()).dictionary_encode(),
        "account_id": pa.nulls(n, pa.string()).dictionary_encode(),
        "source": pa.array(["csv"] * n, pa.string()).dictionary_encode(),
        "t_us": pa.array([None if t is None else t * 1000 for t in t_ms], pa.int64()),
        "x_px": pa.array(x, pa.float32()),
        "y_px": pa.array(y, pa.float32()),
        "kind": pa.array([int(k) for k in kind], pa.int8()),
        "button": pa.array([0] * n, pa.int8()),
        "label": pa.nulls(n, pa.int8()),
        "viewport_width": pa.array([width] * n, pa.int32()),
        "viewport_height": pa.array([height] * n, pa.int32()),
        "line": pa.array(range(2, n + 2), pa.int64()),
        "written_us": pa.nulls(n, pa.int64()),
    }
    return pa.table([columns[name] for name in EVENTS.names], schema=EVENTS)


def path(*t_ms: int) -> pa.Table:
    """Return one session whose x is the row's number, at these times."""
    return events([("a", t, i, 0) for i, t in enumerate(t_ms)])


def straight(*t_ms: int) -> pa.Table:
    """Return one session in which a pointer goes a pixel a millisecond, whenever it is written."""
    return events([("a", t, t - min(t_ms), 0) for t in t_ms])


def times_ms(cleaned: Cleaned) -> list[int]:
    return [t // 1000 for t in cleaned.events["t_us"].to_pylist()]


def x_px(cleaned: Cleaned) -> list[float]:
    return cleaned.events["x_px"].to_pylist()


def rejected(cleaned: Cleaned) -> list[tuple]:
    return [(row["line"], row["reason"]) for row in cleaned.rejected.to_pylist()]


def test_a_clean_log_stays_as_it_is():
    log = events([("b", 0, 1, 2), ("b", 16, 3, 4), ("a", 0, 5, 6)])
    cleaned = clean_events(log)
    assert cleaned.events.equals(log)
    assert cleaned.rejected.num_rows == 0
    assert cleaned.notes == {}


def test_rows_without_a_session_a_number_or_a_place_are_quarantined():
    nan, inf = float("nan"), float("inf")
    cleaned = clean_events(
        events(
            [
                ("a", 0, 1, 1), (None, 1, 1, 1), ("", 2, 1, 1), (" ", 3, 1, 1), ("a", None, 1, 1),
                ("a", 5, None, 1), ("a", 6, nan, 1), ("a", 7, 1, -inf), ("a", 8, 65535, 65535),
                ("a", 9, 65535, 1), ("a", 10, 1, -32768), ("a", 11, -32767, 32767),
            ]
        )
    )  # fmt: skip
    assert rejected(cleaned) == [
        (3, "no_session_id"), (4, "no_session_id"), (5, "no_session_id"), (6, "not_a_number"),
        (7, "not_a_number"), (8, "not_a_number"), (9, "not_a_number"), (10, "no_position"),
        (11, "absurd_position"), (12, "absurd_position"),
    ]  # fmt: skip
    assert times_ms(cleaned) == [0, 11]


def test_a_scroll_without_position_happens_where_the_pointer_was():
    scroll = Kind.SCROLL
    cleaned = clean_events(
        events(
            [
                ("a", 0, 0, 0, scroll), ("a", 1, 5, 6), ("a", 2, 0, 0, scroll), ("b", 0, 7, 8),
                ("a", 3, 3, 3, scroll), ("a", 4, None, None, scroll), ("b", 1, None, 2, scroll),
                ("c", 0, 0, 0, scroll),
            ]
        )
    )  # fmt: skip
    assert x_px(cleaned) == [5, 5, 5, 3, 3, 7, 7]
    assert cleaned.events["y_px"].to_pylist() == [6, 6, 6, 3, 3, 8, 8]
    assert cleaned.notes["scroll_without_position"] == 4
    assert rejected(cleaned) == [(9, "no_position")]


def test_a_move_to_the_corner_is_a_move():
    assert x_px(clean_events(events([("a", 0, 0, 0), ("a", 1, 1, 1)]))) == [0, 1]


def test_sessions_that_take_turns_are_put_together_by_first_appearance():
    cleaned = clean_events(events([("b", 0, 1, 0), ("a", 0, 2, 0), ("b", 1, 3, 0), ("a", 1, 4, 0)]))
    assert cleaned.events["session_id"].to_pylist() == ["b", "b", "a", "a"]
    assert x_px(cleaned) == [1, 3, 2, 4]
    assert to_sessions(cleaned.events, "log", "0").session_id.tolist() == ["b", "a"]


def test_any_order_of_the_dictionary_gives_the_order_of_appearance():
    log = events([("b", 0, 1, 0), ("a", 0, 2, 0), ("b", 1, 3, 0)])
    ids = pa.DictionaryArray.from_arrays(pa.array([2, 0, 2], pa.int32()), ["a", "unused", "b"])
    cleaned = clean_events(log.set_column(0, EVENTS.field("session_id"), ids))
    assert cleaned.events["session_id"].to_pylist() == ["b", "b", "a"]


def test_a_small_step_back_is_sorted():
    cleaned = clean_events(path(0, 100, 50, 100, 200))
    assert times_ms(cleaned) == [0, 50, 100, 100, 200]
    assert x_px(cleaned) == [0, 2, 1, 3, 4]
    assert cleaned.notes == {"backward_time": 1, "repeated_time": 1}


def test_a_clock_that_was_set_back_goes_on():
    cleaned = clean_events(path(0, 60_000, 10, 20))
    assert times_ms(cleaned) == [0, 60_000, 60_010, 60_020]
    assert cleaned.notes == {"clock_reset": 1, "gap_over_5s": 1}


def test_a_clock_with_dates_that_was_set_back_goes_on_too():
    t_ms = [EPOCH_MS + 16 * i for i in range(40)]
    cleaned = clean_events(path(*t_ms[:20], *(t - 200 for t in t_ms[20:])))
    assert times_ms(cleaned) == t_ms
    assert x_px(cleaned) == list(range(40))
    assert cleaned.notes == {"clock_reset": 1}


@pytest.mark.parametrize("back_ms", [10_000, 15_000])
def test_people_who_rest_are_no_bots_because_their_clock_was_set_back(back_ms):
    """Two runs that come in bursts change places less often than two steady ones."""
    rng = np.random.default_rng(back_ms)
    rests = np.where(rng.random(1500) < 0.05, rng.uniform(200, 900, 1500), 0)
    t_ms = EPOCH_MS + np.cumsum(np.rint(16 + rests)).astype(int)
    set_back = np.where(np.arange(1500) < 750, t_ms, t_ms - back_ms)

    whole, cleaned = clean_events(path(*t_ms.tolist())), clean_events(path(*set_back.tolist()))

    assert cleaned.notes == {"clock_reset": 1}
    assert x_px(cleaned) == x_px(whole)
    steps_ms = np.abs(np.diff(times_ms(cleaned)) - np.diff(times_ms(whole)))
    assert np.count_nonzero(steps_ms) <= 1  # the one in which the clock was set: nobody knows it


def test_a_batch_that_comes_late_is_sorted_in():
    t_ms = [EPOCH_MS + 16 * i for i in range(60)]
    cleaned = clean_events(straight(*t_ms[:20], *t_ms[30:40], *t_ms[20:30], *t_ms[40:]))
    assert times_ms(cleaned) == t_ms
    assert cleaned.notes == {"backward_time": 1}


def test_a_late_batch_without_dates_is_sorted_in_even_after_a_long_time():
    t_ms = [100 * i for i in range(300)]
    cleaned = clean_events(straight(*t_ms[:20], *t_ms[100:200], *t_ms[20:100], *t_ms[200:]))
    assert times_ms(cleaned) == t_ms
    assert cleaned.notes == {"backward_time": 1}


def test_each_trial_of_a_clock_that_starts_anew_goes_on_from_the_last():
    trial = [0, 16, 32, 48]
    cleaned = clean_events(path(*trial, *trial, *trial))
    assert times_ms(cleaned) == [16 * i for i in range(12)]
    assert cleaned.notes == {"clock_reset": 2}


def test_a_batch_that_comes_twice_counts_once():
    rows = [("a", EPOCH_MS + 16 * i, i, 0) for i in range(20)]
    cleaned = clean_events(events([*rows, *rows[10:], ("a", EPOCH_MS + 400, 5, 5)]))
    assert x_px(cleaned) == [*range(20), 5]
    assert cleaned.ignored == {"duplicate_event": 10}
    moved = [("a", t, x + 1, y) for _, t, x, y in rows[10:]]
    assert clean_events(events([*rows, *moved])).ignored == {}


def test_times_of_years_that_no_log_is_of_are_rejected():
    cleaned = clean_events(path(EPOCH_MS, EPOCH_MS + 16, 1_748_000_000_000_000, 200_000_000_000))
    assert [row["reason"] for row in cleaned.rejected.to_pylist()] == ["absurd_time"] * 2


def test_a_press_without_a_position_takes_the_last():
    nowhere = ("a", 20, None, None, Kind.DOWN), ("a", 30, None, None, Kind.CLICK)
    cleaned = clean_events(events([("a", 0, 5, 6), ("a", 10, 7, 8), *nowhere]))
    assert x_px(cleaned) == [5, 7, 7, 7]
    assert cleaned.notes == {"button_without_position": 2}
    at_the_corner = events([("a", 0, 5, 6), ("a", 10, 0, 0, Kind.DOWN)])
    assert x_px(clean_events(at_the_corner)) == [5, 0]


def test_a_late_event_is_sorted_in_however_late_it_is():
    rows = [("a", EPOCH_MS, 0, 0), ("a", EPOCH_MS + 60_000, 900, 0), ("a", EPOCH_MS + 10, 2, 0)]
    cleaned = clean_events(events(rows))
    assert times_ms(cleaned) == [EPOCH_MS, EPOCH_MS + 10, EPOCH_MS + 60_000]
    assert cleaned.notes == {"backward_time": 1, "gap_over_5s": 1}


def test_a_log_in_reverse_is_sorted():
    cleaned = clean_events(path(*range(90_000, -1, -10_000)))
    assert times_ms(cleaned) == list(range(0, 90_001, 10_000))
    assert "clock_reset" not in cleaned.notes


def test_a_32_bit_clock_that_starts_over_goes_on():
    cleaned = clean_events(path(2**32 - 20, 2**32 - 10, 0, 10))
    assert np.diff(times_ms(cleaned)).tolist() == [10, 10, 10]
    assert cleaned.notes == {"clock_wrapped": 1}


def test_a_late_event_from_before_the_wrap_keeps_its_place():
    cleaned = clean_events(path(2**32 - 20, 0, 2**32 - 10, 10))
    assert np.diff(times_ms(cleaned)).tolist() == [10, 10, 10]
    assert x_px(cleaned) == [0, 2, 1, 3]


def test_a_time_months_away_is_quarantined_even_if_it_is_the_first():
    far = 31 * DAY_MS
    assert rejected(clean_events(path(0, 10, far, 20))) == [(4, "absurd_time")]
    cleaned = clean_events(path(0, EPOCH_MS, EPOCH_MS + 10, EPOCH_MS + 20))
    assert rejected(cleaned) == [(2, "absurd_time")]
    assert times_ms(cleaned) == [EPOCH_MS, EPOCH_MS + 10, EPOCH_MS + 20]


def test_one_absurd_time_does_not_shift_those_after_it():
    cleaned = clean_events(path(0, 10, EPOCH_MS, 20, 30))
    assert times_ms(cleaned) == [0, 10, 20, 30]
    assert rejected(cleaned) == [(4, "absurd_time")]


def test_positions_off_the_screen_are_kept_and_counted():
    rows = [("a", 0, -5, 3), ("a", 1, 100, 100), ("a", 2, 101, 3)]
    cleaned = clean_events(events(rows, viewport=(100, 100)))
    assert x_px(cleaned) == [-5, 100, 101]
    assert cleaned.notes == {"off_viewport": 2}
    assert clean_events(events(rows)).notes == {}


def test_an_empty_log_is_clean():
    cleaned = clean_events(EVENTS.empty_table())
    assert cleaned.events.num_rows == cleaned.rejected.num_rows == 0
    assert cleaned.notes == {}


TIMES = st.one_of(
    st.none(), st.integers(-20_000, 20_000), st.sampled_from([2**32 - 1, EPOCH_MS, 4 * 10**15])
)
PLACES = st.sampled_from([None, float("nan"), float("inf"), 0.0, 1.0, -3.0, 40_000.0, 65_535.0])
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "", None]), TIMES, PLACES, PLACES,
        st.sampled_from([Kind.MOVE, Kind.SCROLL]),
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(ROWS)
def test_every_row_is_clean_or_rejected_and_never_both(rows):
    cleaned = clean_events(events(rows))
    lines = cleaned.events["line"].to_pylist() + cleaned.rejected["line"].to_pylist()
    assert len(set(lines)) == len(lines) == len(rows) - sum(cleaned.ignored.values())


@settings(max_examples=200, deadline=None)
@given(ROWS)
def test_clean_events_are_sessions_in_order_of_time(rows):
    clean = clean_events(events(rows)).events
    sessions = to_sessions(clean, "log", "0")
    assert len(set(sessions.session_id)) == len(sessions)
    assert (sessions.t_us >= 0).all()
    assert (
        np.diff(sessions.t_us)[np.diff(clean["session_id"].combine_chunks().indices) == 0] >= 0
    ).all()
    assert np.isfinite(sessions.x_px).all()
    assert np.isfinite(sessions.y_px).all()


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_cleaning_twice_changes_nothing_more(rows):
    once = clean_events(events(rows))
    twice = clean_events(once.events)
    assert twice.events.equals(once.events)
    assert twice.rejected.num_rows == 0


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_sessions_do_not_touch_each_other(rows):
    together = clean_events(events(rows)).events
    for name in {row[0] for row in rows} - {"", None}:
        alone = clean_events(events([row for row in rows if row[0] == name])).events
        mine = together.filter(pa.compute.equal(together["session_id"].cast(pa.string()), name))
        assert mine["t_us"].to_pylist() == alone["t_us"].to_pylist()
        assert mine["x_px"].to_pylist() == alone["x_px"].to_pylist()


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 8))
def test_a_log_in_chunks_is_cleaned_as_in_one(rows, place):
    whole = events(rows)
    parts = [events(rows[:place]), events(rows[place:])]  # each has words of its own
    line = pa.chunked_array([whole["line"].combine_chunks()])
    place = EVENTS.get_field_index("line")
    chunked = pa.concat_tables(parts).set_column(place, EVENTS.field("line"), line)
    one, other = clean_events(whole), clean_events(chunked)
    assert to_sessions(one.events, "log", "0").session_id.tolist() == (
        to_sessions(other.events, "log", "0").session_id.tolist()
    )
    assert one.events.to_pylist() == other.events.to_pylist()
    assert one.rejected.equals(other.rejected)
    assert one.notes == other.notes
