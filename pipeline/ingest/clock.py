"""Correct the times that several kinds of clock wrote, so that none falls within a session.

The rules are those of the table in `clean.py`.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Complex64, Float64, Int32, Int64, Shaped

from pipeline.readers.common.cells import run_starts
from pipeline.sessions.sessions import ABSOLUTE_US

_PART: Final = 2**16  # events: as many as stay in a processor's cache
LONG_GAP_US: Final = 5_000_000
YEARS_US: Final = (631_152_000_000_000, 4_102_444_800_000_000)  # 1990 to 2100: logs are of these
JITTER_US: Final = 50_000  # threads of a recorder write so much out of order
_FEWEST_OF_TRIAL: Final = 4  # events
_TURNS_OF_BATCHES: Final = 3  # what came first, a late batch, and both again
_SHORT_REST_US: Final = 250_000
_WEIGHT_OF_REST: Final = 0.5  # against distance; of 0.3 to 1 the best, with people's recordings
_SMALLEST_EVIDENCE: Final = 0.02
_FEWEST_COMPARED, _MOST_COMPARED = 2_000, 4_000_000  # moves, about a step back and of a session
_FEW_BACK: Final = 3  # steps back
_MOST_BACK: Final = 10_000  # steps back that are looked at
_LONGEST_STEP_US: Final = 1_000_000
LONGEST_US: Final = 30 * 86_400 * 1_000_000
WRAP_US: Final = 2**32 * 1000
UNORDERED_SHARE: Final = 0.1  # of steps that go back: no clock is set that often


@dataclass(frozen=True)
class Clock:
    """The times of the rows that are kept, grouped by session, while they are corrected."""

    session: Int32[np.ndarray, " events"]  # from 0, never falling
    t_us: Int64[np.ndarray, " events"]
    written_us: Int64[np.ndarray, " events"]  # `t_us`, but for moves that waited for their batch
    chosen: Int64[np.ndarray, " events"] | None = None  # rows of the log; None: all, in its order

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.session)

    @property
    def row(self) -> Int64[np.ndarray, " events"]:
        """Return which row of the log each is."""
        return np.arange(len(self)) if self.chosen is None else self.chosen

    def take(self, chosen: Shaped[np.ndarray, " chosen"]) -> "Clock":
        """Return the rows at these indices, or where a mask is true."""
        t_us = self.t_us[chosen]
        written = t_us if self.written_us is self.t_us else self.written_us[chosen]
        return Clock(self.session[chosen], t_us, written, self.row[chosen])

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
    def step_counts(self) -> "StepCounts":
        """Return what there is among `steps_us`: mostly it shows that nothing is wrong.

        They are made some at a time: new memory for all takes longer than to subtract them.
        """
        counts = StepCounts(0, 0, min(len(self), 1), 0)
        for begin in range(1, len(self), _PART):
            end = min(begin + _PART, len(self))
            steps = self.t_us[begin:end] - self.t_us[begin - 1 : end - 1]
            first, last = np.searchsorted(self.starts, [begin, end])
            steps[self.starts[first:last] - begin] = 0
            counts = StepCounts(
                min(counts.shortest_us, int(steps.min())),
                max(counts.longest_us, int(steps.max())),
                counts.n_unmoved + len(steps) - int(np.count_nonzero(steps)),
                counts.n_long + int(np.count_nonzero(steps > LONG_GAP_US)),
            )
        return counts

    @cached_property
    def is_written_in_order(self) -> bool:
        """Say whether no row was written before one of its session that is above it."""
        written = self if self.written_us is self.t_us else replace(self, t_us=self.written_us)
        return written.step_counts.shortest_us >= 0

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


class StepCounts(NamedTuple):
    """What the steps of a clock are like; a session's first row has one of 0."""

    shortest_us: int
    longest_us: int
    n_unmoved: int  # steps of 0
    n_long: int  # over `LONG_GAP_US`


def unwrap(clock: Clock) -> tuple[Clock, int]:
    """Undo the start-over of 32-bit clocks without dates, and count how often it was.

    A time from before it that comes late, a jump up, takes the wrap back for that row.
    """
    if max(-clock.step_counts.shortest_us, clock.step_counts.longest_us) <= WRAP_US // 2:
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
    is_absurd = np.zeros(len(clock), bool)
    if clock.t_us.max() >= ABSOLUTE_US:
        is_of_no_year = (clock.t_us < YEARS_US[0]) | (clock.t_us >= YEARS_US[1])
        is_absurd = (clock.t_us >= ABSOLUTE_US) & is_of_no_year
    stops = np.append(starts[1:], len(clock))
    if clock.step_counts.shortest_us >= 0:  # in order: the last is the latest
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
    if clock.is_written_in_order:
        return np.zeros(len(clock), bool)
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
    run = runs(clock)
    is_restart = restarts(clock)[run_starts(run)]
    return is_late & ~is_restart[run]  # a trial like the one before is no double


