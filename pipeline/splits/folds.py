"""Divide groups into folds: every session is scored by what was learnt from other groups."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64, Shaped

from pipeline.errors import DataError
from pipeline.splits.assign import shuffle_by_hash
from pipeline.splits.groups import Groups, distinct_names, first_known

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
