"""Encode prints for a page: panels in words, their cells as base64. (No JAX here.)

A cell's centre lies at `cell / (cells - 1)` of its axis, as in `rasterize.draw.draw_counts`.
"""

import base64
import math
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int

from rasterize.panels import DIRECTIONS, Axis, Panel, find_panels, two_digits

ROOT_STEPS: Final = 510  # a byte is this times the root of a share: a quarter and more is 255
NOT_COUNTED: Final = 65535
_BOUNDED_UNITS: Final = ("degrees",)  # no value lies beyond such an axis


def panels_json(names: tuple[str, ...], cells: int = 24) -> list[dict[str, Any]]:
    """Return what a page says of each panel, with the words for each cell along each axis.

    Of a `polar` panel, `x` is the radius: its ticks lie on the square, right of the middle, its
    words go from the middle to the edge. `y` is the direction, its words go clockwise from the
    right.
    """
    panels = zip(names, find_panels(names), strict=True)
    return [_panel_json(name, panel, cells) for name, panel in panels]


def print_json(image: Float[np.ndarray, "cells cells panels"]) -> str:
    """Return a print (an image as `rasterize.draw.density` gives it) as base64 of a byte a cell.

    Panel by panel, the root of each cell's share.
    """
    root = (image + 1) / len(image)
    return _base64(_panels_first(np.clip(np.rint(ROOT_STEPS * root), 0, 255)).astype(np.uint8))


def raised_json(weights: Float[np.ndarray, "cells cells panels"]) -> str:
    """Return how much each cell raised or lowered a score, as base64 of a signed byte a cell.

    127 is the weight that is furthest from 0.
    """
    largest = np.abs(weights).max()
    steps = np.rint(127 * weights / largest) if largest > 0 else np.zeros(weights.shape)
    return _base64(_panels_first(steps).astype(np.int8))


def cells_json(cell: Int[np.ndarray, "panels events"]) -> str:
    """Return the cell of each event in each panel, as base64 of two bytes each, the lower first.

    A cell is `row * cells + column`; -1 is an event that does not count in the panel.
    """
    return _base64(np.where(cell < 0, NOT_COUNTED, cell).astype("<u2"))


def _panels_first(
    cells: Float[np.ndarray, "cells cells panels"],
) -> Float[np.ndarray, "panels cells cells"]:
    return np.moveaxis(cells, 2, 0)


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _panel_json(name: str, panel: Panel, cells: int) -> dict[str, Any]:
    x, y = _axis_json(panel.x, cells), _axis_json(panel.y, cells)
    if panel.polar:
        x["ticks"] = [[round(0.5 + at / 2, 4), text] for at, text in x["ticks"]]
        y = _direction_json(cells)
    return {
        "name": name,
        "title": panel.title,
        "words": panel.words,
        "polar": panel.polar,
        "x": x,
        "y": y,
    }


def _axis_json(axis: Axis, cells: int) -> dict[str, Any]:
    """Return an axis: its ticks by position (0 to 1), and the value of each cell in words."""
    positions = axis.position(np.array([value for value, _ in axis.ticks], np.float64)).round(4)
    written = [text for _, text in axis.ticks]
    return {
        "words": axis.words,
        "unit": axis.unit,
        "ticks": [list(tick) for tick in zip(positions.tolist(), written, strict=True)],
        "values": [_value_text(axis, i / (cells - 1)) for i in range(cells)],
    }


def _direction_json(cells: int) -> dict[str, Any]:
    """Return the axis of directions around the middle of a polar panel."""
    eighths = [math.floor(i / cells * len(DIRECTIONS) + 0.5) for i in range(cells)]
    return {
        "words": "direction",
        "unit": "",
        "ticks": [[0.0, "up"], [1.0, "down"]],
        "values": [DIRECTIONS[eighth % len(DIRECTIONS)] for eighth in eighths],
    }


def _value_text(axis: Axis, position: float) -> str:
    """Return the value at a position with its unit; the cells at the edge hold what lies beyond."""
    value = axis.value(position)
    if axis.scale == "category":
        return min(axis.ticks, key=lambda tick: abs(tick[0] - value))[1]
    text = f"{two_digits(value)} {axis.unit}"
    if axis.unit in _BOUNDED_UNITS or 0 < position < 1:
        return text
    if position == 1:
        return f"{text} or more"
    return text if axis.scale == "log1p" else f"{text} or less"
