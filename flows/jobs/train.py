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
from jaxtyping import Bool

from flows.jobs.evaluate import session_feature_frame
from flows.jobs.train_owner import train_owner
from model.calibrate import fit_calibration
from model.config import RunConfig
from model.evaluate import Evaluation, evaluate
from model.model_card import model_card
from model.network import Network, predict
from model.owner.train import OwnerEpoch
from model.plots import plot_training
from model.policy import fit_policy
from model.run import TrainedModel, save_model
from model.score import score_sessions
from model.train import Epoch, balance_groups, fit
from pipeline.errors import ConfigError, DataError
from pipeline.publish import publish_partition, staging, write_json
from pipeline.schemas import LABELS
from pipeline.sessions import Sessions, concatenate_sessions
from pipeline.simulate.generators import ALL
from pipeline.simulate.twins import simulate_twins
from pipeline.splits import Split, assert_no_crossing, split_sessions
from pipeline.standard import standardise
from pipeline.store import load_sessions
from pipeline.windows import cut_windows

log = logging.getLogger(__name__)


def train(
    stores: Sequence[Path],
    run: Path,
    config: RunConfig,
    simulate: bool = False,
    resume: bool = False,
    progress: Callable[[Epoch | OwnerEpoch], None] = lambda epoch: None,
) -> Evaluation:
    """Train on the sessions of `stores`, publish `run`; give its figures on TEST.

    The fraud task learns from labels, the owner task from accounts.
    """
    if config.task == "owner":
        if simulate:
            raise ConfigError("--simulate", "the owner task learns no bots", "leave it out")
        return train_owner(stores, run, config, resume, progress)
    sessions = labelled_sessions(load_sessions(stores), config, simulate)
    split = split_sessions(sessions, replace(config.split, task=config.task, seed=config.seed))
    assert_no_crossing(split.kept_apart(), split.part)
    state_dir = run.with_name(f"{run.name}.training")
    standard = standardise(sessions, config.standard).sessions
    network, history = fit(
        standard,
        cut_windows(standard, config.window),
        balance_groups(split),
        _mask(split, "train"),
        _mask(split, "valid"),
        config,
        state_dir,
        resume,
        progress,
    )
    model = calibrated(network, config, sessions, split)
    test = sessions.take(split.indices("test"))
    evaluation = test_figures(model, test)
    with staging(run, run) as staged:
        save_model(model, staged)
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


def labelled_sessions(sessions: Sessions, config: RunConfig, simulate: bool) -> Sessions:
    """Return what training is given; with `simulate`, legitimate sessions get twins.

    Sessions without a label then count as legitimate.
    """
    if not len(sessions):
        raise DataError("train", "the stores hold no sessions", "ingest some first")
    if not simulate:
        return sessions
    legitimate = sessions.take(sessions.label != 1)
    legitimate = replace(legitimate, label=np.zeros(len(legitimate), np.int8))
    bots = config.twins.bots or ALL
    twins = simulate_twins(legitimate, bots, config.twins.per_session, config.seed)
    # A store that `simulate` made may hold some of them already.
    twins = twins.take(~np.isin(twins.session_id.astype(str), sessions.session_id.astype(str)))
    return concatenate_sessions([legitimate, sessions.take(sessions.label == 1), twins])


def calibrated(
    network: Network, config: RunConfig, sessions: Sessions, split: Split
) -> TrainedModel:
    """Fit calibration and thresholds on CALIB, which the network has never seen."""
    chosen = split.indices("calib")
    calib = standardise(sessions.take(chosen), config.standard).sessions
    stretches = cut_windows(calib, replace(config.window, max_events=config.policy.stretch_events))
    logits = predict(network, calib, stretches, config.window.max_events)[:, 0]
    label, person = calib.label[stretches.session], split.groups.person[chosen][stretches.session]
    calibration = fit_calibration(logits, label)
    legitimate = label == 0
    policy = fit_policy(calibration.apply(logits[legitimate]), person[legitimate], config.policy)
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


def _mask(split: Split, part: str) -> Bool[np.ndarray, " sessions"]:
    mask = np.zeros(len(split.part), bool)
    mask[split.indices(part)] = True
    return mask
