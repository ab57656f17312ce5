"""Scores and the evidence of replays in, scores that have heard it out.

A session is fraud because it looks like one, or because it is a replay: its odds are the sum
of both. They are not multiplied, for a replay is a person's movement: that it looks human says
nothing against it.
"""

from typing import Final

import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from scipy.special import expit, logit

from pipeline.replay.evidence import Evidence
from pipeline.schemas import SCORES
from pipeline.scores import bands_of

REPLAY_SHARE: Final = 0.05  # of frauds, before anything is known: one in twenty is a replay
REPLAY: Final = "replay_of_session"
REPEATED: Final = "repeated_movements"


def log_odds(scores: pa.Table) -> Float64[np.ndarray, " sessions"]:
    """Return the log odds of fraud of each row; NaN where it abstains."""
    score = scores["fraud_score"].to_numpy(zero_copy_only=False).astype(np.float64)
    return logit(score)


def with_replays(
    scores: pa.Table, evidence: Evidence, base_rate: float, medium_threshold: float
) -> pa.Table:
    """Return `SCORES` rows raised by the evidence on their sessions; none is ever lowered.

    `base_rate` is the share of frauds that the scores hold for. Evidence counts from where a
    replay is likelier than not; such a session gets a reason, and the name of the session that
    it shares most with. One that abstains gets these too, and no score.
    """
    if not scores.num_rows:
        return scores
    looks = log_odds(scores)
    replay = logit(base_rate) + np.log(REPLAY_SHARE) + evidence.log_ratio
    is_replay = replay >= 0
    score = scores["fraud_score"].to_numpy(zero_copy_only=False).copy()
    is_raised = is_replay & ~np.isnan(looks)
    score[is_raised] = expit(np.logaddexp(looks[is_raised], replay[is_raised]))
    threshold = float(scores["threshold"][0].as_py())
    code = np.where(evidence.is_whole, REPLAY, REPEATED)
    reasons = [
        ([new, *old] if is_first else [*old, new]) if is_new else old
        for old, new, is_new, is_first in zip(
            scores["reasons"].to_pylist(), code, is_replay, ~(looks > replay), strict=True
        )
    ]
    columns = {
        "fraud_score": pa.array(score, mask=np.isnan(score)),
        "band": pa.array(bands_of(score, medium_threshold, threshold)).dictionary_encode(),
        "is_flagged": pa.array(score >= np.float32(threshold)),
        "reasons": pa.array(reasons, SCORES.field("reasons").type),
        "replay_of": pa.array(evidence.replay_of, pa.string(), mask=~is_replay),
    }
    changed = [columns.get(name, scores[name]) for name in SCORES.names]
    return pa.table(changed, schema=SCORES)
