"""Sessions of two classes made of movements that are alike but for the manner.

Bots go where their plan says, people where their task does. Compared as they come, a bot is
known by its distances, its haste or its pauses. Here each move of one class is kept only
for a move of the other with about the same distance, duration and pause before it
(coarsened exact matching: Iacus, King and Porro 2012), and the kept moves make up sessions.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from pipeline.errors import ConfigError
from pipeline.features.movements import MovementConfig, find_movements
from pipeline.sessions.sessions import Sessions


@dataclass(frozen=True)
class MatchConfig:
    """What counts as alike, and how many moves make a session."""

    shortest_px: float = 20.0  # a shorter move is a tremble or an adjustment, and is left out
    fewest_events: int = 4
    per_octave: float = 2.0  # bins of distance and of duration for each doubling
    pause_edges_ms: tuple[float, ...] = (30.0, 300.0)  # out of the movement before, short, long
    moves_per_session: int = 10

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.shortest_px <= 0 or self.per_octave <= 0 or self.moves_per_session < 1:
            raise ConfigError("matching", f"{self}", "sizes above 0")


@dataclass(frozen=True)
class Moves:
    """Moves of sessions: events `first[i]` to `last[i]` of session `session[i]`."""

    session: Int64[np.ndarray, " moves"]
    first: Int64[np.ndarray, " moves"]
    last: Int64[np.ndarray, " moves"]
    distance_px: Float64[np.ndarray, " moves"]  # from start to end
    duration_ms: Float64[np.ndarray, " moves"]
    pause_ms: Float64[np.ndarray, " moves"]  # since the move before; 0 for a session's first

    def __len__(self) -> int:
        """Return the number of moves."""
        return len(self.first)

    def take(self, indices: Shaped[np.ndarray, " chosen"]) -> "Moves":
        """Return the moves at `indices` (or where a boolean mask is true)."""
        return Moves(
            self.session[indices], self.first[indices], self.last[indices],
            self.distance_px[indices], self.duration_ms[indices], self.pause_ms[indices],
        )  # fmt: skip


def find_moves(
    sessions: Sessions,
    config: MatchConfig = MatchConfig(),
    movements: MovementConfig = MovementConfig(),
) -> Moves:
    """Return the moves of `sessions` that are long enough to be compared."""
    found = find_movements(sessions, movements)
    session = np.searchsorted(sessions.offsets, found.first, side="right") - 1
    x_px, y_px = sessions.x_px.astype(np.float64), sessions.y_px.astype(np.float64)
    before = np.append(-1, found.last[:-1])[: len(found)]
    goes_on = np.append(False, session[1:] == session[:-1])[: len(found)]
    pause_us = np.where(goes_on, sessions.t_us[found.first] - sessions.t_us[before], 0)
    moves = Moves(
        session=session,
        first=found.first,
        last=found.last,
        distance_px=np.hypot(
            x_px[found.last] - x_px[found.first], y_px[found.last] - y_px[found.first]
        ),
        duration_ms=(sessions.t_us[found.last] - sessions.t_us[found.first]) / 1000,
        pause_ms=pause_us / 1000,
    )
    n_events = moves.last - moves.first + 1
    return moves.take(
        (moves.distance_px >= config.shortest_px)
        & (n_events >= config.fewest_events)
        & (moves.duration_ms > 0)
    )


def cut_stretches(sessions: Sessions, moves: Moves, n_moves: int, at_most: int = 10**6) -> Sessions:
    """Return stretches of `n_moves` moves each, as they were, `at_most` a session.

    An hour of a person becomes sessions as long as a bot's.
    """
    begin = np.searchsorted(moves.session, moves.session)
    total = np.searchsorted(moves.session, moves.session, side="right") - begin
    place = np.arange(len(moves)) - begin
    chosen = (place % n_moves == 0) & (place + n_moves <= total) & (place < n_moves * at_most)
    start = moves.first[chosen]
    stop = moves.last[np.flatnonzero(chosen) + n_moves - 1] + 1
    n_events = stop - start
    offsets = np.append(0, np.cumsum(n_events))
    event = np.arange(offsets[-1]) + np.repeat(start - offsets[:-1], n_events)
    stretches = sessions.gather(moves.session[chosen], event, offsets)
    ids = [f"{i}@{n}" for i, n in zip(stretches.session_id, place[chosen] // n_moves, strict=True)]
    return replace(
        stretches,
        t_us=stretches.t_us - np.repeat(sessions.t_us[start], n_events),
        session_id=np.array(ids, object),
    )


def strata(moves: Moves, config: MatchConfig = MatchConfig()) -> Int64[np.ndarray, "moves 3"]:
    """Return the bin of each move's distance, duration and pause."""
    return np.stack(
        [
            np.floor(config.per_octave * np.log2(moves.distance_px)).astype(np.int64),
            np.floor(config.per_octave * np.log2(moves.duration_ms)).astype(np.int64),
            np.searchsorted(config.pause_edges_ms, moves.pause_ms, side="right"),
        ],
        axis=1,
    )


