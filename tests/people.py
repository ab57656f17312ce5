"""Sessions of people whose hands are constant: a pace and a press of their own."""

import numpy as np
from conftest import make_sessions

from pipeline.schemas import Kind
from pipeline.sessions.sessions import Sessions

TICK_MS = 8


def hand(seed: int, pace_s: float, held_ms: float, n_movements: int = 30) -> list[tuple]:
    """Return rows of movements that take about `pace_s`, each with a press at its end."""
    rng = np.random.default_rng(seed)
    rows, t_ms, at = [], 0.0, 500 + 500j
    for _ in range(n_movements):
        n = int(pace_s * rng.lognormal(0, 0.15) * 1000 / TICK_MS)
        share = (1 - np.cos(np.pi * np.linspace(0, 1, n + 1))) / 2
        to = at + rng.uniform(350, 450) * np.exp(2j * np.pi * rng.uniform())
        path = at + share * (to - at)
        path[1:-1] += rng.normal(0, 1, n - 1) + 1j * rng.normal(0, 1, n - 1)
        rows += [(t_ms + TICK_MS * i, p.real, p.imag, Kind.MOVE) for i, p in enumerate(path)]
        t_ms += TICK_MS * n + 300
        hold_ms = held_ms * rng.lognormal(0, 0.1)
        rows.append((t_ms, to.real, to.imag, Kind.DOWN))
        rows.append((t_ms + hold_ms, to.real, to.imag, Kind.UP))
        t_ms, at = t_ms + hold_ms + 200, to
    return rows


def people(first: int, n: int, n_sessions: int = 3, slower: float = 1.0) -> Sessions:
    """Return sessions of people of different paces and presses, whose days differ a little.

    With `slower` everybody takes so many times as long for a movement.
    """
    rows, accounts = [], []
    for person in range(first, first + n):
        rng = np.random.default_rng(person)
        pace_s, held_ms = rng.uniform(0.3, 0.9), rng.uniform(50, 250)
        for number in range(n_sessions):
            of_day = rng.lognormal(0, 0.05)
            rows.append(hand(100 * person + number, slower * pace_s * of_day, held_ms * of_day))
            accounts.append(f"person{person}")
    ids = [f"{account}-{i % n_sessions}" for i, account in enumerate(accounts)]
    return make_sessions(
        *rows, account_id=np.array(accounts, object), session_id=np.array(ids, object)
    )
