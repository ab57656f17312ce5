"""Make the scores table from window logits: a row a session, abstained ones too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import get_args

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Float, Float32, Float64, Int64, Shaped, UInt64

from pipeline.config import Pooling
from pipeline.errors import ConfigError
from pipeline.schemas import SCORES, Kind
from pipeline.scores.recorders import knows_recorders
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import Windows


def short_hashes(session_ids: Sequence[str]) -> UInt64[np.ndarray, " sessions"]:
    """Return a number for each id, the same for the same id and hardly ever for two."""
    return pd.util.hash_array(np.array(session_ids, object), categorize=False)


def repeated_hashes(hashes: UInt64[np.ndarray, " sessions"]) -> UInt64[np.ndarray, " repeated"]:
    """Return the hashes that occur more than once.

    Their ids must be compared: whoever makes two ids share a hash makes nobody drop a session.
    """
    ordered = np.sort(hashes)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


BANDS = ("low", "medium", "high", "abstained")

TARGET_PX = 24.0
"""As wide as the smallest target (WCAG 2.2, success criterion 2.5.8): within that, nobody went
anywhere, and a hand that rests on a mouse trembles as evenly as a script."""

# As plain numbers: NumPy compares small ones with an `IntEnum` ten times as slowly.
_TOUCH = Kind.TOUCH.value
_MOVING = (Kind.MOVE.value, Kind.DRAG.value, _TOUCH)


@dataclass(frozen=True)
class ScorePolicy:
    """What turns a score into a row: thresholds, least events, model and run."""

    threshold: float  # flagged, and band `high`, from here on
    medium_threshold: float  # band `medium` from here on
    min_events: int  # a shorter session abstains
    model_id: str
    run_id: str
    scored_at: datetime  # UTC
    recorders: Mapping[str, int] = field(default_factory=dict)  # that the level was set for

    @property
    def knows_touch(self) -> bool:
        """Say whether a recorder of fingers is among them, as its name says."""
        return any("touch" in name.lower() for name in self.recorders)


def pool_logits(
    window_logits: Float[np.ndarray, " windows"],
    session_of_window: Int64[np.ndarray, " windows"],
    n_sessions: int,
    pooling: Pooling = "mean",
    top_share: float = 0.25,
) -> Float64[np.ndarray, " sessions"]:
    """Return one logit a session, NaN for a session without windows.

    `mean`: all windows count, and one odd window among many is forgiven. `max`: one is
    enough. `top_mean`: the mean of the highest `top_share` of its windows, at least one.
    `logmeanexp`: a smooth maximum; a mean inside the logarithm, not a sum, so that a
    session is not suspicious for being long.
    """
    _check_logits(window_logits)
    if pooling not in get_args(Pooling):
        hint = f"use one of {', '.join(get_args(Pooling))}"
        raise ConfigError("pooling", f"unknown pooling {pooling!r}", hint)
    logits = window_logits.astype(np.float64)
    if pooling == "mean":
        return _mean(logits, session_of_window, n_sessions)
    highest = np.full(n_sessions, -np.inf)
    np.maximum.at(highest, session_of_window, logits)
    if pooling == "max":
        return np.where(np.isfinite(highest), highest, np.nan)
    if pooling == "logmeanexp":
        below = np.exp(logits - highest[session_of_window])
        return highest + np.log(_mean(below, session_of_window, n_sessions))
    is_top = _is_top(logits, session_of_window, n_sessions, top_share)
    return _mean(logits[is_top], session_of_window[is_top], n_sessions)


def worst_window(
    window_logits: Float[np.ndarray, " windows"],
    session_of_window: Int64[np.ndarray, " windows"],
    n_sessions: int,
) -> Int64[np.ndarray, " sessions"]:
    """Return the window with each session's highest logit, the first of equals; -1: none."""
    order = np.lexsort((-window_logits, session_of_window))
    worst = np.full(n_sessions, -1, np.int64)
    sessions, first = np.unique(session_of_window[order], return_index=True)
    worst[sessions] = order[first]
    return worst


