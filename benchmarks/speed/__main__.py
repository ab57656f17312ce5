"""Run the benchmarks of speed.

    python -m benchmarks.speed [NAME ...] [--repeats 5] [--json FILE]

`make bench` does the set-up: the peers have an environment of their own.
"""

from model.device import prepare_jax

prepare_jax()

import argparse
import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.speed.timing import Result, machine

BENCHMARKS = {
    "draw": "drawing:measure",
    "forward": "network:measure_forward",
    "train": "network:measure_train_step",
    "train-run": "training_run:measure",
    "ingest": "reading:measure",
    "start": "starting:measure",
    "end-to-end": "job:measure",
    "scaling": "scaling:measure",
}


def run(name: str, repeats: int) -> Result:
    """Run one benchmark."""
    module, function = BENCHMARKS[name].split(":")
    return getattr(importlib.import_module(f"benchmarks.speed.{module}"), function)(repeats)


def main() -> None:
    """Print a Markdown table for each benchmark named, or for all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(
            f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}"
        )
    results = []
    print(f"{machine()}\n")
    for name in options.names or BENCHMARKS:
        try:
            result = run(name, options.repeats)
        except ImportError as error:
            sys.exit(f"{name}: {error}\nthe peers are missing: `make bench` installs them")
        results.append(result)
        print(result.to_markdown(), flush=True)
    if options.json:
        content = {"machine": machine(), "results": [asdict(result) for result in results]}
        options.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
