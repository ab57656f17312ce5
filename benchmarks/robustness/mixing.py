"""Sessions that are part bot and part human, made of bots' sessions and people's recordings.

The bot keeps all of its events: it has something to do. What is human is added, so that it makes up
a share of the events: in one piece behind the bot's, or piece by piece between the bot's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from benchmarks.robustness.changes import Change
from pipeline.sessions.sessions import EVENT_COLUMNS, Sessions

SHARES: Final = (0.1, 0.25, 0.5, 0.75, 0.9)
PIECES: Final = 8  # of the bot's session, with one of the human's behind each
BETWEEN_US: Final = 250_000  # from the end of a piece to the next
LIBRARY: Final = 5  # recordings that an attacker has: their own, or bought

Events = dict[str, np.ndarray]


def mix(
    rng: np.random.Generator,
    sessions: Sessions,
    donors: Sessions,
    share: float,
    n_pieces: int = 1,
    again: bool = True,
) -> Sessions:
    """Add human events until they are `share` of all, in `n_pieces`, from random places in donors.

    With `again` a stretch may be used for several sessions, as somebody with few recordings
    has to; without, each is used once at most, as if a person sat there every time.
    """
    wanted = np.maximum(np.rint(sessions.n_events * share / (1 - share)), n_pieces).astype(int)
    source = _anywhere(rng, donors, wanted) if again else _once(donors, wanted)
    parts = []
    for i, human in enumerate(source):
        bot = _events(sessions, int(sessions.offsets[i]), int(sessions.offsets[i + 1]))
        parts.append(_joined([*_alternate(_cut(bot, n_pieces), _cut(human, n_pieces))]))
    counts = [len(part["t_us"]) for part in parts]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in EVENT_COLUMNS}
    return replace(sessions, **columns, offsets=np.append(0, np.cumsum(counts)))


def mixtures(donors: Sessions) -> Mapping[str, Change]:
    """Return the ways to mix in a few recordings of `donors`, or a fresh stretch every time."""
    few = donors.take(np.argsort(-donors.n_events, kind="stable")[:LIBRARY])
    return {
        **{f"{s:.0%} human, one block": partial(mix, donors=few, share=s) for s in SHARES},
        **{
            f"{s:.0%} human, in turns": partial(mix, donors=few, share=s, n_pieces=PIECES)
            for s in SHARES
        },
        "50% human, in turns, never the same": partial(
            mix, donors=donors, share=0.5, n_pieces=PIECES, again=False
        ),
    }


def _events(sessions: Sessions, first: int, stop: int) -> Events:
    return {name: getattr(sessions, name)[first:stop] for name in EVENT_COLUMNS}


def _anywhere(rng: np.random.Generator, donors: Sessions, wanted: np.ndarray) -> Iterator[Events]:
    """Give a stretch of `wanted` events (the whole of a shorter recording) for each session."""
    for n in wanted.tolist():
        donor = int(rng.integers(len(donors)))
        begin, end = donors.offsets[donor], donors.offsets[donor + 1]
        first = int(rng.integers(begin, max(end - n, begin) + 1))
        yield _events(donors, first, min(first + n, int(end)))


def _once(donors: Sessions, wanted: np.ndarray) -> Iterator[Events]:
    """Give stretches one after another; a recording that has too few left is passed over."""
    donor, first = 0, int(donors.offsets[0])
    for n in wanted.tolist():
        while donor < len(donors) and first + n > donors.offsets[donor + 1]:
            donor += 1
            first = int(donors.offsets[min(donor, len(donors) - 1)])
        if donor == len(donors):
            raise ValueError("the donors have too few events for that many sessions")
        yield _events(donors, first, first + n)
        first += n


def _cut(events: Events, n_pieces: int) -> list[Events]:
    pieces = [np.array_split(events[name], n_pieces) for name in EVENT_COLUMNS]
    return [dict(zip(EVENT_COLUMNS, piece, strict=True)) for piece in zip(*pieces, strict=True)]


def _alternate(bot: list[Events], human: list[Events]) -> Iterator[Events]:
    for pair in zip(bot, human, strict=True):
        yield from (piece for piece in pair if len(piece["t_us"]))


def _joined(pieces: list[Events]) -> Events:
    """Put pieces behind each other; each is shifted to begin where the one before it ended."""
    t_us, x, y = np.int64(-BETWEEN_US), pieces[0]["x_px"][0], pieces[0]["y_px"][0]
    moved = []
    for piece in pieces:
        piece = {
            **piece,
            "t_us": piece["t_us"] - piece["t_us"][0] + t_us + BETWEEN_US,
            "x_px": piece["x_px"] - piece["x_px"][0] + x,
            "y_px": piece["y_px"] - piece["y_px"][0] + y,
        }
        moved.append(piece)
        t_us, x, y = piece["t_us"][-1], piece["x_px"][-1], piece["y_px"][-1]
    return {name: np.concatenate([piece[name] for piece in moved]) for name in EVENT_COLUMNS}
