"""Calibrate session logits to probabilities: of sessions scored 0.9, nine in ten are frauds.

A network that has learnt from as many bots as people, and until it was sure, is overconfident,
about short sessions above all. A few numbers, fitted on people and generators it has not seen,
correct that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from jaxtyping import Float, Float64, Int, Real, Shaped

from model.logistic import expit, logit
from pipeline.errors import DataError

UPPER: Final = 0.95
"""The spread of people's logits is from their median to this quantile: false positives come from
the upper side, and one in twenty can be counted at every length."""

_LENGTHS = 11  # between the fewest and the most events
_BANDWIDTH = 0.45  # of a length, as a logarithm: sessions half as long or twice count a third
_LONGEST = 1.2  # full windows: longer sessions are means of several, and say nothing of one
_ELSEWHERE = 1e-3  # weight of other lengths, where a length has no sessions of its own
_NARROWEST = 0.25  # of the spread over all lengths: few people may agree by luck
_NEAREST = 1e-9  # to 0 and 1, of scores


@dataclass(frozen=True)
class LengthCalibration:
    """Median and spread of people's logits by the number of events that a logit rests on.

    Between two of `n_events` both are log-linear, beyond them level: a session of many windows is
    held against people in one full window. What many windows of a recorder have in common is not
    averaged out.
    """

    n_events: tuple[float, ...]
    middle: tuple[float, ...]
    spread: tuple[float, ...]

    def adjust(
        self, logits: Float[np.ndarray, " sessions"], n_events: Int[np.ndarray, " sessions"]
    ) -> Float64[np.ndarray, " sessions"]:
        """Return each logit as spreads above the median of people at its length; NaN stays."""
        at = np.log(np.maximum(n_events, 1))
        grid = np.log(self.n_events)
        middle, spread = (np.interp(at, grid, line) for line in (self.middle, self.spread))
        return (logits.astype(np.float64) - middle) / spread


def fit_length_calibration(
    logits: Float[np.ndarray, " sessions"],
    n_events: Int[np.ndarray, " sessions"],
    fewest: int,
    most: int,
) -> LengthCalibration:
    """Return how the logits of legitimate sessions lie; each session counts alike.

    At each length by a Gaussian kernel over the logarithm of the length.
    """
    values = logits.astype(np.float64)
    overall = float(np.quantile(values, UPPER) - np.median(values)) or 1.0
    at = np.log(np.maximum(n_events, 1))
    grid = np.geomspace(fewest, most, _LENGTHS if most > fewest else 1)
    middle, spread = [], []
    for length in grid:
        near = np.exp(-0.5 * ((at - np.log(length)) / _BANDWIDTH) ** 2) + _ELSEWHERE
        near[n_events > _LONGEST * most] = _ELSEWHERE
        low, high = weighted_quantiles(values, near, (0.5, UPPER))
        middle.append(low)
        spread.append(max(high - low, _NARROWEST * overall))
    return LengthCalibration(tuple(grid.tolist()), tuple(middle), tuple(spread))


def weighted_quantiles(
    values: Float64[np.ndarray, " values"],
    weights: Float64[np.ndarray, " values"],
    shares: Sequence[float],
) -> list[float]:
    """Return quantiles of values that count by `weights`, interpolated between them."""
    order = np.argsort(values, kind="stable")
    weight = weights[order]
    below = (np.cumsum(weight) - weight / 2) / weight.sum()
    return np.interp(shares, below, values[order]).tolist()


@dataclass(frozen=True)
class RecorderLevel:
    """Where the adjusted logits of one recorder's people lie, beside those calibrated on."""

    shift: float  # spreads; taken off
    scale: float  # above 0; what is left is divided by it
    n_sessions: int  # that it rests on


NO_LEVELS: Final[Mapping[str, RecorderLevel]] = MappingProxyType({})


def apply_levels(
    adjusted: Float64[np.ndarray, " sessions"],
    levels: Mapping[str, RecorderLevel],
    recorder: Shaped[np.ndarray, " sessions"],
) -> Float64[np.ndarray, " sessions"]:
    """Return adjusted logits as they would be on the recorders calibrated on.

    Those of recorders without a level stay; the order within a recorder stays, too.
    """
    found = adjusted.copy()
    for name, level in levels.items():
        of_recorder = recorder == name
        found[of_recorder] = (found[of_recorder] - level.shift) / level.scale
    return found


