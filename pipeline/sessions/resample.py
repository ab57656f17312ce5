"""Resample sessions as one and the same plain recorder would have logged them.

What a recorder adds of its own (its rate, positions between pixels, repeated positions, which
buttons it writes) and what the task decides (how long somebody reads between two movements)
would tell bots from people wherever the two were recorded differently. It is taken away
before anything is learnt, and in the same way before anything is scored.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64

from pipeline.config import ResampleConfig
from pipeline.sessions.jumps import find_jumps
from pipeline.sessions.kinds import Kind
from pipeline.sessions.sessions import EVENT_COLUMNS, Sessions
from pipeline.sessions.windows import Windows


@dataclass(frozen=True)
class Resampled:
    """Resampled sessions, and which of the recorded events each of theirs was."""

    sessions: Sessions
    event: Int64[np.ndarray, " events"]

    def recorded(self, windows: Windows) -> Windows:
        """Return `windows` of the resampled sessions in terms of the recorded events."""
        return Windows(windows.session, self.event[windows.start], self.event[windows.stop - 1] + 1)


def resample(sessions: Sessions, config: ResampleConfig = ResampleConfig()) -> Resampled:
    """Return `sessions` as the plain recorder would have logged them.

    Events are left out, never made up: between two events of a slow recorder nobody knows
    where the pointer was, and a straight line there would look like a script's.
    """
    owner = sessions.session_of_event
    if config.grid_px:
        x_px, y_px = (
            (np.rint(column / config.grid_px) * config.grid_px).astype(np.float32)
            for column in (sessions.x_px, sessions.y_px)
        )
        sessions = replace(sessions, x_px=x_px, y_px=y_px)
    event = np.arange(len(owner))
    if config.period_ms:
        event = event[_is_last_in_tick(sessions.t_us, owner, config.period_ms)]
    if config.changes_only:
        event = event[_is_change(sessions, owner, event, config.buttons)]
    kept = _take_events(sessions, owner, event)
    if config.longest_rest_ms:
        kept = replace(kept, t_us=_shorten_rests(kept, config.longest_rest_ms))
    if not config.buttons:
        kept = replace(kept, kind=np.full_like(kept.kind, Kind.MOVE))
    return Resampled(kept, event)


def throttle_sessions(sessions: Sessions, period_ms: Float64[np.ndarray, " sessions"]) -> Sessions:
    """Return each session as a recorder that writes once in `period_ms` would have logged it."""
    owner = sessions.session_of_event
    kept = _is_last_in_tick(sessions.t_us, owner, period_ms[owner])
    return _take_events(sessions, owner, np.flatnonzero(kept))


def _is_last_in_tick(
    t_us: Int64[np.ndarray, " events"],
    owner: Int64[np.ndarray, " events"],
    period_ms: float | Float64[np.ndarray, " events"],
) -> Bool[np.ndarray, " events"]:
    """Mark what a throttled handler writes: where the pointer was at the end of each tick."""
    tick = (t_us / (1000 * period_ms)).astype(np.int64)
    return np.append((np.diff(tick) != 0) | (np.diff(owner) != 0), True)[: len(tick)]


def _is_change(
    sessions: Sessions,
    owner: Int64[np.ndarray, " events"],
    event: Int64[np.ndarray, " kept"],
    buttons: bool,
) -> Bool[np.ndarray, " kept"]:
    """Mark events in another place than the one before, or (with `buttons`) of another kind."""
    changes = np.diff(owner[event]) != 0
    for column in (sessions.x_px, sessions.y_px, *([sessions.kind] if buttons else [])):
        changes |= np.diff(column[event]) != 0
    return np.insert(changes, 0, True)[: len(event)]


def _take_events(
    sessions: Sessions, owner: Int64[np.ndarray, " events"], event: Int64[np.ndarray, " kept"]
) -> Sessions:
    """Return sessions with only the events at `event`."""
    counts = np.bincount(owner[event], minlength=len(sessions))
    columns = {name: getattr(sessions, name)[event] for name in EVENT_COLUMNS}
    return replace(sessions, **columns, offsets=np.cumsum([0, *counts]).astype(np.int64))


def _shorten_rests(sessions: Sessions, longest_ms: float) -> Int64[np.ndarray, " events"]:
    """Return time stamps between which no more than `longest_ms` pass, but across jumps."""
    interval_us = np.diff(sessions.t_us, prepend=0)
    firsts = sessions.offsets[:-1][sessions.n_events > 0]
    interval_us[firsts] = 0
    shortened = np.minimum(interval_us, int(1000 * longest_ms))
    t_us = np.cumsum(np.where(find_jumps(sessions), interval_us, shortened))
    return t_us - np.repeat(t_us[firsts], sessions.n_events[sessions.n_events > 0])
