"""Make the data blocks of a report page from rows of SCORES and their sessions."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Shaped

from pipeline.reasons.account import AccountRanges
from pipeline.reasons.find import find_reasons
from pipeline.reasons.reference import ReferenceRanges
from pipeline.reasons.registry import ACCOUNT_MEASURES, CODES, DIFFERS, MEASURES, UNLIKE_PROFILE
from pipeline.reasons.words import OF_ACCOUNT, OF_PEOPLE, measured_in_words
from pipeline.report.page import LONGEST_BESIDE, path_json
from pipeline.sessions.feedback import UNDECIDED, Verdict
from pipeline.sessions.sessions import Sessions, concatenate_sessions

N_REFERENCE_SESSIONS: Final = 4  # the latest of an account, to compare a case with
N_HISTORY: Final = 12  # earlier scores of an account that are listed


@dataclass
class Gathered:
    """What was found of a report's sessions."""

    parts: list[Sessions] = field(default_factory=list)  # those that are shown
    labels: dict[str, int] = field(default_factory=dict)  # of every labelled session
    reference: dict[str | None, list[dict[str, Any]]] = field(default_factory=dict)  # by account
    originals: dict[str, dict[str, Any]] = field(default_factory=dict)  # of replays, by session

    def sessions(self) -> Sessions | None:
        """Return the shown sessions, each once; None: not one was found."""
        if not self.parts:
            return None
        sessions = concatenate_sessions(self.parts)
        return sessions.take(np.sort(np.unique(sessions.session_id, return_index=True)[1]))


def gather(parts: Iterable[Sessions], cases: pa.Table, suspected: set[str | None]) -> Gathered:
    """Return what `parts` hold of `cases`; `suspected` sessions are no reference."""
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
        is_reference = _is_in(sessions.account_id, accounts) & ~sessions.is_fraud
        is_reference &= sessions.n_events > 0
        for i in np.flatnonzero(is_reference & ~_is_in(sessions.session_id, suspected)):
            _keep_latest(found.reference.setdefault(sessions.account_id[i], []), sessions, int(i))
    return found


def _is_in(names: Shaped[np.ndarray, " sessions"], known: set[str | None]) -> np.ndarray:
    return np.fromiter((name in known for name in names), bool, len(names))


def _keep_latest(kept: list[dict[str, Any]], sessions: Sessions, i: int) -> None:
    """Add a session to its account's, and drop the oldest beyond `N_REFERENCE_SESSIONS` and one.

    One more: a session that is a case itself isn't shown beside itself.
    """
    session = _beside(sessions, i)
    if len(kept) > N_REFERENCE_SESSIONS and _began(session) <= _began(kept[-1]):
        return
    kept.append(session | {"path": path_json(sessions, i, longest=LONGEST_BESIDE)})
    kept.sort(key=_began, reverse=True)
    del kept[N_REFERENCE_SESSIONS + 1 :]


def _began(session: dict[str, Any]) -> str:
    return session["started_at"] or ""


def _beside(sessions: Sessions, i: int) -> dict[str, Any]:
    """Return what is shown of a session for comparison."""
    began = sessions.started_at[i]
    return {
        "id": sessions.session_id[i],
        "started_at": None if np.isnat(began) else f"{began}Z",
    }


Row = Mapping[str, Any]  # of SCORES


Histories = Mapping[str | None, Mapping[str, Any]]  # by account


def account_histories(
    rows: pa.Table, labels: Mapping[str, int | None], verdicts: Mapping[str, Verdict]
) -> dict[str | None, dict[str, Any]]:
    """Return by account how its sessions were scored on every day in `rows`, and decided.

    `rows` are of SCORES with their `run_date`. The latest `N_HISTORY` and one are listed: a case
    isn't listed beside itself.
    """
    newest_first = [
        ("run_date", "descending"),
        ("started_at", "descending"),
        ("session_id", "ascending"),
    ]
    histories: dict[str | None, dict[str, Any]] = {}
    known: dict[str | None, dict[str, str]] = {}
    for row in rows.sort_by(newest_first).to_pylist():
        account, name = row["account_id"], row["session_id"]
        history = histories.setdefault(account, {"n": 0, "flagged": 0, "rows": []})
        word = known_word(name, labels, verdicts)
        history["n"] += 1
        history["flagged"] += row["is_flagged"]
        if word:
            known.setdefault(account, {})[name] = word
        if len(history["rows"]) <= N_HISTORY:
            shown = {
                "id": name,
                "date": row["run_date"],
                "started_at": _iso(row["started_at"]),
                "score": row["fraud_score"],
                "band": row["band"],
                "known": word,
            }
            history["rows"].append(shown)
    for account, history in histories.items():
        words = list(known.get(account, {}).values())
        history["known"] = {word: words.count(word) for word in sorted(set(words))}
    return histories


