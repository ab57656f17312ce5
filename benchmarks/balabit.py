"""Balabit's challenge: is this the account's owner?

    python -m benchmarks.balabit [--seed 0] [--stranger-folds 5] [--set owner.epochs=20 ...]

Needs the recordings in POINTERPRINT_DATA (default ../shared/data). The published training files
make network and profiles; the 422 labelled test sessions are judged. Printed as Markdown: what
looks at no path; the best feature; gradient boosting on features; features in the network's
place; the network; and the network on accounts that were left out of its training, two at a
time. Then the same with 15 s and 60 s of a session.
"""

from model.device import prepare_jax

prepare_jax()

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import owners
from benchmarks.sources import of_accounts, read_all, recordings_folder, with_settings
from model.config import RunConfig
from pipeline.labels import read_labels
from pipeline.sessions import Sessions

NETWORK, STRANGERS = "**the network**", "**the network, account left out of its training**"


def read_balabit(folder: Path) -> tuple[Sessions, Sessions]:
    """Return the training sessions and the labelled test sessions."""
    enrolled, tested = read_all(folder / "training_files"), read_all(folder / "test_files")
    labels = read_labels(folder / "labels.csv").to_pydict()
    label = dict(zip(labels["session_id"], labels["label"], strict=True))
    claims = tested.take(np.isin(tested.session_id.astype(str), list(label)))
    return enrolled, replace(claims, label=np.array([label[i] for i in claims.session_id], np.int8))


class Judges:
    """Everything that is trained, once, and asked about claims of any length."""

    def __init__(self, enrolled: Sessions, config: RunConfig, n_folds: int):
        self.enrolled, self.config = enrolled, config
        self.by_features, self.network = (
            owners.Judge.of(embedder, enrolled, enrolled, config)
            for embedder in (
                owners.scaled_features(enrolled, config),
                owners.network(enrolled, config),
            )
        )
        accounts = np.unique(enrolled.account_id.astype(str))
        dealt = np.random.default_rng(config.seed).permutation(accounts)
        self.left_out = []
        for fold in range(n_folds):
            rest = of_accounts(enrolled, np.setdiff1d(accounts, dealt[fold::n_folds]))
            own = of_accounts(enrolled, dealt[fold::n_folds])
            judge = owners.Judge.of(owners.network(rest, config), rest, own, config)
            self.left_out.append((dealt[fold::n_folds], judge))

    def scores(self, claims: Sessions) -> dict[str, np.ndarray]:
        """Return the scores of claims by each judge."""
        enrolled, config = self.enrolled, self.config
        found = owners.shortcuts(enrolled, claims, config.seed) | {
            "gradient boosting on features": owners.boosting(enrolled, claims, config),
            "features against profiles": self.by_features.scores(claims),
            NETWORK: self.network.scores(claims),
        }
        if self.left_out:
            found[STRANGERS] = self._of_strangers(claims)
        return found

    def _of_strangers(self, claims: Sessions) -> np.ndarray:
        score = np.full(len(claims), np.nan)
        for accounts, judge in self.left_out:
            own = np.isin(claims.account_id.astype(str), accounts)
            score[own] = judge.scores(claims.take(own))
        return score


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stranger-folds", type=int, default=5, help="0: leave them out")
    parser.add_argument("--set", nargs="*", default=[], metavar="SECTION.FIELD=VALUE")
    options = parser.parse_args()
    enrolled, claims = read_balabit(recordings_folder("balabit") / "balabit")
    config = with_settings(RunConfig(task="owner", seed=options.seed), options.set)
    is_matched = owners.matched(enrolled, claims)
    judges = Judges(enrolled, config, options.stranger_folds)
    print(f"### whole sessions\n\n{owners.table(claims, is_matched, judges.scores(claims))}")
    for seconds in owners.EVIDENCE_SECONDS:
        cut, whose = owners.time_stretches(claims, seconds)
        print(f"\n### {seconds} s\n\n{owners.table(cut, is_matched[whose], judges.scores(cut))}")


if __name__ == "__main__":
    main()
