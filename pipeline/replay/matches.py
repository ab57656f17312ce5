"""Signatures and `Chance` in, matches out: for each movement the nearest of other sessions."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.spatial import cKDTree

from pipeline.replay.chance import ViewChance
from pipeline.replay.signature import Signatures

LARGEST_RATIO: Final = 0.7  # beyond it a neighbour is no match, however few there are
_N_ACCIDENTS: Final = 2.0  # for each movement: where more are expected, it isn't looked as far
_N_NEAREST: Final = 16  # looked at for each movement, at most
_BLOCK: Final = 4_096  # movements at once


@dataclass(frozen=True)
class Matches:
    """Movement `mine[i]` is like `other[i]`, of another session: numbers of signatures."""

    mine: Int64[np.ndarray, " matches"]
    other: Int64[np.ndarray, " matches"]
    ratio: Float64[np.ndarray, " matches"]
    radius: Float64[np.ndarray, " signatures"]  # the distance of ratio 1; NaN: not searched for
    largest_ratio: float  # that was looked for

    def __len__(self) -> int:
        """Return the number of matches."""
        return len(self.mine)

    def take(self, chosen: Bool[np.ndarray, " matches"]) -> "Matches":
        """Return the matches that are chosen."""
        return replace(
            self, mine=self.mine[chosen], other=self.other[chosen], ratio=self.ratio[chosen]
        )


def find_matches(
    found: Signatures,
    identity: Int64[np.ndarray, " sessions"],
    is_searched: Bool[np.ndarray, " sessions"],
    chance: ViewChance,
) -> Matches:
    """Return the matches of the sessions in `is_searched`.

    Sessions of the same `identity` are one session that is there twice.
    """
    wanted = np.flatnonzero(is_searched[found.session])
    radius = np.full(len(found), np.nan)
    radius[wanted] = chance.radius(found.vector[wanted])
    largest = float(chance.ratio(_N_ACCIDENTS, np.array([len(found)]), LARGEST_RATIO)[0])
    tree = cKDTree(found.vector)
    mine, other, ratio = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    by_radius = wanted[np.argsort(radius[wanted], kind="stable")]
    for start in range(0, len(wanted), _BLOCK):
        block = by_radius[start : start + _BLOCK]
        # One limit a call: movements of like radius go together, or most would look too far.
        limit = largest * radius[block[-1]]
        distance, near = tree.query(
            found.vector[block],
            k=np.arange(1, _N_NEAREST + 1),
            distance_upper_bound=np.nextafter(limit, np.inf),
            workers=-1,
        )
        is_there = np.isfinite(distance)  # else no more lie within the limit
        near = np.where(is_there, near, block[:, None])
        share = distance / np.maximum(radius[block], 1e-9)[:, None]
        is_other = identity[found.session[near]] != identity[found.session[block]][:, None]
        row, column = np.nonzero(is_there & is_other & (share <= largest))
        mine.append(block[row])
        other.append(near[row, column])
        ratio.append(share[row, column])
    return Matches(
        np.concatenate(mine), np.concatenate(other), np.concatenate(ratio), radius, largest
    )
