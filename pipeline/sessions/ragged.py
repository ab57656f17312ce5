"""Sums, means and medians of many groups of unequal length at once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped


@dataclass(frozen=True)
class Grouping:
    """Row `i` is of group `of[i]`; rows of one group stand together. An empty group gives 0."""

    of: Int64[np.ndarray, " rows"]
    n: int  # groups

    def where(self, chosen: Bool[np.ndarray, " rows"]) -> "Grouping":
        """Return the groups of the rows that are chosen."""
        return Grouping(self.of[chosen], self.n)

    def neighbours(self) -> Bool[np.ndarray, " pairs"]:
        """Mark where a row and the next one are of one group."""
        return self.of[1:] == self.of[:-1]

    @cached_property
    def _first(self) -> Int64[np.ndarray, " present"]:
        """The first row of each group that has any."""
        return np.flatnonzero(np.append(True, self.of[1:] != self.of[:-1]))

    def count(self) -> Int64[np.ndarray, " groups"]:
        """Return the number of rows of each group."""
        return self._count

    @cached_property
    def _count(self) -> Int64[np.ndarray, " groups"]:
        return np.bincount(self.of, minlength=self.n)

    def sum(self, values: Shaped[np.ndarray, " rows"]) -> Float64[np.ndarray, " groups"]:
        """Return the sum of each group."""
        total = np.zeros(self.n)
        if len(values):  # several times as fast as counting with weights
            first = self._first
            total[self.of[first]] = np.add.reduceat(values, first, dtype=np.float64)
        return total

    def mean(self, values: Shaped[np.ndarray, " rows"]) -> Float64[np.ndarray, " groups"]:
        """Return the mean of each group."""
        return ratio(self.sum(values), self.count().astype(np.float64))

    def centred(self, values: Float64[np.ndarray, " rows"]) -> Float64[np.ndarray, " rows"]:
        """Return each row's difference from its group's mean."""
        return values - self.mean(values)[self.of]

    def std(self, values: Float64[np.ndarray, " rows"]) -> Float64[np.ndarray, " groups"]:
        """Return the standard deviation of each group."""
        return np.sqrt(self.mean(self.centred(values) ** 2))

    def max(self, values: Float64[np.ndarray, " rows"]) -> Float64[np.ndarray, " groups"]:
        """Return the largest of each group."""
        largest = np.zeros(self.n)
        if len(values):
            first = self._first
            largest[self.of[first]] = np.maximum.reduceat(values, first)
        return largest

    def median(self, values: Float64[np.ndarray, " rows"]) -> Float64[np.ndarray, " groups"]:
        """Return the median of each group."""
        count = self.count()
        ordered = np.append(values[np.lexsort((values, self.of))], 0)
        first = np.cumsum(count) - count
        low, high = (first + np.maximum(count + shift, 0) // 2 for shift in (-1, 0))
        return np.where(count > 0, (ordered[low] + ordered[high]) / 2, 0)

    def quantile(
        self, values: Float64[np.ndarray, " rows"], share: float
    ) -> Float64[np.ndarray, " groups"]:
        """Return below what the given share of each group lies; between two rows in proportion."""
        count = self.count()
        ordered = np.append(values[np.lexsort((values, self.of))], 0)
        first = np.cumsum(count) - count
        place = np.maximum(count - 1, 0) * share
        low = np.floor(place).astype(np.int64)
        below = ordered[first + low]
        above = ordered[first + np.minimum(low + 1, np.maximum(count - 1, 0))]
        return np.where(count > 0, below + (place - low) * (above - below), 0)

    def autocorrelation(
        self, values: Float64[np.ndarray, " rows"]
    ) -> Float64[np.ndarray, " groups"]:
        """Return the mean product of neighbours over the mean square."""
        inside = self.neighbours()
        pairs = Grouping(self.of[1:][inside], self.n)
        return ratio(pairs.sum((values[1:] * values[:-1])[inside]), self.sum(values**2))


def ratio(
    part: Float64[np.ndarray, "*shape"], whole: Float64[np.ndarray, "*shape"]
) -> Float64[np.ndarray, "*shape"]:
    """Divide, and call nothing of nothing 0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
