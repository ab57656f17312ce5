"""Write the model card of a RUN: what it is for, how good, on whom, and its limits."""

from collections.abc import Mapping, Sequence

import pandas as pd

from model.adapt import Adaptation
from model.comparison import Comparison
from model.config import InputConfig
from model.evaluate import Evaluation
from model.run import StarterMark, TrainedModel
from model.text import evaluation_text
from pipeline.errors import printable
from pipeline.scores.starter import STARTER_MODEL, STARTER_TEXT
from pipeline.splits.split import Split

_PLOTS = "![ROC](roc.png) ![Calibration](reliability.png) ![Scores](scores.png)"


def fraud_card(model: TrainedModel, split: Split, evaluation: Evaluation) -> str:
    """Return the card of a model of the fraud task as Markdown."""
    inputs, described = model.scorer.inputs, split.to_json()
    partitions = [
        f"| {name} | {part['n_legitimate']:,} | {_frauds(part)} | {part['n_people']} | "
        f"{', '.join(part['generators']) or '-'} |"
        for name, part in described["parts"].items()
    ]
    left_out = [f"- left out, {why}: {n:,}" for why, n in described["left_out"].items() if n]
    return _card(
        model,
        task=f"Task: **fraud**. A window of up to {inputs.window.max_events} events is drawn as "
        f"{_panels(inputs)}; a CNN gives its logit, and a session's is the "
        f"{model.config.score.pooling} of its windows'.",
        made_from=[
            "| partition | legitimate | fraud | people | generators |",
            "|---|---|---|---|---|",
            *partitions,
            "",
            *left_out,
            *(f"- {note}" for note in described["notes"]),
        ],
        held_out="What was kept apart, so that none of it is in two partitions: "
        f"{', '.join(split.config.by)}.",
        figures=["```", evaluation_text(evaluation), "```"],
        plots=f"{_PLOTS} ![Training](training.png)",
        limits=[
            "The score is calibrated at the calib partition's share of fraud, "
            f"{model.calibration.base_rate:.0%}: where fraud is rarer, it overstates.",
            "It was not tested on people, recorders or generators other than those above.",
            "Touchpads, tremor and accessibility devices may move unlike the people above.",
        ],
    )


def owner_card(
    model: TrainedModel,
    split: Split,
    evaluation: Evaluation,
    by_length: pd.DataFrame,
    next_day: pd.DataFrame,
) -> str:
    """Return the card of a model of the owner task as Markdown."""
    inputs, config = model.scorer.inputs, model.config.owner
    partitions = [
        f"| {name} | {part['n_legitimate']:,} | {part['n_people']} |"
        for name, part in split.to_json()["parts"].items()
        if part["n_legitimate"]
    ]
    lengths = [
        f"| {row['windows']} | {row['trials']:,} | {row['auc']:.3f} | {row['eer']:.1%} |"
        for row in by_length.to_dict("records")
    ]
    held_out = (
        "Sessions were held out, of accounts whose other sessions were learnt from: there were "
        f"fewer than {config.enough_people} accounts. How it does on people it has never seen is "
        "not known."
        if split.config.by == ("session",)
        else "People were held out: nothing was learnt from those the figures are about."
    )
    return _card(
        model,
        task="Task: **owner**. The score is the probability that a session is not the account "
        "owner's, where an impostor is as likely as the owner. A window of up to "
        f"{inputs.window.max_events} events is drawn as {_panels(inputs)}; a session's print is "
        "compared with the account's, which `pointerprint enroll` makes, by probabilistic linear "
        "discriminant analysis.",
        made_from=[
            "| partition | sessions | accounts |",
            "|---|---|---|",
            *partitions,
            "",
            held_out,
            "What is published was fitted to all sessions afterwards.",
        ],
        held_out="Each session against its own account's profile and against others' (label 1). "
        "The single feature beside is its distance from the account's mean.",
        figures=[
            "```",
            evaluation_text(evaluation),
            "```",
            "",
            "| windows compared | trials | AUC | EER |",
            "|---|---|---|---|",
            *lengths,
            "",
            *_next_day(next_day),
        ],
        plots=_PLOTS,
        limits=[
            "A profile is of a person with a device: another mouse, screen or task looks like "
            "another person. Enrol sessions of each.",
            "Impostors tested here are the other accounts of the same stores. Imitation on "
            "purpose was not tested.",
            f"A profile of a confidence below {config.min_confidence:g} is not compared: "
            "`immature_profile`.",
        ],
    )


def _next_day(figures: pd.DataFrame) -> list[str]:
    """Return what to expect of the next day, as the folds show it."""
    rows = [
        f"| {row['account']} | {row['enrolled']} | {row['budget']:.1%} | {row['flagged']:,} of "
        f"{row['sessions']:,}: {row['fpr']:.1%} ({row['fpr_low']:.1%} to {row['fpr_high']:.1%}) | "
        f"{row['recall']:.1%} of {row['impostors']:,} |"
        for row in figures.to_dict("records")
    ]
    return [
        "What to expect of the next day: sessions before an account's latest day are enrolled, "
        "whole sessions of that day are scored, by thresholds of the other folds; of an account "
        "seen on one day it is the latest session, so another day may bring more. *Learnt* "
        "accounts had earlier sessions in training, *new* ones are enrolled later. Intervals are "
        "over accounts.",
        "",
        "| account | sessions enrolled | target FPR | owners flagged | impostors flagged |",
        "|---|---|---|---|---|",
        *rows,
    ]


