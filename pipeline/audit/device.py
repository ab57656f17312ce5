"""Sessions in; out comes which of them were recorded by a device that fits their account.

A device shows in two things that have nothing to do with a hand: its clock, which is how the
times between events are spread, and its screen, which is how far positions reach. A session
whose device does not fit is decided without a look at the path: what a model is worth shows
on the rest.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64, Shaped
from scipy.spatial.distance import cdist

from pipeline.audit.case import Case
from pipeline.errors import ConfigError
from pipeline.features.intervals import Intervals
from pipeline.sessions.ragged import Grouping
from pipeline.sessions.sessions import Sessions
from pipeline.splits.folds import Folds

BLOCK = 1024  # sessions that are compared at once: memory


@dataclass(frozen=True)
class DeviceRule:
    """When a session's device does not fit any reference of the account that it claims."""

    min_overlap: float = 0.5  # of the times between events: less with every one is another clock
    min_intervals: int = 8  # of a session with fewer the clock is not judged
    tolerance_px: float = 2.0  # beyond all references by more, along x or y, is another screen

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        if not 0 <= self.min_overlap <= 1:
            raise ConfigError("min_overlap", f"{self.min_overlap} is not a share", "0 to 1")


@dataclass(frozen=True)
class DeviceFit:
    """How well each session's device fits the account's references; NaN: there are none."""

    clock_overlap: Float64[np.ndarray, " sessions"]  # with the most alike reference, 0 to 1
    beyond_px: Float64[np.ndarray, " sessions"]  # of the reference that it least goes beyond
    other_clock: Bool[np.ndarray, " sessions"]
    other_screen: Bool[np.ndarray, " sessions"]

    @property
    def is_decided(self) -> Bool[np.ndarray, " sessions"]:
        """Mark the sessions that the rule calls frauds, by their device alone."""
        return self.other_clock | self.other_screen


def device_matched(
    judged: Sessions, references: Sessions, rule: DeviceRule = DeviceRule()
) -> Bool[np.ndarray, " sessions"]:
    """Mark the sessions that the device rule leaves open: the device fits, or nobody can tell."""
    return ~device_fit(judged, references, rule).is_decided


def device_fit(
    judged: Sessions, references: Sessions, rule: DeviceRule = DeviceRule()
) -> DeviceFit:
    """Compare each session with the references of its account; it is no reference of itself."""
    clock, reach_px = Intervals.of_sessions(judged).clock_shares(), screen_reach(judged)
    of_clock, of_reach_px = (
        Intervals.of_sessions(references).clock_shares(),
        screen_reach(references),
    )
    overlap = np.full(len(judged), np.nan)
    beyond_px = np.full(len(judged), np.nan)
    for own, known in same_account(judged.account_id, references.account_id):
        is_itself = judged.session_id[own][:, None] == references.session_id[known][None]
        distance = cdist(clock[own], of_clock[known], "cityblock") / 2
        further_px = (reach_px[own][:, None] - of_reach_px[known][None]).max(axis=2)
        overlap[own] = 1 - _least(distance, is_itself)
        beyond_px[own] = np.maximum(_least(further_px, is_itself), 0)
    return DeviceFit(
        clock_overlap=overlap,
        beyond_px=beyond_px,
        other_clock=(overlap < rule.min_overlap) & (judged.n_events > rule.min_intervals),
        other_screen=beyond_px > rule.tolerance_px,
    )


def same_account(
    judged: Shaped[np.ndarray, " judged"], references: Shaped[np.ndarray, " references"]
) -> Iterator[tuple[Int64[np.ndarray, " own"], Int64[np.ndarray, " known"]]]:
    """Give which sessions claim an account and which references it has, a block at a time."""
    known = pd.Series(references, dtype=object).groupby(references).indices
    for account, own in pd.Series(judged, dtype=object).groupby(judged).indices.items():
        if account in known:
            for start in range(0, len(own), BLOCK):
                yield own[start : start + BLOCK], known[account]


def screen_reach(sessions: Sessions) -> Float64[np.ndarray, "sessions 2"]:
    """Return the rightmost and the lowest position of each session, in px."""
    session = Grouping(np.repeat(np.arange(len(sessions)), sessions.n_events), len(sessions))
    x_px, y_px = sessions.x_px.astype(np.float64), sessions.y_px.astype(np.float64)
    return np.stack([session.max(x_px), session.max(y_px)], axis=1)


def _least(
    values: Float64[np.ndarray, "own known"], is_left_out: Bool[np.ndarray, "own known"]
) -> Float64[np.ndarray, " own"]:
    """Return the least value of each row, NaN where all of them are left out."""
    least = np.where(is_left_out, np.inf, values).min(axis=1, initial=np.inf)
    return np.where(np.isfinite(least), least, np.nan)


N_NEAREST: Final = 10  # of a class, whose mean distance counts
MAX_TAUGHT: Final = 2000  # of a class and fold, to learn from: more take long and add little
SHORT_OF_WEIGHT: Final = 0.01  # a screen can't be left, but a session need not reach its edge


@dataclass(frozen=True)
class DeviceFeatures:
    """What sessions show of the device that recorded them."""

    clock: Float64[np.ndarray, "sessions bins"]  # shares
    reach_px: Float64[np.ndarray, "sessions 2"]

    def take(self, chosen: Shaped[np.ndarray, " chosen"]) -> "DeviceFeatures":
        """Return the sessions that are chosen."""
        return DeviceFeatures(self.clock[chosen], self.reach_px[chosen])


Distance = Callable[[DeviceFeatures, DeviceFeatures], Float64[np.ndarray, "sessions references"]]


def device_features(sessions: Sessions) -> DeviceFeatures:
    """Return the clock and the screen of each session."""
    return DeviceFeatures(Intervals.of_sessions(sessions).clock_shares(), screen_reach(sessions))


def clock_distance(
    sessions: DeviceFeatures, references: DeviceFeatures
) -> Float64[np.ndarray, "sessions references"]:
    """Return the share of the times between events that two clocks don't have in common."""
    return cdist(sessions.clock, references.clock, "cityblock") / 2


def screen_distance(
    sessions: DeviceFeatures, references: DeviceFeatures
) -> Float64[np.ndarray, "sessions references"]:
    """Return how far a session reaches beyond a reference, as a share of the reference's reach.

    What it falls short of it counts a hundredth.
    """
    edge_px = np.maximum(references.reach_px[None], 1)
    beyond = (sessions.reach_px[:, None] - edge_px) / edge_px
    return np.where(beyond > 0, beyond, -SHORT_OF_WEIGHT * beyond).sum(axis=2)


def device_distance(
    sessions: DeviceFeatures, references: DeviceFeatures
) -> Float64[np.ndarray, "sessions references"]:
    """Return the sum of both."""
    return clock_distance(sessions, references) + screen_distance(sessions, references)


DISTANCES: Final[dict[str, Distance]] = {
    "clock": clock_distance,
    "screen": screen_distance,
    "clock and screen": device_distance,
}


def away_from_own(
    case: Case, judged: DeviceFeatures, references: DeviceFeatures, distance: Distance
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
