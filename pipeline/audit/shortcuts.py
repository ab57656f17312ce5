"""Score the sessions of a case by shortcuts: how far one gets without looking at the path.

By the clock, the screen, both, how much there is of a session; and, to compare with, by the
one motion feature that does best. Nothing is learnt from the account, person or
generator that it scores.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64

from pipeline.audit.case import Case
from pipeline.audit.device import (
    DISTANCES,
    N_NEAREST,
    DeviceFit,
    DeviceRule,
    device_features,
    device_fit,
    distance_to_account,
    nearer_to_frauds,
)
from pipeline.features.best_feature import away_from_account, best_feature
from pipeline.features.kinematics import KINEMATIC_FEATURES, MOTION_FEATURES, session_features
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import WindowConfig, cut_windows
from pipeline.splits.assign import Folds, make_folds

_NEAREST = f"nearer to {N_NEAREST} frauds than to {N_NEAREST} legitimate sessions, of other groups"


@dataclass(frozen=True)
class Shortcut:
    """A score of each session, higher for fraud; NaN where it has none."""

    name: str
    how: str  # in words
    score: Float64[np.ndarray, " sessions"]


@dataclass(frozen=True)
class Shortcuts:
    """All shortcuts of a case, and what the device rule says."""

    rows: tuple[Shortcut, ...]
    device: DeviceFit  # of every session
    is_scored: Bool[np.ndarray, " sessions"]  # False: its person and generator are apart


def find_shortcuts(case: Case, rule: DeviceRule = DeviceRule(), seed: int = 0) -> Shortcuts:
    """Score the sessions by all that is not the path."""
    folds = make_folds(case.groups, case.is_fraud, seed)
    if case.task == "owner":
        *by_device, best = _of_owners(case, folds)
        device = device_fit(case.sessions, case.references, rule)
    else:
        *by_device, best = _of_frauds(case, folds, seed)
        device = _fit_to_all_people(case, folds, rule)
    length = nearer_to_frauds(case, folds, _length(case.sessions), seed)
    return Shortcuts(
        rows=(*by_device, Shortcut("events and duration", _NEAREST, length), best),
        device=device,
        is_scored=folds.is_scored(),
    )


def _of_owners(case: Case, folds: Folds) -> list[Shortcut]:
    """Compare each session with the references of the account that it claims."""
    how = "distance to the nearest reference of the account"
    rows = [
        Shortcut(name, how, distance_to_account(case.sessions, case.references, distance))
        for name, distance in DISTANCES.items()
    ]
    reference = pd.DataFrame(
        _motion_features(case.references),
        index=pd.MultiIndex.from_arrays(
            [case.references.account_id, case.references.session_id],
            names=["account_id", "session_id"],
        ),
    )
    away = away_from_account(
        _motion_features(case.sessions),
        case.sessions.account_id,
        case.sessions.session_id,
        reference,
    )
    score, names = best_feature(
        away, MOTION_FEATURES, case.sessions.label, folds, high_is_fraud=True
    )
    return [*rows, Shortcut("best motion feature", f"far from the account's mean {names}", score)]


def _of_frauds(case: Case, folds: Folds, seed: int) -> list[Shortcut]:
    """Compare each session with those of other people and generators."""
    device = device_features(case.sessions)
    clock = device.clock / 2
    screen = device.reach_px / np.maximum(np.median(device.reach_px, axis=0), 1)
    numbers = {"clock": clock, "screen": screen, "clock and screen": np.hstack([clock, screen])}
    rows = [
        Shortcut(name, _NEAREST, nearer_to_frauds(case, folds, values, seed))
        for name, values in numbers.items()
    ]
    score, names = best_feature(
        _motion_features(case.sessions), MOTION_FEATURES, case.sessions.label, folds
    )
    return [*rows, Shortcut("best motion feature", names, score)]


def _fit_to_all_people(case: Case, folds: Folds, rule: DeviceRule) -> DeviceFit:
    """Fit each session's device to the legitimate sessions of all other people."""
    n = len(case.sessions)
    fit = DeviceFit(np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, bool), np.zeros(n, bool))
    for fold in range(folds.n):
        scored = folds.scored(fold)
        people = case.sessions.take(folds.learnt_from(fold) & ~case.is_fraud)
        found = device_fit(
            _of_one_account(case.sessions.take(scored)), _of_one_account(people), rule
        )
        for name, values in vars(found).items():
            getattr(fit, name)[scored] = values
    return fit


def _of_one_account(sessions: Sessions) -> Sessions:
    return replace(sessions, account_id=np.full(len(sessions), "anybody", object))


def _length(sessions: Sessions) -> Float64[np.ndarray, "sessions 2"]:
    """Return how many events each session has and how many ms it takes, in doublings."""
    duration_ms = sessions.t_us[sessions.offsets[1:] - 1] / 1000
    return np.log2(np.maximum(np.stack([sessions.n_events, duration_ms], axis=1), 1))


def _motion_features(sessions: Sessions) -> Float64[np.ndarray, "sessions features"]:
    columns = [KINEMATIC_FEATURES.index(name) for name in MOTION_FEATURES]
    windows = cut_windows(sessions, WindowConfig())
    return session_features(sessions, windows)[:, columns].astype(np.float64)
