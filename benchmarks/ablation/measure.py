"""One row, one seed: train shortly, then score known accounts and people never seen."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float64, Int64, Shaped

from benchmarks import owners
from benchmarks.ablation.recordings import Recordings
from benchmarks.ablation.rows import Row, with_settings
from model.config import OwnerConfig, RunConfig, TrainConfig
from model.habits import habits
from model.network import SCORING_BATCH
from model.owner.population import Evidence, Population, fit_population, session_means
from model.owner.score import embed
from model.owner.siblings import with_siblings
from model.owner.train import fit_owner
from pipeline.sessions import Sessions
from pipeline.windows import Windows, cut_windows, pad_windows
from rasterize.draw import to_device

Embedder = Callable[[Sessions], tuple[Windows, Float64[np.ndarray, "windows features"]]]
Ratios = Float64[np.ndarray, "sessions accounts"]
VERDICT_WINDOWS = (1, 5, 10)
POOLINGS: dict[str, Callable[[Float64[np.ndarray, "windows accounts"]], np.ndarray]] = {
    "mean of windows": lambda ratio: ratio.mean(axis=0),
    "worst window": lambda ratio: ratio.min(axis=0),
    "worst fifth of windows": lambda ratio: np.sort(ratio, axis=0)[: -(-len(ratio) // 5)].mean(0),
    "median of windows": lambda ratio: np.median(ratio, axis=0),
}


@dataclass(frozen=True)
class Budget:
    """How long each network is trained: short, the same for all."""

    steps: int = 200
    batch_size: int = 64
    windows_per_session: int = 64

    def config(self, row: Row, seed: int) -> RunConfig:
        """Return the settings of one cell."""
        return with_settings(self.config_for(seed), row.settings)

    def config_for(self, seed: int) -> RunConfig:
        """Return what the settings of all rows change."""
        epochs = 5
        return RunConfig(
            task="owner",
            seed=seed,
            owner=OwnerConfig(
                epochs=epochs,
                windows_per_session=self.windows_per_session,
                mirrored=False,
                paces=(),
            ),
            train=TrainConfig(steps_per_epoch=self.steps // epochs, batch_size=self.batch_size),
        )


@dataclass(frozen=True)
class Side:
    """Who is enrolled and who is tried: everyone against every account."""

    accounts: Shaped[np.ndarray, " accounts"]
    population: Population
    enrolled: Sessions
    embed: Embedder

    @staticmethod
    def of(embedder: Embedder, population: Population, enrolled: Sessions) -> "Side":
        """Return a side whose accounts are those of the enrolled."""
        return Side(np.unique(enrolled.account_id.astype(str)), population, enrolled, embedder)

    def ratios(self, evidence: Evidence) -> Ratios:
        """Return log P(session | account) / P(session | anyone) for each account."""
        windows, embeddings = self.embed(self.enrolled)
        known = session_means(embeddings, windows.session, len(self.enrolled))
        columns = []
        for account in self.accounts:
            own = (self.enrolled.account_id.astype(str) == account) & (known.n_windows > 0)
            place = self.population.place(Evidence(known.mean[own], known.n_windows[own]))
            columns.append(self.population.log_ratio(evidence, place))
        return np.stack(columns, axis=1)


def measure(row: Row, seed: int, recordings: Recordings, budget: Budget) -> dict[str, Any]:
    """Return the scores of every trial, and what they cost."""
    config = budget.config(row, seed)
    begun = time.process_time()
    parts = []
    if row.kind in ("network", "fusion"):
        parts.append(network_embedder(config, recordings))
    if row.kind == "habits":
        parts.append(_habits_embedder(config))
    if row.kind in ("features", "fusion"):
        parts.append(_feature_embedder(config, recordings.training))
    trained_s = time.process_time() - begun
    scores = [
        scored(embedder, config, recordings, with_verdicts=row.kind == "network")
        for embedder in parts
    ]
    cell = scores[0] if len(scores) == 1 else scores[0] | _summed(scores)
    if row.kind in ("features", "fusion"):  # known accounts: the classifier of the first try
        own = {"known": _rounded(owners.boosting(recordings.known, recordings.claims, config))}
        cell |= own if row.kind == "features" else _summed([{"known": scores[0]["known"]}, own])
    return cell | {
        "row": row.name,
        "group": row.group,
        "seed": seed,
        "steps": budget.steps,
        "train_cpu_s": round(trained_s, 1),
        "cpu_s": round(time.process_time() - begun, 1),
        "away": sorted(set(recordings.tried.account_id)),
    }


def network_embedder(config: RunConfig, recordings: Recordings) -> Embedder:
    """Train a network on the recordings; give it as an embedder."""
    with tempfile.TemporaryDirectory() as folder:
        network, _ = fit_owner(recordings.training, config, Path(folder) / "state")
    return _caching(lambda sessions: embed(network, config, sessions))


def _habits_embedder(config: RunConfig) -> Embedder:
    """Return the habits as they are, without any network."""
    seen = jax.jit(habits)

    def described(sessions: Sessions) -> tuple[Windows, np.ndarray]:
        windows = cut_windows(sessions, config.owner.window)
        found = []
        for begin in range(0, len(windows), SCORING_BATCH):
            chosen = np.minimum(np.arange(begin, begin + SCORING_BATCH), len(windows) - 1)
            points = pad_windows(sessions, windows.take(chosen), config.owner.window.max_events)
            found.append(np.asarray(seen(to_device(points))))
        return windows, np.concatenate(found)[: len(windows)].astype(np.float64)

    return _caching(described)


def _feature_embedder(config: RunConfig, trained: Sessions) -> Embedder:
    """Return kinematic features, each with unit spread over the training's windows."""
    scaled = owners.scaled_features(trained, config)
    return _caching(lambda sessions: scaled(sessions, None))


