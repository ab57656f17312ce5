"""Replays of people's recordings, and how many of them the search finds.

    python -m benchmarks.replays [--parts replayed bots] [--seed 0] [--json FILE]

Needs the recordings in POINTERPRINT_DATA (default ../shared/data). What chance repeats is
measured on half of SapiMouse's people. Sessions are stretches of ten moves, the length of a
visit, of the other half, of Balabit's people and of the sample's one person: neither recorder
of the last two is in the reference. Printed as Markdown:

- false alarms: sessions that nobody replayed
- one session replayed: a later session is an earlier one, changed
- moves stitched: sessions of moves of a library, each changed by itself
- bots: 18 families, 500 sessions each, among people
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.matching import chain_moves, cut_stretches, find_moves
from benchmarks.replay_attacks import ATTACKS, all_of_it, rotation, stitch
from benchmarks.sources import of_accounts, read_all, recordings_folder
from model.bootstrap import wilson_interval
from pipeline.replay.null_model import NullModel, fit_null_model
from pipeline.replay.search import REPLAY_SHARE, ReplayResult, find_replays
from pipeline.replay.signature import concatenate_recordings, record
from pipeline.sessions.sessions import Sessions, concatenate_sessions

COUNTS: Final = -np.log(REPLAY_SHARE)  # evidence from here on counts, where half are frauds
BUDGET: Final = 0.001
N_COPIES: Final = 100
MOST_ORIGINALS: Final = 1000  # that copies are hidden among
PARTS: Final = ("alarms", "replayed", "stitched", "bots")
LIBRARIES: Final = (50, 200, 1000)  # moves
EARLIER, LATER = (np.datetime64(f"2026-11-{day:02}", "us") for day in (1, 2))


def stretches(sessions: Sessions, at_most: int) -> Sessions:
    """Return stretches of ten moves, so many of a session at most."""
    return cut_stretches(sessions, find_moves(sessions), 10, at_most)


def chained(sessions: Sessions, rng: np.random.Generator) -> Sessions:
    """Return sessions of ten moves each, of recordings of a single move."""
    moves = find_moves(sessions)
    return chain_moves(sessions, moves, np.full(len(moves), "one"), rng)


def dated(sessions: Sessions, day: np.datetime64, prefix: str = "") -> Sessions:
    """Return sessions begun on `day`, their names with a prefix."""
    ids = np.array([f"{prefix}{name}" for name in sessions.session_id], object)
    return replace(sessions, session_id=ids, started_at=np.full(len(sessions), day))


def search(
    sessions: Sequence[Sessions], chance: NullModel, history: Sessions | None = None
) -> tuple[ReplayResult, float]:
    """Return the evidence on all of these, and how many seconds of one core it took."""
    begun = time.process_time()
    recordings = [record(concatenate_sessions(sessions))]
    if history is not None:
        recordings.append(record(history, is_earlier=True))
    evidence = find_replays(concatenate_recordings(recordings), chance)
    return evidence, time.process_time() - begun


def false_alarms(people: dict[str, Sessions], chance: NullModel) -> dict[str, Any]:
    """Return, of each set of people, how many sessions are called replays."""
    rows = {}
    for name, sessions in people.items():
        evidence, seconds = search([sessions], chance)
        told = np.sort(evidence.log_ratio)[::-1]
        n = int((told >= COUNTS).sum())
        interval = wilson_interval(n, len(sessions))
        rows[name] = {
            "n_sessions": len(sessions),
            "n_called": n,
            "interval": (float(interval.low), float(interval.high)),
            "at_budget": float(max(told[int(BUDGET * len(told))], 0)),
            "seconds": seconds,
        }
        print(f"  {name}: {rows[name]}", file=sys.stderr, flush=True)
    return rows


def replayed(
    originals: Sessions, chance: NullModel, rng: np.random.Generator, needed: float
) -> dict[str, Any]:
    """Return, of each attack, how many copies are found, and the original named."""
    victims = originals.take(rng.permutation(len(originals))[:N_COPIES])
    rows = {}
    for name, attack in ATTACKS.items():
        copies = dated(attack(rng, victims), LATER, "copy of ")
        evidence, _ = search([dated(originals, EARLIER), copies], chance)
        n, of_copies = len(originals), evidence.log_ratio[len(originals) :]
        rows[name] = {
            "n_copies": len(copies),
            "found": float(np.mean(of_copies >= COUNTS)),
            "found_at_budget": float(np.mean(of_copies > needed)),
            "named": float(np.mean(evidence.replay_of[n:] == victims.session_id)),
            "originals_blamed": int((evidence.log_ratio[:n] >= COUNTS).sum()),
        }
    return rows


def stitched(
    sources: Sessions,
    bystanders: Sessions,
    chance: NullModel,
    rng: np.random.Generator,
    needed: float,
) -> dict[str, Any]:
    """Return how many sessions of stitched moves are found, their library unknown or known."""
    rows = {}
    n = len(bystanders)
    for n_library in LIBRARIES:
        for name, attack in (("turned", rotation), ("changed in every way", all_of_it)):
            made = stitch(rng, sources, N_COPIES, n_library, attack)
            for where, history in (("unknown", None), ("in the history", sources)):
                evidence, _ = search([bystanders, made], chance, history)
                rows[f"{n_library} moves, {name}, library {where}"] = {
                    "n_sessions": len(made),
                    "found": float(np.mean(evidence.log_ratio[n:] >= COUNTS)),
                    "found_at_budget": float(np.mean(evidence.log_ratio[n:] > needed)),
                    "bystanders_blamed": int((evidence.log_ratio[:n] >= COUNTS).sum()),
                }
    return rows


def families(
    bots: Sessions, bystanders: Sessions, chance: NullModel, needed: float
) -> dict[str, Any]:
    """Return, of each family of bots among people, how many sessions are found."""
    rows = {}
    for name in np.unique(bots.account_id.astype(str)):
        family = of_accounts(bots, [name])
        evidence, _ = search([bystanders, family], chance)
        of_family = evidence.log_ratio[len(bystanders) :]
        rows[name] = {
            "n_sessions": len(family),
            "found": float(np.mean(of_family >= COUNTS)),
            "found_at_budget": float(np.mean(of_family > needed)),
            "bystanders_blamed": int((evidence.log_ratio[: len(bystanders)] >= COUNTS).sum()),
        }
    return rows


class Benchmark:
    """Reference and sets of people, and what is measured on them, a part at a time."""

    def __init__(self, data: Path, seed: int):
        self.seed, self.data = seed, data
        sapimouse, balabit = read_all(data / "sapimouse"), read_all(data / "balabit")
        names = self.rng().permutation(np.unique(sapimouse.account_id.astype(str)))
        chance = fit_null_model(of_accounts(sapimouse, names[: len(names) // 2]))
        if chance is None:
            sys.exit("too few movements to know what chance repeats")
        self.chance = chance
        others = of_accounts(sapimouse, names[len(names) // 2 :])
        self.people = {
            "SapiMouse, the other half": stretches(others, 100),
            "Balabit": stretches(balabit, 10),
            "sample, one person": chained(read_all(data / "human_recordings"), self.rng()),
        }
        self.whole = {"SapiMouse, whole sessions": others, "Balabit, whole sessions": balabit}
        self.alarms = false_alarms(self.people, chance)
        self.needed = max(COUNTS, *(row["at_budget"] for row in self.alarms.values()))
        self.few = {
            name: of.take(self.rng().permutation(len(of))[:MOST_ORIGINALS])
            for name, of in self.people.items()
        }
        self.bystanders = self.few["SapiMouse, the other half"]

    def rng(self) -> np.random.Generator:
        """Return random numbers that don't depend on which parts were asked for before."""
        return np.random.default_rng(self.seed)

    def part(self, name: str) -> dict[str, Any]:
        """Return the figures of one part."""
        if name == "alarms":
            return self.alarms | false_alarms(self.whole, self.chance)
        if name == "replayed":
            return {
                n: replayed(of, self.chance, self.rng(), self.needed) for n, of in self.few.items()
            }
        if name == "stitched":
            library = self.few["Balabit"]
            return stitched(library, self.bystanders, self.chance, self.rng(), self.needed)
        bots = read_all(self.data / "bots", account="generator")
        return families(bots, self.bystanders, self.chance, self.needed)


