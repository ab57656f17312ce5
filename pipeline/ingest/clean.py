"""Clean the events of a log: one rule for each fault.

| fault | rule | counted as |
|---|---|---|
| no session | quarantine | `no_session_id` |
| name of session, account or source endless, or with control characters | quarantine | `bad_name` |
| time, x or y is null, NaN, infinite or no number | quarantine | `not_a_number` |
| x and y are both 65535, a recorder's "nowhere" | quarantine | `no_position` |
| x or y beyond +-32,767 px | quarantine | `absurd_position` |
| over 30 days from the median time, or not of 1990 to 2100 | quarantine | `absurd_time` |
| behind a session's ten-millionth event | quarantine | `session_too_long` |
| scroll at 0, 0 or nowhere | the last position, or else the next | `scroll_without_position` |
| the same in a session without any position | quarantine | `no_position` |
| press, release or click without a position | likewise | `button_without_position` |
| written late, and equal to an earlier row: a batch came twice | left out | `duplicate_event` |
| 32-bit clock of milliseconds starts over | 2**32 ms are added | `clock_wrapped` |
| time goes back, the path joins up by time: a batch came late | sorted | `backward_time` |
| time goes back, the path goes on: the clock was set | go on from the last | `clock_reset` |
| the clock has no dates, and starts anew, as with a trial | go on from the last | `clock_reset` |
| back in over a tenth of the steps: no order | sorted | `backward_time` |
| position off the viewport | kept: drags, second monitors | `off_viewport` |
| equal times | kept in file order | `repeated_time` |
| a rest of over 5 s | kept | `gap_over_5s` |

What is quarantined is in `rejected`, with the reason; the other counts are in `notes`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float32, Int8, Int32, Int64

from pipeline.errors import is_fit
from pipeline.ingest.clock import (
    Clock,
    absurd_times,
    continue_after_resets,
    late_rows,
    runs,
    sort_times,
    unwrap,
)
from pipeline.readers.common.cells import one_dictionary
from pipeline.readers.common.formats import REJECTED
from pipeline.readers.common.limits import limits
from pipeline.schemas import EVENTS, Kind

NOWHERE_PX: Final = 65_535
FARTHEST_PX: Final = 32_767
_SHARE_OF_DOUBLES: Final = 0.5
_MOVES: Final = (Kind.MOVE, Kind.DRAG, Kind.TOUCH)

REJECTION_REASONS: Final = (
    "",  # the row is fine
    "no_session_id",
    "not_a_number",
    "no_position",
    "absurd_position",
    "absurd_time",
    "bad_name",
    "session_too_long",
)
_NO_SESSION, _NOT_A_NUMBER, _NO_POSITION, _ABSURD_POSITION, _ABSURD_TIME = range(1, 6)
_BAD_NAME, _SESSION_TOO_LONG = 6, 7


@dataclass(frozen=True)
class Cleaned:
    """Every row of the log is in exactly one of the two tables, or counted as ignored."""

    events: pa.Table  # EVENTS, sessions in order of appearance, each sorted by time
    rejected: pa.Table  # REJECTED, in the order of the file
    notes: dict[str, int]  # what was mended or only noticed -> rows
    ignored: dict[str, int]  # what was left out, and is no fault -> rows


def clean_events(events: pa.Table) -> Cleaned:
    """Apply each rule of this module's table to the events of one log.

    Nearly all logs are in order and without fault. Each rule first asks in a way that is cheap
    whether there is anything for it to do, so that such a log costs little more than its reading.
    """
    ids = one_dictionary(events["session_id"])
    index = EVENTS.get_field_index("session_id")
    events = events.set_column(index, EVENTS.field(index), ids)  # its chunks are joined once
    session = _session_codes(ids)
    x, y = (_positions(events[name]) for name in ("x_px", "y_px"))
    kind = events["kind"].to_numpy()
    is_lost = _lost_positions(kind, x, y)
    reason = _row_faults(events, session, x, y, is_lost)
    notes: dict[str, int] = {}

    clock = _grouped(events, session, reason)
    clock = _without(clock, _behind_limit(clock), reason, _SESSION_TOO_LONG)
    clock, notes["clock_wrapped"] = unwrap(clock)
    clock = _without(clock, absurd_times(clock), reason, _ABSURD_TIME)
    is_double = _is_double(events, clock)
    clock = clock.only(~is_double)
    if not clock.is_written_in_order:
        is_move = np.isin(kind[clock.row], _MOVES)
        row = clock.row[is_move]
        place_px = np.full(len(is_move), np.nan, np.complex64)
        place_px[is_move] = x[row] + np.complex64(1j) * y[row]
        clock, notes["clock_reset"] = continue_after_resets(clock, place_px)
    clock, notes["backward_time"] = sort_times(clock)

    if clock.chosen is not None:
        x, y, is_lost = x[clock.row], y[clock.row], is_lost[clock.row]
    x, y, has_position = _fill_lost_positions(clock, x, y, is_lost)
    if not has_position.all():
        reason[clock.row[~has_position]] = _NO_POSITION
        clock, x, y = clock.take(has_position), x[has_position], y[has_position]
        is_lost = is_lost[has_position]
    clean = _rows(events, clock, x, y)
    if is_lost.any():
        is_scroll = clean["kind"].to_numpy() == Kind.SCROLL
        notes["scroll_without_position"] = int((is_lost & is_scroll).sum())
        notes["button_without_position"] = int((is_lost & ~is_scroll).sum())
    notes |= _notice(clean, clock)
    return Cleaned(
        clean,
        _rejected(events, reason),
        {name: n for name, n in notes.items() if n},
        {"duplicate_event": int(is_double.sum())} if is_double.any() else {},
    )


def _without(
    clock: Clock, is_bad: Bool[np.ndarray, " events"], reason: Int8[np.ndarray, " log"], why: int
) -> Clock:
    """Return the other rows, and note why the bad ones are left out."""
    if not is_bad.any():
        return clock
    reason[clock.row[is_bad]] = why
    return clock.take(~is_bad)


def _is_double(events: pa.Table, clock: Clock) -> Bool[np.ndarray, " events"]:
    """Say which rows were written late, and were there before: a batch that was delivered twice.

    They are a fair share of what comes late at once. Where a clock was set back and the hand rests,
    some rows are alike by chance.
    """
    is_late = late_rows(clock)
    if not is_late.any():
        return is_late
    columns = {"session": clock.session, "t": clock.t_us}
    for name in ("x_px", "y_px", "kind", "button"):
        columns[name] = events[name].to_numpy()[clock.row]
    is_double = is_late & pd.DataFrame(columns).duplicated().to_numpy()
    run = runs(clock)
    n_late, n_double = (np.bincount(run, which) for which in (is_late, is_double))
    return is_double & (n_double >= _SHARE_OF_DOUBLES * n_late)[run]


def _session_codes(ids: pa.DictionaryArray) -> Int32[np.ndarray, " events"]:
    """Return a number per session in order of appearance; -1 where the id is missing."""
    if not ids.null_count and _are_plain(ids.dictionary):
        index = ids.indices.to_numpy()
        if np.all(index[1:] >= index[:-1]):
            return index
    named = [bool(word and word.strip()) for word in ids.dictionary.to_pylist()]
    index = ids.indices.fill_null(len(named)).to_numpy()
    first = np.full(len(named) + 1, len(index))
    first[index[::-1]] = np.arange(len(index))[::-1]
    rank = np.empty(len(named) + 1, np.int32)
    rank[np.argsort(first, kind="stable")] = np.arange(len(rank))
    rank[np.flatnonzero([*np.logical_not(named), True])] = -1
    return rank[index]


def _positions(column: pa.ChunkedArray) -> Float32[np.ndarray, " events"]:
    """Return positions, NaN where there is none."""
    return (column.fill_null(np.nan) if column.null_count else column).to_numpy()


def _lost_positions(
    kind: Int8[np.ndarray, " events"],
    x: Float32[np.ndarray, " events"],
    y: Float32[np.ndarray, " events"],
) -> Bool[np.ndarray, " events"]:
    """Say which rows are scrolls or presses without a position of their own."""
    is_either = (
        np.isin(kind, (Kind.SCROLL, Kind.DOWN, Kind.UP, Kind.CLICK)) if kind.any() else kind > 0
    )
    if not is_either.any():
        return is_either
    is_nowhere = ~np.isfinite(x) & ~np.isfinite(y)
    is_scroll = kind == Kind.SCROLL
    is_lost_scroll = ((x == 0) & (y == 0)) | ~np.isfinite(x) | ~np.isfinite(y)
    return (is_scroll & is_lost_scroll) | (is_either & is_nowhere)


def _row_faults(
    events: pa.Table,
    session: Int32[np.ndarray, " events"],
    x: Float32[np.ndarray, " events"],
    y: Float32[np.ndarray, " events"],
    is_lost: Bool[np.ndarray, " events"],
) -> Int8[np.ndarray, " events"]:
    """Return why each row is rejected, as an index into `REJECTION_REASONS`; the first counts."""
    reason = np.zeros(len(session), np.int8)
    if events["t_us"].null_count or not (_are_near(x) and _are_near(y)):
        has_time = events["t_us"].is_valid().to_numpy()
        is_number = np.isfinite(x) & np.isfinite(y)
        is_far = (np.abs(x) > FARTHEST_PX) | (np.abs(y) > FARTHEST_PX)
        reason[is_far & ~is_lost] = _ABSURD_POSITION
        reason[(x == NOWHERE_PX) & (y == NOWHERE_PX)] = _NO_POSITION
        reason[~(has_time & (is_number | is_lost))] = _NOT_A_NUMBER
    for name in ("source", "account_id", "session_id"):
        reason[_with_bad_name(events[name])] = _BAD_NAME
    if session.min(initial=0) < 0:
        reason[session < 0] = _NO_SESSION
    return reason


def _are_near(positions: Float32[np.ndarray, " events"]) -> bool:
    """Say whether all are numbers, and none is absurd."""
    return not len(positions) or bool(
        positions.min() >= -FARTHEST_PX and positions.max() <= FARTHEST_PX
    )


def _with_bad_name(names: pa.ChunkedArray) -> Int64[np.ndarray, " bad"]:
    """Return the rows with a name that can't be stored and shown as it is."""
    words = one_dictionary(names)
    most = limits().name_characters
    is_bad = np.zeros(len(words.dictionary) + 1, bool)
    if not _are_plain(words.dictionary):
        is_bad[:-1] = [not is_fit(word or "", most) for word in words.dictionary.to_pylist()]
    if not is_bad.any():
        return np.zeros(0, np.int64)
    return np.flatnonzero(is_bad[words.indices.fill_null(-1).to_numpy()])


