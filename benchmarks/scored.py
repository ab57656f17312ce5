"""Recordings by the set they are in, and what a model says of them: no reasons, no replays."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from benchmarks.sources import read_all
from model.bootstrap import Interval
from model.comparison import used_sessions
from model.run import TrainedModel
from pipeline.scores.table import abstain_reasons
from pipeline.sessions.recorder import name_recorders
from pipeline.sessions.sessions import Sessions

Scores = Float64[np.ndarray, " sessions"]


def people_of(log: Path, name: str) -> Sessions:
    """Return the legitimate sessions of a set of recordings, whose recorder is called `name`.

    A set that names nobody is of one person.
    """
    sessions = read_all(log)
    nobody = np.equal(sessions.account_id, None)
    return replace(
        name_recorders(sessions, name),
        account_id=np.where(nobody, f"{name}-1", sessions.account_id).astype(object),
        label=np.zeros(len(sessions), np.int8),
    )


def unused(sessions: Sessions, run: Path) -> Sessions:
    """Return the sessions that a RUN was neither trained nor calibrated nor stopped on."""
    return sessions.take(~np.isin(sessions.session_id.astype(str), sorted(used_sessions(run))))


def bot_families(bots: Path) -> dict[str, Sessions]:
    """Return the sessions of each recorded family of bots."""
    found = {}
    for log in sorted(bots.glob("*.parquet")):
        sessions = read_all(log)
        label = np.ones(len(sessions), np.int8)
        account = np.full(len(sessions), log.stem, object)
        found[log.stem] = replace(sessions, label=label, account_id=account)
    return found


def session_scores(model: TrainedModel, sessions: Sessions) -> Scores:
    """Return the fraud score of each session as `score` gives it, NaN where it abstains."""
    found = model.scorer.predict(sessions)
    score = model.calibration.apply(
        found.of_session, found.events_of_session, model.levels, sessions.recorder
    )
    abstains = abstain_reasons(sessions, found.windows, model.config.score.min_events)
    # SCORES hold 32-bit numbers, and so do thresholds.
    score = np.asarray(score, np.float32).astype(np.float64)
    return np.where(np.equal(abstains, None), score, np.nan)


def median_recall(scores: Mapping[str, Scores], threshold: float) -> float:
    """Return the median over families of the share that is flagged of what is scored."""
    return float(np.nanmedian([recall(score, threshold) for score in scores.values()]))


def recall(score: Scores, threshold: float) -> float:
    """Return the share of scored sessions that is flagged, NaN if none is scored."""
    score = score[np.isfinite(score)]
    return float((score >= threshold).mean()) if len(score) else np.nan


def percent(found: Interval) -> str:
    """Return a rate with its interval for a table."""
    return f"{found.value:.1%} [{found.low:.1%}, {found.high:.1%}]"
