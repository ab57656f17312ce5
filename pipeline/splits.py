"""Sessions in; out comes which part each one is for: to train, validate, calibrate or test.

Whole groups are dealt out, never rows: a model that has seen a person, or a generator, is
not tested on them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int8, Int64, Shaped

from pipeline.errors import ConfigError, DataError
from pipeline.groups import Groups, group_sessions
from pipeline.sessions import Sessions

PARTS = ("train", "valid", "calib", "test")
"""Fit the network · stop in time · calibrate and set thresholds · measure, once."""

LEFT_OUT = -1
_FREE = -2  # a group of this kind does not hold the session
_MIN_PEOPLE = 2  # the owner task compares people with each other


@dataclass(frozen=True)
class SplitConfig:
    """How sessions are dealt out."""

    by: tuple[Literal["person", "generator"], ...] = ("person", "generator")
    shares: tuple[float, float, float, float] = (0.5, 0.15, 0.15, 0.2)  # of groups, as in PARTS
    task: Literal["fraud", "owner"] = "fraud"  # "owner": labels are not needed
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        if min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise ConfigError(
                "split.shares", f"{self.shares} are not shares", "at least 0, together 1"
            )
        if not self.by:
            raise ConfigError("split.by", "empty", "keep apart person, generator or both")


@dataclass(frozen=True)
class Split:
    """Which part each session is for, and what held it there."""

    config: SplitConfig
    session_id: Shaped[np.ndarray, " sessions"]
    part: Int8[np.ndarray, " sessions"]  # index into PARTS, or LEFT_OUT
    is_fraud: Bool[np.ndarray, " sessions"]
    groups: Groups
    left_out: dict[str, int]  # reason -> sessions
    notes: tuple[str, ...]

    def indices(self, part: str) -> Int64[np.ndarray, " chosen"]:
        """Return the sessions that are for `part`, to hand to `Sessions.take`."""
        return np.flatnonzero(self.part == PARTS.index(part))

    def kept_apart(self) -> dict[str, Shaped[np.ndarray, " sessions"]]:
        """Return the groups that must not cross, for `assert_no_crossing`."""
        return {kind: getattr(self.groups, kind) for kind in self.config.by}

    def to_json(self) -> dict[str, Any]:
        """Return what a run keeps of it: sizes, generators, and a hash of who went where."""
        lines = sorted(f"{i}\t{p}" for i, p in zip(self.session_id, self.part, strict=True))
        return {
            "config": asdict(self.config),
            "parts": {name: self._describe(self.indices(name)) for name in PARTS},
            "left_out": self.left_out,
            "notes": list(self.notes),
            "assignment_sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        }

    def _describe(self, chosen: Int64[np.ndarray, " chosen"]) -> dict[str, Any]:
        return {
            "n_legitimate": int((~self.is_fraud[chosen]).sum()),
            "n_fraud": int(self.is_fraud[chosen].sum()),
            "n_people": len(_names(self.groups.person[chosen])),
            "generators": sorted(_names(self.groups.generator[chosen])),
        }


def split_sessions(sessions: Sessions, config: SplitConfig = SplitConfig()) -> Split:
    """Deal `sessions` out so that no person and no generator is in two parts.

    A simulated session has both: it goes where they agree, and is left out (and counted)
    where they don't. With few groups that leaves little: `by=("person",)` or
    `by=("generator",)` then gives up one of the two.
    """
    is_fraud = sessions.label == 1
    groups = group_sessions(sessions.session_id, sessions.account_id, is_fraud, sessions.source)
    part, disagree = _agree(groups, is_fraud, config)
    unlabelled = (sessions.label < 0) & (config.task == "fraud")
    part[unlabelled] = LEFT_OUT
    left_out = {
        "unlabelled": int(unlabelled.sum()),
        "person and generator are for different parts": int((disagree & ~unlabelled).sum()),
    }
    notes = _notes(sessions, is_fraud)
    split = Split(config, sessions.session_id, part, is_fraud, groups, left_out, notes)
    _check_parts(split)
    return split


def assert_no_crossing(
    groups: Mapping[str, Shaped[np.ndarray, " sessions"]], part: Int8[np.ndarray, " sessions"]
) -> None:
    """Raise `DataError` if a group has sessions in two parts; `groups` by what they are called."""
    for kind, names in groups.items():
        codes, uniques = pd.factorize(names)
        used = (codes >= 0) & (part != LEFT_OUT)
        homes = np.unique(np.stack([codes[used], part[used]]), axis=1)
        crossing = homes[0][1:][np.diff(homes[0]) == 0]
        if len(crossing):
            code = crossing[0]
            where = " and ".join(PARTS[p] for p in homes[1][homes[0] == code])
            raise DataError(
                "split",
                f"{kind} {uniques[code]!r} is in {where} ({len(np.unique(crossing))} in all)",
                "split the sessions again with pipeline.splits",
            )


def _agree(
    groups: Groups, is_fraud: Bool[np.ndarray, " sessions"], config: SplitConfig
) -> tuple[Int8[np.ndarray, " sessions"], Bool[np.ndarray, " sessions"]]:
    """Return the part that a session's groups agree on, and where they do not.

    Legitimate sessions and their people come first: people known from frauds alone are
    dealt out apart from them, so that every part gets its share of legitimate ones.
    """
    legitimate = _names(groups.person[~is_fraud])
    homes = _deal(legitimate, config) | _deal(_names(groups.person) - legitimate, config)
    person = _homes(groups.person, homes)
    generator = _homes(groups.generator, _deal(_names(groups.generator), config))
    # A session without a group of the kinds kept apart goes by the other kind.
    by_person = ("person" in config.by) | (generator == _FREE)
    by_generator = ("generator" in config.by) | (person == _FREE)
    person = np.where(by_person, person, _FREE)
    generator = np.where(by_generator, generator, _FREE)
    disagree = (person != generator) & (person != _FREE) & (generator != _FREE)
    part = np.where(person == _FREE, generator, person)
    return np.where(disagree, LEFT_OUT, part).astype(np.int8), disagree


def _deal(names: set[str], config: SplitConfig) -> dict[str, int]:
    """Deal groups out by the rank of their hash.

    A hash alone decides alike for any set of groups, but of five generators it may send
    none to a part. So the hash only shuffles, and shares are cut by rank: the same set is
    always dealt alike, and a part lacks a group only if there are fewer groups than parts.
    """
    shuffled = sorted(
        names, key=lambda name: hashlib.sha256(f"{config.seed}\t{name}".encode()).digest()
    )
    homes = np.repeat(np.arange(len(PARTS)), _sizes(len(names), np.array(config.shares)))
    return dict(zip(shuffled, homes.tolist(), strict=True))


def _sizes(n: int, shares: np.ndarray) -> np.ndarray:
    """Return how many of `n` groups each part gets: its share, and at least one if it has any."""
    wanted = shares * n
    sizes = np.maximum(np.floor(wanted), (shares > 0) & (n >= (shares > 0).sum())).astype(int)
    while sizes.sum() < n:
        sizes[np.argmax(wanted - sizes)] += 1
    while sizes.sum() > n:
        sizes[np.argmax(np.where(sizes > 1, sizes - wanted, -np.inf))] -= 1
    return sizes


def _homes(
    names: Shaped[np.ndarray, " sessions"], homes: dict[str, int]
) -> Int64[np.ndarray, " sessions"]:
    codes, uniques = pd.factorize(names)
    return np.array([*(homes[name] for name in uniques), _FREE], np.int64)[codes]


def _names(groups: Shaped[np.ndarray, " sessions"]) -> set[str]:
    return set(pd.unique(groups[~pd.isna(groups)]))


def _notes(sessions: Sessions, is_fraud: Bool[np.ndarray, " sessions"]) -> tuple[str, ...]:
    unnamed = pd.isna(sessions.account_id) & ~is_fraud
    if not unnamed.any():
        return ()
    return (
        f"{unnamed.sum()} of {(~is_fraud).sum()} legitimate sessions have no account_id: there, "
        "recordings are kept apart, and one person may be in several parts",
    )


def _check_parts(split: Split) -> None:
    """Raise `DataError` if a part that has a share lacks what the task needs."""
    parts = split.to_json()["parts"]
    for name, share in zip(PARTS, split.config.shares, strict=True):
        if share and split.config.task == "owner" and parts[name]["n_people"] < _MIN_PEOPLE:
            lack = f"fewer than {_MIN_PEOPLE} people"
        elif share and split.config.task == "fraud" and not parts[name]["n_legitimate"]:
            lack = "no legitimate sessions"
        elif share and split.config.task == "fraud" and not parts[name]["n_fraud"]:
            lack = "no fraud sessions"
        else:
            continue
        raise DataError("split", f"{name} has {lack}; {_what_there_is(split)}", _way_out(split))


def _what_there_is(split: Split) -> str:
    n_parts = np.count_nonzero(split.config.shares)
    n_people = len(_names(split.groups.person[~split.is_fraud]))
    n_generators = len(_names(split.groups.generator))
    left_out = ", ".join(f"{n} left out: {why}" for why, n in split.left_out.items() if n)
    return (
        f"{n_people} people with legitimate sessions and {n_generators} generators for "
        f"{n_parts} parts" + (f" ({left_out})" if left_out else "")
    )


def _way_out(split: Split) -> str:
    n_parts = np.count_nonzero(split.config.shares)
    if split.config.task == "owner":
        return f"bring sessions of at least {_MIN_PEOPLE * n_parts} accounts"
    hint = f"each class needs at least {n_parts} groups: bring more labelled sessions"
    if len(split.config.by) > 1:
        hint += ", or keep only one kind apart: by=person or by=generator"
    return hint
