"""The owner task's training job: accounts' sessions in, a RUN out that can enrol any account."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int64

from flows.jobs.owner_trials import CrossFitted, HeldOut, population_of
from flows.jobs.reference import training_reference
from model.config import RunConfig
from model.evaluate import Evaluation
from model.model_card import owner_card
from model.network import Network
from model.owner.profiles import Profiles
from model.owner.train import OwnerEpoch, fit_owner
from model.plots import plot_training
from model.run import TrainedModel, save_model, training_folder
from pipeline.errors import DataError
from pipeline.publish import publish_partition, staging, write_json
from pipeline.reasons.constancy import measure_constancy
from pipeline.reasons.usual import measure_usual
from pipeline.reference import write_reference
from pipeline.replay.chance import measure_chance
from pipeline.sessions import Sessions
from pipeline.splits import PARTS, Split, assert_no_crossing, split_sessions

log = logging.getLogger(__name__)

_SHARES = (0.6, 0.0, 0.2, 0.2)  # nothing is stopped early: no part validates


def train_owner(
    sessions: Sessions,
    run: Path,
    config: RunConfig,
    resume: bool = False,
    progress: Callable[[OwnerEpoch], None] = lambda epoch: None,
) -> Evaluation:
    """Train on the accounts of `sessions`, publish `run`; give the figures on hands held out.

    Calibration, thresholds and figures come from a network that has not seen the sessions
    they are made on. With `config.owner.refit` the network that is published is then trained
    on all sessions, as scikit-learn's `CalibratedClassifierCV(ensemble=False)` does it. Where
    nothing is learnt but how people differ, folds of people stand for the parts of a split.
    """
    sessions = owned_sessions(sessions)
    config = settled(config, len(set(sessions.account_id)))
    learns = config.owner.learns == "always"
    split = split_owners(sessions, config)
    first_dir, refit_dir = (training_folder(run, name) for name in ("training", "refit"))
    if not resume:  # what an earlier training left is not this one's
        shutil.rmtree(refit_dir, ignore_errors=True)
    known = sessions.take(split.indices("train"))
    network, history = Network(config), []
    if learns:
        network, history = fit_owner(known, config, first_dir, resume, progress)
    held_out: HeldOut | CrossFitted
    if learns or config.owner.hold_out == "sessions":
        held_out = HeldOut(network, config, sessions, split)
    else:
        known = sessions
        held_out = CrossFitted(network, config, sessions, split.groups.person)
        split = in_folds(split, held_out.fold)
    calibration, policy = held_out.calibrated()
    evaluation, by_evidence = held_out.figures(calibration, policy)
    if config.owner.refit and learns:
        was_begun = (refit_dir / "history.json").is_file()
        network, history = fit_owner(sessions, config, refit_dir, was_begun, progress)
    profiles = Profiles.empty(population_of(network, config, sessions))
    chance, usual = measure_chance(known), measure_usual(known, known.account_id)
    usual = replace(usual, own=measure_constancy(known))
    model = TrainedModel(config, network, calibration, policy, profiles, chance, usual)
    reference = training_reference(model, sessions, split, ())
    with staging(run, run) as staged:
        save_model(model, staged)
        write_reference(reference, staged)
        figures = evaluation.to_json() | {"by_evidence": by_evidence.to_dict("records")}
        write_json(figures, staged / "metrics.json")
        write_json(split.to_json(), staged / "split.json")
        write_json({"epochs": [asdict(epoch) for epoch in history]}, staged / "history.json")
        if history:
            plot_training(pd.DataFrame(map(asdict, history)), staged / "training.png")
        evaluation.write_plots(staged)
        (staged / "MODEL_CARD.md").write_text(owner_card(model, split, evaluation, by_evidence))
        (staged / "_SUCCESS").touch()
        publish_partition(staged, run)
    for folder in (first_dir, refit_dir):
        shutil.rmtree(folder, ignore_errors=True)
    return evaluation


def owned_sessions(sessions: Sessions) -> Sessions:
    """Return the sessions that are their account's own: those with an account, and no frauds."""
    named = np.array([account is not None for account in sessions.account_id], bool)
    owned = sessions.take(np.flatnonzero(named & (sessions.label != 1)))
    if not len(owned):
        raise DataError(
            "train",
            f"{len(sessions)} sessions, {named.sum()} with an account_id, none of them legitimate",
            "the owner task learns from sessions of known accounts: "
            "`pointerprint ingest --columns account_id=...`",
        )
    return owned


def settled(config: RunConfig, n_accounts: int) -> RunConfig:
    """Return the settings with every "auto" decided by the number of accounts."""
    owner, is_few = config.owner, n_accounts < config.owner.enough_people
    if owner.hold_out == "auto":
        owner = replace(owner, hold_out="sessions" if is_few else "people")
    if owner.learns == "auto":
        learns = owner.hold_out == "sessions" or not owner.habits
        owner = replace(owner, learns="always" if learns else "never")
    return replace(config, owner=owner)


def in_folds(split: Split, fold: Int64[np.ndarray, " sessions"]) -> Split:
    """Return a split in which everybody is tested, with a note of the folds."""
    assert_no_crossing(split.kept_apart(), fold.astype(np.int8))
    note = f"{len(np.unique(fold))} folds of people, each tested by what the others teach"
    part = np.full(len(fold), PARTS.index("test"), np.int8)
    return replace(split, part=part, notes=(note,))


def split_owners(sessions: Sessions, config: RunConfig) -> Split:
    """Deal accounts out, or, where they are too few, the sessions of each account."""
    hold_out = settled(config, len(set(sessions.account_id))).owner.hold_out
    by = ("person",) if hold_out == "people" else ("session",)
    settings = replace(config.split, task="owner", seed=config.seed, by=by, shares=_SHARES)
    split = split_sessions(sessions, settings)
    assert_no_crossing(split.kept_apart(), split.part)
    return split
