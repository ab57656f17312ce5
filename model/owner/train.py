"""Train a model of the owner task: how people differ, calibration, thresholds, figures by folds."""

from collections.abc import Generator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64, Shaped

from model.calibrate import Calibration, fit_calibration
from model.config import RunConfig
from model.evaluate import Evaluation, evaluate_scores
from model.metrics import roc_curve
from model.model_card import owner_card
from model.owner.figures import flagged_trials, next_day
from model.owner.levels import (
    NEXT_DAY,
    PRIOR_ACCOUNTS,
    OwnerLevels,
    account_hashes,
    fit_owner_levels,
)
from model.owner.population import Population, fit_population
from model.owner.profiles import Profiles
from model.owner.scorer import OwnerScorer, embed
from model.owner.trials import (
    WHOLE,
    Trials,
    days_of_accounts,
    join_trials,
    make_trials,
    split_enrolment,
    with_pseudo_speakers,
)
from model.policy import Policy, fit_policy, score_reference
from model.prints import input_windows, print_of_people, window_counts
from model.run import TrainedModel
from model.train import Epoch
from model.training_result import TrainingResult, training_reference
from pipeline.errors import ConfigError, DataError
from pipeline.features.kinematics import session_feature_frame
from pipeline.reasons.account import measure_constancy
from pipeline.reasons.reference import fit_reference_ranges
from pipeline.replay.null_model import fit_null_model
from pipeline.sessions.recorder import known_recorder_counts
from pipeline.sessions.sessions import Sessions
from pipeline.splits.split import PARTITIONS, Split, assert_no_crossing, split_sessions
from pipeline.storage.paths import StoragePath
from rasterize.draw import density

_OTHERS: Final = {"people": 12, "sessions": 3}
"""Impostors' trials for each sub-session: of a fold of people, more cost little."""

MOST_WINDOWS: Final = 50_000
"""Windows that a population is fitted to, at most, spread evenly: their pixels stay in memory."""


def train_owner(
    labelled: Sessions, config: RunConfig, simulate: bool, state_dir: StoragePath, resume: bool
) -> Generator[Epoch, None, TrainingResult]:
    """Learn from accounts' own sessions how people differ. There are no epochs, nor a state.

    Calibration, thresholds and figures come from folds: each fold of people (of days, where people
    are few) is scored by what the others teach. What is published is fitted to everybody, as
    scikit-learn's `CalibratedClassifierCV(ensemble=False)` does it.
    """
    if simulate:
        raise ConfigError("--simulate", "the owner task learns no bots", "leave it out")
    yield from ()
    sessions = owned_sessions(labelled)
    config = with_hold_out(config, len(set(sessions.account_id)))
    data = PopulationData(config, sessions)
    cross_fit = CrossFit(config, sessions, data)
    split = split_in_folds(sessions, config, cross_fit.fold)
    levels, calibration, policy = calibrate_trials(cross_fit.trials, cross_fit.held, config)
    levels = replace(levels, accounts=account_hashes(sessions.account_id))
    found = evaluate_folds(cross_fit)
    ranges = fit_reference_ranges(sessions, sessions.account_id)
    scorer = OwnerScorer(config, Profiles.empty(data.population()), levels)
    model = TrainedModel(
        config,
        scorer,
        calibration,
        policy,
        null_model=fit_null_model(sessions),
        reference_ranges=replace(ranges, own=measure_constancy(sessions)),
        people=print_of_people(scorer.inputs, sessions, sessions.account_id),
        recorders=known_recorder_counts(sessions.recorder),
    )
    return TrainingResult(
        model=model,
        split=split,
        evaluation=found.evaluation,
        metrics=found.evaluation.to_json()
        | {
            "by_evidence": found.by_length.to_dict("records"),
            "next_day": found.next_day.to_dict("records"),
        },
        reference=training_reference(model, sessions, split, ()),
        card=owner_card(model, split, found.evaluation, found.by_length, found.next_day),
    )


def owned_sessions(sessions: Sessions) -> Sessions:
    """Return the sessions that are their account's own: those with an account, and no frauds."""
    named = np.array([account is not None for account in sessions.account_id], bool)
    owned = sessions.take(np.flatnonzero(named & ~sessions.is_fraud))
    if not len(owned):
        raise DataError(
            "train",
            f"{len(sessions)} sessions, {named.sum()} with an account_id, none of them legitimate",
            "the owner task learns from sessions of known accounts: "
            "`pointerprint ingest --columns account_id=...`",
        )
    return owned


def with_hold_out(config: RunConfig, n_accounts: int) -> RunConfig:
    """Return the settings with hold_out "auto" decided by the number of accounts."""
    if config.owner.hold_out != "auto":
        return config
    hold_out = "sessions" if n_accounts < config.owner.enough_people else "people"
    return replace(config, owner=replace(config.owner, hold_out=hold_out))


