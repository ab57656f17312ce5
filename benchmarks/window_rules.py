"""Which rule cuts windows best? Bots against people, both never trained on.

    python -m benchmarks.window_rules [--steps 150] [--seeds 1]

Needs the recordings in POINTERPRINT_DATA (default ../shared/data): SapiMouse's people and 18
families of bots. Each rule gets the same short training; what counts is the order, not the
height of the figures. Prints a Markdown table: docs/decisions/0002-windows.md holds one.
"""

from model.device import prepare_jax

prepare_jax()

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.sources import read_all, recordings_folder
from model.config import RunConfig, TrainConfig
from model.metrics import roc_auc
from model.score import look
from model.train import balance_groups, fit
from pipeline.scores import pool_logits
from pipeline.sessions import Sessions, concatenate_sessions
from pipeline.splits import split_sessions
from pipeline.standard import standardise
from pipeline.windows import WindowConfig, cut_windows

RULES = [(rule, size) for size in (64, 128, 256) for rule in ("moves", "gap", "both")]
POOLINGS = ("mean", "top_mean", "logmeanexp", "max")


def load(data: Path) -> Sessions:
    """Return SapiMouse's people (label 0) and the bots (label 1, account = the generator)."""
    people, bots = read_all(data / "sapimouse"), read_all(data / "bots", account="generator")
    return concatenate_sessions(
        [
            replace(people, label=np.zeros(len(people), np.int8)),
            replace(bots, label=np.ones(len(bots), np.int8)),
        ]
    )


def measure(sessions: Sessions, config: RunConfig) -> dict[str, float]:
    """Train once; give the abstaining share and, for each pooling, the mean AUC over families.

    A session without a window counts as the least suspicious one.
    """
    split = split_sessions(sessions, replace(config.split, seed=config.seed))
    everyone = np.arange(len(sessions))
    part = {name: np.isin(everyone, split.indices(name)) for name in ("train", "valid")}
    with tempfile.TemporaryDirectory() as folder:
        standard = standardise(sessions, config.standard).sessions
        windows = cut_windows(standard, config.window)
        groups = balance_groups(split)
        network, _ = fit(
            standard, windows, groups, part["train"], part["valid"], config, Path(folder) / "state"
        )
    chosen = split.indices("test")
    test, family = sessions.take(chosen), split.groups.generator[chosen]
    seen = look(network, config, test)
    row = {"abstained": float(np.mean(np.isnan(seen.of_session)))}
    for pooling in POOLINGS:
        score = pool_logits(seen.of_window, seen.windows.session, len(test), pooling)
        score = np.where(np.isnan(score), np.nanmin(score) - 1, score)
        aucs = []
        for name in sorted({name for name in family if name is not None}):
            rows = (family == name) | (test.label == 0)
            aucs.append(roc_auc(score[rows], test.label[rows]))
        row[pooling] = float(np.mean(aucs))
    return row


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    sessions = load(recordings_folder("sapimouse", "bots"))
    print(f"| rule | events | abstained | {' | '.join(POOLINGS)} |")
    print("|---" * (3 + len(POOLINGS)) + "|")
    for rule, size in RULES:
        rows = []
        for seed in range(options.seeds):
            config = RunConfig(
                seed=seed,
                window=WindowConfig(rule=rule, max_events=size),
                train=TrainConfig(epochs=3, steps_per_epoch=options.steps // 3),
            )
            rows.append(measure(sessions, config))
        figures = [f"{np.mean([row[name] for row in rows]):.3f}" for name in rows[0]]
        print(f"| {rule} | {size} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
