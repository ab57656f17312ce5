"""Networks in; out come trials on hands that they have not seen, calibration and figures.

Two ways: parts of a split, where a network is trained on one of them; and folds of people,
where nothing is trained and only the population has to be fitted anew. Folds let everybody's
trials set the thresholds and make the figures, each judged by what the others teach.
"""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64, Shaped

from flows.jobs.evaluate import session_feature_frame
from model.calibrate import Calibration, fit_calibration
from model.config import RunConfig
from model.evaluate import Evaluation, evaluate
from model.metrics import roc_curve
from model.network import Network
from model.owner.population import Population, fit_population
from model.owner.profiles import Profiles
from model.owner.score import embed, enroll
from model.owner.siblings import with_siblings
from model.owner.trials import WHOLE, Trials, join_trials, make_trials, split_enrolment
from model.policy import Policy, fit_policy
from pipeline.errors import DataError
from pipeline.sessions import Sessions
from pipeline.splits import Split

_OTHERS = 3  # impostors' trials for each stretch
_OTHERS_IN_FOLD = 12  # where more cost little

Figures = tuple[Evaluation, pd.DataFrame]
"""Of whole sessions; and a row for each length of evidence."""


class Crowd:
    """Training sessions and their siblings as a network sees them: populations come cheap."""

    def __init__(self, network: Network, config: RunConfig, sessions: Sessions):
        everyone = with_siblings(sessions, config.owner)
        at_most = config.owner.windows_per_session
        windows, self.embeddings = embed(network, config, everyone, at_most)
        self.session, self.account = windows.session, everyone.account_id
        self.parent = np.arange(len(everyone)) % len(sessions)
        self.n_dimensions = config.owner.dimensions

    def population(self, is_used: Bool[np.ndarray, " sessions"]) -> Population:
        """Return how the hands of some of the sessions, and their siblings', differ."""
        used = is_used[self.parent]
        rank = np.cumsum(used) - 1
        windows = used[self.session]
        return fit_population(
            self.embeddings[windows],
            rank[self.session[windows]],
            self.account[used],
            self.n_dimensions,
        )


def population_of(network: Network, config: RunConfig, sessions: Sessions) -> Population:
    """Return how the hands of `sessions` differ, as the network sees them."""
    return Crowd(network, config, sessions).population(np.ones(len(sessions), bool))


class HeldOut:
    """Parts of a split that the network has not seen: one calibrates, one is measured on."""

    def __init__(self, network: Network, config: RunConfig, sessions: Sessions, split: Split):
        self.network, self.config, self.split, self.sessions = network, config, split, sessions
        self.train = sessions.take(split.indices("train"))
        self.population = population_of(network, config, self.train)
        self.by_session = split.config.by == ("session",)

    def calibrated(self) -> tuple[Calibration, Policy]:
        """Fit calibration and thresholds on CALIB."""
        _, held, trials = self._trials("calib")
        return calibrate(trials, held.account_id, self.config)

    def figures(self, calibration: Calibration, policy: Policy) -> Figures:
        """Return the figures on TEST."""
        enrolled, held, trials = self._trials("test")
        whole = trials.take(trials.stretch == WHOLE)
        rows = _as_scores(held, whole, calibration, policy)
        distances = _feature_distances(enrolled, held, whole, self.config)
        return _evaluated(rows, distances), _by_evidence(trials)

    def _trials(self, part: str) -> tuple[Sessions, Sessions, Trials]:
        """Return who makes the profiles, who is tried, and the trials.

        Of people never seen, the longer half of the sessions makes the profile. Where only
        sessions are held out, the profile is made of those trained on, as it will be in use.
        """
        held = self.sessions.take(self.split.indices(part))
        enrolled = self.train
        if not self.by_session:
            makes_profile = split_enrolment(held)
            enrolled, held = held.take(makes_profile), held.take(~makes_profile)
        trials = _tried(self.network, self.config, self.population, enrolled, held, _OTHERS)
        return enrolled, held, trials


class CrossFitted:
    """Folds of people; each is tried against the population of all others."""

    def __init__(
        self,
        network: Network,
        config: RunConfig,
        sessions: Sessions,
        person: Shaped[np.ndarray, " sessions"],
    ):
        self.config = config
        self.fold = deal_folds(person, config.owner.folds, config.seed)
        crowd = Crowd(network, config, sessions)
        makes_profile = split_enrolment(sessions)
        self.enrolled = sessions.take(makes_profile)
        self.held = sessions.take(~makes_profile)
        parts = []
        for number in np.unique(self.fold):
            own = self.fold == number
            enrolled, held = own & makes_profile, np.flatnonzero(own & ~makes_profile)
            trials = _tried(
                network, config, crowd.population(~own), sessions.take(enrolled),
                sessions.take(held), _OTHERS_IN_FOLD,
            )  # fmt: skip
            # Sessions are counted among all that are tried, not in the fold alone.
            parts.append((np.cumsum(~makes_profile)[held] - 1, trials))
        self.trials = join_trials(parts)
        self.fold_of_trial = self.fold[~makes_profile][self.trials.session]

    def calibrated(self) -> tuple[Calibration, Policy]:
        """Fit calibration and thresholds on everybody's trials."""
        return calibrate(self.trials, self.held.account_id, self.config)

    def figures(self, calibration: Calibration, policy: Policy) -> Figures:
        """Return the figures of everybody, each by the others' calibration and thresholds."""
        rows, distances = [], []
        for number in np.unique(self.fold_of_trial):
            own = self.fold_of_trial == number
            fitted = calibrate(self.trials.take(~own), self.held.account_id, self.config)
            whole = self.trials.take(own & (self.trials.stretch == WHOLE))
            rows.append(_as_scores(self.held, whole, *fitted))
            distances.append(_feature_distances(self.enrolled, self.held, whole, self.config))
        table, labels = (pd.concat(frames, ignore_index=True) for frames in zip(*rows, strict=True))
        return _evaluated((table, labels), pd.concat(distances)), _by_evidence(self.trials)


def deal_folds(
    person: Shaped[np.ndarray, " sessions"], n_folds: int, seed: int
) -> Int64[np.ndarray, " sessions"]:
    """Return the fold of each session: whole people, as evenly as they go."""
    names, whose = np.unique(person.astype(str), return_inverse=True)
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
    network: Network,
    config: RunConfig,
    population: Population,
    enrolled: Sessions,
    held: Sessions,
    others: int,
) -> Trials:
    """Hold sessions against their own account's profile and others'."""
    profiles = enroll(network, config, Profiles.empty(population), enrolled)
    windows, embeddings = embed(network, config, held)
    return make_trials(embeddings, windows.session, held, profiles, others, config.seed)


def _evaluated(rows: tuple[pd.DataFrame, pd.DataFrame], distances: pd.DataFrame) -> Evaluation:
    return evaluate(*rows, distances)


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
