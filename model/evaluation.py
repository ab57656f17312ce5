"""What an evaluation found, and its three forms: JSON, text, plots."""

import textwrap
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int

from model.bootstrap import Interval
from model.metrics import reliability_curve, roc_curve
from model.scored import ScoredSessions


@dataclass(frozen=True)
class Feature:
    """One number a session that ranks it too: what the network has to beat."""

    name: str
    roc_auc: float  # the better of "high is fraud" and "low is fraud"


@dataclass(frozen=True)
class Ranking:
    """How well some frauds are told from the legitimate sessions."""

    name: str
    n_fraud: int
    n_legitimate: int
    base_rate: float  # the average precision of a guess
    roc_auc: Interval
    pr_auc: Interval
    eer: Interval
    tpr_at_fpr: dict[str, Interval | str]  # by budget; a word where it is refused
    tpr: Interval  # flagged, at the model's own threshold
    best_feature: Feature | None


@dataclass(frozen=True)
class Alarms:
    """How often one person's legitimate sessions are flagged."""

    person: str
    n_sessions: int
    n_flagged: int
    fpr: Interval  # of this person's sessions, taken as independent


@dataclass(frozen=True)
class Evaluation:
    """Everything that was found. A part that needs a class that isn't there is None."""

    overall: Ranking | None
    families: tuple[Ranking, ...]  # worst first
    people: tuple[Alarms, ...]  # most false alarms first
    fpr: Interval | None  # at the model's own threshold, over people
    brier: float | None
    ece: float | None
    n_bins: int  # that `ece` was counted in
    n_sessions: dict[str, int]  # scored, by class
    abstained: dict[str, dict[str, int]]  # class -> reason -> sessions
    n_unlabelled: int  # scored or abstained, and ignored
    labels_without_session: tuple[str, ...]
    model_ids: tuple[str, ...]
    notes: tuple[str, ...]
    judged: ScoredSessions = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return it as a plain dict, without the scores."""
        parts = {name: value for name, value in vars(self).items() if name != "judged"}
        for name in ("overall", "fpr"):
            parts[name] = asdict(parts[name]) if parts[name] else None
        return parts | {
            "families": [asdict(row) for row in self.families],
            "people": [asdict(row) for row in self.people],
            "labels_without_session": list(self.labels_without_session),
            "model_ids": list(self.model_ids),
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """Return a table for a terminal, up to 100 columns wide."""

        return text_of(self)

    def write_plots(self, folder: Path) -> list[Path]:
        """Write PNGs into `folder` and return them; a plot that needs both classes may lack."""
        from model import plots  # matplotlib takes a second to import

        judged = self.judged
        histogram = folder / "scores.png"
        paths = [plots.plot_scores(judged.score, judged.label, judged.threshold, histogram)]
        if self.overall is not None:
            groups = judged.clusters()
            paths += [
                plots.plot_roc(judged.score, judged.label, groups, folder / "roc.png"),
                plots.plot_reliability(judged.score, judged.label, folder / "reliability.png"),
            ]
        return paths


N_POINTS: Final = 200  # of the curve, at most


def agreement_json(
    scores: Float[np.ndarray, " sessions"], labels: Int[np.ndarray, " sessions"]
) -> dict[str, Any] | None:
    """Return ROC and calibration as numbers; None unless there are labels of both kinds."""
    n_fraud = int(np.count_nonzero(labels == 1))
    if n_fraud in (0, len(labels)):
        return None
    roc, calibration = roc_curve(scores, labels), reliability_curve(scores, labels)
    shown = np.unique(np.linspace(0, len(roc.fpr) - 1, N_POINTS).round().astype(int))
    return {
        "n_fraud": n_fraud,
        "n_legitimate": len(labels) - n_fraud,
        "auc": roc.auc(),
        "fpr": roc.fpr[shown].round(4).tolist(),
        "tpr": roc.tpr[shown].round(4).tolist(),
        "ece": calibration.ece(),
        "predicted": calibration.predicted.round(4).tolist(),
        "observed": calibration.observed.round(4).tolist(),
        "n_in_bin": calibration.n_sessions.tolist(),
    }


MAX_PEOPLE = 10  # a longer list is in the JSON
MAX_NAMES = 5

_NAME = 22  # columns that the name of a family or a person may take


def text_of(evaluation: Evaluation) -> str:
    """Return everything a person should see; an interval that says too much has a `*`."""
    blocks = [_counts(evaluation), _overall(evaluation), _families(evaluation)]
    blocks += [_people(evaluation), _notes(evaluation)]
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def _counts(evaluation: Evaluation) -> list[str]:
    n = evaluation.n_sessions
    lines = [f"{n['legitimate']:,} legitimate and {n['fraud']:,} fraud sessions scored"]
    for kind, reasons in evaluation.abstained.items():
        if reasons:
            said = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
            lines.append(f"{sum(reasons.values()):,} {kind} not judged: {said}")
    if evaluation.n_unlabelled:
        lines.append(f"{evaluation.n_unlabelled:,} sessions without a label are not counted")
    if lost := evaluation.labels_without_session:
        names = ", ".join(_short(name) for name in lost[:MAX_NAMES])
        more = f" and {len(lost) - MAX_NAMES:,} more" if len(lost) > MAX_NAMES else ""
        lines.append(f"{len(lost):,} labels without a session:")
        lines.append(f"  {names}{more}")
    return lines


def _overall(evaluation: Evaluation) -> list[str]:
    lines = []
    if row := evaluation.overall:
        lines += [
            _line("ROC AUC", _interval(row.roc_auc), _baseline(row)),
            _line("PR AUC", _interval(row.pr_auc), f"base rate {row.base_rate:.3f}"),
            _line("equal error rate", _percent(row.eer)),
        ]
        for budget, found in row.tpr_at_fpr.items():
            said = found if isinstance(found, str) else _percent(found)
            lines.append(_line(f"caught at {budget} FPR", said))
        lines.append(_line("caught as flagged", _percent(row.tpr)))
    if evaluation.fpr:
        lines.append(_line("false alarms", _percent(evaluation.fpr), "as flagged, over people"))
    if evaluation.ece is not None:
        bins = f"{evaluation.n_bins} bins of equal mass; Brier score {evaluation.brier:.4f}"
        lines.append(_line("calibration error", f"{evaluation.ece:.3f}", bins))
    return lines


def _families(evaluation: Evaluation) -> list[str]:
    if not evaluation.families:
        return []
    head = f"{'fraud, by family':<{_NAME}} {'n':>6}  {'ROC AUC':<21}  {'at 1 %':>7} {'flagged':>8}"
    return [f"{head}  best single feature", *map(_family, evaluation.families)]


def _family(row: Ranking) -> str:
    found = row.tpr_at_fpr["1 %"]
    caught = "refused" if isinstance(found, str) else f"{100 * found.value:.1f} %"
    return (
        f"{_short(row.name):<{_NAME}} {row.n_fraud:>6,}  {_interval(row.roc_auc):<21}  "
        f"{caught:>7} {100 * row.tpr.value:>6.1f} %  {_feature(row)}"
    ).rstrip()


def _people(evaluation: Evaluation) -> list[str]:
    flagged = [row for row in evaluation.people if row.n_flagged]
    if not evaluation.people:
        return []
    lines = [f"{len(flagged):,} of {len(evaluation.people):,} people have false alarms"]
    lines += map(_person, flagged[:MAX_PEOPLE])
    if len(flagged) > MAX_PEOPLE:
        lines.append(f"and {len(flagged) - MAX_PEOPLE:,} more, in the JSON")
    return lines


def _person(row: Alarms) -> str:
    share = f"{row.n_flagged:,} of {row.n_sessions:,}"
    return f"{_short(row.person):<{_NAME}} {share:>16}  {_percent(row.fpr)}"


def _notes(evaluation: Evaluation) -> list[str]:
    rows = [evaluation.overall, *evaluation.families]
    intervals = [row.roc_auc for row in rows if row] + [evaluation.fpr]
    starred = dict.fromkeys(found.note for found in intervals if found and found.note)
    notes = [f"* {note}" for note in starred] + [f"note: {note}" for note in evaluation.notes]
    return [line for note in notes for line in textwrap.wrap(note, 100, subsequent_indent="  ")]


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


def _short(name: str) -> str:
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"
