"""Show an evaluation or an audit as a table for a terminal, up to 100 columns wide.

An interval that is narrower than it should be has a `*`, and a note below that says why.
"""

import textwrap
from collections.abc import Iterable
from typing import Final

from model.audit import Audit, AuditRow, DeviceCounts
from model.bootstrap import Interval
from model.evaluate import Evaluation, GroupRates, PersonFpr, Ranking, RecorderRates

MAX_PEOPLE: Final = 10  # a longer list is in the JSON
MAX_NAMES: Final = 5

_NAME, _AUC, _RECORDER, _RATE = 22, 24, 26, 22  # columns

_OF_OWNER: Final = {"legitimate sessions": "own sessions", "fraud sessions": "impostors"}

_QUESTIONS: Final = {
    "owner": "Is this the account's owner?",
    "fraud": "Is this a script, or a fraud as known ones?",
}


def evaluation_text(evaluation: Evaluation) -> str:
    """Return all that a person should see of an evaluation."""
    rows = [evaluation.overall, *evaluation.families]
    intervals = [row.roc_auc for row in rows if row] + [evaluation.fpr]
    rates = (*evaluation.recorders, *evaluation.groups)
    intervals += [rate for row in rates for rate in (row.fpr, row.tpr)]
    text = _joined(
        _counts(evaluation),
        _overall(evaluation),
        _families(evaluation),
        _people(evaluation),
        recorder_lines(evaluation),
        _groups(evaluation),
        _notes(intervals, evaluation.notes),
    )
    if evaluation.task == "owner":  # what notes and refusals call the classes
        for word, of_owner in _OF_OWNER.items():
            text = text.replace(word, of_owner)
    return text


def _counts(evaluation: Evaluation) -> list[str]:
    lines = [_scored(evaluation)]
    for kind, reasons in evaluation.abstained.items():
        if reasons:
            by_reason = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
            lines.append(f"{sum(reasons.values()):,} {kind} not scored: {by_reason}")
    if evaluation.n_unlabelled:
        lines.append(f"{evaluation.n_unlabelled:,} sessions without a label are not counted")
    if lost := evaluation.labels_without_session:
        names = ", ".join(_short(name) for name in lost[:MAX_NAMES])
        more = f" and {len(lost) - MAX_NAMES:,} more" if len(lost) > MAX_NAMES else ""
        lines.append(f"{len(lost):,} labels without a session:")
        lines.append(f"  {names}{more}")
    return lines


def _scored(evaluation: Evaluation) -> str:
    """Return how many sessions were scored, and which of them are no real frauds."""
    legitimate, fraud = (evaluation.n_sessions[kind] for kind in ("legitimate", "fraud"))
    n_simulated = evaluation.n_simulated
    if evaluation.task == "owner":
        return (
            f"{legitimate:,} sessions compared with their own account; {fraud:,} comparisons of "
            "sessions\nwith another account, which stand for impostors"
        )
    if 0 < n_simulated == fraud:
        return f"{legitimate:,} legitimate and {fraud:,} simulated fraud sessions scored"
    beside = f"; {n_simulated:,} of the frauds are simulated" if n_simulated else ""
    return f"{legitimate:,} legitimate and {fraud:,} fraud sessions scored{beside}"


def _overall(evaluation: Evaluation) -> list[str]:
    lines = []
    if row := evaluation.overall:
        lines += [
            _line("ROC AUC", _interval(row.roc_auc), _baseline(row)),
            _line("PR AUC", _interval(row.pr_auc), f"base rate {row.base_rate:.3f}"),
            _line("equal error rate", _percent(row.eer)),
        ]
        for target, found in row.tpr_at_fpr.items():
            recall = found if isinstance(found, str) else _percent(found)
            lines.append(_line(f"recall at {target} FPR", recall))
        lines.append(_line("recall as flagged", _percent(row.tpr)))
    if evaluation.fpr:
        lines.append(
            _line("false positive rate", _percent(evaluation.fpr), "as flagged, over people")
        )
    if evaluation.ece is not None:
        bins = f"{evaluation.n_bins} bins of equal mass; Brier score {evaluation.brier:.4f}"
        lines.append(_line("calibration error", f"{evaluation.ece:.3f}", bins))
    return lines


