"""Trials: parts of sessions compared with profiles, genuine or an impostor's.

A trial is genuine where the profile is the session's own account's, an impostor's (label 1) where
it is another's. Parts are of one window and more, so that a calibration holds for any number of
windows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float64, Int8, Int64, Shaped

from model.config import OwnerConfig
from model.owner.population import SessionEmbeddings
from model.owner.profiles import Profiles, compare_with_profiles
from pipeline.sessions.ragged import Grouping
from pipeline.sessions.sessions import Sessions, concatenate_sessions


def with_pseudo_speakers(sessions: Sessions, config: OwnerConfig) -> Sessions:
    """Return `sessions`, and behind them those of the pseudo-speakers made from each."""
    synthetic = [_named(_mirrored(sessions), "mirrored")] if config.mirrored else []
    synthetic += [_named(_at_pace(sessions, pace), f"x{pace:g}") for pace in config.paces]
    return concatenate_sessions([sessions, *synthetic])


def _mirrored(sessions: Sessions) -> Sessions:
    """Return sessions with left and right swapped, each within its own extent."""
    owner = sessions.session_of_event
    of_session = Grouping(owner, len(sessions))
    x_px = sessions.x_px.astype(np.float64)
    middle = of_session.max(x_px) - of_session.max(-x_px)  # twice: right edge + left edge
    return replace(sessions, x_px=(middle[owner] - x_px).astype(np.float32))


def _at_pace(sessions: Sessions, times: float) -> Sessions:
    """Return sessions that take `times` as long."""
    return replace(sessions, t_us=np.rint(sessions.t_us * times).astype(np.int64))


def _named(sessions: Sessions, what: str) -> Sessions:
    """Return sessions of other accounts."""
    accounts = [f"{account} {what}" for account in sessions.account_id]
    return replace(sessions, account_id=np.array(accounts, object))


PART_LENGTHS = (1, 2, 4, 8, 16)
"""Windows in a part of a session; whole sessions are compared too."""
WHOLE = 0
_PARTS_A_SESSION = 4  # of each length, spread evenly


@dataclass(frozen=True)
class Trials:
    """A comparison a row."""

    session: Int64[np.ndarray, " trials"]  # of which it is a part
    account: Shaped[np.ndarray, " trials"]  # the profile it is compared with
    length: Int64[np.ndarray, " trials"]  # windows, of PART_LENGTHS; WHOLE: the session
    n_windows: Int64[np.ndarray, " trials"]
    ratio: Float64[np.ndarray, " trials"]  # log likelihood, this account's owner against anyone
    label: Int8[np.ndarray, " trials"]  # 1: an impostor
    n_enrolled: Int64[np.ndarray, " trials"]  # sessions in that profile
    is_learnt: Bool[np.ndarray, " trials"]  # whether the population was fitted to them too

    def __len__(self) -> int:
        """Return the number of comparisons."""
        return len(self.ratio)

    def take(self, chosen: Shaped[np.ndarray, " chosen"]) -> "Trials":
        """Return the trials at `chosen`."""
        return Trials(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def join_trials(parts: Sequence[tuple[Int64[np.ndarray, " _own"], Trials]]) -> Trials:
    """Return trials of several sets of sessions as one; each set names its sessions."""
    moved = [replace(trials, session=which[trials.session]) for which, trials in parts]
    return Trials(
        *(np.concatenate([getattr(t, f) for t in moved]) for f in Trials.__dataclass_fields__)
    )


def split_enrolment(sessions: Sessions) -> Bool[np.ndarray, " sessions"]:
    """Return which sessions make the profiles: those before each account's latest day.

    The rest is tested, as the next day will be scored. Of an account seen on one day it is the
    latest session; of one whose times aren't known, the shortest. An account with one session has
    no profile: its session is compared with the others'.
    """
    frame = pd.DataFrame({"account": sessions.account_id, "at": sessions.started_at})
    of_account = frame.groupby("account")
    is_timed = of_account["at"].transform("count") == of_account["at"].transform("size")
    day = frame["at"].dt.floor("D")
    has_days = is_timed & (day.groupby(frame["account"]).transform("nunique") > 1)
    is_before = day < day.groupby(frame["account"]).transform("max")
    at_us = sessions.started_at.astype("datetime64[us]").astype(np.int64)
    ordered = frame.assign(order=np.where(is_timed, at_us, -sessions.n_events))
    ordered = ordered.sort_values("order", kind="stable")
    from_last = ordered.groupby("account").cumcount(ascending=False).reindex(frame.index)
    return np.where(has_days, is_before, from_last > 0)  # of equal sessions the last in order


def days_of_accounts(sessions: Sessions) -> Shaped[np.ndarray, " sessions"]:
    """Return a name for each account's day; of an account that isn't seen on two, its sessions'."""
    frame = pd.DataFrame({"account": sessions.account_id, "at": sessions.started_at})
    day = frame["at"].dt.floor("D")
    n_days = day.groupby(frame["account"]).transform("nunique").to_numpy()
    whose = [f"{account} {at}" for account, at in zip(frame["account"], day, strict=True)]
    return np.where((n_days > 1) & day.notna(), whose, sessions.session_id)


