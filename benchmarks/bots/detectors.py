"""A fold in, what has been trained on it out: the network, and boosting over features."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import expit, logit
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.bots.folds import Fold
from flows.jobs.progress import finish
from model.calibrate import fit_calibration
from model.checkpoint import TRAINING_STATE
from model.config import RunConfig
from model.fraud import FraudScorer
from model.fraud_training import calibrate_network
from model.network import Network
from model.policy import fit_policy
from model.run import TrainedModel
from model.train import fit_split
from model.training_data import balance_groups, training_sessions, window_weights
from pipeline.features.kinematics import KINEMATIC_FEATURES, MOTION_FEATURES, kinematic_features
from pipeline.scores.table import goes_somewhere
from pipeline.sessions.resample import resample
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import cut_windows
from pipeline.splits.split import Split

BUDGET = 0.01
FEATURES = [KINEMATIC_FEATURES.index(name) for name in MOTION_FEATURES]

Scores = Float64[np.ndarray, " sessions"]


@dataclass(frozen=True)
class Detector:
    """What has been trained: the log odds of fraud of each session, and when to flag."""

    log_odds: Callable[[Sessions], Scores]
    base_rate: float  # share of frauds that they hold for
    threshold: float
    unseen_rate: float | None

    def scores(self, sessions: Sessions, prior: float | None = None) -> Scores:
        """Return the probability of fraud, where `prior` are; 0 for what can't be judged."""
        shift = 0.0 if prior is None else logit(prior) - logit(self.base_rate)
        return np.nan_to_num(expit(self.log_odds(sessions) + shift))


def train_model(
    fold: Fold, config: RunConfig, simulate: bool, state_dir: Path
) -> tuple[TrainedModel, Sessions, Split]:
    """Return a model of what a fold leaves, and what it was trained on.

    A training that was cut short goes on from what lies in `state_dir`.
    """
    named = config.simulate.bots or fold.rest_bots
    bots = tuple(name for name in fold.rest_bots if name in named)
    config = replace(config, simulate=replace(config.simulate, bots=bots))
    sessions, split = training_sessions(fold.rest, config, simulate)
    can_resume = (state_dir / TRAINING_STATE).is_file()
    network, _ = finish(
        fit_split(sessions, split, config, state_dir, can_resume),
        lambda epoch: print(f"  {epoch}", file=sys.stderr, flush=True),
    )
    return calibrate_network(network, config, sessions, split), sessions, split


def train_detectors(
    fold: Fold, config: RunConfig, simulate: bool, state_dir: Path
) -> tuple[Network, dict[str, Detector]]:
    """Return the network, and as detectors the network and boosting, trained on the same."""
    model, sessions, split = train_model(fold, config, simulate, state_dir)
    boosted = train_features(sessions, split, model.config)
    return cast(FraudScorer, model.scorer).network, {
        "network": network_detector(model),
        "features": boosted,
    }


def network_detector(model: TrainedModel) -> Detector:
    """Return a trained model as a detector."""
    chosen = next(t for t in model.policy.thresholds if t.budget == BUDGET)

    def log_odds(tested: Sessions) -> Scores:
        seen = model.scorer.predict(tested)
        judged = np.where(goes_somewhere(tested), seen.of_session, np.nan)
        return model.calibration.log_odds(judged, seen.events_of_session)

    return Detector(log_odds, model.calibration.base_rate, chosen.threshold, chosen.unseen_rate)


def train_features(sessions: Sessions, split: Split, config: RunConfig) -> Detector:
    """Return gradient boosting over the kinematic features of standardised windows."""

    def described(chosen: Sessions) -> tuple[np.ndarray, Int64[np.ndarray, " windows"]]:
        standard = resample(chosen, config.resample).sessions
        windows = cut_windows(standard, config.window)
        return kinematic_features(standard, windows)[:, FEATURES], windows.session

    chosen = split.indices("train")
    train = sessions.take(chosen)
    features, owner = described(train)
    weights = window_weights(owner, train.label, balance_groups(split)[chosen])
    boosting = HistGradientBoostingClassifier(
        max_leaf_nodes=15, min_samples_leaf=10, early_stopping=False, random_state=config.seed
    ).fit(features, train.label[owner], sample_weight=weights * len(weights))

    def log_odds(chosen: Sessions) -> Scores:
        features, owner = described(chosen)
        if not len(owner):
            return np.full(len(chosen), np.nan)
        total = np.bincount(owner, boosting.decision_function(features), len(chosen))
        n = np.bincount(owner, minlength=len(chosen))
        mean = np.divide(total, n, out=np.full(len(chosen), np.nan), where=n > 0)
        return calibration.log_odds(mean)

    calib = split.indices("calib")
    features, owner = described(sessions.take(calib))
    of_window = boosting.decision_function(features)
    label, person = sessions.label[calib][owner], split.groups.person[calib][owner]
    weights = window_weights(owner, sessions.label[calib], balance_groups(split)[calib])
    calibration = fit_calibration(of_window, label, weights)
    legitimate = label == 0
    policy = fit_policy(calibration.apply(of_window[legitimate]), person[legitimate], config.policy)
    found = next(t for t in policy.thresholds if t.budget == BUDGET)
    return Detector(log_odds, calibration.base_rate, found.threshold, found.unseen_rate)
