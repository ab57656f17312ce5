"""Recordings in; out comes, fold by fold, who is left to train on and who is tested on."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from benchmarks.matching import (
    MatchConfig,
    chain_moves,
    cut_stretches,
    find_moves,
    match_exactly,
    strata,
)
from flows.jobs.inputs import each_sessions
from pipeline.sessions.resample import ResampleConfig, resample
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from pipeline.simulate.generators import BOT_NAMES
from pipeline.simulate.synthetic import simulate_sessions

CLOCK = ResampleConfig(longest_rest_ms=0.0)  # 60 Hz, whole pixels; rests stay as they were
MATCH = MatchConfig()
DRAWS = 3  # matched sets a family: each pairs other moves


@dataclass(frozen=True)
class Fold:
    """Who is tested on, and who is left for training."""

    rest: Sessions  # labelled: people, and bots with the generator as account
    rest_bots: tuple[str, ...]  # simulated ones that may be trained on
    matched: dict[str, Sessions]  # by family
    simulated: dict[str, Sessions]  # by bot
    natural: dict[str, Sessions]  # by family
    people: Sessions  # stretches of those who are tested on


def deal(
    names: Shaped[np.ndarray, " rows"],
    n_folds: int,
    fold: int,
    seed: int,
    by_kin: bool = False,
) -> list[str]:
    """Return the names that are tested on in `fold`.

    `by_kin` keeps those with the same first word together: `windmouse_js` and `windmouse_py`
    are one idea in two languages, and who has trained on one has seen the other.
    """
    names = np.unique(names.astype(str))
    kin = np.array([name.split("_")[0] for name in names]) if by_kin else names
    held = np.random.default_rng(seed).permutation(np.unique(kin))[fold::n_folds]
    return list(names[np.isin(kin, held)])


def make_fold(
    sessions: Sessions, n_folds: int, number: int, seed: int, holds_simulated: bool = True
) -> Fold:
    """Set people, families and, unless all are to be trained on, simulated bots apart."""
    is_bot = sessions.label == 1
    held = deal(sessions.account_id[is_bot], n_folds, number, seed, by_kin=True)
    held_people = deal(sessions.account_id[~is_bot], n_folds, number, seed)
    held_twins = deal(np.array(BOT_NAMES), n_folds, number, seed) if holds_simulated else []
    is_held = np.isin(sessions.account_id.astype(str), held + held_people)
    recorded = sessions.take(is_held & ~is_bot)
    bots = {name: one_clock(sessions.take(sessions.account_id == name)) for name in held}
    on_clock = one_clock(recorded)
    people = stretches(recorded)
    return Fold(
        rest=sessions.take(~is_held),
        rest_bots=tuple(name for name in BOT_NAMES if name not in held_twins + held),
        matched={name: matched_sessions(on_clock, of, seed) for name, of in bots.items()},
        simulated={
            name: concatenate_sessions([people, simulate_sessions(people, [name], 1, seed)])
            for name in held_twins
        },
        natural={name: concatenate_sessions([people, of]) for name, of in bots.items()},
        people=people,
    )


def one_clock(sessions: Sessions) -> Sessions:
    """Return sessions as a 60 Hz page would log them, whoever recorded them."""
    return resample(sessions, CLOCK).sessions


def stretches(sessions: Sessions, at_most: int = 20) -> Sessions:
    """Return stretches of `sessions` as long as a bot's, on the one clock."""
    sessions = one_clock(sessions)
    moves = find_moves(sessions, MATCH)
    return cut_stretches(sessions, moves, MATCH.moves_per_session, at_most)


def matched_sessions(people: Sessions, bots: Sessions, seed: int) -> Sessions:
    """Return sessions of moves of which each has its like in the other class."""
    moves = [find_moves(sessions, MATCH) for sessions in (people, bots)]
    n_people = len(moves[0])
    stratum = np.concatenate([strata(of_class, MATCH) for of_class in moves])
    is_bot = np.arange(len(stratum)) >= n_people
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(DRAWS):
        keep = match_exactly(stratum, is_bot, rng)
        for sessions, of_class, kept in zip(
            (people, bots), moves, (keep[:n_people], keep[n_people:]), strict=True
        ):
            chosen = of_class.take(kept)
            owner = sessions.account_id[chosen.session].astype(str)
            drawn.append(chain_moves(sessions, chosen, owner, rng, MATCH))
    return concatenate_sessions(drawn)


def labelled(data: Path) -> Sessions:
    """Return SapiMouse's people (label 0) and the bots (label 1, account = the family)."""
    people = concatenate_sessions(list(each_sessions([data / "sapimouse"])))
    bots = concatenate_sessions(
        list(each_sessions([data / "bots"], columns={"account_id": "generator"}))
    )
    return concatenate_sessions(
        [
            replace(people, label=np.zeros(len(people), np.int8)),
            replace(bots, label=np.ones(len(bots), np.int8)),
        ]
    )


def other_people(data: Path) -> dict[str, Sessions]:
    """Return stretches of the people of recorders that are never trained on."""
    balabit = concatenate_sessions(list(each_sessions([data / "balabit"])))
    sample = concatenate_sessions(list(each_sessions([data / "human_recordings"])))
    return {
        "balabit, stretches": stretches(balabit, at_most=5),
        "balabit, sessions": balabit.take(balabit.n_events < 20_000),
        "sample, sessions": replace(sample, account_id=np.full(len(sample), "one", object)),
    }
