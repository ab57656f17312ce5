"""Sessions and their scores in, what is watched of them out: one value a session and measure."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa
from jaxtyping import Shaped

from pipeline.reductions import Grouping
from pipeline.sessions import Sessions

Measures = Mapping[str, Shaped[np.ndarray, " sessions"]]
"""By name. Numbers (NaN: not known, and left out) or words."""

UNITS: Final[Mapping[str, str]] = {
    "fraud_score": "0 to 1",
    "band": "",
    "abstain_reason": "",
    "n_events": "events",
    "duration_s": "s",
    "events_per_s": "events/s",
    "interval_median_ms": "ms",
    "screen": "px",
    "source": "",
}
"""What is watched, and in what unit; those without one are words."""

JUDGED: Final = "judged"  # stands for "no reason to abstain"
_UNKNOWN: Final = "unknown"


def session_measures(sessions: Sessions) -> dict[str, Shaped[np.ndarray, " sessions"]]:
    """Return how long, how dense, on which screen, and by whom sessions were recorded."""
    n_events = sessions.n_events
    first = sessions.offsets[:-1]
    filled = n_events > 0
    duration_s = np.full(len(sessions), np.nan)
    last_us = sessions.t_us[sessions.offsets[1:][filled] - 1]
    duration_s[filled] = (last_us - sessions.t_us[first[filled]]) / 1e6
    per_s = np.divide(
        n_events - 1, duration_s, out=np.full(len(sessions), np.nan), where=duration_s > 0
    )
    return {
        "n_events": n_events.astype(np.float64),
        "duration_s": duration_s,
        "events_per_s": per_s,
        "interval_median_ms": _median_interval_ms(sessions),
        "screen": _screens(sessions),
        "source": sessions.source.astype(object),
    }


def score_measures(scores: pa.Table) -> dict[str, Shaped[np.ndarray, " sessions"]]:
    """Return what rows of a `SCORES` table say."""
    reasons = scores["abstain_reason"].fill_null(JUDGED)
    return {
        "fraud_score": scores["fraud_score"].to_numpy().astype(np.float64),
        "band": np.array(scores["band"].cast(pa.string()).to_pylist(), object),
        "abstain_reason": np.array(reasons.to_pylist(), object),
    }


def _median_interval_ms(sessions: Sessions) -> Shaped[np.ndarray, " sessions"]:
    """Return the median time between events, NaN for a session of one."""
    owner = np.repeat(np.arange(len(sessions)), sessions.n_events)
    inside = owner[1:] == owner[:-1]
    interval_ms = np.diff(sessions.t_us)[inside] / 1e3
    of_session = Grouping(owner[1:][inside], len(sessions))
    median = of_session.median(interval_ms).astype(np.float64)
    median[of_session.count() == 0] = np.nan
    return median


def _screens(sessions: Sessions) -> Shaped[np.ndarray, " sessions"]:
    sizes = zip(sessions.viewport_width.tolist(), sessions.viewport_height.tolist(), strict=True)
    return np.array([f"{w}x{h}" if w and h else _UNKNOWN for w, h in sizes], object)
