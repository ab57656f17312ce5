"""Bots against people when distances, durations, pauses and the recorder are alike.

    python -m benchmarks.bots [--folds 3] [--only 0] [--set train.epochs=8 ...] [--json FILE]

Needs the recordings in POINTERPRINT_DATA (default ../shared/data): SapiMouse's people, 18
families of bots, Balabit's challenge; and the sample's recordings. Families, simulated bots and
people are dealt into folds: what a fold tests on it has not trained on. Three kinds of test:

- matched: moves of bots and people with about the same distance, duration and pause, put
  together to sessions (pipeline/matching.py), both on one clock
- twins: simulated bots with the plan of a person's own stretch
- as they come: whole sessions of bots, stretches of people

and false alarms on people of two recorders that were never trained on.
"""

from model.device import prepare_jax

prepare_jax()

import argparse
import ast
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.window_rules import load
from flows.jobs.inputs import each_sessions
from flows.jobs.train import calibrated, training_sessions
from model.bootstrap import cluster_bootstrap
from model.calibrate import Calibration, fit_calibration
from model.config import RunConfig
from model.metrics import ece, roc_auc
from model.policy import fit_policy
from model.score import look
from model.train import balance_groups, fit, window_weights
from pipeline.kinematics import (
    HAND_FEATURES,
    KINEMATIC_FEATURES,
    kinematic_features,
    session_features,
)
from pipeline.matching import (
    MatchConfig,
    chain_moves,
    cut_stretches,
    find_moves,
    match_exactly,
    strata,
)
from pipeline.separability import rank_auc
from pipeline.sessions import Sessions, concatenate_sessions
from pipeline.simulate.generators import ALL
from pipeline.simulate.twins import simulate_twins
from pipeline.splits import Split
from pipeline.standard import StandardConfig, standardise
from pipeline.windows import cut_windows

CLOCK = StandardConfig(longest_rest_ms=0.0)  # 60 Hz, whole pixels; rests stay as they were
MATCH = MatchConfig()
DEALT = (0.7, 0.1, 0.2, 0.0)  # of what a fold leaves: its test part is the fold
DRAWS = 3  # matched sets a family: each pairs other moves
BUDGET = 0.01
FEATURES = [KINEMATIC_FEATURES.index(name) for name in HAND_FEATURES]

Scores = Float64[np.ndarray, " sessions"]


@dataclass(frozen=True)
class Fold:
    """Who is tested on, and who is left for training."""

    rest: Sessions  # labelled: people, and bots with the generator as account
    rest_bots: tuple[str, ...]  # simulated ones that may be trained on
    matched: dict[str, Sessions]  # by family
    twins: dict[str, Sessions]  # by simulated bot
    natural: dict[str, Sessions]  # by family
    people: Sessions  # stretches of those who are tested on


@dataclass(frozen=True)
class Detector:
    """What has been trained: a logit and a probability a session, and when to flag."""

    logits: Callable[[Sessions], Scores]
    calibration: Calibration
    threshold: float
    unseen_rate: float | None

    def scores(self, sessions: Sessions) -> Scores:
        """Return the probability of fraud; 0 for a session that can't be judged."""
        return np.nan_to_num(self.calibration.apply(self.logits(sessions)))


def deal(names: np.ndarray, n_folds: int, fold: int, seed: int) -> list[str]:
    """Return the names that are tested on in `fold`."""
    names = np.unique(names.astype(str))
    return list(np.random.default_rng(seed).permutation(names)[fold::n_folds])


def one_clock(sessions: Sessions) -> Sessions:
    """Return sessions as a 60 Hz page would log them, whoever recorded them."""
    return standardise(sessions, CLOCK).sessions


def stretches(sessions: Sessions, at_most: int = 20) -> Sessions:
    """Return stretches of `sessions` as long as a bot's, on the one clock."""
    sessions = one_clock(sessions)
    moves = find_moves(sessions, MATCH)
    return cut_stretches(sessions, moves, MATCH.moves_per_session, at_most)


