"""Compare the devices that recorded sessions: their clocks and their screens.

A device shows in two things that have nothing to do with how somebody moves: its clock, which is
how the times between events are spread, and its screen, which is how far positions reach. A
session whose device does not fit its account is decided without a look at the path: what a model
is worth shows on the rest.
"""

from collections.abc import Callable
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
from pipeline.splits.assign import Folds

N_NEAREST: Final = 10  # of a class, whose mean distance counts
MAX_LEARNT: Final = 2000  # of a class and fold, to learn from: more take long and add little
SHORT_OF_WEIGHT: Final = 0.01  # a screen can't be left, but a session need not reach its edge
_BLOCK = 1024  # sessions that are compared at once: memory


@dataclass(frozen=True)
class DeviceFeatures:
    """What sessions show of the device that recorded them."""

    clock: Float64[np.ndarray, "sessions bins"]  # shares of the times between events
    reach_px: Float64[np.ndarray, "sessions 2"]  # rightmost and lowest position

    def take(self, chosen: Shaped[np.ndarray, " chosen"]) -> "DeviceFeatures":
        """Return the sessions that are chosen."""
        return DeviceFeatures(self.clock[chosen], self.reach_px[chosen])


def device_features(sessions: Sessions) -> DeviceFeatures:
    """Return the clock and the screen of each session."""
    of_session = Grouping(sessions.session_of_event, len(sessions))
    reach_px = [of_session.max(axis.astype(np.float64)) for axis in (sessions.x_px, sessions.y_px)]
    clock = Intervals.of_sessions(sessions).clock_shares()
    return DeviceFeatures(clock, np.stack(reach_px, axis=1))


Distance = Callable[[DeviceFeatures, DeviceFeatures], Float64[np.ndarray, "sessions references"]]


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


def _beyond_px(
    sessions: DeviceFeatures, references: DeviceFeatures
) -> Float64[np.ndarray, "sessions references"]:
    """Return how many px a session reaches beyond a reference, along x or y."""
    return (sessions.reach_px[:, None] - references.reach_px[None]).max(axis=2)


def distance_to_account(
    sessions: Sessions, references: Sessions, distance: Distance
) -> Float64[np.ndarray, " sessions"]:
    """Return the distance of each session to its account's nearest reference; NaN: it has none.

    A session is no reference of itself.
    """
    features, of_references = device_features(sessions), device_features(references)
    nearest = np.full(len(sessions), np.nan)
    known = pd.Series(references.account_id, dtype=object).groupby(references.account_id).indices
    own = pd.Series(sessions.account_id, dtype=object).groupby(sessions.account_id).indices
    for account in own.keys() & known.keys():
        others = known[account]
        for start in range(0, len(own[account]), _BLOCK):
            block = own[account][start : start + _BLOCK]
            is_itself = sessions.session_id[block][:, None] == references.session_id[others][None]
            found = distance(features.take(block), of_references.take(others))
            least = np.where(is_itself, np.inf, found).min(axis=1, initial=np.inf)
            nearest[block] = np.where(np.isfinite(least), least, np.nan)
    return nearest


@dataclass(frozen=True)
class DeviceRule:
    """When a session's device does not fit any reference of the account that it claims."""

    min_overlap: float = 0.5  # of the times between events: less with every one is another clock
    min_intervals: int = 8  # a session with fewer has no clock to compare
    tolerance_px: float = 2.0  # beyond all references by more, along x or y, is another screen

    def __post_init__(self) -> None:
        """Refuse an overlap that is not a share."""
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


def device_fit(
    sessions: Sessions, references: Sessions, rule: DeviceRule = DeviceRule()
) -> DeviceFit:
    """Compare each session with the references of its account."""
    overlap = 1 - distance_to_account(sessions, references, clock_distance)
    beyond_px = np.maximum(distance_to_account(sessions, references, _beyond_px), 0)
    return DeviceFit(
        clock_overlap=overlap,
        beyond_px=beyond_px,
        other_clock=(overlap < rule.min_overlap) & (sessions.n_events > rule.min_intervals),
        other_screen=beyond_px > rule.tolerance_px,
    )


def nearer_to_frauds(
    case: Case, folds: Folds, rows: Float64[np.ndarray, "sessions numbers"], seed: int = 0
) -> Float64[np.ndarray, " sessions"]:
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
        for start in range(0, len(scored), _BLOCK):
            block = scored[start : start + _BLOCK]
            score[block] = _nearest(rows[block], legitimate) - _nearest(rows[block], fraud)
    return score


def _some(
    rng: np.random.Generator, sessions: Int64[np.ndarray, " sessions"]
) -> Int64[np.ndarray, " some"]:
    """Return up to `MAX_LEARNT` of the sessions."""
    few = len(sessions) <= MAX_LEARNT
    return sessions if few else rng.choice(sessions, MAX_LEARNT, replace=False)


def _nearest(
    rows: Float64[np.ndarray, "rows numbers"], others: Float64[np.ndarray, "others numbers"]
) -> Float64[np.ndarray, " rows"]:
    """Return the mean distance of each row to the nearest `others`."""
    n = min(N_NEAREST, len(others))
    return np.partition(cdist(rows, others, "cityblock"), n - 1, axis=1)[:, :n].mean(axis=1)
