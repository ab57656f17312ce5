"""Plot figures as PNGs. Blue is legitimate, orange is fraud (colours of Okabe and Ito 2008)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Float64, Int, Real, Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from model.audit import Audit
from model.bootstrap import bootstrap_draws
from model.evaluate import Evaluation
from model.metrics import reliability_curve, roc_curve

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"

_CLASSES = ((0, "legitimate", BLUE), (1, "fraud", ORANGE))
_PARTS = {"train": BLUE, "valid": ORANGE}


def plot_training(history: pd.DataFrame, path: Path) -> Path:
    """Plot a run's `history`: a row an epoch, columns `epoch` and `<part>_<quantity>`.

    A panel for each quantity, a line for each part (`train_loss` and `valid_loss` share one).
    """
    columns = [name for name in history.columns if name.partition("_")[0] in _PARTS]
    quantities = list(dict.fromkeys(name.partition("_")[2] for name in columns))
    figure, panels = _figure(len(quantities))
    for panel, quantity in zip(panels, quantities, strict=True):
        for part, color in _PARTS.items():
            if f"{part}_{quantity}" in columns:
                values = history[f"{part}_{quantity}"]
                panel.plot(history["epoch"], values, color=color, label=part, marker=".")
        panel.set(xlabel="epoch", ylabel=quantity.replace("_", " "))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.legend()
    return _save(figure, path)


def plot_evaluation(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Plot into `folder`: scores, and ROC and calibration where both classes are there."""
    scored = evaluation.scored
    score, label = scored.score, scored.label
    paths = [plot_scores(score, label, scored.threshold, folder / "scores.png")]
    if evaluation.overall is not None:
        paths += [
            plot_roc(score, label, scored.clusters(), folder / "roc.png"),
            plot_reliability(score, label, folder / "reliability.png"),
        ]
    return paths


def plot_roc(
    scores: Float[np.ndarray, " sessions"],
    labels: Int[np.ndarray, " sessions"],
    groups: Shaped[np.ndarray, " sessions"],
    path: Path,
    n_resamples: int = 300,
) -> Path:
    """Plot the ROC curve, whole and close up, with a 95 % band over groups."""
    figure, panels = _figure(2)
    curve = roc_curve(scores, labels)
    for panel, widest in zip(panels, (1.0, 0.1), strict=True):
        fpr = np.linspace(0, widest, 201)
        draws = bootstrap_draws(_tpr_on(fpr), scores, labels, groups, n_resamples)
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        panel.fill_between(
            100 * fpr, 100 * low, 100 * high, color=BLUE, alpha=0.2, lw=0, label="95 % interval"
        )
        panel.plot(
            100 * curve.fpr,
            100 * curve.tpr,
            color=BLUE,
            drawstyle="steps-post",
            label=f"model, AUC {curve.auc():.3f}",
        )
        panel.plot([0, 100], [0, 100], color=GREY, ls=":", label="a guess")
        panel.set(xlim=(0, 100 * widest), ylim=(0, 101))
        panel.set(xlabel="legitimate sessions flagged (%)", ylabel="frauds flagged (%)")
    panels[0].legend(loc="lower right")
    return _save(figure, path)


def plot_reliability(
    probabilities: Float[np.ndarray, " sessions"],
    labels: Int[np.ndarray, " sessions"],
    path: Path,
    n_bins: int = 10,
) -> Path:
    """Plot the share of frauds over the score that was given, in bins of equal mass."""
    figure, (panel,) = _figure(1)
    curve = reliability_curve(probabilities, labels, n_bins)
    panel.plot([0, 1], [0, 1], color=GREY, ls=":", label="perfectly calibrated")
    panel.plot(
        curve.predicted,
        curve.observed,
        color=BLUE,
        marker="o",
        label=f"{len(curve)} bins, calibration error {curve.ece():.3f}",
    )
    panel.set(xlabel="mean fraud score of the bin (0 to 1)", ylabel="share of frauds in the bin")
    panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    panel.legend()
    return _save(figure, path)


