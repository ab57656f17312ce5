"""Find the reasons of sessions: each with its value and the reference range."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64

from pipeline.reasons.account import AccountRanges, find_deviations
from pipeline.reasons.reference import QUANTILES, ReferenceRanges
from pipeline.reasons.registry import (
    ACCOUNT_MEASURES,
    CODES,
    DIFFERS,
    MEASURED,
    MEASURES,
    UNLIKE_PROFILE,
    MeasuredReason,
    measure_sessions,
)
from pipeline.schemas import REASONS
from pipeline.sessions.sessions import Sessions

_STRONGEST = 99.0
_LEAST = 1e-6  # on a scale of octaves: 0 is this


class _Found(NamedTuple):
    """Reasons as columns, each session's strongest first."""

    session: Int64[np.ndarray, " reasons"]
    code: Int64[np.ndarray, " reasons"]  # in _CODES
    measure: Int64[np.ndarray, " reasons"]  # in _MEASURES
    value: Float64[np.ndarray, " reasons"]
    low: Float64[np.ndarray, " reasons"]
    high: Float64[np.ndarray, " reasons"]
    strength: Float64[np.ndarray, " reasons"]


def find_reasons(
    sessions: Sessions,
    reference: ReferenceRanges,
    ranges: AccountRanges | None = None,
    is_flagged: Bool[np.ndarray, " sessions"] | None = None,
) -> pa.Table:
    """Return the `REASONS` of sessions: in their order, each session's strongest first.

    With the ranges of enrolled accounts, also the two measures in which a session differs from
    its own account; of one that is flagged, those in which it differs most, if none is far.
    """
    found = _find(sessions, reference, ranges, is_flagged)
    columns = [
        pa.array(sessions.session_id[found.session], pa.string()),
        pa.array(_NAMES[found.code], pa.string()).dictionary_encode(),
        pa.array(_MEASURE_NAMES[found.measure], pa.string()).dictionary_encode(),
        *(pa.array(column, pa.float32()) for column in (found.value, found.low, found.high)),
        pa.array(_UNITS[found.measure], pa.string()).dictionary_encode(),
        pa.array(np.minimum(found.strength, _STRONGEST), pa.float32()),
    ]
    return pa.table(columns, schema=REASONS)


def reason_lists(
    sessions: Sessions,
    reference: ReferenceRanges,
    ranges: AccountRanges | None = None,
    is_flagged: Bool[np.ndarray, " sessions"] | None = None,
) -> pa.ListArray:
    """Return the codes of each session, once each, as the column of `SCORES` holds them."""
    session, code, *_ = _find(sessions, reference, ranges, is_flagged)
    _, first = np.unique(session * len(_CODES) + code, return_index=True)
    first.sort()
    session, code = session[first], code[first]
    offsets = np.searchsorted(session, np.arange(len(sessions) + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(_NAMES[code], pa.string()))


_CODES = (*MEASURED, CODES[UNLIKE_PROFILE], CODES[DIFFERS])
_MEASURES = MEASURES | ACCOUNT_MEASURES
_NAMES = np.array([reason.code for reason in _CODES], object)
_MEASURE_NAMES = np.array(list(_MEASURES), object)
_UNITS = np.array([measure.unit for measure in _MEASURES.values()], object)
_NUMBER = {name: number for number, name in enumerate(_MEASURES)}


def _find(
    sessions: Sessions,
    reference: ReferenceRanges,
    ranges: AccountRanges | None,
    is_flagged: Bool[np.ndarray, " sessions"] | None,
) -> _Found:
    """Compare every measure of every session with the ranges of people and of its account."""
    is_compared = ranges is not None and reference.own is not None
    values, interval_ms = measure_sessions(sessions, _MEASURES if is_compared else MEASURES)
    parts = _beyond_people(sessions, reference, values, interval_ms)
    if ranges is not None and reference.own is not None:
        own = find_deviations(values, interval_ms, sessions, ranges, reference.own, is_flagged)
        number = np.array([_NUMBER[name] for name in ACCOUNT_MEASURES])[own.measure]
        code = np.where(own.is_far, len(MEASURED), len(MEASURED) + 1)
        levels = (own.value, own.low, own.high, own.strength)
        parts.append(_Found(own.session, code, number, *levels))
    found = _Found(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    order = np.lexsort((found.code, -found.strength, found.session))
    return _Found(*(column[order] for column in found))


def _beyond_people(
    sessions: Sessions,
    reference: ReferenceRanges,
    values: Mapping[str, Float64[np.ndarray, " sessions"]],
    interval_ms: Float64[np.ndarray, " sessions"],
) -> list[_Found]:
    """Return what is beyond the reference ranges of people, code by code.

    A session of a recorder much faster or slower than all that were measured is not compared
    in what the recorder decides.
    """
    knows_recorder = reference.knows(interval_ms)
    parts = []
    for i, reason in enumerate(MEASURED):
        measure = reason.measure
        value = values[measure.name]
        if measure.of_recorder:
            value = np.where(knows_recorder, value, np.nan)
        levels = reference.of(measure.name, sessions.n_events)
        strength = _strength(reason, value, levels)
        session = np.flatnonzero(strength >= 1)
        _, low, _, high, _ = levels[session].T
        code, number = np.full((2, len(session)), [[i], [_NUMBER[measure.name]]])
        found = (value[session], low, high, strength[session])
        parts.append(_Found(session, code, number, *found))
    return parts


def _strength(
    reason: MeasuredReason,
    value: Float64[np.ndarray, " sessions"],
    levels: Float64[np.ndarray, "sessions levels"],
) -> Float64[np.ndarray, " sessions"]:
    """Return how far each value is from the middle, where the limit is 1; NaN: not known.

    The limit is the people's or the reason's own floor, whichever is farther out.
    """
    is_high = reason.side == "high"
    limit = levels[:, -1] if is_high else levels[:, 0]
    limit = np.maximum(limit, reason.floor) if is_high else np.minimum(limit, reason.floor)
    middle = levels[:, QUANTILES.index(0.5)]
    if reason.measure.scale == "log":
        value, limit, middle = (np.log(np.maximum(x, _LEAST)) for x in (value, limit, middle))
    reach = limit - middle
    return np.divide(value - middle, reach, out=np.full(len(value), np.nan), where=reach != 0)
