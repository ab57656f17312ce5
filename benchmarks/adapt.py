"""A site's own level: what `adapt` brings where neither recorder nor people were trained on.

    python -m benchmarks.adapt [--seeds 0] [--out mauth_pynput ...] [--repeats 50] [--json FILE]

Needs the recordings in POINTERPRINT_DATA (default ../shared/data). As in `benchmarks.recorders` a
network is trained without one recorder. That recorder is then a site: its level is set, by the
product's own functions, from the sessions of half of its people, with bots of four generators among
them, simulated from its people. False positives are counted on the other half of the people, recall
on the generators that the order of this network's scores separates there at all (AUC of 0.99). Bots
to adapt with and to test on are different ones.

A site's sessions are drawn with replacement where it has fewer than asked for. A recorder of fewer
than 60 sessions is left out. The level before is the one that training sets.
"""

from model.device import prepare_jax

prepare_jax()

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Shaped

from benchmarks.recorders import (
    RATES,
    Detector,
    Recorder,
    Source,
    calibrate,
    left_out_names,
    logits_of,
    make_families,
    make_recorder,
    percent,
    read_recorders,
    train,
)
from benchmarks.sources import read_all, recordings_folder
from model.adapt import adapt_recorder
from model.config import RunConfig
from model.level import LevelReference, fit_level_reference
from pipeline.features.best_feature import roc_auc
from pipeline.simulate.generators import BOT_NAMES

SIZES = (50, 200, 1000)
SHARES = (0.0, 0.05, 0.2)  # of frauds
N_GENERATORS = 4  # of them
SEPARATED = 0.99  # AUC from which on the order separates a generator
FEWEST = 60


@dataclass(frozen=True)
class Site:
    """A recorder's sessions, their adjusted logits by a model that never saw it."""

    people: Float64[np.ndarray, " sessions"]
    person: Shaped[np.ndarray, " sessions"]
    bots: Float64[np.ndarray, " bots"]
    made_by: Shaped[np.ndarray, " bots"]

    @property
    def separated(self) -> set[str]:
        """Return the generators that the order of scores separates from people."""
        found, made_by = set(), self.made_by.astype(str)
        for name in np.unique(made_by).tolist():
            bots = self.bots[made_by == name]
            labels = np.repeat([0, 1], [len(self.people), len(bots)])
            if roc_auc(np.concatenate([self.people, bots]), labels) >= SEPARATED:
                found.add(name)
        return found


@dataclass(frozen=True)
class Outcome:
    """What adapting once brought."""

    n_sessions: int
    fraud_share: float
    is_adapted: bool
    estimated_share: float
    fpr_before: float
    fpr_after: float
    recall_before: float  # of the generators that the order separates
    recall_after: float


