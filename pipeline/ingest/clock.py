"""Correct the times that several kinds of clock wrote, so that none falls within a session.

The rules are those of the table in `clean.py`.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from jaxtyping import Bool, Int32, Int64, Shaped

from pipeline.readers.common.cells import run_starts
from pipeline.sessions.sessions import ABSOLUTE_US

LONG_GAP_US: Final = 5_000_000
YEARS_US: Final = (631_152_000_000_000, 4_102_444_800_000_000)  # 1990 to 2100: logs are of these
JITTER_US: Final = 50_000  # threads of a recorder write so much out of order
_FEWEST_ALTERNATIONS: Final = 3  # between two runs of a clock that was set back
_FEWEST_OF_TRIAL: Final = 4  # events
_INTERLEAVED_SHARE: Final = 0.15  # of the alternations that there could be, for hands rest
_LONGEST_STEP_US: Final = 1_000_000
LONGEST_US: Final = 30 * 86_400 * 1_000_000
WRAP_US: Final = 2**32 * 1000
UNORDERED_SHARE: Final = 0.1  # of steps that go back: no clock is set that often


@dataclass(frozen=True)
class Clock:
    """The times of the rows that are kept, grouped by session, while they are corrected."""

    row: Int64[np.ndarray, " events"]  # of the log
    session: Int32[np.ndarray, " events"]  # from 0, never falling
    t_us: Int64[np.ndarray, " events"]
    written_us: Int64[np.ndarray, " events"]  # `t_us`, but for moves that waited for their batch
    is_whole: bool = False  # all rows of the log, in its order

    def take(self, chosen: Shaped[np.ndarray, " chosen"]) -> "Clock":
        """Return the rows at these indices, or where a mask is true."""
        t_us = self.t_us[chosen]
        written = t_us if self.written_us is self.t_us else self.written_us[chosen]
        return Clock(self.row[chosen], self.session[chosen], t_us, written)

    def only(self, is_kept: Bool[np.ndarray, " events"]) -> "Clock":
        """Return the rows where a mask is true; this clock itself where it is true for all."""
        return self if is_kept.all() else self.take(is_kept)

    @cached_property
    def steps_us(self) -> Int64[np.ndarray, " events"]:
        """Return the time since the row before; 0 for a session's first."""
        steps = np.empty_like(self.t_us)
        np.subtract(self.t_us[1:], self.t_us[:-1], out=steps[1:])
        steps[self.starts] = 0
        return steps

    @cached_property
    def written_steps_us(self) -> Int64[np.ndarray, " events"]:
        """Return the same between the times of writing."""
        if self.written_us is self.t_us:
            return self.steps_us
        return replace(self, t_us=self.written_us).steps_us

    @cached_property
    def step_bounds_us(self) -> tuple[int, int]:
        """Return the shortest and the longest step: mostly they show that nothing is wrong."""
        if not len(self.row):
            return 0, 0
        return int(self.steps_us.min()), int(self.steps_us.max())

    @cached_property
    def starts(self) -> Int64[np.ndarray, " sessions"]:
        """Return where each session begins."""
        return run_starts(self.session)

    def has_dates(self) -> Bool[np.ndarray, " events"]:
        """Say for each row whether its session's clock counts since 1970.

        The row in the middle decides: the first may be the one that is wrong.
        """
        starts = self.starts
        stops = np.append(starts[1:], len(self.row))
        return np.repeat(self.t_us[(starts + stops) // 2] >= ABSOLUTE_US, stops - starts)


def unwrap(clock: Clock) -> tuple[Clock, int]:
    """Undo the start-over of 32-bit clocks without dates, and count how often it was.

    A time from before it that comes late, a jump up, takes the wrap back for that row.
    """
    shortest, longest = clock.step_bounds_us
    if max(-shortest, longest) <= WRAP_US // 2:
        return clock, 0
    steps = clock.steps_us
    falls = (steps < -WRAP_US // 2).astype(np.int64) - (steps > WRAP_US // 2)
    falls[clock.has_dates()] = 0
    wraps = np.maximum(_since_start(np.cumsum(falls), clock), 0)
    is_wrap = np.diff(wraps, prepend=0) > 0
    t_us = clock.t_us + wraps * WRAP_US
    written = t_us if clock.written_us is clock.t_us else clock.written_us + wraps * WRAP_US
    return replace(clock, t_us=t_us, written_us=written), int((is_wrap & (falls > 0)).sum())


def _since_start(
    running: Int64[np.ndarray, " events"], clock: Clock
) -> Int64[np.ndarray, " events"]:
    """Return a running sum over all rows as one that begins at 0 in each session."""
    starts = clock.starts
    return running - np.repeat(running[starts], np.diff(np.append(starts, len(running))))


def absurd_times(clock: Clock) -> Bool[np.ndarray, " events"]:
    """Say which rows are of no year that logs are of, or over 30 days from their session's median.

    The median, since the first or the earliest row may be the one that is wrong.
    """
    starts = clock.starts
    if not len(starts):
        return np.zeros(0, bool)
    is_absurd = np.zeros(len(clock.row), bool)
    if clock.t_us.max() >= ABSOLUTE_US:
        is_of_no_year = (clock.t_us < YEARS_US[0]) | (clock.t_us >= YEARS_US[1])
        is_absurd = (clock.t_us >= ABSOLUTE_US) & is_of_no_year
    stops = np.append(starts[1:], len(clock.row))
    if clock.step_bounds_us[0] >= 0:  # in order: the last is the latest
        span = clock.t_us[stops - 1] - clock.t_us[starts]
    else:
        span = np.maximum.reduceat(clock.t_us, starts) - np.minimum.reduceat(clock.t_us, starts)
    if not np.any(span > LONGEST_US):
        return is_absurd
    counts = stops - starts
    in_time = clock.t_us[np.lexsort((clock.t_us, clock.session))]
    median = np.repeat(in_time[starts + counts // 2], counts)
    return is_absurd | (np.abs(clock.t_us - median) > LONGEST_US)


def late_rows(clock: Clock) -> Bool[np.ndarray, " events"]:
    """Say which rows were written after one of their session with a later time."""
    if clock.written_steps_us.min(initial=0) >= 0:
        return np.zeros(len(clock.row), bool)
    order = np.lexsort((clock.written_us, clock.session))
    is_new = np.ones(len(order), bool)
    session, written = clock.session[order], clock.written_us[order]
    is_new[1:] = (session[1:] != session[:-1]) | (written[1:] != written[:-1])
    rank = np.empty(len(order), np.int64)
    rank[order] = np.cumsum(is_new)  # of a later session it is higher
    highest = np.maximum.accumulate(rank)
    before = np.append(0, highest[:-1])
    rises = rank > np.append(0, rank[:-1])
    is_late = (rank < before) | ((rank == before) & rises & (clock.written_steps_us > 0))
    is_fall = clock.written_steps_us < 0
    is_fall[clock.starts] = True
    run = np.cumsum(is_fall) - 1
    return is_late & ~restarts(clock)[is_fall][run]  # a trial like the one before is no double


def restarts(clock: Clock) -> Bool[np.ndarray, " events"]:
    """Say where a clock without dates starts anew, as it does with each trial of an experiment.

    That is a step back to no later than the session's first time, with some events behind it in
    order.
    """
    is_fall = clock.written_steps_us < 0
    if not is_fall.any():
        return is_fall
    counts = np.diff(np.append(clock.starts, len(clock.row)))
    first = np.repeat(clock.written_us[clock.starts], counts)
    is_restart = is_fall & (clock.written_us <= first) & ~clock.has_dates()
    is_start = is_fall.copy()
    is_start[clock.starts] = True
    begins = np.flatnonzero(is_start)
    lengths = np.diff(np.append(begins, len(is_fall)))
    is_restart[begins[lengths < _FEWEST_OF_TRIAL]] = False
    return is_restart


def continue_after_resets(clock: Clock, is_move: Bool[np.ndarray, " events"]) -> tuple[Clock, int]:
    """Where a clock was set back, go on from the time before; count these.

    A batch that arrives late lies in a gap of what came before it, and is sorted in; what a clock
    that was set back writes lies between the times before. Without dates a long step back is a
    clock that was set, too, unless it leads into such a gap.
    """
    steps = clock.written_steps_us
    is_restart = restarts(clock)
    is_back = (steps < -JITTER_US) | is_restart
    if not is_back.any():
        return clock, 0
    n_steps = np.bincount(clock.session)
    n_back = np.bincount(clock.session, weights=(steps < 0) & ~is_restart)
    is_unordered = n_back > UNORDERED_SHARE * n_steps
    # One step back in a session of a few events is a clock that was set all the same.
    is_unordered &= n_back > 1
    is_back &= ~is_unordered[clock.session]
    t_us = clock.t_us.copy()
    bounds = np.append(clock.starts, len(t_us))
    n_resets = 0
    at = np.flatnonzero(is_back)
    for session in np.unique(clock.session[at]).tolist():
        start, stop = bounds[np.searchsorted(clock.session[clock.starts], session) :][:2].tolist()
        falls = at[(at >= start) & (at < stop)].tolist()
        for fall, end in zip(falls, [*falls[1:], stop], strict=True):
            size = -int(steps[fall])
            before, after = (t_us[i:j][is_move[i:j]] for i, j in ((start, fall), (fall, end)))
            is_dated = bool(t_us[fall] >= ABSOLUTE_US)
            if is_restart[fall] or _is_set_back(before, after, size, is_dated):
                last = int(t_us[start:fall].max())
                t_us[fall:stop] += last + _usual_step(before, after) - int(t_us[fall:end].min())
                n_resets += 1
    written = t_us if clock.written_us is clock.t_us else clock.written_us
    return replace(clock, t_us=t_us, written_us=written), n_resets


def _is_set_back(
    before: Int64[np.ndarray, " earlier"],
    after: Int64[np.ndarray, " later"],
    size_us: int,
    is_dated: bool,
) -> bool:
    """Say whether a step back is a clock that was set, and no batch that came late."""
    if not len(before) or not len(after):
        return not is_dated and size_us > LONG_GAP_US
    inside = before[(before >= after.min()) & (before <= after.max())]
    beside = after[after <= before.max()]
    beside = beside[beside >= inside.min()] if len(inside) else beside[:0]
    is_after = np.repeat([False, True], [len(inside), len(beside)])
    merged = is_after[np.argsort(np.concatenate([inside, beside]), kind="stable")]
    n_alternations = int(np.count_nonzero(merged[1:] != merged[:-1]))
    most = 2 * min(len(inside), len(beside))
    if n_alternations >= max(_FEWEST_ALTERNATIONS, _INTERLEAVED_SHARE * most):
        return True
    late = after[after <= before.max()]
    is_within = (before >= late.min()) & (before <= late.max()) if len(late) else before < 0
    fits_a_gap = not is_within.any() and len(late) < len(after)  # and goes on behind it
    return not is_dated and size_us > LONG_GAP_US and not fits_a_gap


def _usual_step(*runs: Int64[np.ndarray, " ..."]) -> int:
    """Return the usual time from one event to the next, which nobody measured at a set clock."""
    steps = np.concatenate([np.diff(np.sort(times)) for times in runs])
    steps = np.sort(steps[steps > 0])
    return min(int(steps[(len(steps) - 1) // 2]), _LONGEST_STEP_US) if len(steps) else 0


def sort_times(clock: Clock) -> tuple[Clock, int]:
    """Sort each session by time, and count the steps back; equal times stay in file order."""
    if clock.step_bounds_us[0] >= 0:
        return clock, 0
    is_back = clock.steps_us < 0
    unsorted = np.flatnonzero(np.isin(clock.session, np.unique(clock.session[is_back])))
    order = np.arange(len(clock.row))
    order[unsorted] = unsorted[np.lexsort((clock.t_us[unsorted], clock.session[unsorted]))]
    return clock.take(order), int(is_back.sum())
