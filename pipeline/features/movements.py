"""Find movements: the events between one rest, click or turn and the next."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Complex128, Int64

from pipeline.errors import ConfigError
from pipeline.features.intervals import (
    REST_INTERVALS,
    REST_MS,
    Intervals,
    rest_limit_ms,
    within_sessions,
)
from pipeline.schemas import Kind
from pipeline.sessions.ragged import Grouping
from pipeline.sessions.sessions import Sessions

_MOVING = (Kind.MOVE, Kind.DRAG, Kind.TOUCH)


@dataclass(frozen=True)
class MovementConfig:
    """What ends a movement."""

    rest_ms: float = REST_MS
    rest_intervals: float = REST_INTERVALS
    detour: float = 0.35  # straying from the chord by more than this share of it: two movements
    detour_px: float = 12.0  # less than this is a wobble, not a detour
    min_events: int = 4  # on either side of a turn; fewer don't make a movement

    def __post_init__(self) -> None:
        """Refuse what can't end a movement."""
        if min(self.rest_ms, self.rest_intervals, self.detour, self.detour_px) <= 0:
            raise ConfigError("movements", f"{self} has a limit that is not above 0")


@dataclass(frozen=True)
class Movements:
    """Movement `i` is the events `first[i]` to `last[i]`, both included, at least three.

    The last event of one may be the first of the next: a click, or the point of a turn.
    """

    first: Int64[np.ndarray, " movements"]
    last: Int64[np.ndarray, " movements"]

    def __len__(self) -> int:
        """Return the number of movements."""
        return len(self.first)


def find_movements(sessions: Sessions, config: MovementConfig = MovementConfig()) -> Movements:
    """Return every movement of every session, in order of events.

    A rest or a button ends one. So does a detour: somebody who went out and came back had
    two aims, and a straight line between the ends would stand still in their place.
    """
    is_end = _rests(sessions, config) | ~np.isin(sessions.kind, _MOVING)
    unsettled = _between(is_end)
    while len(unsettled):
        turned, turn = _detours(sessions, unsettled, config)
        is_end[turn] = True
        unsettled = _halves(unsettled, turned, turn)
    return _between(is_end)


def _between(is_end: Bool[np.ndarray, " events"]) -> Movements:
    """Return the movements from each end to the next that have events in between."""
    ends = np.flatnonzero(is_end)
    is_movement = np.diff(ends) > 1
    return Movements(ends[:-1][is_movement], ends[1:][is_movement])


def _halves(
    movements: Movements, turned: Int64[np.ndarray, " turns"], turn: Int64[np.ndarray, " turns"]
) -> Movements:
    """Return what is before and after each turn; a single segment is no movement."""
    first = np.concatenate([movements.first[turned], turn])
    last = np.concatenate([turn, movements.last[turned]])
    is_movement = last - first > 1
    return Movements(first[is_movement], last[is_movement])


def _rests(sessions: Sessions, config: MovementConfig) -> Bool[np.ndarray, " events"]:
    """Mark events that stand still, and the events on both sides of a gap or a jump."""
    n = len(sessions.t_us)
    if n == 0:
        return np.zeros(0, bool)
    is_within = within_sessions(sessions)
    intervals = Intervals.of_sessions(sessions, is_within)
    rest_us = 1000 * rest_limit_ms(intervals.median_ms, config.rest_ms, config.rest_intervals)
    is_gap = np.diff(sessions.t_us) > np.repeat(rest_us, sessions.n_events)[1:]
    is_gap |= ~is_within
    is_end = np.append(True, is_gap) | np.append(is_gap, True)

    x_px, y_px, session = sessions.x_px, sessions.y_px, sessions.session_of_event
    moves = (x_px[1:] != x_px[:-1]) | (y_px[1:] != y_px[:-1]) | (session[1:] != session[:-1])
    first = np.flatnonzero(np.append(True, moves))
    last = np.append(first[1:], n) - 1
    is_long = sessions.t_us[last] - sessions.t_us[first] > rest_us[session[first]]
    return is_end | np.repeat(is_long, last - first + 1)


def _detours(
    sessions: Sessions, movements: Movements, config: MovementConfig
) -> tuple[Int64[np.ndarray, " turns"], Int64[np.ndarray, " turns"]]:
    """Return which movements stray too far from their chord, and the event that strays most."""
    n_inside = np.maximum(movements.last - movements.first + 1 - 2 * config.min_events, 0)
    movement = np.repeat(np.arange(len(movements)), n_inside)
    place = np.arange(len(movement)) - np.repeat(np.cumsum(n_inside) - n_inside, n_inside)
    event = np.repeat(movements.first + config.min_events, n_inside) + place

    start = _position(sessions, movements.first)
    chord = _position(sessions, movements.last) - start
    length_px = np.abs(chord)
    chord_of_event = chord[movement]
    from_start = _position(sessions, event) - start[movement]
    along = np.conj(chord_of_event) * from_start
    share = np.clip(along.real / (np.maximum(length_px, 1e-9) ** 2)[movement], 0, 1)
    stray_px = np.abs(from_start - share * chord_of_event)

    farthest_px = Grouping(movement, len(movements)).max(stray_px)
    strays = farthest_px > np.maximum(config.detour * length_px, config.detour_px)
    farthest = np.flatnonzero(stray_px == farthest_px[movement])
    turn = np.full(len(movements), -1)
    turn[movement[farthest]] = event[farthest]  # of several the last
    return np.flatnonzero(strays), turn[strays]


def _position(
    sessions: Sessions, event: Int64[np.ndarray, " events"]
) -> Complex128[np.ndarray, " events"]:
    """Return where the pointer was at these events, x + iy in px."""
    position = np.empty(len(event), np.complex128)
    position.real, position.imag = sessions.x_px[event], sessions.y_px[event]
    return position
