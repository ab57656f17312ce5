"""Cells in; the ablation's table in Markdown out, with what a change did, seed by seed."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Bool, Int8, Shaped

from model.bootstrap import cluster_bootstrap
from model.metrics import roc_auc, roc_curve

BASES = {
    "channels": "speed, direction",
    "time": "speed, direction",
    "place": "speed, direction",
    "size": "speed, direction",
    "model": "path, habits",
    "window": "path, habits",
}
"""What each group's rows differ from by one change."""
_HEAD = (
    "| | seeds | known accounts | device matched | unseen people, 15 s | 60 s | EER, 60 s "
    "| against the base, matched | 15 s | training, CPU s |"
)


class Figures:
    """The figures of cells: every row's, from the scores of its trials."""

    def __init__(
        self,
        label: Int8[np.ndarray, " claims"],
        matched: Bool[np.ndarray, " claims"],
        account: Shaped[np.ndarray, " claims"],
    ):
        self.label, self.matched, self.account = label, matched, account

    def of(self, cell: dict[str, Any]) -> dict[str, float]:
        """Return the figures of one cell."""
        figures = self.of_known(cell.get("known"))
        for length in ("15s", "60s"):
            if f"people_{length}" in cell:
                scores = np.array(cell[f"people_{length}"])
                is_other = np.array(cell[f"other_{length}"], np.int8)
                curve = roc_curve(scores.ravel(), is_other.ravel())
                figures |= {f"auc_{length}": curve.auc(), f"eer_{length}": curve.eer()}
        return figures

    def of_known(self, scores: list[float] | None) -> dict[str, float]:
        """Return AUC on all claims of known accounts, and on the device-matched."""
        if scores is None:
            return {}
        values = np.array(scores)
        return {
            "all": roc_auc(values, self.label),
            "matched": roc_auc(values[self.matched], self.label[self.matched]),
        }

    def interval(self, cells: list[dict[str, Any]]) -> str:
        """Return the matched AUC of the seeds' mean scores, with its interval over accounts."""
        mean = np.mean([cell["known"] for cell in cells], axis=0)[self.matched]
        found = cluster_bootstrap(
            roc_auc, mean, self.label[self.matched], self.account[self.matched], 500
        )
        return f"[{found.low:.3f}, {found.high:.3f}]"


def to_text(cells: list[dict[str, Any]], figures: Figures) -> str:
    """Return the tables: encodings and networks, then less evidence and other poolings."""
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell in cells:
        rows.setdefault((cell["group"], cell["row"]), []).append(cell)
    lines = [_HEAD, "|---" * 10 + "|"]
    for (group, name), own in rows.items():
        base = next((c for (_, n), c in rows.items() if n == BASES[group]), [])
        lines.append(_line(group, name, own, base, figures))
    lines += ["", *_verdict_lines(rows.values(), figures)]
    return "\n".join(lines)


def _line(
    group: str, name: str, own: list[dict[str, Any]], base: list[dict[str, Any]], figures: Figures
) -> str:
    of_seed = {cell["seed"]: figures.of(cell) for cell in own}
    of_base = {cell["seed"]: figures.of(cell) for cell in base}
    spread = _spread(of_seed.values(), "matched")
    if any("known" in cell for cell in own):
        spread += " " + figures.interval(own)
    return (
        f"| {group}: {name} | {len(own)} | {_spread(of_seed.values(), 'all')} | {spread} "
        f"| {_spread(of_seed.values(), 'auc_15s')} | {_spread(of_seed.values(), 'auc_60s')} "
        f"| {_spread(of_seed.values(), 'eer_60s', percent=True)} "
        f"| {_difference(of_seed, of_base, 'matched')} "
        f"| {_difference(of_seed, of_base, 'auc_15s')} "
        f"| {np.mean([cell['train_cpu_s'] for cell in own]):.0f} |"
    )


def _spread(rows: Iterable[dict[str, float]], name: str, percent: bool = False) -> str:
    """Return the mean over seeds, and lowest and highest."""
    values = [row[name] for row in rows if name in row]
    if not values:
        return "-"
    texts = [f"{100 * v:.1f} %" if percent else f"{v:.3f}" for v in values]
    mean = np.mean(values)
    shown = f"{100 * mean:.1f} %" if percent else f"{mean:.3f}"
    return shown if len(values) == 1 else f"{shown} ({min(texts)} to {max(texts)})"


def _difference(
    own: dict[int, dict[str, float]], base: dict[int, dict[str, float]], name: str
) -> str:
    """Return what the change did on the seeds that both have: same people, same trials."""
    both = [s for s in own if s in base and name in own[s] and name in base[s]]
    deltas = [own[seed][name] - base[seed][name] for seed in both]
    if not deltas or not any(deltas):
        return ""
    text = f"{np.mean(deltas):+.3f}"
    return text if len(deltas) == 1 else f"{text} ({min(deltas):+.3f} to {max(deltas):+.3f})"


def _verdict_lines(rows: Iterable[list[dict[str, Any]]], figures: Figures) -> list[str]:
    """Return the table of less evidence and of other poolings, of the row that is the base."""
    own = next((cells for cells in rows if cells[0]["row"] == BASES["model"]), [])
    if not own:
        return []
    lines = ["| known accounts, path and habits | all | device matched |", "|---|---|---|"]
    names = list(own[0]["verdicts"])
    for name in [*names, "all windows, as evidence"]:
        of = [
            figures.of_known(cell["verdicts"][name] if name in names else cell["known"])
            for cell in own
        ]
        lines.append(f"| {name} | {_spread(of, 'all')} | {_spread(of, 'matched')} |")
    return lines
