"""Find where the logits of a recorder's people lie, from sessions with frauds among them.

Within a recorder the order of sessions holds even where it was never trained on; the level of the
logits moves. So a level is two numbers, a middle and a spread. They are those of an empirical null
(Efron 2004, "Large-scale simultaneous hypothesis testing: the choice of a null hypothesis"): most
sessions are people's, distributed as within the recorders calibrated on; what lies above is frauds.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Final

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int, Shaped

from model.calibrate import UPPER, RecorderLevel
from model.policy import PRIOR_PEOPLE
from pipeline.storage.records import ARRAY

FEWEST_SESSIONS: Final = 50
"""With fewer sessions of a recorder its level is not estimated."""

MOST_FRAUDS: Final = 0.4
"""Share of frauds that an estimate can reach: people are the most of a site's sessions."""

PRIOR_SESSIONS: Final = 25
"""So many sessions, as so many people as `PRIOR_PEOPLE`, count as much as the threshold as trained,
where a site's own would be lower. A higher one is taken as it is: that spares people."""

_KEPT = 400  # quantiles
_NARROWEST = 0.05  # spreads: a recorder all of whose sessions are alike
_PRIOR_SPREAD = 0.5  # how far levels differ by recorder: of the middle in spreads, as of log spread
_PRIOR_LEGITIMATE = 11  # sessions that count for there being no fraud
_TAIL, _TAIL_WIDTH = 0.02, 4.0  # share of people anywhere, and how wide, in their spreads
_ELSEWHERE, _FRAUD_MIDDLE, _FRAUD_WIDTH = 0.1, 3.0, 4.0  # frauds unlike those calibrated on
_GRID = np.linspace(-8.0, 40.0, 2401)


@dataclass(frozen=True)
class LevelReference:
    """How adjusted logits are distributed on the recorders that a model was calibrated on."""

    people: Annotated[Float64[np.ndarray, " quantiles"], ARRAY]
    """Evenly spaced quantiles within a recorder: its median is 0, its 95th percentile 1."""
    frauds: Annotated[Float64[np.ndarray, " quantiles"], ARRAY]
    """Evenly spaced quantiles, above the median of people."""
    middle: float  # a recorder's median of people, a mean over recorders
    spread: float  # from there to its 95th percentile, a geometric mean

    def quantile(self, share: float) -> float:
        """Return how many of a recorder's own spreads above its median this share is below."""
        return float(np.quantile(self.people, share))

    @cached_property
    def _of_people(self) -> Float64[np.ndarray, " grid"]:
        return _density(self.people, 0.1)

    @cached_property
    def _of_frauds(self) -> Float64[np.ndarray, " grid"]:
        return _density(self.frauds, 0.25)

    def log_people(
        self, values: Float64[np.ndarray, " sessions"]
    ) -> Float64[np.ndarray, " sessions"]:
        """Return the log density of people at values in a recorder's own spreads."""
        near = np.interp(values, _GRID, self._of_people, 0, 0)
        return np.log((1 - _TAIL) * near + _TAIL * _gaussian(values, 0.0, _TAIL_WIDTH))

    def log_frauds(
        self, values: Float64[np.ndarray, " sessions"]
    ) -> Float64[np.ndarray, " sessions"]:
        """Return the log density of frauds at values above the median of people."""
        near = np.interp(values, _GRID, self._of_frauds, 0, 0)
        far = _gaussian(values, _FRAUD_MIDDLE, _FRAUD_WIDTH)
        return np.log((1 - _ELSEWHERE) * near + _ELSEWHERE * far)


def fit_level_reference(
    adjusted: Float64[np.ndarray, " sessions"],
    label: Int[np.ndarray, " sessions"],
    recorder: Shaped[np.ndarray, " sessions"],
) -> LevelReference:
    """Return how the adjusted logits of labelled sessions lie within each recorder, all alike.

    Recorders with few sessions are left out, unless there are no others.
    """
    people, whose = adjusted[label == 0], recorder[label == 0]
    own = [people[whose == name] for name in pd.unique(whose)]
    own = [values for values in own if len(values) >= FEWEST_SESSIONS] or [people]
    middles = np.array([np.median(values) for values in own])
    tops = np.array([np.quantile(values, UPPER) for values in own])
    spreads = np.maximum(tops - middles, _NARROWEST)
    shapes = [
        (_quantiles(values) - middle) / spread
        for values, middle, spread in zip(own, middles, spreads, strict=True)
    ]
    return LevelReference(
        people=_quantiles(np.concatenate(shapes)),
        frauds=_quantiles(adjusted[label == 1]) - float(np.median(people)),
        middle=float(middles.mean()),
        spread=float(np.exp(np.log(spreads).mean())),
    )


