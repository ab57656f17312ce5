"""Train a model of the fraud task: network, calibration, thresholds, figures."""

from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from model.calibrate import fit_calibration, fit_length_calibration
from model.config import RunConfig
from model.evaluate import Evaluation, evaluate_scores
from model.fraud import FraudScorer
from model.level import fit_level_reference
from model.model_card import fraud_card
from model.network import Network
from model.policy import fit_policy, score_reference
from model.prints import print_of_people
from model.run import TrainedModel
from model.score import score_without_reasons
from model.train import Epoch, fit_split
from model.training_data import (
    balance_groups,
    draw_sub_sessions,
    training_sessions,
    window_weights,
)
from model.training_result import TrainingResult, training_reference
from pipeline.features.kinematics import session_feature_frame
from pipeline.reasons.reference import fit_reference_ranges
from pipeline.replay.null_model import fit_null_model
from pipeline.schemas import LABELS
from pipeline.scores.table import goes_somewhere
from pipeline.sessions.recorder import known_recorder_counts
from pipeline.sessions.resample import resample
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import cut_windows
from pipeline.splits.split import Split

FEWEST_SUB_SESSIONS: Final = 2_000
"""Of each class, to calibrate on: a threshold for 1 in 1,000 rests on twice as many."""


def train_fraud(
    labelled: Sessions, config: RunConfig, simulate: bool, state_dir: Path, resume: bool
) -> Generator[Epoch, None, TrainingResult]:
    """Learn from labelled sessions what frauds look like; with `simulate`, from synthetic ones too.

    The network learns from the train partition and stops by the valid partition; calibration and
    thresholds come from the calib partition, and the figures from the test partition.
    """
    sessions, split = training_sessions(labelled, config, simulate)
    split.check_no_crossing()
    network, history = yield from fit_split(sessions, split, config, state_dir, resume)
    chosen = np.flatnonzero(split.is_in("train") & sessions.is_legitimate)
    legitimate, person = sessions.take(chosen), split.groups.person[chosen]
    model = calibrate_network(network, config, sessions, split)
    model = replace(
        model,
        null_model=fit_null_model(legitimate),
        reference_ranges=fit_reference_ranges(legitimate, person),
        people=print_of_people(model.scorer.inputs, legitimate, person),
        recorders=known_recorder_counts(split.recorder[split.is_in("calib") & ~split.is_fraud]),
    )
    evaluation = _evaluate_test_part(model, sessions.take(split.indices("test")))
    return TrainingResult(
        model=model,
        split=split,
        evaluation=evaluation,
        metrics=evaluation.to_json(),
        reference=training_reference(model, sessions, split, ("calib", "test")),
        card=fraud_card(model, split, evaluation),
        history=tuple(history),
    )


def calibrate_network(
    network: Network, config: RunConfig, sessions: Sessions, split: Split
) -> TrainedModel:
    """Fit calibration and thresholds on the calib partition, which the network has never seen.

    They are fitted on sub-sessions of any length and by any recorder, as sessions come. Both
    classes are drawn alike, and in each class everybody: how many bots were recorded says nothing
    of how many come. Overlapping sub-sessions say no more about how rare a false alarm is: for
    that, the calib partition counts as many sessions as it has windows.
    """
    chosen = split.indices("calib")
    calib, person = sessions.take(chosen), split.groups.person[chosen]
    windows = cut_windows(resample(calib, config.resample).sessions, config.window)
    weights = window_weights(windows.session, calib.label, balance_groups(split)[chosen])
    n_legitimate = int((calib.label[windows.session] == 0).sum())
    fewest, most = config.window.min_events, config.window.max_events
    drawn, parent = draw_sub_sessions(
        calib,
        np.bincount(windows.session, weights, len(calib)),
        2 * max(n_legitimate, FEWEST_SUB_SESSIONS),
        fewest,
        config.augment,
        np.random.default_rng([config.seed, len(chosen)]),
    )
    scorer = FraudScorer(config, network)
    predictions = scorer.predict(drawn)
    is_scored = np.isfinite(predictions.of_session) & goes_somewhere(drawn)
    logits = predictions.of_session[is_scored]
    n_events = predictions.events_of_session[is_scored]
    label, person = calib.label[parent[is_scored]], person[parent[is_scored]]
    is_legitimate = label == 0
    by_length = fit_length_calibration(logits[is_legitimate], n_events[is_legitimate], fewest, most)
    adjusted = by_length.adjust(logits, n_events)
    fitted = fit_calibration(adjusted, label)
    calibration = replace(fitted, length=by_length)
    scores = calibration.apply(logits[is_legitimate], n_events[is_legitimate])
    policy = fit_policy(
        scores,
        person[is_legitimate],
        config.policy,
        n_legitimate,
        weights=np.ones(len(scores)),  # drawn so that recorders, people, sessions count alike
        reference=score_reference(fitted.score_of),
    )
    recorder = split.recorder[chosen][parent[is_scored]]
    return TrainedModel(
        config,
        scorer,
        calibration,
        policy,
        level_reference=fit_level_reference(adjusted, label, recorder),
    )


def _evaluate_test_part(model: TrainedModel, test: Sessions) -> Evaluation:
    """Return the figures on the test partition, the best single feature beside each."""
    test = test.take(test.label >= 0)
    table = score_without_reasons(model, model.model_id, test, "training", datetime.now(UTC))
    labels = pa.table(
        [
            pa.array(test.session_id, pa.string()),
            pa.array(test.label),
            pa.array(test.account_id, pa.string()),
        ],
        schema=LABELS,
    )
    return evaluate_scores(table, labels, session_feature_frame(test, model.config.window))
