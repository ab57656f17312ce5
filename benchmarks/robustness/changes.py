"""Cheap changes of sessions: what anybody can write in an hour.

Every change takes a generator of random numbers and sessions, and gives as many sessions.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
from jaxtyping import Bool, Int64

from benchmarks.replay_attacks import jitter, resample
from pipeline.schemas import Kind
from pipeline.sessions.sessions import Sessions

Change = Callable[[np.random.Generator, Sessions], Sessions]


def as_it_comes(rng: np.random.Generator, sessions: Sessions) -> Sessions:
    """Change nothing."""
    return sessions


def smooth(rng: np.random.Generator, sessions: Sessions, n_events: int) -> Sessions:
    """Put each event where the mean of the `n_events` around it is, within its session."""
    owner = owners(sessions)
    event, half = np.arange(len(owner)), n_events // 2
    first = np.maximum(event - half, sessions.offsets[owner])
    stop = np.minimum(event + half + 1, sessions.offsets[owner + 1])

    def mean(place: np.ndarray) -> np.ndarray:
        total = np.append(0.0, np.cumsum(place, dtype=np.float64))
        return np.rint((total[stop] - total[first]) / (stop - first)).astype(np.float32)

    return replace(sessions, x_px=mean(sessions.x_px), y_px=mean(sessions.y_px))


def at_speed(rng: np.random.Generator, sessions: Sessions, times: float) -> Sessions:
    """Play it `times` as fast."""
    return replace(sessions, t_us=np.rint(sessions.t_us / times).astype(np.int64))


def round_times(rng: np.random.Generator, sessions: Sessions, tick_ms: float) -> Sessions:
    """Round times down to ticks of a clock."""
    tick_us = round(1000 * tick_ms)
    return replace(sessions, t_us=sessions.t_us // tick_us * tick_us)


def pause(
    rng: np.random.Generator, sessions: Sessions, every: int = 40, longest_s: float = 3.0
) -> Sessions:
    """Rest for up to `longest_s` behind every `every`-th event or so."""
    owner = owners(sessions)
    rests = (rng.random(len(owner)) < 1 / every) & (
        np.arange(len(owner)) != sessions.offsets[owner]
    )
    rest_us = np.where(rests, rng.uniform(0.3e6, 1e6 * longest_s, len(owner)), 0).astype(np.int64)
    waited = np.cumsum(rest_us)
    return replace(sessions, t_us=sessions.t_us + waited - waited[sessions.offsets[owner]])


def keep_first(rng: np.random.Generator, sessions: Sessions, n_events: int) -> Sessions:
    """Send the first `n_events` alone."""
    place = np.arange(len(sessions.t_us)) - sessions.offsets[owners(sessions)]
    return kept(sessions, place < n_events)


def drop(rng: np.random.Generator, sessions: Sessions, share: float) -> Sessions:
    """Send a random part of the events, the first and the last in any case."""
    is_kept = rng.random(len(sessions.t_us)) >= share
    is_kept[sessions.offsets[:-1]] = is_kept[sessions.offsets[1:] - 1] = True
    return kept(sessions, is_kept)


def stand_still(rng: np.random.Generator, sessions: Sessions) -> Sessions:
    """Send clicks at one place, and no move: what a script does that needs no pointer."""
    owner = owners(sessions)
    first = sessions.offsets[owner]
    plain = np.full(len(owner), Kind.CLICK, np.int8)
    return replace(sessions, x_px=sessions.x_px[first], y_px=sessions.y_px[first], kind=plain)


CHANGES: Final[Mapping[str, Change]] = {
    "as it comes": as_it_comes,
    **{f"noise, {sd:g} px": partial(jitter, sd_px=sd) for sd in (0.5, 1.0, 2.0, 4.0)},
    **{f"smoothed over {n} events": partial(smooth, n_events=n) for n in (5, 15)},
    **{
        f"resampled to {hz} Hz": partial(resample, period_ms=1000 / hz)
        for hz in (20, 60, 125, 1000)
    },
    **{f"{times:g} times as fast": partial(at_speed, times=times) for times in (0.5, 0.75, 1.5, 2)},
    **{f"times rounded to {ms} ms": partial(round_times, tick_ms=ms) for ms in (10, 16, 50, 100)},
    "rests of up to 3 s, every 40 events": pause,
    **{f"{share:.0%} of the events dropped": partial(drop, share=share) for share in (0.3, 0.6)},
    **{f"the first {n} events alone": partial(keep_first, n_events=n) for n in (60, 20, 7)},
    "clicks at one place, no move": stand_still,
}


def owners(sessions: Sessions) -> Int64[np.ndarray, " events"]:
    """Return the session of each event."""
    return np.repeat(np.arange(len(sessions)), sessions.n_events)


def kept(sessions: Sessions, is_kept: Bool[np.ndarray, " events"]) -> Sessions:
    """Return the sessions with some of their events."""
    counts = np.bincount(owners(sessions)[is_kept], minlength=len(sessions))
    offsets = np.append(0, np.cumsum(counts))
    return sessions.gather(np.arange(len(sessions)), np.flatnonzero(is_kept), offsets)
