"""Recorded sessions in, replays of them out: what somebody does to a recording who plays it again.

Every attack takes a generator of random numbers and sessions, and gives as many sessions, each
with strengths of its own. Positions come out on whole pixels, as a page would log them.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Complex128

from benchmarks.matching import Moves, chain_moves, find_moves
from pipeline.schemas import Kind
from pipeline.sessions.sessions import Sessions

Attack = Callable[[np.random.Generator, Sessions], Sessions]


def _session_of_event(sessions: Sessions) -> np.ndarray:
    return np.repeat(np.arange(len(sessions)), sessions.n_events)


def _moved(sessions: Sessions, place: Complex128[np.ndarray, " events"]) -> Sessions:
    """Return `sessions` with other places, complex px, rounded."""
    return replace(
        sessions,
        x_px=np.rint(np.real(place)).astype(np.float32),
        y_px=np.rint(np.imag(place)).astype(np.float32),
    )


def _place(sessions: Sessions) -> Complex128[np.ndarray, " events"]:
    return sessions.x_px.astype(np.float64) + 1j * sessions.y_px


def exact(rng: np.random.Generator, sessions: Sessions) -> Sessions:
    """Play it as it was."""
    return sessions


def jitter(rng: np.random.Generator, sessions: Sessions, sd_px: float) -> Sessions:
    """Shake every event by itself."""
    shaken = rng.normal(0, sd_px, (2, len(sessions.t_us)))
    return _moved(sessions, _place(sessions) + shaken[0] + 1j * shaken[1])


def shift(rng: np.random.Generator, sessions: Sessions) -> Sessions:
    """Play it elsewhere on the screen, up to 300 px away."""
    by = rng.uniform(-300, 300, (2, len(sessions)))[:, _session_of_event(sessions)]
    return _moved(sessions, _place(sessions) + by[0] + 1j * by[1])


def rotation(rng: np.random.Generator, sessions: Sessions) -> Sessions:
    """Turn it by any angle."""
    by = np.exp(2j * np.pi * rng.random(len(sessions)))
    return _moved(sessions, _place(sessions) * by[_session_of_event(sessions)])


def scale(rng: np.random.Generator, sessions: Sessions) -> Sessions:
    """Make it 0.6 to 1.6 times as large."""
    by = np.exp(rng.uniform(-0.47, 0.47, len(sessions)))
    return _moved(sessions, _place(sessions) * by[_session_of_event(sessions)])


def squeeze(rng: np.random.Generator, sessions: Sessions) -> Sessions:
    """Make it 0.6 to 1.6 times as wide and, by another factor, as high."""
    by = np.exp(rng.uniform(-0.47, 0.47, (2, len(sessions))))[:, _session_of_event(sessions)]
    place = _place(sessions)
    return _moved(sessions, by[0] * np.real(place) + 1j * by[1] * np.imag(place))


def mirror(rng: np.random.Generator, sessions: Sessions) -> Sessions:
    """Turn left and right round."""
    return _moved(sessions, 1920 - np.conj(_place(sessions)))


def bend(rng: np.random.Generator, sessions: Sessions, share: float = 0.04) -> Sessions:
    """Push it this way here and that way there, smoothly, as on a rubber sheet."""
    place, session = _place(sessions), _session_of_event(sessions)
    phase = rng.uniform(0, 2 * np.pi, (2, len(sessions)))[:, session]
    wave = 2 * np.pi / 500  # px
    pushed = np.sin(np.imag(place) * wave + phase[0]) + 1j * np.sin(
        np.real(place) * wave + phase[1]
    )
    return _moved(sessions, place + 500 * share * pushed)


def speed(rng: np.random.Generator, sessions: Sessions) -> Sessions:
    """Play it at half to double its speed."""
    by = np.exp(rng.uniform(-0.7, 0.7, len(sessions)))[_session_of_event(sessions)]
    return replace(sessions, t_us=np.rint(sessions.t_us * by).astype(np.int64))


def warp(rng: np.random.Generator, sessions: Sessions) -> Sessions:
    """Play it now faster and now slower, by up to 0.4 and 1.6 times, in waves of 0.7 s."""
    phase = rng.uniform(0, 2 * np.pi, len(sessions))[_session_of_event(sessions)]
    wave = 2 * np.pi / 700_000  # us
    late = 0.6 / wave * (np.cos(phase) - np.cos(wave * sessions.t_us + phase))
    return replace(sessions, t_us=np.rint(sessions.t_us + late).astype(np.int64))


def resample(rng: np.random.Generator, sessions: Sessions, period_ms: float = 16.7) -> Sessions:
    """Play it by another clock: places between two events lie on the line that joins them."""
    period_us, far = int(1000 * period_ms), np.int64(10**12)
    session = _session_of_event(sessions)
    n_ticks = sessions.t_us[sessions.offsets[1:] - 1] // period_us + 1
    owner = np.repeat(np.arange(len(sessions)), n_ticks)
    first = np.cumsum(n_ticks) - n_ticks
    t_us = (np.arange(len(owner)) - first[owner]) * period_us
    wanted, known = t_us + far * owner, sessions.t_us + far * session
    place = np.interp(wanted, known, sessions.x_px) + 1j * np.interp(wanted, known, sessions.y_px)
    stays = np.append(False, (np.abs(np.diff(place)) < 0.5) & (np.diff(owner) == 0))
    kept = ~stays  # a page says nothing of a pointer at rest
    plain = np.zeros(int(kept.sum()), np.int8)
    return replace(
        sessions,
        offsets=np.append(0, np.cumsum(np.bincount(owner[kept], minlength=len(sessions)))),
        t_us=t_us[kept],
        x_px=np.rint(np.real(place)[kept]).astype(np.float32),
        y_px=np.rint(np.imag(place)[kept]).astype(np.float32),
        kind=plain + np.int8(Kind.MOVE),
        button=plain,
    )


def all_of_it(rng: np.random.Generator, sessions: Sessions) -> Sessions:
    """Turn, scale and shift it, at another speed and by another clock, shaken by 1 px."""
    for attack in (rotation, scale, shift, speed, resample):
        sessions = attack(rng, sessions)
    return jitter(rng, sessions, 1.0)


ATTACKS: Final[Mapping[str, Attack]] = {
    "exact copy": exact,
    "jitter, 1 px": lambda rng, sessions: jitter(rng, sessions, 1.0),
    "jitter, 3 px": lambda rng, sessions: jitter(rng, sessions, 3.0),
    "shifted": shift,
    "turned": rotation,
    "scaled": scale,
    "squeezed": squeeze,
    "mirrored": mirror,
    "bent by 20 px": bend,
    "another speed": speed,
    "time warped": warp,
    "another clock, 60 Hz": resample,
    "another clock, 20 Hz": lambda rng, sessions: resample(rng, sessions, 50.0),
    "turned, scaled, shifted, sped, resampled, shaken": all_of_it,
}


def stitch(
    rng: np.random.Generator, sessions: Sessions, n_sessions: int, n_library: int, attack: Attack
) -> Sessions:
    """Return sessions of moves drawn from a library of as many, each changed by itself."""
    found = find_moves(sessions)
    library = found.take(rng.permutation(len(found))[:n_library])
    per_session = 10
    drawn = np.concatenate(
        [
            rng.choice(len(library), per_session, replace=len(library) < per_session)
            for _ in range(n_sessions)
        ]
    )
    chosen = library.take(drawn)
    pieces = attack(rng, _pieces(sessions, chosen))
    moves = replace(
        chosen, session=np.arange(len(chosen)), first=pieces.offsets[:-1],
        last=pieces.offsets[1:] - 1, pause_ms=rng.uniform(200, 800, len(chosen)),
    )  # fmt: skip
    owner = np.repeat([f"stitched-{i:05}" for i in range(n_sessions)], per_session)
    return chain_moves(pieces, moves, owner, rng)


def _pieces(sessions: Sessions, moves: Moves) -> Sessions:
    """Return each move as a session of its own."""
    n_events = moves.last - moves.first + 1
    offsets = np.append(0, np.cumsum(n_events))
    event = np.arange(offsets[-1]) + np.repeat(moves.first - offsets[:-1], n_events)
    pieces = sessions.gather(moves.session, event, offsets)
    return replace(pieces, t_us=pieces.t_us - np.repeat(sessions.t_us[moves.first], n_events))
