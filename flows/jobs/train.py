"""The training job: stores in, a RUN out: network, calibration, thresholds, honest figures."""

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Int64

from model.calibrate import fit_calibration, fit_length_calibration
from model.config import RunConfig
from model.evaluate import Evaluation, evaluate
from model.model_card import model_card
from model.network import Network
from model.owner.train import train_owner
from model.plots import plot_training
from model.policy import fit_policy
from model.prints import print_of_people
from model.reference import training_reference
from model.run import TrainedModel, save_model, training_folder
from model.score import predict_sessions, score_sessions
from model.stretches import draw_sub_sessions
from model.train import Epoch, balance_groups, fit_split, window_weights
from pipeline.errors import ConfigError, DataError
from pipeline.features.kinematics import session_feature_frame
from pipeline.monitoring.reference import write_reference
from pipeline.reasons.reference import fit_reference_ranges
from pipeline.replay.null_model import fit_null_model
from pipeline.schemas import LABELS
from pipeline.scores.table import goes_somewhere
from pipeline.sessions.feedback import labelled_sessions
from pipeline.sessions.resample import resample
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from pipeline.sessions.windows import cut_windows
from pipeline.simulate.generators import ALL
from pipeline.simulate.synthetic import simulate_sessions
from pipeline.splits.groups import group_sessions
from pipeline.splits.split import Split, split_sessions
from pipeline.storage.paths import as_path
from pipeline.storage.publish import publish_partition, staging, write_json

log = logging.getLogger(__name__)

ENOUGH_MAKERS = 8
"""With so many makers of labelled frauds, twins are for training alone."""

FEWEST_STRETCHES = 2_000
"""Of each class, to calibrate on: a threshold for 1 in 1,000 has twice as many to go by."""


def train(
    stores: Sequence[Path],
    run: Path,
    config: RunConfig,
    simulate: bool = False,
    resume: bool = False,
    progress: Callable[[Epoch], None] = lambda epoch: None,
    feedback: Sequence[Path] = (),
) -> Evaluation:
    """Train on the sessions of `stores`, publish `run`; give its figures on TEST.

    The fraud task learns from labels, the owner task from accounts. Labels that were fed back
    beside the stores, or beside the SCORES in `feedback`, count before those of the logs.
    """
    run = as_path(run)
    if config.task == "owner":
        if simulate:
            raise ConfigError("--simulate", "the owner task learns no bots", "leave it out")
        return train_owner(labelled_sessions(stores, feedback), run, config)
    known = labelled_sessions(stores, feedback)
    sessions, split = training_sessions(known, config, simulate)
    split.check_no_crossing()
    state_dir = training_folder(run)
    network, history = fit_split(sessions, split, config, state_dir, resume, progress)
    legitimate = split.is_in("train") & (sessions.label == 0)
    model = calibrated(network, config, sessions, split)
    people = sessions.take(legitimate)
    usual = fit_reference_ranges(people, split.groups.person[legitimate])
    prints = print_of_people(config, people, split.groups.person[legitimate])
    model = replace(model, null_model=fit_null_model(people), reference_ranges=usual, people=prints)
    test = sessions.take(split.indices("test"))
    evaluation = test_figures(model, test)
    reference = training_reference(model, sessions, split, ("calib", "test"))
    with staging(run, run) as staged:
        save_model(model, staged)
        write_reference(reference, staged)
        write_json(evaluation.to_json(), staged / "metrics.json")
        write_json(split.to_json(), staged / "split.json")
        write_json({"epochs": [asdict(epoch) for epoch in history]}, staged / "history.json")
        plot_training(pd.DataFrame(asdict(epoch) for epoch in history), staged / "training.png")
        evaluation.write_plots(staged)
        (staged / "MODEL_CARD.md").write_text(model_card(model, split, evaluation))
        (staged / "_SUCCESS").touch()
        publish_partition(staged, run)
    shutil.rmtree(state_dir, ignore_errors=True)
    return evaluation


