"""Compare sessions with their account's enrolled ones: how constant people are, and who differs.

A session's distance from its account in a measure counts from the median of the account's
sub-sessions, in halves of the account's range, or of people's common range where the account's
is narrower. Far is what people's sessions hardly ever are from their own other sessions. It
takes two measures: a single one changes with the mouse, the page, the day.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float64, Int64, Shaped

from pipeline.reasons.registry import ACCOUNT_MEASURES, measure_sessions
from pipeline.schemas import SUB_SESSION
from pipeline.sessions.ragged import Grouping
from pipeline.sessions.sessions import EVENT_COLUMNS, Sessions
from pipeline.storage.records import ARRAY

MAX_SUB_SESSIONS: Final = 32  # of one session: who was recorded for hours counts no more


def cut_sub_sessions(
    sessions: Sessions, length: int
) -> tuple[Sessions, Int64[np.ndarray, " subsessions"]]:
    """Return sub-sessions of `length` events, spread over each session, and whose they are."""
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
"""Account measures are taken of sub-sessions of these lengths: longer ones are steadier."""

_LEVELS = (0.1, 0.5, 0.9)  # of the account's sub-sessions: low, middle, high
_FEWEST_OWN = 8  # sub-sessions of an account: of fewer no range is known
_IS_LOG = np.array([measure.scale == "log" for measure in ACCOUNT_MEASURES.values()])
_LEAST = 1e-6  # on a scale of octaves: 0 is this


class SubSessions(NamedTuple):
    """Account measures of sub-sessions, a row each."""

    of: Int64[np.ndarray, " subsessions"]  # the number of its session or account
    n_events: Int64[np.ndarray, " subsessions"]
    interval_ms: Float64[np.ndarray, " subsessions"]
    values: Float64[np.ndarray, "subsessions measures"]  # NaN: from too little

    def take(self, chosen: Shaped[np.ndarray, " chosen"]) -> "SubSessions":
        """Return the sub-sessions at `chosen`."""
        return SubSessions(*(column[chosen] for column in self))


@dataclass(frozen=True)
class AccountRanges:
    """The range of each account's measures; an account may have several, one for each device."""

    account: Shaped[np.ndarray, " ranges"]  # sorted
    levels: Float64[np.ndarray, "levels ranges lengths measures"]  # on scale; NaN: too few
    interval_ms: Float64[np.ndarray, "limits ranges"]  # of the recorders

    @classmethod
    def of(cls, account: Shaped[np.ndarray, " ranges"], rows: SubSessions) -> "AccountRanges":
        """Return the range of each of `account`, of which sub-session `i` is number `of[i]`."""
        rows = rows.take(np.isin(rows.n_events, SUB_SESSION_LENGTHS))
        n, n_lengths = len(account), len(SUB_SESSION_LENGTHS)
        group = rows.of * n_lengths + np.searchsorted(SUB_SESSION_LENGTHS, rows.n_events)
        levels = [
            _quantiles(column, Grouping(group, n * n_lengths), _LEVELS, _FEWEST_OWN)
            for column in on_scale(rows.values).T
        ]
        shape = (len(_LEVELS), n, n_lengths, len(ACCOUNT_MEASURES))
        interval_ms = _quantiles(rows.interval_ms, Grouping(rows.of, n), (0.01, 0.99), 1)
        return cls(account, np.stack(levels, axis=-1).reshape(shape), interval_ms)


def on_scale(
    values: Float64[np.ndarray, "*rows measures"],
) -> Float64[np.ndarray, "*rows measures"]:
    """Return measures on the scale on which distances count: logarithms, or as they are."""
    return np.where(_IS_LOG, np.log(np.maximum(values, _LEAST)), values)


def from_scale(
    values: Float64[np.ndarray, " rows"], measure: Int64[np.ndarray, " rows"]
) -> Float64[np.ndarray, " rows"]:
    """Return in its unit what `on_scale` gave for each measure."""
    is_log = _IS_LOG[measure]
    return np.where(is_log, np.exp(np.where(is_log, values, 0)), values)


