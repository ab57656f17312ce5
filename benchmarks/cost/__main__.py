"""Measure what is missing, then print the table and draw the chart."""

from model.device import prepare_jax

prepare_jax()

import argparse
import json
import os
import sys
import time
from pathlib import Path

import jax
import numpy as np
from flax import nnx

import benchmarks.cost
from benchmarks.ablation.recordings import deal, read_recordings
from benchmarks.bots.folds import labelled, make_fold
from benchmarks.cost.chart import TASKS, plot
from benchmarks.cost.measure import measure_bots, measure_owner
from benchmarks.cost.networks import CANDIDATES, Candidate
from benchmarks.speed.recordings import make_sessions
from benchmarks.speed.timing import Timing, interleaved
from model.network import SCORING_BATCH, Network
from pipeline.windows import cut_windows, pad_windows
from rasterize.draw import to_device


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(
        description=benchmarks.cost.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="*", help="names; default: all")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no cell after so long")
    parser.add_argument("--to", type=Path, default=Path("out/cost"))
    options = parser.parse_args()
    chosen = [c for c in CANDIDATES if not options.networks or c.name in options.networks]
    options.to.mkdir(parents=True, exist_ok=True)
    cells = options.to / "cells.jsonl"
    _measure_missing(chosen, cells, time.monotonic() + 60 * options.minutes)
    rows = _with_speed(chosen, _read(cells))
    (options.to / "cost.json").write_text(json.dumps(rows, indent=2) + "\n")
    plot(rows, options.to / "cost.png")
    print("| | network | MMAC | pictures/s | " + " | ".join(TASKS.values()) + " |")
    print("|---" * (4 + len(TASKS)) + "|")
    for number, row in enumerate(rows, 1):
        figures = " | ".join(f"{row[task]:.3f}" if row.get(task) else "" for task in TASKS)
        print(
            f"| {number} | {row['name']} | {row['macs'] / 1e6:.2f} | {row['pictures_s']:,.0f} "
            f"| {figures} |"
        )


def _measure_missing(chosen: list[Candidate], cells: Path, until: float) -> None:
    done = {(cell["name"], cell["task"]) for cell in _read(cells)}
    missing = [
        (c, task) for task in ("owner", "bots") for c in chosen if (c.name, task) not in done
    ]
    if not missing:
        return
    data = Path(os.environ.get("POINTERPRINT_DATA", "../shared/data"))
    if not data.is_dir():
        sys.exit(f"skipped: no recordings at {data} (set POINTERPRINT_DATA)")
    recordings = fold = None
    for candidate, task in missing:
        if time.monotonic() > until:
            return
        if task == "owner":
            recordings = recordings or deal(*read_recordings(), 0)
            found = measure_owner(candidate, recordings)
        else:
            fold = fold or make_fold(labelled(data), 3, 0, 0)
            found = measure_bots(candidate, fold)
        with cells.open("a") as file:
            file.write(json.dumps({"name": candidate.name, "task": task} | found) + "\n")
        print(f"{candidate.name}, {task}: {found}", file=sys.stderr, flush=True)


def _read(cells: Path) -> list[dict]:
    return [json.loads(line) for line in cells.read_text().splitlines()] if cells.is_file() else []


def _with_speed(chosen: list[Candidate], cells: list[dict]) -> list[dict]:
    """Return a row a candidate: what was measured, and how many pictures a second it takes."""
    by = {(cell["name"], cell["task"]): cell for cell in cells}
    timings = _timed(chosen)
    rows = []
    for candidate in chosen:
        owner = by.get((candidate.name, "owner"), {})
        rows.append(
            {
                "name": candidate.name,
                "macs": candidate.macs,
                "pictures_s": 4 * SCORING_BATCH / timings[candidate.name].wall_s,
                "owner_known": owner.get("known"),
                "owner_unseen": owner.get("unseen_15s"),
                "bots": by.get((candidate.name, "bots"), {}).get("mean"),
            }
        )
    return rows


def _timed(chosen: list[Candidate]) -> dict[str, Timing]:
    """Draw and look at the same windows with every candidate in turn.

    A linear model is timed as the stem of one patch that it would be.
    """
    cases = {}
    for candidate in chosen:
        config = candidate.config("fraud")
        sessions = make_sessions(SCORING_BATCH)
        windows = cut_windows(sessions, config.window)
        paths = to_device(pad_windows(sessions, windows, config.window.max_events))
        graph, params = nnx.split(Network(config))
        forward = jax.jit(lambda params, paths, graph=graph: nnx.merge(graph, params)(paths))
        cases[candidate.name] = lambda f=forward, params=params, paths=paths: np.asarray(
            [jax.block_until_ready(f(params, paths)) for _ in range(4)]
        )
    return interleaved(cases, repeats=7)


if __name__ == "__main__":
    main()