def training_sessions(
    sessions: Sessions, config: RunConfig, simulate: bool
) -> tuple[Sessions, Split]:
    """Return what training is given, and what each session is for; with `simulate`, twins too.

    Sessions without a label then count as legitimate. Where enough makers of labelled frauds
    are known, their frauds are what is validated, calibrated and tested with, and all kinds of
    twins are there to train on. Otherwise twins are dealt out like other frauds.
    """
    if not len(sessions):
        raise DataError("train", "the stores hold no sessions", "ingest some first")
    dealt = replace(config.split, task=config.task, seed=config.seed)
    if not simulate:
        return sessions, split_sessions(sessions, dealt)
    sessions = replace(sessions, label=np.maximum(sessions.label, 0))
    makers = _makers(sessions)
    bots = config.simulate.bots or ALL
    if len(makers) < ENOUGH_MAKERS:
        sessions, _ = _with_twins(sessions, sessions.label == 0, bots, config)
        return sessions, split_sessions(sessions, dealt)
    split = split_sessions(sessions, dealt)
    legitimate = split.is_in("train") & (sessions.label == 0)
    unseen = [name for name in bots if name not in makers]
    if not unseen:
        return sessions, split
    sessions, parent = _with_twins(sessions, legitimate, unseen, config)
    return sessions, split.extended(sessions, parent)


def _makers(sessions: Sessions) -> set[str]:
    """Return who or what made the frauds among `sessions`."""
    groups = group_sessions(
        sessions.session_id, sessions.account_id, sessions.label == 1, sessions.source
    )
    return {name for name in groups.generator if name is not None}


def _with_twins(
    sessions: Sessions,
    chosen: Bool[np.ndarray, " sessions"],
    bots: Sequence[str],
    config: RunConfig,
) -> tuple[Sessions, Int64[np.ndarray, " twins"]]:
    """Return `sessions` with twins of the `chosen` ones behind them, and whose twins these are."""
    n_each = config.simulate.per_session
    twins = simulate_sessions(sessions.take(chosen), bots, n_each, config.seed)
    # A store that `simulate` made may hold some of them already.
    new = ~np.isin(twins.session_id.astype(str), sessions.session_id.astype(str))
    parent = np.repeat(np.flatnonzero(chosen), n_each)
    return concatenate_sessions([sessions, twins.take(new)]), parent[new]


def calibrated(
    network: Network, config: RunConfig, sessions: Sessions, split: Split
) -> TrainedModel:
    """Fit calibration and thresholds on CALIB, which the network has never seen.

    On stretches of its sessions, of any length and by any recorder, for so sessions come. Both
    classes are drawn alike, and in each class everybody: how many bots were recorded says nothing
    of how many come. Overlapping stretches are no further evidence of how rare a false alarm is:
    for that, CALIB has as many sessions as windows.
    """
    chosen = split.indices("calib")
    calib, person = sessions.take(chosen), split.groups.person[chosen]
    windows = cut_windows(resample(calib, config.resample).sessions, config.window)
    weights = window_weights(windows.session, calib.label, balance_groups(split)[chosen])
    n_legitimate = int((calib.label[windows.session] == 0).sum())
    drawn, parent = draw_sub_sessions(
        calib,
        np.bincount(windows.session, weights, len(calib)),
        2 * max(n_legitimate, FEWEST_STRETCHES),
        config.window.min_events,
        config.augment,
        np.random.default_rng([config.seed, len(chosen)]),
    )
    seen = predict_sessions(network, config, drawn)
    judged = np.isfinite(seen.of_session) & goes_somewhere(drawn)
    logits, n_events = seen.of_session[judged], seen.events_of_session[judged]
    parent = parent[judged]
    is_person = calib.label[parent] == 0
    people = person[parent[is_person]]
    fewest, most = config.window.min_events, config.window.max_events
    evidence = fit_length_calibration(logits[is_person], n_events[is_person], people, fewest, most)
    fitted = fit_calibration(evidence.adjust(logits, n_events), calib.label[parent])
    calibration = replace(fitted, evidence=evidence)
    scores = calibration.apply(logits[is_person], n_events[is_person])
    policy = fit_policy(scores, people, config.policy, n_legitimate)
    return TrainedModel(config, network, calibration, policy)


def test_figures(model: TrainedModel, test: Sessions) -> Evaluation:
    """Return the figures on TEST, the best single feature beside each."""
    test = test.take(test.label >= 0)
    table = score_sessions(model, model.model_id, test, "training", datetime.now(UTC))
    return evaluate(table, labels_table(test), session_feature_frame(test, model.config.window))


def labels_table(sessions: Sessions) -> pa.Table:
    """Return the labels that sessions carry themselves."""
    return pa.table(
        [
            pa.array(sessions.session_id, pa.string()),
            pa.array(sessions.label),
            pa.array(sessions.account_id, pa.string()),
        ],
        schema=LABELS,
    )
