"""Train on what a fold leaves, change what it holds, print what is still flagged."""

from model.device import prepare_jax

prepare_jax()

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import benchmarks.robustness
from benchmarks.bots.__main__ import DEALT
from benchmarks.bots.detectors import train_model
from benchmarks.bots.folds import Fold, labelled, make_fold, one_clock
from benchmarks.robustness.changes import CHANGES, Change
from benchmarks.robustness.figures import renamed, row, scored, some_of_each
from benchmarks.robustness.mixing import mixtures
from benchmarks.robustness.text import to_text
from benchmarks.sources import of_accounts, recordings_folder, with_settings
from model.config import RunConfig
from model.prints import print_of_people
from model.run import TrainedModel
from pipeline.reasons.reference import fit_reference_ranges
from pipeline.replay.null_model import fit_null_model
from pipeline.sessions.sessions import Sessions, concatenate_sessions


def trained(fold: Fold, config: RunConfig, state_dir: Path) -> TrainedModel:
    """Return a model with all that `pointerprint train --simulate` gives it."""
    model, sessions, split = train_model(fold, config, True, state_dir)
    chosen = split.indices("train")
    chosen = chosen[sessions.label[chosen] == 0]
    people, person = sessions.take(chosen), split.groups.person[chosen]
    return replace(
        model,
        null_model=fit_null_model(people),
        reference_ranges=fit_reference_ranges(people, person),
        people=print_of_people(model.scorer.inputs, people, person),
    )


def bots_of(fold: Fold, at_most: int, seed: int) -> Sessions:
    """Return some sessions of each generator in a fold; the generator is the account."""
    parts = []
    for name, of_generator in {**fold.natural, **fold.simulated}.items():
        frauds = of_generator.take(of_generator.label == 1)
        parts.append(renamed(frauds, np.full(len(frauds), name)))
    bots = concatenate_sessions(parts)
    return bots.take(some_of_each(bots, bots.account_id, at_most, seed))


def measure(
    model: TrainedModel,
    bots: Sessions,
    people: Sessions,
    recordings: Sessions,
    seed: int,
    changes: Mapping[str, Change] = CHANGES,
) -> dict[str, Any]:
    """Return the figures of every change, on the bots that are flagged without, and on people.

    Each is made to all sessions of a day; what is mixed in comes from `recordings` of people.
    """
    flagged = scored(model, bots).by_network
    attacked = bots.take(flagged)
    report: dict[str, Any] = {
        "n_bots": len(bots),
        "n_flagged": int(flagged.sum()),
        "n_people": len(np.unique(people.account_id.astype(str))),
        "generators": {
            str(name): float(flagged[bots.account_id == name].mean())
            for name in np.unique(bots.account_id.astype(str))
        },
        "threshold": model.policy.threshold,
    }
    both = {"bots": (attacked, {**changes, **mixtures(recordings)}), "people": (people, changes)}
    for who, (sessions, ways) in both.items():
        before, group = scored(model, sessions), sessions.account_id.astype(str)
        report[who] = {}
        for name, change in ways.items():
            begun = time.monotonic()
            changed = change(np.random.default_rng(seed), sessions)
            report[who][name] = row(scored(model, changed), before, group)
            print(f"  {who}, {name}: {time.monotonic() - begun:.1f} s", file=sys.stderr, flush=True)
    whole = scored(model, recordings)
    n_windows = whole.table["n_windows"].to_numpy()
    report["recordings"] = {
        **row(whole, whole, recordings.account_id.astype(str)),
        "n_windows": float(np.median(n_windows)),
    }
    return report


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=benchmarks.robustness.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sessions", type=int, default=40, help="of each generator and person")
    parser.add_argument("--set", nargs="*", default=[], metavar="SECTION.FIELD=VALUE")
    parser.add_argument("--state", type=Path, help="keep the training here; one cut short goes on")
    parser.add_argument("--json", type=Path, help="the figures go here, too")
    parser.add_argument("--show", type=Path, help="only print what --json wrote")
    options = parser.parse_args()
    if options.show:
        print(to_text(json.loads(options.show.read_text())))
        return
    sessions = labelled(recordings_folder("sapimouse", "bots"))
    config = RunConfig(seed=options.seed)
    config = replace(config, split=replace(config.split, shares=DEALT))
    config = with_settings(config, options.set)
    fold = make_fold(sessions, options.folds, options.fold, options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        model = trained(fold, config, options.state or Path(scratch))
    bots = bots_of(fold, options.sessions, options.seed)
    chosen = some_of_each(fold.people, fold.people.account_id, options.sessions, options.seed)
    people = fold.people.take(chosen)
    recordings = one_clock(of_accounts(sessions, np.unique(people.account_id.astype(str))))
    report = measure(model, bots, people, recordings, options.seed)
    report |= {"fold": options.fold, "settings": options.set}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    print(to_text(report))


if __name__ == "__main__":
    main()
