"""A model just trained and its sessions in, the `Reference` that later days are held to out."""

from datetime import UTC, datetime

import numpy as np

from model.run import TrainedModel
from model.score import score_sessions
from pipeline.monitoring.reference import Reference, score_measures, session_measures, summarise
from pipeline.sessions.sessions import Sessions
from pipeline.splits.split import Split

_SCORED = 5000  # sessions held out, at most, spread evenly


def training_reference(
    model: TrainedModel, sessions: Sessions, split: Split, scored: tuple[str, ...]
) -> Reference:
    """Return how legitimate sessions are distributed, and the scores of those held out.

    Days are mostly legitimate: the share of fraud that a model was trained on is not theirs.
    `scored` are the parts to score; with none the scores have no reference (the owner task:
    nobody is enrolled yet).
    """
    legitimate = sessions.label != 1
    people = sessions.take(legitimate)
    reference = summarise(session_measures(people), split.groups.person[legitimate])
    chosen = split.indices(*scored)
    held_out = chosen[legitimate[chosen]].astype(np.int64)
    if len(held_out):
        held_out = held_out[:: -(-len(held_out) // _SCORED)]
        table = score_sessions(
            model, model.model_id, sessions.take(held_out), "training", datetime.now(UTC)
        )
        reference |= summarise(score_measures(table), split.groups.person[held_out])
    return reference
