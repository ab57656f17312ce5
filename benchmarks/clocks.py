"""How many recordings are put right again after their clock was set back, or batches came late.

    python -m benchmarks.clocks [--people] [--repeats 5]

Forty recordings of sample_data/, or with `--people` five sessions of each recorder in
POINTERPRINT_DATA (default ../shared/data). Each is spoilt at a random place, and cleaned. Right is
one whose moves are in their order, and which lost no time but where the clock was set: how long
that took nobody knows. Printed as Markdown: how many are right, of logs with dates
and without, and of those with every fifth event alone.
"""

import argparse
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from benchmarks.sources import read_all, recordings_folder
from pipeline.ingest.clean import clean_events
from pipeline.schemas import EVENTS, Kind
from pipeline.sessions.sessions import Sessions

ROOT: Final = Path(__file__).resolve().parent.parent
N_RECORDINGS: Final = 40
FEWEST_MOVES: Final = 60
LONGEST_MOVES: Final = 3000
SET_BACK_S: Final = (0.5, 1, 2, 5, 10, 60, 600, 3600, 86_400)
BATCH_US: Final = 300_000
MARGIN: Final = 10  # no clock is set within a tenth of a recording's ends
DATE_US: Final = 1_767_225_600_000_000  # 2026-01-01
SPARSE: Final = 5


