"""Write the model card of a RUN: what it is for, how good, on whom, and its limits."""

import pandas as pd

from model.comparison import Comparison
from model.config import InputConfig
from model.evaluate import Evaluation
from model.run import TrainedModel
from model.text import evaluation_text
from pipeline.splits.split import Split


def fraud_card(model: TrainedModel, split: Split, evaluation: Evaluation) -> str:
    """Return the card as Markdown."""
    config, inputs, described = model.config, model.scorer.inputs, split.to_json()
    partitions = [
        f"| {name} | {part['n_legitimate']:,} | {part['n_fraud']:,} | {part['n_people']} | "
        f"{', '.join(part['generators']) or '-'} |"
        for name, part in described["parts"].items()
    ]
    left_out = [f"- left out, {why}: {n:,}" for why, n in described["left_out"].items() if n]
    notes = [f"- {note}" for note in described["notes"]]
    return "\n".join(
        [
            f"# Model card: {model.model_id}",
            "",
            f"Task: **{config.task}**. A window of up to {inputs.window.max_events} events is "
            f"drawn as {_panels(inputs)}; a CNN gives its logit, and a session's is the "
            f"{config.score.pooling} of its windows'.",
            "",
            "## What it was made from",
            "",
            "| partition | legitimate | fraud | people | generators |",
            "|---|---|---|---|---|",
            *partitions,
            "",
            *left_out,
            *notes,
            "",
            "## On the sessions held out",
            "",
            "What was kept apart, so that none of it is in two partitions: "
            + ", ".join(config.split.by)
            + ".",
            "",
            "```",
            evaluation_text(evaluation),
            "```",
            "",
            "![ROC](roc.png) ![Calibration](reliability.png) ![Scores](scores.png) "
            "![Training](training.png)",
            "",
            *_thresholds(model),
            "## Limits",
            "",
            "- The score is calibrated at the calib partition's share of fraud, "
            f"{model.calibration.base_rate:.0%}: where fraud is rarer, it overstates.",
            "- It was not tried on people, recorders or generators other than those above.",
            "- Touchpads, tremor and accessibility devices may move unlike the people above.",
            *_beyond_these_figures(model),
            "",
        ]
    )


def owner_card(
    model: TrainedModel, split: Split, evaluation: Evaluation, by_length: pd.DataFrame
) -> str:
    """Return the card of a model of the owner task as Markdown."""
    config, inputs, described = model.config, model.scorer.inputs, split.to_json()
    is_by_session = split.config.by == ("session",)
    partitions = [
        f"| {name} | {part['n_legitimate']:,} | {part['n_people']} |"
        for name, part in described["parts"].items()
        if part["n_legitimate"]
    ]
    lengths = [
        f"| {row['windows']} | {row['trials']:,} | {row['auc']:.3f} | {row['eer']:.1%} |"
        for row in by_length.to_dict("records")
    ]
    held_out = (
        "Sessions were held out, of accounts whose other sessions were learnt from: there were "
        f"fewer than {config.owner.enough_people} accounts. How it does on people it has never "
        "seen is not known."
        if is_by_session
        else "People were held out: nothing was learnt from those the figures are about."
    )
    return "\n".join(
        [
            f"# Model card: {model.model_id}",
            "",
            "Task: **owner**. The score is the probability that a session is not the account "
            "owner's, where an impostor is as likely as the owner. A window of up to "
            f"{config.owner.window.max_events} events is drawn as {_panels(inputs)}; a session's "
            "print is compared with the account's, which `pointerprint enroll` makes, by "
            "probabilistic linear discriminant analysis.",
            "",
            "## What it was made from",
            "",
            "| partition | sessions | accounts |",
            "|---|---|---|",
            *partitions,
            "",
            held_out,
            "What is published was fitted to all sessions afterwards.",
            "",
            "## On the sessions held out",
            "",
            "Each session against its own account's profile and against others' (label 1). The "
            "single feature beside is its distance from the account's mean.",
            "",
            "```",
            evaluation_text(evaluation),
            "```",
            "",
            "| windows compared | trials | AUC | EER |",
            "|---|---|---|---|",
            *lengths,
            "",
            "![ROC](roc.png) ![Calibration](reliability.png) ![Scores](scores.png)",
            "",
            *_thresholds(model),
            "## Limits",
            "",
            "- A profile is of a person with a device: another mouse, screen or task looks like "
            "another person. Enrol sessions of each.",
            "- Impostors tried here are the other accounts of the same stores. Imitation on "
            "purpose was not tried.",
            f"- A profile of a confidence below {config.owner.min_confidence:g} is not compared: "
            "`immature_profile`.",
            *_beyond_these_figures(model),
            "",
        ]
    )


def _panels(inputs: InputConfig) -> str:
    names, cells = inputs.panels.names, inputs.panels.cells
    return f"{len(names)} panels of {cells} x {cells} cells ({', '.join(names)})"


def _beyond_these_figures(model: TrainedModel) -> list[str]:
    """Return what the figures of the card leave open, and where it is measured."""
    replays = (
        "Replays of other sessions are looked for beside, and are in none of these figures"
        if model.null_model
        else "Replays are not looked for: too few legitimate movements to fit a null model"
    )
    return [
        f"- {replays} (docs/replay.md).",
        "- What the recorder, the screen or the task give away without a look at the motion is not "
        "in these figures: `pointerprint audit` says it of your stores, docs/benchmarks.md of "
        "public recordings, where it is much.",
    ]


def _thresholds(model: TrainedModel) -> list[str]:
    rows = [
        f"| {row.budget:.1%} | {row.threshold:.4f} | "
        f"{'not known' if row.unseen_rate is None else f'{row.unseen_rate:.2%}'} | "
        f"{row.note or '-'} |"
        for row in model.policy.thresholds
    ]
    return [
        "## Thresholds",
        "",
        f"Set on {model.policy.n_sessions:,} legitimate sessions of {model.policy.n_people} "
        "people of the calib partition.",
        "",
        "| target FPR | threshold | FPR on people left out | note |",
        "|---|---|---|---|",
        *rows,
        "",
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
            f"On {found.n_legitimate:,} legitimate and {found.n_fraud:,} fraud sessions that "
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
