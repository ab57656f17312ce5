"""What is watched of a model's own sessions in, a `Reference` out: what later days are held to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Float64, Shaped

from pipeline.errors import NotFoundError, SchemaError
from pipeline.sessions.ragged import Grouping
from pipeline.sessions.sessions import Sessions
from pipeline.storage.paths import StoragePath
from pipeline.storage.publish import write_json

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


FILE: Final = "reference.json"
_KEPT = 1001  # quantiles of a number: the distance of two distributions is then right to 0.001


@dataclass(frozen=True)
class Numbers:
    """How a number is distributed: evenly spaced quantiles, or all values of a small sample."""

    values: Float64[np.ndarray, " kept"]
    n: int
    n_effective: float  # sessions of one account resemble each other: so many count as apart


@dataclass(frozen=True)
class Words:
    """How often each word was said."""

    counts: Mapping[str, int]
    n: int
    n_effective: float


Reference = dict[str, Numbers | Words]


def summarise(measures: Measures, accounts: Shaped[np.ndarray, " sessions"]) -> Reference:
    """Return how each measure is distributed over sessions; `accounts` says whose each one is."""
    summary: Reference = {}
    for name, values in measures.items():
        if values.dtype == object:
            counts = pd.Series(values).value_counts()
            said = {str(word): int(n) for word, n in counts.items()}
            summary[name] = Words(said, len(values), effective_size(accounts))
        else:
            known = np.isfinite(values)
            summary[name] = _numbers(values, known, accounts)
    return summary


def _numbers(
    values: Float64[np.ndarray, " sessions"],
    known: Bool[np.ndarray, " sessions"],
    accounts: Shaped[np.ndarray, " sessions"],
) -> Numbers:
    kept = np.sort(values[known])
    if len(kept) > _KEPT:
        kept = np.quantile(kept, np.linspace(0, 1, _KEPT))
    return Numbers(kept, int(known.sum()), effective_size(accounts[known]))


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
    content: dict[str, Any] = {}
    for name, found in reference.items():
        sizes = {"n": found.n, "n_effective": found.n_effective}
        held = (
            {"counts": dict(found.counts)}
            if isinstance(found, Words)
            else {"values": found.values.tolist()}
        )
        content[name] = held | sizes
    return write_json({"version": 1, "measures": content}, run / FILE)


def read_reference(run: StoragePath) -> Reference:
    """Return the reference of a RUN."""
    path = run / FILE
    if not path.is_file():
        raise NotFoundError(path, "the model has no reference", "train it again to watch its days")
    try:
        measures = json.loads(path.read_text())["measures"]
        return {name: _parsed(found) for name, found in measures.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SchemaError(path, f"it can't be read: {error}", "train the model again") from error


def _parsed(found: Mapping[str, Any]) -> Numbers | Words:
    sizes = int(found["n"]), float(found["n_effective"])
    if "counts" in found:
        return Words({str(word): int(n) for word, n in found["counts"].items()}, *sizes)
    return Numbers(np.array(found["values"], np.float64), *sizes)