Recording = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Times in us, x and y of each move."""


@dataclass(frozen=True)
class Spoilt:
    """A recording as a log has it."""

    t_us: Int64[np.ndarray, " moves"]  # of each move, in the order of the recording
    order: Int64[np.ndarray, " moves"]  # of the log
    set_at: tuple[int, ...] = ()  # moves at which the clock was set


Spoil = Callable[[np.ndarray, np.random.Generator], Spoilt | None]
"""Takes the times of a recording; None where it is too short."""


def set_back(t_us: np.ndarray, rng: np.random.Generator, *seconds: float) -> Spoilt | None:
    """Set the clock back at random places, one after the other."""
    margin = len(t_us) // MARGIN + 1
    places = np.arange(margin, len(t_us) - margin)
    if len(places) < len(seconds):
        return None
    at = np.sort(rng.choice(places, len(seconds), replace=False)).tolist()
    shift = np.zeros_like(t_us)
    for place, back_s in zip(at, seconds, strict=True):
        shift[place:] -= int(back_s * 1e6)
    return Spoilt(t_us + shift, np.arange(len(t_us)), tuple(at))


def deliver_late(
    t_us: np.ndarray, rng: np.random.Generator, which: tuple[int, ...], behind: tuple[int, ...]
) -> Spoilt | None:
    """Deliver these batches behind so many later ones each; -1 is a random batch."""
    batch = np.unique((t_us - t_us[0]) // BATCH_US, return_inverse=True)[1]
    n = int(batch[-1]) + 1
    if n <= max(which) + max(behind) + 1 or n < 4:
        return None
    place = batch.astype(np.float64)
    for late, by in zip(which, behind, strict=True):
        late = int(rng.integers(1, n - by)) if late < 0 else late
        place[batch == late] = late + by + 0.5
    return Spoilt(t_us, np.argsort(place, kind="stable"))


def late_and_set(t_us: np.ndarray, rng: np.random.Generator, is_late_first: bool) -> Spoilt | None:
    """Deliver a batch late in one half, and set the clock back in the other."""
    half = len(t_us) // 2
    parts = (slice(half), slice(half, None))
    late_part, set_part = parts if is_late_first else parts[::-1]
    late = deliver_late(t_us[late_part], rng, (1,), (1,))
    back = set_back(t_us[set_part], rng, float(rng.choice([1, 5, 60, 3600])))
    if late is None or back is None:
        return None
    order = np.arange(len(t_us))
    order[late_part] = order[late_part][late.order]
    at = back.set_at[0] + (set_part.start or 0)
    shift = np.zeros_like(t_us)
    shift[at:] = (back.t_us - t_us[set_part])[-1]
    return Spoilt(t_us + shift, order, (at,))


def trials(t_us: np.ndarray, rng: np.random.Generator) -> Spoilt | None:
    """Start the clock anew with each of up to five trials, as an experiment does."""
    starts = np.arange(0, len(t_us) - len(t_us) // 5, max(len(t_us) // 5, 1))
    since = t_us - np.repeat(t_us[starts], np.diff(np.append(starts, len(t_us))))
    return Spoilt(since + t_us[0], np.arange(len(t_us)), tuple(starts[1:].tolist()))


def _setting(*seconds: float) -> Spoil:
    return lambda t_us, rng: set_back(t_us, rng, *seconds)


def _late(which: tuple[int, ...], behind: tuple[int, ...]) -> Spoil:
    return lambda t_us, rng: deliver_late(t_us, rng, which, behind)


FAULTS: Final[dict[str, Spoil]] = {
    **{f"set back by {seconds:,g} s": _setting(seconds) for seconds in SET_BACK_S},
    "set back twice": _setting(5, 60),
    "a batch late": _late((-1,), (2,)),
    "the first batch late": _late((0,), (1,)),
    "three batches late": _late((0, 3, 6), (1, 2, 1)),
    "two batches late at once": _late((1, 3), (3, 2)),
    "a batch late, then set back": lambda t_us, rng: late_and_set(t_us, rng, True),
    "set back, then a batch late": lambda t_us, rng: late_and_set(t_us, rng, False),
    "trials of a clock each": trials,
}
DATELESS: Final = ("trials of a clock each",)
"""What happens to no clock with dates."""


def recordings(sessions: Sessions, at_most: int = N_RECORDINGS) -> list[Recording]:
    """Return so many of the sessions, evenly chosen: their moves, each at a time of its own."""
    found = []
    for start, stop in itertools.pairwise(sessions.offsets.tolist()):
        rows = np.arange(start, stop)
        rows = rows[np.isin(sessions.kind[rows], (Kind.MOVE, Kind.DRAG))]
        rows = rows[np.diff(sessions.t_us[rows], prepend=-1) > 0][:LONGEST_MOVES]
        if len(rows) >= FEWEST_MOVES:
            found.append((sessions.t_us[rows], sessions.x_px[rows], sessions.y_px[rows]))
    chosen = np.linspace(0, len(found) - 1, min(at_most, len(found))).astype(int)
    return [found[i] for i in chosen]


def is_right(
    t_us: np.ndarray, x_px: np.ndarray, y_px: np.ndarray, log: Spoilt, starts_us: int
) -> bool:
    """Say whether cleaning puts a recording right that was spoilt."""
    order = log.order
    events = as_events(log.t_us[order] + starts_us, x_px[order], y_px[order])
    clean = clean_events(events).events
    if clean.num_rows != len(t_us):
        return False
    is_known = np.ones(len(t_us) - 1, bool)
    is_known[np.array(log.set_at, np.int64) - 1] = False
    steps_us = np.diff(clean["t_us"].to_numpy())
    return (
        np.array_equal(clean["x_px"].to_numpy(), x_px)
        and np.array_equal(clean["y_px"].to_numpy(), y_px)
        and np.array_equal(steps_us[is_known], np.diff(t_us)[is_known])
    )


def as_events(t_us: np.ndarray, x_px: np.ndarray, y_px: np.ndarray) -> pa.Table:
    """Return moves of one session as events of a log."""
    n = len(t_us)
    word = pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), ["a"])
    columns = {
        "session_id": word, "source": word, "t_us": t_us, "x_px": x_px, "y_px": y_px,
        "kind": np.zeros(n, np.int8), "button": np.zeros(n, np.int8), "line": np.arange(n),
    }  # fmt: skip
    return pa.table(
        [pa.array(columns.get(f.name, pa.nulls(n, f.type)), f.type) for f in EVENTS], schema=EVENTS
    )


def count(
    found: Sequence[Recording], fault: str, has_dates: bool, keep: int = 1, repeats: int = 1
) -> tuple[int, int]:
    """Return how many of these recordings are put right, and of how many."""
    n_right = n = 0
    for number, recording in enumerate(found):
        t_us, x_px, y_px = (column[::keep] for column in recording)
        for repeat in range(repeats):
            rng = np.random.default_rng([number, repeat])
            log = FAULTS[fault](t_us, rng)
            if log is not None:
                n_right += is_right(t_us, x_px, y_px, log, DATE_US if has_dates else 0)
                n += 1
    return n_right, n


def main() -> None:
    """Print how many recordings are put right, a row a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    found = recordings_of_people() if chosen.people else recordings_of_sample()
    print("| | dates | none | dates, every fifth | none, every fifth |\n|---|---|---|---|---|")
    for fault in FAULTS:
        cells = []
        for keep in (1, SPARSE):
            for has_dates in (True, False):
                if has_dates and fault in DATELESS:
                    cells.append("")
                    continue
                n_right, n = count(found, fault, has_dates, keep, chosen.repeats)
                cells.append(f"{n_right} of {n}" if n else "")
        print(f"| {fault} | {' | '.join(cells)} |")


def recordings_of_sample() -> list[Recording]:
    """Return forty recordings of sample_data/."""
    return recordings(read_all(ROOT / "sample_data" / "logs" / "human.csv"))


def recordings_of_people() -> list[Recording]:
    """Return up to five sessions of each recorder of people."""
    folder = recordings_folder("people") / "people"
    each = [recordings(read_all(path), 5) for path in sorted(folder.glob("*.parquet"))]
    return [recording for found in each for recording in found]


if __name__ == "__main__":
    main()
