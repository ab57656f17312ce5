"""Measure what is missing, then print the tables."""

import os

from model.device import prepare_jax

prepare_jax()
# NumPy's threads wait for each other on a busy machine: a population takes ten times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import benchmarks.ablation
from benchmarks.ablation import bots, owners

ROWS = {"owners": owners.ROWS, "bots": bots.ROWS}
Line = dict[str, Any]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=benchmarks.ablation.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="owners, bots; default: both")
    parser.add_argument("--rows", nargs="*", default=[], help="names of rows; default: all")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folds", type=int, nargs="*", default=[0, 1], help="of bots")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="SECTION.FIELD=VALUE", help="of all rows"
    )
    parser.add_argument("--minutes", type=float, help="begin no further row after so long")
    parser.add_argument("--json", type=Path, default=Path("out/ablation.jsonl"))
    parser.add_argument("--show", action="store_true", help="only print what --json holds")
    options = parser.parse_args()
    tasks = options.tasks or list(ROWS)
    if unknown := set(tasks) - set(ROWS):
        parser.error(f"unknown task {', '.join(sorted(unknown))}: use one of {', '.join(ROWS)}")
    names = {row.name for task in tasks for row in ROWS[task]}
    if unknown := set(options.rows) - names:
        parser.error(f"unknown row {sorted(unknown)[0]!r}: use of {', '.join(sorted(names))}")
    if not options.show:
        until = time.monotonic() + 60 * (options.minutes or 1e9)
        for task in (task for task in tasks if time.monotonic() < until):
            append(measured(task, options), options.json, until)
    lines = [line for line in read(options.json) if line["settings"] == options.set]
    print("\n\n".join(to_text(task, lines) for task in tasks))


def measured(task: str, options: argparse.Namespace) -> Iterator[Line]:
    """Give each line of a task that is not there yet, as it is measured."""
    rows = [row for row in ROWS[task] if not options.rows or row.name in options.rows]
    done = {
        (line["row"], line["seed"], line.get("fold"))
        for line in read(options.json)
        if (line["task"], line["settings"]) == (task, options.set)
    }
    if task == "owners":
        known = {(row, seed) for row, seed, _ in done}
        found = owners.measured(rows, options.set, options.seeds, known)
    else:
        found = bots.measured(rows, options.set, options.seeds, options.folds, done)
    return ({"task": task, "settings": options.set, **line} for line in found)


def append(lines: Iterable[Line], path: Path, until: float) -> None:
    """Write each line as soon as it is there; ask for no further one after `until`."""
    begun = time.monotonic()
    path.parent.mkdir(parents=True, exist_ok=True)
    for line in lines:
        seconds, begun = time.monotonic() - begun, time.monotonic()
        with path.open("a") as file:
            file.write(json.dumps(line | {"seconds": round(seconds, 1)}) + "\n")
        print(f"{line['task']}, {line['row']}: {seconds:.0f} s", file=sys.stderr, flush=True)
        if begun > until:
            return


def read(path: Path) -> list[Line]:
    """Return what is measured."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def to_text(task: str, lines: Sequence[Line]) -> str:
    """Return a task's table in Markdown: means over seeds, with the lowest and the highest."""
    lines = [line for line in lines if line["task"] == task]
    return "\n".join(_owners_table(lines) if task == "owners" else _bots_table(lines))


def _owners_table(lines: Sequence[Line]) -> Iterator[str]:
    yield f"| | seeds | {' | '.join(owners.COLUMNS.values())} |"
    yield "|---" * (2 + len(owners.COLUMNS)) + "|"
    for row in owners.ROWS:
        found = [line["figures"] for line in lines if line["row"] == row.name]
        if found:
            cells = [spread([of[name] for of in found], ".3f") for name in owners.COLUMNS]
            yield f"| {row.name} | {len(found)} | {' | '.join(cells)} |"


def _bots_table(lines: Sequence[Line]) -> Iterator[str]:
    people = ("sapimouse, stretches", *bots.OTHERS)
    heads = ("AUC, mean", "lowest", f"recall of {bots.ENOUGH:.0%} and more", *people)
    yield f"| | folds | seeds | MMAC | {' | '.join(heads)} |"
    yield "|---" * (4 + len(heads)) + "|"
    for row in bots.ROWS:
        own = [line for line in lines if line["row"] == row.name]
        if not own:
            continue
        folds = sorted({line["fold"] for line in own})
        by_seed: dict[int, list[dict[str, Any]]] = {}
        for line in own:
            by_seed.setdefault(line["seed"], []).append(line["figures"])
        # Seeds are compared on the same folds: one that lacks a fold is left out.
        found = [bots.summary(of) for of in by_seed.values() if len(of) == len(folds)]
        if not found:
            continue
        families = spread([of["families"] for of in found], "g")
        cells = [
            *(spread([of[name] for of in found], ".3f") for name in ("auc", "lowest")),
            f"{families} of {found[0]['of']}",
            *(spread([of[name] for of in found], ".1%") for name in people),
        ]
        which, macs = ", ".join(map(str, folds)), row.macs(own[0]["settings"])
        yield f"| {row.name} | {which} | {len(found)} | {macs / 1e6:.2f} | {' | '.join(cells)} |"


def spread(values: Sequence[float], form: str) -> str:
    """Return the mean; of several, the lowest and the highest too."""
    mean = format(float(np.mean(values)), form)
    if len(values) == 1:
        return mean
    return f"{mean} ({min(values):{form}} to {max(values):{form}})"


if __name__ == "__main__":
    main()
