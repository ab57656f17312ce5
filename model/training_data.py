"""Choose what a model learns from: partitions, synthetic sessions, sub-sessions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float32, Int8, Int64, Shaped

from model.config import AugmentConfig, RunConfig
from pipeline.errors import DataError
from pipeline.sessions.resample import throttle_sessions
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from pipeline.simulate.generators import BOT_NAMES
from pipeline.simulate.synthetic import simulate_sessions
from pipeline.splits.groups import (
    distinct_names,
    group_recorders,
    group_sessions,
    parse_synthetic,
)
from pipeline.splits.split import Split, split_sessions

ENOUGH_GENERATORS = 8
"""With so many generators of labelled frauds, synthetic sessions are for training alone."""

_UNTHROTTLED_MS = 1e-3  # a tick of the clock that times are in: every event has its own


def training_sessions(
    sessions: Sessions, config: RunConfig, simulate: bool
) -> tuple[Sessions, Split]:
    """Return the sessions to train with, and what each is for; with `simulate`, synthetic ones too.

    With `simulate`, sessions without a label count as legitimate. Where enough generators of
    labelled frauds are known, only these frauds validate, calibrate and test; synthetic sessions by
    all other generators are added to the train partition. Otherwise, or where whole recorders are
    kept apart, of which each needs its frauds, synthetic sessions are split like other frauds.
    """
    if not len(sessions):
        raise DataError("train", "the stores hold no session with an event", "ingest some first")
    settings = replace(config.split, task=config.task, seed=config.seed)
    if not simulate:
        return sessions, split_sessions(sessions, settings)
    sessions = replace(sessions, label=np.maximum(sessions.label, 0))
    known = _generators(sessions)
    bots = config.simulate.bots or BOT_NAMES
    if len(known) < ENOUGH_GENERATORS or "recorder" in settings.by:
        sessions, _ = _with_synthetic(sessions, sessions.is_legitimate, bots, config)
        return sessions, split_sessions(sessions, settings)
    split = split_sessions(sessions, settings)
    unseen = [name for name in bots if name not in known]
    if not unseen:
        return sessions, split
    is_parent = split.is_in("train") & sessions.is_legitimate
    sessions, parent = _with_synthetic(sessions, is_parent, unseen, config)
    return sessions, split.extended(sessions, parent)


def _generators(sessions: Sessions) -> set[str]:
    """Return what made the frauds among `sessions`."""
    groups = group_sessions(
        sessions.session_id, sessions.account_id, sessions.is_fraud, sessions.source
    )
    return {name for name in groups.generator if name is not None}


def _with_synthetic(
    sessions: Sessions,
    is_parent: Bool[np.ndarray, " sessions"],
    bots: Sequence[str],
    config: RunConfig,
) -> tuple[Sessions, Int64[np.ndarray, " synthetic"]]:
    """Append synthetic sessions modelled on the parents; return all, and each new one's parent.

    Each recorder gets as many, from its own people, however many these are: `per_session` is the
    mean. But a session is taken no more often than there are bots, unless `per_session` is more.
    """
    recorder = group_recorders(sessions.session_id, sessions.recorder)
    per_session, most = config.simulate.per_session, max(len(bots), config.simulate.per_session)
    names = sorted(distinct_names(recorder[is_parent]))
    n_each = per_session * is_parent.sum() / max(len(names), 1)
    known = set(sessions.session_id)  # a store that `simulate` made may hold some of them already
    parts, parents = [sessions], [np.zeros(0, np.int64)]
    for name in names:
        own = np.flatnonzero(is_parent & (recorder == name))
        n = int(np.clip(round(n_each / len(own)), 1, most))
        synthetic = simulate_sessions(sessions.take(own), bots, n, config.seed)
        is_new = np.array([one not in known for one in synthetic.session_id], bool)
        parts.append(synthetic if is_new.all() else synthetic.take(is_new))
        parents.append(np.repeat(own, n)[is_new])
    return concatenate_sessions(parts), np.concatenate(parents)


BALANCED: Final = np.dtype([("recorder", object), ("group", object), ("is_synthetic", np.bool_)])
"""What a session is balanced in; the group is a fraud's generator, else the person."""


def balance_groups(split: Split) -> Shaped[np.ndarray, " sessions"]:
    """Return what each session is balanced in, a record of `BALANCED`."""
    parent, _ = parse_synthetic(split.session_id)
    by_generator = split.is_fraud & pd.notna(split.groups.generator)
    group = np.where(by_generator, split.groups.generator, split.groups.person)
    return balance_records(split.recorder, group, split.is_fraud & pd.notna(parent))