def _families(evaluation: Evaluation) -> list[str]:
    """Return a line a family, the worst first; the recall where there are enough people for it."""
    rows = evaluation.families
    if not rows:
        return []
    what = "impostors, by account" if evaluation.task == "owner" else _family_name(evaluation)
    shown = rows[: MAX_PEOPLE if "account" in what else len(rows)]
    has_recall = not any(isinstance(row.tpr_at_fpr["1 %"], str) for row in rows)
    recall = f"{'at 1 %':>7} " if has_recall else ""
    feature = "best single feature" if any(row.best_feature for row in rows) else ""
    head = f"{what:<{_NAME}} {'n':>6}  {'ROC AUC':<21}  {recall}{'flagged':>8}  {feature}".rstrip()
    n_more = len(rows) - len(shown)
    more = [f"and {n_more:,} more that rank better, in the JSON"] if n_more else []
    return [head, *(_family(row) for row in shown), *more]


def _family_name(evaluation: Evaluation) -> str:
    """Return what frauds are listed by: simulated ones by their generator's family, or account."""
    by = evaluation.families_by
    return {"generator": "simulated, by family", "account": "fraud, by account"}.get(
        by, "by generator or account"
    )


def _family(row: Ranking) -> str:
    found = row.tpr_at_fpr["1 %"]
    recall = "" if isinstance(found, str) else f"{100 * found.value:>5.1f} % "
    return (
        f"{_short(row.name):<{_NAME}} {row.n_fraud:>6,}  {_interval(row.roc_auc):<21}  "
        f"{recall}{100 * row.tpr.value:>6.1f} %  {_feature(row)}"
    ).rstrip()


def _people(evaluation: Evaluation) -> list[str]:
    flagged = [row for row in evaluation.people if row.n_flagged]
    if not evaluation.people:
        return []
    lines = [f"{len(flagged):,} of {len(evaluation.people):,} people have false positives"]
    lines += map(_person, flagged[:MAX_PEOPLE])
    if len(flagged) > MAX_PEOPLE:
        lines.append(f"and {len(flagged) - MAX_PEOPLE:,} more, in the JSON")
    return lines


def _person(row: PersonFpr) -> str:
    share = f"{row.n_flagged:,} of {row.n_sessions:,}"
    return f"{_short(row.person):<{_NAME}} {share:>16}  {_percent(row.fpr)}"


def recorder_lines(evaluation: Evaluation) -> list[str]:
    """Return the rates by recorder as a table; nothing if no session's recorder is known."""
    if not evaluation.recorders:
        return []
    head = f"{'recorder':<{_RECORDER}} {'n':>6}  {'false positives':<{_RATE}} {'frauds':>6}  "
    return [f"{head}{'flagged':<{_RATE}} level", *map(_recorder, evaluation.recorders)]


def _recorder(row: RecorderRates) -> str:
    level = {True: "set", False: "not set", None: "?"}[row.is_known]
    return f"{_rates(row.recorder, row)} {level}"


def _rates(name: str, row: RecorderRates | GroupRates) -> str:
    fpr, tpr = (_percent(rate) if rate else "-" for rate in (row.fpr, row.tpr))
    return (
        f"{_short(name, _RECORDER):<{_RECORDER}} {row.n_legitimate:>6,}  {fpr:<{_RATE}} "
        f"{row.n_fraud:>6,}  {tpr:<{_RATE}}"
    )


def _groups(evaluation: Evaluation) -> list[str]:
    """Return the rates by a column of the labels, if one was named."""
    if not evaluation.groups:
        return []
    head = f"{'group':<{_RECORDER}} {'n':>6}  {'false positives':<{_RATE}} {'frauds':>6}  flagged"
    return [head, *(_rates(row.group, row).rstrip() for row in evaluation.groups)]


