"""A trained run in, its MODEL_CARD.md out: what it is for, how good, on whom, and its limits."""

from model.evaluate import Evaluation
from model.run import TrainedModel
from pipeline.splits import Split


def model_card(model: TrainedModel, split: Split, evaluation: Evaluation) -> str:
    """Return the card as Markdown."""
    config, canvas, described = model.config, model.config.canvas, split.to_json()
    parts = [
        f"| {name} | {part['n_legitimate']:,} | {part['n_fraud']:,} | {part['n_people']} | "
        f"{', '.join(part['generators']) or '-'} |"
        for name, part in described["parts"].items()
    ]
    thresholds = [
        f"| {row.budget:.1%} | {row.threshold:.4f} | "
        f"{'not known' if row.unseen_rate is None else f'{row.unseen_rate:.2%}'} | "
        f"{row.note or '-'} |"
        for row in model.policy.thresholds
    ]
    left_out = [f"- left out, {why}: {n:,}" for why, n in described["left_out"].items() if n]
    notes = [f"- {note}" for note in described["notes"]]
    return "\n".join(
        [
            f"# Model card: {model.model_id}",
            "",
            f"Task: **{config.task}**. A window of up to {config.window.max_events} events is "
            f"drawn on {canvas.size} x {canvas.size} cells of {canvas.cell_px:g} px "
            f"({', '.join(canvas.channels)}); a session's logit is the "
            f"{config.score.pooling} of its windows'.",
            "",
            "## What it was made from",
            "",
            "| part | legitimate | fraud | people | generators |",
            "|---|---|---|---|---|",
            *parts,
            "",
            *left_out,
            *notes,
            "",
            "## On the sessions held out",
            "",
            "What was kept apart, so that none of it is in two parts: "
            + ", ".join(config.split.by)
            + ".",
            "",
            "```",
            evaluation.to_text(),
            "```",
            "",
            "![ROC](roc.png) ![Calibration](reliability.png) ![Scores](scores.png)",
            "",
            "## Thresholds",
            "",
            f"Set on {model.policy.n_sessions:,} legitimate sessions of {model.policy.n_people} "
            "people of the calib part.",
            "",
            "| budget | threshold | rate on people left out | note |",
            "|---|---|---|---|",
            *thresholds,
            "",
            "## Limits",
            "",
            "- The score is calibrated at the calib part's share of fraud, "
            f"{model.calibration.base_rate:.0%}: where fraud is rarer, it overstates.",
            "- It was not tried on people, recorders or generators other than those above.",
            "- Touchpads, tremor and accessibility devices may move unlike the people above.",
            "",
        ]
    )
