"""What a model gives for changed sessions, as `pointerprint score` would score them."""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float64, Shaped
from scipy.special import logit

from model.bootstrap import rate_interval
from model.run import TrainedModel
from model.score import score_sessions
from pipeline.replay.search import find_replays, log_odds, with_replays
from pipeline.replay.signature import record
from pipeline.sessions.sessions import Sessions

N_RESAMPLES = 1000


@dataclass(frozen=True)
class Scored:
    """What a model gives for some sessions; NaN: not scored."""

    table: pa.Table  # SCORES, with replays among these sessions
    by_network: Bool[np.ndarray, " sessions"]  # flagged before replays were looked for
    log_odds: Float64[np.ndarray, " sessions"]  # calibrated, of the network alone
    highest: Float64[np.ndarray, " sessions"]  # log odds of the most suspicious window

    @property
    def flagged(self) -> Bool[np.ndarray, " sessions"]:
        """Return which sessions are flagged in the end."""
        return self.table["is_flagged"].to_numpy()


def scored(model: TrainedModel, sessions: Sessions) -> Scored:
    """Score sessions that come on one day, and no others with them."""
    table = score_sessions(model, "robustness", sessions, "robustness", datetime.now(UTC))
    by_network = table["is_flagged"].to_numpy()
    if model.null_model is not None and len(sessions):
        evidence = find_replays(record(sessions), model.null_model, log_odds(table))
        base_rate, medium = model.calibration.base_rate, model.policy.medium_threshold
        table = with_replays(table, evidence, base_rate, medium)
    seen = model.scorer.predict(sessions)
    calibrated = model.calibration.log_odds
    highest = np.full(len(sessions), np.nan)
    of_window = calibrated(seen.of_window, seen.events_of_window)
    np.fmax.at(highest, seen.windows.session, of_window)
    of_session = calibrated(seen.of_session, seen.events_of_session)
    return Scored(table, by_network, of_session, highest)


def row(after: Scored, before: Scored, group: Shaped[np.ndarray, " sessions"]) -> dict[str, Any]:
    """Return the figures of one change; intervals are over `group`s: generators or people."""
    table = after.table
    moved = after.log_odds - before.log_odds
    both = np.isfinite(moved)
    reasons = pc.call_function("list_value_length", [table["reasons"]]).to_numpy()
    threshold = float(table["threshold"][0].as_py())
    odds = logit(min(threshold, 1.0))
    return {
        "n_sessions": table.num_rows,
        "flagged": asdict(rate_interval(after.flagged, group, N_RESAMPLES)),
        "flagged_by_network": float(after.by_network.mean()),
        "highest_window": float(np.mean(after.highest >= odds)),
        "log_odds_moved": float(moved[both].mean()) if both.any() else None,
        "abstained": float(table["fraud_score"].is_null().to_numpy().mean()),
        "has_reason": float(np.mean(reasons > 0)),
        "replay_of": float(1 - table["replay_of"].null_count / table.num_rows),
        "by_group": dict(pd.Series(after.flagged).groupby(group.astype(str)).mean()),
    }


def some_of_each(
    sessions: Sessions, group: Shaped[np.ndarray, " sessions"], at_most: int, seed: int
) -> Shaped[np.ndarray, " chosen"]:
    """Return up to `at_most` sessions of each group, drawn at random, in order."""
    order = np.random.default_rng(seed).permutation(len(sessions))
    place = pd.Series(group[order].astype(str)).groupby(group[order].astype(str)).cumcount()
    return np.sort(order[place.to_numpy() < at_most])


def renamed(sessions: Sessions, account: Shaped[np.ndarray, " sessions"]) -> Sessions:
    """Return the sessions as of these accounts."""
    return replace(sessions, account_id=account.astype(object))
