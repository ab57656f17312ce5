"""Set thresholds from the scores of legitimate sessions, each for a target FPR.

A threshold that flags 1 % of the sessions it was chosen on flags more than 1 % of other
people's about half the time, and easily 2 %: people differ, and it was fitted to these. So a
threshold is taken only if, with `confidence`, the rate over all people that these were drawn
from is at most the target. docs/evaluation.md shows what that changes. (A target FPR is called
`budget` in settings and files.)
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float32, Float64, Int64, Shaped

from model.bootstrap import FEW_GROUPS
from model.config import PolicyConfig
from pipeline.errors import ConfigError, DataError


@dataclass(frozen=True)
class Threshold:
    """The score from which on to flag, for one target FPR."""

    budget: float  # the target FPR
    threshold: float  # a 32-bit number, as in the scores table
    calib_rate: float  # flagged of the sessions it was chosen on, a mean over people
    unseen_rate: float | None  # the same, of people left out while it was chosen; None: only one
    resolved: bool  # False: too few sessions or people to know that the target is kept
    note: str  # why it isn't resolved


@dataclass(frozen=True)
class Policy:
    """The thresholds, and which of them flags: `score >= threshold`."""

    budget: float  # the one in force
    thresholds: tuple[Threshold, ...]  # highest target last
    n_people: int  # legitimate ones, whom the thresholds rest on
    n_sessions: int

    @property
    def threshold(self) -> float:
        """Return the score from which on a session is flagged, and its band `high`."""
        return next(t.threshold for t in self.thresholds if t.budget == self.budget)

    @property
    def medium_threshold(self) -> float:
        """Return the score from which on the band is `medium`: that of the highest target FPR."""
        return min(self.thresholds[-1].threshold, self.threshold)

    def with_budget(self, budget: float) -> "Policy":
        """Return the policy with another of its target FPRs in force."""
        known = [t.budget for t in self.thresholds]
        if budget not in known:
            raise ConfigError(
                "budget",
                f"the model was not calibrated for a target FPR of {budget:g}",
                f"use one of {', '.join(f'{b:g}' for b in known)}; others need a new training",
            )
        return replace(self, budget=budget)


def fit_policy(
    scores: Float[np.ndarray, " sessions"],
    people: Shaped[np.ndarray, " sessions"],
    config: PolicyConfig = PolicyConfig(),
    n_independent: int | None = None,
) -> Policy:
    """Return thresholds from calibrated `scores` of legitimate sessions, and whose they are.

    `n_independent` is the number of independent sessions, where those that are scored overlap.

    Each person counts once, however many sessions they gave. People are resampled: the
    `confidence` quantile of the resampled rates must not be above the target.
    """
    if not len(scores) or not np.isfinite(scores).all():
        raise DataError(
            "policy", f"{np.isfinite(scores).sum()} of {len(scores)} scores are usable",
            "thresholds need scored legitimate sessions",
        )  # fmt: skip
    codes, names = pd.factorize(people)
    n_independent = len(scores) if n_independent is None else n_independent
    sample = _Sample(scores.astype(np.float32), codes, n_independent, config)
    thresholds = tuple(sample.fit_threshold(budget) for budget in sorted(config.budgets))
    return Policy(config.budget, thresholds, len(names), n_independent)


@dataclass(frozen=True)
class _Sample:
    """Scores of legitimate sessions to set a threshold on."""

    score: Float32[np.ndarray, " sessions"]
    person: Int64[np.ndarray, " sessions"]  # 0, 1, ...
    n_independent: int
    config: PolicyConfig

    @property
    def n_people(self) -> int:
        return int(self.person.max()) + 1

    def fit_threshold(self, budget: float) -> Threshold:
        """Return the threshold for one target FPR, and how far to trust it."""
        threshold, needed, note = self.lowest_safe(budget), _needed(budget), ""
        if threshold > self.score.max():
            why = (
                f"{self.n_independent} legitimate sessions can't show a rate of 1 in {needed}"
                if self.n_independent < needed
                else f"{self.n_people} people differ too much to show that any threshold keeps the "
                "target"
            )
            note = f"{why}: set just above the highest legitimate score, the real rate isn't known"
        elif self.n_people < FEW_GROUPS:
            note = f"set on {self.n_people} people: how much others differ isn't known"
        return Threshold(
            budget=budget,
            threshold=float(threshold),
            calib_rate=float(self.rates(self.score >= threshold).mean()),
            unseen_rate=self.unseen_rate(budget),
            resolved=not note,
            note=note,
        )

    def lowest_safe(self, budget: float) -> np.float32:
        """Return the lowest score that is a safe threshold, or just above the highest.

        A lower threshold flags more in every resample, so the safe ones can be bisected.
        """
        above_all = np.nextafter(self.score.max(), np.float32(np.inf))
        candidates = np.append(above_all, np.unique(self.score)[::-1])
        safe, unsafe = 0, len(candidates) if self.n_independent >= _needed(budget) else 1
        while unsafe - safe > 1:
            middle = (safe + unsafe) // 2
            if self.upper_rate(self.score >= candidates[middle]) <= budget:
                safe = middle
            else:
                unsafe = middle
        return candidates[safe]

    def upper_rate(self, flagged: Bool[np.ndarray, " sessions"]) -> float:
        """Return the rate that the mean over resampled people stays under with `confidence`.

        People with the same rate are drawn as one lot: a million cost no more than a thousand.
        """
        values, counts = np.unique(self.rates(flagged), return_counts=True)
        n_people, config = counts.sum(), self.config
        rng = np.random.default_rng(config.seed)
        drawn = rng.multinomial(n_people, counts / n_people, size=config.n_resamples)
        return float(np.quantile(drawn @ values / n_people, config.confidence))

    def unseen_rate(self, budget: float, n_folds: int = 10) -> float | None:
        """Return the mean rate of people left out when the threshold is set; None for one."""
        if self.n_people == 1:
            return None
        rng = np.random.default_rng(self.config.seed)
        fold = (rng.permutation(self.n_people) % n_folds)[self.person]
        flagged = np.zeros(len(self.score), bool)
        for number in range(min(n_folds, self.n_people)):
            out = fold == number
            _, rest = np.unique(self.person[~out], return_inverse=True)
            n_rest = round(self.n_independent * float((~out).mean()))
            others = _Sample(self.score[~out], rest, n_rest, self.config)
            flagged[out] = self.score[out] >= others.lowest_safe(budget)
        return float(self.rates(flagged).mean())

    def rates(self, flagged: Bool[np.ndarray, " sessions"]) -> Float64[np.ndarray, " people"]:
        """Return the share of each person's sessions that is flagged."""
        return np.bincount(self.person, flagged) / np.bincount(self.person)


def _needed(budget: float) -> int:
    """Return how many sessions it takes for one false positive to be within `budget`."""
    return int(np.ceil(round(1 / budget, 6)))  # 1 / 0.001 may come out above 1000
