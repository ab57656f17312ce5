"""Cells in, a chart out: AUC over multiply-accumulates and over pictures a second."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")
from matplotlib import pyplot

TASKS = {
    "owner_known": "owner: known accounts, device matched",
    "owner_unseen": "owner: people never seen, 15 s",
    "bots": "bots: families never seen, matched moves",
}


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the chart."""
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.9), sharey=True, layout="constrained")
    for axis, (cost, label) in zip(
        axes,
        (
            ("macs", "multiply-accumulates a picture"),
            ("pictures_s", "pictures a second, two cores"),
        ),
        strict=True,
    ):
        for (task, title), marker in zip(TASKS.items(), "osD", strict=True):
            known = sorted((row for row in rows if row.get(task)), key=lambda row: row[cost])
            axis.plot(
                [row[cost] for row in known], [row[task] for row in known], marker, label=title
            )
        for number, row in enumerate(rows, 1):
            top = max((row[task] for task in TASKS if row.get(task)), default=None)
            if top is not None:
                axis.annotate(
                    str(number), (row[cost], top), (0, 6), textcoords="offset points", ha="center"
                )
        axis.set(xscale="log", xlabel=label)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("ROC AUC, pictures alone, short training")
    handles, titles = axes[0].get_legend_handles_labels()
    figure.legend(handles, titles, loc="outside lower center", ncols=len(TASKS), fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
