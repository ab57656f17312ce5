"""Score many sessions, and see how fast and in how much memory: `python -m benchmarks.million`.

    python -m benchmarks.million --sessions 1000 10000 100000 1000000 [--workers 2] [--replays]

Sessions of about 200 events are stretches of the recordings in sample_data/, each turned, scaled,
shifted and on a clock of its own, written to a store some thousands at a time. The model has the
default settings and was not trained, which costs as much. Each size is scored by a process of its
own, `pointerprint score`, whose memory, with that of its workers, is looked at ten times a second.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq

from benchmarks.models import untrained_run
from pipeline.ingest.ingest import ingest_logs
from pipeline.schemas import QUARANTINE
from pipeline.sessions.sessions import Sessions
from pipeline.storage.store import Part, load_sessions, write_part

DAY = "2026-11-01"
PART_SESSIONS = 16_384
SAMPLE = Path(__file__).resolve().parent.parent / "sample_data"


@dataclass(frozen=True)
class Figures:
    """What scoring so many sessions took."""

    n_sessions: int
    n_events: int
    seconds: float  # of the whole process, start and end included
    sessions_per_s: float
    peak_mib: float  # resident, all processes together
    peak_one_mib: float  # of the largest process
    cpu_s: float


def main() -> None:
    """Score as many sessions as asked for, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--replays", action="store_true", help="search for replays too")
    parser.add_argument("--to", type=Path, help="a folder to keep what is made, and to go on from")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pointerprint-million-") as temporary:
        folder = arguments.to or Path(temporary)
        people = sample_sessions(folder / "sample")
        run = folder / "run"
        if not run.exists():
            untrained_run(run, people=people)
        if not arguments.json:
            print(_row("sessions", "events", "seconds", "sessions/s", "peak MiB", "CPU s"))
        for n in arguments.sessions:
            store = make_store(folder / f"store{n}", people, n)
            figures = score(store, run, folder / f"scores{n}", arguments.workers, arguments.replays)
            print(json.dumps(asdict(figures)) if arguments.json else _told(figures), flush=True)


def sample_sessions(store: Path) -> Sessions:
    """Return the people's recordings in sample_data/."""
    ingest_logs([SAMPLE / "logs" / "human.csv"], store, ingest_date=DAY)
    return load_sessions([store])


def make_store(store: Path, people: Sessions, n_sessions: int) -> Path:
    """Write a store of so many sessions, a part at a time; parts that are there stay."""
    for number, start in enumerate(range(0, n_sessions, PART_SESSIONS)):
        part = Part(store, DAY, f"{number:016}")
        if not part.sessions.exists():
            sessions = stretches(people, min(PART_SESSIONS, n_sessions - start), start)
            write_part(part, [sessions], QUARANTINE.empty_table(), {"files": []})
        _show(f"made {min(start + PART_SESSIONS, n_sessions):,} of {n_sessions:,} sessions")
    _show("\n")
    return store


def stretches(people: Sessions, n: int, first: int) -> Sessions:
    """Return `n` sessions, number `first` and those after it, that no other sessions equal."""
    rng = np.random.default_rng([0, first])
    long = np.flatnonzero(people.n_events >= 250)
    session = rng.choice(long, n, p=people.n_events[long] / people.n_events[long].sum())
    length = rng.integers(150, 251, n)
    begin = people.offsets[session] + rng.integers(0, people.n_events[session] - length + 1)
    offsets = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    event = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], length)

    def each(values: np.ndarray) -> np.ndarray:
        return np.repeat(values, length)

    pace = rng.uniform(0.8, 1.25, n)
    t_us = (people.t_us[event] - each(people.t_us[begin])) * each(pace)
    turn = each(rng.uniform(0.8, 1.25, n) * np.exp(1j * rng.uniform(0, 2 * np.pi, n)))
    path = (people.x_px[event] + 1j * people.y_px[event]) * turn
    path += rng.normal(0, 0.3, len(event)) + 1j * rng.normal(0, 0.3, len(event))
    started = np.datetime64(DAY, "us") + rng.integers(0, 86_400_000_000, n)
    return replace(
        people.take(session),
        session_id=np.array([f"session_{first + i:07}" for i in range(n)], object),
        account_id=np.array([f"account_{i}" for i in rng.integers(0, 100_000, n)], object),
        started_at=started.astype("datetime64[us]"),
        offsets=offsets,
        t_us=t_us.astype(np.int64),
        x_px=path.real.astype(np.float32),
        y_px=path.imag.astype(np.float32),
        kind=people.kind[event],
        button=people.button[event],
    )


def score(store: Path, run: Path, scores: Path, workers: int, replays: bool) -> Figures:
    """Score a store by `pointerprint score`, whose progress shows, and measure that."""
    command = [
        *(sys.executable, "-m", "flows", "score", str(store), "--model", str(run)),
        *("--to", str(scores), "--date", DAY, "--workers", str(workers)),
        *([] if replays else ["--no-replays"]),
    ]
    began = time.monotonic()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    peak = peak_one = cpu_s = 0.0
    while process.poll() is None:
        sizes, times = _watched(process)
        peak, peak_one = max(peak, sum(sizes)), max(peak_one, *sizes, 0)
        cpu_s = max(cpu_s, sum(times))
        time.sleep(0.1)
    seconds = time.monotonic() - began
    if process.returncode:
        sys.exit(f"pointerprint score ended with {process.returncode}")
    (path,) = (scores / f"run_date={DAY}").glob("*.parquet")
    table = pq.ParquetFile(path).read(columns=["n_events"])["n_events"].to_numpy()
    n = len(table)
    return Figures(n, int(table.sum()), seconds, n / seconds, peak / 2**20, peak_one / 2**20, cpu_s)


def _watched(process: psutil.Process) -> tuple[list[int], list[float]]:
    """Return the memory of a process and its children in bytes, and their time in seconds."""
    sizes, times = [0], [0.0]
    try:
        for one in [process, *process.children(recursive=True)]:
            sizes.append(one.memory_info().rss)
            times.append(sum(one.cpu_times()[:2]))
    except psutil.NoSuchProcess:
        pass  # it has just ended
    return sizes, times


def _told(figures: Figures) -> str:
    return _row(
        f"{figures.n_sessions:,}", f"{figures.n_events:,}", f"{figures.seconds:,.0f}",
        f"{figures.sessions_per_s:,.0f}", f"{figures.peak_mib:,.0f}", f"{figures.cpu_s:,.0f}",
    )  # fmt: skip


def _row(*cells: str) -> str:
    return " ".join(f"{cell:>12}" for cell in cells)


def _show(text: str) -> None:
    print(f"\r{text}" if text != "\n" else text, end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