def measure_sub_sessions(sessions: Sessions) -> SubSessions:
    """Return the measures of sub-sessions of each session, of each length that it fills."""
    parts = []
    for length in SUB_SESSION_LENGTHS:
        cut, of = cut_sub_sessions(sessions, length)
        values, interval_ms = measure_sessions(cut, ACCOUNT_MEASURES)
        columns = np.stack([values[name] for name in ACCOUNT_MEASURES], axis=1)
        parts.append(SubSessions(of, np.full(len(of), length), interval_ms, columns))
    return SubSessions(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def sub_sessions_column(sessions: Sessions) -> pa.ListArray:
    """Return `measure_sub_sessions` as the column of `PROFILES` holds them."""
    subsessions = measure_sub_sessions(sessions)
    subsessions = subsessions.take(np.argsort(subsessions.of, kind="stable"))
    columns = {
        "n_events": subsessions.n_events,
        "interval_ms": subsessions.interval_ms,
        **dict(zip(ACCOUNT_MEASURES, subsessions.values.T, strict=True)),
    }
    arrays = [pa.array(columns[field.name], field.type, from_pandas=True) for field in SUB_SESSION]
    offsets = np.searchsorted(subsessions.of, np.arange(len(sessions) + 1)).astype(np.int32)
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
    subsessions = SubSessions(
        of=whose[pc.list_parent_indices(column).to_numpy()].astype(np.int64),
        n_events=named["n_events"].astype(np.int64),
        interval_ms=named["interval_ms"],
        values=np.stack([named[name] for name in ACCOUNT_MEASURES], axis=1),
    )
    return AccountRanges.of(np.array([account for account, _ in names], object), subsessions)


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
"""In so many measures a session has to be far from its account to differ from it."""

N_STRONGEST: Final = 3
"""So many measures at most explain a session that is near its account, and flagged."""

_RARE = 0.005  # of people's own sessions are farther than what is far
_FEWEST = 100  # sub-sessions compared in training: of fewer it isn't known what is far
_MOST_SESSIONS = 2_000  # compared in training, spread evenly
_CLOCK_MARGIN = 1.5  # a recorder so many times as slow or as fast shows other values
_COMMON_LIMIT = 3.0  # half widths: a limit of people, where training had too few to know it
_LOW, _MIDDLE, _HIGH = range(3)  # of `AccountRanges.levels`


class Deviations(NamedTuple):
    """The measures that are farthest from the account, a session's farthest first."""

    session: Int64[np.ndarray, " rows"]
    measure: Int64[np.ndarray, " rows"]  # in ACCOUNT_MEASURES
    value: Float64[np.ndarray, " rows"]
    low: Float64[np.ndarray, " rows"]
    high: Float64[np.ndarray, " rows"]
    strength: Float64[np.ndarray, " rows"]  # 1: at the limit
    is_far: Bool[np.ndarray, " rows"]  # False: the session is as far as people are from their own


@dataclass(frozen=True)
class Constancy:
    """The range of a person's measures, and how far from it the same person hardly ever is."""

    half_width: Mapping[str, Annotated[Float64[np.ndarray, " lengths"], ARRAY]]  # on scale
    limit: Annotated[Float64[np.ndarray, " lengths"], ARRAY]  # in half widths; NaN: not known
    lengths: tuple[int, ...] = SUB_SESSION_LENGTHS

    @cached_property
    def half_widths(self) -> Float64[np.ndarray, "lengths measures"]:
        """Return half of people's common range; NaN: too few to know, or an older RUN's."""
        unknown = np.full(len(self.lengths), np.nan)
        return np.stack([self.half_width.get(name, unknown) for name in ACCOUNT_MEASURES], axis=1)


def measure_constancy(sessions: Sessions) -> Constancy:
    """Return how constant the people of legitimate `sessions` are, each account counting alike.

    Sub-sessions of each session are compared with the account's other sessions.
    """
    codes, factors = pd.factorize(sessions.account_id)
    names = np.array(factors, object)
    subsessions = measure_sub_sessions(sessions)
    whose = codes[subsessions.of]
    everyone = AccountRanges.of(names, subsessions._replace(of=whose))
    half_width = _median((everyone.levels[_HIGH] - everyone.levels[_LOW]) / 2)
    distances, persons = [], []
    spread = np.unique(np.linspace(0, len(sessions) - 1, _MOST_SESSIONS).astype(np.int64))
    for i in spread if len(sessions) else spread[:0]:
        is_own = subsessions.of == i
        others = subsessions.take((whose == codes[i]) & ~is_own)
        ranges = AccountRanges.of(names[:1], others._replace(of=np.zeros_like(others.of)))
        own = subsessions.take(is_own)
        place = np.searchsorted(SUB_SESSION_LENGTHS, own.n_events)
        levels = ranges.levels[:, 0, place]
        far = _far(_distances(on_scale(own.values), levels, half_width[place]))
        distances.append(np.stack([place, far], axis=1))
        persons.append(np.full(len(far), codes[i]))
    place, far = np.concatenate([np.zeros((0, 2)), *distances]).T
    person = np.concatenate([np.zeros(0, np.int64), *persons])
    limit = [_limit(far[place == k], person[place == k]) for k in range(len(SUB_SESSION_LENGTHS))]
    return Constancy(dict(zip(ACCOUNT_MEASURES, half_width.T, strict=True)), np.array(limit))


def find_deviations(
    measures: Mapping[str, Float64[np.ndarray, " sessions"]],
    interval_ms: Float64[np.ndarray, " sessions"],
    sessions: Sessions,
    ranges: AccountRanges,
    constancy: Constancy,
    is_explained: Bool[np.ndarray, " sessions"] | None = None,
) -> Deviations:
    """Return in which measures sessions differ from the account that they name.

    Of an account's devices the nearest counts. A session is compared with sub-sessions of the
    longest length that it fills and of which the account has enough; it isn't if its recorder
    is another one than all of the account's. Of those that `is_explained` marks, measures outside
    the account's range are returned, up to `N_STRONGEST`, even if people's own sessions often are.
    """
    session, of = _pairs(sessions.account_id, ranges.account)
    values = on_scale(np.stack([measures[name] for name in ACCOUNT_MEASURES], axis=1))[session]
    n_known = np.isfinite(ranges.levels[_MIDDLE]).sum(axis=-1)
    fits = (n_known >= N_DEVIATING)[of]
    fits &= sessions.n_events[session][:, None] >= np.array(SUB_SESSION_LENGTHS)
    fits &= _knows_recorder(ranges, of, interval_ms[session])[:, None]
    place = len(SUB_SESSION_LENGTHS) - 1 - np.argmax(fits[:, ::-1], axis=1)
    levels = ranges.levels[:, of, place]
    distances = _distances(values, levels, constancy.half_widths[place])
    is_known = np.isfinite(constancy.limit)
    strengths = distances / np.where(is_known, constancy.limit, _COMMON_LIMIT)[place][:, None]
    strength = np.where(fits.any(axis=1), _far(strengths), np.nan)
    order = np.lexsort((strength, session))  # NaN last
    nearest = order[np.unique(session[order], return_index=True)[1]]
    nearest = nearest[np.isfinite(strength[nearest])]
    is_far = (strength[nearest] >= 1) & is_known[place[nearest]]
    low, high = levels[_LOW, nearest], levels[_HIGH, nearest]
    is_inside = (values[nearest] >= low) & (values[nearest] <= high)
    order = np.where(is_inside, 0, np.nan_to_num(strengths[nearest]))
    farthest = np.argsort(-order, axis=1, kind="stable")
    is_outside = np.take_along_axis(order, farthest, axis=1) > 0
    rank = np.arange(len(ACCOUNT_MEASURES))
    is_given = is_far[:, None] & (rank < N_DEVIATING)
    if is_explained is not None:
        is_near = is_explained[session[nearest]] & ~is_far
        is_given |= is_near[:, None] & (rank < N_STRONGEST) & is_outside
    which, column = np.nonzero(is_given)
    row, number = nearest[which], farthest[which, column]
    return Deviations(
        session[row],
        number,
        from_scale(values[row, number], number),
        from_scale(levels[_LOW, row, number], number),
        from_scale(levels[_HIGH, row, number], number),
        strengths[row, number],
        is_far[which],
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


def _knows_recorder(
    ranges: AccountRanges,
    of: Int64[np.ndarray, " pairs"],
    interval_ms: Float64[np.ndarray, " pairs"],
) -> Bool[np.ndarray, " pairs"]:
    """Mark the sessions of a recorder about as fast as the account's."""
    low, high = ranges.interval_ms[:, of]
    return (interval_ms >= low / _CLOCK_MARGIN) & (interval_ms <= high * _CLOCK_MARGIN)


def _distances(
    values: Float64[np.ndarray, "rows measures"],
    levels: Float64[np.ndarray, "levels rows measures"],
    half_width: Float64[np.ndarray, "rows measures"],
) -> Float64[np.ndarray, "rows measures"]:
    """Return how far each measure is from its range's middle; NaN: not known."""
    half = np.maximum((levels[_HIGH] - levels[_LOW]) / 2, half_width)
    away = np.abs(values - levels[_MIDDLE])
    return np.divide(away, half, out=np.full_like(away, np.nan), where=half > 0)


def _far(distances: Float64[np.ndarray, "rows measures"]) -> Float64[np.ndarray, " rows"]:
    """Return the distance that `N_DEVIATING` measures reach; NaN where fewer are known."""
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
    half_width: Float64[np.ndarray, "accounts lengths measures"],
) -> Float64[np.ndarray, "lengths measures"]:
    """Return the median of the accounts of which it is known; NaN: of none."""
    filled = np.ma.masked_invalid(half_width)
    return np.ma.median(filled, axis=0).filled(np.nan)