def _are_plain(names: pa.StringArray) -> bool:
    """Say whether all names are short, and have ASCII characters that show and no others."""
    longest = pc.max(pc.binary_length(names)).as_py() or 0
    return (
        not names.null_count
        and longest <= limits().name_characters
        and pc.all(pc.match_substring_regex(names, "^[ -~]*[!-~][ -~]*$"), min_count=0).as_py()
    )


def _behind_limit(clock: Clock) -> Bool[np.ndarray, " events"]:
    """Say which rows, in file order, come after the last that a session may have."""
    counts = np.diff(np.append(clock.starts, len(clock)))
    if counts.max(initial=0) <= limits().session_events:
        return np.zeros(len(clock), bool)
    return np.arange(len(clock)) - np.repeat(clock.starts, counts) >= limits().session_events


def _grouped(
    events: pa.Table, session: Int32[np.ndarray, " events"], reason: Int8[np.ndarray, " events"]
) -> Clock:
    """Return the rows without fault, grouped by session, each in file order."""
    t_us = events["t_us"]
    t_us = (t_us.fill_null(0) if t_us.null_count else t_us).to_numpy()
    clock = Clock(session, t_us, _written(events, t_us))
    if reason.any():
        clock = clock.take(np.flatnonzero(reason == 0))
    session = clock.session
    if np.any(session[1:] < session[:-1]):
        # NumPy sorts 16-bit numbers by counting, several times as fast.
        few = session.astype(np.uint16) if session.max() < 2**16 else session
        clock = clock.take(np.argsort(few, kind="stable"))
    return clock


