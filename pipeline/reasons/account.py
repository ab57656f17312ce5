"""Accounts' sessions in, how constant a hand is out; and sessions that are unlike their account.

How far a session is from its account in a habit: from the median of the account's stretches,
in halves of the account's range, or of people's common range where the account's is narrower.
What is far is what people's sessions hardly ever are from their own other sessions. It takes
two habits: a single one changes with the mouse, the page, the day.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float64, Int64, Shaped

from pipeline.reasons.measures import ACCOUNT_MEASURES, measure_sessions
from pipeline.schemas import SUB_SESSION
from pipeline.sessions.ragged import Grouping
from pipeline.sessions.sessions import EVENT_COLUMNS, Sessions

MAX_SUB_SESSIONS: Final = 32  # of one session: who was recorded for hours counts no more


def cut_sub_sessions(
    sessions: Sessions, length: int
) -> tuple[Sessions, Int64[np.ndarray, " stretches"]]:
    """Return stretches of `length` events, spread over each session, and which it is of."""
    n_all = sessions.n_events // length
    n = np.minimum(n_all, MAX_SUB_SESSIONS)
    of_session = np.repeat(np.arange(len(sessions)), n)
    place = np.arange(len(of_session)) - np.repeat(np.cumsum(n) - n, n)
    spread = place * n_all[of_session] // np.maximum(n, 1)[of_session]
    start = sessions.offsets[of_session] + spread * length
    event = (start[:, None] + np.arange(length)).ravel()
    columns = {name: getattr(sessions, name)[event] for name in EVENT_COLUMNS}
    columns["t_us"] = columns["t_us"] - np.repeat(sessions.t_us[start], length)
    ids = [f"{sessions.session_id[i]}@{j}" for i, j in zip(of_session, place, strict=True)]
    columns |= {
        name: getattr(sessions, name)[of_session]
        for name in Sessions.__dataclass_fields__
        if name not in (*EVENT_COLUMNS, "offsets", "session_id")
    }
    offsets = np.arange(len(of_session) + 1, dtype=np.int64) * length
    rows = Sessions(**columns, session_id=np.array(ids, object), offsets=offsets)
    return rows, of_session


SUB_SESSION_LENGTHS: Final = (128, 256, 512)  # events
"""Habits are measured on stretches of these lengths: a long one's are steadier."""

_LEVELS = (0.1, 0.5, 0.9)  # of the account's stretches: low, middle, high
_FEWEST_OWN = 8  # stretches of an account: of fewer no range is known
_IS_LOG = np.array([habit.scale == "log" for habit in ACCOUNT_MEASURES.values()])
_LEAST = 1e-6  # on a scale of octaves: 0 is this


class SubSessions(NamedTuple):
    """Habits of stretches, a row each."""

    of: Int64[np.ndarray, " stretches"]  # whose
    n_events: Int64[np.ndarray, " stretches"]
    interval_ms: Float64[np.ndarray, " stretches"]
    values: Float64[np.ndarray, "stretches habits"]  # NaN: from too little

    def take(self, chosen: Shaped[np.ndarray, " chosen"]) -> "SubSessions":
        """Return the stretches at `chosen`."""
        return SubSessions(*(column[chosen] for column in self))


@dataclass(frozen=True)
class AccountRanges:
    """Between what each account's habits range; an account may have several, one a device."""

    account: Shaped[np.ndarray, " ranges"]  # sorted
    levels: Float64[np.ndarray, "levels ranges lengths habits"]  # on scale; NaN: too few
    interval_ms: Float64[np.ndarray, "limits ranges"]  # of the recorders

    @classmethod
    def of(cls, account: Shaped[np.ndarray, " ranges"], stretches: SubSessions) -> "AccountRanges":
        """Return the range of each of `account`, of which stretch `i` is number `of[i]`."""
        stretches = stretches.take(np.isin(stretches.n_events, SUB_SESSION_LENGTHS))
        n, n_lengths = len(account), len(SUB_SESSION_LENGTHS)
        group = stretches.of * n_lengths + np.searchsorted(SUB_SESSION_LENGTHS, stretches.n_events)
        levels = [
            _quantiles(column, Grouping(group, n * n_lengths), _LEVELS, _FEWEST_OWN)
            for column in on_scale(stretches.values).T
        ]
        shape = (len(_LEVELS), n, n_lengths, len(ACCOUNT_MEASURES))
        interval_ms = _quantiles(stretches.interval_ms, Grouping(stretches.of, n), (0.01, 0.99), 1)
        return cls(account, np.stack(levels, axis=-1).reshape(shape), interval_ms)


