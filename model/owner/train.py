"""The owner task's training job: accounts' sessions in, a RUN out that can enrol any account."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64, Shaped

from model.calibrate import Calibration, fit_calibration
from model.config import RunConfig
from model.evaluate import Evaluation, evaluate
from model.metrics import roc_curve
from model.model_card import owner_card
from model.owner.population import Population, fit_population
from model.owner.profiles import Profiles
from model.owner.score import embed, enroll
from model.owner.trials import (
    WHOLE,
    Trials,
    join_trials,
    make_trials,
    split_enrolment,
    with_pseudo_speakers,
)
from model.policy import Policy, fit_policy
from model.prints import print_of_people, task_windows, window_counts
from model.reference import training_reference
from model.run import TrainedModel, save_model
from pipeline.errors import DataError
from pipeline.features.kinematics import session_feature_frame
from pipeline.monitoring.reference import write_reference
from pipeline.reasons.account import measure_constancy
from pipeline.reasons.reference import fit_reference_ranges
from pipeline.replay.null_model import fit_null_model
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import Windows
from pipeline.splits.split import PARTITIONS, Split, assert_no_crossing, split_sessions
from pipeline.storage.publish import publish_partition, staging, write_json
from rasterize.draw import density

_OTHERS: Final = {"people": 12, "sessions": 3}
"""Impostors' trials for each sub-session: of a fold of people, more cost little."""

MOST_WINDOWS: Final = 50_000
"""Windows that a population is fitted to, at most, spread evenly: their pixels stay in memory."""

Figures = tuple[Evaluation, pd.DataFrame]
"""Of whole sessions; and a row for each length of evidence."""


class Crowd:
    """The windows of sessions and of their pseudo-speakers, drawn once for several populations."""

    def __init__(self, config: RunConfig, sessions: Sessions):
        everyone = with_pseudo_speakers(sessions, config.owner)
        seen, windows = task_windows(config, everyone, config.owner.windows_per_session)
        windows = _spread(windows, MOST_WINDOWS)
        size = int(np.prod(config.owner.panels.shape))
        self.images = np.empty((len(windows), size), np.float16)
        for chosen, counts in window_counts(config, seen.sessions, windows):
            self.images[chosen] = density(counts).reshape(len(counts), size)
        self.session, self.account = windows.session, everyone.account_id
        self.parent = np.arange(len(everyone)) % len(sessions)
        self.config = config

    def population(self, is_used: Bool[np.ndarray, " sessions"]) -> Population:
        """Return how the people of some of the sessions, and their pseudo-speakers, differ."""
        chosen = is_used[self.parent][self.session]
        session, config = self.session[chosen], self.config
        return fit_population(self.images[chosen], session, self.account, config.owner, config.seed)


def _spread(windows: Windows, at_most: int) -> Windows:
    """Return at most so many windows, spread evenly."""
    if len(windows) <= at_most:
        return windows
    return windows.take(np.linspace(0, len(windows) - 1, at_most).astype(np.int64))


def population_of(config: RunConfig, sessions: Sessions) -> Population:
    """Return how the people of `sessions` differ."""
    return Crowd(config, sessions).population(np.ones(len(sessions), bool))


class CrossFitted:
    """Folds of people, or of sessions; each is tried against the population of all others.

    Of people never seen, the longer half of their sessions makes the profile. Where sessions are
    held out, the profile is made of the account's other sessions, as it will be in use.
    """

    def __init__(self, config: RunConfig, sessions: Sessions):
        self.config = config
        by_people = config.owner.hold_out == "people"
        group = sessions.account_id if by_people else sessions.session_id
        self.fold = assign_folds(group, config.owner.folds, config.seed)
        makes_profile = split_enrolment(sessions) & by_people
        self.sessions, self.held = sessions, sessions.take(~makes_profile)
        crowd = Crowd(config, sessions)
        parts, self._distances = [], []
        for number in np.unique(self.fold):
            own = self.fold == number
            enrolled = sessions.take(own & makes_profile if by_people else ~own)
            held = np.flatnonzero(own & ~makes_profile)
            tried = sessions.take(held)
            others = _OTHERS[config.owner.hold_out]
            trials = _tried(config, crowd.population(~own), enrolled, tried, others)
            # Sessions are counted among all that are tried, not in the fold alone.
            rank = np.cumsum(~makes_profile)[held] - 1
            parts.append((rank, trials))
            whole = trials.take(trials.stretch == WHOLE)
            self._distances.append(_feature_distances(enrolled, tried, whole, config))
        self.trials = join_trials(parts)
        self.fold_of_trial = self.fold[~makes_profile][self.trials.session]

    def calibrated(self) -> tuple[Calibration, Policy]:
        """Fit calibration and thresholds on everybody's trials."""
        return calibrate(self.trials, self.held.account_id, self.config)

    def figures(self) -> Figures:
        """Return the figures of everybody, each by the others' calibration and thresholds."""
        rows = []
        for number in np.unique(self.fold_of_trial):
            own = self.fold_of_trial == number
            fitted = calibrate(self.trials.take(~own), self.held.account_id, self.config)
            whole = self.trials.take(own & (self.trials.stretch == WHOLE))
            rows.append(_as_scores(self.held, whole, *fitted))
        table, labels = (pd.concat(frames, ignore_index=True) for frames in zip(*rows, strict=True))
        distances = pd.concat(self._distances)
        return evaluate(table, labels, distances), _by_evidence(self.trials)


