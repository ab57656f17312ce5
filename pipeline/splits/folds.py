"""Groups in, folds out: every session is scored by what was learnt from other groups."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64, Shaped

from pipeline.errors import DataError
from pipeline.splits.groups import Groups

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
    """Deal people and generators out to as many folds as both classes have groups for.

    Legitimate people come first, then people known from frauds alone, then generators:
    each kind is shuffled by the hash of its names and dealt in turn.
    """
    legitimate = _names(groups.person[~is_fraud])
    of_frauds = groups.generator[is_fraud]
    makers = np.where(pd.notna(of_frauds), of_frauds, groups.person[is_fraud])
    n = min(MAX_FOLDS, len(legitimate), len(_names(makers)))
    if n < 2:
        raise DataError(
            "audit",
            f"{len(legitimate)} group(s) of legitimate sessions, {len(_names(makers))} of frauds",
            "each class takes two people or generators: one to learn from, another to be judged",
        )
    people = _deal(legitimate, n, seed) | _deal(_names(groups.person) - legitimate, n, seed)
    generators = _deal(_names(groups.generator), n, seed)
    return Folds(n, _fold(groups.person, people), _fold(groups.generator, generators))


def _deal(names: set[str], n: int, seed: int) -> dict[str, int]:
    shuffled = sorted(names, key=lambda name: hashlib.sha256(f"{seed}\t{name}".encode()).digest())
    return {name: i % n for i, name in enumerate(shuffled)}


def _fold(
    names: Shaped[np.ndarray, " sessions"], folds: dict[str, int]
) -> Int64[np.ndarray, " sessions"]:
    return pd.Series(names, dtype=object).map(folds).fillna(_NONE).to_numpy(np.int64)


def _names(groups: Shaped[np.ndarray, " sessions"]) -> set[str]:
    return set(pd.unique(groups[pd.notna(groups)]))
