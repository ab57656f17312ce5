"""Sessions in, their movements out, as one plain recorder saw them: what reasons measure."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Complex128, Float64, Int64

from pipeline.features.movements import find_movements
from pipeline.features.quantities import elapsed_ms, speed_px_s
from pipeline.sessions.ragged import Grouping
from pipeline.sessions.resample import ResampleConfig, resample
from pipeline.sessions.sessions import Sessions

RECORDER = ResampleConfig(longest_rest_ms=0.0)  # one rate, whole pixels; rests as they were
REST_S = 0.12  # no new position for longer is a rest ...
_REST_INTERVALS = 4.0  # ... if it is also this many usual intervals: some clocks are slow
_FEWEST_EVENTS = 6
_SHORTEST_PX = 40.0
_LONGEST_MS = 255  # intervals are counted up to here


@dataclass(frozen=True)
class Intervals:
    """How often each session has two events how far apart, in whole ms up to 255."""

    count: Int64[np.ndarray, "sessions lengths"]

    @property
    def n(self) -> Int64[np.ndarray, " sessions"]:
        """Return the number of intervals of each session."""
        return self.count.sum(axis=1)

    @property
    def median_ms(self) -> Int64[np.ndarray, " sessions"]:
        """Return the median interval; 0 where there is none."""
        below = np.cumsum(self.count, axis=1)
        return np.argmax(2 * below >= below[:, -1:], axis=1)


@dataclass(frozen=True)
class SessionMotion:
    """The segments of sessions end to end, and which movement each belongs to.

    A movement of fewer than 6 events or 40 px says too little about the hand and is none.
    """

    recorded: Sessions
    intervals: Intervals  # as recorded
    session: Int64[np.ndarray, " segments"]
    step_px: Complex128[np.ndarray, " segments"]  # x + iy
    elapsed_s: Float64[np.ndarray, " segments"]
    is_rest: Bool[np.ndarray, " segments"]
    chosen: Int64[np.ndarray, " moving"]  # the segments of movements
    movement: Grouping  # of the chosen
    session_of_movement: Int64[np.ndarray, " movements"]

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self.recorded)

    @cached_property
    def length_px(self) -> Float64[np.ndarray, " segments"]:
        """Return the length of each segment."""
        return np.abs(self.step_px)

    @cached_property
    def of_session(self) -> Grouping:
        """Return the segments grouped by session."""
        return Grouping(self.session, len(self))

    @cached_property
    def movements_of(self) -> Grouping:
        """Return the movements grouped by session."""
        return Grouping(self.session_of_movement, len(self))

    @cached_property
    def moving_of(self) -> Grouping:
        """Return the segments of movements grouped by session."""
        return Grouping(self.session_of_movement[self.movement.of], len(self))

    @cached_property
    def moving_px(self) -> Float64[np.ndarray, " moving"]:
        """Return the length of each segment of a movement."""
        return self.length_px[self.chosen]

    @cached_property
    def moving_s(self) -> Float64[np.ndarray, " moving"]:
        """Return the duration of each segment of a movement."""
        return self.elapsed_s[self.chosen]

    @cached_property
    def speed_px_s(self) -> Float64[np.ndarray, " moving"]:
        """Return the speed of each segment of a movement."""
        return speed_px_s(self.moving_px, 1000 * self.moving_s)

    @cached_property
    def peak_px_s(self) -> Float64[np.ndarray, " movements"]:
        """Return the highest speed of each movement."""
        return self.movement.max(self.speed_px_s)


def measure_motion(sessions: Sessions) -> SessionMotion:
    """Return the motion of `sessions`. A rest ends a movement, and so does a detour."""
    intervals = _count_intervals(sessions)
    seen = resample(sessions, RECORDER).sessions
    owner = np.repeat(np.arange(len(seen)), seen.n_events)
    first = np.flatnonzero(np.diff(owner) == 0)
    session = owner[first]
    position = seen.x_px.astype(np.float64) + 1j * seen.y_px
    interval_s = (seen.t_us[first + 1] - seen.t_us[first]) / 1e6
    usual_s = np.maximum(intervals.median_ms, RECORDER.period_ms) / 1000
    rest_s = np.maximum(REST_S, _REST_INTERVALS * usual_s)
    is_rest = interval_s > rest_s[session]
    step_px = position[first + 1] - position[first]
    chosen, movement, session_of_movement = _movements(seen, first, session, np.abs(step_px))
    return SessionMotion(
        recorded=sessions,
        intervals=intervals,
        session=session,
        step_px=step_px,
        elapsed_s=elapsed_ms(1000 * interval_s) / 1000,
        is_rest=is_rest,
        chosen=chosen,
        movement=movement,
        session_of_movement=session_of_movement,
    )


def _count_intervals(sessions: Sessions) -> Intervals:
    owner = np.repeat(np.arange(len(sessions)), sessions.n_events)
    is_within = np.diff(owner) == 0
    length_ms = np.clip(np.diff(sessions.t_us) // 100 + 5, 0, 10 * _LONGEST_MS) // 10  # rounded
    n = _LONGEST_MS + 1
    cell = (owner[1:] * n + length_ms)[is_within]
    return Intervals(np.bincount(cell, minlength=len(sessions) * n).reshape(-1, n))


def _movements(
    seen: Sessions,
    first: Int64[np.ndarray, " segments"],
    session: Int64[np.ndarray, " segments"],
    length_px: Float64[np.ndarray, " segments"],
) -> tuple[Int64[np.ndarray, " moving"], Grouping, Int64[np.ndarray, " movements"]]:
    """Return the segments of movements, which movement each is of, and whose they are."""
    found = find_movements(seen)
    begin = np.searchsorted(first, found.first)  # segment i starts at event first[i]
    n = found.last - found.first
    covered_px = np.append(0, np.cumsum(length_px))
    is_enough = n >= _FEWEST_EVENTS - 1
    is_enough &= covered_px[begin + n] - covered_px[begin] >= _SHORTEST_PX
    begin, n = begin[is_enough], n[is_enough]
    number = np.repeat(np.arange(len(n)), n)
    chosen = np.arange(len(number)) + np.repeat(begin - (np.cumsum(n) - n), n)
    return chosen, Grouping(number, len(n)), session[begin]
