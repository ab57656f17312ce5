"""What a measure gives: a number a session, and from how much it was taken."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, Shaped


class Measured(NamedTuple):
    """A measure of each session, and how many movements, clicks or segments it is taken from."""

    value: Float64[np.ndarray, " sessions"]
    n_items: Int64[np.ndarray, " sessions"]


def measured(
    value: Shaped[np.ndarray, " sessions"], n_items: Shaped[np.ndarray, " sessions"]
) -> Measured:
    """Return a measure in the types that all have."""
    return Measured(value.astype(np.float64), n_items.astype(np.int64))
