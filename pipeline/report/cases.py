"""Rows of SCORES and what was gathered of their sessions in, the data blocks of a page out."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pipeline.reasons.codes import CODES, PROFILE
from pipeline.reasons.found import find_reasons
from pipeline.reasons.measures import HABITS
from pipeline.reasons.own import OwnRanges
from pipeline.reasons.usual import Usual
from pipeline.report.gather import Gathered
from pipeline.report.path import path_json
from pipeline.sessions import Sessions

Row = Mapping[str, Any]  # of SCORES


def queue_row(row: Row, label: int | None) -> dict[str, Any]:
    """Return what the queue and the filters need of a session."""
    return {
        "id": row["session_id"],
        "account": row["account_id"],
        "started_at": _iso(row["started_at"]),
        "score": row["fraud_score"],
        "band": row["band"],
        "flagged": row["is_flagged"],
        "threshold": row["threshold"],
        "abstained": row["abstain_reason"],
        "reasons": row["reasons"],
        "replay_of": row["replay_of"],
        "n_events": row["n_events"],
        "n_windows": row["n_windows"],
        "model": row["model_id"],
        "run": row["run_id"],
        "scored_at": _iso(row["scored_at"]),
        "label": label,
    }


def code_words() -> dict[str, dict[str, str]]:
    """Return by code what a reason says, and when it misleads."""
    return {name: {"words": code.words, "misleads": code.misleads} for name, code in CODES.items()}


def measured_reasons(
    sessions: Sessions, usual: Usual, ranges: OwnRanges | None
) -> dict[str, list[dict[str, Any]]]:
    """Return by session what was measured for each of its reasons, and what is usual.

    A habit that is compared with the account's own is named: there is more than one a reason.
    """
    measured: dict[str, list[dict[str, Any]]] = {}
    for row in find_reasons(sessions, usual, ranges).to_pylist():
        reason = {
            "code": row["code"],
            "habit": HABITS[row["measure"]].words if row["code"] == PROFILE else None,
            "value": row["value"],
            "usual": [row["usual_low"], row["usual_high"]],
            "unit": row["unit"],
        }
        measured.setdefault(row["session_id"], []).append(reason)
    return measured


def case_blocks(
    rows: Sequence[Row],
    gathered: Gathered,
    sessions: Sessions | None,
    views: Mapping[str, Mapping[str, Any]],
    scores: Mapping[str, float],
) -> dict[str, dict[str, Any]]:
    """Return a block a case, and one for each account with the sessions that are usual for it.

    `views` is what else is known by session, such as the picture of its highest window;
    `scores` the scores of sessions that are shown beside a case.
    """
    where = {} if sessions is None else {name: i for i, name in enumerate(sessions.session_id)}
    accounts = [row["account_id"] for row in rows if row["account_id"] in gathered.usual]
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
        blocks[f"account-{i}"] = {
            "usual": [_scored(session, scores) for session in gathered.usual[name]]
        }
    return blocks


def _scored(session: dict[str, Any], scores: Mapping[str, float]) -> dict[str, Any]:
    return session | {"score": scores.get(session["id"])}


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
