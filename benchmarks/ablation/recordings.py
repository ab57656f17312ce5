"""Recordings in; out comes who is trained on, who is enrolled and what is held against whom."""

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from flows.jobs.inputs import each_sessions
from pipeline.audit.device import device_matched
from pipeline.labels import read_labels
from pipeline.sessions import EVENT_COLUMNS, Sessions, concatenate_sessions

N_TESTED = 20  # of SapiMouse's people: kept away, others for each seed
EVIDENCE_S = 15.0
ENROLLED_EVENTS = 10_000  # of each of Balabit's training sessions: enough to know a hand by


@dataclass(frozen=True)
class Recordings:
    """Two questions, asked of one network: known accounts, and people never seen."""

    known: Sessions  # Balabit's training files: trained on and enrolled
    claims: Sessions  # its labelled test sessions
    matched: Bool[np.ndarray, " claims"]  # whose device doesn't decide them
    people: Sessions  # of SapiMouse, whom the seed leaves in training
    enrolled: Sessions  # the longer sessions of those kept away
    tried: Sessions  # their shorter ones
    stretches: Sessions  # the same, cut at every 15 s

    @property
    def training(self) -> Sessions:
        """Return what the network learns from."""
        return concatenate_sessions([self.known, self.people])


def read_recordings() -> tuple[Sessions, Sessions, Bool[np.ndarray, " claims"], Sessions]:
    """Return Balabit's training and labelled test sessions, which are matched, and SapiMouse."""
    folder = Path(os.environ.get("POINTERPRINT_DATA", "../shared/data"))
    if not (folder / "balabit").is_dir() or not (folder / "sapimouse").is_dir():
        print(f"skipped: no balabit and sapimouse at {folder} (set POINTERPRINT_DATA)")
        sys.exit(0)
    known, claims, people = (
        concatenate_sessions(list(each_sessions([folder / name])))
        for name in ("balabit/training_files", "balabit/test_files", "sapimouse")
    )
    labels = read_labels(folder / "balabit" / "labels.csv").to_pydict()
    label = dict(zip(labels["session_id"], labels["label"], strict=True))
    claims = claims.take(np.isin(claims.session_id.astype(str), list(label)))
    claims = replace(claims, label=np.array([label[s] for s in claims.session_id], np.int8))
    matched = device_matched(claims, known)
    known = shortened(known, ENROLLED_EVENTS)
    return known, claims, matched, people


def deal(
    known: Sessions,
    claims: Sessions,
    matched: Bool[np.ndarray, " claims"],
    people: Sessions,
    seed: int,
) -> Recordings:
    """Return the recordings with other people kept away for each `seed`."""
    names = np.unique(people.account_id.astype(str))
    away = np.random.default_rng(seed).permutation(names)[:N_TESTED]
    is_away = np.isin(people.account_id.astype(str), away)
    held = people.take(is_away)
    is_short = np.array([session_id.endswith("1min") for session_id in held.session_id], bool)
    tried = held.take(is_short)
    return Recordings(
        known, claims, matched, people.take(~is_away), held.take(~is_short), tried,
        cut_by_time(tried, EVIDENCE_S),
    )  # fmt: skip


def cut_by_time(sessions: Sessions, length_s: float) -> Sessions:
    """Return the whole stretches of `length_s` of each session, as sessions of their own."""
    session = np.repeat(np.arange(len(sessions)), sessions.n_events)
    part = sessions.t_us // int(length_s * 1e6)
    last_us = sessions.t_us[sessions.offsets[1:] - 1]
    n_whole = np.maximum(np.rint(last_us / (length_s * 1e6)).astype(np.int64), 1)
    kept = np.flatnonzero(part < n_whole[session])
    new = np.append(True, (np.diff(session[kept]) != 0) | (np.diff(part[kept]) != 0))
    start = np.flatnonzero(new)
    offsets = np.append(start, len(kept))
    columns = {name: getattr(sessions, name)[kept] for name in EVENT_COLUMNS}
    columns["t_us"] = columns["t_us"] - np.repeat(columns["t_us"][start], np.diff(offsets))
    stretches = sessions.take(session[kept][start])
    ids = [f"{i}@{p}" for i, p in zip(stretches.session_id, part[kept][start], strict=True)]
    return replace(stretches, **columns, session_id=np.array(ids, object), offsets=offsets)


def shortened(sessions: Sessions, longest: int) -> Sessions:
    """Return sessions without their events past `longest`."""
    counts = np.minimum(sessions.n_events, longest)
    offsets = np.append(0, np.cumsum(counts)).astype(np.int64)
    event = np.arange(offsets[-1]) + np.repeat(sessions.offsets[:-1] - offsets[:-1], counts)
    columns = {name: getattr(sessions, name)[event] for name in EVENT_COLUMNS}
    return replace(sessions, **columns, offsets=offsets)
