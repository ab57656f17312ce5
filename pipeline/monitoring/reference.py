"""Summarise what is watched of a model's own sessions, for later days to be compared with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Float64, Shaped

from pipeline.errors import NotFoundError
from pipeline.features.intervals import Intervals
from pipeline.sessions.sessions import Sessions
from pipeline.storage.paths import StoragePath
from pipeline.storage.records import ARRAY, read_record, write_record

Measures = Mapping[str, Shaped[np.ndarray, " sessions"]]
"""By name. Numbers (NaN: not known, and left out) or categories."""

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
"""What is watched, and in what unit; those without one are categories."""

NOT_ABSTAINED: Final = "judged"  # so RUNs keep the category of sessions that have a score
_UNKNOWN: Final = "unknown"


def session_measures(sessions: Sessions) -> dict[str, Shaped[np.ndarray, " sessions"]]:
    """Return how long, how dense, on which screen, and by whom sessions were recorded."""
    n_events = sessions.n_events
    filled = n_events > 0
    duration_s = np.full(len(sessions), np.nan)
    last_us = sessions.t_us[sessions.offsets[1:][filled] - 1]
    duration_s[filled] = (last_us - sessions.t_us[sessions.offsets[:-1][filled]]) / 1e6
    intervals = Intervals.of_sessions(sessions)
    per_s = np.divide(
        n_events - 1, duration_s, out=np.full(len(sessions), np.nan), where=duration_s > 0
    )
    return {
        "n_events": n_events.astype(np.float64),
        "duration_s": duration_s,
        "events_per_s": per_s,
        "interval_median_ms": np.where(intervals.n > 0, intervals.median_ms, np.nan),
        "screen": _screens(sessions),
        "source": sessions.source.astype(object),
    }


def score_measures(scores: pa.Table) -> dict[str, Shaped[np.ndarray, " sessions"]]:
    """Return what is watched of the rows of a `SCORES` table."""
    reasons = scores["abstain_reason"].fill_null(NOT_ABSTAINED)
    return {
        "fraud_score": scores["fraud_score"].to_numpy().astype(np.float64),
        "band": np.array(scores["band"].cast(pa.string()).to_pylist(), object),
        "abstain_reason": np.array(reasons.to_pylist(), object),
    }


def _screens(sessions: Sessions) -> Shaped[np.ndarray, " sessions"]:
    sizes = zip(sessions.viewport_width.tolist(), sessions.viewport_height.tolist(), strict=True)
    return np.array([f"{w}x{h}" if w and h else _UNKNOWN for w, h in sizes], object)


REFERENCE_FILE: Final = "reference.json"
_KEPT = 1001  # quantiles of a number: the distance of two distributions is then right to 0.001


@dataclass(frozen=True)
class NumberSummary:
    """How a number is distributed: evenly spaced quantiles, or all values of a small sample."""

    values: Annotated[Float64[np.ndarray, " kept"], ARRAY]
    n: int
    n_effective: float  # sessions of one account resemble each other: so many count as apart


@dataclass(frozen=True)
class CategorySummary:
    """How often each category occurs."""

    counts: Mapping[str, int]
    n: int
    n_effective: float


Reference = dict[str, NumberSummary | CategorySummary]


@dataclass(frozen=True)
class _ReferenceFile:
    """The reference as a RUN keeps it."""

    version: Literal[1]
    measures: Reference


def summarise(measures: Measures, accounts: Shaped[np.ndarray, " sessions"]) -> Reference:
    """Return how each measure is distributed over sessions, whose `accounts` are given."""
    summary: Reference = {}
    for name, values in measures.items():
        if values.dtype == object:
            counts = {str(word): int(n) for word, n in pd.Series(values).value_counts().items()}
            summary[name] = CategorySummary(counts, len(values), effective_size(accounts))
        else:
            known = np.isfinite(values)
            summary[name] = _numbers(values, known, accounts)
    return summary


def _numbers(
    values: Float64[np.ndarray, " sessions"],
    known: Bool[np.ndarray, " sessions"],
    accounts: Shaped[np.ndarray, " sessions"],
) -> NumberSummary:
    kept = np.sort(values[known])
    if len(kept) > _KEPT:
        kept = np.quantile(kept, np.linspace(0, 1, _KEPT))
    return NumberSummary(kept, int(known.sum()), effective_size(accounts[known]))


def effective_size(accounts: Shaped[np.ndarray, " sessions"]) -> float:
    """Return how many sessions apart these are worth, if those of one account were all alike.

    Kish 1965: (sum of sizes)^2 / sum of squares. A session without account stands for itself.
    The other end, that all are apart, would have a busy account alarm by being itself.
    """
    is_named = pd.notna(accounts)
    sizes = pd.Series(accounts[is_named]).value_counts().to_numpy(np.float64)
    total = len(accounts)
    return float(total**2 / (np.square(sizes).sum() + (~is_named).sum())) if total else 0.0


def write_reference(reference: Reference, run: StoragePath) -> StoragePath:
    """Write the reference into a RUN."""
    return write_record(_ReferenceFile(1, reference), run / REFERENCE_FILE)


def read_reference(run: StoragePath) -> Reference:
    """Return the reference of a RUN."""
    path = run / REFERENCE_FILE
    if not path.is_file():
        raise NotFoundError(path, "the model has no reference", "train it again to watch its days")
    return read_record(_ReferenceFile, path, "train the model again").measures
