"""Events as a log has them in, clean events and what was left out: one rule for each fault.

| fault | rule | counted as |
|---|---|---|
| no session | quarantine | `no_session_id` |
| name of session, account or source endless, or with control characters | quarantine | `bad_name` |
| time, x or y is null, NaN, infinite or no number | quarantine | `not_a_number` |
| x and y are both 65535, a recorder's "nowhere" | quarantine | `no_position` |
| x or y beyond +-32,767 px | quarantine | `absurd_position` |
| over 30 days from the session's median time | quarantine | `absurd_time` |
| behind a session's ten-millionth event | quarantine | `session_too_long` |
| scroll at 0, 0 or nowhere | the last position, or else the next | `scroll_without_position` |
| the same in a session without any position | quarantine | `no_position` |
| 32-bit clock of milliseconds starts over | 2**32 ms are added | `clock_wrapped` |
| time goes back by up to 5 s | sorted, equal times in file order | `backward_time` |
| further back, the clock has dates | sorted | `backward_time` |
| further back, it has none: it was set | go on from the last time | `clock_reset` |
| the same in over a tenth of the steps: no order | sorted | `backward_time` |
| position off the viewport | kept: drags, second monitors | `off_viewport` |
| equal times | kept in file order | `repeated_time` |
| a rest of over 5 s | kept | `gap_over_5s` |

What is quarantined is in `rejected`, with the reason; the other counts are in `notes`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32, Int8, Int64

from pipeline.clock import (
    LONG_GAP_US,
    Clock,
    absurd_times,
    continue_after_resets,
    sort_times,
    unwrap,
)
from pipeline.limits import limits
from pipeline.names import is_fit
from pipeline.readers.base import REJECTED
from pipeline.schemas import EVENTS, Kind

NOWHERE_PX: Final = 65_535
FARTHEST_PX: Final = 32_767

REASONS: Final = (
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
    """Every row of the log is in exactly one of the two tables."""

    events: pa.Table  # EVENTS, sessions in order of appearance, each sorted by time
    rejected: pa.Table  # REJECTED, in the order of the file
    notes: dict[str, int]  # what was mended or only noticed -> rows


def clean_events(events: pa.Table) -> Cleaned:
    """Apply each rule of this module's table to the events of one log."""
    session = _session_codes(events["session_id"])
    x, y = (events[name].fill_null(np.nan).to_numpy() for name in ("x_px", "y_px"))
    is_lost = _lost_scrolls(events["kind"].to_numpy(), x, y)
    reason = _row_faults(events, session, x, y, is_lost)
    notes: dict[str, int] = {}

    clock = _grouped(events, session, reason)
    is_behind = _behind_limit(clock)
    reason[clock.row[is_behind]] = _SESSION_TOO_LONG
    clock = clock.take(~is_behind) if is_behind.any() else clock
    clock, notes["clock_wrapped"] = unwrap(clock)
    is_absurd = absurd_times(clock)
    reason[clock.row[is_absurd]] = _ABSURD_TIME
    clock, notes["clock_reset"] = continue_after_resets(clock.take(~is_absurd))
    clock, notes["backward_time"] = sort_times(clock)

    x, y, has_position = _place_scrolls(clock, x[clock.row], y[clock.row], is_lost[clock.row])
    reason[clock.row[~has_position]] = _NO_POSITION
    clock, x, y = clock.take(has_position), x[has_position], y[has_position]
    clean = _rows(events, clock, x, y)
    notes["scroll_without_position"] = int(is_lost[clock.row].sum())
    notes |= _notice(clean, clock)
    return Cleaned(clean, _rejected(events, reason), {k: n for k, n in notes.items() if n})


def _session_codes(ids: pa.ChunkedArray) -> Int64[np.ndarray, " events"]:
    """Return a number per session in order of appearance; -1 where the id is missing."""
    words = ids.unify_dictionaries().combine_chunks()
    named = [bool(word and word.strip()) for word in words.dictionary.to_pylist()]
    index = words.indices.fill_null(len(named)).to_numpy()
    if np.all(index[1:] >= index[:-1]) and all(named) and not words.null_count:
        return index.astype(np.int64)
    first = np.full(len(named) + 1, len(index))
    first[index[::-1]] = np.arange(len(index))[::-1]
    rank = np.empty(len(named) + 1, np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(rank))
    rank[np.flatnonzero([*np.logical_not(named), True])] = -1
    return rank[index]


def _lost_scrolls(
    kind: Int8[np.ndarray, " events"],
    x: Float32[np.ndarray, " events"],
    y: Float32[np.ndarray, " events"],
) -> Bool[np.ndarray, " events"]:
    """Say which rows are scrolls without a position of their own."""
    return (kind == Kind.SCROLL) & (((x == 0) & (y == 0)) | ~np.isfinite(x) | ~np.isfinite(y))