class PopulationData:
    """Images of the windows of sessions and of their pseudo-speakers, for several populations."""

    def __init__(self, config: RunConfig, sessions: Sessions):
        everyone = with_pseudo_speakers(sessions, config.owner)
        inputs = OwnerScorer.inputs_of(config)
        resampled, windows = input_windows(inputs, everyone, config.owner.windows_per_session)
        if len(windows) > MOST_WINDOWS:
            spread = np.linspace(0, len(windows) - 1, MOST_WINDOWS).astype(np.int64)
            windows = windows.take(spread)
        size = int(np.prod(config.owner.panels.shape))
        self.images = np.empty((len(windows), size), np.float16)
        for chosen, counts in window_counts(inputs, resampled.sessions, windows):
            self.images[chosen] = density(counts).reshape(len(counts), size)
        self.session, self.account = windows.session, everyone.account_id
        self.parent = np.arange(len(everyone)) % len(sessions)
        self.config = config

    def population(self, is_used: Bool[np.ndarray, " sessions"] | None = None) -> Population:
        """Return how the people of all or some of the sessions, and pseudo-speakers, differ."""
        chosen = np.ones(len(self.session), bool)
        if is_used is not None:
            chosen = is_used[self.parent][self.session]
        session, config = self.session[chosen], self.config
        return fit_population(self.images[chosen], session, self.account, config.owner, config.seed)


class CrossFit:
    """Trials of folds of people, or of days, each against what all other folds teach.

    Where people are held out, sessions before each one's latest day make the profile, and the rest
    is tested twice: as that of an account that the population does not know, and of one whose
    earlier days it was fitted to. Where days are held out, the profile is made of the account's
    other days, and only the latter is known.
    """

    def __init__(self, config: RunConfig, sessions: Sessions, data: PopulationData):
        self.config = config
        by_people = config.owner.hold_out == "people"
        group = sessions.account_id if by_people else days_of_accounts(sessions)
        self.fold = assign_folds(group, config.owner.folds, config.seed)
        makes_profile = split_enrolment(sessions) & by_people
        self.held = sessions.take(~makes_profile)
        parts, distances = [], []
        for number in np.unique(self.fold):
            own = self.fold == number
            enrolled = sessions.take(own & makes_profile if by_people else ~own)
            rows = np.flatnonzero(own & ~makes_profile)
            tested = sessions.take(rows)
            # Sessions are counted among all that are tested, not in the fold alone.
            rank = np.cumsum(~makes_profile)[rows] - 1
            for is_learnt in (False, True) if by_people else (True,):
                teaches = ~own | makes_profile if is_learnt else ~own
                trials = _fold_trials(config, data.population(teaches), enrolled, tested, is_learnt)
                parts.append((rank, trials))
            distances.append(_feature_distances(enrolled, tested, trials, config))
        self.trials = join_trials(parts)
        self.fold_of_trial = self.fold[~makes_profile][self.trials.session]
        self.distances = pd.concat(distances)