def bands_of(
    score: Float[np.ndarray, " sessions"], medium_threshold: float, threshold: float
) -> Shaped[np.ndarray, " sessions"]:
    """Return the band of each score: `abstained` where it is NaN.

    Compared as 32-bit numbers, as they stand in the table: whoever compares the columns
    `fraud_score` and `threshold` gets the same bands.
    """
    score = score.astype(np.float32)
    level = (score >= np.float32(medium_threshold)).astype(np.int8)
    level += score >= np.float32(threshold)
    return np.array(BANDS, object)[np.where(np.isnan(score), len(BANDS) - 1, level)]


def abstain_reasons(
    sessions: Sessions,
    windows: Windows,
    min_events: int,
    other: Shaped[np.ndarray, " sessions"] | None = None,
    knows_touch: bool = False,
) -> Shaped[np.ndarray, " sessions"]:
    """Return why each session abstains, None for one that is scored. The first that applies:

    1. `no_events`: a visit without any event of the pointer
    2. `touch`: all that moves is a finger, and the model was not trained on touch
    3. `too_few_events`: fewer than `min_events`, whatever they are
    4. `no_moves`: no move, drag or touch among them, or they lead no farther than `TARGET_PX`
    5. `too_few_events`: enough in all, but not in a row for a window
    6. what `other` says, such as `no_profile`
    """
    n_windows = np.bincount(windows.session, minlength=len(sessions))
    conditions = [
        sessions.n_events == 0,
        is_touch_alone(sessions) & (not knows_touch),
        sessions.n_events < min_events,
        ~goes_somewhere(sessions),
        n_windows == 0,
    ]
    words = ["no_events", "touch", "too_few_events", "no_moves", "too_few_events"]
    otherwise = np.full(len(sessions), None, object) if other is None else other
    return np.select(conditions, [np.array(word, object) for word in words], otherwise)


def scores_table(
    sessions: Sessions,
    windows: Windows,
    window_logits: Float[np.ndarray, " windows"],
    score: Float[np.ndarray, " sessions"],
    verdict: ScorePolicy,
    other_abstain: Shaped[np.ndarray, " sessions"] | None = None,
    reasons: pa.ListArray | None = None,
) -> pa.Table:
    """Return the `SCORES` table; `score` is calibrated, 0 to 1, NaN without windows."""
    _check_logits(window_logits)
    n = len(sessions)
    reason = abstain_reasons(
        sessions, windows, verdict.min_events, other_abstain, verdict.knows_touch
    )
    abstains = pd.notna(reason)
    score = np.where(abstains, np.nan, score).astype(np.float32)
    _check_scores(score[~abstains])
    columns = {
        "session_id": pa.array(sessions.session_id, pa.string()),
        "account_id": pa.array(sessions.account_id, pa.string()),
        "started_at": _utc(sessions.started_at),
        "fraud_score": pa.array(score, mask=abstains),
        "band": pa.array(
            bands_of(score, verdict.medium_threshold, verdict.threshold), pa.string()
        ).dictionary_encode(),
        "is_flagged": pa.array(score >= np.float32(verdict.threshold)),
        "threshold": pa.array(np.full(n, verdict.threshold, np.float32)),
        "abstain_reason": pa.array(reason, pa.string()),
        "reasons": _no_reasons(n) if reasons is None else reasons,
        "replay_of": pa.nulls(n, pa.string()),  # one session alone doesn't tell
        "recorder": pa.array(sessions.recorder, pa.string()),
        "recorder_known": pa.array(
            knows_recorders(sessions.recorder, verdict.recorders), pa.bool_()
        ),
        "n_events": pa.array(sessions.n_events, pa.int32()),
        "n_windows": pa.array(np.bincount(windows.session, minlength=n), pa.int32()),
        "worst_window_ms": pa.array(
            _worst_window_ms(sessions, windows, window_logits), mask=abstains
        ),
        "model_id": pa.repeat(verdict.model_id, n),
        "run_id": pa.repeat(verdict.run_id, n),
        "scored_at": pa.repeat(pa.scalar(verdict.scored_at, SCORES.field("scored_at").type), n),
        "needs_review": pa.nulls(n, pa.bool_()),  # set last: replays may flag it yet
    }
    return pa.table([columns[name] for name in SCORES.names], schema=SCORES)


