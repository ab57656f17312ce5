"""What a page's sampling costs: recall and false positives by the period that positions come in.

    python -m benchmarks.sampling --model RUN

Needs the recordings in POINTERPRINT_DATA (default ../shared/data). People of recorders with a fast
clock, those sessions that the RUN has not used, and the 18 families of bots are recorded again as
rrweb's `sampling.mousemove` does, at 16, 33, 50 and 100 ms, and scored: their first 15 and 60 s,
and whole. A session that abstains counts as not flagged. The last table is what an hour of movement
costs in rrweb's JSON.
"""

from model.device import prepare_jax

prepare_jax()

import argparse
import gzip
import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from benchmarks.scored import (
    Scores,
    bot_families,
    people_of,
    percent,
    session_scores,
    unused,
)
from benchmarks.sources import recordings_folder
from model.bootstrap import rate_interval
from model.run import TrainedModel, load_model
from pipeline.schemas import Kind
from pipeline.sessions.sessions import Sessions

PERIODS_MS = (16, 33, 50, 100)
SECONDS = (15, 60, None)  # None: the whole session
FAST = {
    "sapimouse": "sapimouse",
    "mathur_qualtrics": "people/mathur_qualtrics.parquet",
    "negation_web": "people/negation_web.parquet",
    "freihaut_lab": "people/freihaut_lab.parquet",
}
BATCH_MS = 500  # rrweb's `sampling.mousemoveCallback`
REST_MS = 500  # a longer time without an event is no movement
TARGET = 0.01


def as_rrweb_records(sessions: Sessions, period_ms: int) -> Sessions:
    """Return sessions with the moves that rrweb's throttle lets through, when it writes them.

    The first move of all is written at once, and so is one that comes `period_ms` or more after the
    last that was written. Of those between, rrweb keeps the first and writes it when the period is
    over: late, and without those that came after it. Other events are written as they come.
    """
    parts = [
        _written(
            sessions.t_us[begin:end] // 1000,
            np.isin(sessions.kind[begin:end], [Kind.MOVE, Kind.DRAG]),
            period_ms,
        )
        for begin, end in zip(sessions.offsets[:-1], sessions.offsets[1:], strict=True)
    ]
    counts = [len(event) for event, _ in parts]
    offsets = np.append(0, np.cumsum(counts)).astype(np.int64)
    starts = np.repeat(sessions.offsets[:-1], counts)
    event = np.concatenate([event for event, _ in parts]) + starts
    written = sessions.gather(np.arange(len(sessions)), event, offsets)
    at_ms = np.concatenate([at for _, at in parts])
    return replace(written, t_us=1000 * at_ms)


def _written(
    t_ms: Int64[np.ndarray, " events"], is_move: np.ndarray, period_ms: int
) -> tuple[Int64[np.ndarray, " written"], Int64[np.ndarray, " written"]]:
    """Return which events of a session are written, and when, in order of that."""
    moves = np.flatnonzero(is_move)
    times = t_ms[moves].tolist()
    event, at = [], []
    i, previous = 0, -period_ms
    while i < len(times):
        due = previous + period_ms
        previous = max(times[i], due)
        event.append(moves[i])
        at.append(previous)
        # Those that come while this one waits are lost.
        i = i + 1 if times[i] >= due else max(bisect_right(times, previous - 1), i + 1)
    others = np.flatnonzero(~is_move)
    all_events = np.append(np.array(event, np.int64), others)
    all_at = np.append(np.array(at, np.int64), t_ms[others])
    order = np.argsort(all_at, kind="stable")
    return all_events[order], all_at[order]


def first_seconds(sessions: Sessions, seconds: int | None) -> Sessions:
    """Return the beginnings of sessions, of so many seconds."""
    if seconds is None:
        return sessions
    event = np.flatnonzero(sessions.t_us <= 1_000_000 * seconds)
    counts = np.bincount(sessions.session_of_event[event], minlength=len(sessions))
    offsets = np.append(0, np.cumsum(counts)).astype(np.int64)
    return sessions.gather(np.arange(len(sessions)), event, offsets)


