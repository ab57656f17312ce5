"""The owner task's training job: accounts' sessions in, a RUN out that can enrol any account."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from flows.jobs.owner_trials import CrossFitted, population_of
from flows.jobs.reference import training_reference
from model.config import RunConfig
from model.evaluate import Evaluation
from model.model_card import owner_card
from model.owner.profiles import Profiles
from model.prints import print_of_people
from model.run import TrainedModel, save_model
from pipeline.errors import DataError
from pipeline.publish import publish_partition, staging, write_json
from pipeline.reasons.constancy import measure_constancy
from pipeline.reasons.usual import measure_usual
from pipeline.reference import write_reference
from pipeline.replay.chance import measure_chance
from pipeline.sessions import Sessions
from pipeline.splits import PARTS, Split, assert_no_crossing, split_sessions


def train_owner(sessions: Sessions, run: Path, config: RunConfig) -> Evaluation:
    """Learn from the accounts of `sessions` how people differ, publish `run`; give its figures.

    Calibration, thresholds and figures come from folds: each fold of people (of sessions, where
    people are few) is scored by what the others teach. What is published is fitted to everybody, as
    scikit-learn's `CalibratedClassifierCV(ensemble=False)` does it.
    """
    sessions = owned_sessions(sessions)
    config = settled(config, len(set(sessions.account_id)))
    held_out = CrossFitted(config, sessions)
    split = in_folds(sessions, config, held_out.fold)
    calibration, policy = held_out.calibrated()
    evaluation, by_evidence = held_out.figures()
    profiles = Profiles.empty(population_of(config, sessions))
    usual = replace(measure_usual(sessions, sessions.account_id), own=measure_constancy(sessions))
    chance = measure_chance(sessions)
    people = print_of_people(config, sessions, sessions.account_id)
    model = TrainedModel(config, None, calibration, policy, profiles, chance, usual, people)
    reference = training_reference(model, sessions, split, ())
    with staging(run, run) as staged:
        save_model(model, staged)
        write_reference(reference, staged)
        figures = evaluation.to_json() | {"by_evidence": by_evidence.to_dict("records")}
        write_json(figures, staged / "metrics.json")
        write_json(split.to_json(), staged / "split.json")
        evaluation.write_plots(staged)
        (staged / "MODEL_CARD.md").write_text(owner_card(model, split, evaluation, by_evidence))
        (staged / "_SUCCESS").touch()
        publish_partition(staged, run)
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
    """Return the settings with "auto" decided by the number of accounts."""
    if config.owner.hold_out != "auto":
        return config
    hold_out = "sessions" if n_accounts < config.owner.enough_people else "people"
    return replace(config, owner=replace(config.owner, hold_out=hold_out))


def in_folds(sessions: Sessions, config: RunConfig, fold: Int64[np.ndarray, " sessions"]) -> Split:
    """Return a split in which everybody is tested, with a note of the folds."""
    kind = "person" if config.owner.hold_out == "people" else "session"
    settings = replace(config.split, task="owner", seed=config.seed, by=(kind,))
    split = split_sessions(sessions, settings)
    assert_no_crossing(split.kept_apart(), fold.astype(np.int8))
    what = f"{len(np.unique(fold))} folds of {config.owner.hold_out}"
    part = np.full(len(fold), PARTS.index("test"), np.int8)
    return replace(split, part=part, notes=(f"{what}, each tested by what the others teach",))