def match_exactly(
    stratum: Int64[np.ndarray, "rows features"],
    is_treated: Bool[np.ndarray, " rows"],
    rng: np.random.Generator,
) -> Bool[np.ndarray, " rows"]:
    """Return which rows are kept: of each stratum, equally many of both classes, by chance."""
    _, code = np.unique(stratum, axis=0, return_inverse=True)
    code = code.reshape(-1)
    n_both = [np.bincount(code[is_treated == c], minlength=code.max() + 1) for c in (False, True)]
    n_kept = np.minimum(*n_both)
    order = np.lexsort((rng.random(len(code)), is_treated, code))
    group = 2 * code[order] + is_treated[order]
    begin = np.searchsorted(group, group)
    keep = np.zeros(len(code), bool)
    keep[order] = np.arange(len(code)) - begin < n_kept[code[order]]
    return keep


def chain_moves(
    sessions: Sessions,
    moves: Moves,
    owner: Shaped[np.ndarray, " moves"],
    rng: np.random.Generator,
    config: MatchConfig = MatchConfig(),
) -> Sessions:
    """Return sessions of `moves_per_session` moves of one owner each, in a random order.

    Each move begins where the one before ended (nothing jumps) after its own pause. What is
    left over at the end of an owner's moves is dropped.
    """
    order = np.lexsort((rng.random(len(moves)), owner))
    moves, owner = moves.take(order), owner[order]
    n = config.moves_per_session
    begin = np.searchsorted(owner, owner)
    total = np.searchsorted(owner, owner, side="right") - begin
    place = np.arange(len(moves)) - begin
    whole = place < total // n * n
    moves, owner, place = moves.take(whole), owner[whole], place[whole]
    n_events = moves.last - moves.first + 1
    move = np.repeat(np.arange(len(moves)), n_events)
    first_row = np.cumsum(n_events) - n_events
    event = moves.first[move] + np.arange(len(move)) - first_row[move]
    starts = place % n == 0
    columns = {}
    for name in ("x_px", "y_px"):
        column = getattr(sessions, name).astype(np.float64)
        columns[name] = _joined(column, moves, move, event, starts, 0).astype(np.float32)
    pause_us = np.where(starts, 0, np.maximum(1000 * moves.pause_ms, 1000))
    t_us = _joined(sessions.t_us, moves, move, event, starts, pause_us).astype(np.int64)
    chosen = np.flatnonzero(starts)
    offsets = np.append(first_row[chosen], len(move)).astype(np.int64)
    columns["t_us"] = t_us - np.repeat(t_us[offsets[:-1]], np.diff(offsets))
    chained = sessions.gather(moves.session[chosen], event, offsets)
    number = place[chosen] // n
    ids = [f"{o}#{i}" for o, i in zip(owner[chosen], number, strict=True)]
    return replace(
        chained,
        **columns,
        session_id=np.array(ids, object),
    )


def _joined(
    column: np.ndarray,
    moves: Moves,
    move: Int64[np.ndarray, " rows"],
    event: Int64[np.ndarray, " rows"],
    starts: Bool[np.ndarray, " moves"],
    between: np.ndarray | int,
) -> np.ndarray:
    """Return `column` of the moves' events, each move begun where the one before it ended."""
    way = column[moves.last] - column[moves.first]
    begins = np.cumsum(way + between) - way
    session = np.cumsum(starts) - 1
    base = begins[starts][session]
    # A session keeps its first move's own place, so that it lies on the screen.
    home = column[moves.first][starts][session]
    return column[event] - column[moves.first][move] + (begins - base + home)[move]
