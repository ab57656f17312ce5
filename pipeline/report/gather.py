"""Scores of a day and sessions in, what a report shows of each session out.

The sessions come once through, some thousands at a time: kept are those that are shown, and
of each account a few that were not suspected, to look at beside them. Sessions that name no
account are compared with others that name none.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
from jaxtyping import Shaped

from pipeline.report.path import LONGEST_BESIDE, path_json
from pipeline.sessions import Sessions, concatenate_sessions

N_USUAL: Final = 4  # of an account's sessions, the latest


@dataclass
class Gathered:
    """What was found of a report's sessions."""

    parts: list[Sessions] = field(default_factory=list)  # those that are shown
    labels: dict[str, int] = field(default_factory=dict)  # of every labelled session
    usual: dict[str | None, list[dict[str, Any]]] = field(default_factory=dict)  # by account
    originals: dict[str, dict[str, Any]] = field(default_factory=dict)  # of replays, by session

    def sessions(self) -> Sessions | None:
        """Return the shown sessions, each once; None: not one was found."""
        if not self.parts:
            return None
        sessions = concatenate_sessions(self.parts)
        return sessions.take(np.sort(np.unique(sessions.session_id, return_index=True)[1]))


def gather(parts: Iterable[Sessions], cases: pa.Table, suspected: set[str | None]) -> Gathered:
    """Return what `parts` hold of `cases`; `suspected` sessions aren't an account's usual ones."""
    wanted: set[str | None] = set(cases["session_id"].to_pylist())
    accounts: set[str | None] = set(cases["account_id"].to_pylist())
    replayed: set[str | None] = set(cases["replay_of"].drop_null().to_pylist())
    found = Gathered()
    for sessions in parts:
        is_wanted = _is_in(sessions.session_id, wanted)
        if is_wanted.any():
            found.parts.append(sessions.take(is_wanted))
        for i in np.flatnonzero(sessions.label >= 0):
            found.labels[sessions.session_id[i]] = int(sessions.label[i])
        for i in np.flatnonzero(_is_in(sessions.session_id, replayed)):
            path = path_json(sessions, int(i), longest=LONGEST_BESIDE)
            found.originals[sessions.session_id[i]] = _beside(sessions, int(i)) | {"path": path}
        is_usual = _is_in(sessions.account_id, accounts) & (sessions.label != 1)
        for i in np.flatnonzero(is_usual & ~_is_in(sessions.session_id, suspected)):
            _keep_latest(found.usual.setdefault(sessions.account_id[i], []), sessions, int(i))
    return found


def _is_in(names: Shaped[np.ndarray, " sessions"], known: set[str | None]) -> np.ndarray:
    return np.fromiter((name in known for name in names), bool, len(names))


def _keep_latest(kept: list[dict[str, Any]], sessions: Sessions, i: int) -> None:
    """Add a session to its account's, and drop the oldest beyond `N_USUAL` and one.

    One more: a session that is a case itself isn't shown beside itself.
    """
    session = _beside(sessions, i)
    if len(kept) > N_USUAL and _began(session) <= _began(kept[-1]):
        return
    kept.append(session | {"path": path_json(sessions, i, longest=LONGEST_BESIDE)})
    kept.sort(key=_began, reverse=True)
    del kept[N_USUAL + 1 :]


def _began(session: dict[str, Any]) -> str:
    return session["started_at"] or ""


def _beside(sessions: Sessions, i: int) -> dict[str, Any]:
    """Return what is said of a session that is shown for comparison."""
    began = sessions.started_at[i]
    return {
        "id": sessions.session_id[i],
        "started_at": None if np.isnat(began) else f"{began}Z",
    }