def matched_sessions(people: Sessions, bots: Sessions, seed: int) -> Sessions:
    """Return sessions of moves of which each has its like in the other class."""
    moves = [find_moves(sessions, MATCH) for sessions in (people, bots)]
    n_people = len(moves[0])
    stratum = np.concatenate([strata(of_class, MATCH) for of_class in moves])
    is_bot = np.arange(len(stratum)) >= n_people
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(DRAWS):
        keep = match_exactly(stratum, is_bot, rng)
        for sessions, of_class, kept in zip(
            (people, bots), moves, (keep[:n_people], keep[n_people:]), strict=True
        ):
            chosen = of_class.take(kept)
            owner = sessions.account_id[chosen.session].astype(str)
            drawn.append(chain_moves(sessions, chosen, owner, rng, MATCH))
    return concatenate_sessions(drawn)


def make_fold(sessions: Sessions, n_folds: int, number: int, seed: int) -> Fold:
    """Set people, families and simulated bots of one fold apart."""
    is_bot = sessions.label == 1
    held = deal(sessions.account_id[is_bot], n_folds, number, seed)
    held_people = deal(sessions.account_id[~is_bot], n_folds, number, seed)
    held_twins = deal(np.array(ALL), n_folds, number, seed)
    is_held = np.isin(sessions.account_id.astype(str), held + held_people)
    recorded = sessions.take(is_held & ~is_bot)
    bots = {name: one_clock(sessions.take(sessions.account_id == name)) for name in held}
    on_clock = one_clock(recorded)
    people = stretches(recorded)
    return Fold(
        rest=sessions.take(~is_held),
        rest_bots=tuple(name for name in ALL if name not in held_twins),
        matched={name: matched_sessions(on_clock, of, seed) for name, of in bots.items()},
        twins={
            name: concatenate_sessions([people, simulate_twins(people, [name], 1, seed)])
            for name in held_twins
        },
        natural=bots,
        people=people,
    )


def train_network(fold: Fold, config: RunConfig, simulate: bool) -> tuple[Detector, Detector]:
    """Return the network, and gradient boosting over features of the same windows."""
    config = replace(config, twins=replace(config.twins, bots=fold.rest_bots))
    sessions, split = training_sessions(fold.rest, config, simulate)
    part = {
        name: np.isin(np.arange(len(sessions)), split.indices(name)) for name in ("train", "valid")
    }
    standard = standardise(sessions, config.standard).sessions
    with tempfile.TemporaryDirectory() as folder:
        network, _ = fit(
            standard,
            cut_windows(standard, config.window),
            balance_groups(split),
            part["train"],
            part["valid"],
            config,
            Path(folder) / "state",
            progress=lambda epoch: print(f"  {epoch}", file=sys.stderr),
        )
    model = calibrated(network, config, sessions, split)
    chosen = next(t for t in model.policy.thresholds if t.budget == BUDGET)
    detector = Detector(
        lambda tested: look(network, config, tested)[2],
        model.calibration,
        chosen.threshold,
        chosen.unseen_rate,
    )
    return detector, train_features(sessions, split, part["train"], config)


def train_features(
    sessions: Sessions, split: Split, is_train: np.ndarray, config: RunConfig
) -> Detector:
    """Return gradient boosting over the kinematic features of standardised windows."""

    def described(chosen: Sessions) -> tuple[np.ndarray, Int64[np.ndarray, " windows"]]:
        standard = standardise(chosen, config.standard).sessions
        windows = cut_windows(standard, config.window)
        return kinematic_features(standard, windows)[:, FEATURES], windows.session

    train = sessions.take(is_train)
    features, owner = described(train)
    weights = window_weights(owner, train.label, balance_groups(split)[is_train])
    boosting = HistGradientBoostingClassifier(
        max_leaf_nodes=15, min_samples_leaf=10, early_stopping=False, random_state=config.seed
    ).fit(features, train.label[owner], sample_weight=weights * len(weights))

    def logits(chosen: Sessions) -> Scores:
        features, owner = described(chosen)
        if not len(owner):
            return np.full(len(chosen), np.nan)
        total = np.bincount(owner, boosting.decision_function(features), len(chosen))
        n = np.bincount(owner, minlength=len(chosen))
        return np.divide(total, n, out=np.full(len(chosen), np.nan), where=n > 0)

    calib = sessions.take(split.indices("calib"))
    calib = concatenate_sessions(
        [stretches(calib.take(calib.label == 0)), calib.take(calib.label == 1)]
    )
    of_calib = logits(calib)
    judged = np.isfinite(of_calib)
    calibration = fit_calibration(of_calib[judged], calib.label[judged])
    legitimate = judged & (calib.label == 0)
    people = calib.account_id[legitimate]
    policy = fit_policy(calibration.apply(of_calib[legitimate]), people, config.policy)
    chosen = next(t for t in policy.thresholds if t.budget == BUDGET)
    return Detector(logits, calibration, chosen.threshold, chosen.unseen_rate)