def to_text(part: str, report: dict[str, Any]) -> str:
    """Return one part's table as Markdown."""
    if part == "alarms":
        lines = ["| nobody replayed | sessions | called a replay | at 0.1 % | core seconds |"]
        lines.append("|---|---|---|---|---|")
        for name, row in report.items():
            low, high = row["interval"]
            lines.append(
                f"| {name} | {row['n_sessions']:,} | {row['n_called']} "
                f"({row['n_called'] / row['n_sessions']:.2%} [{low:.2%}, {high:.2%}]) "
                f"| {row['at_budget']:.1f} | {row['seconds']:.0f} |"
            )
        return "\n".join(lines)
    if part == "replayed":
        lines = [f"| replayed | {' | '.join(report)} |", "|---" * (1 + len(report)) + "|"]
        for attack in ATTACKS:
            cells = [
                f"{row['found']:.0%}, {row['found_at_budget']:.0%}, {row['named']:.0%}"
                for row in (of[attack] for of in report.values())
            ]
            lines.append(f"| {attack} | {' | '.join(cells)} |")
        return "\n".join(lines)
    lines = [f"| {part} | found | at 0.1 % | people blamed |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {row['found']:.0%} | {row['found_at_budget']:.0%} "
        f"| {row['bystanders_blamed']} |"
        for name, row in report.items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", nargs="*", default=PARTS, choices=PARTS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data = recordings_folder("sapimouse", "balabit", "human_recordings", "bots")
    benchmark = Benchmark(data, options.seed)
    print(f"evidence counts from {COUNTS:.1f}; more than {benchmark.needed:.1f}: at most 0.1 % of")
    print("people's stretches, whoever recorded them", flush=True)
    report: dict[str, Any] = {}
    for part in options.parts:
        report[part] = benchmark.part(part)
        print(f"\n{to_text(part, report[part])}", flush=True)
        if options.json:
            options.json.write_text(json.dumps(report, indent=1, default=float))


if __name__ == "__main__":
    main()