def _caching(embedder: Embedder) -> Embedder:
    known: dict[int, Any] = {}

    def cached(sessions: Sessions) -> tuple[Windows, np.ndarray]:
        if id(sessions) not in known:
            known[id(sessions)] = (embedder(sessions), sessions)
        return known[id(sessions)][0]

    return cached


def scored(
    embedder: Embedder, config: RunConfig, recordings: Recordings, with_verdicts: bool
) -> dict[str, Any]:
    """Return the score (higher: less likely the owner) of each trial of each question."""
    r = recordings
    known = Side.of(embedder, _population(embedder, config, r.known), r.known)
    people = Side.of(embedder, _population(embedder, config, r.people), r.enrolled)
    claimed = np.searchsorted(known.accounts, r.claims.account_id.astype(str))
    rows = np.arange(len(r.claims))
    windows, embeddings = embedder(r.claims)
    evidence = session_means(embeddings, windows.session, len(r.claims))
    cell: dict[str, Any] = {"known": _rounded(-known.ratios(evidence)[rows, claimed])}
    for name, tried in (("people_15s", r.stretches), ("people_60s", r.tried)):
        at, of = embedder(tried)
        evidence_of = session_means(of, at.session, len(tried))
        cell[name] = _rounded(-people.ratios(evidence_of))
        is_other = tried.account_id.astype(str)[:, None] != people.accounts
        cell[name.replace("people", "other")] = is_other.astype(int).tolist()
    if with_verdicts:
        cell["verdicts"] = _verdicts(known, windows, embeddings, claimed)
    return cell


def _population(embedder: Embedder, config: RunConfig, sessions: Sessions) -> Population:
    sessions = with_siblings(sessions, config.owner)
    windows, embeddings = embedder(sessions)
    return fit_population(embeddings, windows.session, sessions.account_id, config.owner.dimensions)


def _verdicts(
    side: Side, windows: Windows, embeddings: np.ndarray, claimed: Int64[np.ndarray, " sessions"]
) -> dict[str, list[float]]:
    """Return the scores of known accounts with less evidence, and pooled in other ways."""
    n = len(claimed)
    begin = np.searchsorted(windows.session, np.arange(n))
    rank = np.arange(len(windows)) - begin[windows.session]
    found: dict[str, list[float]] = {}
    for count in VERDICT_WINDOWS:
        first = rank < count
        evidence = session_means(embeddings[first], windows.session[first], n)
        found[f"{count} windows"] = _rounded(-side.ratios(evidence)[np.arange(n), claimed])
    one = Evidence(embeddings, np.ones(len(windows), np.int64))
    ratio = side.ratios(one)[np.arange(len(windows)), claimed[windows.session]]
    for name, pool in POOLINGS.items():
        pooled = [
            float(pool(ratio[begin[i] : begin[i] + c, None])[0]) if c else 0.0
            for i, c in enumerate(np.bincount(windows.session, minlength=n))
        ]
        found[name] = _rounded(-np.array(pooled))
    return found


def _summed(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Return scores added, each brought to unit spread over all trials."""
    added: dict[str, Any] = {}
    for name in ("known", "people_15s", "people_60s"):
        parts = [np.array(cell[name]) for cell in cells if name in cell]
        if len(parts) == len(cells):
            added[name] = _rounded(sum(part / part.std() for part in parts))
    return added


def _rounded(values: np.ndarray) -> list:
    return np.round(values, 4).tolist()
