"""Set a model's level to a site: from its unlabelled sessions, without training."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Shaped

from model.calibrate import RecorderLevel, apply_levels
from model.fraud import FraudScorer
from model.level import (
    FEWEST_SESSIONS,
    LevelEstimate,
    LevelReference,
    distance_to_people,
    estimate_level,
    level_at,
)
from model.run import TrainedModel
from model.score import score_without_reasons
from pipeline.errors import ConfigError, DataError, printable
from pipeline.monitoring.reference import (
    Reference,
    effective_size,
    score_measures,
    session_measures,
    summarise,
)
from pipeline.scores.table import goes_somewhere
from pipeline.sessions.recorder import NOT_KNOWN
from pipeline.sessions.sessions import Sessions

MOST_SESSIONS: Final = 5_000
"""Of one recorder, spread evenly: more say nothing new of its level."""


@dataclass(frozen=True)
class RecorderAdaptation:
    """What came of adapting to one recorder."""

    recorder: str
    n_sessions: int  # that have a logit
    n_people: float  # accounts; a session without one counts as one, accounts by their sessions
    is_adapted: bool
    why: str  # it isn't; empty: it is
    fraud_share: float | None = None  # estimated; None: too few sessions
    distance_before: float | None = None  # to people calibrated on, of sessions not fitted on
    distance_after: float | None = None
    threshold_before: float | None = None  # both in adjusted logits as before
    threshold_after: float | None = None
    level: RecorderLevel | None = None


@dataclass(frozen=True)
class Adaptation:
    """A model with a site's level, and how it came about."""

    model: TrainedModel
    recorders: tuple[RecorderAdaptation, ...]  # of most sessions first
    reference: Reference  # what later days are compared with: the site's sessions

    @property
    def adapted(self) -> tuple[RecorderAdaptation, ...]:
        """Return the recorders whose level was set."""
        return tuple(found for found in self.recorders if found.is_adapted)

    def to_json(self) -> list[dict[str, Any]]:
        """Return what came of each recorder as JSON holds it."""
        return [
            {name: value for name, value in vars(found).items() if name != "level"}
            for found in self.recorders
        ]

    def to_text(self) -> str:
        """Return what came of each recorder as a table for a terminal."""
        lines = [f"{'recorder':<32}  sessions  frauds  distance to people  outcome"]
        for found in self.recorders:
            share = "-" if found.fraud_share is None else f"{found.fraud_share:.0%}"
            distance = "-"
            if found.distance_before is not None and found.distance_after is not None:
                distance = f"{found.distance_before:.2f} -> {found.distance_after:.2f}"
            lines.append(
                f"{printable(found.recorder):<32}  {found.n_sessions:>8,}  {share:>6}  "
                f"{distance:>18}  {found.why or 'adapted'}"
            )
        return "\n".join(lines)


def check_adaptable(model: TrainedModel) -> LevelReference:
    """Return what adapting compares with, or raise why the model can't be adapted."""
    if not isinstance(model.scorer, FraudScorer):
        raise ConfigError(
            "adapt",
            f"the model's task is {model.config.task}, whose level is that of each account",
            "`pointerprint enroll` makes or extends the accounts' profiles",
        )
    if model.level_reference is None:
        raise DataError(
            "adapt",
            "the model keeps nothing that a site's sessions could be compared with",
            "train it again with this version",
        )
    return model.level_reference


def adapt_model(
    model: TrainedModel, sessions: Sessions, recorders: Collection[str] = ()
) -> Adaptation:
    """Return the model with the level of each recorder of these sessions that passes its check.

    Sessions need no labels; those known to be frauds are left out. `recorders` are those to adapt
    to; with none, all.
    """
    reference = check_adaptable(model)
    sessions = _spread(sessions.take(~sessions.is_fraud))
    found = model.scorer.predict(sessions)
    is_scored = np.isfinite(found.of_session) & goes_somewhere(sessions)
    adjusted = model.calibration.adjust(found.of_session, found.events_of_session)
    names = np.where(pd.notna(sessions.recorder), sessions.recorder, NOT_KNOWN)
    threshold = model.calibration.adjusted_at(model.policy.threshold)
    outcomes = [
        adapt_recorder(
            str(name),
            adjusted[is_scored & (names == name)],
            sessions.account_id[is_scored & (names == name)],
            reference,
            threshold,
            model.policy.budget,
            model.levels.get(name),
        )
        for name in pd.unique(names)
        if not recorders or name in recorders
    ]
    outcomes.sort(key=lambda outcome: (-outcome.n_sessions, outcome.recorder))
    levels = {o.recorder: o.level for o in outcomes if o.is_adapted and o.level is not None}
    adapted = replace(
        model,
        levels=dict(model.levels) | levels,
        recorders=dict(model.recorders)
        | {name: level.n_sessions for name, level in levels.items()},
    )
    return Adaptation(adapted, tuple(outcomes), _reference(adapted, sessions))


