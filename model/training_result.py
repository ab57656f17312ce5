"""The result of a training of either task: all that a RUN is published from."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from model.evaluate import Evaluation
from model.run import TrainedModel
from model.score import score_without_reasons
from model.train import Epoch
from pipeline.monitoring.reference import Reference, score_measures, session_measures, summarise
from pipeline.sessions.sessions import Sessions
from pipeline.splits.split import Split

_SCORED = 5000  # held-out sessions, at most, spread evenly


@dataclass(frozen=True)
class TrainingResult:
    """A trained model, and how it came about."""

    model: TrainedModel
    split: Split
    evaluation: Evaluation  # on the sessions held out
    metrics: dict[str, Any]  # the evaluation as `metrics.json` holds it
    reference: Reference  # what later days are compared with
    card: str  # MODEL_CARD.md
    history: tuple[Epoch, ...] = ()  # of a network


def training_reference(
    model: TrainedModel, sessions: Sessions, split: Split, scored: tuple[str, ...]
) -> Reference:
    """Return how legitimate sessions are distributed, and the scores of those held out.

    Days are mostly legitimate: the share of fraud that a model was trained on is not theirs.
    `scored` are the partitions to score; with none the scores have no reference (the owner task:
    nobody is enrolled yet).
    """
    legitimate = ~sessions.is_fraud
    people = sessions.take(legitimate)
    reference = summarise(session_measures(people), split.groups.person[legitimate])
    chosen = split.indices(*scored)
    held_out = chosen[legitimate[chosen]]
    if len(held_out):
        held_out = held_out[:: -(-len(held_out) // _SCORED)]
        table = score_without_reasons(
            model, model.model_id, sessions.take(held_out), "training", datetime.now(UTC)
        )
        reference |= summarise(score_measures(table), split.groups.person[held_out])
    return reference
