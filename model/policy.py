"""Set thresholds from the scores of legitimate sessions, each for a target FPR.

A threshold aims at its target: half of all samples of people would flag more, half less. With a
higher `confidence` it is taken only if that share of samples keeps the target. Few people say
little of how others differ, so their threshold is drawn towards what people of many recorders
reach (`MANY_RECORDERS`). (A target FPR is called `budget` in settings and files.)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float32, Float64, Int64, Shaped

from model.bootstrap import FEW_GROUPS
from model.config import PolicyConfig
from model.logistic import expit, logit
from pipeline.errors import ConfigError, DataError

_TINY = 1e-6  # a score nearer to 0 or 1 counts as this near


MANY_RECORDERS: Final = {0.05: 1.1, 0.01: 1.6, 0.001: 2.3}
"""Spreads above the median that this share of legitimate sessions reaches, where neither the
people nor their recorder were trained on or calibrated with (`python -m benchmarks.recorders`)."""

PRIOR_PEOPLE: Final = 5
"""So many people count as much as `MANY_RECORDERS`."""


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
    weights: Float[np.ndarray, " sessions"] | None = None,
    reference: Mapping[float, float] | None = None,
    prior_people: int = PRIOR_PEOPLE,
) -> Policy:
    """Return thresholds from calibrated `scores` of legitimate sessions, and whose they are.

    `n_independent` is the number of independent sessions, where those that are scored overlap.
    `weights` say how much a session counts; without them each person counts alike. `reference` are
    the scores that people elsewhere reach, by target FPR: what few people are drawn towards, as
    strongly as if it were `prior_people` of them.

    People are resampled: the `confidence` quantile of the resampled rates must not be above the
    target.
    """
    if not len(scores) or not np.isfinite(scores).all():
        raise DataError(
            "policy", f"{np.isfinite(scores).sum()} of {len(scores)} scores are usable",
            "thresholds need scored legitimate sessions",
        )  # fmt: skip
    codes, names = pd.factorize(people)
    n_independent = len(scores) if n_independent is None else n_independent
    of_person = np.ones(len(names)) if weights is None else np.bincount(codes, weights)
    sample = _Sample(scores.astype(np.float32), codes, of_person, n_independent, config)
    thresholds, lowest = [], -np.inf
    for budget in sorted(config.budgets, reverse=True):
        found = sample.fit_threshold(budget, _at_budget(reference, budget), lowest, prior_people)
        thresholds.insert(0, found)
        lowest = found.threshold
    return Policy(config.budget, tuple(thresholds), len(names), n_independent)


def score_reference(
    score_of: Callable[[float], float], spreads_at: Mapping[float, float] = MANY_RECORDERS
) -> dict[float, float]:
    """Return a reference as scores; `score_of` takes spreads above the median to a score."""
    return {budget: score_of(spreads) for budget, spreads in spreads_at.items()}


def _at_budget(reference: Mapping[float, float] | None, budget: float) -> float | None:
    """Return the reference's log odds at a target FPR, log-linear between those it has."""
    if reference is None:
        return None
    known = sorted(reference)
    reached = np.array([reference[budget_] for budget_ in known])
    return float(np.interp(np.log(budget), np.log(known), logit(reached)))


@dataclass(frozen=True)
class _Sample:
    """Scores of legitimate sessions to set a threshold on."""

    score: Float32[np.ndarray, " sessions"]
    person: Int64[np.ndarray, " sessions"]  # 0, 1, ...
    weight: Float64[np.ndarray, " people"]
    n_independent: int
    config: PolicyConfig

    @property
    def n_people(self) -> int:
        return int(self.person.max()) + 1

    def fit_threshold(
        self, budget: float, reference: float | None, lowest: float, prior_people: int
    ) -> Threshold:
        """Return the threshold for one target FPR, and how far to trust it.

        `reference` is in log odds; the threshold of a lower target FPR is at least `lowest`.
        """
        threshold, needed, note = self.lowest_safe(budget), _needed(budget), ""
        is_shown = bool(threshold <= self.score.max())
        if not is_shown:
            why = (
                f"{self.n_independent} legitimate sessions can't show a rate of 1 in {needed}"
                if self.n_independent < needed
                else f"{self.n_people} people differ too much to show that any threshold keeps the "
                "target"
            )
            where = (
                "just above the highest legitimate score"
                if reference is None
                else "where people of other recorders reach it"
            )
            note = f"{why}: set {where}, the real rate isn't known"
        elif self.n_people < FEW_GROUPS:
            note = f"set on {self.n_people} people: how much others differ isn't known"
        if reference is not None:
            share = self.n_people / (self.n_people + prior_people) if is_shown else 0.0
            own = logit(np.clip(np.float64(threshold), _TINY, 1 - _TINY))
            threshold = np.float32(expit(share * own + (1 - share) * reference))
        threshold = max(threshold, np.float32(lowest))
        return Threshold(
            budget=budget,
            threshold=float(threshold),
            calib_rate=self.rate(self.score >= threshold),
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

        At least that of these people.

        People with the same rate are drawn as one lot: a million cost no more than a thousand.
        """
        pairs = np.stack([self.rates(flagged), self.weight])
        (values, weights), counts = np.unique(pairs, axis=1, return_counts=True)
        n_people, config = counts.sum(), self.config
        rng = np.random.default_rng(config.seed)
        drawn = rng.multinomial(n_people, counts / n_people, size=config.n_resamples)
        rates = drawn @ (weights * values) / (drawn @ weights)
        return max(float(np.quantile(rates, config.confidence)), self.rate(flagged))

    def unseen_rate(self, budget: float, n_folds: int = 10) -> float | None:
        """Return the mean rate of people left out when the threshold is set; None for one."""
        if self.n_people == 1:
            return None
        rng = np.random.default_rng(self.config.seed)
        fold = (rng.permutation(self.n_people) % n_folds)[self.person]
        flagged = np.zeros(len(self.score), bool)
        for number in range(min(n_folds, self.n_people)):
            out = fold == number
            names, rest = np.unique(self.person[~out], return_inverse=True)
            n_rest = round(self.n_independent * float((~out).mean()))
            others = _Sample(self.score[~out], rest, self.weight[names], n_rest, self.config)
            flagged[out] = self.score[out] >= others.lowest_safe(budget)
        return self.rate(flagged)

    def rate(self, flagged: Bool[np.ndarray, " sessions"]) -> float:
        """Return the share that is flagged, over people by their weight."""
        return float(np.average(self.rates(flagged), weights=self.weight))

    def rates(self, flagged: Bool[np.ndarray, " sessions"]) -> Float64[np.ndarray, " people"]:
        """Return the share of each person's sessions that is flagged."""
        return np.bincount(self.person, flagged) / np.bincount(self.person)


def _needed(budget: float) -> int:
    """Return how many sessions it takes for one false positive to be within `budget`."""
    return int(np.ceil(round(1 / budget, 6)))  # 1 / 0.001 may come out above 1000
