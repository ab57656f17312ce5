"""Functions in, medians out: ours and its peers take turns in one process, so ratios hold."""

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Case = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Medians of one case."""

    wall_s: float
    cpu_s: float  # of all threads of this process

    @property
    def cores(self) -> float:
        """Return how many cores it kept busy on average."""
        return self.cpu_s / self.wall_s


@dataclass(frozen=True)
class Result:
    """One benchmark's table: a row a case."""

    name: str
    title: str
    rows: list[dict[str, object]]
    notes: list[str] = field(default_factory=list)

    def to_markdown(self) -> str:
        """Return the table with its title and notes."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        lines = [f"### {self.title}", "", f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
        lines += [f"| {' | '.join(_shown(row.get(n)) for n in names)} |" for row in self.rows]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes), ""])


def interleaved(
    cases: Mapping[str, Case], repeats: int = 5, warm_ups: int = 1
) -> dict[str, Timing]:
    """Return medians of `repeats` rounds in which every case runs once, after `warm_ups` rounds.

    What else runs on the machine slows the cases of a round alike.
    """
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for turn in range(warm_ups + repeats):
        for name, case in cases.items():
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            case()
            took = time.perf_counter() - wall, time.process_time() - cpu
            if turn >= warm_ups:
                measured[name].append(took)
    return {
        name: Timing(*(statistics.median(column) for column in zip(*rows, strict=True)))
        for name, rows in measured.items()
    }


def machine() -> dict[str, object]:
    """Return what the figures were made on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "processor": _processor(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
