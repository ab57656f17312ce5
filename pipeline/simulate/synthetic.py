"""Human sessions in, bots in their likeness out: same plan and clock, another way of moving."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float32

from pipeline.errors import ConfigError
from pipeline.features.movements import Movements, find_movements
from pipeline.schemas import SYNTHETIC_MARK
from pipeline.sessions.sessions import Sessions
from pipeline.simulate.generators import ALL, Generator, choose_generators
from pipeline.simulate.plan import grid_px, keep_moving, make_plan, on_screen, writes_changes_only


def simulate_sessions(
    sessions: Sessions, bots: Sequence[str] = ALL, per_session: int = 1, seed: int = 0
) -> Sessions:
    """Return `per_session` simulated twins of each session, in order of the sessions.

    Each session shuffles `bots` for itself and takes them in turn, so with as many twins as
    bots it has one of each. A twin depends on the seed and its own session alone, not on
    which others are there or in what order.
    """
    generators = choose_generators(bots)
    if per_session < 1:
        raise ConfigError("simulate", f"per_session is {per_session}", "1 or more")
    movements = find_movements(sessions)
    twins = sessions.take(np.repeat(np.arange(len(sessions)), per_session))
    paths, names, sources = [], [], []
    for i, session_id in enumerate(sessions.session_id):
        session = sessions.take(np.array([i]))
        own = _within(movements, int(sessions.offsets[i]), int(sessions.offsets[i + 1]))
        turns = _rng(seed, session_id).permutation(len(generators))
        for n in range(per_session):
            generator = generators[turns[n % len(turns)]]
            rng = _rng(seed, session_id, generator.name, n)
            paths.append(_twin_path(rng, generator, session, own))
            names.append(f"{session_id}{SYNTHETIC_MARK}{generator.name}-{n}")
            sources.append(f"simulated:{generator.name}")
    x_px, y_px = np.concatenate([np.zeros((2, 0), np.float32), *paths], axis=1)
    return replace(
        twins,
        session_id=np.array(names, object),
        source=np.array(sources, object),
        label=np.ones(len(twins), np.int8),
        x_px=x_px,
        y_px=y_px,
    )


def _rng(*words: object) -> np.random.Generator:
    """Return a source of chance that the words decide; Python's own hash differs by process."""
    digest = hashlib.blake2b("\x1f".join(map(str, words)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def _within(movements: Movements, start: int, stop: int) -> Movements:
    """Return the movements among events `start:stop`, counted from `start`."""
    i, j = np.searchsorted(movements.first, [start, stop])
    return Movements(movements.first[i:j] - start, movements.last[i:j] - start)


def _twin_path(
    rng: np.random.Generator, generator: Generator, session: Sessions, movements: Movements
) -> Float32[np.ndarray, "2 events"]:
    """Return x and y of one session's twin; outside its movements they are the session's."""
    position = np.stack([session.x_px, session.y_px])
    if not len(movements):
        return position
    plan = make_plan(session, movements)
    path = generator.generate(rng, plan)
    grid = grid_px(session.x_px, session.y_px)
    if grid and writes_changes_only(session):
        path = keep_moving(plan, path, step_px=np.sqrt(2) * grid)
    path = on_screen(path, session)
    if grid:
        path = np.rint(path / grid) * grid
    path[plan.first], path[plan.last] = plan.start, plan.end  # exactly: a click is where it was
    position[:, plan.event] = np.real(path), np.imag(path)
    return position
