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
    reasons = None
    if model.reference_ranges is not None:
        reasons = reason_lists(sessions, model.reference_ranges, model.scorer.ranges)
    table = scores_table(
        sessions, found.windows, found.of_window, score, verdict, found.abstain, reasons
    )
    return with_print_reasons(model, sessions, table)


def with_print_reasons(model: TrainedModel, sessions: Sessions, table: pa.Table) -> pa.Table:
    """Return rows of SCORES in which every flagged session has a reason.

    Where no measure is unusual, the panels that raised the score most are named.
    """
    lists = table["reasons"].to_pylist()
    is_flagged = table["is_flagged"].to_numpy(zero_copy_only=False)
    lacking = [i for i, reasons in enumerate(lists) if is_flagged[i] and not reasons]
    found = print_reasons(model, sessions.take(np.array(lacking, np.int64)))
    for i, reasons in zip(lacking, found, strict=True):
        lists[i] = [reason.code for reason in reasons]
    column = table.schema.get_field_index("reasons")
    field = table.schema.field(column)
    return table.set_column(column, field, pa.array(lists, field.type)) if lacking else table