def _card(
    model: TrainedModel,
    task: str,
    made_from: Sequence[str],
    held_out: str,
    figures: Sequence[str],
    plots: str,
    limits: Sequence[str],
) -> str:
    """Return what the cards of both tasks have in common, around what they don't."""
    replays = (
        "Replays of other sessions are searched for separately, and are in none of these figures"
        if model.null_model
        else "Replays are not searched for: too few legitimate movements to fit a null model"
    )
    limits = [
        *limits,
        f"{replays} (docs/replay.md).",
        "What the recorder, the screen or the task give away without a look at the motion is not "
        "in these figures: `pointerprint audit` measures it on your stores, docs/benchmarks.md on "
        "public recordings, where it is much.",
    ]
    name = model.model_id if model.starter is None else f"{model.model_id} ({STARTER_MODEL})"
    sections = [
        [f"# Model card: {name}"],
        [] if model.starter is None else _starter(model.starter),
        [task],
        ["## What it was made from"],
        made_from,
        ["## On the sessions held out"],
        [held_out],
        figures,
        [plots],
        ["## Thresholds"],
        _thresholds(model),
        ["## Limits"],
        [f"- {limit}" for limit in limits],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _starter(starter: StarterMark) -> list[str]:
    """Return what the starter model is, and on whose recordings it rests."""
    return [
        f"This is the {STARTER_TEXT}.",
        "",
        *(f"- trained on {name}: {origin}" for name, origin in starter.trained_on.items()),
    ]


def _frauds(part: Mapping[str, int]) -> str:
    """Return how many frauds a partition has, and how many of them a generator made."""
    n_fraud, n_simulated = part["n_fraud"], part["n_simulated"]
    if 0 < n_simulated == n_fraud:
        return f"{n_fraud:,}, all simulated"
    return f"{n_fraud:,}" + (f", {n_simulated:,} of them simulated" if n_simulated else "")


def _panels(inputs: InputConfig) -> str:
    names, cells = inputs.panels.names, inputs.panels.cells
    return f"{len(names)} panels of {cells} x {cells} cells ({', '.join(names)})"


def _thresholds(model: TrainedModel) -> list[str]:
    policy = model.policy
    rows = [
        f"| {row.budget:.1%} | {row.threshold:.4f} | "
        f"{'not known' if row.unseen_rate is None else f'{row.unseen_rate:.2%}'} | "
        f"{row.note or '-'} |"
        for row in policy.thresholds
    ]
    return [
        f"Set on {policy.n_sessions:,} legitimate sessions of {policy.n_people} people of the "
        "calib partition.",
        *_level(model),
        "",
        "| target FPR | threshold | FPR on people left out | note |",
        "|---|---|---|---|",
        *rows,
    ]


def _level(model: TrainedModel) -> list[str]:
    """Return on whose sessions calibration and thresholds rest."""
    if not model.recorders:
        return ["Of which recorders these were is not known."]
    recorders = sorted(model.recorders.items(), key=lambda found: (-found[1], found[0]))
    return [
        "",
        "The level, calibration and thresholds, holds for these recorders; sessions of others are "
        "marked in the scores (`recorder_known`), and `pointerprint adapt` sets it to them.",
        "",
        "| recorder | legitimate sessions that its level rests on |",
        "|---|---|",
        *(f"| {name} | {n:,} |" for name, n in recorders),
    ]


def comparison_section(comparison: Comparison | None, is_promoted: bool, why: str) -> str:
    """Return what the card of a challenger says about the champion, as Markdown."""
    outcome = f"{'Promoted' if is_promoted else 'Not promoted'}: {why}."
    if comparison is None:
        return f"## Beside the champion\n\n{outcome}\n"
    found = comparison
    return "\n".join(
        [
            "## Beside the champion",
            "",
            f"On {found.n_legitimate:,} legitimate and {found.n_fraud:,} fraud sessions "
            f"({found.n_simulated:,} of them simulated) that "
            f"neither was trained on ({found.held_out}), those that both scored:",
            "",
            f"| | champion {found.champion} | this model |",
            "|---|---|---|",
            f"| ROC AUC | {found.champion_auc:.4f} | {found.challenger_auc:.4f} |",
            f"| false positive rate | {found.champion_fpr:.2%} | {found.challenger_fpr:.2%} |",
            f"| abstained | {found.champion_abstained:.1%} | {found.challenger_abstained:.1%} |",
            "",
            f"Gain in ROC AUC {found.gain:+.4f}, {found.level:.0%} interval of the paired "
            f"difference {found.gain_low:+.4f} to {found.gain_high:+.4f}.",
            "",
            outcome,
            "",
        ]
    )


def adaptation_section(found: Adaptation, adapted_from: str) -> str:
    """Return what the card of an adapted model says about the site's sessions, as Markdown."""
    rows = []
    for one in found.recorders:
        share = "-" if one.fraud_share is None else f"{one.fraud_share:.0%}"
        distance = threshold = "-"
        if one.distance_before is not None and one.threshold_before is not None:
            distance = f"{one.distance_before:.2f} -> {one.distance_after:.2f}"
            threshold = f"{one.threshold_before:.2f} -> {one.threshold_after:.2f}"
        rows.append(
            f"| {printable(one.recorder)} | {one.n_sessions:,} | {one.n_people:.0f} | {share} | "
            f"{distance} | {threshold} | {one.why or 'adapted'} |"
        )
    return "\n".join(
        [
            "## The site's own level",
            "",
            f"Adapted from {adapted_from} to unlabelled sessions, without training. The figures "
            "above are of that model.",
            "",
            "| recorder | sessions | accounts' worth | estimated frauds | distance to people | "
            "threshold | outcome |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            "The distance is of the lower part of sessions that the level was not set on, before "
            "and after; it and the threshold are in spreads of people's logits as calibrated. What "
            "adapting brings was measured on recorders held out (docs/evaluation.md), not here: "
            "there are no labels.",
            "",
        ]
    )
