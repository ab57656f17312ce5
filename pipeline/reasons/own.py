"""An account's enrolled sessions in; out comes between what each of its habits ranges.

Enrolment measures a session's habits on stretches of it, and keeps these numbers with the
profile. The range of an account's habit is where the middle 80 % of its stretches lie.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64, Int64, Shaped

from pipeline.reasons.measures import HABITS, measure_sessions
from pipeline.reasons.stretches import cut_stretches
from pipeline.reductions import Grouping
from pipeline.schemas import STRETCH
from pipeline.sessions import Sessions

OWN_LENGTHS: Final = (128, 256, 512)  # events
"""Habits are measured on stretches of these lengths: a long one's are steadier."""

_LEVELS = (0.1, 0.5, 0.9)  # of the account's stretches: low, middle, high
_FEWEST = 8  # stretches of an account: of fewer no range is known
_IS_LOG = np.array([habit.scale == "log" for habit in HABITS.values()])
_LEAST = 1e-6  # on a scale of octaves: 0 is this


class Stretches(NamedTuple):
    """Habits of stretches, a row each."""

    of: Int64[np.ndarray, " stretches"]  # whose
    n_events: Int64[np.ndarray, " stretches"]
    interval_ms: Float64[np.ndarray, " stretches"]
    values: Float64[np.ndarray, "stretches habits"]  # NaN: from too little

    def take(self, chosen: Shaped[np.ndarray, " chosen"]) -> "Stretches":
        """Return the stretches at `chosen`."""
        return Stretches(*(column[chosen] for column in self))


@dataclass(frozen=True)
class OwnRanges:
    """Between what each account's habits range; an account may have several, one a device."""

    account: Shaped[np.ndarray, " ranges"]  # sorted
    levels: Float64[np.ndarray, "levels ranges lengths habits"]  # on scale; NaN: too few
    interval_ms: Float64[np.ndarray, "limits ranges"]  # of the recorders

    @classmethod
    def of(cls, account: Shaped[np.ndarray, " ranges"], stretches: Stretches) -> "OwnRanges":
        """Return the range of each of `account`, of which stretch `i` is number `of[i]`."""
        stretches = stretches.take(np.isin(stretches.n_events, OWN_LENGTHS))
        n, n_lengths = len(account), len(OWN_LENGTHS)
        group = stretches.of * n_lengths + np.searchsorted(OWN_LENGTHS, stretches.n_events)
        levels = [
            _quantiles(column, Grouping(group, n * n_lengths), _LEVELS, _FEWEST)
            for column in on_scale(stretches.values).T
        ]
        shape = (len(_LEVELS), n, n_lengths, len(HABITS))
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


def measure_stretches(sessions: Sessions) -> Stretches:
    """Return the habits of stretches of each session, of each length that it fills."""
    parts = []
    for length in OWN_LENGTHS:
        cut, of = cut_stretches(sessions, length)
        values, interval_ms = measure_sessions(cut, HABITS)
        columns = np.stack([values[name] for name in HABITS], axis=1)
        parts.append(Stretches(of, np.full(len(of), length), interval_ms, columns))
    return Stretches(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def stretches_column(sessions: Sessions) -> pa.ListArray:
    """Return `measure_stretches` as the column of `PROFILES` holds them."""
    stretches = measure_stretches(sessions)
    stretches = stretches.take(np.argsort(stretches.of, kind="stable"))
    columns = {
        "n_events": stretches.n_events,
        "interval_ms": stretches.interval_ms,
        **dict(zip(HABITS, stretches.values.T, strict=True)),
    }
    arrays = [pa.array(columns[field.name], field.type, from_pandas=True) for field in STRETCH]
    offsets = np.searchsorted(stretches.of, np.arange(len(sessions) + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(arrays, fields=STRETCH))


def own_ranges(profiles: pa.Table) -> OwnRanges:
    """Return the ranges of every account and device in a `PROFILES` table."""
    keys = profiles.select(["account_id", "device"]).to_pandas()
    whose, names = pd.factorize(pd.MultiIndex.from_frame(keys), sort=True)
    column = profiles["stretches"].combine_chunks()
    rows = column.flatten()
    named = {
        field.name: rows.field(field.name).to_numpy(zero_copy_only=False).astype(np.float64)
        for field in STRETCH
    }
    stretches = Stretches(
        of=whose[pc.list_parent_indices(column).to_numpy()].astype(np.int64),
        n_events=named["n_events"].astype(np.int64),
        interval_ms=named["interval_ms"],
        values=np.stack([named[name] for name in HABITS], axis=1),
    )
    return OwnRanges.of(np.array([account for account, _ in names], object), stretches)


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
