"""Bootstrap intervals over groups: sessions of one person (or one generator) are alike.

Whole groups are resampled, not sessions: a number from 5 people who gave 1,000 sessions each
is about as sure as one from 5 sessions (Field and Welsh 2007, "Bootstrapping clustered data").
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float64, Int, Int64, Real, Shaped

Metric = Callable[..., "float | Float64[np.ndarray, ' ...']"]
"""`metric(scores, labels, weights)`: a number, or an array of them."""

FEW_GROUPS = 5
"""An interval that rests on fewer groups of a class carries a warning."""


@dataclass(frozen=True)
class Interval:
    """A number, and the range it would have had with other people recorded."""

    value: float
    low: float
    high: float
    n_groups: int  # that were drawn from; 0: sessions taken as independent
    level: float = 0.95
    note: str = ""  # why not to trust the interval, if there is a reason


def cluster_bootstrap(
    metric: Metric,
    scores: Float[np.ndarray, " sessions"],
    labels: Int[np.ndarray, " sessions"],
    groups: Shaped[np.ndarray, " sessions"],
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return the percentile interval of `metric` over resamples of whole `groups`."""
    value = float(metric(scores, labels, np.ones(len(scores))))
    draws = bootstrap_draws(metric, scores, labels, groups, n_resamples, seed)
    return percentile_interval(value, draws, labels, groups, level)


def bootstrap_draws(
    metric: Metric,
    scores: Float[np.ndarray, " sessions"],
    labels: Int[np.ndarray, " sessions"],
    groups: Shaped[np.ndarray, " sessions"],
    n_resamples: int = 1000,
    seed: int = 0,
) -> Float64[np.ndarray, "resamples ..."]:
    """Return `metric` of every resample.

    Sessions are sorted once and a resample only weighs them: sorting them again, inside the
    metric, is then nearly free.
    """
    order = np.argsort(-scores, kind="stable")
    scores, labels = scores[order], labels[order]
    codes, _ = pd.factorize(groups[order])
    weights = group_counts(codes, labels, n_resamples, seed)
    return np.array([metric(scores, labels, count[codes]) for count in weights], np.float64)


def percentile_interval(
    value: float,
    draws: Float64[np.ndarray, " resamples"],
    labels: Int[np.ndarray, " sessions"],
    groups: Shaped[np.ndarray, " sessions"],
    level: float = 0.95,
) -> Interval:
    """Return the interval that holds the middle `level` of `draws`."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    note = few_groups_note(labels, groups)
    if low == high and not note:
        note = "every resample gave the same: too few errors to show a spread"
    return Interval(value, float(low), float(high), len(pd.unique(groups)), level, note)


def group_counts(
    codes: Int64[np.ndarray, " sessions"],
    labels: Int[np.ndarray, " sessions"],
    n_resamples: int,
    seed: int,
) -> Iterator[Int64[np.ndarray, " groups"]]:
    """Give, for every resample, how often each group was drawn.

    Groups of legitimate sessions, of frauds, and of both are drawn from their own kind, so
    no resample lacks a class and a group with both stays whole.
    """
    n_groups = int(codes.max()) + 1
    n_fraud = np.bincount(codes, labels, n_groups)
    kind = np.sign(n_fraud) + (n_fraud == np.bincount(codes, minlength=n_groups))  # 0, 1, 2
    strata = [np.flatnonzero(kind == k) for k in np.unique(kind)]
    rng = np.random.default_rng(seed)
    for _ in range(n_resamples):
        drawn = [stratum[rng.integers(0, len(stratum), len(stratum))] for stratum in strata]
        yield np.bincount(np.concatenate(drawn), minlength=n_groups)


def few_groups_note(
    labels: Int[np.ndarray, " sessions"], groups: Shaped[np.ndarray, " sessions"]
) -> str:
    """Return a warning if a class comes from fewer than `FEW_GROUPS` groups, else nothing."""
    counts = {
        kind: len(pd.unique(groups[labels == label]))
        for label, kind in ((0, "legitimate"), (1, "fraud"))
    }
    few = [f"{n} group(s) of {kind} sessions" for kind, n in counts.items() if 0 < n < FEW_GROUPS]
    return f"from only {' and '.join(few)}: the interval is too narrow" if few else ""


def rate_interval(
    hits: Bool[np.ndarray, " sessions"],
    groups: Shaped[np.ndarray, " sessions"],
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return the share of `hits`, with an interval over groups of sessions of one class.

    No narrower than if sessions were independent: resamples of a rate of 0 are all 0, yet
    0 of 40 may well be 5 %.
    """
    scores, one_class = hits.astype(np.float64), np.zeros(len(hits), np.int64)
    draws = bootstrap_draws(_weighted_mean, scores, one_class, groups, n_resamples, seed)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    floor = wilson_interval(int(hits.sum()), len(hits), level)
    n_groups = len(pd.unique(groups))
    few = f"from only {n_groups} group(s): the interval is too narrow"
    return Interval(
        float(hits.mean()),
        min(float(low), floor.low),
        max(float(high), floor.high),
        n_groups,
        level,
        few if n_groups < FEW_GROUPS else "",
    )


def wilson_interval(n_hits: int, n: int, level: float = 0.95) -> Interval:
    """Return the share `n_hits / n` with its interval if all `n` are independent.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    from scipy.special import ndtri  # a fifth of a second that scoring need not wait for

    z = float(ndtri((1 + level) / 2))
    rate, spread = n_hits / n, z**2 / n
    middle = (rate + spread / 2) / (1 + spread)
    half = z * np.sqrt(rate * (1 - rate) / n + spread / (4 * n)) / (1 + spread)
    return Interval(rate, max(middle - half, 0.0), min(middle + half, 1.0), 0, level)


def _weighted_mean(
    scores: Float[np.ndarray, " sessions"],
    labels: Int[np.ndarray, " sessions"],
    weights: Real[np.ndarray, " sessions"],
) -> float:
    return float(np.average(scores, weights=weights))