def on_scale(values: Float64[np.ndarray, "*rows habits"]) -> Float64[np.ndarray, "*rows habits"]:
    """Return habits on the scale on which their distances count: logarithms, or as they are."""
    return np.where(_IS_LOG, np.log(np.maximum(values, _LEAST)), values)


def from_scale(
    values: Float64[np.ndarray, " rows"], habit: Int64[np.ndarray, " rows"]
) -> Float64[np.ndarray, " rows"]:
    """Return in its unit what `on_scale` gave of each habit."""
    is_log = _IS_LOG[habit]
    return np.where(is_log, np.exp(np.where(is_log, values, 0)), values)


def measure_sub_sessions(sessions: Sessions) -> SubSessions:
    """Return the habits of stretches of each session, of each length that it fills."""
    parts = []
    for length in SUB_SESSION_LENGTHS:
        cut, of = cut_sub_sessions(sessions, length)
        values, interval_ms = measure_sessions(cut, ACCOUNT_MEASURES)
        columns = np.stack([values[name] for name in ACCOUNT_MEASURES], axis=1)
        parts.append(SubSessions(of, np.full(len(of), length), interval_ms, columns))
    return SubSessions(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def sub_sessions_column(sessions: Sessions) -> pa.ListArray:
    """Return `measure_sub_sessions` as the column of `PROFILES` holds them."""
    stretches = measure_sub_sessions(sessions)
    stretches = stretches.take(np.argsort(stretches.of, kind="stable"))
    columns = {
        "n_events": stretches.n_events,
        "interval_ms": stretches.interval_ms,
        **dict(zip(ACCOUNT_MEASURES, stretches.values.T, strict=True)),
    }
    arrays = [pa.array(columns[field.name], field.type, from_pandas=True) for field in SUB_SESSION]
    offsets = np.searchsorted(stretches.of, np.arange(len(sessions) + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(arrays, fields=SUB_SESSION))


def account_ranges(profiles: pa.Table) -> AccountRanges:
    """Return the ranges of every account and device in a `PROFILES` table."""
    keys = profiles.select(["account_id", "device"]).to_pandas()
    whose, names = pd.factorize(pd.MultiIndex.from_frame(keys), sort=True)
    column = profiles["stretches"].combine_chunks()
    rows = column.flatten()
    named = {
        field.name: rows.field(field.name).to_numpy(zero_copy_only=False).astype(np.float64)
        for field in SUB_SESSION
    }
    stretches = SubSessions(
        of=whose[pc.list_parent_indices(column).to_numpy()].astype(np.int64),
        n_events=named["n_events"].astype(np.int64),
        interval_ms=named["interval_ms"],
        values=np.stack([named[name] for name in ACCOUNT_MEASURES], axis=1),
    )
    return AccountRanges.of(np.array([account for account, _ in names], object), stretches)


def _quantiles(
    values: Float64[np.ndarray, " rows"],
    groups: Grouping,
    shares: tuple[float, ...],
    fewest: int,
) -> Float64[np.ndarray, "shares groups"]:
    """Return quantiles of the values that are known; NaN in a group of too few."""
    known = np.isfinite(values)
    of_group = groups.where(known)
    found = np.stack([of_group.quantile(values[known], share) for share in shares])
    return np.where(of_group.count() >= fewest, found, np.nan)


N_DEVIATING: Final = 2
"""In so many habits a session is far from its account, or it isn't unlike it."""

_RARE = 0.005  # of people's own sessions are farther than what is far
_FEWEST = 100  # stretches compared in training: of fewer it isn't known what is far
_MOST_SESSIONS = 2_000  # compared in training, spread evenly
_CLOCK_MARGIN = 1.5  # a recorder so many times as slow or as fast shows other habits
_LOW, _MIDDLE, _HIGH = range(3)  # of `AccountRanges.levels`


class Deviations(NamedTuple):
    """Habits in which a session is farthest from its account, `N_DEVIATING` rows a session."""

    session: Int64[np.ndarray, " rows"]
    habit: Int64[np.ndarray, " rows"]  # in ACCOUNT_MEASURES
    value: Float64[np.ndarray, " rows"]
    low: Float64[np.ndarray, " rows"]
    high: Float64[np.ndarray, " rows"]
    strength: Float64[np.ndarray, " rows"]  # 1: at the limit


@dataclass(frozen=True)
class Constancy:
    """How wide people's habits range, and how far from its account a session hardly ever is."""

    half_width: Float64[np.ndarray, "lengths habits"]  # on scale; NaN: too few to know
    limit: Float64[np.ndarray, " lengths"]  # in half widths

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it; null: too few to know."""
        widths = zip(ACCOUNT_MEASURES, map(_listed, self.half_width.T), strict=True)
        return {
            "lengths": list(SUB_SESSION_LENGTHS),
            "half_width": dict(widths),
            "limit": _listed(self.limit),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Constancy":
        """Return what `to_json` gave."""
        half_width = np.array(
            [found["half_width"][name] for name in ACCOUNT_MEASURES], np.float64
        ).T
        limit = np.array(found["limit"], np.float64)
        shapes = (half_width.shape, limit.shape)
        n = len(SUB_SESSION_LENGTHS)
        if tuple(found["lengths"]) != SUB_SESSION_LENGTHS or shapes != (
            (n, len(ACCOUNT_MEASURES)),
            (n,),
        ):
            raise ValueError("own ranges as this version has them")
        return cls(half_width, limit)


def measure_constancy(sessions: Sessions) -> Constancy:
    """Return how constant the hands of legitimate `sessions` are, each account counting alike.

    SubSessions of each session are compared with the account's other sessions.
    """
    codes, factors = pd.factorize(sessions.account_id)
    names = np.array(factors, object)
    stretches = measure_sub_sessions(sessions)
    whose = codes[stretches.of]
    everyone = AccountRanges.of(names, stretches._replace(of=whose))
    half_width = _median((everyone.levels[_HIGH] - everyone.levels[_LOW]) / 2)
    parts, persons = [], []
    spread = np.unique(np.linspace(0, len(sessions) - 1, _MOST_SESSIONS).astype(np.int64))
    for i in spread if len(sessions) else spread[:0]:
        is_tried = stretches.of == i
        others = stretches.take((whose == codes[i]) & ~is_tried)
        ranges = AccountRanges.of(names[:1], others._replace(of=np.zeros_like(others.of)))
        tried = stretches.take(is_tried)
        place = np.searchsorted(SUB_SESSION_LENGTHS, tried.n_events)
        levels = ranges.levels[:, 0, place]
        far = _far(_distances(on_scale(tried.values), levels, half_width[place]))
        parts.append(np.stack([place, far], axis=1))
        persons.append(np.full(len(far), codes[i]))
    place, far = np.concatenate([np.zeros((0, 2)), *parts]).T
    person = np.concatenate([np.zeros(0, np.int64), *persons])
    limit = [_limit(far[place == k], person[place == k]) for k in range(len(SUB_SESSION_LENGTHS))]
    return Constancy(half_width, np.array(limit))


def find_deviations(
    measures: Mapping[str, Float64[np.ndarray, " sessions"]],
    interval_ms: Float64[np.ndarray, " sessions"],
    sessions: Sessions,
    ranges: AccountRanges,
    constancy: Constancy,
) -> Deviations:
    """Return in which habits sessions are unlike the account that they name.

    Of an account's devices the nearest counts. A session is compared with stretches of the
    longest length that it fills and of which the account has enough; it isn't if its recorder
    is another one than all of the account's.
    """
    session, of = _pairs(sessions.account_id, ranges.account)
    values = on_scale(np.stack([measures[name] for name in ACCOUNT_MEASURES], axis=1))[session]
    n_known = np.isfinite(ranges.levels[_MIDDLE]).sum(axis=-1)
    is_usable = (n_known >= N_DEVIATING) & np.isfinite(constancy.limit)
    fits = is_usable[of] & (sessions.n_events[session][:, None] >= np.array(SUB_SESSION_LENGTHS))
    fits &= _knows(ranges, of, interval_ms[session])[:, None]
    place = len(SUB_SESSION_LENGTHS) - 1 - np.argmax(fits[:, ::-1], axis=1)
    levels = ranges.levels[:, of, place]
    distances = _distances(values, levels, constancy.half_width[place])
    strengths = distances / constancy.limit[place][:, None]
    strength = np.where(fits.any(axis=1), _far(strengths), np.nan)
    order = np.lexsort((strength, session))  # NaN last
    nearest = order[np.unique(session[order], return_index=True)[1]]
    unlike = nearest[strength[nearest] >= 1]
    habit = np.argsort(-np.nan_to_num(strengths[unlike]), axis=1, kind="stable")[:, :N_DEVIATING]
    row, number = np.repeat(unlike, N_DEVIATING), habit.ravel()
    return Deviations(
        session[row],
        number,
        from_scale(values[row, number], number),
        from_scale(levels[_LOW, row, number], number),
        from_scale(levels[_HIGH, row, number], number),
        strengths[row, number],
    )


def _pairs(
    account: Shaped[np.ndarray, " sessions"], known: Shaped[np.ndarray, " ranges"]
) -> tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " pairs"]]:
    """Return each session with each range of its account: which session, which range."""
    named = np.flatnonzero([name is not None for name in account])
    begin, end = (np.searchsorted(known, account[named], side) for side in ("left", "right"))
    n = end - begin
    of = np.arange(n.sum()) + np.repeat(begin - (np.cumsum(n) - n), n)
    return np.repeat(named, n), of


def _knows(
    ranges: AccountRanges,
    of: Int64[np.ndarray, " pairs"],
    interval_ms: Float64[np.ndarray, " pairs"],
) -> Bool[np.ndarray, " pairs"]:
    """Return which sessions come from a recorder about as fast as the account's."""
    low, high = ranges.interval_ms[:, of]
    return (interval_ms >= low / _CLOCK_MARGIN) & (interval_ms <= high * _CLOCK_MARGIN)


def _distances(
    values: Float64[np.ndarray, "rows habits"],
    levels: Float64[np.ndarray, "levels rows habits"],
    half_width: Float64[np.ndarray, "rows habits"],
) -> Float64[np.ndarray, "rows habits"]:
    """Return how far each habit is from its range's middle; NaN: not known."""
    half = np.maximum((levels[_HIGH] - levels[_LOW]) / 2, half_width)
    away = np.abs(values - levels[_MIDDLE])
    return np.divide(away, half, out=np.full_like(away, np.nan), where=half > 0)


def _far(distances: Float64[np.ndarray, "rows habits"]) -> Float64[np.ndarray, " rows"]:
    """Return the distance that `N_DEVIATING` habits reach; NaN where fewer are known."""
    ordered = np.sort(np.where(np.isfinite(distances), distances, -1), axis=1)
    reached = ordered[:, -N_DEVIATING]
    return np.where(reached >= 0, reached, np.nan)


def _limit(far: Float64[np.ndarray, " rows"], person: Int64[np.ndarray, " rows"]) -> float:
    """Return what all but the farthest few lie below, each person counting alike.

    It is 1 at least: inside the account's own range nothing is far.
    """
    known = np.isfinite(far)
    if known.sum() < _FEWEST:
        return np.nan
    _, index, n = np.unique(person[known], return_inverse=True, return_counts=True)
    order = np.argsort(far[known])
    below = np.cumsum((1 / n[index])[order])
    return max(float(np.interp((1 - _RARE) * below[-1], below, far[known][order])), 1.0)


def _median(
    half_width: Float64[np.ndarray, "accounts lengths habits"],
) -> Float64[np.ndarray, "lengths habits"]:
    """Return the median of the accounts of which it is known; NaN: of none."""
    filled = np.ma.masked_invalid(half_width)
    return np.ma.median(filled, axis=0).filled(np.nan)


def _listed(values: Float64[np.ndarray, " values"]) -> list[float | None]:
    return [None if np.isnan(x) else float(x) for x in values]