def _row_faults(
    events: pa.Table,
    session: Int64[np.ndarray, " events"],
    x: Float32[np.ndarray, " events"],
    y: Float32[np.ndarray, " events"],
    is_lost: Bool[np.ndarray, " events"],
) -> Int8[np.ndarray, " events"]:
    """Return why each row can't stay, as an index into `REASONS`; the first reason counts."""
    has_time = events["t_us"].is_valid().to_numpy()
    is_number = np.isfinite(x) & np.isfinite(y)
    is_far = (np.abs(x) > FARTHEST_PX) | (np.abs(y) > FARTHEST_PX)
    reason = np.zeros(len(session), np.int8)
    reason[is_far & ~is_lost] = _ABSURD_POSITION
    reason[(x == NOWHERE_PX) & (y == NOWHERE_PX)] = _NO_POSITION
    reason[~(has_time & (is_number | is_lost))] = _NOT_A_NUMBER
    for name in ("source", "account_id", "session_id"):
        reason[_has_bad_name(events[name])] = _BAD_NAME
    reason[session < 0] = _NO_SESSION
    return reason


def _has_bad_name(names: pa.ChunkedArray) -> Bool[np.ndarray, " events"]:
    """Say which rows have a name that can't be stored and shown as it is."""
    words = names.unify_dictionaries().combine_chunks()
    most = limits().name_characters
    is_bad = np.array([not is_fit(word or "", most) for word in words.dictionary.to_pylist()], bool)
    if not is_bad.any():
        return np.zeros(len(names), bool)
    return np.append(is_bad, False)[words.indices.fill_null(len(is_bad)).to_numpy()]


def _behind_limit(clock: Clock) -> Bool[np.ndarray, " events"]:
    """Say which rows, in file order, come after as many as a session may have."""
    starts = clock.starts()
    number = np.arange(len(clock.row)) - np.repeat(
        starts, np.diff(np.append(starts, len(clock.row)))
    )
    return number >= limits().session_events


def _grouped(
    events: pa.Table, session: Int64[np.ndarray, " events"], reason: Int8[np.ndarray, " events"]
) -> Clock:
    """Return the rows without fault, grouped by session, each in file order."""
    row = np.flatnonzero(reason == 0)
    session = session[row]
    if np.any(session[1:] < session[:-1]):
        # NumPy sorts 16-bit numbers by counting, several times as fast.
        few = session.astype(np.uint16) if session.max() < 2**16 else session
        order = np.argsort(few, kind="stable")
        row, session = row[order], session[order]
    return Clock(row, session, events["t_us"].fill_null(0).to_numpy()[row])


def _place_scrolls(
    clock: Clock,
    x: Float32[np.ndarray, " events"],
    y: Float32[np.ndarray, " events"],
    is_lost: Bool[np.ndarray, " events"],
) -> tuple[
    Float32[np.ndarray, " events"], Float32[np.ndarray, " events"], Bool[np.ndarray, " events"]
]:
    """Return positions with those of lost scrolls filled in, and which rows have one now."""
    if not is_lost.any():
        return x, y, ~is_lost
    row = np.arange(len(x))
    before = np.maximum.accumulate(np.where(is_lost, -1, row))
    after = np.minimum.accumulate(np.where(is_lost, len(x), row)[::-1])[::-1]
    session = np.append(clock.session, -1)  # place -1 and place len(x) belong to no session
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
    is_as_it_was = len(clock.row) == events.num_rows and np.all(clock.row[1:] > clock.row[:-1])
    if not is_as_it_was:
        events = events.unify_dictionaries().combine_chunks().take(pa.array(clock.row))
    columns = {name: events[name] for name in EVENTS.names}
    columns |= {"t_us": pa.array(clock.t_us), "x_px": pa.array(x), "y_px": pa.array(y)}
    return pa.table([columns[name] for name in EVENTS.names], schema=EVENTS)


def _notice(clean: pa.Table, clock: Clock) -> dict[str, int]:
    """Count what is odd and stays."""
    steps = clock.steps_us()
    steps[clock.starts()] = 1  # a first row repeats nothing
    return {
        "repeated_time": int((steps == 0).sum()),
        "gap_over_5s": int((steps > LONG_GAP_US).sum()),
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
    why = pa.DictionaryArray.from_arrays(pa.array(reason[row].astype(np.int32)), list(REASONS))
    return pa.table(
        [
            pa.array(events["line"].to_numpy()[row]),
            why.cast(pa.string()),
            pa.nulls(len(row), pa.string()),
        ],
        schema=REJECTED,
    )
