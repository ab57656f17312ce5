"""What an evaluation found, and its three forms: JSON, text, plots."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from model.bootstrap import Interval
from model.judged import Judged


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
    judged: Judged = field(repr=False)

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
        from model.evaluation_text import text_of  # which knows this module

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
