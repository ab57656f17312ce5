"""Measure how well scores agree with labels. Label 1 is fraud.

Sessions with equal scores are flagged together or not at all, so the order of the rows never
counts.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Float64, Int, Int64, Real

from pipeline.errors import DataError
from pipeline.features.best_feature import check_ranking


class NotEnoughNegatives(DataError):
    """Too few legitimate sessions to measure a low false positive rate."""


@dataclass(frozen=True)
class RocCurve:
    """What each distinct score flags as a threshold, highest first; the first flags nothing."""

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
        """Return the rate where FPR and miss rate are equal, between points on a straight line."""
        fpr, gap = self.fpr, self.fpr - (1 - self.tpr)
        after = int(np.argmax(gap >= 0))  # the first point flags nothing: there the gap is -1
        part = -gap[after - 1] / (gap[after] - gap[after - 1])
        return float(fpr[after - 1] + part * (fpr[after] - fpr[after - 1]))

    def tpr_at_fpr(self, max_fpr: float) -> float:
        """Return the highest recall at a threshold whose FPR is at most `max_fpr`."""
        within = np.searchsorted(self.fpr, max_fpr, side="right") - 1
        return float(self.tpr[within])


def roc_curve(
    scores: Float[np.ndarray, " sessions"],
    labels: Int[np.ndarray, " sessions"],
    weights: Real[np.ndarray, " sessions"] | None = None,
) -> RocCurve:
    """Return the curve over all distinct scores; `weights` count a session so many times.

    The bootstrap computes a thousand of these. scikit-learn's functions take ten times as long for
    each, so the resampled curve is our own; tests hold it to agree with theirs.
    """
    check_ranking(scores, labels)
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


def weighted_auc(
    scores: Float[np.ndarray, " sessions"],
    labels: Int[np.ndarray, " sessions"],
    weights: Real[np.ndarray, " sessions"],
) -> float:
    """Return the area under the resampled ROC curve, for `cluster_bootstrap`."""
    return roc_curve(scores, labels, weights).auc()


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
    probabilities: Float[np.ndarray, " sessions"], labels: Int[np.ndarray, " sessions"]
) -> float:
    """Return the mean squared distance of a probability from what happened; 0 is perfect."""
    from sklearn.metrics import brier_score_loss  # a second that scoring need not wait for

    return float(brier_score_loss(labels, probabilities))


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
        """Return the expected calibration error: the mean distance of the two, over sessions.

        It is never below what luck gives: of a perfectly calibrated model with 10 sessions a bin
        it is about 0.1. Nixon et al. 2019, "Measuring Calibration in Deep Learning", compare
        equal-mass with equal-width bins.
        """
        distance = np.abs(self.predicted - self.observed)
        return float(np.average(distance, weights=self.n_sessions))


def reliability_curve(
    probabilities: Float[np.ndarray, " sessions"],
    labels: Int[np.ndarray, " sessions"],
    n_bins: int = 10,
) -> ReliabilityCurve:
    """Return predicted probabilities and shares of frauds, in up to `n_bins` bins of equal mass.

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


N_POINTS: Final = 200  # of the curve, at most
MIN_EACH: Final = 10
"""Sessions of each class without which neither curve is shown: it would be luck."""


def curves_json(
    scores: Float[np.ndarray, " sessions"], labels: Int[np.ndarray, " sessions"]
) -> dict[str, Any]:
    """Return ROC and calibration as numbers; only the counts if a class has too few sessions."""
    n_fraud = int(np.count_nonzero(labels == 1))
    counts = {"n_fraud": n_fraud, "n_legitimate": len(labels) - n_fraud, "min_each": MIN_EACH}
    if min(n_fraud, len(labels) - n_fraud) < MIN_EACH:
        return counts
    roc, calibration = roc_curve(scores, labels), reliability_curve(scores, labels)
    shown = np.unique(np.linspace(0, len(roc.fpr) - 1, N_POINTS).round().astype(int))
    return counts | {
        "auc": roc.auc(),
        "fpr": roc.fpr[shown].round(4).tolist(),
        "tpr": roc.tpr[shown].round(4).tolist(),
        "ece": calibration.ece(),
        "predicted": calibration.predicted.round(4).tolist(),
        "observed": calibration.observed.round(4).tolist(),
        "n_in_bin": calibration.n_sessions.tolist(),
    }
