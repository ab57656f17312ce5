"""Compare a day with a model's reference: what has changed, and how sure that is.

Two numbers a measure. PSI, the population stability index, is the distance of two histograms;
KS, of Kolmogorov and Smirnov, the largest gap between two cumulative distributions (numbers
only). Both are above zero by chance alone, the more so the fewer sessions there are. So a
change counts only if chance is ruled out (with as many sessions as are worth counting apart,
and for all tests of the day together) *and* it is large: of a million sessions every
difference is sure, and most don't matter.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from scipy.special import gammaincc, kolmogorov

from pipeline.config import DriftConfig
from pipeline.monitoring.reference import UNITS, CategorySummary, NumberSummary, Reference
from pipeline.schemas import DRIFT

DriftLevel = Literal["ok", "some", "strong", "too_few"]
DRIFT_LEVELS: Final[tuple[DriftLevel, ...]] = ("ok", "some", "strong", "too_few")

_BINS = 10
_KOLMOGOROV_MEAN = np.sqrt(np.pi / 2) * np.log(2)
_CATEGORIES = 20  # of a measure that are compared; the rest is one category
_REST = "(other)"


@dataclass(frozen=True)
class MeasureChange:
    """How far a measure of a day is from the reference, by one test."""

    measure: str
    test: Literal["psi", "ks"]
    value: float  # of the test
    by_chance: float  # what chance alone gives on average; `excess` is without it
    p_value: float
    day_value: float  # median, or the share of `word`
    reference_value: float
    word: str | None  # whose share has changed most
    n_sessions: int
    n_effective: float

    @property
    def excess(self) -> float:
        """Return the distance beyond what chance gives on average."""
        return self.value - self.by_chance


def find_drift(
    reference: Reference,
    day: Reference,
    config: DriftConfig,
    model_id: str,
    checked_at: datetime,
) -> pa.Table:
    """Return a `DRIFT` row for each measure and test that both sides know."""
    n_sessions = max((found.n for found in day.values()), default=0)
    changes = [
        change
        for name in UNITS
        if name in reference and name in day
        for change in compare_measure(name, reference[name], day[name])
    ]
    tested = [change.n_effective >= config.min_sessions for change in changes]
    p_values = iter(
        holm([change.p_value for change, ok in zip(changes, tested, strict=True) if ok])
    )
    rows = [
        _row(change, next(p_values) if ok else None, config)
        for change, ok in zip(changes, tested, strict=True)
    ]
    rows.insert(0, _count_row(n_sessions, config))
    for row in rows:
        row |= {"model_id": model_id, "checked_at": checked_at}
    return pa.Table.from_pylist(rows, DRIFT)


def strongest(drift: pa.Table) -> DriftLevel:
    """Return the day's level: that of its strongest change."""
    found = set(drift["level"].cast(pa.string()).to_pylist())
    if "strong" in found:
        return "strong"
    if "some" in found:
        return "some"
    return "too_few" if found == {"too_few"} or "ok" not in found else "ok"


def _row(change: MeasureChange, p_value: float | None, config: DriftConfig) -> dict[str, object]:
    return {
        "measure": change.measure,
        "unit": UNITS[change.measure],
        "test": change.test,
        "value": change.value,
        "by_chance": change.by_chance,
        "p_value": p_value,
        "level": _level(change, p_value, config),
        "day_value": change.day_value,
        "reference_value": change.reference_value,
        "word": change.word,
        "n_sessions": change.n_sessions,
        "n_effective": change.n_effective,
    }


def _count_row(n_sessions: int, config: DriftConfig) -> dict[str, object]:
    """Count the sessions; none at all is commonly a log that didn't come."""
    is_alarm = n_sessions == 0 and config.alarm_when_empty
    return {
        "measure": "sessions",
        "unit": "sessions",
        "test": "count",
        "value": float(n_sessions),
        "level": "strong" if is_alarm else "ok" if n_sessions else "too_few",
        "day_value": float(n_sessions),
        "n_sessions": n_sessions,
        "n_effective": float(n_sessions),
    }


def _level(change: MeasureChange, p_value: float | None, config: DriftConfig) -> DriftLevel:
    if p_value is None:
        return "too_few"
    some, strong = (
        (config.some_psi, config.strong_psi)
        if change.test == "psi"
        else (config.some_ks, config.strong_ks)
    )
    if p_value > config.chance or change.excess < some:
        return "ok"
    return "strong" if change.excess >= strong else "some"


