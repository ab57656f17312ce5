"""Detectors and what they are tested on in, the figures of each test out."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.bots.detectors import BUDGET, FEATURES, Detector, Scores
from model.bootstrap import cluster_bootstrap, rate_interval
from model.config import RunConfig
from model.metrics import reliability_curve, roc_curve, weighted_auc
from pipeline.features.best_feature import feature_aucs
from pipeline.features.kinematics import MOTION_FEATURES, session_features
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import cut_windows

FEWEST = 30  # sessions of a class: fewer can be matched of some families
ENOUGH = round(1 / BUDGET)  # legitimate sessions: fewer can't show so low a rate
N_RESAMPLES = 400
Detectors = dict[str, Detector]


def caught_at_budget(scores: Scores, labels: np.ndarray, weights: np.ndarray) -> float:
    """Return the share of frauds caught while at most the budget of these people is flagged."""
    return roc_curve(scores, labels, weights).tpr_at_fpr(BUDGET)


def best_feature(sessions: Sessions) -> dict[str, Any]:
    """Return the feature of the hand that tells these sessions apart best, picked on them."""
    described = session_features(sessions, cut_windows(sessions, RunConfig().window))
    has_one = np.isfinite(described).all(axis=1)
    described, labels = described[has_one][:, FEATURES], sessions.label[has_one]
    auc = feature_aucs(described, labels)
    best = int(np.maximum(auc, 1 - auc).argmax())
    value = described[:, best] if auc[best] > 0.5 else -described[:, best]
    return {
        "name": MOTION_FEATURES[best],
        "auc": float(max(auc[best], 1 - auc[best])),
        "caught": caught_at_budget(value, labels, np.ones(len(labels))),
    }


def family_row(sessions: Sessions, detectors: Detectors) -> dict[str, Any]:
    """Return the figures of one family against people; of too few sessions, only how many."""
    is_fraud, person = sessions.label == 1, sessions.account_id.astype(str)
    row: dict[str, Any] = {
        "n_people": len(np.unique(person[~is_fraud])),
        "n_legitimate": int((~is_fraud).sum()),
        "n_fraud": int(is_fraud.sum()),
    }
    if min(row["n_legitimate"], row["n_fraud"]) < FEWEST:
        return row
    row["best_feature"] = best_feature(sessions)
    can_show = row["n_legitimate"] >= ENOUGH
    # People are drawn anew; a bot's sessions are independent but for the generator.
    group = np.where(is_fraud, sessions.session_id.astype(str), person)
    for name, detector in detectors.items():
        scores = detector.scores(sessions)
        measured = (scores, sessions.label, group, N_RESAMPLES)
        flagged = scores >= detector.threshold
        row[name] = {
            "auc": asdict(cluster_bootstrap(weighted_auc, *measured)),
            "caught": asdict(cluster_bootstrap(caught_at_budget, *measured)) if can_show else None,
            "flagged": float(flagged[is_fraud].mean()),
            "calibration_error": calibration_error(detector, sessions),
        }
    return row


def calibration_error(detector: Detector, sessions: Sessions) -> float:
    """Return the calibration error at the share of frauds that these sessions have."""
    prior = float(np.mean(sessions.label == 1))
    return float(reliability_curve(detector.scores(sessions, prior), sessions.label).ece())


def alarm_row(sessions: Sessions, detectors: Detectors) -> dict[str, Any]:
    """Return the false alarms of one recorder's people: a mean over people, and the worst."""
    person = sessions.account_id.astype(str)
    row: dict[str, Any] = {"n_people": len(np.unique(person)), "n_sessions": len(sessions)}
    for name, detector in detectors.items():
        flagged = detector.scores(sessions) >= detector.threshold
        of_person = pd.Series(pd.Series(flagged).groupby(person).mean())
        interval = rate_interval(flagged, person, N_RESAMPLES)
        row[name] = {
            "rate": float(of_person.mean()),
            "low": interval.low,
            "high": interval.high,
            "worst": float(of_person.max()),
            "over_5": int((of_person > 0.05).sum()),
        }
    return row
