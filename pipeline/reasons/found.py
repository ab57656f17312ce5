"""Sessions and what is usual in, the reasons table out: each with its value and what is usual."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64

from pipeline.reasons.codes import MEASURED, PROFILE, Code
from pipeline.reasons.measures import MEASURES, measure_sessions
from pipeline.reasons.usual import LEVELS, Usual
from pipeline.schemas import REASONS
from pipeline.sessions import Sessions

_STRONGEST = 99.0
_LEAST = 1e-6  # on a scale of octaves: 0 is this


class _Found(NamedTuple):
    """Reasons as columns, each session's strongest first."""

    session: Int64[np.ndarray, " reasons"]
    number: Int64[np.ndarray, " reasons"]  # in MEASURED
    value: Float64[np.ndarray, " reasons"]
    low: Float64[np.ndarray, " reasons"]
    high: Float64[np.ndarray, " reasons"]
    strength: Float64[np.ndarray, " reasons"]


def find_reasons(sessions: Sessions, usual: Usual) -> pa.Table:
    """Return the `REASONS` of sessions: in their order, each session's strongest first."""
    found = _find(sessions, usual)
    units = np.array([MEASURES[code.measure].unit for code in MEASURED], object)
    columns = [
        pa.array(sessions.session_id[found.session], pa.string()),
        pa.array(_NAMES[found.number], pa.string()).dictionary_encode(),
        *(pa.array(column, pa.float32()) for column in (found.value, found.low, found.high)),
        pa.array(units[found.number], pa.string()).dictionary_encode(),
        pa.array(np.minimum(found.strength, _STRONGEST), pa.float32()),
    ]
    return pa.table(columns, schema=REASONS)


def reason_lists(
    sessions: Sessions, usual: Usual, unlike_profile: Bool[np.ndarray, " sessions"] | None = None
) -> pa.ListArray:
    """Return the codes of each session as the column of `SCORES` holds them.

    Where the account's profile speaks against a session, that is its first reason.
    """
    session, number, *_ = _find(sessions, usual)
    names = _NAMES[number]
    if unlike_profile is not None:
        unlike = np.flatnonzero(unlike_profile)
        session = np.concatenate([unlike, session])
        names = np.concatenate([np.full(len(unlike), PROFILE, object), names])
        order = np.argsort(session, kind="stable")
        session, names = session[order], names[order]
    offsets = np.searchsorted(session, np.arange(len(sessions) + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(names, pa.string()))


_NAMES = np.array([code.name for code in MEASURED], object)


def _find(sessions: Sessions, usual: Usual) -> _Found:
    """Compare every measure of every session with what is usual.

    A session from a recorder much faster or slower than all that were measured is not
    compared in what the recorder decides.
    """
    values, interval_ms = measure_sessions(sessions)
    knows_recorder = usual.knows(interval_ms)
    parts = []
    for number, code in enumerate(MEASURED):
        value = values[code.measure]
        if MEASURES[code.measure].of_recorder:
            value = np.where(knows_recorder, value, np.nan)
        levels = usual.of(code.measure, sessions.n_events)
        strength = _strength(code, value, levels)
        session = np.flatnonzero(strength >= 1)
        _, low, _, high, _ = levels[session].T
        numbers = np.full(len(session), number)
        parts.append(_Found(session, numbers, value[session], low, high, strength[session]))
    found = _Found(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    order = np.lexsort((found.number, -found.strength, found.session))
    return _Found(*(column[order] for column in found))


def _strength(
    code: Code,
    value: Float64[np.ndarray, " sessions"],
    levels: Float64[np.ndarray, "sessions levels"],
) -> Float64[np.ndarray, " sessions"]:
    """Return how far each value is from the middle, where the limit is 1; NaN: not known.

    The limit is the people's or the code's own floor, whichever is farther out.
    """
    is_high = code.side == "high"
    limit = levels[:, -1] if is_high else levels[:, 0]
    limit = np.maximum(limit, code.floor) if is_high else np.minimum(limit, code.floor)
    middle = levels[:, LEVELS.index(0.5)]
    if MEASURES[code.measure].scale == "log":
        value, limit, middle = (np.log(np.maximum(x, _LEAST)) for x in (value, limit, middle))
    reach = limit - middle
    return np.divide(value - middle, reach, out=np.full(len(value), np.nan), where=reach != 0)
