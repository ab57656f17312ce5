"""Assign groups of sessions to partitions by hash or by time.

Arrays only: `pipeline.splits.split` knows what a partition is for and which groups count.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int8, Int64, Shaped

from pipeline.errors import DataError
from pipeline.splits.groups import Groups, distinct_names, first_known

LEFT_OUT = -1
"""In no partition: the session has no group of that kind, or its groups disagree."""

_NEEDED_FIRST = (0, 3, 2, 1)  # train, test, calib, valid: what too few groups are given to


def assign_by_hash(
    names: Shaped[np.ndarray, " sessions"],
    stratum: Int64[np.ndarray, " sessions"],
    shares: Sequence[float],
    seed: int,
) -> Int8[np.ndarray, " sessions"]:
    """Return the partition of each session's group, LEFT_OUT where `names` has None.

    Each stratum is assigned by itself, so that every partition gets its share of it; a group
    with sessions in several is of the lowest. A hash alone decides alike for any set of groups,
    but of five it may send none to a partition. So the hash only shuffles, and shares are cut by
    rank: the same set is always assigned alike, and a partition lacks a group only if there are
    fewer groups than partitions.
    """
    stratum_of_group = pd.Series(stratum).groupby(pd.Series(names, dtype=object)).min()
    homes: dict[str, int] = {}
    owed = np.zeros(len(shares))
    for _, members in stratum_of_group.groupby(stratum_of_group):
        shuffled = shuffle_by_hash(members.index, seed)
        sizes = cut_shares(len(shuffled), shares, owed)
        owed += np.array(shares) * len(shuffled) - sizes
        in_order = np.repeat(np.arange(len(shares)), sizes)
        homes |= dict(zip(shuffled, in_order.tolist(), strict=True))
    return pd.Series(names, dtype=object).map(homes).fillna(LEFT_OUT).to_numpy(np.int8)


def assign_by_time(
    started_at: Shaped[np.ndarray, " sessions"],
    is_used: Bool[np.ndarray, " sessions"],
    shares: Sequence[float],
) -> Int8[np.ndarray, " sessions"]:
    """Return partitions that follow each other in time, cut at shares of the used sessions.

    Sessions of one instant stay together.
    """
    ends = np.cumsum(cut_shares(int(is_used.sum()), shares))
    n_before = np.searchsorted(np.sort(started_at[is_used]), started_at)
    partition = np.searchsorted(ends, n_before, side="right")
    return np.where(is_used, partition, LEFT_OUT).astype(np.int8)


def cut_shares(
    n: int, shares: Sequence[float], owed: Float64[np.ndarray, " partitions"] | float = 0.0
) -> Int64[np.ndarray, " partitions"]:
    """Return how many of `n` each partition gets: its share, and at least one if it has any.

    What is left after rounding down goes to the partitions that lack most of their share, with
    what is `owed` to them from earlier. If there are fewer than partitions to fill, train gets
    the first, then test, calib and valid.
    """
    share = np.array(shares, np.float64)
    in_need = [i for i in _NEEDED_FIRST if share[i] > 0]
    if n < len(in_need):
        return np.isin(np.arange(len(share)), in_need[:n]).astype(np.int64)
    wanted = share * n
    sizes = np.maximum(np.floor(wanted), share > 0).astype(np.int64)
    due = np.where(share > 0, wanted + owed, -np.inf)
    while sizes.sum() < n:
        sizes[np.argmax(due - sizes)] += 1
    while sizes.sum() > n:
        sizes[np.argmax(np.where(sizes > 1, sizes - due, -np.inf))] -= 1
    return sizes


def lies_within(
    names: Shaped[np.ndarray, " sessions"], wider: Shaped[np.ndarray, " sessions"]
) -> Bool[np.ndarray, " sessions"]:
    """Mark the sessions whose group has all its sessions in one and the same `wider` group."""
    n_wider = pd.Series(wider).groupby(pd.Series(names, dtype=object)).nunique(dropna=False)
    is_in_one = pd.Series(names, dtype=object).map(n_wider.to_dict()).eq(1).to_numpy(bool)
    return is_in_one & pd.notna(wider)


def agree(
    homes: Mapping[str, Int8[np.ndarray, " sessions"]],
) -> tuple[Int8[np.ndarray, " sessions"], Bool[np.ndarray, " sessions"]]:
    """Return the partition that all kinds of groups give a session, and where they differ.

    A kind that gives none is ignored.
    """
    given = np.stack(list(homes.values()))
    highest = given.max(axis=0)
    disagree = np.where(given == LEFT_OUT, highest, given).min(axis=0) != highest
    return np.where(disagree, LEFT_OUT, highest).astype(np.int8), disagree


def shuffle_by_hash(names: Iterable[str], seed: int) -> list[str]:
    """Return `names` in the order of their hashes: another set changes no two names' order."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}\t{name}".encode()).digest())


MAX_FOLDS = 5
_NONE = -1  # the session has no group of this kind


@dataclass(frozen=True)
class Folds:
    """The fold of each session's person and of its generator, -1 where it has none."""

    n: int
    person: Int64[np.ndarray, " sessions"]
    generator: Int64[np.ndarray, " sessions"]

    def scored(self, fold: int) -> Bool[np.ndarray, " sessions"]:
        """Mark the sessions whose every group is in `fold`."""
        own = [(kind == fold) | (kind == _NONE) for kind in (self.person, self.generator)]
        return own[0] & own[1] & ((self.person == fold) | (self.generator == fold))

    def learnt_from(self, fold: int) -> Bool[np.ndarray, " sessions"]:
        """Mark the sessions that may teach how to score `fold`: they have no group in it."""
        return (self.person != fold) & (self.generator != fold)

    def is_scored(self) -> Bool[np.ndarray, " sessions"]:
        """Mark what is scored at all: not a simulated session whose two groups disagree."""
        return np.any([self.scored(fold) for fold in range(self.n)], axis=0)


def make_folds(groups: Groups, is_fraud: Bool[np.ndarray, " sessions"], seed: int = 0) -> Folds:
    """Assign people and generators to as many folds as both classes have groups for.

    Legitimate people come first, then people known from frauds alone, then generators:
    each kind is shuffled by the hash of its names and assigned in turn.
    """
    legitimate = distinct_names(groups.person[~is_fraud])
    of_frauds = distinct_names(first_known(groups.generator, groups.person)[is_fraud])
    n = min(MAX_FOLDS, len(legitimate), len(of_frauds))
    if n < 2:
        raise DataError(
            "audit",
            f"{len(legitimate)} group(s) of legitimate sessions, {len(of_frauds)} of frauds",
            "each class needs two people or generators: one to learn from, another to score",
        )
    others = distinct_names(groups.person) - legitimate
    people = _in_turn(legitimate, n, seed) | _in_turn(others, n, seed)
    generators = _in_turn(distinct_names(groups.generator), n, seed)
    return Folds(n, _fold(groups.person, people), _fold(groups.generator, generators))


def _in_turn(names: set[str], n: int, seed: int) -> dict[str, int]:
    return {name: i % n for i, name in enumerate(shuffle_by_hash(names, seed))}


def _fold(
    names: Shaped[np.ndarray, " sessions"], folds: dict[str, int]
) -> Int64[np.ndarray, " sessions"]:
    return pd.Series(names, dtype=object).map(folds).fillna(_NONE).to_numpy(np.int64)