@dataclass(frozen=True)
class Sampled:
    """The scores of people, by set, and of bots, by family, at one period and length."""

    people: Mapping[str, Scores]
    persons: Mapping[str, np.ndarray]
    bots: Mapping[str, Scores]

    def fpr(self, threshold: float) -> float:
        """Return the share of sessions flagged, a mean over sets."""
        return float(np.mean([flagged(score, threshold).mean() for score in self.people.values()]))

    def recalls(self, threshold: float) -> dict[str, float]:
        """Return the share of each family's sessions that is flagged."""
        return {name: float(flagged(of, threshold).mean()) for name, of in self.bots.items()}

    def threshold_of_people(self) -> float:
        """Return the threshold that flags `TARGET` of these people, the sets alike."""
        score = np.concatenate([np.nan_to_num(of) for of in self.people.values()])
        weight = np.concatenate([np.full(len(of), 1 / len(of)) for of in self.people.values()])
        order = np.argsort(-score)
        above = np.cumsum(weight[order]) / len(self.people)
        return float(np.nextafter(score[order][np.searchsorted(above, TARGET)], 1))


def flagged(score: Scores, threshold: float) -> np.ndarray:
    """Return which sessions are flagged; one that abstains isn't."""
    return np.nan_to_num(score, nan=-1.0) >= threshold


def sample(
    model: TrainedModel, people: Mapping[str, Sessions], bots: Mapping[str, Sessions]
) -> dict[tuple[int, int | None], Sampled]:
    """Return the scores at each period and length."""
    found = {}
    for period_ms in PERIODS_MS:
        of_people, of_bots = (
            {name: as_rrweb_records(sessions, period_ms) for name, sessions in group.items()}
            for group in (people, bots)
        )
        for seconds in SECONDS:
            scores = [
                {
                    name: session_scores(model, first_seconds(sessions, seconds))
                    for name, sessions in group.items()
                }
                for group in (of_people, of_bots)
            ]
            persons = {name: of.account_id.astype(str) for name, of in people.items()}
            found[period_ms, seconds] = Sampled(scores[0], persons, scores[1])
            print(f"scored at {period_ms} ms, {_length(seconds)}", flush=True)
    return found


def rrweb_lines(sessions: Sessions) -> Iterator[bytes]:
    """Give the moves of sessions as rrweb's events, a batch a line, as compact JSON."""
    began_ms = 1_790_000_000_000
    for begin, end in zip(sessions.offsets[:-1], sessions.offsets[1:], strict=True):
        moves = begin + np.flatnonzero(np.isin(sessions.kind[begin:end], [Kind.MOVE, Kind.DRAG]))
        t_ms = sessions.t_us[moves] // 1000
        batch = _batches(t_ms.tolist())
        for first, last in batch:
            now = int(t_ms[first]) + BATCH_MS if last > first + 1 else int(t_ms[first])
            positions = [
                {"x": _px(x), "y": _px(y), "id": 20, "timeOffset": int(t) - now}
                for t, x, y in zip(
                    t_ms[first:last],
                    sessions.x_px[moves[first:last]],
                    sessions.y_px[moves[first:last]],
                    strict=True,
                )
            ]
            data = {"source": 1, "positions": positions}
            event = {"type": 3, "data": data, "timestamp": began_ms + now}
            yield json.dumps(event, separators=(",", ":")).encode() + b"\n"