def make_trials(
    embeddings: Float[np.ndarray, "windows features"],
    session_of_window: Int64[np.ndarray, " windows"],
    sessions: Sessions,
    profiles: Profiles,
    n_others: int,
    seed: int = 0,
    is_learnt: bool = True,
) -> Trials:
    """Compare parts of `sessions` with their own account and `n_others` drawn at random.

    `is_learnt` says whether the population was fitted to what the profiles are made of.
    """
    known = profiles.confident(min_confidence=0.0)
    accounts = np.array(sorted(known), object)
    rng = np.random.default_rng(seed)
    session, lengths, start, stop, account = [], [], [], [], []
    for which, length, begin, end in _parts(session_of_window, len(sessions)):
        own = sessions.account_id[which]
        rest = accounts[accounts != own]
        claimed = [own] if own in known else []
        claimed += list(rng.choice(rest, min(n_others, len(rest)), replace=False))
        session += [which] * len(claimed)
        lengths += [length] * len(claimed)
        start += [begin] * len(claimed)
        stop += [end] * len(claimed)
        account += claimed
    first, last = np.array(start, np.int64), np.array(stop, np.int64)
    total = np.cumsum(np.vstack([np.zeros(embeddings.shape[1]), embeddings.astype(np.float64)]), 0)
    n_windows = last - first
    mean = (total[last] - total[first]) / np.maximum(n_windows, 1)[:, None]
    claims = np.array(account, object)
    whose = np.array(session, np.int64)
    enrolled = profiles.table["account_id"].to_pandas().value_counts()
    return Trials(
        session=whose,
        account=claims,
        length=np.array(lengths, np.int64),
        n_windows=n_windows,
        ratio=compare_with_profiles(
            SessionEmbeddings(mean, n_windows), claims, known, profiles.population
        ),
        label=(claims != sessions.account_id[whose]).astype(np.int8),
        n_enrolled=enrolled.reindex(claims).to_numpy(np.int64),
        is_learnt=np.full(len(claims), is_learnt),
    )


def _parts(
    session_of_window: Int64[np.ndarray, " windows"], n_sessions: int
) -> Iterator[tuple[int, int, int, int]]:
    """Give session, length, first and last window of each part; windows lie in order."""
    begin = np.searchsorted(session_of_window, np.arange(n_sessions))
    end = np.searchsorted(session_of_window, np.arange(n_sessions), side="right")
    for which in np.flatnonzero(end > begin).tolist():
        first, n = int(begin[which]), int(end[which] - begin[which])
        yield which, WHOLE, first, first + n
        for length in PART_LENGTHS:
            if length >= n:
                break
            n_parts = min(n // length, _PARTS_A_SESSION)
            for at in np.linspace(0, n - length, n_parts).astype(int).tolist():
                yield which, length, first + at, first + at + length
