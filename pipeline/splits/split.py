"""Assign sessions to partitions: to train, validate, calibrate or test.

Whole groups are assigned, never rows: a model that has seen a person, or a generator, is not
tested on them.
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
from pipeline.splits.assign import LEFT_OUT, agree, assign_by_hash, assign_by_time, lies_within
from pipeline.splits.groups import (
    Groups,
    distinct_names,
    first_known,
    group_recorders,
    group_sessions,
    parse_synthetic,
)

PARTITIONS = ("train", "valid", "calib", "test")
"""Fit the network · stop in time · calibrate and set thresholds · measure, once."""

_MIN_PEOPLE = 2  # the owner task compares people with each other


@dataclass(frozen=True)
class Split:
    """The partition of each session, and the groups that decided it."""

    config: SplitConfig
    session_id: Shaped[np.ndarray, " sessions"]
    partition: Int8[np.ndarray, " sessions"]  # index into PARTITIONS, or LEFT_OUT
    is_fraud: Bool[np.ndarray, " sessions"]
    groups: Groups
    recorder: Shaped[np.ndarray, " sessions"]
    kept: Mapping[str, Shaped[np.ndarray, " sessions"]]  # the groups of each kind in config.by
    left_out: dict[str, int]  # reason -> sessions
    notes: tuple[str, ...]

    def is_in(self, *partitions: str) -> Bool[np.ndarray, " sessions"]:
        """Mark the sessions of these partitions."""
        return np.isin(self.partition, [PARTITIONS.index(name) for name in partitions])

    def indices(self, *partitions: str) -> Int64[np.ndarray, " chosen"]:
        """Return the sessions of these partitions, partition after partition."""
        found = [np.flatnonzero(self.is_in(name)) for name in partitions]
        return np.concatenate([np.zeros(0, np.int64), *found])

    def check_no_crossing(self) -> None:
        """Raise `DataError` if a group of a kind that is kept apart is in two partitions."""
        assert_no_crossing(self.kept, self.partition)

    def extended(self, sessions: Sessions, parent: Int64[np.ndarray, " synthetic"]) -> "Split":
        """Return the split with synthetic sessions appended, each in its `parent`'s partition."""
        is_fraud = sessions.is_fraud
        groups = group_sessions(sessions.session_id, sessions.account_id, is_fraud, sessions.source)
        kept = {kind: np.append(names, names[parent]) for kind, names in self.kept.items()}
        if "generator" in kept:
            kept["generator"] = groups.generator
        return replace(
            self,
            session_id=sessions.session_id,
            partition=np.append(self.partition, self.partition[parent]).astype(np.int8),
            is_fraud=is_fraud,
            groups=groups,
            recorder=np.append(self.recorder, self.recorder[parent]),
            kept=kept,
        )

    def to_json(self) -> dict[str, Any]:
        """Return what a RUN keeps of it: the sessions of each partition, and their counts."""
        sessions = {name: self.session_id[self.indices(name)] for name in PARTITIONS}
        sessions["left_out"] = self.session_id[self.partition == LEFT_OUT]
        lines = sorted(f"{i}\t{p}" for i, p in zip(self.session_id, self.partition, strict=True))
        return {
            "config": asdict(self.config),
            "parts": {name: self._describe(self.indices(name)) for name in PARTITIONS},
            "left_out": self.left_out,
            "notes": list(self.notes),
            "sessions": {name: sorted(map(str, ids)) for name, ids in sessions.items()},
            "assignment_sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        }

    def _n_simulated(self, chosen: Int64[np.ndarray, " chosen"]) -> int:
        """Return how many of the chosen frauds a generator made."""
        _, generator = parse_synthetic(self.session_id[chosen])
        return int((self.is_fraud[chosen] & pd.notna(generator)).sum())

    def _describe(self, chosen: Int64[np.ndarray, " chosen"]) -> dict[str, Any]:
        described = {
            "n_legitimate": int((~self.is_fraud[chosen]).sum()),
            "n_fraud": int(self.is_fraud[chosen].sum()),
            "n_simulated": self._n_simulated(chosen),
            "n_people": len(distinct_names(self.groups.person[chosen])),
            "generators": sorted(distinct_names(self.groups.generator[chosen])),
            "n_groups": {
                kind: len(distinct_names(names[chosen]))
                for kind, names in self.kept.items()
                if kind != "time"
            },
        }
        if "time" in self.kept and len(chosen):
            started_at = self.kept["time"][chosen]
            described["started_at"] = [str(started_at.min()), str(started_at.max())]
        return described


def split_sessions(sessions: Sessions, config: SplitConfig = SplitConfig()) -> Split:
    """Assign `sessions` so that no group of a kind in `config.by` is in two partitions.

    A session goes where its groups of all these kinds agree, and is left out (and counted)
    where they don't. With few groups that leaves little: fewer kinds then keep more.
    """
    is_fraud = sessions.is_fraud
    is_used = (sessions.label >= 0) | (config.task == "owner")
    groups = group_sessions(sessions.session_id, sessions.account_id, is_fraud, sessions.source)
    recorder = group_recorders(sessions.session_id, sessions.recorder)
    kept = _kept_apart(sessions, groups, recorder, config)
    partition, disagree = agree(_assign(sessions, groups, kept, is_used, config))
    left_out = {"unlabelled": int((~is_used).sum())}
    if len(kept) > 1:
        reason = f"{' and '.join(kept)} are in different partitions"
        left_out[reason] = int((disagree & is_used).sum())
    partition = np.where(is_used, partition, LEFT_OUT).astype(np.int8)
    notes = _notes(sessions, groups, recorder, kept, partition)
    split = Split(
        config, sessions.session_id, partition, is_fraud, groups, recorder, kept, left_out, notes
    )
    split.check_no_crossing()
    _check_partitions(split)
    return split


def assert_no_crossing(
    groups: Mapping[str, Shaped[np.ndarray, " sessions"]], partition: Int8[np.ndarray, " sessions"]
) -> None:
    """Raise `DataError` if a group has sessions in two partitions; `groups` are by their kind.

    Those of the kind "time" are instants: no partition may begin before the earlier one ended.
    """
    hint = "split the sessions again with pipeline.splits.split"
    for kind, names in groups.items():
        if kind == "time":
            if fault := _out_of_order(names, partition):
                raise DataError("split", fault, hint)
        elif len(crossing := _crossing(names, partition)):
            homes = np.unique(partition[(names == crossing[0]) & (partition != LEFT_OUT)])
            where = " and ".join(PARTITIONS[home] for home in homes)
            what = f"{kind} {crossing[0]!r} is in {where} ({len(crossing)} in all)"
            raise DataError("split", what, hint)


def _kept_apart(
    sessions: Sessions,
    groups: Groups,
    recorder: Shaped[np.ndarray, " sessions"],
    config: SplitConfig,
) -> dict[str, Shaped[np.ndarray, " sessions"]]:
    """Return each session's group by kind; a synthetic one is of its parent's recording."""
    recording = _recording(sessions)
    of_kind = {
        "person": groups.person,
        "generator": groups.generator,
        "account": first_known(sessions.account_id, recording),
        "session": recording,
        "source_file": sessions.source_sha256,  # a copy under another name is the same file
        "recorder": recorder,
        "time": sessions.started_at,
    }
    return {kind: of_kind[kind] for kind in config.by}


def _assign(
    sessions: Sessions,
    groups: Groups,
    kept: Mapping[str, Shaped[np.ndarray, " sessions"]],
    is_used: Bool[np.ndarray, " sessions"],
    config: SplitConfig,
) -> dict[str, Int8[np.ndarray, " sessions"]]:
    """Return the partitions that each kind of group gives the sessions.

    Groups known from frauds alone are assigned apart from the others, so that every partition
    gets its share of legitimate sessions. A group that lies within a wider one follows it:
    assigned by itself it would mostly land elsewhere, and its sessions would be left out.
    """
    recording = _recording(sessions)
    only_fraud = sessions.is_fraud.astype(np.int64)
    owner = first_known(groups.person, sessions.account_id, recording).astype(str)
    accounts, account = np.unique(owner, return_inverse=True)
    # Known accounts, new sessions: each account has to be in every partition it can fill.
    in_account = only_fraud * len(accounts) + account if config.task == "owner" else only_fraud
    strata = {"session": in_account, "source_file": in_account}
    homes = {}
    widest_first = sorted(kept, key=lambda kind: (kind != "time", len(distinct_names(kept[kind]))))
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
    names = first_known(groups.person, groups.generator, recording)
    names[~of_none] = None
    homes["none of them"] = assign_by_hash(names, only_fraud, config.shares, config.seed)
    return homes


def _recording(sessions: Sessions) -> Shaped[np.ndarray, " sessions"]:
    """Return the session that each one's path was recorded in; a synthetic one's is its parent."""
    parent, _ = parse_synthetic(sessions.session_id)
    return first_known(parent, sessions.session_id)


def _crossing(
    names: Shaped[np.ndarray, " sessions"], partition: Int8[np.ndarray, " sessions"]
) -> list[str]:
    """Return the groups that are in several partitions."""
    codes, uniques = pd.factorize(names)
    used = (codes >= 0) & (partition != LEFT_OUT)
    code, _ = np.unique(np.stack([codes[used], partition[used]]), axis=1)
    return [str(uniques[i]) for i in np.unique(code[1:][np.diff(code) == 0])]


def _out_of_order(
    started_at: Shaped[np.ndarray, " sessions"], partition: Int8[np.ndarray, " sessions"]
) -> str:
    """Name a partition that begins before the earlier one has ended, if any does."""
    filled = [
        (name, started_at[partition == i])
        for i, name in enumerate(PARTITIONS)
        if (partition == i).any()
    ]
    for (earlier, first), (later, then) in pairwise(filled):
        if not first.max() < then.min():  # nor is NaT before anything
            return f"time: {earlier} lasts to {first.max()}, {later} begins at {then.min()}"
    return ""


def _notes(
    sessions: Sessions,
    groups: Groups,
    recorder: Shaped[np.ndarray, " sessions"],
    kept: Mapping[str, Shaped[np.ndarray, " sessions"]],
    partition: Int8[np.ndarray, " sessions"],
) -> tuple[str, ...]:
    """Say what the partitions have in common all the same."""
    notes = []
    is_fraud = sessions.is_fraud
    unnamed = pd.isna(sessions.account_id) & ~is_fraud
    if unnamed.any():
        notes.append(
            f"{unnamed.sum()} of {(~is_fraud).sum()} legitimate sessions have no account_id: "
            "there, recordings are kept apart, and one person may be in several partitions"
        )
    unknown = is_fraud & pd.isna(groups.person) & pd.isna(groups.generator)
    if unknown.any():
        notes.append(
            f"{unknown.sum()} of {is_fraud.sum()} fraud sessions name neither account nor "
            "generator: there, recordings are kept apart, and one fraudster may be in several "
            "partitions"
        )
    of_nobody = is_fraud & ~np.isin(recorder.astype(str), recorder[~is_fraud].astype(str))
    if of_nobody.any():
        notes.append(
            f"{of_nobody.sum()} of {is_fraud.sum()} fraud sessions are of recorders without a "
            "legitimate session: there, the recorder alone tells them from people"
        )
    for called, names in (("people", groups.person), ("generators", groups.generator)):
        if n_crossing := len(_crossing(names, partition)):
            notes.append(
                f"{n_crossing} of {len(distinct_names(names))} {called} are in several partitions, "
                "since "
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
            "only a log whose times count since 1970 shows when its sessions were: keep something "
            "else apart, such as --split.by session",
        )


def _check_partitions(split: Split) -> None:
    """Raise `DataError` if a partition that has a share lacks what the task needs."""
    for name, share in zip(PARTITIONS, split.config.shares, strict=True):
        chosen = split.indices(name)
        legitimate = chosen[~split.is_fraud[chosen]]
        owners = distinct_names(split.groups.person[legitimate])
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
        raise DataError("split", f"{name} has {lack}; {_inventory(split)}", _way_out(split))


def _inventory(split: Split) -> str:
    n_partitions = np.count_nonzero(split.config.shares)
    n_people = len(distinct_names(split.groups.person[~split.is_fraud]))
    n_generators = len(distinct_names(split.groups.generator))
    left_out = ", ".join(f"{n} left out: {why}" for why, n in split.left_out.items() if n)
    recorders = ""
    if "recorder" in split.kept:
        n_recorders = len(distinct_names(split.recorder[~split.is_fraud]))
        recorders = f" of {n_recorders} recorder{'s' if n_recorders != 1 else ''}"
    return (
        f"{n_people} people with legitimate sessions{recorders} and {n_generators} generators for "
        f"{n_partitions} partitions" + (f" ({left_out})" if left_out else "")
    )


def _way_out(split: Split) -> str:
    n_partitions, kinds = np.count_nonzero(split.config.shares), split.config.by
    if split.config.task == "owner" and {"person", "account"} & set(kinds):
        return (
            f"bring sessions of at least {_MIN_PEOPLE * n_partitions} accounts, or keep sessions "
            "apart, not accounts: --split.by session"
        )
    if split.config.task == "owner":
        return (
            f"it takes {_MIN_PEOPLE} accounts with sessions in every partition, so {n_partitions} "
            "each or more; a share of 0 spares a partition: --split.shares 0.5 0 0 0.5"
        )
    if "recorder" in kinds and len(kinds) == 1:
        return (
            f"it takes {n_partitions} recorders with legitimate sessions, and bots made from them: "
            "`train --simulate`; `ingest --recorder NAME` names them, or keep people apart: "
            "--split.by person generator"
        )
    hint = f"each class needs at least {n_partitions} groups: bring more labelled sessions"
    if len(kinds) > 1:
        hint += ", or keep only one kind apart: " + " or ".join(f"--split.by {k}" for k in kinds)
    return hint
