"""Shortcuts of a case in, an `Audit` out: how far each gets, with intervals, beside the model."""

import textwrap
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64, Shaped

from model.bootstrap import Interval, cluster_bootstrap
from model.metrics import roc_auc
from model.scored import read_scores
from pipeline.audit.case import Case
from pipeline.audit.shortcuts import Shortcut, Shortcuts
from pipeline.errors import DataError

MODEL = "the model"
"""The name of the row that looks at the path."""


@dataclass(frozen=True)
class AuditRow:
    """How often a score ranks a fraud above a legitimate session."""

    name: str
    how: str
    n_sessions: int
    auc: Interval
    auc_matched: Interval | None  # of the device-matched; None: a class has none left


@dataclass(frozen=True)
class Decided:
    """How many sessions of a class the device rule alone calls frauds."""

    n_sessions: int  # judged
    n_decided: int
    n_other_clock: int
    n_other_screen: int


@dataclass(frozen=True)
class Audit:
    """What an audit found, and its forms: JSON, text, a plot, the sessions decided."""

    task: str
    n_groups: int  # that intervals are drawn from
    n_references: int
    rows: tuple[AuditRow, ...]
    fraud: Decided
    legitimate: Decided
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

    def to_text(self) -> str:
        """Return a table for a terminal, up to 100 columns wide."""

        return text_of(self)

    def write_plot(self, path: Path) -> Path:
        """Write the table as a PNG and return its path."""
        from model.plots import plot_audit  # matplotlib takes a second to import

        return plot_audit(self, path)


def audit(
    case: Case,
    shortcuts: Shortcuts,
    scores: pa.Table | pd.DataFrame | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Audit:
    """Return what each shortcut is worth, on all judged sessions and on the device-matched.

    With a `SCORES` table the model has a row too, over the judged sessions that it scored.
    """
    rows, notes = list(shortcuts.rows), []
    if scores is not None:
        rows.append(_model_row(case, scores))
        n_lacking = int((np.isnan(rows[-1].score) & shortcuts.is_scored).sum())
        if n_lacking:
            notes.append(f"{n_lacking:,} judged sessions have no score and are not in its row")
    matched = ~shortcuts.device.is_decided
    label, groups = case.judged.label.astype(np.int64), case.clusters()

    def measure(score: Float64[np.ndarray, " judged"], chosen: Bool[np.ndarray, " judged"]):
        chosen = chosen & np.isfinite(score) & shortcuts.is_scored
        return _auc(score[chosen], label[chosen], groups[chosen], n_resamples, seed)

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
        left_out=case.left_out | {why: n for why, n in apart.items() if n},
        notes=tuple(notes),
        decided=_decided_sessions(case, shortcuts),
    )


def _model_row(case: Case, scores: pa.Table | pd.DataFrame) -> Shortcut:
    """Return the model's score of each judged session, NaN where it has none."""
    table = read_scores(scores).set_index("session_id")["fraud_score"]
    score = table.reindex(case.judged.session_id).to_numpy(np.float64)
    if not np.isfinite(score).any():
        raise DataError(
            "audit", "no judged session is in the scores", "score these stores: pointerprint score"
        )
    return Shortcut(MODEL, "the score in --scores", score)


def _auc(
    score: Float64[np.ndarray, " chosen"],
    label: Int64[np.ndarray, " chosen"],
    groups: Shaped[np.ndarray, " chosen"],
    n_resamples: int,
    seed: int,
) -> Interval | None:
    """Return the AUC with its interval over groups, None where a class is missing."""
    if not 0 < label.sum() < len(label):
        return None
    return cluster_bootstrap(roc_auc, score, label, groups, n_resamples, seed)


def _decided(shortcuts: Shortcuts, chosen: Bool[np.ndarray, " judged"]) -> Decided:
    chosen = chosen & shortcuts.is_scored
    device = shortcuts.device
    marks = (chosen, device.is_decided, device.other_clock, device.other_screen)
    return Decided(*(int((chosen & mark).sum()) for mark in marks))


def _decided_sessions(case: Case, shortcuts: Shortcuts) -> pd.DataFrame:
    device, judged = shortcuts.device, case.judged
    table = pd.DataFrame(
        {
            "session_id": judged.session_id,
            "account_id": judged.account_id,
            "label": judged.label,
            "clock_overlap": device.clock_overlap,
            "beyond_px": device.beyond_px,
            "other_clock": device.other_clock,
            "other_screen": device.other_screen,
        }
    )
    return table.loc[device.is_decided & shortcuts.is_scored].reset_index(drop=True)


_NAME, _AUC = 22, 24  # columns

_TASKS = {
    "owner": "Is this the account's owner?",
    "fraud": "Is this a script, or a fraud as known ones?",
}


def text_of(audit: Audit) -> str:
    """Return everything a person should see; an interval that says too much has a `*`."""
    blocks = [_head(audit), _table(audit), _device(audit), _notes(audit)]
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def _head(audit: Audit) -> list[str]:
    against = f", against {audit.n_references:,} references" if audit.n_references else ""
    left_out = [f"{n:,} sessions left out: {why}" for why, n in audit.left_out.items()]
    return [
        f"{_TASKS[audit.task]} {audit.legitimate.n_sessions:,} legitimate and "
        f"{audit.fraud.n_sessions:,} fraud sessions of {audit.n_groups:,} groups{against}",
        *left_out,
    ]


def _table(audit: Audit) -> list[str]:
    head = f"{'judged by':<{_NAME}} {'ROC AUC, all':<{_AUC}} ROC AUC, device matched"
    return [head, *map(_row, audit.rows)]


def _row(row: AuditRow) -> str:
    matched = _interval(row.auc_matched) if row.auc_matched else "a class has none left"
    return f"{row.name:<{_NAME}} {_interval(row.auc):<{_AUC}} {matched}"


def _device(audit: Audit) -> list[str]:
    rows = {"frauds caught": audit.fraud, "false alarms": audit.legitimate}
    n_matched = sum(found.n_sessions - found.n_decided for found in rows.values())
    return [
        "the device rule alone:",
        *(f"{name:<{_NAME}} {_counts(found)}" for name, found in rows.items()),
        f"{'device matched':<{_NAME}} {n_matched:,}, which it leaves open",
    ]


def _counts(found: Decided) -> str:
    return (
        f"{found.n_decided:,} of {found.n_sessions:,} "
        f"(another clock {found.n_other_clock:,}, another screen {found.n_other_screen:,})"
    )


def _notes(audit: Audit) -> list[str]:
    intervals = [found for row in audit.rows for found in (row.auc, row.auc_matched) if found]
    starred = dict.fromkeys(found.note for found in intervals if found.note)
    names = dict.fromkeys(row.how for row in audit.rows)
    how = [
        f"{', '.join(row.name for row in audit.rows if row.how == said)}: {said}" for said in names
    ]
    notes = [*how, *(f"* {note}" for note in starred), *(f"note: {note}" for note in audit.notes)]
    return [line for note in notes for line in textwrap.wrap(note, 100, subsequent_indent="  ")]


def _interval(found: Interval) -> str:
    star = "*" if found.note else ""
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]{star}"
