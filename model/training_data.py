"""Choose what a model learns from: partitions, synthetic sessions, sub-sessions."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Float32, Int8, Int64, Shaped

from model.config import AugmentConfig, RunConfig
from pipeline.errors import DataError
from pipeline.sessions.resample import throttle_sessions
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from pipeline.simulate.generators import BOT_NAMES
from pipeline.simulate.synthetic import simulate_sessions
from pipeline.splits.groups import group_sessions
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
    all other generators are added to the train partition. Otherwise synthetic sessions are split
    like other frauds.
    """
    if not len(sessions):
        raise DataError("train", "the stores hold no sessions", "ingest some first")
    settings = replace(config.split, task=config.task, seed=config.seed)
    if not simulate:
        return sessions, split_sessions(sessions, settings)
    sessions = replace(sessions, label=np.maximum(sessions.label, 0))
    known = _generators(sessions)
    bots = config.simulate.bots or BOT_NAMES
    if len(known) < ENOUGH_GENERATORS:
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
    """Append synthetic sessions modelled on the parents; return all, and each new one's parent."""
    n_each = config.simulate.per_session
    synthetic = simulate_sessions(sessions.take(is_parent), bots, n_each, config.seed)
    # A store that `simulate` made may hold some of them already.
    is_new = ~np.isin(synthetic.session_id.astype(str), sessions.session_id.astype(str))
    parent = np.repeat(np.flatnonzero(is_parent), n_each)
    return concatenate_sessions([sessions, synthetic.take(is_new)]), parent[is_new]


def balance_groups(split: Split) -> Shaped[np.ndarray, " sessions"]:
    """Return the group that each session is balanced in: a fraud's generator, else the person."""
    fraud = split.is_fraud & np.array([name is not None for name in split.groups.generator], bool)
    return np.where(fraud, split.groups.generator, split.groups.person)


def window_weights(
    session_of_window: Int64[np.ndarray, " windows"],
    label: Int8[np.ndarray, " sessions"],
    group: Shaped[np.ndarray, " sessions"],
) -> Float32[np.ndarray, " windows"]:
    """Return how often each window is to be drawn: classes alike, then groups, then sessions.

    Without this, a person who was recorded for an hour would be all that the network learns.
    """
    used = np.unique(session_of_window)
    per_window = 1 / np.bincount(session_of_window, minlength=len(label))[session_of_window]
    _, code = np.unique(
        [f"{c}|{g}" for c, g in zip(label, group, strict=True)], return_inverse=True
    )
    sessions_in_group = np.bincount(code[used], minlength=code.max() + 1)
    class_of_group = np.zeros(code.max() + 1, np.int64)
    class_of_group[code] = label
    groups_in_class = np.bincount(class_of_group[np.unique(code[used])], minlength=2)
    session_share = 1 / (sessions_in_group[code] * groups_in_class[label]).clip(1)
    weights = per_window * session_share[session_of_window]
    return (weights / weights.sum()).astype(np.float32)


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
