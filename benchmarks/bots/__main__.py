"""Train on what each fold leaves, test on what it holds, print the tables."""

from model.device import prepare_jax

prepare_jax()

import argparse
import ast
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import benchmarks.bots
from benchmarks.bots.detectors import train_detectors
from benchmarks.bots.figures import alarm_row, family_row
from benchmarks.bots.folds import Fold, labelled, make_fold, other_people
from benchmarks.bots.text import to_text
from benchmarks.bots.thresholds import looked_at, threshold_rows
from model.config import RunConfig
from pipeline.sessions.sessions import Sessions

DEALT = (0.7, 0.1, 0.2, 0.0)  # of what a fold leaves: its test part is the fold


def measure(
    fold: Fold, others: dict[str, Sessions], config: RunConfig, simulate: bool, state_dir: Path
) -> dict[str, Any]:
    """Train on what a fold leaves, and test on what it holds."""
    network, detectors = train_detectors(fold, config, simulate, state_dir)
    tests = {"matched": fold.matched, "twins": fold.simulated, "as they come": fold.natural}
    alarms = {"sapimouse, stretches": fold.people} | others
    return {
        "unseen_rate": detectors["network"].unseen_rate,
        **{
            kind: {name: family_row(of_family, detectors) for name, of_family in test.items()}
            for kind, test in tests.items()
        },
        "alarms": {name: alarm_row(people, detectors) for name, people in alarms.items()},
        "rules": threshold_rows(
            looked_at(network, config, fold.people),
            {name: looked_at(network, config, people) for name, people in others.items()},
        ),
    }


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
    parser = argparse.ArgumentParser(
        description=benchmarks.bots.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--only", type=int, nargs="*", help="these folds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-twins", action="store_true", help="no simulated bots to train on")
    parser.add_argument(
        "--all-twins", action="store_true", help="train on all simulated bots, as `train` does"
    )
    parser.add_argument("--set", nargs="*", default=[], metavar="SECTION.FIELD=VALUE")
    parser.add_argument("--json", type=Path, help="the figures go here, too")
    parser.add_argument("--state", type=Path, help="keep trainings here; one cut short goes on")
    parser.add_argument("--show", type=Path, nargs="+", help="only print what --json wrote")
    options = parser.parse_args()
    if options.show:
        print(to_text(joined(options.show)))
        return
    data = Path(os.environ.get("POINTERPRINT_DATA", "../shared/data"))
    if not data.is_dir():
        sys.exit(f"no recordings at {data}: set POINTERPRINT_DATA to their folder")
    sessions, others = labelled(data), other_people(data)
    config = RunConfig(seed=options.seed)
    config = changed(replace(config, split=replace(config.split, shares=DEALT)), options.set)
    numbers = range(options.folds) if options.only is None else options.only
    folds = []
    with tempfile.TemporaryDirectory() as scratch:
        for number in numbers:
            begun = time.monotonic()
            fold = make_fold(sessions, options.folds, number, options.seed, not options.all_twins)
            state_dir = (options.state or Path(scratch)) / f"fold-{number}"
            found = measure(fold, others, config, not options.no_twins, state_dir)
            folds.append({"fold": number, "seed": options.seed, **found})
            print(f"fold {number}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    report = {"settings": options.set, "twins": not options.no_twins, "folds": folds}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    print(to_text(report))


def joined(files: list[Path]) -> dict[str, Any]:
    """Return the folds of several reports as one report."""
    reports = [json.loads(file.read_text()) for file in files]
    folds = [fold for report in reports for fold in report["folds"]]
    return {**reports[0], "folds": sorted(folds, key=lambda fold: fold["fold"])}


if __name__ == "__main__":
    main()
