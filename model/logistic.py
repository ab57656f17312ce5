"""The logistic function and its inverse; importing scipy.special takes a fifth of a second."""

from typing import Any

import numpy as np
from jaxtyping import Float


def expit(log_odds: Float[np.ndarray, "*shape"] | float) -> Any:
    """Return the probability of log odds, in the same shape; NaN stays NaN."""
    with np.errstate(invalid="ignore"):
        return np.exp(-np.logaddexp(0.0, np.negative(log_odds)))


def logit(probability: Float[np.ndarray, "*shape"] | float) -> Any:
    """Return the log odds of a probability, in the same shape: infinite at 0 and 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(probability) - np.log1p(np.negative(probability))
