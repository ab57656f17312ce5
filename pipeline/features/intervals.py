"""Measure the times between events: their median, the commonest, a recorder's clock, and rests.

Three limits on time stand here side by side, since they mean different things: a rest ends a
movement, a pause is only counted, and `ResampleConfig.longest_rest_ms` (a little more than a
rest, so that a shortened rest still is one) is what remains of a rest before a window is drawn.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int64

from pipeline.sessions.jumps import find_jumps
from pipeline.sessions.ragged import Grouping, ratio
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import Windows

REST_MS: Final = 120.0
"""No new position for longer is a rest ..."""
REST_INTERVALS: Final = 4.0
"""... if it is also this many median intervals, since some recorders are slow."""
PAUSE_MS: Final = 100.0
"""A longer interval counts into `pause_share`, whatever the recorder's clock."""

CLOCK_BINS_PER_OCTAVE: Final = 2
SHORTEST_CLOCK_MS, N_CLOCK_OCTAVES = 1.0, 13  # to 8 s; the outermost bins hold the rest
N_CLOCK_BINS: Final = 1 + N_CLOCK_OCTAVES * CLOCK_BINS_PER_OCTAVE + 1
"""Half an octave each; the first is for events with one time stamp."""

_LENGTH_BITS = 40  # an interval of more than 12 days counts as 12 days
_LONGEST_US = (1 << _LENGTH_BITS) - 1


@dataclass(frozen=True)
class Intervals:
    """The times between successive events of sessions or windows; an empty one gives 0.

    While the pointer was away nothing was recorded: a jump's time is none between events.
    """

    groups: Grouping
    us: Int64[np.ndarray, " intervals"]

    @classmethod
    def of_sessions(
        cls, sessions: Sessions, is_within: Bool[np.ndarray, " pairs"] | None = None
    ) -> "Intervals":
        """Return the intervals of each session; `is_within` is what `within_sessions` gave."""
        is_within = within_sessions(sessions) if is_within is None else is_within
        owner = sessions.session_of_event[1:][is_within]
        return cls(Grouping(owner, len(sessions)), np.diff(sessions.t_us)[is_within])

    @cached_property
    def n(self) -> Int64[np.ndarray, " groups"]:
        """Return the number of intervals of each group."""
        return self.groups.count()

    @cached_property
    def _ordered_us(self) -> Int64[np.ndarray, " intervals"]:
        """Each group's intervals from short to long: one sort of whole numbers is the fastest."""
        group = self.groups.of << _LENGTH_BITS
        return np.sort(group | np.clip(self.us, 0, _LONGEST_US)) & _LONGEST_US

    @cached_property
    def median_ms(self) -> Float64[np.ndarray, " groups"]:
        """Return the median interval of each group."""
        ordered_ms = np.append(self._ordered_us, 0) / 1000
        first = np.cumsum(self.n) - self.n
        low, high = (first + np.maximum(self.n + shift, 0) // 2 for shift in (-1, 0))
        return np.where(self.n > 0, (ordered_ms[low] + ordered_ms[high]) / 2, 0)

    def modal_share(self) -> Float64[np.ndarray, " groups"]:
        """Return the share of the commonest interval, in whole ms."""
        whole_ms = (self._ordered_us + 500) // 1000
        group = np.repeat(np.arange(self.groups.n), self.n)
        is_new = (np.diff(whole_ms, prepend=-1) != 0) | (np.diff(group, prepend=-1) != 0)
        first = np.flatnonzero(is_new)
        n_equal = np.diff(np.append(first, len(whole_ms))).astype(np.float64)
        commonest = Grouping(group[first], self.groups.n).max(n_equal)
        return ratio(commonest, self.n.astype(np.float64))

    def clock_shares(self) -> Float64[np.ndarray, "groups bins"]:
        """Return how the intervals are spread, as shares: half an octave a bin.

        An interval between two bins counts for both, by how near they are: a clock that ticks
        on the border of two bins would else look like two clocks.
        """
        interval_ms, n = self.us / 1000, self.groups.n
        octave = np.log2(np.maximum(interval_ms, SHORTEST_CLOCK_MS) / SHORTEST_CLOCK_MS)
        place = 1 + np.minimum(octave * CLOCK_BINS_PER_OCTAVE, N_CLOCK_BINS - 2)
        place[interval_ms <= 0] = 0
        low = np.floor(place).astype(np.int64)
        high = np.minimum(low + 1, N_CLOCK_BINS - 1)
        cell = self.groups.of * N_CLOCK_BINS
        count = np.bincount(cell + low, 1 - (place - low), n * N_CLOCK_BINS)
        count += np.bincount(cell + high, place - low, n * N_CLOCK_BINS)
        count = count.reshape(n, N_CLOCK_BINS)
        return count / np.maximum(count.sum(axis=1, keepdims=True), 1)


def within_sessions(sessions: Sessions) -> Bool[np.ndarray, " pairs"]:
    """Mark where an event and the next are of one session, and no jump is between them."""
    is_within = ~find_jumps(sessions)[1:]
    firsts = sessions.offsets[:-1][sessions.n_events > 0]
    is_within[firsts[1:] - 1] = False
    return is_within


def rest_limit_ms(
    median_ms: Float64[np.ndarray, " sessions"],
    rest_ms: float = REST_MS,
    rest_intervals: float = REST_INTERVALS,
) -> Float64[np.ndarray, " sessions"]:
    """Return how long nothing moves in a rest, at least, by the sessions' median intervals."""
    return np.maximum(rest_ms, rest_intervals * median_ms)


def window_rows(
    windows: Windows, n_rows: Int64[np.ndarray, " windows"]
) -> tuple[Grouping, Int64[np.ndarray, " rows"]]:
    """Return the first `n_rows` events of each window, end to end, and the window of each."""
    window = np.repeat(np.arange(len(windows)), n_rows)
    place = np.arange(len(window)) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows)
    return Grouping(window, len(windows)), windows.start[window] + place