def _written(events: pa.Table, t_us: Int64[np.ndarray, " events"]) -> Int64[np.ndarray, " events"]:
    """Return when each row was written; where that is the same, the very array of times."""
    written = events["written_us"]
    if written.null_count == len(written):
        return t_us
    return pc.coalesce(written, events["t_us"].fill_null(0)).to_numpy()


def _fill_lost_positions(
    clock: Clock,
    x: Float32[np.ndarray, " events"],
    y: Float32[np.ndarray, " events"],
    is_lost: Bool[np.ndarray, " events"],
) -> tuple[
    Float32[np.ndarray, " events"], Float32[np.ndarray, " events"], Bool[np.ndarray, " events"]
]:
    """Return positions with the lost ones filled in, and which rows have one now."""
    if not is_lost.any():
        return x, y, ~is_lost
    row = np.arange(len(x))
    before = np.maximum.accumulate(np.where(is_lost, -1, row))
    after = np.minimum.accumulate(np.where(is_lost, len(x), row)[::-1])[::-1]
    session = np.append(clock.session, -1)  # rows -1 and len(x) belong to no session
    source = np.where(session[before] == clock.session, before, after)
    has_position = session[source] == clock.session
    source[~has_position] = 0
    return x[source], y[source], has_position


def _rows(
    events: pa.Table,
    clock: Clock,
    x: Float32[np.ndarray, " events"],
    y: Float32[np.ndarray, " events"],
) -> pa.Table:
    """Return the rows that stay, in their new order, with their new times and positions."""
    if clock.chosen is not None:
        events = events.unify_dictionaries().combine_chunks().take(pa.array(clock.row))
    columns = {name: events[name] for name in EVENTS.names}
    columns |= {"t_us": pa.array(clock.t_us), "x_px": pa.array(x), "y_px": pa.array(y)}
    return pa.table([columns[name] for name in EVENTS.names], schema=EVENTS)


