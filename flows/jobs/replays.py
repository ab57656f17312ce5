"""Scores and recordings in, scores that have heard the search for replays out."""

import logging
from collections.abc import Iterable, Sequence

import pyarrow as pa

from model.run import TrainedModel
from pipeline.replay.evidence import find_replays
from pipeline.replay.recordings import Recordings, concatenate_recordings, record
from pipeline.replay.verdict import log_odds, with_replays
from pipeline.sessions import Sessions

log = logging.getLogger(__name__)


def judge_replays(
    scores: pa.Table,
    recordings: Sequence[Recordings],
    history: Iterable[Sessions],
    model: TrainedModel,
) -> pa.Table:
    """Return `SCORES` raised where a session is a replay; a row is a session of `recordings`.

    They are compared with each other and with the sessions of `history`, which are earlier
    and have no row. Without movements to know chance by, the scores come back as they are.
    """
    if model.chance is None or not recordings:
        return scores
    everything = concatenate_recordings(
        [*recordings, *(record(sessions, is_earlier=True) for sessions in history)]
    )
    n_earlier = len(everything) - scores.num_rows
    log.info("looking for replays among %d sessions, %d earlier", len(everything), n_earlier)
    evidence = find_replays(everything, model.chance, log_odds(scores))
    policy, calibration = model.policy, model.calibration
    return with_replays(scores, evidence, calibration.base_rate, policy.medium_threshold)