@dataclass(frozen=True)
class LevelEstimate:
    """Where the people among unlabelled sessions of one recorder lie."""

    middle: float  # the median of people's adjusted logits
    spread: float  # from there to their 95th percentile
    fraud_share: float
    n_sessions: int


def estimate_level(
    adjusted: Float64[np.ndarray, " sessions"], reference: LevelReference
) -> LevelEstimate:
    """Return where people lie among sessions of one recorder, of which some may be frauds.

    The posterior mode of a mixture of people, whose distribution has the reference's shape, and
    frauds above them. Few sessions leave the level near the reference's.
    """
    from scipy.optimize import minimize  # a quarter of a second that scoring need not wait for

    def loss(at: Float64[np.ndarray, " 3"]) -> float:
        middle, log_spread, share = at[0], at[1], _share(at[2])
        above = adjusted - middle
        of_people = reference.log_people(above / np.exp(log_spread)) - log_spread
        of_frauds = reference.log_frauds(above)
        each = np.logaddexp(np.log1p(-share) + of_people, np.log(share) + of_frauds)
        far = (middle - reference.middle, log_spread - np.log(reference.spread))
        prior = _PRIOR_LEGITIMATE * np.log1p(-share) - 0.5 * np.square(far).sum() / _PRIOR_SPREAD**2
        return -float(each.sum() + prior)

    low, middle = np.quantile(adjusted, (0.1, 0.5))
    lowest = reference.quantile(0.1)
    log_spread = np.log(max((middle - low) / max(-lowest, _NARROWEST), _NARROWEST))
    few, many = (middle, log_spread, -3.0), (np.quantile(adjusted, 0.4), log_spread - 0.3, 0.0)
    found = [
        minimize(
            loss,
            start,
            method="Nelder-Mead",
            options={"xatol": 1e-3, "fatol": 1e-3, "maxiter": 500},
        )
        for start in (few, many)
    ]
    best = min(found, key=lambda one: one.fun).x
    return LevelEstimate(
        float(best[0]), float(np.exp(best[1])), float(_share(best[2])), len(adjusted)
    )


def level_at(
    estimate: LevelEstimate,
    reference: LevelReference,
    threshold: float,
    target_fpr: float,
    n_people: float,
) -> RecorderLevel:
    """Return the level under which a share of `target_fpr` of the people reaches `threshold`.

    Their median comes where it is on the recorders calibrated on. A site's threshold that would be
    lower than the one as trained, both in adjusted logits, is drawn towards it, the more the fewer
    people and sessions it rests on.
    """
    own = estimate.middle + estimate.spread * reference.quantile(1 - target_fpr)
    if own < threshold:
        n = estimate.n_sessions
        weight = n_people / (n_people + PRIOR_PEOPLE) * n / (n + PRIOR_SESSIONS)
        own = threshold + weight * (own - threshold)
    room = max(threshold - reference.middle, _NARROWEST)
    scale = max(own - estimate.middle, _NARROWEST) / room
    return RecorderLevel(estimate.middle - scale * reference.middle, scale, estimate.n_sessions)


LOWER_PART: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""Quantiles of people that frauds above them do not move much."""


def distance_to_people(
    adjusted: Float64[np.ndarray, " sessions"],
    reference: LevelReference,
    fraud_share: float,
    threshold: float,
    target_fpr: float,
) -> float:
    """Return how far the lower part of sessions is from where people's would be, in spreads.

    That is where a share of `target_fpr` of people reaches `threshold`.
    """
    room = (threshold - reference.middle) / reference.quantile(1 - target_fpr)
    expected = reference.middle + room * np.quantile(reference.people, LOWER_PART)
    found = np.quantile(adjusted, (1 - fraud_share) * np.array(LOWER_PART))
    return float(np.abs(found - expected).mean())


def _share(at: float) -> float:
    """Return the share of frauds at a place on the whole line."""
    return MOST_FRAUDS / (1 + np.exp(-np.clip(at, -30, 30)))


def _quantiles(values: Float64[np.ndarray, " values"]) -> Float64[np.ndarray, " quantiles"]:
    return np.quantile(values, (np.arange(_KEPT) + 0.5) / _KEPT)


def _density(values: Float64[np.ndarray, " values"], width: float) -> Float64[np.ndarray, " grid"]:
    return _gaussian(_GRID[:, None], values, width).mean(axis=1)


def _gaussian(
    values: Float64[np.ndarray, "..."], middle: float | Float64[np.ndarray, "..."], width: float
) -> Float64[np.ndarray, "..."]:
    return np.exp(-0.5 * ((values - middle) / width) ** 2) / (width * np.sqrt(2 * np.pi))
