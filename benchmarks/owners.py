"""The owner task in benchmarks: claims of accounts, who judges them, and a table of how well.

A claim is a session with the account that it claims, and label 1 if it isn't that account's.
What looks at the path is compared with what doesn't (clock, screen, length), on all claims and
on those that their device doesn't decide.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, Shaped
from sklearn.ensemble import HistGradientBoostingClassifier

from flows.jobs.train_owner import settled
from model.bootstrap import cluster_bootstrap
from model.config import RunConfig
from model.metrics import eer, roc_auc
from model.network import Network
from model.owner.population import Evidence, Population, fit_population, session_means
from model.owner.score import embed
from model.owner.siblings import with_siblings
from model.owner.train import fit_owner
from pipeline.audit.case import find_case
from pipeline.audit.device import device_matched
from pipeline.audit.shortcuts import find_shortcuts
from pipeline.kinematics import HAND_FEATURES, KINEMATIC_FEATURES, kinematic_features
from pipeline.sessions import Sessions, concatenate_sessions
from pipeline.windows import Windows, cut_windows, thin_windows

Embedder = Callable[[Sessions, int | None], tuple[Windows, np.ndarray]]
"""Sessions, and how many windows of each at most."""
Scores = Float64[np.ndarray, " claims"]

FEATURES = [KINEMATIC_FEATURES.index(name) for name in HAND_FEATURES]
EVIDENCE_SECONDS = (15, 60)
STRETCHES_A_SESSION = 4  # of each length
MOST_WINDOWS = 256  # of a session, of those that boosting learns from


def network(sessions: Sessions, config: RunConfig) -> Embedder:
    """Train on the accounts of `sessions`, as the training job would; give the embeddings."""
    config = settled(config, len(set(sessions.account_id)))
    if config.owner.learns == "never":
        untrained = Network(config)
        return lambda chosen, at_most: embed(untrained, config, chosen, at_most)
    with tempfile.TemporaryDirectory() as folder:
        trained, _ = fit_owner(sessions, config, Path(folder) / "state")
    return lambda chosen, at_most: embed(trained, config, chosen, at_most)


def features(config: RunConfig) -> Embedder:
    """Give kinematic features of the same windows instead of embeddings, as they are."""

    def described(sessions: Sessions, at_most: int | None) -> tuple[Windows, np.ndarray]:
        windows = cut_windows(sessions, config.owner.window)
        windows = windows if at_most is None else thin_windows(windows, at_most)
        return windows, kinematic_features(sessions, windows)[:, FEATURES].astype(np.float64)

    return described


@dataclass(frozen=True)
class Judge:
    """Profiles, and how people differ: made once, asked about any claims."""

    embedder: Embedder
    people: Population
    account: Shaped[np.ndarray, " sessions"]
    known: Evidence

    @staticmethod
    def of(embedder: Embedder, trained: Sessions, enrolled: Sessions, config: RunConfig) -> "Judge":
        """Return profiles of `enrolled`; how people differ is learnt from `trained`."""
        everyone = with_siblings(trained, config.owner)
        windows, embeddings = embedder(everyone, config.owner.windows_per_session)
        people = fit_population(
            embeddings, windows.session, everyone.account_id, config.owner.dimensions
        )
        windows, embeddings = embedder(enrolled, None)
        known = session_means(embeddings, windows.session, len(enrolled))
        return Judge(embedder, people, enrolled.account_id.astype(str), known)

    def scores(self, claims: Sessions) -> Scores:
        """Score claims: higher, the less likely by the account's hand; NaN without a window."""
        windows, embeddings = self.embedder(claims, None)
        evidence = session_means(embeddings, windows.session, len(claims))
        score = np.full(len(claims), np.nan)
        for account in np.unique(claims.account_id.astype(str)):
            own = (self.account == account) & (self.known.n_windows > 0)
            place = self.people.place(Evidence(*(column[own] for column in self.known)))
            claimed = claims.account_id.astype(str) == account
            some = Evidence(*(column[claimed] for column in evidence))
            score[claimed] = -self.people.log_ratio(some, place)
        return np.where(evidence.n_windows > 0, score, np.nan)


