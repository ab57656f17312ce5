"""Groups of sessions in; out comes the part that each session is dealt to, by hash or by time.

Arrays only: what a part is for, and which groups count, is for `pipeline.splits.split` to say.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int8, Int64, Shaped

FREE = -1
"""No part: the session has no group of that kind, or its groups disagree."""

_NEEDED_FIRST = (0, 3, 2, 1)  # train, test, calib, valid: what too few groups are given to


def assign_by_hash(
    names: Shaped[np.ndarray, " sessions"],
    stratum: Int64[np.ndarray, " sessions"],
    shares: Sequence[float],
    seed: int,
) -> Int8[np.ndarray, " sessions"]:
    """Return the part of each session's group, FREE where `names` has None.

    Each stratum is dealt out by itself, so that every part gets its share of it; a group with
    sessions in several is of the lowest. A hash alone decides alike for any set of groups, but
    of five it may send none to a part. So the hash only shuffles, and shares are cut by rank:
    the same set is always dealt alike, and a part lacks a group only if there are fewer groups
    than parts.
    """
    stratum_of_group = pd.Series(stratum).groupby(pd.Series(names, dtype=object)).min()
    parts: dict[str, int] = {}
    owed = np.zeros(len(shares))
    for _, members in stratum_of_group.groupby(stratum_of_group):
        shuffled = sorted(members.index, key=lambda name: _digest(seed, name))
        sizes = cut_shares(len(shuffled), shares, owed)
        owed += np.array(shares) * len(shuffled) - sizes
        homes = np.repeat(np.arange(len(shares)), sizes)
        parts |= dict(zip(shuffled, homes.tolist(), strict=True))
    return pd.Series(names, dtype=object).map(parts).fillna(FREE).to_numpy(np.int8)


def assign_by_time(
    started_at: Shaped[np.ndarray, " sessions"],
    is_used: Bool[np.ndarray, " sessions"],
    shares: Sequence[float],
) -> Int8[np.ndarray, " sessions"]:
    """Return parts that follow each other in time, cut at shares of the sessions that are used.

    Sessions of one instant stay together.
    """
    ends = np.cumsum(cut_shares(int(is_used.sum()), shares))
    n_before = np.searchsorted(np.sort(started_at[is_used]), started_at)
    part = np.searchsorted(ends, n_before, side="right")
    return np.where(is_used, part, FREE).astype(np.int8)


def cut_shares(
    n: int, shares: Sequence[float], owed: Float64[np.ndarray, " parts"] | float = 0.0
) -> Int64[np.ndarray, " parts"]:
    """Return how many of `n` each part gets: its share, and at least one if it has any.

    What is left after rounding down goes to the parts that lack most of their share, with what
    is `owed` to them from earlier. With fewer than parts to fill, train gets the first, then
    test, calib and valid.
    """
    share = np.array(shares, np.float64)
    in_need = [part for part in _NEEDED_FIRST if share[part] > 0]
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
    """Return the part that all kinds of groups give a session, and where they give different ones.

    A kind that gives none has no say.
    """
    given = np.stack(list(homes.values()))
    highest = given.max(axis=0)
    disagree = np.where(given == FREE, highest, given).min(axis=0) != highest
    return np.where(disagree, FREE, highest).astype(np.int8), disagree


def _digest(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\t{name}".encode()).digest()