@dataclass(frozen=True)
class Calibration:
    """P(fraud) = sigmoid(slope * logit + intercept), for the share of frauds it was fitted on."""

    slope: float  # above 0: a higher logit is never a lower probability
    intercept: float
    base_rate: float  # share of frauds that the probabilities hold for
    length: LengthCalibration | None = None  # None: a logit means the same at every length
    method: Literal["platt"] = "platt"

    def apply(
        self,
        logits: Float[np.ndarray, " sessions"],
        n_events: Int[np.ndarray, " sessions"] | None = None,
        levels: Mapping[str, RecorderLevel] = NO_LEVELS,
        recorder: Shaped[np.ndarray, " sessions"] | None = None,
    ) -> Float64[np.ndarray, " sessions"]:
        """Return the probability of fraud of each session; NaN stays NaN.

        `levels` are those of recorders that it was adapted to; they need the `recorder` of each.
        """
        adjusted = self.adjust(logits, n_events)
        if levels and recorder is not None:
            adjusted = apply_levels(adjusted, levels, recorder)
        return expit(self._line(adjusted))

    def log_odds(
        self,
        logits: Float[np.ndarray, " sessions"],
        n_events: Int[np.ndarray, " sessions"] | None = None,
    ) -> Float64[np.ndarray, " sessions"]:
        """Return the logarithm of the odds of fraud; `n_events` are those that a logit rests on.

        A calibration by length needs them; another ignores them.
        """
        return self._line(self.adjust(logits, n_events))

    def adjust(
        self,
        logits: Float[np.ndarray, " sessions"],
        n_events: Int[np.ndarray, " sessions"] | None = None,
    ) -> Float64[np.ndarray, " sessions"]:
        """Return logits that mean the same at every length, as `length` has it."""
        if self.length is None:
            return logits.astype(np.float64)
        if n_events is None:
            raise DataError("calibration", "no numbers of events", "it is by length: give them")
        return self.length.adjust(logits, n_events)

    def _line(self, adjusted: Float64[np.ndarray, " sessions"]) -> Float64[np.ndarray, " sessions"]:
        with np.errstate(over="ignore"):  # a logit of 1e308 may become infinite: that is 1
            return self.slope * adjusted + self.intercept

    def score_of(self, adjusted: float) -> float:
        """Return the probability of fraud at so many spreads above the median of people."""
        return float(expit(self.slope * adjusted + self.intercept))

    def adjusted_at(self, score: float) -> float:
        """Return at how many spreads above the median of people a session gets this score."""
        nearest = np.clip(score, _NEAREST, 1 - _NEAREST)
        return float((logit(nearest) - self.intercept) / self.slope)

    def with_prior(self, prior: float) -> "Calibration":
        """Return the calibration for traffic of which the share `prior` is fraud.

        Bayes' rule, if frauds look as they did and only their number differs: the odds are
        multiplied by those of the two base rates (Saerens, Latinne and Decaestecker 2002,
        "Adjusting the outputs of a classifier to new a priori probabilities", eq. 2.4).
        It moves scores and thresholds alike, so set it before the policy is fitted.
        """
        if not 0 < prior < 1:
            raise DataError("calibration", f"a prior of {prior}", "a share between 0 and 1")
        shift = float(logit(prior) - logit(self.base_rate))
        return replace(self, intercept=self.intercept + shift, base_rate=prior)


def fit_calibration(
    logits: Float[np.ndarray, " sessions"],
    labels: Int[np.ndarray, " sessions"],
    weights: Real[np.ndarray, " sessions"] | None = None,
) -> Calibration:
    """Return the calibration under which `labels` are likeliest.

    Platt 1999, "Probabilistic outputs for support vector machines", sec. 2.2: the labels are
    pulled off 0 and 1 by what one more session of each class would change, so that the fit
    ends even if the classes are apart. `weights` say how much a session counts; they are
    scaled to as many as there are sessions.

    Platt rather than isotonic: two numbers can be fitted on tens of sessions, and they keep
    the scores' order strictly, where steps would tie many at one threshold.
    """
    counted = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
    scaled = counted * (len(labels) / counted.sum())
    n_fraud, n_legitimate = scaled @ (labels == 1), scaled @ (labels == 0)
    _check(logits, n_fraud, n_legitimate)
    center, scale = float(logits.mean()), float(logits.std()) or 1.0
    slope, intercept = _fit_line(
        (logits.astype(np.float64) - center) / scale,
        np.where(labels == 1, (n_fraud + 1) / (n_fraud + 2), 1 / (n_legitimate + 2)),
        scaled,
    )
    if slope <= 0:
        raise DataError(
            "calibration",
            "the model doesn't separate fraud from legitimate sessions on people it hasn't seen: "
            f"there, a higher logit is no likelier a fraud (slope {slope / scale:.3g})",
            "train on more people, more frauds, or longer",
        )
    return Calibration(
        slope=slope / scale,
        intercept=intercept - slope * center / scale,
        base_rate=float(n_fraud / len(labels)),
    )


def _fit_line(
    z: Float64[np.ndarray, " sessions"],
    targets: Float64[np.ndarray, " sessions"],
    weights: Float64[np.ndarray, " sessions"],
) -> tuple[float, float]:
    """Return slope and intercept of the logistic regression of soft `targets` on `z`."""
    inputs = np.stack([z, np.ones_like(z)])
    weights = weights / weights.sum()  # a mean: how exact the fit is doesn't go by their number

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        activation = line @ inputs
        gradient = inputs @ (weights * (expit(activation) - targets))
        return float(weights @ (np.logaddexp(0, activation) - targets * activation)), gradient

    def curvature(line: np.ndarray) -> np.ndarray:
        probability = expit(line @ inputs)
        return (inputs * (weights * probability * (1 - probability))) @ inputs.T

    from scipy.optimize import minimize  # a quarter of a second that scoring need not wait for

    start = np.array([0.0, logit(np.average(targets, weights=weights))])
    line = minimize(loss, start, jac=True, hess=curvature, method="trust-exact", tol=1e-9).x
    return float(line[0]), float(line[1])


def _check(logits: Float[np.ndarray, " sessions"], n_fraud: float, n_legitimate: float) -> None:
    if not np.isfinite(logits).all():
        raise DataError("calibration", f"{(~np.isfinite(logits)).sum()} logits are not finite")
    if not (n_fraud and n_legitimate):
        raise DataError(
            "calibration",
            f"{n_fraud:g} fraud and {n_legitimate:g} legitimate sessions",
            "both kinds are needed in the calib partition",
        )
