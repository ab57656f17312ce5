"""Sessions in; out comes which part each one is for: to train, validate, calibrate or test.

Whole groups are dealt out, never rows: a model that has seen a person, or a generator, is
not tested on them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int8, Int64, Shaped

from pipeline.config import SplitConfig
from pipeline.errors import DataError
from pipeline.sessions.sessions import Sessions
from pipeline.splits.assign import FREE, agree, assign_by_hash, assign_by_time, lies_within
from pipeline.splits.groups import Groups, group_sessions, parse_synthetic

PARTS = ("train", "valid", "calib", "test")
"""Fit the network · stop in time · calibrate and set thresholds · measure, once."""

LEFT_OUT = FREE
_MIN_PEOPLE = 2  # the owner task compares people with each other


@dataclass(frozen=True)
class Split:
    """Which part each session is for, and what held it there."""

    config: SplitConfig
    session_id: Shaped[np.ndarray, " sessions"]
    part: Int8[np.ndarray, " sessions"]  # index into PARTS, or LEFT_OUT
    is_fraud: Bool[np.ndarray, " sessions"]
    groups: Groups
    kept: Mapping[str, Shaped[np.ndarray, " sessions"]]  # the groups of each kind in config.by
    left_out: dict[str, int]  # reason -> sessions
    notes: tuple[str, ...]

    def indices(self, part: str) -> Int64[np.ndarray, " chosen"]:
        """Return the sessions that are for `part`, to hand to `Sessions.take`."""
        return np.flatnonzero(self.part == PARTS.index(part))

    def kept_apart(self) -> dict[str, Shaped[np.ndarray, " sessions"]]:
        """Return the groups that must not cross, for `assert_no_crossing`."""
        return dict(self.kept)

    def extended(self, sessions: Sessions, parent: Int64[np.ndarray, " twins"]) -> "Split":
        """Return the split with twins behind its own sessions, each in the part of its `parent`."""
        is_fraud = sessions.label == 1
        groups = group_sessions(sessions.session_id, sessions.account_id, is_fraud, sessions.source)
        kept = {kind: np.append(names, names[parent]) for kind, names in self.kept.items()}
        if "generator" in kept:
            kept["generator"] = groups.generator
        part = np.append(self.part, self.part[parent]).astype(np.int8)
        return replace(
            self, session_id=sessions.session_id, part=part, is_fraud=is_fraud, groups=groups,
            kept=kept,
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Return what a run keeps of it: who went where, and how many of what that is."""
        sessions = {name: self.session_id[self.indices(name)] for name in PARTS}
        sessions["left_out"] = self.session_id[self.part == LEFT_OUT]
        lines = sorted(f"{i}\t{p}" for i, p in zip(self.session_id, self.part, strict=True))
        return {
            "config": asdict(self.config),
            "parts": {name: self._describe(self.indices(name)) for name in PARTS},
            "left_out": self.left_out,
            "notes": list(self.notes),
            "sessions": {name: sorted(map(str, ids)) for name, ids in sessions.items()},
            "assignment_sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        }

    def _describe(self, chosen: Int64[np.ndarray, " chosen"]) -> dict[str, Any]:
        described = {
            "n_legitimate": int((~self.is_fraud[chosen]).sum()),
            "n_fraud": int(self.is_fraud[chosen].sum()),
            "n_people": len(_names(self.groups.person[chosen])),
            "generators": sorted(_names(self.groups.generator[chosen])),
            "n_groups": {
                kind: len(_names(names[chosen]))
                for kind, names in self.kept.items()
                if kind != "time"
            },
        }
        if "time" in self.kept and len(chosen):
            started_at = self.kept["time"][chosen]
            described["started_at"] = [str(started_at.min()), str(started_at.max())]
        return described


def split_sessions(sessions: Sessions, config: SplitConfig = SplitConfig()) -> Split:
    """Deal `sessions` out so that no group of a kind in `config.by` is in two parts.

    A session goes where its groups of all these kinds agree, and is left out (and counted)
    where they don't. With few groups that leaves little: fewer kinds then keep more.
    """
    is_fraud = sessions.label == 1
    is_used = (sessions.label >= 0) | (config.task == "owner")
    groups = group_sessions(sessions.session_id, sessions.account_id, is_fraud, sessions.source)
    kept = _kept_apart(sessions, groups, config)
    part, disagree = agree(_deal(sessions, groups, kept, is_used, config))
    left_out = {"unlabelled": int((~is_used).sum())}
    if len(kept) > 1:
        reason = f"{' and '.join(kept)} are for different parts"
        left_out[reason] = int((disagree & is_used).sum())
    part = np.where(is_used, part, LEFT_OUT).astype(np.int8)
    notes = _notes(sessions, groups, kept, part)
    split = Split(config, sessions.session_id, part, is_fraud, groups, kept, left_out, notes)
    assert_no_crossing(split.kept_apart(), split.part)
    _check_parts(split)
    return split


def assert_no_crossing(
    groups: Mapping[str, Shaped[np.ndarray, " sessions"]], part: Int8[np.ndarray, " sessions"]
) -> None:
    """Raise `DataError` if a group has sessions in two parts; `groups` by what they are called.

    Those called "time" are instants: there, no part may begin before the one in front has ended.
    """
    hint = "split the sessions again with pipeline.splits.split"
    for kind, names in groups.items():
        if kind == "time":
            if fault := _out_of_order(names, part):
                raise DataError("split", fault, hint)
        elif len(crossing := _crossing(names, part)):
            homes = np.unique(part[(names == crossing[0]) & (part != LEFT_OUT)])
            where = " and ".join(PARTS[home] for home in homes)
            what = f"{kind} {crossing[0]!r} is in {where} ({len(crossing)} in all)"
            raise DataError("split", what, hint)


def _kept_apart(
    sessions: Sessions, groups: Groups, config: SplitConfig
) -> dict[str, Shaped[np.ndarray, " sessions"]]:
    """Return the name of each session's group, by kind; a twin is of its parent's recording."""
    recording = _recording(sessions)
    of_kind = {
        "person": groups.person,
        "generator": groups.generator,
        "account": _first(sessions.account_id, recording),
        "session": recording,
        "source_file": sessions.source_sha256,  # a copy under another name is the same file
        "time": sessions.started_at,
    }
    return {kind: of_kind[kind] for kind in config.by}


def _deal(
    sessions: Sessions,
    groups: Groups,
    kept: Mapping[str, Shaped[np.ndarray, " sessions"]],
    is_used: Bool[np.ndarray, " sessions"],
    config: SplitConfig,
) -> dict[str, Int8[np.ndarray, " sessions"]]:
    """Return the parts that each kind of groups gives the sessions.

    Groups known from frauds alone are dealt out apart from the others, so that every part gets
    its share of legitimate sessions. A group that lies within a wider one follows it: dealt out
    by itself it would mostly land elsewhere, and its sessions would be lost.
    """
    recording = _recording(sessions)
    only_fraud = (sessions.label == 1).astype(np.int64)
    owner = _first(groups.person, sessions.account_id, recording).astype(str)
    accounts, account = np.unique(owner, return_inverse=True)
    # Known accounts, new sessions: each account has to be in every part it can fill.
    in_account = only_fraud * len(accounts) + account if config.task == "owner" else only_fraud
    strata = {"session": in_account, "source_file": in_account}
    homes = {}
    widest_first = sorted(kept, key=lambda kind: (kind != "time", len(_names(kept[kind]))))
    for i, kind in enumerate(widest_first):
        if kind == "time":
            _check_times(sessions, is_used)
            homes[kind] = assign_by_time(sessions.started_at, is_used, config.shares)
            continue
        names = kept[kind].copy()
        for wider in widest_first[:i]:
            names[lies_within(kept[kind], kept[wider])] = None
        stratum = strata.get(kind, only_fraud)
        homes[kind] = assign_by_hash(names, stratum, config.shares, config.seed)
    of_none = np.all([pd.isna(names) for names in kept.values()], axis=0)
    names = _first(groups.person, groups.generator, recording)
    names[~of_none] = None
    homes["none of them"] = assign_by_hash(names, only_fraud, config.shares, config.seed)
    return homes


def _recording(sessions: Sessions) -> Shaped[np.ndarray, " sessions"]:
    """Return the session that each one's path was recorded in: a twin's is its parent's."""
    parent, _ = parse_synthetic(sessions.session_id)
    return _first(parent, sessions.session_id)


def _first(*columns: Shaped[np.ndarray, " sessions"]) -> Shaped[np.ndarray, " sessions"]:
    """Return the first of `columns` that says something."""
    words = columns[-1]
    for column in reversed(columns[:-1]):
        words = np.where(pd.notna(column), column, words)
    return words


def _names(groups: Shaped[np.ndarray, " sessions"]) -> set[Any]:
    return set(pd.unique(groups[~pd.isna(groups)]))


def _crossing(
    names: Shaped[np.ndarray, " sessions"], part: Int8[np.ndarray, " sessions"]
) -> list[str]:
    """Return the groups that are in several parts."""
    codes, uniques = pd.factorize(names)
    used = (codes >= 0) & (part != LEFT_OUT)
    code, _ = np.unique(np.stack([codes[used], part[used]]), axis=1)
    return [str(uniques[i]) for i in np.unique(code[1:][np.diff(code) == 0])]


def _out_of_order(
    started_at: Shaped[np.ndarray, " sessions"], part: Int8[np.ndarray, " sessions"]
) -> str:
    """Say which part begins before the one in front has ended, if any does."""
    filled = [(name, started_at[part == i]) for i, name in enumerate(PARTS) if (part == i).any()]
    for (earlier, first), (later, then) in pairwise(filled):
        if not first.max() < then.min():  # nor is NaT before anything
            return f"time: {earlier} lasts to {first.max()}, {later} begins at {then.min()}"
    return ""


def _notes(
    sessions: Sessions,
    groups: Groups,
    kept: Mapping[str, Shaped[np.ndarray, " sessions"]],
    part: Int8[np.ndarray, " sessions"],
) -> tuple[str, ...]:
    """Say what the parts have in common all the same."""
    notes = []
    is_fraud = sessions.label == 1
    unnamed = pd.isna(sessions.account_id) & ~is_fraud
    if unnamed.any():
        notes.append(
            f"{unnamed.sum()} of {(~is_fraud).sum()} legitimate sessions have no account_id: "
            "there, recordings are kept apart, and one person may be in several parts"
        )
    unknown = is_fraud & pd.isna(groups.person) & pd.isna(groups.generator)
    if unknown.any():
        notes.append(
            f"{unknown.sum()} of {is_fraud.sum()} fraud sessions name neither account nor "
            "generator: there, recordings are kept apart, and one maker may be in several parts"
        )
    for called, names in (("people", groups.person), ("generators", groups.generator)):
        if n_crossing := len(_crossing(names, part)):
            notes.append(
                f"{n_crossing} of {len(_names(names))} {called} are in several parts, since "
                f"the split is by {' and '.join(kept)}: figures do not hold for new {called}"
            )
    return tuple(notes)


def _check_times(sessions: Sessions, is_used: Bool[np.ndarray, " sessions"]) -> None:
    untimed = np.flatnonzero(np.isnat(sessions.started_at) & is_used)
    if len(untimed):
        raise DataError(
            "split",
            f"{len(untimed)} of {is_used.sum()} sessions have no started_at, such as "
            f"{sessions.session_id[untimed[0]]!r}",
            "only a log whose times count since 1970 tells when its sessions were: keep something "
            "else apart, such as --split.by session",
        )


def _check_parts(split: Split) -> None:
    """Raise `DataError` if a part that has a share lacks what the task needs."""
    for name, share in zip(PARTS, split.config.shares, strict=True):
        chosen = split.indices(name)
        legitimate = chosen[~split.is_fraud[chosen]]
        owners = _names(split.groups.person[legitimate])
        if not share:
            continue
        if split.config.task == "owner" and len(owners) < _MIN_PEOPLE:
            lack = f"fewer than {_MIN_PEOPLE} people"
        elif split.config.task == "fraud" and not len(legitimate):
            lack = "no legitimate sessions"
        elif split.config.task == "fraud" and len(legitimate) == len(chosen):
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
    n_parts, kinds = np.count_nonzero(split.config.shares), split.config.by
    if split.config.task == "owner" and {"person", "account"} & set(kinds):
        return (
            f"bring sessions of at least {_MIN_PEOPLE * n_parts} accounts, or keep sessions "
            "apart, not accounts: --split.by session"
        )
    if split.config.task == "owner":
        return (
            f"it takes {_MIN_PEOPLE} accounts with sessions in every part, so {n_parts} each or "
            "more; a share of 0 spares a part: --split.shares 0.5 0 0 0.5"
        )
    hint = f"each class needs at least {n_parts} groups: bring more labelled sessions"
    if len(kinds) > 1:
        hint += ", or keep only one kind apart: " + " or ".join(f"--split.by {k}" for k in kinds)
    return hint
