"""Scores of legitimate sessions in, thresholds out: how many people may be suspected wrongly.

A threshold that flags 1 % of the sessions it was chosen on flags more than 1 % of other
people's about half the time, and easily 2 %: people differ, and it was fitted to these. So a
threshold is taken only if, with `confidence`, the rate over all people that these were drawn
from keeps the budget. docs/evaluation.md shows what that changes.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float32, Float64, Int64, Shaped

from model.bootstrap import FEW_GROUPS
from model.config import PolicyConfig
from pipeline.errors import ConfigError, DataError, SchemaError
from pipeline.scores.table import bands_of


@dataclass(frozen=True)
class Threshold:
    """From which score on to flag, to keep a budget of false alarms."""

    budget: float
    threshold: float  # a 32-bit number, as in the scores table
    calib_rate: float  # flagged of the sessions it was chosen on, a mean over people
    unseen_rate: float | None  # the same, of people left out while it was chosen; None: only one
    resolved: bool  # False: too few sessions or people to know that the budget is kept
    note: str  # why not


@dataclass(frozen=True)
class Policy:
    """What is flagged: `score >= threshold`."""

    budget: float  # the one in force
    thresholds: tuple[Threshold, ...]  # loosest budget last
    n_people: int  # legitimate ones, whom the thresholds rest on
    n_sessions: int

    @property
    def threshold(self) -> float:
        """Return the score from which on a session is flagged, and its band `high`."""
        return next(t.threshold for t in self.thresholds if t.budget == self.budget)

    @property
    def medium_threshold(self) -> float:
        """Return the score from which on the band is `medium`: that of the loosest budget."""
        return min(self.thresholds[-1].threshold, self.threshold)

    def with_budget(self, budget: float) -> "Policy":
        """Return the policy with another of its budgets in force."""
        known = [t.budget for t in self.thresholds]
        if budget not in known:
            raise ConfigError(
                "budget",
                f"the model has no threshold for {budget:g}",
                f"it has {', '.join(f'{b:g}' for b in known)}; others take another training",
            )
        return replace(self, budget=budget)

    def band(self, scores: Float[np.ndarray, " sessions"]) -> Shaped[np.ndarray, " sessions"]:
        """Return `low`, `medium`, `high`, or `abstained` for NaN."""
        return bands_of(scores, self.medium_threshold, self.threshold)

    def to_json(self) -> dict[str, Any]:
        """Return it as a plain dict."""
        return asdict(self)

    @staticmethod
    def from_json(json: dict[str, Any]) -> "Policy":
        """Return the policy that `to_json` wrote."""
        names = [field.name for field in fields(Policy)]
        if missing := [name for name in names if name not in json]:
            raise SchemaError("policy", f"missing {', '.join(missing)}; found {', '.join(json)}")
        columns = {name: json[name] for name in names}
        columns["thresholds"] = tuple(Threshold(**entry) for entry in json["thresholds"])
        return Policy(**columns)


def fit_policy(
    scores: Float[np.ndarray, " sessions"],
    people: Shaped[np.ndarray, " sessions"],
    config: PolicyConfig = PolicyConfig(),
    n_apart: int | None = None,
) -> Policy:
    """Return thresholds from calibrated `scores` of legitimate sessions, and whose they are.

    `n_apart` is how many sessions there are, if those that are scored overlap.

    Each person counts once, however many sessions they gave. Whether a threshold keeps its
    budget is judged by resampling people: the `confidence` quantile of the resampled rates
    must not be above it.
    """
    if not len(scores) or not np.isfinite(scores).all():
        raise DataError(
            "policy", f"{np.isfinite(scores).sum()} of {len(scores)} scores are usable",
            "thresholds need scored legitimate sessions",
        )  # fmt: skip
    scores = scores.astype(np.float32)
    codes, names = pd.factorize(people)
    n_apart = len(scores) if n_apart is None else n_apart
    thresholds = [
        _fit_threshold(scores, codes, budget, config, n_apart) for budget in sorted(config.budgets)
    ]
    return Policy(config.budget, tuple(thresholds), len(names), n_apart)


def _fit_threshold(
    scores: Float32[np.ndarray, " sessions"],
    person: Int64[np.ndarray, " sessions"],
    budget: float,
    config: PolicyConfig,
    n_apart: int,
) -> Threshold:
    threshold = _lowest_safe(scores, person, budget, config, n_apart)
    n_people = int(person.max()) + 1
    note = ""
    if threshold > scores.max():
        why = (
            f"{n_apart} legitimate sessions can't show a rate of 1 in {_needed(budget)}"
            if n_apart < _needed(budget)
            else f"{n_people} people differ too much to show that any threshold keeps the budget"
        )
        note = f"{why}: set just above the highest legitimate score, the real rate isn't known"
    elif n_people < FEW_GROUPS:
        note = f"set on {n_people} people: how much others differ isn't known"
    return Threshold(
        budget=budget,
        threshold=float(threshold),
        calib_rate=float(_rates(scores >= threshold, person).mean()),
        unseen_rate=_unseen_rate(scores, person, budget, config, n_apart),
        resolved=not note,
        note=note,
    )


def _lowest_safe(
    scores: Float32[np.ndarray, " sessions"],
    person: Int64[np.ndarray, " sessions"],
    budget: float,
    config: PolicyConfig,
    n_apart: int,
) -> np.float32:
    """Return the lowest score that is a safe threshold, or just above the highest.

    A lower threshold flags more in every resample, so the safe ones can be bisected.
    """
    candidates = np.append(np.nextafter(scores.max(), np.float32(np.inf)), np.unique(scores)[::-1])
    safe, unsafe = 0, len(candidates) if n_apart >= _needed(budget) else 1
    while unsafe - safe > 1:
        middle = (safe + unsafe) // 2
        if _upper_rate(_rates(scores >= candidates[middle], person), config) <= budget:
            safe = middle
        else:
            unsafe = middle
    return candidates[safe]


def _upper_rate(rates: Float64[np.ndarray, " people"], config: PolicyConfig) -> float:
    """Return the rate that the mean over resampled people stays under with `confidence`.

    People with the same rate are drawn as one lot: a million cost no more than a thousand.
    """
    values, counts = np.unique(rates, return_counts=True)
    rng = np.random.default_rng(config.seed)
    drawn = rng.multinomial(len(rates), counts / len(rates), size=config.n_resamples)
    return float(np.quantile(drawn @ values / len(rates), config.confidence))


def _unseen_rate(
    scores: Float32[np.ndarray, " sessions"],
    person: Int64[np.ndarray, " sessions"],
    budget: float,
    config: PolicyConfig,
    n_apart: int,
    n_folds: int = 10,
) -> float | None:
    """Return the mean rate of people who had no say in the threshold; None for one person."""
    n_people = int(person.max()) + 1
    if n_people == 1:
        return None
    fold = np.random.default_rng(config.seed).permutation(n_people) % n_folds
    flagged = np.zeros(len(scores), bool)
    for number in range(min(n_folds, n_people)):
        out = fold[person] == number
        _, rest = np.unique(person[~out], return_inverse=True)
        n_rest = round(n_apart * float((~out).mean()))
        flagged[out] = scores[out] >= _lowest_safe(scores[~out], rest, budget, config, n_rest)
    return float(_rates(flagged, person).mean())


def _needed(budget: float) -> int:
    """Return how many sessions there must be for one false alarm to keep `budget`."""
    return int(np.ceil(round(1 / budget, 6)))  # 1 / 0.001 may come out above 1000


def _rates(
    flagged: Bool[np.ndarray, " sessions"], person: Int64[np.ndarray, " sessions"]
) -> Float64[np.ndarray, " people"]:
    """Return the share of each person's sessions that is flagged."""
    return np.bincount(person, flagged) / np.bincount(person)