def _mean(
    values: Float64[np.ndarray, " windows"],
    session_of_window: Int64[np.ndarray, " windows"],
    n_sessions: int,
) -> Float64[np.ndarray, " sessions"]:
    total = np.bincount(session_of_window, values, n_sessions)
    n = np.bincount(session_of_window, minlength=n_sessions)
    return np.divide(total, n, out=np.full(n_sessions, np.nan), where=n > 0)


def _is_top(
    logits: Float64[np.ndarray, " windows"],
    session_of_window: Int64[np.ndarray, " windows"],
    n_sessions: int,
    top_share: float,
) -> Bool[np.ndarray, " windows"]:
    """Return which windows are among the highest `top_share` of their session."""
    order = np.lexsort((-logits, session_of_window))
    n = np.bincount(session_of_window, minlength=n_sessions)
    rank = np.empty(len(logits), np.int64)
    rank[order] = np.arange(len(logits)) - np.repeat(np.cumsum(n) - n, n)
    return rank < np.maximum(np.ceil(top_share * n), 1)[session_of_window]


def is_touch_alone(sessions: Sessions) -> Bool[np.ndarray, " sessions"]:
    """Return in which sessions all that moves is a finger."""
    is_touch = sessions.kind == _TOUCH
    is_mouse = _is_moving(sessions) & ~is_touch
    return _have_any(sessions, is_touch) & ~_have_any(sessions, is_mouse)


def goes_somewhere(sessions: Sessions) -> Bool[np.ndarray, " sessions"]:
    """Return in which sessions a pointer moves, and farther than across a target."""
    goes = np.zeros(len(sessions), bool)
    has_any = sessions.n_events > 0
    begins = sessions.offsets[:-1][has_any]
    for place in (sessions.x_px, sessions.y_px):
        if len(begins):
            extent = np.maximum.reduceat(place, begins) - np.minimum.reduceat(place, begins)
            goes[has_any] |= extent >= TARGET_PX
    return goes & _have_any(sessions, _is_moving(sessions))


def _is_moving(sessions: Sessions) -> Bool[np.ndarray, " events"]:
    """Say which events are of a pointer that moves; many times as fast as `np.isin`."""
    return np.logical_or.reduce([sessions.kind == kind for kind in _MOVING])


def _have_any(
    sessions: Sessions, is_so: Bool[np.ndarray, " events"]
) -> Bool[np.ndarray, " sessions"]:
    """Return which sessions have any such event."""
    found = sessions.n_events > 0
    found[found] = np.logical_or.reduceat(is_so, sessions.offsets[:-1][found])
    return found


def _worst_window_ms(
    sessions: Sessions, windows: Windows, window_logits: Float[np.ndarray, " windows"]
) -> Int64[np.ndarray, " sessions"]:
    """Return when each session's highest window starts; 0 for one without windows."""
    worst = worst_window(window_logits, windows.session, len(sessions))
    start_ms = np.zeros(len(sessions), np.int64)
    has_one = worst >= 0
    start_ms[has_one] = sessions.t_us[windows.start[worst[has_one]]] // 1000
    return start_ms


def _check_logits(window_logits: Float[np.ndarray, " windows"]) -> None:
    """Raise `FloatingPointError`: no log can cause it, so it is a fault in the program."""
    broken = np.flatnonzero(~np.isfinite(window_logits))
    if len(broken):
        raise FloatingPointError(
            f"{len(broken)} of {len(window_logits)} windows have no finite logit "
            f"(window {broken[0]}: {window_logits[broken[0]]}): a fault of the model, not the log"
        )


def _check_scores(score: Float32[np.ndarray, " scored"]) -> None:
    broken = score[~((score >= 0) & (score <= 1))]
    if len(broken):
        raise FloatingPointError(
            f"{len(broken)} of {len(score)} scores are not in 0..1 (one is {broken[0]}): "
            "a fault of the calibration, not the log"
        )


def _utc(times: Shaped[np.ndarray, " sessions"]) -> pa.Array:
    return pa.array(times, pa.timestamp("us")).cast(SCORES.field("started_at").type)


def _no_reasons(n: int) -> pa.ListArray:
    return pa.ListArray.from_arrays(np.zeros(n + 1, np.int32), pa.array([], pa.string()))