def caught_at_budget(scores: Scores, labels: np.ndarray, budget: float = BUDGET) -> float:
    """Return the share of frauds above all but `budget` of these legitimate sessions."""
    legitimate = np.sort(scores[labels == 0])[::-1]
    cut = legitimate[int(budget * len(legitimate))]
    return float(np.mean(scores[labels == 1] > cut))


def best_feature(sessions: Sessions) -> tuple[str, float]:
    """Return the feature of the hand that tells these sessions apart best, picked on them."""
    windows = cut_windows(sessions, RunConfig().window)
    features = session_features(sessions, windows)
    has_one = np.isfinite(features).all(axis=1)
    auc = rank_auc(features[has_one][:, FEATURES], sessions.label[has_one])
    either_way = np.maximum(auc, 1 - auc)
    return HAND_FEATURES[int(either_way.argmax())], float(either_way.max())


def family_row(sessions: Sessions, detectors: dict[str, Detector]) -> dict[str, Any]:
    """Return the figures of one family against people."""
    people = pd.Series(sessions.account_id[sessions.label == 0])
    row: dict[str, Any] = {
        "n_people": int(people.nunique()),
        "n_legitimate": int((sessions.label == 0).sum()),
        "n_fraud": int((sessions.label == 1).sum()),
    }
    if min(row["n_legitimate"], row["n_fraud"]) < 30:
        return row
    row["best_feature"], row["best_feature_auc"] = best_feature(sessions)
    for name, detector in detectors.items():
        scores = detector.scores(sessions)
        interval = cluster_bootstrap(
            lambda s, labels, weights: roc_auc(s, labels, weights),
            scores,
            sessions.label,
            sessions.account_id.astype(str),
            200,
        )
        flagged = scores >= detector.threshold
        row[name] = {
            "auc": interval.value,
            "auc_low": interval.low,
            "auc_high": interval.high,
            "tpr_at_1": caught_at_budget(scores, sessions.label),
            "flagged": float(flagged[sessions.label == 1].mean()),
            "false_alarms": float(flagged[sessions.label == 0].mean()),
            "calibration_error": calibration_error(detector, sessions),
        }
    return row


def calibration_error(detector: Detector, sessions: Sessions) -> float:
    """Return the calibration error at the share of frauds that these sessions have."""
    at_home = replace(
        detector, calibration=detector.calibration.with_prior(float(np.mean(sessions.label == 1)))
    )
    return float(ece(at_home.scores(sessions), sessions.label))


def alarm_row(sessions: Sessions, detectors: dict[str, Detector]) -> dict[str, Any]:
    """Return the false alarms of one recorder's people: on average, and of whom it is worst."""
    row: dict[str, Any] = {"n_sessions": len(sessions)}
    person = sessions.account_id.astype(str)
    for name, detector in detectors.items():
        flagged = pd.Series(detector.scores(sessions) >= detector.threshold).groupby(person)
        row[name] = {"rate": float(flagged.mean().mean()), "worst": float(flagged.mean().max())}
    row["n_people"] = len(np.unique(person))
    return row


def measure(
    fold: Fold, others: dict[str, Sessions], config: RunConfig, simulate: bool
) -> dict[str, Any]:
    """Train on what a fold leaves, and test on what it holds."""
    network, features = train_network(fold, config, simulate)
    detectors = {"network": network, "features": features}
    natural = {n: concatenate_sessions([fold.people, b]) for n, b in fold.natural.items()}
    return {
        "unseen_rate": network.unseen_rate,
        "matched": {n: family_row(s, detectors) for n, s in fold.matched.items()},
        "twins": {n: family_row(s, detectors) for n, s in fold.twins.items()},
        "natural": {n: family_row(s, detectors) for n, s in natural.items()},
        "alarms": {
            n: alarm_row(s, detectors) for n, s in ({"sapimouse": fold.people} | others).items()
        },
    }