def balance_records(
    recorder: Shaped[np.ndarray, " sessions"],
    group: Shaped[np.ndarray, " sessions"],
    is_synthetic: Bool[np.ndarray, " sessions"],
) -> Shaped[np.ndarray, " sessions"]:
    """Return records of `BALANCED` from their columns."""
    records = np.empty(len(group), BALANCED)
    records["recorder"], records["group"], records["is_synthetic"] = recorder, group, is_synthetic
    return records


def window_weights(
    session_of_window: Int64[np.ndarray, " windows"],
    label: Int8[np.ndarray, " sessions"],
    groups: Shaped[np.ndarray, " sessions"],
) -> Float32[np.ndarray, " windows"]:
    """Return how often each window is to be drawn: classes alike, then recorders, groups, sessions.

    Without this, a person who was recorded for an hour would be all that the network learns, or a
    recorder with more people than all others. A recorder of one person counts half: nothing tells
    the two apart. Where there are recorded frauds and synthetic ones, each kind is half of them.
    Among synthetic frauds a recorder counts as much as among people, so that it doesn't tell which
    of the two a window is.
    """
    used, n_windows = np.unique(session_of_window, return_counts=True)
    frame = pd.DataFrame({name: groups[name][used] for name in BALANCED.fields or ()})
    frame["label"], frame["group"] = label[used], frame["group"].fillna("")
    kind = ["label", "is_synthetic"]
    recorder = [*kind, "recorder"]
    counts = _recorder_counts(frame)
    frame["counts"] = counts / _of_groups(frame, recorder, "label", "size")
    share = counts / _of_groups(frame, kind, "counts", "sum")  # of the recorder in its kind
    share /= _of_groups(frame, recorder, "group", "nunique")
    share /= _of_groups(frame, [*recorder, "group"], "label", "size")
    share /= _of_groups(frame, ["label"], "is_synthetic", "nunique")
    of_session = np.zeros(len(label))
    of_session[used] = share / n_windows
    weights = of_session[session_of_window]
    return (weights / weights.sum()).astype(np.float32)


def _of_groups(
    frame: pd.DataFrame, by: Sequence[str], column: str, how: Literal["size", "sum", "nunique"]
) -> Float[np.ndarray, " rows"]:
    """Return a number of each row's group."""
    return np.asarray(frame.groupby(list(by))[column].transform(how), np.float64)


def _recorder_counts(frame: pd.DataFrame) -> Float[np.ndarray, " rows"]:
    """Return how much the recorder of each row counts: half if it recorded one person.

    If it recorded nobody, generators stand for people.
    """
    n = frame.groupby("recorder")["group"].nunique().to_dict()
    n |= frame[frame["label"] == 0].groupby("recorder")["group"].nunique().to_dict()
    return np.array([min(n[name], 2) / 2 for name in frame["recorder"]])


def draw_sub_sessions(
    sessions: Sessions,
    weights: Float[np.ndarray, " sessions"],
    n: int,
    shortest: int,
    augment: AugmentConfig,
    rng: np.random.Generator,
) -> tuple[Sessions, Int64[np.ndarray, " sub_sessions"]]:
    """Return `n` parts of sessions drawn by `weights`, and which session each is a part of.

    People were recorded for minutes, with one recorder. A calibration on these recordings as they
    are would know nothing of what is commonest in a day's log: short sessions, and other recorders.
    So lengths are drawn evenly on a log scale, from `shortest` events to the whole session, and all
    but `augment.same_recorder_share` of the sub-sessions are played faster or slower and throttled,
    as in training (`model.augment`).
    """
    parent = rng.choice(len(sessions), n, p=weights / weights.sum())
    n_events = sessions.n_events[parent]
    least = np.minimum(n_events, shortest)
    length = np.rint(least * (n_events / least) ** rng.random(n)).astype(np.int64)
    begin = rng.integers(0, n_events - length + 1)
    offsets = np.append(0, np.cumsum(length))
    first = sessions.offsets[:-1][parent] + begin
    event = np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], length)
    sub_sessions = sessions.gather(parent, event, offsets)
    return _by_another_recorder(sub_sessions, augment, rng), parent


def _by_another_recorder(
    sessions: Sessions, augment: AugmentConfig, rng: np.random.Generator
) -> Sessions:
    """Return sessions at another pace and throttled as by another recorder, but for some."""
    n = len(sessions)
    as_recorded = rng.random(n) < augment.same_recorder_share
    pace = np.exp(rng.uniform(-1, 1, n) * np.log(augment.speed))
    pace[as_recorded] = 1.0
    slowest_ms = max(augment.slowest_recorder_ms, 8.0)
    period_ms = np.exp(rng.uniform(np.log(8.0), np.log(slowest_ms), n))
    period_ms[as_recorded | (rng.random(n) >= augment.throttled_share)] = _UNTHROTTLED_MS
    t_us = np.rint(sessions.t_us * np.repeat(pace, sessions.n_events)).astype(np.int64)
    return throttle_sessions(replace(sessions, t_us=t_us), period_ms)
