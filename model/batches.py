"""Windows through a compiled function: batches of one shape, as many at a time as cores."""

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import jax
import numpy as np
from jaxtyping import Int64

from pipeline.overlap import overlapped, usable_cores
from pipeline.sessions import Sessions
from pipeline.windows import Windows, pad_windows
from rasterize.motion import Paths, to_device

BATCH: Final = 64  # windows; on a CPU 32 to 128 are equally fast

Arrays = TypeVar("Arrays")  # an array, or a tuple of them


def map_windows(
    compute: Callable[[Paths, Int64[np.ndarray, " batch"]], Arrays],
    sessions: Sessions,
    windows: Windows,
    n_points: int,
) -> Iterator[tuple[Int64[np.ndarray, " batch"], Arrays]]:
    """Give, batch by batch and in order, which windows these are and what `compute` returns.

    `compute` is given the paths, and which windows they are of. The last batch is filled up with
    its first window again, and cut afterwards: a batch of its own size would compile the function
    a second time. The first batch goes alone, so that it is compiled once.
    """

    def batch(begin: int) -> tuple[Int64[np.ndarray, " batch"], Arrays]:
        chosen = np.arange(begin, begin + BATCH)
        filled = np.where(chosen < len(windows), chosen, begin)
        points = pad_windows(sessions, windows.take(filled), n_points)
        found = compute(to_device(points), filled)
        chosen = chosen[chosen < len(windows)]
        return chosen, jax.tree.map(lambda array: np.asarray(array)[: len(chosen)], found)

    begins = range(0, len(windows), BATCH)
    yield from map(batch, begins[:1])
    yield from overlapped(batch, begins[1:], usable_cores())
