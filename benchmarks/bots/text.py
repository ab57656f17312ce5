"""A report in, Markdown tables out."""

from collections.abc import Iterator
from typing import Any

import numpy as np

DETECTORS = ("network", "features")


def to_text(report: dict[str, Any]) -> str:
    """Return the report as Markdown tables."""
    lines: list[str] = []
    for kind in ("matched", "twins", "as they come"):
        if not any(fold[kind] for fold in report["folds"]):
            continue  # all simulated bots were trained on
        lines += [f"\n### {kind}\n", *_families(report["folds"], kind)]
    lines += ["\n### False alarms at a budget of 1 %\n", *_alarms(report["folds"])]
    lines += ["\n### Recorders told apart\n", *_probes(report["folds"])]
    lines += ["\n### Rules for a threshold\n", *_rules(report["folds"])]
    return "\n".join(lines)


def _families(folds: list[dict[str, Any]], kind: str) -> Iterator[str]:
    rows = {name: row for fold in folds for name, row in fold[kind].items()}
    told = {name: row for name, row in rows.items() if "network" in row}
    yield (
        "| family | sessions | network: AUC | caught at 1 % | flagged "
        "| features: AUC | caught at 1 % | best single feature: AUC, caught at 1 % |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name, row in sorted(told.items(), key=lambda item: item[1]["network"]["auc"]["value"]):
        net, boosted, best = row["network"], row["features"], row["best_feature"]
        yield (
            f"| {name} | {row['n_legitimate']} + {row['n_fraud']} "
            f"| {_interval(net['auc'], '.3f')} | {_interval(net['caught'], '.0%')} "
            f"| {net['flagged']:.0%} | {boosted['auc']['value']:.3f} "
            f"| {_interval(boosted['caught'], '.0%')} "
            f"| {best['auc']:.3f}, {best['caught']:.0%} `{best['name']}` |"
        )
    yield ""
    for name in DETECTORS:
        shown = [row[name]["caught"] for row in told.values()]
        caught = [found["value"] for found in shown if found]
        error = [row[name]["calibration_error"] for row in told.values()]
        if caught:
            yield (
                f"- {name}: caught at 1 % median {np.median(caught):.0%}, lowest "
                f"{min(caught):.0%}, 90 % or more of {np.sum(np.array(caught) >= 0.9)} of "
                f"{len(caught)} families"
            )
        yield (f"- {name}: calibration error mean {np.mean(error):.3f}, highest {max(error):.3f}")
    few = [name for name, row in rows.items() if name not in told]
    if few:
        yield f"- too few sessions could be matched: {', '.join(few)}"


def _alarms(folds: list[dict[str, Any]]) -> Iterator[str]:
    yield "| people | fold | network | worst person | features | worst person |"
    yield "|---|---|---|---|---|---|"
    for name in folds[0]["alarms"]:
        for fold in folds:
            row = fold["alarms"][name]
            cells = [f"{name} ({row['n_people']} people, {row['n_sessions']})", f"{fold['fold']}"]
            for detector in DETECTORS:
                told = row[detector]
                cells += [
                    f"{told['rate']:.1%} [{told['low']:.1%}, {told['high']:.1%}]",
                    f"{told['worst']:.1%}, {told['over_5']} above 5 %",
                ]
            yield f"| {' | '.join(cells)} |"


def _probes(folds: list[dict[str, Any]]) -> Iterator[str]:
    yield (
        "| recorders | told from the others by | "
        + " | ".join(f"fold {fold['fold']}" for fold in folds)
        + " |"
    )
    yield "|---|---|" + "---|" * len(folds)
    for kind in folds[0]["probe"]:
        for numbers, rows in folds[0]["probe"][kind].items():
            for recorder in rows:
                cells = [fold["probe"][kind][numbers].get(recorder) for fold in folds]
                told = [_interval(cell, ".3f") if cell else "-" for cell in cells]
                yield f"| {kind}: {recorder} | {numbers} | {' | '.join(told)} |"


def _rules(folds: list[dict[str, Any]]) -> Iterator[str]:
    names = list(next(iter(folds[0]["rules"].values()), {}))
    others = [n for n in names if n not in ("rate", "worst", "near", "nobody_above_5")]
    heads = ["rule", "unseen people", "0.5 to 1.5 of the budget", "nobody above 5 %", *others]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for rule in folds[0]["rules"]:
        told = {n: np.mean([fold["rules"][rule][n] for fold in folds]) for n in names}
        cells = [f"{told['rate']:.2%}", f"{told['near']:.0%}", f"{told['nobody_above_5']:.0%}"]
        yield f"| {' | '.join([rule, *cells, *(f'{told[n]:.1%}' for n in others)])} |"


def _interval(found: dict[str, Any] | None, form: str) -> str:
    if found is None:
        return "refused"
    low, high = (format(found[end], form) for end in ("low", "high"))
    return f"{found['value']:{form}} [{low}, {high}]"