def _notice(clean: pa.Table, clock: Clock) -> dict[str, int]:
    """Count what is odd and stays."""
    n_unmoved = clock.step_counts.n_unmoved
    return {
        "repeated_time": n_unmoved - len(clock.starts),  # a first row repeats nothing
        "gap_over_5s": clock.step_counts.n_long,
        "off_viewport": _off_viewport(clean, "x_px", "viewport_width", "y_px", "viewport_height"),
    }


def _off_viewport(clean: pa.Table, x: str, width: str, y: str, height: str) -> int:
    """Count rows outside of their viewport, where that is known."""
    if clean[width].null_count == clean.num_rows:
        return 0
    x_px, y_px = clean[x].to_numpy(), clean[y].to_numpy()
    w, h = clean[width].fill_null(0).to_numpy(), clean[height].fill_null(0).to_numpy()
    is_off = (x_px < 0) | (y_px < 0) | (x_px > w) | (y_px > h)
    return int((is_off & (w > 0) & (h > 0)).sum())


def _rejected(events: pa.Table, reason: Int8[np.ndarray, " events"]) -> pa.Table:
    """Return the rows that have a reason, in the order of the file."""
    row = np.flatnonzero(reason)
    if not len(row):
        return REJECTED.empty_table()
    why = pa.DictionaryArray.from_arrays(
        pa.array(reason[row].astype(np.int32)), list(REJECTION_REASONS)
    )
    return pa.table(
        [
            pa.array(events["line"].to_numpy()[row]),
            why.cast(pa.string()),
            pa.nulls(len(row), pa.string()),
        ],
        schema=REJECTED,
    )
