"""Reports to Markdown tables. With several seeds, a figure is their mean (lowest to highest)."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

DETECTORS = ("network", "features")
Fold = dict[str, Any]


def to_text(report: dict[str, Any]) -> str:
    """Return the report as Markdown tables."""
    lines: list[str] = []
    folds = report["folds"]
    for kind in ("matched", "twins", "as they come"):
        if not any(fold[kind] for fold in folds):
            continue  # all simulated bots were trained on
        lines += [f"\n### {kind}\n", *_families(folds, kind)]
    lines += ["\n### Recall over all families\n", *_overall(folds)]
    lines += ["\n### FPR of people at the threshold for 1 %\n", *_alarms(folds)]
    lines += ["\n### Rules for a threshold\n", *_rules(folds)]
    return "\n".join(lines)


def _families(folds: Sequence[Fold], kind: str) -> Iterator[str]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for fold in folds:
        for name, row in fold[kind].items():
            rows.setdefault(name, []).append(row)
    shown = {name: of for name, of in rows.items() if all("network" in row for row in of)}
    yield (
        "| family | sessions | network: AUC | recall at 1 % FPR | recall at the threshold as set "
        "| features: AUC | recall at 1 % FPR | best single feature: AUC, recall at 1 % FPR |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name, of in sorted(shown.items(), key=lambda item: _mean(item[1], "network", "auc")):
        first, best = of[0], of[0]["best_feature"]
        cells = [
            name,
            f"{first['n_legitimate']} + {first['n_fraud']}",
            _spread(_values(of, "network", "auc"), ".3f"),
            _spread(_values(of, "network", "caught"), ".0%"),
            _spread([row["network"]["flagged"] for row in of], ".0%"),
            _spread(_values(of, "features", "auc"), ".3f"),
            _spread(_values(of, "features", "caught"), ".0%"),
            f"{best['auc']:.3f}, {best['caught']:.0%} `{best['name']}`",
        ]
        yield f"| {' | '.join(cells)} |"
    few = [name for name in rows if name not in shown]
    if few:
        yield f"\nToo few sessions could be matched: {', '.join(few)}."


def _overall(folds: Sequence[Fold]) -> Iterator[str]:
    """Give a row for each detector and kind of test: a mean over families, then over seeds."""
    yield (
        "| | families | mean AUC | lowest AUC | families with recall of 90 % and more at 1 % FPR "
        "| recall at 1 % FPR | recall at the threshold as set | calibration error |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for kind in ("matched", "as they come"):
        for detector in DETECTORS:
            of_seeds = [_of_seed(of, kind, detector) for of in _by_seed(folds).values()]
            columns = [[row[i] for row in of_seeds] for i in range(len(of_seeds[0]))]
            forms = (".0f", ".3f", ".3f", ".1f", ".3f", ".3f", ".3f")
            cells = [_spread(c, form) for c, form in zip(columns, forms, strict=True)]
            yield f"| {detector}, {kind} | {' | '.join(cells)} |"


def _of_seed(folds: Sequence[Fold], kind: str, detector: str) -> list[float]:
    rows = [row[detector] for fold in folds for row in fold[kind].values() if detector in row]
    auc = [row["auc"]["value"] for row in rows]
    recall = [row["caught"]["value"] for row in rows if row["caught"]]
    return [
        len(rows),
        float(np.mean(auc)),
        min(auc),
        float(np.sum(np.array(recall) >= 0.9)),
        float(np.mean(recall)),
        float(np.mean([row["flagged"] for row in rows])),
        float(np.mean([row["calibration_error"] for row in rows])),
    ]


def _by_seed(folds: Sequence[Fold]) -> dict[int, list[Fold]]:
    found: dict[int, list[Fold]] = {}
    for fold in folds:
        found.setdefault(fold.get("seed", 0), []).append(fold)
    return found


def _alarms(folds: Sequence[Fold]) -> Iterator[str]:
    yield "| people | network | worst person | people above 5 % | features | worst person |"
    yield "|---|---|---|---|---|---|"
    for name in folds[0]["alarms"]:
        rows = [fold["alarms"][name] for fold in folds]
        nets, boosted = ([row[detector] for row in rows] for detector in DETECTORS)
        cells = [
            f"{name} ({rows[0]['n_people']} people, {rows[0]['n_sessions']})",
            _spread([net["rate"] for net in nets], ".1%"),
            f"{max(net['worst'] for net in nets):.1%}",
            f"{max(net['over_5'] for net in nets)}",
            _spread([row["rate"] for row in boosted], ".1%"),
            f"{max(row['worst'] for row in boosted):.1%}",
        ]
        yield f"| {' | '.join(cells)} |"


def _rules(folds: Sequence[Fold]) -> Iterator[str]:
    names = list(next(iter(folds[0]["rules"].values()), {}))
    others = [n for n in names if n not in ("rate", "worst", "near", "nobody_above_5")]
    heads = ["rule", "unseen people", "0.5 to 1.5 of the target", "nobody above 5 %", *others]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for rule in folds[0]["rules"]:
        mean = {n: np.mean([fold["rules"][rule][n] for fold in folds]) for n in names}
        cells = [f"{mean['rate']:.2%}", f"{mean['near']:.0%}", f"{mean['nobody_above_5']:.0%}"]
        yield f"| {' | '.join([rule, *cells, *(f'{mean[n]:.1%}' for n in others)])} |"


def _values(rows: Sequence[dict[str, Any]], detector: str, figure: str) -> list[float]:
    return [row[detector][figure]["value"] for row in rows if row[detector][figure]]


def _mean(rows: Sequence[dict[str, Any]], detector: str, figure: str) -> float:
    return float(np.mean(_values(rows, detector, figure)))


def _spread(values: Sequence[float], form: str) -> str:
    """Return a mean, with the lowest and the highest of several; nothing where there is none."""
    if not values:
        return "refused"
    mean, low, high = (format(x, form) for x in (np.mean(values), min(values), max(values)))
    return mean if low == high else f"{mean} ({low} to {high})"
