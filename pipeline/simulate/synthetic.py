"""Make synthetic sessions: a person's plan and clock, a generator's path."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter

import numpy as np
from jaxtyping import Bool, Float32

from pipeline.errors import ConfigError
from pipeline.features.movements import Movements, find_movements
from pipeline.schemas import SYNTHETIC_MARK
from pipeline.sessions.jumps import find_jumps
from pipeline.sessions.sessions import Sessions
from pipeline.simulate.generators import BOT_NAMES, GENERATORS, Generator, known_bots
from pipeline.simulate.plan import (
    Plan,
    grid_px,
    keep_moving,
    make_plan,
    on_screen,
    writes_changes_only,
)
from pipeline.splits.groups import SIMULATED


def simulate_sessions(
    sessions: Sessions, bots: Sequence[str] = BOT_NAMES, per_session: int = 1, seed: int = 0
) -> Sessions:
    """Return `per_session` synthetic sessions of each session, in order of the sessions.

    Each session ranks `bots` by a hash and takes them in turn, so with as many synthetic sessions
    as bots it has one of each. A synthetic session depends on the seed, its own session, its bot
    and its copy alone: other sessions don't matter, and a new bot changes only the sessions that
    it takes over.
    """
    names = known_bots(bots)
    if per_session < 1:
        raise ConfigError("simulate", f"per_session is {per_session}", "use 1 or more")
    chosen = []
    for i, session_id in enumerate(sessions.session_id):
        ranked = sorted(names, key=lambda name: _digest(seed, session_id, name))
        chosen += [(i, ranked[n % len(names)], n // len(names)) for n in range(per_session)]
    return synthetic_sessions(sessions, chosen, seed)


def synthetic_sessions(
    sessions: Sessions, chosen: Sequence[tuple[int, str, int]], seed: int = 0
) -> Sessions:
    """Return a synthetic session for each `chosen` session's number, bot and copy."""
    movements = find_movements(sessions)
    paths, names, sources = [], [], []
    for i, of_parent in groupby(chosen, key=itemgetter(0)):
        session_id, parent = sessions.session_id[i], _Parent.of(sessions, i, movements)
        for _, bot, copy in of_parent:
            rng = np.random.default_rng(int.from_bytes(_digest(seed, session_id, bot, copy), "big"))
            paths.append(_synthetic_path(rng, GENERATORS[bot], parent))
            names.append(f"{session_id}{SYNTHETIC_MARK}{bot}-{copy}")
            sources.append(f"{SIMULATED}{bot}")
    x_px, y_px = np.concatenate([np.zeros((2, 0), np.float32), *paths], axis=1)
    return replace(
        sessions.take(np.array([i for i, _, _ in chosen], np.int64)),
        session_id=np.array(names, object),
        source=np.array(sources, object),
        label=np.ones(len(chosen), np.int8),
        x_px=x_px,
        y_px=y_px,
    )


@dataclass(frozen=True)
class _Parent:
    """What the synthetic sessions of one session have in common."""

    session: Sessions
    plan: Plan | None  # None: nothing moves
    grid_px: float  # 0: no grid
    step_px: float  # the shortest step that its recorder writes; 0: any
    is_jump: Bool[np.ndarray, " events"]

    @staticmethod
    def of(sessions: Sessions, i: int, movements: Movements) -> "_Parent":
        """Return session `i` of `sessions`, whose `movements` these are."""
        session = sessions.take(np.array([i]))
        own = _within(movements, int(sessions.offsets[i]), int(sessions.offsets[i + 1]))
        grid = grid_px(session.x_px, session.y_px)
        step_px = np.sqrt(2) * grid if grid and writes_changes_only(session) else 0.0
        plan = make_plan(session, own) if len(own) else None
        return _Parent(session, plan, grid, step_px, find_jumps(session))


def _digest(*words: object) -> bytes:
    """Return a hash that is the same in every process, unlike Python's own."""
    return hashlib.blake2b("\x1f".join(map(str, words)).encode(), digest_size=16).digest()


def _within(movements: Movements, start: int, stop: int) -> Movements:
    """Return the movements among events `start:stop`, counted from `start`."""
    i, j = np.searchsorted(movements.first, [start, stop])
    return Movements(movements.first[i:j] - start, movements.last[i:j] - start)


def _synthetic_path(
    rng: np.random.Generator, generator: Generator, parent: _Parent
) -> Float32[np.ndarray, "2 events"]:
    """Return x and y of a synthetic session; outside its movements they are the session's."""
    session, plan, grid = parent.session, parent.plan, parent.grid_px
    position = np.stack([session.x_px, session.y_px])
    if plan is None:
        return position
    path = generator.generate(rng, plan)
    if parent.step_px:
        path = keep_moving(plan, path, parent.step_px)
    path = on_screen(path, session)
    if grid:
        path = np.rint(path / grid) * grid
    path[plan.first], path[plan.last] = plan.start, plan.end  # exactly: a click is where it was
    position[:, plan.event] = np.real(path), np.imag(path)
    return _keep_jumps(position, parent)


def _keep_jumps(
    position: Float32[np.ndarray, "2 events"], parent: _Parent
) -> Float32[np.ndarray, "2 events"]:
    """Give back the person's step beside a jump that would be none beside the synthetic one.

    A recorder of few events a second writes long steps after long times, which may look as if
    the pointer went from place to place.
    """
    session = parent.session
    kept = find_jumps(replace(session, x_px=position[0], y_px=position[1]))
    lost = np.flatnonzero(parent.is_jump & ~kept)
    beside = np.concatenate([lost - 2, lost + 1])  # the jump's own ends are the person's
    beside = beside[(beside >= 0) & (beside < len(session.t_us))]
    position[:, beside] = session.x_px[beside], session.y_px[beside]
    return position
