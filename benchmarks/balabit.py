"""Balabit's challenge: is this the account's owner?

    python -m benchmarks.balabit [--seed 0] [--stranger-folds 2] [--set owner.shrinkage=0.3 ...]

Needs the recordings in POINTERPRINT_DATA (default ../shared/data). The published training files
make the population and the profiles; the 422 labelled test sessions are scored. Printed as
Markdown: what needs no path; the best feature; gradient boosting on features; features against
profiles; the print; and the print where the account was left out of the population, a fold of
accounts at a time. Then the same with 15 s and 60 s of a session.
"""

from model.device import prepare_jax

prepare_jax()

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import owners
from benchmarks.sources import read_all, recordings_folder, with_settings
from model.config import RunConfig
from model.owner.population import SessionEmbeddings
from model.owner.train import PopulationData
from pipeline.sessions.labels import read_labels
from pipeline.sessions.sessions import Sessions


def read_balabit(folder: Path) -> tuple[Sessions, Sessions]:
    """Return the training sessions and the labelled test sessions."""
    enrolled, tested = read_all(folder / "training_files"), read_all(folder / "test_files")
    labels = read_labels(folder / "labels.csv").to_pydict()
    label = dict(zip(labels["session_id"], labels["label"], strict=True))
    claims = tested.take(np.isin(tested.session_id.astype(str), list(label)))
    return enrolled, replace(claims, label=np.array([label[i] for i in claims.session_id], np.int8))


class Scorers:
    """Everything that learns from the training sessions, once, and scores claims of any length."""

    def __init__(self, enrolled: Sessions, config: RunConfig, n_folds: int):
        self.enrolled, self.config = enrolled, config
        self.by_features = owners.FeatureVerifier(enrolled, enrolled, config)
        account, prints = enrolled.account_id.astype(str), owners.print_means(enrolled, config)
        data = PopulationData(config, enrolled)
        everyone = data.population()
        self.by_print = owners.Verifier.of(everyone, prints, account)
        names = np.random.default_rng(config.seed).permutation(np.unique(account))
        self.left_out = []
        for fold in range(n_folds):
            own = np.isin(account, names[fold::n_folds])
            known = SessionEmbeddings(prints.mean[own], prints.n_windows[own])
            verifier = owners.Verifier.of(data.population(~own), known, account[own])
            self.left_out.append(verifier)

    def scores(self, claims: Sessions) -> dict[str, np.ndarray]:
        """Return the scores of claims by each scorer."""
        enrolled, config = self.enrolled, self.config
        prints, account = owners.print_means(claims, config), claims.account_id.astype(str)
        found = owners.shortcuts(enrolled, claims, config.seed) | {
            "gradient boosting on features": owners.boosting(enrolled, claims, config),
            owners.FEATURES: self.by_features.scores(claims),
            owners.PRINT: self.by_print.scores(prints, account),
        }
        if self.left_out:
            of_folds = np.stack([one.scores(prints, account) for one in self.left_out])
            # An account is enrolled in one fold alone; the others know nothing of it.
            found[owners.STRANGERS] = np.fmax.reduce(of_folds)
        return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stranger-folds", type=int, default=2, help="0: leave them out")
    parser.add_argument("--set", nargs="*", default=[], metavar="SECTION.FIELD=VALUE")
    options = parser.parse_args()
    enrolled, claims = read_balabit(recordings_folder("balabit") / "balabit")
    config = with_settings(RunConfig(task="owner", seed=options.seed), options.set)
    is_matched = owners.matched(enrolled, claims)
    scorers = Scorers(enrolled, config, options.stranger_folds)
    print(f"### whole sessions\n\n{owners.table(claims, is_matched, scorers.scores(claims))}")
    for seconds in owners.EVIDENCE_SECONDS:
        cut, whose = owners.time_stretches(claims, seconds)
        print(f"\n### {seconds} s\n\n{owners.table(cut, is_matched[whose], scorers.scores(cut))}")


if __name__ == "__main__":
    main()
