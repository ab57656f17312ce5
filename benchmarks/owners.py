"""The owner task in benchmarks: claims of accounts, what scores them, and a table of how well.

A claim is a session with the account that it claims, and label 1 if it isn't that account's.
Comparing prints stands beside what needs no path (clock, screen, length), on all claims and on
those that their device doesn't decide.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Bool, Float64, Shaped
from sklearn.ensemble import HistGradientBoostingClassifier

from model.bootstrap import cluster_bootstrap
from model.config import RunConfig
from model.metrics import RocCurve, roc_curve
from model.owner.population import (
    Population,
    Posterior,
    SessionEmbeddings,
    fit_population,
    session_means,
)
from model.owner.profiles import compare_with_profiles
from model.owner.trials import with_pseudo_speakers
from model.prints import session_prints
from model.run import input_config
from pipeline.audit.case import find_case
from pipeline.audit.device import device_fit
from pipeline.audit.shortcuts import find_shortcuts
from pipeline.features.kinematics import KINEMATIC_FEATURES, MOTION_FEATURES, kinematic_features
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from pipeline.sessions.windows import Windows, cut_windows, subsample_windows

Scores = Float64[np.ndarray, " claims"]

PRINT = "**print (default)**"
STRANGERS = "**print, accounts that the population has not seen**"
FEATURES = "features against profiles"
HAND = [KINEMATIC_FEATURES.index(name) for name in MOTION_FEATURES]
EVIDENCE_SECONDS = (15, 60)
STRETCHES_A_SESSION = 4  # of each length
MOST_WINDOWS = 256  # of a session, of those that boosting learns from


@dataclass(frozen=True)
class Verifier:
    """Profiles of accounts, and the population in which sessions are compared with them.

    What describes a session is the mean of its windows: their prints, or their features.
    """

    population: Population
    places: dict[str, list[Posterior]]

    @staticmethod
    def of(
        population: Population,
        enrolled: SessionEmbeddings,
        account: Shaped[np.ndarray, " sessions"],
    ) -> "Verifier":
        """Return the profiles that `enrolled` sessions make."""
        embedded, names = _embed(population, enrolled), account.astype(str)
        places = {}
        for name in np.unique(names):
            own = (names == name) & (embedded.n_windows > 0)
            place = population.posterior(
                SessionEmbeddings(embedded.mean[own], embedded.n_windows[own])
            )
            places[str(name)] = [place]
        return Verifier(population, places)

    def scores(self, tried: SessionEmbeddings, account: Shaped[np.ndarray, " sessions"]) -> Scores:
        """Score sessions that claim an `account`: higher, the less likely its owner's.

        NaN without a window.
        """
        ratio = compare_with_profiles(
            _embed(self.population, tried), account.astype(str), self.places, self.population
        )
        return np.where(tried.n_windows > 0, -ratio, np.nan)


def _embed(population: Population, described: SessionEmbeddings) -> SessionEmbeddings:
    flat = described.mean.reshape(len(described.mean), 1, 1, -1)
    return SessionEmbeddings(population.embed(flat), described.n_windows)


def print_means(sessions: Sessions, config: RunConfig) -> SessionEmbeddings:
    """Return the mean image of each session's windows."""
    prints = session_prints(input_config(config), sessions)
    return SessionEmbeddings(prints.mean_images.reshape(len(sessions), -1), prints.n_windows)


class FeatureVerifier:
    """The same comparison of kinematic features instead of prints.

    Logarithms, each with unit spread over the training sessions' windows: pixels a second and
    shares of one have to be comparable before people are.
    """

    def __init__(self, trained: Sessions, enrolled: Sessions, config: RunConfig):
        self.config = config
        _, values = hand_features(trained, config)
        self.mean, self.spread = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-9)
        everyone = with_pseudo_speakers(trained, config.owner)
        windows, values = hand_features(everyone, config, config.owner.windows_per_session)
        population = fit_population(
            self._scaled(values), windows.session, everyone.account_id, config.owner, config.seed
        )
        self.verifier = Verifier.of(population, self._means(enrolled), enrolled.account_id)

    def scores(self, claims: Sessions) -> Scores:
        """Score claims as `Verifier.scores` does."""
        return self.verifier.scores(self._means(claims), claims.account_id)

    def _means(self, sessions: Sessions) -> SessionEmbeddings:
        windows, values = hand_features(sessions, self.config)
        return session_means(self._scaled(values), windows.session, len(sessions))

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.spread


def hand_features(
    sessions: Sessions, config: RunConfig, at_most: int | None = None
) -> tuple[Windows, np.ndarray]:
    """Return windows (so many of each session at most) and the logarithms of their features."""
    windows = cut_windows(sessions, config.owner.window)
    windows = windows if at_most is None else subsample_windows(windows, at_most)
    values = kinematic_features(sessions, windows)[:, HAND].astype(np.float64)
    return windows, np.sign(values) * np.log1p(np.abs(values))


