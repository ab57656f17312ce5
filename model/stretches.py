"""Sessions in, stretches of them out, as sessions come: of any length, by any recorder.

People were recorded for minutes, with one recorder. Whoever calibrates on their recordings as they
are learns nothing of what is commonest in a day's log: short sessions, and another recorder's.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int64

from model.config import AugmentConfig
from pipeline.sessions.resample import throttle_sessions
from pipeline.sessions.sessions import Sessions

_UNTHROTTLED_MS = 1e-3  # a tick of the clock that times are in: every event has its own


def draw_sub_sessions(
    sessions: Sessions,
    weights: Float[np.ndarray, " sessions"],
    n: int,
    shortest: int,
    augment: AugmentConfig,
    rng: np.random.Generator,
) -> tuple[Sessions, Int64[np.ndarray, " stretches"]]:
    """Return `n` stretches of sessions drawn by `weights`, and which session each is of.

    Lengths are drawn evenly on a log scale, from `shortest` events to the whole session. But for
    `augment.same_recorder_share` of them, hands are quicker or slower and recorders throttled as
    in training (`model.augment`).
    """
    parent = rng.choice(len(sessions), n, p=weights / weights.sum())
    n_events = sessions.n_events[parent]
    least = np.minimum(n_events, shortest)
    length = np.rint(least * (n_events / least) ** rng.random(n)).astype(np.int64)
    begin = rng.integers(0, n_events - length + 1)
    offsets = np.append(0, np.cumsum(length))
    first = sessions.offsets[:-1][parent] + begin
    event = np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], length)
    stretches = sessions.gather(parent, event, offsets)
    return _by_another_recorder(stretches, augment, rng), parent


def _by_another_recorder(
    sessions: Sessions, augment: AugmentConfig, rng: np.random.Generator
) -> Sessions:
    """Return sessions as other hands and recorders would have left them, but for some."""
    n = len(sessions)
    as_recorded = rng.random(n) < augment.same_recorder_share
    times = np.exp(rng.uniform(-1, 1, n) * np.log(augment.speed))
    times[as_recorded] = 1.0
    slowest_ms = max(augment.slowest_recorder_ms, 8.0)
    period_ms = np.exp(rng.uniform(np.log(8.0), np.log(slowest_ms), n))
    period_ms[as_recorded | (rng.random(n) >= augment.throttled_share)] = _UNTHROTTLED_MS
    t_us = np.rint(sessions.t_us * np.repeat(times, sessions.n_events)).astype(np.int64)
    return throttle_sessions(replace(sessions, t_us=t_us), period_ms)
