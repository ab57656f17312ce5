"""Seconds of a case, within a limit of time."""

import statistics
import time
from collections.abc import Callable


class Limit:
    """So many seconds for a section: no case begins after them."""

    def __init__(self, seconds: float):
        self._end = time.perf_counter() + seconds

    @property
    def is_over(self) -> bool:
        """Return whether the time is used up."""
        return time.perf_counter() > self._end


def median_seconds(case: Callable[[], object], at_most_s: float, most: int = 20) -> float:
    """Return the median of up to `most` runs in about `at_most_s`, two at least, after one more.

    A case returns when its work is done, not when it is handed over.
    """
    case()
    taken: list[float] = []
    begin = time.perf_counter()
    while len(taken) < 2 or (len(taken) < most and time.perf_counter() - begin < at_most_s):
        start = time.perf_counter()
        case()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def row_of(name: dict[str, object], limit: Limit, measure: Callable[[], dict[str, object]]) -> dict:
    """Return a row of what `measure` found, or why there is nothing: no time or an error.

    One case that does not fit the device's memory must not lose the others.
    """
    if limit.is_over:
        return name | {"note": "left out: the section's time was over"}
    try:
        return name | measure()
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        return name | {"note": f"failed: {type(error).__name__}: {first[:120]}"}