def plot_scores(
    scores: Float[np.ndarray, " sessions"],
    labels: Int[np.ndarray, " sessions"],
    threshold: float,
    path: Path,
) -> Path:
    """Plot how the scores of each class are spread, and where the threshold lies."""
    figure, (panel,) = _figure(1)
    edges = np.linspace(0, 1, 41).tolist()
    for label, name, color in _CLASSES:
        chosen = scores[labels == label]
        share = np.full(len(chosen), 100 / max(len(chosen), 1))
        style = {"histtype": "stepfilled", "alpha": 0.5, "color": color, "lw": 0}
        panel.hist(chosen, edges, weights=share, label=f"{name} ({len(chosen)})", **style)
    panel.axvline(threshold, color=GREY, ls="--", label=f"threshold {threshold:.3g}")
    panel.set(xlabel="fraud score (0 to 1)", ylabel="sessions of the class (%)", xlim=(0, 1))
    panel.legend(loc="upper center")
    return _save(figure, path)


_KINDS = (("auc", "all scored", BLUE, -0.12), ("auc_matched", "device matched", ORANGE, 0.12))


def plot_audit(audit: Audit, path: Path) -> Path:
    """Plot the AUC of each row with its interval, on all sessions and on the device-matched."""
    figure, (panel,) = _figure(1, size=(8.4, 1.5 + 0.55 * len(audit.rows)))
    for name, which, color, shift in _KINDS:
        rows = [(i, getattr(row, name)) for i, row in enumerate(audit.rows)]
        known = [(i + shift, found) for i, found in rows if found]
        height = [i for i, _ in known]
        value = [found.value for _, found in known]
        around = [
            [max(found.value - found.low, 0) for _, found in known],
            [max(found.high - found.value, 0) for _, found in known],
        ]
        panel.errorbar(value, height, xerr=around, fmt="o", color=color, capsize=3, label=which)
        for x, y in zip(value, height, strict=True):
            panel.annotate(
                f"{x:.3f}", (x, y), (0, 5 if shift < 0 else -5), textcoords="offset points",
                ha="center", va="bottom" if shift < 0 else "top", fontsize=8, color=color,
            )  # fmt: skip
    panel.axvline(0.5, color=GREY, ls=":", label="a guess")
    panel.set_yticks(range(len(audit.rows)), [row.name for row in audit.rows])
    panel.set(xlim=(0.25, 1.03), ylim=(len(audit.rows) - 0.4, -0.6))
    panel.set_xlabel("ROC AUC, with a 95 % interval over groups")
    fraud, legitimate = audit.fraud, audit.legitimate
    panel.set_title(
        f"The device rule alone: {fraud.n_decided:,} of {fraud.n_sessions:,} frauds flagged, "
        f"{legitimate.n_decided:,} of {legitimate.n_sessions:,} legitimate sessions flagged",
        fontsize=10,
    )
    panel.grid(visible=False, axis="y")
    figure.legend(loc="outside lower center", ncols=3)
    return _save(figure, path)


def _tpr_on(
    fpr: Float64[np.ndarray, " grid"],
) -> Callable[..., Float64[np.ndarray, " grid"]]:
    """Return a metric that gives the recall at each of `fpr`."""

    def metric(
        scores: Float[np.ndarray, " sessions"],
        labels: Int[np.ndarray, " sessions"],
        weights: Real[np.ndarray, " sessions"],
    ) -> Float64[np.ndarray, " grid"]:
        curve = roc_curve(scores, labels, weights)
        return curve.tpr[np.searchsorted(curve.fpr, fpr, side="right") - 1]

    return metric


def _figure(n_panels: int, size: tuple[float, float] | None = None) -> tuple[Figure, list[Axes]]:
    """Return a figure that no global state knows of, so that nothing has to close it."""
    figure = Figure(size or (5.2 * max(n_panels, 1), 4.2), dpi=120, layout="constrained")
    panels = list(figure.subplots(1, n_panels, squeeze=False)[0]) if n_panels else []
    for panel in panels:
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _save(figure: Figure, path: Path) -> Path:
    # No software version inside: the same numbers give the same bytes.
    figure.savefig(path, format="png", metadata={"Software": None})
    return path
