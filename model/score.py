"""Sessions and a trained model in, rows of the scores table out."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Float64, Int64

from model.config import RunConfig
from model.network import Network, predict
from model.owner.score import compare_sessions
from model.print_reasons import print_reasons
from model.run import TrainedModel
from pipeline.reasons.find import reason_lists
from pipeline.scores.table import Verdict, pool_logits, scores_table
from pipeline.sessions.resample import resample
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import Windows, cut_windows


@dataclass(frozen=True)
class Predictions:
    """The logits of sessions, window by window and altogether."""

    windows: Windows  # stretches of the events as recorded
    of_window: Float32[np.ndarray, " windows"]  # logits
    of_session: Float64[np.ndarray, " sessions"]  # logits; NaN: no window
    events_of_window: Int64[np.ndarray, " windows"]  # standardised ones: what the network saw

    @property
    def events_of_session(self) -> Int64[np.ndarray, " sessions"]:
        """Return how many events each session's logit rests on."""
        n_events = np.zeros(len(self.of_session), np.int64)
        np.add.at(n_events, self.windows.session, self.events_of_window)
        return n_events


def predict_sessions(network: Network, config: RunConfig, sessions: Sessions) -> Predictions:
    """Return the logits of `sessions`; the network sees them standardised."""
    standard = resample(sessions, config.resample)
    windows = cut_windows(standard.sessions, config.window)
    logits = predict(network, standard.sessions, windows, config.window.max_events)
    pooled = pool_logits(logits, windows.session, len(sessions), config.score.pooling)
    return Predictions(standard.recorded(windows), logits, pooled, windows.stop - windows.start)


def score_sessions(
    model: TrainedModel, model_id: str, sessions: Sessions, run_id: str, scored_at: datetime
) -> pa.Table:
    """Return a row of the `SCORES` table for each session, in their order."""
    abstain = None
    if model.profiles is not None:
        windows, logits, pooled, abstain = compare_sessions(model.config, model.profiles, sessions)
        n_events = None
    else:
        seen = predict_sessions(model.fraud_network, model.config, sessions)
        windows, logits, pooled = seen.windows, seen.of_window, seen.of_session
        n_events = seen.events_of_session
    score = model.calibration.apply(pooled, n_events)
    verdict = Verdict(
        threshold=model.policy.threshold,
        medium_threshold=model.policy.medium_threshold,
        min_events=model.config.score.min_events,
        model_id=model_id,
        run_id=run_id,
        scored_at=scored_at,
    )
    reasons = None
    if model.reference_ranges is not None:
        reasons = reason_lists(sessions, model.reference_ranges, model.ranges)
    table = scores_table(sessions, windows, logits, score, verdict, abstain, reasons)
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