def known_word(
    session_id: str, labels: Mapping[str, int | None], verdicts: Mapping[str, Verdict]
) -> str | None:
    """Return what is known of a session in a word: its label, or that people are unsure."""
    label = labels.get(session_id)
    if label is not None:
        return ("legitimate", "fraud")[label]
    is_unsure = session_id in verdicts and verdicts[session_id].word != UNDECIDED
    return "unsure" if is_unsure else None


def queue_row(
    row: Row,
    labels: Mapping[str, int | None],
    verdicts: Mapping[str, Verdict],
    histories: Histories,
) -> dict[str, Any]:
    """Return what the queue and the filters need of a session."""
    name = row["session_id"]
    verdict = verdicts.get(name)
    of_account = Counter(histories.get(row["account_id"], {}).get("known", {}))
    of_account.subtract([word] if (word := known_word(name, labels, verdicts)) else [])
    return {
        "id": name,
        "account": row["account_id"],
        "started_at": _iso(row["started_at"]),
        "score": row["fraud_score"],
        "band": row["band"],
        "flagged": row["is_flagged"],
        "threshold": row["threshold"],
        "abstained": row["abstain_reason"],
        "reasons": row["reasons"],
        "replay_of": row["replay_of"],
        "recorder": row["recorder"],
        "recorder_known": row["recorder_known"],
        "n_events": row["n_events"],
        "n_windows": row["n_windows"],
        "model": row["model_id"],
        "run": row["run_id"],
        "scored_at": _iso(row["scored_at"]),
        "label": labels.get(name),
        "account_known": dict(+of_account),  # of its other sessions
        "fed_back": None
        if verdict is None
        else {
            "verdict": verdict.word,
            "note": verdict.note or "",
            "at": _iso(verdict.given_at),
        },
    }


def code_words() -> dict[str, dict[str, str]]:
    """Return by code what a reason says, and when it misleads."""
    return {name: {"words": code.words, "misleads": code.misleads} for name, code in CODES.items()}


def measured_reasons(
    sessions: Sessions,
    reference: ReferenceRanges,
    ranges: AccountRanges | None,
    is_flagged: Bool[np.ndarray, " sessions"],
) -> dict[str, list[dict[str, Any]]]:
    """Return by session what was measured for each of its reasons, and the reference range.

    In numbers, and in a sentence with quantity and unit.
    """
    measured: dict[str, list[dict[str, Any]]] = {}
    for row in find_reasons(sessions, reference, ranges, is_flagged).to_pylist():
        measure = (MEASURES | ACCOUNT_MEASURES)[row["measure"]]
        whose = OF_ACCOUNT if row["code"] in (UNLIKE_PROFILE, DIFFERS) else OF_PEOPLE
        low, high = row["usual_low"], row["usual_high"]
        reason = {
            "code": row["code"],
            "measure": measure.words,
            "value": row["value"],
            "range": [low, high],
            "unit": row["unit"],
            "text": measured_in_words(measure, row["value"], low, high, whose) + ".",
        }
        measured.setdefault(row["session_id"], []).append(reason)
    return measured


def case_blocks(
    rows: Sequence[Row],
    gathered: Gathered,
    sessions: Sessions | None,
    views: Mapping[str, Mapping[str, Any]],
    scores: Mapping[str, float | None],
    histories: Histories,
) -> dict[str, dict[str, Any]]:
    """Return a block a case, and one for each account: sessions to compare with, and its history.

    `views` is what else is known by session, such as the picture of its highest window;
    `scores` the scores of sessions that are shown beside a case.
    """
    where = {} if sessions is None else {name: i for i, name in enumerate(sessions.session_id)}
    accounts = [
        row["account_id"]
        for row in rows
        if row["account_id"] in gathered.reference or row["account_id"] in histories
    ]
    number = {name: i for i, name in enumerate(dict.fromkeys(accounts))}
    blocks: dict[str, dict[str, Any]] = {}
    for i, row in enumerate(rows):
        name = row["session_id"]
        original = gathered.originals.get(row["replay_of"])
        blocks[f"case-{i}"] = {
            "path": path_json(sessions, where[name], row["worst_window_ms"])
            if sessions is not None and name in where
            else None,
            "worst_ms": row["worst_window_ms"],
            "account_block": number.get(row["account_id"]),
            "original": original and _scored(original, scores),
            **views.get(name, {}),
        }
    for name, i in number.items():
        reference = gathered.reference.get(name, [])
        blocks[f"account-{i}"] = {
            "reference": [_scored(session, scores) for session in reference],
            "history": histories.get(name),
        }
    return blocks


def _scored(session: dict[str, Any], scores: Mapping[str, float | None]) -> dict[str, Any]:
    return session | {"score": scores.get(session["id"])}


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
