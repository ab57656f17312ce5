"""Compare this machine's GPU with its CPU: do they agree, and how fast are they?

    python -m benchmarks.gpu --to out/gpu [--small]

Writes `gpu.json` and `gpu.md` to a folder; ten minutes at most. Exit code 1: they don't agree.
Without a GPU it says so, and what it writes are a CPU's figures.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from benchmarks.gpu.agreement import agreement
from benchmarks.gpu.drawing import drawing
from benchmarks.gpu.machine import Peaks, describe, measure_peaks
from benchmarks.gpu.programs import FULL, SMALL, Setting, find_setting
from benchmarks.gpu.scoring import scoring
from benchmarks.gpu.timing import Limit
from benchmarks.gpu.training import training
from benchmarks.speed.timing import Result

NO_GPU = (
    "**No GPU found: CPU figures only.** They show that the kit works, and nothing of a GPU. "
    "What a GPU does differently (drawing as a product, bfloat16) was compared on the CPU."
)
SECONDS = {"agreement": 120.0, "drawing": 120.0, "scoring": 150.0, "training": 90.0}


def main() -> int:
    """Run all sections, write what they found, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--to", type=Path, required=True, help="a folder for gpu.json and gpu.md")
    parser.add_argument("--small", action="store_true", help="small shapes: seconds on a CPU")
    options = parser.parse_args()
    setting = find_setting(SMALL if options.small else FULL)
    machine = describe(setting)
    print(json.dumps(machine, indent=2), flush=True)
    if not setting.has_gpu:
        print(NO_GPU, flush=True)
    peaks = measure_peaks(setting)
    results, agrees = [peaks.as_result()], True
    for name, section in sections(peaks).items():
        print(f"{name} ...", flush=True)
        result, agrees_here = section(setting, Limit(SECONDS[name]))
        agrees &= agrees_here
        results.append(result)
        print(result.to_markdown(), flush=True)
    write(options.to, setting, machine, results, agrees)
    print(f"wrote {options.to / 'gpu.json'} and {options.to / 'gpu.md'}")
    if not agrees:
        print("error: the devices do not agree: see the first table", file=sys.stderr)
    return 0 if agrees else 1


def sections(peaks: Peaks) -> dict[str, Callable[[Setting, Limit], tuple[Result, bool]]]:
    """Return what is run, in this order; each says whether the devices agree in it."""
    return {
        "agreement": agreement,
        "drawing": drawing,
        "scoring": lambda setting, limit: (scoring(setting, peaks, limit), True),
        "training": lambda setting, limit: (training(setting, limit), True),
    }


def write(
    folder: Path,
    setting: Setting,
    machine: dict[str, object],
    results: list[Result],
    agrees: bool,
) -> None:
    """Write the figures for programs and for people."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": machine,
        "has_gpu": setting.has_gpu,
        "agrees": agrees,
        "results": [asdict(result) for result in results],
    }
    (folder / "gpu.json").write_text(json.dumps(content, indent=2) + "\n")
    title = f"# {machine['device']}" if setting.has_gpu else f"# {NO_GPU}"
    rows = [f"| {name} | {value} |" for name, value in machine.items()]
    head = [title, "", "| | |", "|---|---|", *rows, ""]
    (folder / "gpu.md").write_text("\n".join([*head, *(r.to_markdown() for r in results)]))


if __name__ == "__main__":
    sys.exit(main())