def scaled_features(sessions: Sessions, config: RunConfig) -> Embedder:
    """Give logarithms of kinematic features, each with unit spread over `sessions`' windows.

    Pixels a second and shares of one have to be comparable before people are.
    """
    described = features(config)
    _, known = described(sessions, config.owner.windows_per_session)
    mean, spread = signed_log(known).mean(axis=0), signed_log(known).std(axis=0)

    def scaled(chosen: Sessions, at_most: int | None) -> tuple[Windows, np.ndarray]:
        windows, values = described(chosen, at_most)
        return windows, (signed_log(values) - mean) / np.maximum(spread, 1e-9)

    return scaled


def signed_log(values: np.ndarray) -> np.ndarray:
    """Return log(1 + size), with the sign."""
    return np.sign(values) * np.log1p(np.abs(values))


def boosting(enrolled: Sessions, claims: Sessions, config: RunConfig) -> Scores:
    """Score claims by gradient boosting on features, which names one of the known accounts."""
    described = features(config)
    windows, values = described(enrolled, None)
    begin = np.searchsorted(windows.session, windows.session)
    every = 1 + (np.bincount(windows.session)[windows.session] - 1) // MOST_WINDOWS
    kept = (np.arange(len(windows)) - begin) % every == 0
    account = enrolled.account_id.astype(str)[windows.session]
    fitted = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=15, early_stopping=False, random_state=config.seed
    ).fit(values[kept], account[kept])
    windows, values = described(claims, None)
    named = np.searchsorted(fitted.classes_, claims.account_id.astype(str))[windows.session]
    p = fitted.predict_proba(values)[np.arange(len(windows)), named].clip(1e-6, 1 - 1e-6)
    total = np.bincount(windows.session, np.log(p / (1 - p)), len(claims))
    n = np.bincount(windows.session, minlength=len(claims))
    return np.where(n > 0, -total / np.maximum(n, 1), np.nan)


def time_stretches(sessions: Sessions, seconds: float) -> tuple[Sessions, np.ndarray]:
    """Return stretches of so many seconds, and whose each is; some of a long session.

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
    at = {name: place for place, name in enumerate(case.judged.session_id)}
    order = np.array([at[name] for name in claims.session_id])
    return {row.name: row.score[order] for row in found.rows}


def matched(enrolled: Sessions, claims: Sessions) -> Bool[np.ndarray, " claims"]:
    """Mark the claims that their device doesn't decide."""
    return device_matched(claims, enrolled)


def table(
    claims: Sessions, is_matched: Bool[np.ndarray, " claims"], scores: Mapping[str, Scores]
) -> str:
    """Return a Markdown table: AUC and equal error rate, of all claims and of the matched."""
    n = [int(((claims.label == c) & is_matched).sum()) for c in (0, 1)]
    lines = [
        f"| judged by | AUC, all {len(claims)} | EER | AUC, {n[0]} + {n[1]} device matched | EER |",
        "|---|---|---|---|---|",
    ]
    for name, score in scores.items():
        is_judged = np.isfinite(score)
        cells = []
        for chosen in (is_judged, is_judged & is_matched):
            cells += _figures(score[chosen], claims.take(chosen))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _figures(score: Scores, claims: Sessions) -> list[str]:
    """Return AUC and EER with 95 % intervals over accounts, as text."""
    label = claims.label.astype(np.int64)
    if not 0 < label.sum() < len(label):
        return ["", ""]
    groups = claims.account_id.astype(str)
    cells = []
    for metric, shown in ((roc_auc, "{:.3f} [{:.3f}, {:.3f}]"), (eer, "{:.1%} [{:.1%}, {:.1%}]")):
        of = cluster_bootstrap(metric, score, label, groups, 500)
        cells.append(shown.format(of.value, of.low, of.high))
    return cells
