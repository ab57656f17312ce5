"""Sessions and a trained model in, rows of the scores table out."""

from datetime import datetime

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Float64

from model.config import RunConfig
from model.network import Network, predict
from model.owner.score import compare_sessions
from model.run import TrainedModel
from pipeline.reasons.found import reason_lists
from pipeline.scores import Verdict, pool_logits, scores_table
from pipeline.sessions import Sessions
from pipeline.standard import standardise
from pipeline.windows import Windows, cut_windows


def look(
    network: Network, config: RunConfig, sessions: Sessions
) -> tuple[Windows, Float32[np.ndarray, " windows"], Float64[np.ndarray, " sessions"]]:
    """Return the windows of `sessions`, the logit of each, and each session's (NaN: no window).

    The network sees them standardised; the windows are stretches of the events as recorded.
    """
    standard = standardise(sessions, config.standard)
    windows = cut_windows(standard.sessions, config.window)
    logits = predict(network, standard.sessions, windows, config.window.max_events)[:, 0]
    pooled = pool_logits(logits, windows.session, len(sessions), config.score.pooling)
    return standard.recorded(windows), logits, pooled


def score_sessions(
    model: TrainedModel, model_id: str, sessions: Sessions, run_id: str, scored_at: datetime
) -> pa.Table:
    """Return a row of the `SCORES` table for each session, in their order."""
    abstain = None
    if model.profiles is not None:
        windows, logits, pooled, abstain = compare_sessions(
            model.as_scored, model.config, model.profiles, sessions
        )
    else:
        windows, logits, pooled = look(model.as_scored, model.config, sessions)
    judged = np.isfinite(pooled)
    score = np.full(len(sessions), np.nan)
    score[judged] = model.calibration.apply(pooled[judged])
    verdict = Verdict(
        threshold=model.policy.threshold,
        medium_threshold=model.policy.medium_threshold,
        min_events=model.config.score.min_events,
        model_id=model_id,
        run_id=run_id,
        scored_at=scored_at,
    )
    reasons = None
    if model.usual is not None:
        reasons = reason_lists(sessions, model.usual, model.ranges)
    return scores_table(sessions, windows, logits, score, verdict, abstain, reasons)