def _batches(t_ms: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Give where each batch begins and ends: it is sent `BATCH_MS` after its first move."""
    first = 0
    for i, t in enumerate(t_ms):
        if t > t_ms[first] + BATCH_MS:
            yield first, i
            first = i
    if len(t_ms):
        yield first, len(t_ms)


def _px(place: np.float32) -> float | int:
    number = round(float(place), 2)
    return int(number) if number == int(number) else number


def bytes_per_hour(people: Mapping[str, Sessions], period_ms: int) -> tuple[float, float, float]:
    """Return positions and bytes that an hour of movement makes, plain and through gzip."""
    n, plain, packed, moving_ms = 0, 0, 0, 0.0
    for sessions in people.values():
        step_ms = np.diff(sessions.t_us) / 1000
        within = np.diff(sessions.session_of_event) == 0
        moving_ms += step_ms[within & (step_ms <= REST_MS)].sum()
        written = as_rrweb_records(sessions, period_ms)
        n += int(np.isin(written.kind, [Kind.MOVE, Kind.DRAG]).sum())
        text = b"".join(rrweb_lines(written))
        plain, packed = plain + len(text), packed + len(gzip.compress(text, 6))
    hours = moving_ms / 3_600_000
    return n / hours, plain / hours, packed / hours


def to_text(
    found: Mapping[tuple[int, int | None], Sampled],
    threshold: float,
    people: Mapping[str, Sessions],
) -> str:
    """Return the tables as Markdown."""
    counts = ", ".join(f"{name} {len(of)}" for name, of in people.items())
    lines = [
        f"Sessions of people that the model has not used: {counts}. Threshold {threshold:.4f}.",
        "",
        "| seen | period | false-positive rate, mean of the sets | recall, median of families | "
        f"the same with {TARGET:.0%} false positives | mean recall, of that at 16 ms |",
        "|---|---|---|---|---|---|",
    ]
    for seconds in SECONDS:
        fastest = np.mean(list(found[PERIODS_MS[0], seconds].recalls(threshold).values()))
        for period_ms in PERIODS_MS:
            row = found[period_ms, seconds]
            recalls = list(row.recalls(threshold).values())
            own = row.recalls(row.threshold_of_people()).values()
            lines.append(
                f"| {_length(seconds)} | {period_ms} ms | {row.fpr(threshold):.1%} | "
                f"{np.median(recalls):.1%} | {np.median(list(own)):.1%} | "
                f"{np.mean(recalls) / fastest:.0%} |"
            )
    head = " | ".join(f"{period_ms} ms" for period_ms in PERIODS_MS)
    lines += ["", f"| whole sessions: family flagged | {head} |", "|---|---|---|---|---|"]
    whole = {period_ms: found[period_ms, None] for period_ms in PERIODS_MS}
    for name in whole[PERIODS_MS[0]].bots:
        cells = [f"{row.recalls(threshold)[name]:.1%}" for row in whole.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for name in people:
        cells = [
            percent(rate_interval(flagged(row.people[name], threshold), row.persons[name]))
            for row in whole.values()
        ]
        lines.append(f"| people: {name} | {' | '.join(cells)} |")
    lines += [
        "",
        "| period | positions an hour of movement | rrweb JSON, MB | gzip, MB |",
        "|---|---|---|---|",
    ]
    for period_ms in PERIODS_MS:
        n, plain, packed = bytes_per_hour(people, period_ms)
        lines.append(f"| {period_ms} ms | {n:,.0f} | {plain / 1e6:.1f} | {packed / 1e6:.1f} |")
    return "\n".join(lines)


def _length(seconds: int | None) -> str:
    return "whole sessions" if seconds is None else f"first {seconds} s"


def unused_people(data: Path, run: Path) -> dict[str, Sessions]:
    """Return the sessions of each set of people that a RUN has not used."""
    found = {name: unused(people_of(data / log, name), run) for name, log in FAST.items()}
    return {name: sessions for name, sessions in found.items() if len(sessions)}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, metavar="RUN")
    options = parser.parse_args()
    data = recordings_folder("bots", *FAST.values())
    model = load_model(options.model)
    people = unused_people(data, options.model)
    found = sample(model, people, bot_families(data / "bots"))
    print(to_text(found, model.policy.threshold, people))


if __name__ == "__main__":
    main()