def assign_folds(
    group: Shaped[np.ndarray, " sessions"], n_folds: int, seed: int
) -> Int64[np.ndarray, " sessions"]:
    """Return the fold of each session: whole groups, as evenly as they go."""
    names, whose = np.unique(group.astype(str), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    return (order % min(n_folds, len(names)))[whose]


def calibrate(
    trials: Trials, account: Shaped[np.ndarray, " sessions"], config: RunConfig
) -> tuple[Calibration, Policy]:
    """Fit calibration and thresholds to trials; an impostor is as likely as the owner."""
    n_impostor = trials.label.sum()
    n_genuine = len(trials.label) - n_impostor
    if not (n_impostor and n_genuine):
        raise DataError(
            "train",
            f"{n_genuine} sessions of the calib part can be held against their own profile, "
            f"{n_impostor} against another",
            "bring accounts with at least two sessions each",
        )
    weights = np.where(trials.label == 1, n_genuine / n_impostor, 1.0)
    calibration = fit_calibration(-trials.ratio, trials.label, weights)
    genuine = trials.take(trials.label == 0)
    scores = calibration.apply(-genuine.ratio)
    return calibration, fit_policy(scores, account[genuine.session], config.policy)


def _tried(
    config: RunConfig,
    population: Population,
    enrolled: Sessions,
    held: Sessions,
    others: int,
) -> Trials:
    """Hold sessions against their own account's profile and others'."""
    profiles = enroll(config, Profiles.empty(population), enrolled)
    windows, embeddings = embed(population, config, held)
    return make_trials(embeddings, windows.session, held, profiles, others, config.seed)


def _feature_distances(
    enrolled: Sessions, held: Sessions, trials: Trials, config: RunConfig
) -> pd.DataFrame:
    """Return how far each kinematic feature lies from the claimed account's: the baseline."""
    known, tried = (session_feature_frame(s, config.owner.window) for s in (enrolled, held))
    account = pd.Series(enrolled.account_id, enrolled.session_id)
    usual = pd.DataFrame(known.groupby(account.loc[known.index].to_numpy()).mean())
    features = tried.reindex(held.session_id[trials.session])
    distance = features.to_numpy() - usual.reindex(trials.account).to_numpy()
    return pd.DataFrame(np.abs(distance), _claims(held, trials), features.columns).dropna()


def _claims(held: Sessions, trials: Trials) -> list[str]:
    """Return a name for each trial."""
    pairs = zip(held.session_id[trials.session], trials.account, strict=True)
    return [f"{session} as {account}" for session, account in pairs]


def _as_scores(
    sessions: Sessions, trials: Trials, calibration: Calibration, policy: Policy
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return trials as rows of a scores table, and their labels."""
    score = calibration.apply(-trials.ratio).astype(np.float32)
    own = sessions.account_id[trials.session]
    claims = _claims(sessions, trials)
    table = pd.DataFrame(
        {
            "session_id": claims,
            "account_id": trials.account,
            "fraud_score": score,
            "is_flagged": score >= np.float32(policy.threshold),
            "threshold": policy.threshold,
            "abstain_reason": None,
            "model_id": "training",
            "scored_at": datetime.now(UTC),
        }
    )
    labels = pd.DataFrame({"session_id": claims, "label": trials.label, "account_id": own})
    return table, labels


def _by_evidence(trials: Trials) -> pd.DataFrame:
    """Return AUC and EER of the ranking for each length of evidence."""
    rows = []
    for stretch in np.unique(trials.stretch):
        chosen = trials.take(trials.stretch == stretch)
        if 0 < chosen.label.sum() < len(chosen.label):
            curve = roc_curve(-chosen.ratio, chosen.label)
            rows.append(
                {
                    "windows": int(stretch) or "whole session",
                    "trials": len(chosen.label),
                    "auc": curve.auc(),
                    "eer": curve.eer(),
                }
            )
    return pd.DataFrame(rows)


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
    usual = replace(
        fit_reference_ranges(sessions, sessions.account_id), own=measure_constancy(sessions)
    )
    chance = fit_null_model(sessions)
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
    assert_no_crossing(split.kept, fold.astype(np.int8))
    what = f"{len(np.unique(fold))} folds of {config.owner.hold_out}"
    part = np.full(len(fold), PARTITIONS.index("test"), np.int8)
    return replace(split, part=part, notes=(f"{what}, each tested by what the others teach",))
