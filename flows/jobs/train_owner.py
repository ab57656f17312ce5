"""The owner task's training job: accounts' sessions in, a RUN out that can enrol any account."""

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from flows.jobs.evaluate import session_feature_frame
from model.calibrate import Calibration, fit_calibration
from model.config import RunConfig
from model.evaluate import Evaluation, evaluate
from model.metrics import roc_curve
from model.model_card import owner_card
from model.network import Network
from model.owner.population import Population, fit_population
from model.owner.profiles import Profiles
from model.owner.score import embed, enroll
from model.owner.siblings import with_siblings
from model.owner.train import OwnerEpoch, fit_owner
from model.owner.trials import WHOLE, Trials, make_trials, split_enrolment
from model.plots import plot_training
from model.policy import Policy, fit_policy
from model.run import TrainedModel, save_model, training_folder
from pipeline.errors import DataError
from pipeline.publish import publish_partition, staging, write_json
from pipeline.reasons.usual import measure_usual
from pipeline.replay.chance import measure_chance
from pipeline.sessions import Sessions
from pipeline.splits import Split, assert_no_crossing, split_sessions
from pipeline.store import load_sessions

log = logging.getLogger(__name__)

_SHARES = (0.6, 0.0, 0.2, 0.2)  # nothing is stopped early: no part validates
_OTHERS = 3  # impostors' trials for each stretch


def train_owner(
    stores: Sequence[Path],
    run: Path,
    config: RunConfig,
    resume: bool = False,
    progress: Callable[[OwnerEpoch], None] = lambda epoch: None,
) -> Evaluation:
    """Train on the accounts of `stores`, publish `run`; give the figures on TEST.

    Calibration, thresholds and figures come from a network that has not seen the sessions
    they are made on. With `config.owner.refit` the network that is published is then trained
    on all sessions, as scikit-learn's `CalibratedClassifierCV(ensemble=False)` does it.
    """
    sessions = owned_sessions(load_sessions(stores))
    split = split_owners(sessions, config)
    first_dir, refit_dir = (training_folder(run, name) for name in ("training", "refit"))
    if not resume:  # what an earlier training left is not this one's
        shutil.rmtree(refit_dir, ignore_errors=True)
    known = sessions.take(split.indices("train"))
    network, history = fit_owner(known, config, first_dir, resume, progress)
    held_out = HeldOut(network, config, sessions, split)
    calibration, policy = held_out.calibrated()
    evaluation, by_evidence = held_out.figures(calibration, policy)
    if config.owner.refit:
        was_begun = (refit_dir / "history.json").is_file()
        network, history = fit_owner(sessions, config, refit_dir, was_begun, progress)
    profiles = Profiles.empty(population_of(network, config, sessions))
    chance, usual = measure_chance(known), measure_usual(known, known.account_id)
    model = TrainedModel(config, network, calibration, policy, profiles, chance, usual)
    with staging(run, run) as staged:
        save_model(model, staged)
        figures = evaluation.to_json() | {"by_evidence": by_evidence.to_dict("records")}
        write_json(figures, staged / "metrics.json")
        write_json(split.to_json(), staged / "split.json")
        write_json({"epochs": [asdict(epoch) for epoch in history]}, staged / "history.json")
        plot_training(pd.DataFrame(asdict(epoch) for epoch in history), staged / "training.png")
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


def split_owners(sessions: Sessions, config: RunConfig) -> Split:
    """Deal accounts out, or, where they are too few, the sessions of each account."""
    n_accounts = len(set(sessions.account_id))
    hold_out = config.owner.hold_out
    if hold_out == "auto":
        hold_out = "people" if n_accounts >= config.owner.enough_people else "sessions"
    by = ("person",) if hold_out == "people" else ("session",)
    settings = replace(config.split, task="owner", seed=config.seed, by=by, shares=_SHARES)
    split = split_sessions(sessions, settings)
    assert_no_crossing(split.kept_apart(), split.part)
    return split


def population_of(network: Network, config: RunConfig, sessions: Sessions) -> Population:
    """Return how the hands of `sessions` differ, as the network sees them."""
    sessions = with_siblings(sessions, config.owner)
    windows, embeddings = embed(network, config, sessions, config.owner.windows_per_session)
    return fit_population(embeddings, windows.session, sessions.account_id, config.owner.dimensions)


class HeldOut:
    """What a network makes of sessions that it has not seen."""

    def __init__(self, network: Network, config: RunConfig, sessions: Sessions, split: Split):
        self.network, self.config, self.split, self.sessions = network, config, split, sessions
        train = sessions.take(split.indices("train"))
        self.population = population_of(network, config, train)
        self.by_session = split.config.by == ("session",)
        self.train = train

    def trials(self, part: str) -> tuple[Sessions, Trials]:
        """Return the sessions of a part that are tried, and their trials.

        Of people never seen, the longer half of the sessions makes the profile. Where only
        sessions are held out, the profile is made of those trained on, as it will be in use.
        """
        held = self.sessions.take(self.split.indices(part))
        enrolled = self.train
        if not self.by_session:
            makes_profile = split_enrolment(held)
            enrolled, held = held.take(makes_profile), held.take(~makes_profile)
        empty = Profiles.empty(self.population)
        profiles = enroll(self.network, self.config, empty, enrolled)
        windows, embeddings = embed(self.network, self.config, held)
        found = make_trials(embeddings, windows.session, held, profiles, _OTHERS, self.config.seed)
        return held, found

    def calibrated(self) -> tuple[Calibration, Policy]:
        """Fit calibration and thresholds on CALIB; an impostor is as likely as the owner."""
        sessions, trials = self.trials("calib")
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
        people = sessions.account_id[genuine.session]
        policy = fit_policy(calibration.apply(-genuine.ratio), people, self.config.policy)
        return calibration, policy

    def figures(self, calibration: Calibration, policy: Policy) -> tuple[Evaluation, pd.DataFrame]:
        """Return the figures on TEST: of whole sessions, and a row for each length of evidence."""
        sessions, trials = self.trials("test")
        whole = trials.take(trials.stretch == WHOLE)
        table, labels = _as_scores(sessions, whole, calibration, policy)
        features = self._feature_distances(sessions, whole, pd.Index(table["session_id"]))
        evaluation = evaluate(table, labels, features)
        return evaluation, _by_evidence(trials)

    def _feature_distances(
        self, sessions: Sessions, trials: Trials, names: pd.Index
    ) -> pd.DataFrame:
        """Return how far each kinematic feature lies from the claimed account's: the baseline."""
        everyone = session_feature_frame(self.sessions, self.config.owner.window)
        account = pd.Series(self.sessions.account_id, self.sessions.session_id)
        enrolled = (
            self.train.session_id
            if self.by_session
            else np.setdiff1d(
                self.sessions.session_id[self.split.indices("test")].astype(str),
                sessions.session_id.astype(str),
            )
        )
        known = everyone.loc[everyone.index.isin(enrolled)]
        usual = known.groupby(account.loc[known.index].to_numpy()).mean()
        tried = everyone.reindex(sessions.session_id[trials.session])
        distance = tried.to_numpy() - usual.reindex(trials.account).to_numpy()
        return pd.DataFrame(np.abs(distance), names, everyone.columns).dropna()


def _as_scores(
    sessions: Sessions, trials: Trials, calibration: Calibration, policy: Policy
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return trials as rows of a scores table, and their labels."""
    score = calibration.apply(-trials.ratio).astype(np.float32)
    own = sessions.account_id[trials.session]
    claims = [
        f"{s} as {a}"
        for s, a in zip(sessions.session_id[trials.session], trials.account, strict=True)
    ]
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