def compare_measure(
    name: str, reference: NumberSummary | CategorySummary, day: NumberSummary | CategorySummary
) -> list[MeasureChange]:
    """Return how far a measure is from the reference: categories by PSI, numbers by PSI and KS."""
    if min(reference.n, day.n) == 0:
        return []
    if isinstance(reference, CategorySummary) and isinstance(day, CategorySummary):
        return [_category_change(name, reference, day)]
    if isinstance(reference, NumberSummary) and isinstance(day, NumberSummary):
        return [_psi_change(name, reference, day), _ks_change(name, reference, day)]
    return []


def _category_change(name: str, reference: CategorySummary, day: CategorySummary) -> MeasureChange:
    words = sorted(reference.counts, key=lambda word: -reference.counts[word])[:_CATEGORIES]
    words += [w for w in sorted(day.counts, key=lambda w: -day.counts[w]) if w not in words][
        :_CATEGORIES
    ]
    before, after = (_counts(side, words) for side in (reference, day))
    shares = before / before.sum(), after / after.sum()
    moved = int(np.argmax(np.abs(shares[1] - shares[0])))
    value, by_chance, p_value = psi(before, after, reference.n_effective, day.n_effective)
    return MeasureChange(
        name, "psi", value, by_chance, p_value, float(shares[1][moved]), float(shares[0][moved]),
        [*words, _REST][moved], day.n, day.n_effective,
    )  # fmt: skip


def _counts(side: CategorySummary, words: list[str]) -> Float64[np.ndarray, " words"]:
    """Return how often each of `words` occurs, and last how often any other."""
    counted = [side.counts.get(word, 0) for word in words]
    return np.array([*counted, side.n - sum(counted)], np.float64)


def _psi_change(name: str, reference: NumberSummary, day: NumberSummary) -> MeasureChange:
    edges = np.unique(np.quantile(reference.values, np.linspace(0, 1, _BINS + 1)[1:-1]))
    before, after = (
        np.bincount(
            np.searchsorted(edges, side.values, side="right"), minlength=len(edges) + 1
        ).astype(np.float64)
        for side in (reference, day)
    )
    value, by_chance, p_value = psi(before, after, reference.n_effective, day.n_effective)
    return _number_change(name, "psi", value, by_chance, p_value, reference, day)


def _ks_change(name: str, reference: NumberSummary, day: NumberSummary) -> MeasureChange:
    both = np.sort(np.concatenate([reference.values, day.values]))
    below = [
        np.searchsorted(np.sort(side.values), both, side="right") / len(side.values)
        for side in (reference, day)
    ]
    value = float(np.abs(below[0] - below[1]).max())
    root = np.sqrt(_harmonic(reference.n_effective, day.n_effective))
    by_chance = float(_KOLMOGOROV_MEAN / root)
    return _number_change(
        name, "ks", value, by_chance, float(kolmogorov(value * root)), reference, day
    )


def _number_change(
    name: str,
    test: Literal["psi", "ks"],
    value: float,
    by_chance: float,
    p_value: float,
    reference: NumberSummary,
    day: NumberSummary,
) -> MeasureChange:
    before, after = float(np.median(reference.values)), float(np.median(day.values))
    return MeasureChange(
        name, test, value, by_chance, p_value, after, before, None, day.n, day.n_effective
    )


def psi(
    reference: Float64[np.ndarray, " bins"],
    day: Float64[np.ndarray, " bins"],
    n_reference: float,
    n_day: float,
) -> tuple[float, float, float]:
    """Return the PSI of two histograms, what chance gives on average, and the p-value.

    Alike, PSI / (1/n + 1/m) follows chi-squared with a degree of freedom for each bin but
    one. Each bin counts half a session more on both sides: an empty one is not infinitely far.
    """
    filled = (reference + day) > 0
    sizes = []
    for counts, n in ((reference, n_reference), (day, n_day)):
        scaled = counts[filled] / counts.sum() * n + 0.5
        sizes.append(scaled / scaled.sum())
    value = float(np.sum((sizes[1] - sizes[0]) * np.log(sizes[1] / sizes[0])))
    freedom, unit = int(filled.sum()) - 1, 1 / n_reference + 1 / n_day
    if freedom < 1:
        return value, 0.0, 1.0
    return value, freedom * unit, float(gammaincc(freedom / 2, value / unit / 2))


def holm(p_values: list[float]) -> list[float]:
    """Return p-values that hold for all tests together (Holm 1979)."""
    order = np.argsort(p_values)
    adjusted, highest = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def _harmonic(n: float, m: float) -> float:
    return n * m / (n + m)
