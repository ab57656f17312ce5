"""Scores and labels of a day in, the curves that a report draws of them out."""

from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int

from model.metrics import reliability_curve, roc_curve

N_POINTS: Final = 200  # of the curve, at most


def agreement_json(
    scores: Float[np.ndarray, " sessions"], labels: Int[np.ndarray, " sessions"]
) -> dict[str, Any] | None:
    """Return ROC and calibration as numbers; None unless there are labels of both kinds."""
    n_fraud = int(np.count_nonzero(labels == 1))
    if n_fraud in (0, len(labels)):
        return None
    roc, calibration = roc_curve(scores, labels), reliability_curve(scores, labels)
    shown = np.unique(np.linspace(0, len(roc.fpr) - 1, N_POINTS).round().astype(int))
    return {
        "n_fraud": n_fraud,
        "n_legitimate": len(labels) - n_fraud,
        "auc": roc.auc(),
        "fpr": roc.fpr[shown].round(4).tolist(),
        "tpr": roc.tpr[shown].round(4).tolist(),
        "ece": calibration.ece(),
        "predicted": calibration.predicted.round(4).tolist(),
        "observed": calibration.observed.round(4).tolist(),
        "n_in_bin": calibration.n_sessions.tolist(),
    }
