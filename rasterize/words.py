"""Describe in a sentence how the events of a panel differ from those of a reference print."""

from typing import Final

import numpy as np
from jaxtyping import Float

from rasterize.panels import DIRECTIONS, Axis, Panel, two_digits

_Counts = Float[np.ndarray, "cells cells"]

_NARROWER: Final = 0.6  # of the reference's range: worth saying as a range
_MIDDLE: Final = 0.9  # of the events lie in a range
_REACH: Final = 1  # cells around the one that stands out


def difference_in_words(
    panel: Panel, own: _Counts, reference: _Counts, weight: _Counts, whose: str
) -> str:
    """Return where a panel's events lie, and where those of the reference, which `whose` names.

    If along one axis 90 % of them lie in a much narrower (or wider) range than the reference's, the
    two ranges are given; else where `weight` is highest, with the share of events there.
    """
    own, reference = own / max(own.sum(), 1e-9), reference / max(reference.sum(), 1e-9)
    ranges = [] if panel.polar else [_range_words(panel, i, own, reference, whose) for i in (0, 1)]
    different = [words for words in ranges if words]
    return different[0] if different else _peak_words(panel, own, reference, weight, whose)


def _range_words(
    panel: Panel, side: int, own: _Counts, reference: _Counts, whose: str
) -> str | None:
    """Return the ranges along an axis (0: x, 1: y); None where they are about as wide, or empty."""
    axis = (panel.x, panel.y)[side]
    if axis.scale == "category" or not (own.any() and reference.any()):
        return None
    spans = [_middle(counts.sum(axis=side)) for counts in (own, reference)]
    width, reference_width = (high - low for low, high in spans)
    if _NARROWER < width / reference_width < 1 / _NARROWER:
        return None
    here, there = (_span(axis, low, high) for low, high in spans)
    return f"{axis.words}: mostly {here}; {whose} {there}"


def _middle(share: Float[np.ndarray, " cells"]) -> tuple[float, float]:
    """Return between which positions (0 to 1) the middle 90 % lie, by the edges of cells."""
    below = np.cumsum(share)
    tail = (1 - _MIDDLE) / 2
    edges = np.arange(len(share) + 1) / len(share)
    low = np.searchsorted(below, tail)
    high = min(np.searchsorted(below, 1 - tail), len(share) - 1)
    return float(edges[low]), float(edges[high + 1])


def _span(axis: Axis, low: float, high: float) -> str:
    first, last = (axis.value(position) for position in (low, high))
    return f"{two_digits(first)} to {two_digits(last)} {axis.unit}".rstrip()


def _peak_words(panel: Panel, own: _Counts, reference: _Counts, weight: _Counts, whose: str) -> str:
    """Return where, among the cells with more events than the reference, the weight is highest."""
    is_more = own > reference
    at = np.where(is_more, weight, -np.inf) if is_more.any() else weight
    row, column = (int(i) for i in np.unravel_index(np.argmax(at), at.shape))
    n = len(own)
    rows, columns = (slice(max(i - _REACH, 0), min(i + _REACH + 1, n)) for i in (row, column))
    shares = [f"{counts[rows, columns].sum():.0%}" for counts in (own, reference)]
    where = (
        _polar_range(panel, row, column, n)
        if panel.polar
        else _cells_range(panel, rows, columns, n)
    )
    return f"{where}: {shares[0]} of the events; {whose} {shares[1]}"


def _cells_range(panel: Panel, rows: slice, columns: slice, n: int) -> str:
    sides = []
    for axis, cells in ((panel.x, columns), (panel.y, rows)):
        if axis.scale == "category":
            middle = axis.value((cells.start + cells.stop) / 2 / n)
            names = dict(axis.ticks)
            sides.append(f"{axis.words} {names[min(names, key=lambda value: abs(value - middle))]}")
        else:
            sides.append(f"{axis.words} {_span(axis, cells.start / n, cells.stop / n)}")
    return " and ".join(sides)


def _polar_range(panel: Panel, row: int, column: int, n: int) -> str:
    x, y = (2 * (i / (n - 1)) - 1 for i in (column, row))
    radius = min(float(np.hypot(x, y)), 1.0)
    reach = 2 * (_REACH + 0.5) / (n - 1)
    span = _span(panel.x, max(radius - reach, 0.0), min(radius + reach, 1.0))
    name = DIRECTIONS[round(float(np.arctan2(y, x)) / (np.pi / 4)) % len(DIRECTIONS)]
    return f"{panel.x.words} {span} {name}wards"
