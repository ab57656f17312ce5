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
LONGEST_US: Final = 30 * 86_400 * 1_000_000
WRAP_US: Final = 2**32 * 1000
UNORDERED_SHARE: Final = 0.1  # of steps that go back: no clock is set that often


@dataclass(frozen=True)
class Clock:
    """The times of the rows that are kept, grouped by session, while they are corrected."""

    row: Int64[np.ndarray, " events"]  # of the log
    session: Int32[np.ndarray, " events"]  # from 0, never falling
    t_us: Int64[np.ndarray, " events"]
    is_whole: bool = False  # all rows of the log, in its order

    def take(self, chosen: Shaped[np.ndarray, " chosen"]) -> "Clock":
        """Return the rows at these indices, or where a mask is true."""
        return Clock(self.row[chosen], self.session[chosen], self.t_us[chosen])

    def only(self, is_kept: Bool[np.ndarray, " events"]) -> "Clock":
        """Return the rows where a mask is true; this clock itself where it is true for all."""
        return self if is_kept.all() else self.take(is_kept)

    @cached_property
    def steps_us(self) -> Int64[np.ndarray, " events"]:
        """Return the time since the row before; 0 for a session's first."""
        steps = np.zeros_like(self.t_us)
        np.subtract(self.t_us[1:], self.t_us[:-1], out=steps[1:])
        steps[self.starts] = 0
        return steps

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
    return replace(clock, t_us=t_us), int((is_wrap & (falls > 0)).sum())


def _since_start(
    running: Int64[np.ndarray, " events"], clock: Clock
) -> Int64[np.ndarray, " events"]:
    """Return a running sum over all rows as one that begins at 0 in each session."""
    starts = clock.starts
    return running - np.repeat(running[starts], np.diff(np.append(starts, len(running))))


def absurd_times(clock: Clock) -> Bool[np.ndarray, " events"]:
    """Say which rows are over 30 days from their session's median time.

    The median, since the first or the earliest row may be the one that is wrong.
    """
    starts = clock.starts
    if not len(starts):
        return np.zeros(0, bool)
    stops = np.append(starts[1:], len(clock.row))
    if clock.step_bounds_us[0] >= 0:  # in order: the last is the latest
        span = clock.t_us[stops - 1] - clock.t_us[starts]
    else:
        span = np.maximum.reduceat(clock.t_us, starts) - np.minimum.reduceat(clock.t_us, starts)
    if not np.any(span > LONGEST_US):
        return np.zeros(len(clock.row), bool)
    counts = stops - starts
    in_time = clock.t_us[np.lexsort((clock.t_us, clock.session))]
    median = np.repeat(in_time[starts + counts // 2], counts)
    return np.abs(clock.t_us - median) > LONGEST_US


def continue_after_resets(clock: Clock) -> tuple[Clock, int]:
    """Where a clock without dates was set back, go on from the time before; count these."""
    if clock.step_bounds_us[0] >= -LONG_GAP_US:
        return clock, 0
    steps = clock.steps_us
    is_reset = steps < -LONG_GAP_US
    n_steps = np.bincount(clock.session)
    n_back = np.bincount(clock.session, weights=steps < 0)
    is_unordered = n_back > UNORDERED_SHARE * n_steps
    # One step back in a session of a few events is a clock that was set all the same.
    is_unordered &= n_back > 1
    is_reset &= ~clock.has_dates() & ~is_unordered[clock.session]
    shift = _since_start(np.cumsum(np.where(is_reset, -steps, 0)), clock)
    return replace(clock, t_us=clock.t_us + shift), int(is_reset.sum())


def sort_times(clock: Clock) -> tuple[Clock, int]:
    """Sort each session by time, and count the steps back; equal times stay in file order."""
    if clock.step_bounds_us[0] >= 0:
        return clock, 0
    is_back = clock.steps_us < 0
    unsorted = np.flatnonzero(np.isin(clock.session, np.unique(clock.session[is_back])))
    order = np.arange(len(clock.row))
    order[unsorted] = unsorted[np.lexsort((clock.t_us[unsorted], clock.session[unsorted]))]
    return clock.take(order), int(is_back.sum())