def runs(clock: Clock) -> Int64[np.ndarray, " events"]:
    """Return for each row the number of its run: rows of a session without a step back."""
    is_first = clock.written_steps_us < 0
    is_first[clock.starts] = True
    return np.cumsum(is_first) - 1


def restarts(clock: Clock) -> Bool[np.ndarray, " events"]:
    """Say where a clock without dates starts anew, as it does with each trial of an experiment.

    That is a step back to no later than the session's first time, with some events behind it in
    order.
    """
    is_fall = clock.written_steps_us < 0
    if not is_fall.any():
        return is_fall
    counts = np.diff(np.append(clock.starts, len(clock)))
    first = np.repeat(clock.written_us[clock.starts], counts)
    is_restart = is_fall & (clock.written_us <= first) & ~clock.has_dates()
    is_start = is_fall.copy()
    is_start[clock.starts] = True
    begins = np.flatnonzero(is_start)
    lengths = np.diff(np.append(begins, len(is_fall)))
    is_restart[begins[lengths < _FEWEST_OF_TRIAL]] = False
    return is_restart


def continue_after_resets(
    clock: Clock, place_px: Complex64[np.ndarray, " events"]
) -> tuple[Clock, int]:
    """Where a clock was set back, go on from the time before; count these.

    A step back is a clock that was set, or a batch that came late and has to be sorted in. It is
    taken for the one with which the pointer's path surprises less. A trial that starts at the
    same time as the first is no late batch. `place_px` is x + iy, NaN for what is no move.
    """
    steps = clock.written_steps_us
    is_restart = restarts(clock)
    is_back = (steps < -JITTER_US) | is_restart
    if not is_back.any():
        return clock, 0
    is_back &= ~_is_unordered(clock, is_back, is_restart)
    counts = np.diff(np.append(clock.starts, len(clock)))
    is_same_start = clock.written_us == np.repeat(clock.written_us[clock.starts], counts)
    t_us = clock.t_us.copy()
    stops = np.append(clock.starts[1:], len(t_us))
    n_resets = 0
    at = np.flatnonzero(is_back)
    for session in np.unique(np.searchsorted(clock.starts, at, side="right") - 1).tolist():
        start, stop = int(clock.starts[session]), int(stops[session])
        falls = at[slice(*np.searchsorted(at, (start, stop)))].tolist()
        most = max(_FEWEST_COMPARED, _MOST_COMPARED // len(falls))
        last, shift = int(t_us[start : falls[0]].max()), 0
        for fall, end in zip(falls, [*falls[1:], stop], strict=True):
            t_us[fall:end] += shift
            before, after = (
                _Path.of(t_us[run], place_px[run])
                for run in (
                    slice(max(start, fall - most), fall),
                    slice(fall, min(end, fall + most)),
                )
            )
            size_us = -int(steps[fall])
            is_dated = bool(t_us[fall] >= ABSOLUTE_US)
            is_trial = is_restart[fall] and is_same_start[fall]
            if is_trial or _is_set_back(before, after, not is_dated and size_us > LONG_GAP_US):
                since_us = last + _usual_step(before, after) - int(t_us[fall:end].min())
                t_us[fall:end] += since_us
                shift += since_us
                n_resets += 1
            last = max(last, int(t_us[fall:end].max()))
    written = t_us if clock.written_us is clock.t_us else clock.written_us
    return replace(clock, t_us=t_us, written_us=written), n_resets


def _is_unordered(
    clock: Clock, is_back: Bool[np.ndarray, " events"], is_restart: Bool[np.ndarray, " events"]
) -> Bool[np.ndarray, " events"]:
    """Say which rows are of a session whose times go back too often for a clock or for batches."""
    n_steps, n_long = np.bincount(clock.session), np.bincount(clock.session, weights=is_back)
    n_back = np.bincount(clock.session, weights=(clock.written_steps_us < 0) & ~is_restart)
    few = np.minimum(_FEW_BACK, n_steps // 3)  # a few happen in short sessions, too
    is_unordered = (n_back > UNORDERED_SHARE * n_steps) & (n_back > few)
    return (is_unordered | (n_long > _MOST_BACK))[clock.session]


@dataclass(frozen=True)
class _Path:
    """The moves of a part of a session, in some order."""

    t_us: Int64[np.ndarray, " moves"]
    place_px: Complex64[np.ndarray, " moves"]

    @classmethod
    def of(
        cls, t_us: Int64[np.ndarray, " events"], place_px: Complex64[np.ndarray, " events"]
    ) -> "_Path":
        """Return the moves in the order of their times."""
        is_move = ~np.isnan(place_px)
        t_us, place_px = t_us[is_move], place_px[is_move]
        order = np.argsort(t_us, kind="stable")
        return cls(t_us[order], place_px[order])

    def steps(self) -> tuple[Int64[np.ndarray, " steps"], Float64[np.ndarray, " steps"]]:
        """Return the time and the distance from each move to the next."""
        return np.diff(self.t_us), np.abs(np.diff(self.place_px)).astype(np.float64)


def _is_set_back(before: _Path, after: _Path, is_likelier: bool) -> bool:
    """Say whether a step back is a clock that was set, and no batch that came late.

    The moves are put in both orders: those behind the step after all others, as a clock that was
    set has them, or by time. In the right one a move is near the one before. A step surprises by
    how far it leads, measured by how far the pointer usually is after such a time, and if it takes
    long. Runs of two clocks take turns again and again, batches do it a few times. `is_likelier`
    decides where both are as likely.
    """
    n_before, n_after = len(before.t_us), len(after.t_us)
    if not n_before or not n_after:
        return is_likelier
    t_us = np.concatenate([before.t_us, after.t_us])
    follow = _Path(t_us, np.concatenate([before.place_px, after.place_px]))
    order = np.argsort(t_us, kind="stable")
    merged = _Path(t_us[order], follow.place_px[order])
    is_after = order >= n_before
    n_turns = int(np.count_nonzero(is_after[1:] != is_after[:-1]))
    usual_us = max(_usual_step(before, after), 1)
    step_px = np.concatenate([before.steps()[1], after.steps()[1]])
    usual_px = float(np.median(step_px[step_px > 0])) if np.any(step_px > 0) else 1.0

    follow_us, follow_px = follow.steps()
    follow_us[n_before - 1] = usual_us  # when the clock was set: nobody measured it
    surprise_if_set = _surprise(follow_us / usual_us, follow_px / usual_px, usual_us)
    merged_us, merged_px = merged.steps()
    surprise_if_late = _surprise(merged_us / usual_us, merged_px / usual_px, usual_us)
    surprise_if_late += np.log(max(n_turns, _TURNS_OF_BATCHES) / _TURNS_OF_BATCHES)
    if abs(surprise_if_set - surprise_if_late) < _SMALLEST_EVIDENCE:
        return is_likelier
    return bool(surprise_if_set < surprise_if_late)


def _surprise(
    intervals: Float64[np.ndarray, " steps"],
    distances: Float64[np.ndarray, " steps"],
    usual_us: int,
) -> float:
    """Return how unusual steps are, as a sum of logarithms: one long jump isn't all that counts.

    Both are measured by what is usual. A hand strays from its place with the square root of time.
    """
    strayed = np.log1p(distances / np.sqrt(np.maximum(intervals, 1)))
    rested = np.log(np.maximum(intervals * usual_us / _SHORT_REST_US, 1))
    return float(strayed.sum() + _WEIGHT_OF_REST * rested.sum())


def _usual_step(*paths: _Path) -> int:
    """Return the usual time from one event to the next, which nobody measured at a set clock."""
    steps = np.concatenate([path.steps()[0] for path in paths])
    steps = np.sort(steps[steps > 0])
    return min(int(steps[(len(steps) - 1) // 2]), _LONGEST_STEP_US) if len(steps) else 0


def sort_times(clock: Clock) -> tuple[Clock, int]:
    """Sort each session by time, and count the steps back; equal times stay in file order."""
    if clock.step_counts.shortest_us >= 0:
        return clock, 0
    is_back = clock.steps_us < 0
    unsorted = np.flatnonzero(np.isin(clock.session, np.unique(clock.session[is_back])))
    order = np.arange(len(clock))
    order[unsorted] = unsorted[np.lexsort((clock.t_us[unsorted], clock.session[unsorted]))]
    return clock.take(order), int(is_back.sum())