def audit_text(audit: Audit) -> str:
    """Return all that a person should see of an audit."""
    intervals = [found for row in audit.rows for found in (row.auc, row.auc_matched)]
    methods = dict.fromkeys(row.how for row in audit.rows)
    names = {how: ", ".join(row.name for row in audit.rows if row.how == how) for how in methods}
    explained = [f"{names[how]}: {how}" for how in methods]
    return _joined(
        _audit_head(audit),
        _audit_table(audit),
        _device(audit),
        _recorders(audit),
        _wrapped(explained) + _notes(intervals, audit.notes),
    )


def _audit_head(audit: Audit) -> list[str]:
    against = f", against {audit.n_references:,} references" if audit.n_references else ""
    left_out = [f"{n:,} sessions left out: {why}" for why, n in audit.left_out.items()]
    return [
        f"{_QUESTIONS[audit.task]} {audit.legitimate.n_sessions:,} legitimate and "
        f"{audit.fraud.n_sessions:,} fraud sessions of {audit.n_groups:,} groups{against}",
        *left_out,
    ]


def _audit_table(audit: Audit) -> list[str]:
    head = f"{'scored by':<{_NAME}} {'ROC AUC, all':<{_AUC}} ROC AUC, device matched"
    return [head, *map(_audit_row, audit.rows)]


def _audit_row(row: AuditRow) -> str:
    matched = _interval(row.auc_matched) if row.auc_matched else "a class has none left"
    return f"{row.name:<{_NAME}} {_interval(row.auc):<{_AUC}} {matched}"


def _device(audit: Audit) -> list[str]:
    rows = {"frauds flagged": audit.fraud, "legitimate flagged": audit.legitimate}
    n_matched = sum(found.n_sessions - found.n_decided for found in rows.values())
    return [
        "the device rule alone:",
        *(f"{name:<{_NAME}} {_device_counts(found)}" for name, found in rows.items()),
        f"{'device matched':<{_NAME}} {n_matched:,}, which it leaves open",
    ]


def _device_counts(found: DeviceCounts) -> str:
    return (
        f"{found.n_decided:,} of {found.n_sessions:,} "
        f"(another clock {found.n_other_clock:,}, another screen {found.n_other_screen:,})"
    )


def _recorders(audit: Audit) -> list[str]:
    head = f"{'recorder':<{_RECORDER}} {'legitimate':>10} {'frauds':>10}"
    rows = [
        f"{_short(row.recorder, _RECORDER):<{_RECORDER}} {row.n_legitimate:>10,} {row.n_fraud:>10,}"
        for row in audit.recorders[:MAX_PEOPLE]
    ]
    n_more = len(audit.recorders) - len(rows)
    return [head, *rows, *([f"and {n_more:,} more, in the JSON"] if n_more else [])]


def _line(name: str, value: str, beside: str = "") -> str:
    return f"{name:<{_NAME}} {value:<26} {beside}".rstrip()


def _interval(found: Interval) -> str:
    star = "*" if found.note else ""
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]{star}"


def _percent(found: Interval) -> str:
    star = "*" if found.note else ""
    return f"{100 * found.value:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}]{star}"


def _baseline(row: Ranking) -> str:
    return f"best single feature {_feature(row)}" if row.best_feature else ""


def _feature(row: Ranking) -> str:
    best = row.best_feature
    return f"{best.roc_auc:.3f} {_short(best.name)}" if best else ""


def _short(name: str, longest: int = _NAME) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _notes(intervals: Iterable[Interval | None], notes: Iterable[str]) -> list[str]:
    """Return why intervals are starred, and the notes, as lines."""
    starred = dict.fromkeys(found.note for found in intervals if found and found.note)
    return _wrapped([*(f"* {note}" for note in starred), *(f"note: {note}" for note in notes)])


def _wrapped(notes: Iterable[str]) -> list[str]:
    return [line for note in notes for line in textwrap.wrap(note, 100, subsequent_indent="  ")]


def _joined(*blocks: list[str]) -> str:
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)