def adapt_once(
    site: Site,
    reference: LevelReference,
    threshold: float,
    target_fpr: float,
    n: int,
    share: float,
    separated: Sequence[str],
    rng: np.random.Generator,
) -> Outcome:
    """Adapt to half of a site's people with some bots, and measure on the other half."""
    people = np.unique(site.person.astype(str))
    first = rng.permutation(people)[: len(people) // 2]
    own = np.flatnonzero(np.isin(site.person.astype(str), first))
    others = np.flatnonzero(~np.isin(site.person.astype(str), first))
    generators = rng.permutation(np.unique(site.made_by.astype(str)))[:N_GENERATORS]
    is_for_adapting = rng.random(len(site.bots)) < 0.5
    bots = np.flatnonzero(is_for_adapting & np.isin(site.made_by.astype(str), generators))
    n_bots = min(round(share * n), n) if len(bots) else 0
    chosen = rng.choice(own, n - n_bots, replace=n - n_bots > len(own))
    added = rng.choice(bots, n_bots) if n_bots else np.zeros(0, np.int64)
    adjusted = np.concatenate([site.people[chosen], site.bots[added]])
    accounts = np.concatenate(
        [site.person[chosen].astype(object), np.array([f"\0{i}" for i in range(n_bots)], object)]
    )
    found = adapt_recorder("site", adjusted, accounts, reference, threshold, target_fpr)
    after = threshold
    if found.is_adapted and found.threshold_after is not None:
        after = found.threshold_after
    tested = site.bots[~is_for_adapting & np.isin(site.made_by.astype(str), separated)]
    return Outcome(
        n,
        share,
        found.is_adapted,
        float(found.fraud_share or 0),
        float((site.people[others] >= threshold).mean()),
        float((site.people[others] >= after).mean()),
        float((tested >= threshold).mean()) if len(tested) else np.nan,
        float((tested >= after).mean()) if len(tested) else np.nan,
    )


def adapt_often(
    site: Site, reference: LevelReference, threshold: float, target_fpr: float, repeats: int
) -> list[Outcome]:
    """Adapt so often for each size and share of frauds."""
    separated = sorted(site.separated)
    return [
        adapt_once(
            site, reference, threshold, target_fpr, n, share, separated,
            np.random.default_rng([n, round(100 * share), i]),
        )
        for n in SIZES
        for share in SHARES
        for i in range(repeats)
    ]  # fmt: skip


def reference_of(detector: Detector, recorders: dict[str, Recorder]) -> LevelReference:
    """Return what `adapt` compares with, from the sub-sessions that the level was set on."""
    values, labels, names = [], [], []
    for name, recorder in recorders.items():
        for label, prints in ((0, recorder.calib), (1, recorder.calib_bots)):
            logits, n_events, _ = logits_of(detector.network, prints, detector.config)
            values.append(detector.calibration.adjust(logits, n_events))
            labels.append(np.full(len(logits), label))
            names.append(np.full(len(logits), name, object))
    return fit_level_reference(*map(np.concatenate, (values, labels, names)))


def site_of(detector: Detector, recorder: Recorder, rate: str) -> Site:
    """Return the sessions of a recorder that was left out."""
    people, events, person = logits_of(detector.network, recorder.test[rate], detector.config)
    bots, bot_events, made_by = logits_of(
        detector.network, recorder.test_bots[rate], detector.config
    )
    adjust = detector.calibration.adjust
    return Site(adjust(people, events), person, adjust(bots, bot_events), made_by)


def to_text(rows: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table: a row a rate, size and share; and one a recorder."""
    frame = pd.DataFrame(rows)
    keys = ["rate", "n_sessions", "fraud_share"]
    means = frame.groupby([*keys, "out"], sort=False).mean(numeric_only=True)
    each = pd.DataFrame(means).reset_index()
    lines = [
        "| events | sessions | frauds | FPR before: mean, median, worst | after | recall before "
        "| after | estimated frauds | adapted |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for key, own in each.groupby(keys, sort=False):
        rate, n, share = key if isinstance(key, tuple) else (key, 0, 0.0)
        fpr = [_summary(own[name]) for name in ("fpr_before", "fpr_after")]
        recall = [percent(own[name].mean()) for name in ("recall_before", "recall_after")]
        lines.append(
            f"| {rate} | {n:,} | {share:.0%} | {fpr[0]} | {fpr[1]} | {recall[0]} | {recall[1]} "
            f"| {own['estimated_share'].mean():.0%} | {own['is_adapted'].mean():.0%} |"
        )
    lines += [
        "",
        "200 sessions, 5 % of them frauds, as recorded:",
        "",
        "| recorder | FPR before | after | recall before | after | adapted |",
        "|---|---|---|---|---|---|",
    ]
    is_it = (each["rate"] == "as recorded") & (each["n_sessions"] == 200)
    for row in each[is_it & (each["fraud_share"] == 0.05)].to_dict("records"):
        names = ("fpr_before", "fpr_after", "recall_before", "recall_after")
        cells = " | ".join("-" if np.isnan(row[name]) else percent(row[name]) for name in names)
        lines.append(f"| {row['out']} | {cells} | {row['is_adapted']:.0%} |")
    return "\n".join(lines)


def _summary(rates: pd.Series) -> str:
    return ", ".join(percent(found) for found in (rates.mean(), rates.median(), rates.max()))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--out", nargs="*", default=[], help="recorders to leave out; all")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data = recordings_folder("people", "sapimouse", "balabit", "human_recordings", "delbot", "bots")
    people, bots = read_recorders(data), read_all(data / "bots", account="generator")
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        config = RunConfig(seed=seed)
        recorders = {
            name: make_recorder(sessions, config, number)
            for number, (name, sessions) in enumerate(people.items())
        }
        families = make_families(bots, config)
        for number, out in enumerate(recorders):
            if len(recorders[out].test["as recorded"].moves) < FEWEST or (
                options.out and out not in options.out
            ):
                continue
            others = {name: found for name, found in recorders.items() if name != out}
            unseen = left_out_names(BOT_NAMES, number, 8)
            held = left_out_names(list(families), number, 7)
            kept = [np.flatnonzero(~np.isin(r.bot_of, list(unseen))) for r in others.values()]
            trainable = [family for name, family in families.items() if name not in held]
            network = train(Source(list(others.values()), trainable, kept), config)
            detector = calibrate(network, list(others.values()), config)
            reference = reference_of(detector, others)
            threshold = detector.calibration.adjusted_at(detector.policy.threshold)
            for rate in RATES:
                outcomes = adapt_often(
                    site_of(detector, recorders[out], rate),
                    reference,
                    threshold,
                    detector.policy.budget,
                    options.repeats,
                )
                where = {"seed": seed, "out": out, "rate": rate}
                rows += [where | asdict(outcome) for outcome in outcomes]
            print(f"seed {seed}, without {out}: done", flush=True)
            if options.json:
                options.json.write_text(json.dumps(rows))
    print(to_text(rows))


if __name__ == "__main__":
    main()
