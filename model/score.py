"""Score sessions by a trained model: rows of the scores table."""

from datetime import datetime

import numpy as np
import pyarrow as pa

from model.attribution import print_reasons
from model.run import TrainedModel
from pipeline.reasons.find import reason_lists
from pipeline.scores.table import ScorePolicy, scores_table
from pipeline.sessions.sessions import Sessions


def score_sessions(
    model: TrainedModel, model_id: str, sessions: Sessions, run_id: str, scored_at: datetime
) -> pa.Table:
    """Return a row of the `SCORES` table for each session, in their order."""
    return with_reasons(
        model, sessions, score_without_reasons(model, model_id, sessions, run_id, scored_at)
    )


def score_without_reasons(
    model: TrainedModel, model_id: str, sessions: Sessions, run_id: str, scored_at: datetime
) -> pa.Table:
    """Return rows of the `SCORES` table whose reasons nobody asks for: they take the most time."""
    found = model.scorer.predict(sessions)
    score = model.calibration.apply(
        found.of_session, found.events_of_session, model.levels, sessions.recorder
    )
    verdict = ScorePolicy(
        threshold=model.policy.threshold,
        medium_threshold=model.policy.medium_threshold,
        min_events=model.config.score.min_events,
        model_id=model_id,
        run_id=run_id,
        scored_at=scored_at,
        recorders=model.recorders,
    )
    return scores_table(sessions, found.windows, found.of_window, score, verdict, found.abstain)


def with_reasons(model: TrainedModel, sessions: Sessions, table: pa.Table) -> pa.Table:
    """Return rows of SCORES with reasons; every flagged session has one.

    First what was measured. The panels that raised the score most follow where nothing was, and
    in the owner task, whose score is of the print alone, wherever a session is flagged.
    """
    is_flagged = table["is_flagged"].to_numpy(zero_copy_only=False).astype(bool)
    lists: list[list[str]] = [[] for _ in range(len(sessions))]
    ranges = model.scorer.ranges
    if model.reference_ranges is not None:
        lists = reason_lists(sessions, model.reference_ranges, ranges, is_flagged).to_pylist()
    shown = [i for i in np.flatnonzero(is_flagged) if ranges is not None or not lists[i]]
    found = print_reasons(model, sessions.take(np.array(shown, np.int64)))
    for i, reasons in zip(shown, found, strict=True):
        lists[i] += [reason.code for reason in reasons]
    column = table.schema.get_field_index("reasons")
    field = table.schema.field(column)
    return table.set_column(column, field, pa.array(lists, field.type))