def boosting(enrolled: Sessions, claims: Sessions, config: RunConfig) -> Scores:
    """Score claims by gradient boosting on features, which names one of the known accounts."""
    windows, values = hand_features(enrolled, config)
    begin = np.searchsorted(windows.session, windows.session)
    every = 1 + (np.bincount(windows.session)[windows.session] - 1) // MOST_WINDOWS
    kept = (np.arange(len(windows)) - begin) % every == 0
    account = enrolled.account_id.astype(str)[windows.session]
    fitted = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=15, early_stopping=False, random_state=config.seed
    ).fit(values[kept], account[kept])
    windows, values = hand_features(claims, config)
    named = np.searchsorted(fitted.classes_, claims.account_id.astype(str))[windows.session]
    p = fitted.predict_proba(values)[np.arange(len(windows)), named].clip(1e-6, 1 - 1e-6)
    total = np.bincount(windows.session, np.log(p / (1 - p)), len(claims))
    n = np.bincount(windows.session, minlength=len(claims))
    return np.where(n > 0, -total / np.maximum(n, 1), np.nan)


def time_stretches(sessions: Sessions, seconds: float) -> tuple[Sessions, np.ndarray]:
    """Return sub-sessions of so many seconds, and whose each is; some of a long session.

    What is left at the end of a session counts from nine tenths of the length on.
    """
    owner = np.repeat(np.arange(len(sessions)), sessions.n_events)
    part = sessions.t_us // int(seconds * 1e6)
    last_us = sessions.t_us[sessions.offsets[1:] - 1]
    n_whole = np.floor(last_us / (seconds * 1e6) + 0.1).astype(np.int64)
    every = 1 + np.maximum(n_whole - 1, 0) // STRETCHES_A_SESSION
    kept = np.flatnonzero((part < n_whole[owner]) & (part % every[owner] == 0))
    is_first = np.append(True, (np.diff(owner[kept]) != 0) | (np.diff(part[kept]) != 0))
    start = np.flatnonzero(is_first[: len(kept)])
    offsets = np.append(start, len(kept))
    whose = owner[kept][start]
    cut = sessions.gather(whose, kept, offsets)
    ids = [f"{i}@{p}" for i, p in zip(cut.session_id, part[kept][start], strict=True)]
    first_us = np.repeat(cut.t_us[start], np.diff(offsets))
    return replace(cut, t_us=cut.t_us - first_us, session_id=np.array(ids, object)), whose


def shortcuts(enrolled: Sessions, claims: Sessions, seed: int) -> dict[str, Scores]:
    """Return scores by the device, the length, and the best single feature of the hand."""
    unlabelled = replace(enrolled, label=np.full(len(enrolled), -1, np.int8))
    case = find_case(concatenate_sessions([unlabelled, claims]), "owner")
    found = find_shortcuts(case, seed=seed)
    at = {name: place for place, name in enumerate(case.sessions.session_id)}
    order = np.array([at[name] for name in claims.session_id])
    return {row.name: row.score[order] for row in found.rows}


def matched(enrolled: Sessions, claims: Sessions) -> Bool[np.ndarray, " claims"]:
    """Mark the claims that their device doesn't decide."""
    return ~device_fit(claims, enrolled).is_decided


def table(
    claims: Sessions, is_matched: Bool[np.ndarray, " claims"], scores: Mapping[str, Scores]
) -> str:
    """Return a Markdown table: AUC and equal error rate, of all claims and of the matched."""
    n = [int(((claims.label == c) & is_matched).sum()) for c in (0, 1)]
    lines = [
        f"| scored by | AUC, all {len(claims)} | EER | AUC, {n[0]} + {n[1]} device matched | EER |",
        "|---|---|---|---|---|",
    ]
    for name, score in scores.items():
        is_scored = np.isfinite(score)
        cells = []
        for chosen in (is_scored, is_scored & is_matched):
            cells += _figures(score[chosen], claims.take(chosen))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _of_curve(number: Callable[[RocCurve], float], *measured: np.ndarray) -> float:
    return number(roc_curve(*measured))


def _figures(score: Scores, claims: Sessions) -> list[str]:
    """Return AUC and EER with 95 % intervals over accounts, as text."""
    label = claims.label.astype(np.int64)
    if not 0 < label.sum() < len(label):
        return ["", ""]
    groups = claims.account_id.astype(str)
    cells = []
    for number, shown in (
        (RocCurve.auc, "{:.3f} [{:.3f}, {:.3f}]"),
        (RocCurve.eer, "{:.1%} [{:.1%}, {:.1%}]"),
    ):
        metric = partial(_of_curve, number)
        of = cluster_bootstrap(metric, score, label, groups, 500)
        cells.append(shown.format(of.value, of.low, of.high))
    return cells
