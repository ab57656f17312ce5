"""Clocks and screens in; out comes how far they are from the account's, or from a class's."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64, Shaped
from scipy.spatial.distance import cdist

from pipeline.audit.case import Case
from pipeline.audit.device import BLOCK, clock_shares, same_account, screen_reach
from pipeline.audit.folds import Folds
from pipeline.sessions import Sessions

N_NEAREST: Final = 10  # of a class, whose mean distance counts
MAX_TAUGHT: Final = 2000  # of a class and fold, to learn from: more take long and add little
SHORT_OF_WEIGHT: Final = 0.01  # a screen can't be left, but a session need not reach its edge


@dataclass(frozen=True)
class Device:
    """What sessions show of the device that recorded them."""

    clock: Float64[np.ndarray, "sessions bins"]  # shares
    reach_px: Float64[np.ndarray, "sessions 2"]

    def take(self, chosen: Shaped[np.ndarray, " chosen"]) -> "Device":
        """Return the sessions that are chosen."""
        return Device(self.clock[chosen], self.reach_px[chosen])


Distance = Callable[[Device, Device], Float64[np.ndarray, "sessions references"]]


def devices(sessions: Sessions) -> Device:
    """Return the clock and the screen of each session."""
    return Device(clock_shares(sessions), screen_reach(sessions))


def clock_distance(
    sessions: Device, references: Device
) -> Float64[np.ndarray, "sessions references"]:
    """Return the share of the times between events that two clocks don't have in common."""
    return cdist(sessions.clock, references.clock, "cityblock") / 2


def screen_distance(
    sessions: Device, references: Device
) -> Float64[np.ndarray, "sessions references"]:
    """Return how far a session reaches beyond a reference, as a share of the reference's reach.

    What it falls short of it counts a hundredth.
    """
    edge_px = np.maximum(references.reach_px[None], 1)
    beyond = (sessions.reach_px[:, None] - edge_px) / edge_px
    return np.where(beyond > 0, beyond, -SHORT_OF_WEIGHT * beyond).sum(axis=2)


def device_distance(
    sessions: Device, references: Device
) -> Float64[np.ndarray, "sessions references"]:
    """Return the sum of both."""
    return clock_distance(sessions, references) + screen_distance(sessions, references)


DISTANCES: Final[dict[str, Distance]] = {
    "clock": clock_distance,
    "screen": screen_distance,
    "clock and screen": device_distance,
}


def away_from_own(
    case: Case, judged: Device, references: Device, distance: Distance
) -> Float64[np.ndarray, " judged"]:
    """Return the distance of each session to the nearest other reference of its account."""
    away = np.full(len(case.judged), np.nan)
    ids, known_ids = case.judged.session_id, case.references.session_id
    for own, known in same_account(case.judged.account_id, case.references.account_id):
        is_itself = ids[own][:, None] == known_ids[known][None]
        distances = distance(judged.take(own), references.take(known))
        away[own] = np.where(is_itself, np.inf, distances).min(axis=1)
    return away


def nearer_to_frauds(
    case: Case, folds: Folds, rows: Float64[np.ndarray, "judged numbers"], seed: int = 0
) -> Float64[np.ndarray, " judged"]:
    """Return how much nearer each row is to frauds than to legitimate ones, of other groups.

    Distances are sums of absolute differences; the mean to the nearest `N_NEAREST` counts.
    """
    score = np.full(len(rows), np.nan)
    rng = np.random.default_rng(seed)
    for fold in range(folds.n):
        scored = np.flatnonzero(folds.scored(fold))
        known = folds.learnt_from(fold)
        legitimate, fraud = (
            rows[_some(rng, np.flatnonzero(known & (case.is_fraud == is_fraud)))]
            for is_fraud in (False, True)
        )
        for start in range(0, len(scored), BLOCK):
            block = scored[start : start + BLOCK]
            score[block] = _nearest(rows[block], legitimate) - _nearest(rows[block], fraud)
    return score


def _some(
    rng: np.random.Generator, sessions: Int64[np.ndarray, " sessions"]
) -> Int64[np.ndarray, " some"]:
    """Return up to `MAX_TAUGHT` of the sessions."""
    few = len(sessions) <= MAX_TAUGHT
    return sessions if few else rng.choice(sessions, MAX_TAUGHT, replace=False)


def _nearest(
    rows: Float64[np.ndarray, "rows numbers"], others: Float64[np.ndarray, "others numbers"]
) -> Float64[np.ndarray, " rows"]:
    """Return the mean distance of each row to the nearest `others`."""
    n = min(N_NEAREST, len(others))
    return np.partition(cdist(rows, others, "cityblock"), n - 1, axis=1)[:, :n].mean(axis=1)
