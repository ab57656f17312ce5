"""Train a small network for every row and seed, and print which encoding tells hands apart.

    python -m benchmarks.ablation [--rows NAME ...] [--seeds 3] [--json FILE] [--minutes M]

Needs Balabit's challenge and SapiMouse in POINTERPRINT_DATA (default ../shared/data). A cell is
a row and a seed. One network learns Balabit's ten accounts and forty of SapiMouse's people; it
is judged on Balabit's labelled test sessions (accounts it knows; all, and device-matched) and on
twenty of SapiMouse's people whom it has never seen (profiles from the longer session, every
stretch of the shorter against every profile). Each seed keeps other people away. Every cell is
written to FILE as it is done: run it again, and it goes on where it was.
"""

from model.device import prepare_jax

prepare_jax()

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.ablation.measure import Budget, measure
from benchmarks.ablation.recordings import deal, read_recordings
from benchmarks.ablation.rows import chosen_rows
from benchmarks.ablation.table import Figures, to_text


def main() -> None:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", nargs="*", default=[], help="names of rows, or of groups")
    parser.add_argument("--seeds", type=int, default=3, help="of decisive rows; others: one")
    parser.add_argument("--steps", type=int, default=Budget.steps, help="of training, each row")
    parser.add_argument("--minutes", type=float, help="begin no further cell after so long")
    parser.add_argument("--json", type=Path, default=Path("ablation.jsonl"), help="cells, a line")
    options = parser.parse_args()
    rows, begun = chosen_rows(options.rows), time.monotonic()
    cells = read_cells(options.json)
    done = {(cell["row"], cell["seed"]) for cell in cells}
    known, claims, matched, people = read_recordings()
    budget = Budget(steps=options.steps)
    for seed in range(options.seeds):
        missing = [r for r in rows if (r.decisive or not seed) and (r.name, seed) not in done]
        recordings = deal(known, claims, matched, people, seed)
        for row in missing:
            if options.minutes and time.monotonic() - begun > 60 * options.minutes:
                break
            cell = measure(row, seed, recordings, budget)
            with options.json.open("a") as file:
                file.write(json.dumps(cell) + "\n")
            cells.append(cell)
            print(f"{row.name}, seed {seed}: {cell['cpu_s']} s", file=sys.stderr, flush=True)
    account = claims.account_id.astype(str)
    order = {row.name: i for i, row in enumerate(chosen_rows())}
    cells = sorted(
        (cell for cell in cells if cell["row"] in order),
        key=lambda cell: (order[cell["row"]], cell["seed"]),
    )
    print(to_text(cells, Figures(claims.label, np.asarray(matched), account)))


def read_cells(path: Path) -> list[dict]:
    """Return the cells that are done."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


if __name__ == "__main__":
    main()
