"""Reference ranges: between what each measure of legitimate sessions ranges."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from pipeline.errors import SchemaError
from pipeline.reasons.account import Constancy, cut_sub_sessions
from pipeline.reasons.measures import MEASURES, measure_sessions
from pipeline.sessions.sessions import Sessions

REFERENCE_RANGES_FILE: Final = "reasons.json"
"""The file of a RUN that says what is usual."""

LENGTHS: Final = (32, 128, 512, 2048)  # events
"""People are measured on stretches of these lengths: what is rare in an hour is common in
seconds. A session is compared with the longest that it fills."""

QUANTILES: Final = (0.005, 0.01, 0.5, 0.99, 0.995)
"""Of the people's stretches: limit, usual from, middle, usual to, limit. The limits are nearer the
end than 1 in 100, since people who weren't measured reach farther."""

_MOST_SESSIONS = 5_000  # spread evenly: training may hold millions
_FEWEST = 30  # stretches: of fewer no limit is known
_CLOCK_MARGIN = 1.5  # times and divided by


@dataclass(frozen=True)
class ReferenceRanges:
    """How far the measures of legitimate people reach, for stretches of each length."""

    levels: dict[str, Float64[np.ndarray, "lengths levels"]]  # NaN: too few to know
    interval_ms: tuple[float, float]  # of the recorders they were measured with
    own: Constancy | None = None  # how constant a hand is; None: no account is told apart

    def of(
        self, name: str, n_events: Int64[np.ndarray, " sessions"]
    ) -> Float64[np.ndarray, "sessions levels"]:
        """Return the levels of a measure for sessions of `n_events`."""
        place = np.searchsorted(LENGTHS, n_events, side="right") - 1
        return self.levels[name][np.maximum(place, 0)]

    def knows(self, interval_ms: Float64[np.ndarray, " sessions"]) -> Bool[np.ndarray, " sessions"]:
        """Return which sessions come from a recorder about as fast as those measured."""
        low, high = self.interval_ms
        return (interval_ms >= low / _CLOCK_MARGIN) & (interval_ms <= high * _CLOCK_MARGIN)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it; null: too few to know."""
        levels = {
            name: [[None if np.isnan(x) else float(x) for x in row] for row in of_length]
            for name, of_length in self.levels.items()
        }
        said = {"lengths": list(LENGTHS), "levels": levels, "interval_ms": list(self.interval_ms)}
        return said if self.own is None else said | {"own": self.own.to_json()}

    @classmethod
    def from_json(cls, found: Mapping[str, Any], where: object) -> "ReferenceRanges":
        """Return what `to_json` gave."""
        shape = (len(LENGTHS), len(QUANTILES))
        try:
            levels = {name: np.array(found["levels"][name], np.float64) for name in MEASURES}
            interval_ms = (float(found["interval_ms"][0]), float(found["interval_ms"][1]))
            fits = tuple(found["lengths"]) == LENGTHS
            own = Constancy.from_json(found["own"]) if "own" in found else None
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise SchemaError(where, f"it lacks {error}", "train the model again") from error
        if not fits or any(of_length.shape != shape for of_length in levels.values()):
            raise SchemaError(where, "it is another version's", "train the model again")
        return cls(levels, interval_ms, own)


def fit_reference_ranges(
    sessions: Sessions, person: Shaped[np.ndarray, " sessions"]
) -> ReferenceRanges:
    """Return what is usual among the people of legitimate `sessions`; each counts alike."""
    if len(sessions) > _MOST_SESSIONS:
        spread = np.linspace(0, len(sessions) - 1, _MOST_SESSIONS).astype(np.int64)
        sessions, person = sessions.take(spread), person[spread]
    levels = {name: np.full((len(LENGTHS), len(QUANTILES)), np.nan) for name in MEASURES}
    for i, length in enumerate(LENGTHS):
        stretches, of_session = cut_sub_sessions(sessions, length)
        for name, value in measure_sessions(stretches)[0].items():
            levels[name][i] = _levels(value, person[of_session])
    for of_length in levels.values():
        _fill(of_length)
    interval_ms = measure_sessions(sessions)[1]
    known_ms = interval_ms[np.isfinite(interval_ms)]
    low, high = np.quantile(known_ms, [0.01, 0.99]) if len(known_ms) else (0.0, 0.0)
    return ReferenceRanges(levels, (float(low), float(high)))


def read_reference_ranges(run: Path) -> ReferenceRanges | None:
    """Return what is usual among the people that a RUN was trained on, if it says so."""
    path = run / REFERENCE_RANGES_FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SchemaError(path, f"it can't be read: {error}", "train the model again") from error
    return ReferenceRanges.from_json(found, path)


def _levels(
    value: Float64[np.ndarray, " stretches"], person: Shaped[np.ndarray, " stretches"]
) -> Float64[np.ndarray, " levels"]:
    """Return `QUANTILES` of a measure; NaN of too few stretches."""
    known = np.isfinite(value)
    if known.sum() < _FEWEST:
        return np.full(len(QUANTILES), np.nan)
    _, index, n = np.unique(person[known].astype(str), return_inverse=True, return_counts=True)
    order = np.argsort(value[known])
    below = np.cumsum((1 / n[index])[order])
    return np.interp(np.array(QUANTILES) * below[-1], below, value[known][order])


def _fill(of_length: Float64[np.ndarray, "lengths levels"]) -> None:
    """Give a length of which too little is known what is usual in the next known one.

    A shorter one before a longer one: what is usual in it reaches farther.
    """
    known = np.flatnonzero(np.isfinite(of_length).all(axis=1))
    for i in range(len(of_length)):
        if len(known) and i not in known:
            before = known[known < i]
            of_length[i] = of_length[before[-1] if len(before) else known[0]]
