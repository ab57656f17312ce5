"""An `Audit` in; a table for a terminal out, up to 100 columns wide."""

import textwrap

from model.audit import Audit, AuditRow, Decided
from model.bootstrap import Interval

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
