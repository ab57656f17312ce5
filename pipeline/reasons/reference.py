"""Reference ranges: how far each measure of legitimate sessions reaches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from pipeline.errors import SchemaError
from pipeline.reasons.account import SUB_SESSION_LENGTHS, Constancy, cut_sub_sessions
from pipeline.reasons.registry import MEASURES, measure_sessions
from pipeline.sessions.sessions import Sessions
from pipeline.storage.paths import StoragePath
from pipeline.storage.records import ARRAY, parse_record, read_json, record_json

REFERENCE_RANGES_FILE: Final = "reasons.json"
"""The file of a RUN that holds them."""

LENGTHS: Final = (32, 128, 512, 2048)  # events
"""Legitimate sessions are measured in sub-sessions of these lengths: what is rare in an hour is
common in seconds. A session is compared with the longest that it fills."""

QUANTILES: Final = (0.005, 0.01, 0.5, 0.99, 0.995)
"""Of the sub-sessions: limit, range from, middle, range to, limit. The limits are nearer the end
than 1 in 100, since people who weren't measured reach farther."""

_MOST_SESSIONS = 5_000  # spread evenly: training may hold millions
_FEWEST = 30  # sub-sessions: of fewer no limit is known
_CLOCK_MARGIN = 1.5  # times and divided by
_HINT = "train the model again"


@dataclass(frozen=True)
class ReferenceRanges:
    """How far the measures of legitimate people reach, for sub-sessions of each length.

    A RUN keeps them by the measures' names. A measure that was added since has none and gives
    no reason; one that there is no more is ignored.
    """

    levels: Mapping[str, Annotated[Float64[np.ndarray, "lengths levels"], ARRAY]]  # NaN: too few
    interval_ms: tuple[float, float]  # of the recorders they were measured with
    own: Constancy | None = None  # None: sessions aren't compared with their account
    lengths: tuple[int, ...] = LENGTHS

    def of(
        self, name: str, n_events: Int64[np.ndarray, " sessions"]
    ) -> Float64[np.ndarray, "sessions levels"]:
        """Return the levels of a measure for sessions of `n_events`; NaN: not known."""
        place = np.maximum(np.searchsorted(LENGTHS, n_events, side="right") - 1, 0)
        if name not in self.levels:
            return np.full((len(place), len(QUANTILES)), np.nan)
        return self.levels[name][place]

    def knows(self, interval_ms: Float64[np.ndarray, " sessions"]) -> Bool[np.ndarray, " sessions"]:
        """Mark the sessions of a recorder about as fast as those that were measured."""
        low, high = self.interval_ms
        return (interval_ms >= low / _CLOCK_MARGIN) & (interval_ms <= high * _CLOCK_MARGIN)

    def to_json(self) -> dict[str, Any]:
        """Return the ranges as a RUN keeps them; null: too few to know."""
        return record_json(self)


def fit_reference_ranges(
    sessions: Sessions, person: Shaped[np.ndarray, " sessions"]
) -> ReferenceRanges:
    """Return the reference ranges of the people of legitimate `sessions`; each counts alike."""
    if len(sessions) > _MOST_SESSIONS:
        spread = np.linspace(0, len(sessions) - 1, _MOST_SESSIONS).astype(np.int64)
        sessions, person = sessions.take(spread), person[spread]
    levels = {name: np.full((len(LENGTHS), len(QUANTILES)), np.nan) for name in MEASURES}
    for i, length in enumerate(LENGTHS):
        parts, of_session = cut_sub_sessions(sessions, length)
        for name, value in measure_sessions(parts)[0].items():
            levels[name][i] = _levels(value, person[of_session])
    for of_length in levels.values():
        _fill(of_length)
    interval_ms = measure_sessions(sessions)[1]
    known_ms = interval_ms[np.isfinite(interval_ms)]
    low, high = np.quantile(known_ms, [0.01, 0.99]) if len(known_ms) else (0.0, 0.0)
    return ReferenceRanges(levels, (float(low), float(high)))


def read_reference_ranges(run: StoragePath) -> ReferenceRanges | None:
    """Return the reference ranges of a RUN; None: it has none."""
    path = run / REFERENCE_RANGES_FILE
    if not path.is_file():
        return None
    kept = {"own": None} | read_json(path, _HINT)
    ranges = parse_record(ReferenceRanges, kept, path, _HINT)
    _check_shape(path, ranges.lengths, LENGTHS)
    for levels in ranges.levels.values():
        _check_shape(path, levels.shape, (len(LENGTHS), len(QUANTILES)))
    if ranges.own is not None:
        _check_shape(path, ranges.own.lengths, SUB_SESSION_LENGTHS)
        for widths in (*ranges.own.half_width.values(), ranges.own.limit):
            _check_shape(path, widths.shape, (len(SUB_SESSION_LENGTHS),))
    return ranges


def _check_shape(where: StoragePath, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if found != expected:
        raise SchemaError(where, f"found ranges of {found}, expected {expected}", _HINT)


def _levels(
    value: Float64[np.ndarray, " subsessions"], person: Shaped[np.ndarray, " subsessions"]
) -> Float64[np.ndarray, " levels"]:
    """Return `QUANTILES` of a measure; NaN of too few sub-sessions."""
    known = np.isfinite(value)
    if known.sum() < _FEWEST:
        return np.full(len(QUANTILES), np.nan)
    _, index, n = np.unique(person[known].astype(str), return_inverse=True, return_counts=True)
    order = np.argsort(value[known])
    below = np.cumsum((1 / n[index])[order])
    return np.interp(np.array(QUANTILES) * below[-1], below, value[known][order])


def _fill(of_length: Float64[np.ndarray, "lengths levels"]) -> None:
    """Give a length of which too little is known the range of the next known one.

    A shorter one comes before a longer one, since its range reaches farther.
    """
    known = np.flatnonzero(np.isfinite(of_length).all(axis=1))
    for i in range(len(of_length)):
        if len(known) and i not in known:
            before = known[known < i]
            of_length[i] = of_length[before[-1] if len(before) else known[0]]
