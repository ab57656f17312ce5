"""An `Audit` in, a PNG of its table out."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from model.audit import Audit
from model.bootstrap import Interval
from model.plots import BLUE, GREY, ORANGE

_KINDS = (("auc", "all judged", BLUE, -0.12), ("auc_matched", "device matched", ORANGE, 0.12))


def plot_audit(audit: Audit, path: Path) -> Path:
    """Plot the AUC of each row with its interval, on all judged and on the device-matched."""
    figure = Figure(figsize=(8.4, 1.5 + 0.55 * len(audit.rows)), dpi=120, layout="constrained")
    panel = figure.subplots()
    place = np.arange(len(audit.rows))
    for name, said, color, shift in _KINDS:
        found: list[Interval | None] = [getattr(row, name) for row in audit.rows]
        shown = [i for i, interval in enumerate(found) if interval]
        intervals = [interval for interval in found if interval]
        value = np.array([interval.value for interval in intervals])
        around = np.array(
            [[interval.value - interval.low, interval.high - interval.value]
             for interval in intervals]
        ).reshape(-1, 2).T  # fmt: skip
        panel.errorbar(
            value, place[shown] + shift, xerr=np.maximum(around, 0), fmt="o", color=color,
            capsize=3, label=said,
        )  # fmt: skip
        for x, y in zip(value, place[shown] + shift, strict=True):
            panel.annotate(
                f"{x:.3f}", (x, y), (0, 5 if shift < 0 else -5), textcoords="offset points",
                ha="center", va="bottom" if shift < 0 else "top", fontsize=8, color=color,
            )  # fmt: skip
    panel.axvline(0.5, color=GREY, ls=":", label="a guess")
    panel.set_yticks(place, [row.name for row in audit.rows])
    panel.set(xlim=(0.25, 1.03), ylim=(len(audit.rows) - 0.4, -0.6))
    panel.set_xlabel("ROC AUC, with a 95 % interval over groups")
    fraud, legitimate = audit.fraud, audit.legitimate
    panel.set_title(
        f"The device rule alone: {fraud.n_decided:,} of {fraud.n_sessions:,} frauds caught, "
        f"{legitimate.n_decided:,} of {legitimate.n_sessions:,} legitimate sessions flagged",
        fontsize=10,
    )
    panel.grid(alpha=0.25, axis="x")
    panel.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3)
    # No software version inside: the same numbers give the same bytes.
    figure.savefig(path, format="png", metadata={"Software": None})
    return path