def other_people(data: Path) -> dict[str, Sessions]:
    """Return stretches of the people of recorders that are never trained on."""
    balabit = concatenate_sessions(list(each_sessions([data / "balabit"])))
    sample = concatenate_sessions(list(each_sessions([data / "human_recordings"])))
    return {
        "balabit, stretches": stretches(balabit, at_most=5),
        "balabit, sessions": balabit.take(balabit.n_events < 20_000),
        "sample": replace(sample, account_id=np.full(len(sample), "one", object)),
    }


def to_text(report: dict[str, Any]) -> str:
    """Return the report as Markdown tables."""
    lines = []
    for kind in ("matched", "twins", "natural"):
        rows = {n: r for fold in report["folds"] for n, r in fold[kind].items()}
        lines += [
            f"\n### {kind}\n",
            "| family | people, sessions | network: AUC | caught at 1 % | flagged | features: AUC "
            "| caught at 1 % | best single feature |",
            "|---|---|---|---|---|---|---|---|",
        ]
        told = {n: r for n, r in rows.items() if "network" in r}
        for name, row in sorted(told.items(), key=lambda item: item[1]["network"]["tpr_at_1"]):
            net, gbm = row["network"], row["features"]
            lines.append(
                f"| {name} | {row['n_people']}, {row['n_legitimate']}+{row['n_fraud']} "
                f"| {net['auc']:.3f} [{net['auc_low']:.3f}, {net['auc_high']:.3f}] "
                f"| {net['tpr_at_1']:.0%} | {net['flagged']:.0%} | {gbm['auc']:.3f} "
                f"| {gbm['tpr_at_1']:.0%} "
                f"| {row['best_feature_auc']:.3f} `{row['best_feature']}` |"
            )
        for name in ("network", "features"):
            tpr = [row[name]["tpr_at_1"] for row in told.values()]
            alarms = [row[name]["false_alarms"] for row in told.values()]
            error = [row[name]["calibration_error"] for row in told.values()]
            lines.append(
                f"\n{name}: caught at 1 % median {np.median(tpr):.0%}, lowest {min(tpr):.0%}; "
                f"false alarms at the threshold {np.mean(alarms):.1%}; "
                f"calibration error {np.mean(error):.3f}"
            )
    lines += [
        "\n### false alarms at a budget of 1 %\n",
        "| people | network | worst | features | worst |",
        "|---|---|---|---|---|",
    ]
    for name in report["folds"][0]["alarms"]:
        rows = [fold["alarms"][name] for fold in report["folds"]]
        cells = [f"{name} ({rows[0]['n_people']} people, {rows[0]['n_sessions']})"]
        for detector in ("network", "features"):
            rate = np.mean([row[detector]["rate"] for row in rows])
            worst = max(row[detector]["worst"] for row in rows)
            cells += [f"{rate:.2%}", f"{worst:.1%}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def changed(config: RunConfig, settings: list[str]) -> RunConfig:
    """Return `config` with `section.field=value` put in."""
    for setting in settings:
        path, value = setting.split("=", 1)
        section, name = path.split(".")
        part = replace(getattr(config, section), **{name: ast.literal_eval(value)})
        config = replace(config, **{section: part})
    return config


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--only", type=int, nargs="*", help="these folds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-twins", action="store_true")
    parser.add_argument("--set", nargs="*", default=[], metavar="SECTION.FIELD=VALUE")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data = Path(os.environ.get("POINTERPRINT_DATA", "../shared/data"))
    if not data.is_dir():
        sys.exit(f"no recordings at {data}: set POINTERPRINT_DATA to their folder")
    sessions, others = load(data), other_people(data)
    config = RunConfig(seed=options.seed)
    config = changed(replace(config, split=replace(config.split, shares=DEALT)), options.set)
    numbers = range(options.folds) if options.only is None else options.only
    folds = []
    for number in numbers:
        begun = time.monotonic()
        fold = make_fold(sessions, options.folds, number, options.seed)
        folds.append(measure(fold, others, config, not options.no_twins))
        print(f"fold {number}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    report = {"settings": options.set, "twins": not options.no_twins, "folds": folds}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    print(to_text(report))


if __name__ == "__main__":
    main()
