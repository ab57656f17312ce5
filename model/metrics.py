"""Scores and labels in, numbers that say how well they agree out. Label 1 is fraud.

Sessions with equal scores are flagged together or not at all, so the order of the rows never
counts. `weights` count a session more than once, or not at all (see bootstrap.py).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int, Int64, Real

from pipeline.errors import DataError


class NotEnoughNegatives(DataError):
    """Too few legitimate sessions to tell how many a tight budget would flag."""


@dataclass(frozen=True)
class RocCurve:
    """What is flagged from each distinct score on, highest first; the first point flags nothing."""

    threshold: Float64[np.ndarray, " points"]
    n_fraud: Float64[np.ndarray, " points"]  # frauds with a score of `threshold` or more
    n_legitimate: Float64[np.ndarray, " points"]

    @property
    def tpr(self) -> Float64[np.ndarray, " points"]:
        """Return the share of frauds that is flagged."""
        return self.n_fraud / self.n_fraud[-1]

    @property
    def fpr(self) -> Float64[np.ndarray, " points"]:
        """Return the share of legitimate sessions that is flagged."""
        return self.n_legitimate / self.n_legitimate[-1]

    def auc(self) -> float:
        """Return the area under the curve: how often a fraud outscores a legitimate session."""
        return float(np.trapezoid(self.tpr, self.fpr))

    def average_precision(self) -> float:
        """Return the mean precision, each threshold weighed by the recall it adds."""
        n_flagged = self.n_fraud + self.n_legitimate
        precision = np.divide(
            self.n_fraud, n_flagged, out=np.ones_like(n_flagged), where=n_flagged > 0
        )
        return float(np.sum(np.diff(self.tpr) * precision[1:]))

    def eer(self) -> float:
        """Return the rate at which false alarms equal misses, between points on a straight line."""
        fpr, gap = self.fpr, self.fpr - (1 - self.tpr)
        after = int(np.argmax(gap >= 0))  # the first point flags nothing: there the gap is -1
        part = -gap[after - 1] / (gap[after] - gap[after - 1])
        return float(fpr[after - 1] + part * (fpr[after] - fpr[after - 1]))

    def tpr_at_fpr(self, max_fpr: float) -> float:
        """Return the highest share of frauds at a threshold whose false alarms keep `max_fpr`."""
        within = np.searchsorted(self.fpr, max_fpr, side="right") - 1
        return float(self.tpr[within])


def roc_curve(
    scores: Float[np.ndarray, " sessions"],
    labels: Int[np.ndarray, " sessions"],
    weights: Real[np.ndarray, " sessions"] | None = None,
) -> RocCurve:
    """Return the curve over all distinct scores."""
    _check(scores, labels)
    order = np.argsort(-scores, kind="stable")  # nearly free on sorted scores: bootstrap.py
    weights = np.ones(len(scores)) if weights is None else weights
    fraud = np.cumsum((weights * labels)[order], dtype=np.float64)
    all_ = np.cumsum(weights[order], dtype=np.float64)
    ranked = scores[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    return RocCurve(
        threshold=np.append(np.inf, ranked[last]).astype(np.float64),
        n_fraud=np.append(0.0, fraud[last]),
        n_legitimate=np.append(0.0, (all_ - fraud)[last]),
    )


def roc_auc(
    scores: Float[np.ndarray, " sessions"],
    labels: Int[np.ndarray, " sessions"],
    weights: Real[np.ndarray, " sessions"] | None = None,
) -> float:
    """Return how often a fraud outscores a legitimate session; a tie counts half."""
    return roc_curve(scores, labels, weights).auc()


def pr_auc(
    scores: Float[np.ndarray, " sessions"],
    labels: Int[np.ndarray, " sessions"],
    weights: Real[np.ndarray, " sessions"] | None = None,
) -> float:
    """Return the average precision. It means nothing without the `base_rate` beside it."""
    return roc_curve(scores, labels, weights).average_precision()


def base_rate(
    labels: Int[np.ndarray, " sessions"], weights: Real[np.ndarray, " sessions"] | None = None
) -> float:
    """Return the share of frauds: the average precision of a guess."""
    return float(np.average(labels, weights=weights))


def eer(
    scores: Float[np.ndarray, " sessions"],
    labels: Int[np.ndarray, " sessions"],
    weights: Real[np.ndarray, " sessions"] | None = None,
) -> float:
    """Return the rate at which false alarms equal misses."""
    return roc_curve(scores, labels, weights).eer()


def tpr_at_fpr(
    scores: Float[np.ndarray, " sessions"],
    labels: Int[np.ndarray, " sessions"],
    max_fpr: float,
    weights: Real[np.ndarray, " sessions"] | None = None,
) -> float:
    """Return the share of frauds caught while at most `max_fpr` of legitimate ones are flagged.

    Raises `NotEnoughNegatives` where one false alarm would already break that budget.
    """
    check_negatives(labels, max_fpr)
    return roc_curve(scores, labels, weights).tpr_at_fpr(max_fpr)


def check_negatives(labels: Int[np.ndarray, " sessions"], max_fpr: float) -> None:
    """Raise `NotEnoughNegatives` unless there are at least 1 / `max_fpr` legitimate sessions."""
    n, needed = int(np.sum(labels == 0)), int(np.ceil(round(1 / max_fpr, 6)))
    if n < needed:
        raise NotEnoughNegatives(
            f"TPR at {100 * max_fpr:g} % FPR",
            f"refused: {n} legitimate sessions can't show a rate of 1 in {needed}",
            f"bring at least {needed} legitimate sessions",
        )


def brier(
    probabilities: Float[np.ndarray, " sessions"],
    labels: Int[np.ndarray, " sessions"],
    weights: Real[np.ndarray, " sessions"] | None = None,
) -> float:
    """Return the mean squared distance of a probability from what happened; 0 is perfect."""
    return float(np.average((probabilities - labels) ** 2, weights=weights))


@dataclass(frozen=True)
class ReliabilityCurve:
    """Sessions sorted by probability, in bins of about equal number."""

    predicted: Float64[np.ndarray, " bins"]  # mean probability
    observed: Float64[np.ndarray, " bins"]  # share of frauds
    n_sessions: Int64[np.ndarray, " bins"]

    def __len__(self) -> int:
        """Return the number of bins: fewer than asked for where many scores are equal."""
        return len(self.n_sessions)

    def ece(self) -> float:
        """Return the mean distance of what was said from what happened, over sessions."""
        distance = np.abs(self.predicted - self.observed)
        return float(np.average(distance, weights=self.n_sessions))


def reliability_curve(
    probabilities: Float[np.ndarray, " sessions"],
    labels: Int[np.ndarray, " sessions"],
    n_bins: int = 10,
) -> ReliabilityCurve:
    """Return what was said against what happened, in up to `n_bins` bins of equal mass.

    Equal probabilities share a bin, so there may be fewer.
    """
    ranked = np.sort(probabilities)
    edges = np.unique(ranked[np.arange(1, n_bins) * len(ranked) // n_bins])
    which = np.searchsorted(edges, probabilities, side="right")
    n = np.bincount(which, minlength=len(edges) + 1)
    filled = n > 0
    return ReliabilityCurve(
        predicted=np.bincount(which, probabilities, len(n))[filled] / n[filled],
        observed=np.bincount(which, labels, len(n))[filled] / n[filled],
        n_sessions=n[filled],
    )


def ece(
    probabilities: Float[np.ndarray, " sessions"],
    labels: Int[np.ndarray, " sessions"],
    n_bins: int = 10,
) -> float:
    """Return the expected calibration error over up to `n_bins` bins of equal mass.

    It is never below what chance gives: of a perfectly calibrated model with 10 sessions a bin
    it is about 0.1. Nixon et al. 2019, "Measuring Calibration in Deep Learning", compare
    equal-mass with equal-width bins.
    """
    return reliability_curve(probabilities, labels, n_bins).ece()


def _check(scores: Float[np.ndarray, " sessions"], labels: Int[np.ndarray, " sessions"]) -> None:
    if not np.isfinite(scores).all():
        raise DataError("metrics", f"{(~np.isfinite(scores)).sum()} scores are not finite")
    n_fraud = int(np.count_nonzero(labels))
    if n_fraud in (0, len(labels)):
        kind = "legitimate" if n_fraud == 0 else "fraud"
        raise DataError(
            "metrics",
            f"all {len(labels)} sessions are {kind}",
            "a ranking is measured on sessions of both kinds",
        )