def _spread(sessions: Sessions) -> Sessions:
    """Return at most `MOST_SESSIONS` of each recorder, spread evenly over all of them."""
    names = np.where(pd.notna(sessions.recorder), sessions.recorder, NOT_KNOWN)
    kept = [
        own[:: -(-len(own) // MOST_SESSIONS)]
        for own in (np.flatnonzero(names == name) for name in pd.unique(names))
    ]
    return sessions.take(np.sort(np.concatenate([np.zeros(0, np.int64), *kept])))


def adapt_recorder(
    name: str,
    adjusted: Float64[np.ndarray, " sessions"],
    accounts: Shaped[np.ndarray, " sessions"],
    reference: LevelReference,
    threshold: float,
    target_fpr: float,
    present: RecorderLevel | None = None,
) -> RecorderAdaptation:
    """Return the level of one recorder, and whether it passes its check.

    `threshold` is that for `target_fpr`, in adjusted logits; `present` the level up to now. The
    check: set on half of the accounts, the level must bring the lower part of the other half's
    sessions nearer to where people's are than it is now.
    """
    n, n_people = len(adjusted), effective_size(accounts)
    if name == NOT_KNOWN:
        return RecorderAdaptation(name, n, n_people, False, "its recorder isn't known")
    if n < FEWEST_SESSIONS:
        why = f"too few sessions: {FEWEST_SESSIONS} with a score are needed"
        return RecorderAdaptation(name, n, n_people, False, why)

    def level_of(estimate: LevelEstimate, n_people: float) -> RecorderLevel:
        return level_at(estimate, reference, threshold, target_fpr, n_people)

    def distance(level: RecorderLevel | None) -> float:
        levels = {} if level is None else {name: level}
        values = apply_levels(unseen, levels, np.full(len(unseen), name, object))
        return distance_to_people(values, reference, first.fraud_share, threshold, target_fpr)

    is_fitted = _half(accounts)
    unseen = adjusted[~is_fitted]
    first = estimate_level(adjusted[is_fitted], reference)
    before = distance(present)
    after = distance(level_of(first, effective_size(accounts[is_fitted])))
    whole = estimate_level(adjusted, reference)
    level = level_of(whole, n_people)
    is_nearer = after < before
    return RecorderAdaptation(
        name,
        n,
        n_people,
        is_nearer,
        "" if is_nearer else "as before: its own level is no nearer to people's",
        whole.fraud_share,
        before,
        after,
        _threshold(present, threshold),
        _threshold(level, threshold),
        level,
    )


def _threshold(level: RecorderLevel | None, threshold: float) -> float:
    """Return where a threshold lies without the level."""
    return threshold if level is None else level.shift + level.scale * threshold


def _half(accounts: Shaped[np.ndarray, " sessions"]) -> Bool[np.ndarray, " sessions"]:
    """Return which sessions are of one half of the accounts; of one account, half of its sessions.

    A session without account stands for itself.
    """
    n = len(accounts)
    alone = np.array([f"\0{i}" for i in range(n)], object)
    codes, names = pd.factorize(np.where(pd.notna(accounts), accounts, alone))
    rng = np.random.default_rng(n)
    if len(names) > 1:
        sizes = np.bincount(codes)
        order = rng.permutation(len(names))
        is_first = np.cumsum(sizes[order]) - sizes[order] / 2 <= n / 2
        is_in = np.zeros(len(names), bool)
        is_in[order[is_first]] = True
        half = is_in[codes]
        if n / 4 <= half.sum() <= 3 * n / 4:
            return half
    return rng.permutation(n) < n / 2


def _reference(model: TrainedModel, sessions: Sessions) -> Reference:
    """Return how the site's sessions and their scores are distributed."""
    table = score_without_reasons(model, model.model_id, sessions, "adapting", datetime.now(UTC))
    return summarise(session_measures(sessions), sessions.account_id) | summarise(
        score_measures(table), sessions.account_id
    )