def assign_folds(
    group: Shaped[np.ndarray, " sessions"], n_folds: int, seed: int
) -> Int64[np.ndarray, " sessions"]:
    """Return the fold of each session: whole groups, as evenly as they go."""
    names, whose = np.unique(group.astype(str), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    return (order % min(n_folds, len(names)))[whose]


def calibrate_trials(
    trials: Trials, held: Sessions, config: RunConfig
) -> tuple[OwnerLevels, Calibration, Policy]:
    """Fit levels, calibration and thresholds to trials; an impostor is as likely as the owner.

    Few accounts are drawn towards what owners elsewhere reach on another day.
    """
    n_impostor = trials.label.sum()
    n_genuine = len(trials.label) - n_impostor
    if not (n_impostor and n_genuine):
        raise DataError(
            "train",
            f"{n_genuine} sessions of the calib partition can be compared with their own profile, "
            f"{n_impostor} with another",
            "bring accounts with at least two sessions each",
        )
    weights = np.where(trials.label == 1, n_genuine / n_impostor, 1.0)
    genuine = trials.take(trials.label == 0)
    is_whole = genuine.length == WHOLE
    levels = fit_owner_levels(genuine.ratio, genuine.n_windows, is_whole, genuine.is_learnt)
    calibration = fit_calibration(_logits(levels, trials), trials.label, weights)
    policy = fit_policy(
        calibration.apply(_logits(levels, genuine)),
        held.account_id[genuine.session],
        replace(config.policy, confidence=config.owner.threshold_confidence),
        n_independent=len(np.unique(genuine.session)),
        reference=score_reference(calibration.score_of, NEXT_DAY),
        prior_people=PRIOR_ACCOUNTS,
    )
    return levels, calibration, policy


def _logits(levels: OwnerLevels, trials: Trials) -> Float64[np.ndarray, " trials"]:
    return levels.adjust(trials.ratio, trials.n_windows, trials.is_learnt)


@dataclass(frozen=True)
class OwnerFigures:
    """What the folds say, each scored by levels, calibration and thresholds of the others."""

    evaluation: Evaluation  # of whole sessions, of accounts new to the population if there are any
    by_length: pd.DataFrame  # AUC and EER by the number of windows compared
    next_day: pd.DataFrame  # FPR and recall of each target FPR, by kind and sessions enrolled


def evaluate_folds(found: CrossFit) -> OwnerFigures:
    """Return the figures of the trials of all folds."""
    rows, flagged = [], []
    is_learnt = bool(found.trials.is_learnt.all())
    for number in np.unique(found.fold_of_trial):
        own = found.fold_of_trial == number
        fitted = calibrate_trials(found.trials.take(~own), found.held, found.config)
        whole = found.trials.take(own & (found.trials.length == WHOLE))
        levels, calibration, policy = fitted
        score = calibration.apply(_logits(levels, whole)).astype(np.float32)
        flagged.append(flagged_trials(whole, found.held.account_id, score, policy))
        rows.append(_as_scores(found.held, whole.take(whole.is_learnt == is_learnt), *fitted))
    table, labels = (pd.concat(frames, ignore_index=True) for frames in zip(*rows, strict=True))
    evaluation = evaluate_scores(table, labels, found.distances, task="owner")
    return OwnerFigures(evaluation, _by_length(found.trials), next_day(pd.concat(flagged)))


def split_in_folds(
    sessions: Sessions, config: RunConfig, fold: Int64[np.ndarray, " sessions"]
) -> Split:
    """Return a split in which everybody is in the test partition, with a note about the folds."""
    kind = "person" if config.owner.hold_out == "people" else "session"
    settings = replace(config.split, task="owner", seed=config.seed, by=(kind,))
    split = split_sessions(sessions, settings)
    assert_no_crossing(split.kept, fold.astype(np.int8))
    what = f"{len(np.unique(fold))} folds of {config.owner.hold_out}"
    partition = np.full(len(fold), PARTITIONS.index("test"), np.int8)
    note = f"{what}, each tested by what the others teach"
    return replace(split, partition=partition, notes=(note,))


def _fold_trials(
    config: RunConfig,
    population: Population,
    enrolled: Sessions,
    tested: Sessions,
    is_learnt: bool,
) -> Trials:
    """Compare sessions with their own account's profile and others'."""
    scorer = OwnerScorer(config, Profiles.empty(population)).enroll(enrolled)
    windows, embeddings = embed(population, scorer.inputs, tested)
    n_others = _OTHERS[config.owner.hold_out]
    found, seed = scorer.profiles, config.seed
    return make_trials(embeddings, windows.session, tested, found, n_others, seed, is_learnt)


def _feature_distances(
    enrolled: Sessions, tested: Sessions, trials: Trials, config: RunConfig
) -> pd.DataFrame:
    """Return how far each kinematic feature lies from the claimed account's: the baseline."""
    trials = trials.take(trials.length == WHOLE)
    known, found = (session_feature_frame(s, config.owner.window) for s in (enrolled, tested))
    account = pd.Series(enrolled.account_id, enrolled.session_id)
    reference = pd.DataFrame(known.groupby(account.loc[known.index].to_numpy()).mean())
    features = found.reindex(tested.session_id[trials.session])
    distance = features.to_numpy() - reference.reindex(trials.account).to_numpy()
    return pd.DataFrame(np.abs(distance), _claims(tested, trials), features.columns).dropna()


def _claims(held: Sessions, trials: Trials) -> list[str]:
    """Return a name for each trial."""
    pairs = zip(held.session_id[trials.session], trials.account, strict=True)
    return [f"{session} as {account}" for session, account in pairs]


def _as_scores(
    sessions: Sessions,
    trials: Trials,
    levels: OwnerLevels,
    calibration: Calibration,
    policy: Policy,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return trials as rows of a scores table, and their labels."""
    score = calibration.apply(_logits(levels, trials)).astype(np.float32)
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


def _by_length(trials: Trials) -> pd.DataFrame:
    """Return AUC and EER of the ranking for each number of windows compared."""
    rows = []
    for length in np.unique(trials.length):
        chosen = trials.take(trials.length == length)
        if 0 < chosen.label.sum() < len(chosen.label):
            curve = roc_curve(-chosen.ratio, chosen.label)
            rows.append(
                {
                    "windows": int(length) or "whole session",
                    "trials": len(chosen.label),
                    "auc": curve.auc(),
                    "eer": curve.eer(),
                }
            )
    return pd.DataFrame(rows)
