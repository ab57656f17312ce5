"""Measure how well shortcuts rank sessions without their path, beside the model."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64, Shaped

from model.bootstrap import Interval, cluster_bootstrap
from model.evaluate import last_scores
from model.metrics import weighted_auc
from pipeline.audit.case import Case
from pipeline.audit.shortcuts import Shortcut, Shortcuts
from pipeline.errors import DataError
from pipeline.scores.recorders import unknown_recorders_text
from pipeline.sessions.sessions import Sessions
from pipeline.splits.groups import group_recorders

MODEL = "the model"
"""The name of the row that uses the path."""


@dataclass(frozen=True)
class AuditRow:
    """How often a score ranks a fraud above a legitimate session."""

    name: str
    how: str
    n_sessions: int
    auc: Interval
    auc_matched: Interval | None  # of the device-matched; None: a class has none left


@dataclass(frozen=True)
class DeviceCounts:
    """How many sessions of a class the device rule alone calls frauds."""

    n_sessions: int  # scored
    n_decided: int
    n_other_clock: int
    n_other_screen: int


@dataclass(frozen=True)
class RecorderSessions:
    """How many labelled sessions one recorder wrote."""

    recorder: str
    n_legitimate: int
    n_fraud: int


@dataclass(frozen=True)
class Audit:
    """The AUC of every shortcut and of the model, and what the device rule decides."""

    task: str
    n_groups: int  # that intervals are drawn from
    n_references: int
    rows: tuple[AuditRow, ...]
    fraud: DeviceCounts
    legitimate: DeviceCounts
    recorders: tuple[RecorderSessions, ...]  # most sessions first
    left_out: dict[str, int]  # reason -> sessions
    notes: tuple[str, ...]
    decided: pd.DataFrame  # a row for each session that the device rule decides

    def to_json(self) -> dict[str, Any]:
        """Return it as a plain dict."""
        rows = [asdict(row) for row in self.rows]
        decided = [
            {name: value if pd.notna(value) else None for name, value in row.items()}
            for row in self.decided.to_dict("records")
        ]
        return asdict(self) | {"rows": rows, "notes": list(self.notes), "decided": decided}


def audit_case(
    case: Case,
    shortcuts: Shortcuts,
    scores: pa.Table | pd.DataFrame | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Audit:
    """Return the AUC of each shortcut, on all sessions of a case and on the device-matched.

    With a `SCORES` table the model has a row too, over the sessions that it scored.
    """
    recorders = _recorders(case.sessions)
    rows, notes = list(shortcuts.rows), _one_class_notes(recorders)
    if scores is not None:
        rows.append(_model_row(case, scores))
        notes += _level_notes(case, scores)
        n_lacking = int((np.isnan(rows[-1].score) & shortcuts.is_scored).sum())
        if n_lacking:
            notes.append(f"{n_lacking:,} sessions have no score and are not in its row")
    matched = ~shortcuts.device.is_decided
    label, groups = case.sessions.label.astype(np.int64), case.clusters()

    def measure(score: Float64[np.ndarray, " sessions"], chosen: Bool[np.ndarray, " sessions"]):
        chosen = chosen & np.isfinite(score) & shortcuts.is_scored
        return _auc_interval(score[chosen], label[chosen], groups[chosen], n_resamples, seed)

    everyone = np.ones(len(label), bool)
    measured = []
    for row in rows:
        auc = measure(row.score, everyone)
        if auc is None:
            raise DataError("audit", f"{row.name}: no scored session of one of the classes")
        n_sessions = int((np.isfinite(row.score) & shortcuts.is_scored).sum())
        measured.append(AuditRow(row.name, row.how, n_sessions, auc, measure(row.score, matched)))
    apart = {"person and generator are in two folds": int((~shortcuts.is_scored).sum())}
    return Audit(
        task=case.task,
        n_groups=len(pd.unique(groups[shortcuts.is_scored])),
        n_references=len(case.references),
        rows=tuple(measured),
        fraud=_decided(shortcuts, case.is_fraud),
        legitimate=_decided(shortcuts, ~case.is_fraud),
        recorders=recorders,
        left_out=case.left_out | {why: n for why, n in apart.items() if n},
        notes=tuple(notes),
        decided=_decided_sessions(case, shortcuts),
    )


def _recorders(sessions: Sessions) -> tuple[RecorderSessions, ...]:
    """Return the recorders of sessions, a simulated one's being that of its parent."""
    names = group_recorders(sessions.session_id, sessions.recorder)
    by_class = Counter(zip(names, sessions.is_fraud.tolist(), strict=True))
    rows = [
        RecorderSessions(name, by_class[name, False], by_class[name, True])
        for name, _ in Counter(names).most_common()
    ]
    return tuple(rows)


def _one_class_notes(recorders: Sequence[RecorderSessions]) -> list[str]:
    """Say where a recorder gives away the class."""
    of_one_class = [row for row in recorders if not (row.n_legitimate and row.n_fraud)]
    n = sum(row.n_legitimate + row.n_fraud for row in of_one_class)
    if not n:
        return []
    what = f"{n:,} sessions are of recorders with only one class of sessions"
    return [f"{what}: whoever learns from them may learn the recorder, not the movement"]


def _level_notes(case: Case, scores: pa.Table | pd.DataFrame) -> list[str]:
    """Say which sessions are of recorders that the model's level was not set for."""
    table = last_scores(scores).set_index("session_id")
    if "recorder_known" not in table.columns:
        return []
    table = table.reindex(case.sessions.session_id)
    unknown = Counter(table["recorder"][table["recorder_known"].eq(False)])
    words = unknown_recorders_text(unknown, len(table))
    return [words] if words else []


def _model_row(case: Case, scores: pa.Table | pd.DataFrame) -> Shortcut:
    """Return the model's score of each session of a case, NaN where it has none."""
    table = last_scores(scores).set_index("session_id")["fraud_score"]
    score = table.reindex(case.sessions.session_id).to_numpy(np.float64)
    if not np.isfinite(score).any():
        raise DataError(
            "audit",
            "none of the sessions is in the scores",
            "score these stores: pointerprint score",
        )
    return Shortcut(MODEL, "the score in --scores", score)


def _auc_interval(
    score: Float64[np.ndarray, " chosen"],
    label: Int64[np.ndarray, " chosen"],
    groups: Shaped[np.ndarray, " chosen"],
    n_resamples: int,
    seed: int,
) -> Interval | None:
    """Return the AUC with its interval over groups, None where a class is missing."""
    if not 0 < label.sum() < len(label):
        return None
    return cluster_bootstrap(weighted_auc, score, label, groups, n_resamples, seed)


def _decided(shortcuts: Shortcuts, chosen: Bool[np.ndarray, " sessions"]) -> DeviceCounts:
    chosen = chosen & shortcuts.is_scored
    device = shortcuts.device
    marks = (chosen, device.is_decided, device.other_clock, device.other_screen)
    return DeviceCounts(*(int((chosen & mark).sum()) for mark in marks))


def _decided_sessions(case: Case, shortcuts: Shortcuts) -> pd.DataFrame:
    device, sessions = shortcuts.device, case.sessions
    table = pd.DataFrame(
        {
            "session_id": sessions.session_id,
            "account_id": sessions.account_id,
            "label": sessions.label,
            "clock_overlap": device.clock_overlap,
            "beyond_px": device.beyond_px,
            "other_clock": device.other_clock,
            "other_screen": device.other_screen,
        }
    )
    return table.loc[device.is_decided & shortcuts.is_scored].reset_index(drop=True)
