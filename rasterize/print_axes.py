"""Draw a panel on a sheet: its cells, its axes with ticks and units, the rings of a polar one."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from rasterize.palette import BACKGROUND
from rasterize.panels import Axis, Panel
from rasterize.picture import MUTED, TEXT, fitting, font

LEFT: Final = 56  # room for the axis at the left of a plot, px
BELOW: Final = 48  # and below it, for two rows of ticks and the axis's name
LINE: Final = 13  # height of a line of small words, px
_TICK: Final = 4
_TICK_SIZE: Final = 11
_NAME_SIZE: Final = 11
_RING: Final = (120, 132, 150)
_LEAST_RADIUS: Final = 18  # of a ring that has room for its value, px
_DIRECTIONS: Final = (((0.0, "left"), (1.0, "right")), ((0.0, "up"), (1.0, "down")))


@dataclass(frozen=True)
class Plot:
    """Where a panel's cells lie on a sheet, in pixels."""

    left: int
    top: int
    cells: int
    cell_px: int

    @property
    def side(self) -> int:
        """Return the length of a side."""
        return self.cells * self.cell_px

    def at(self, position: float) -> float:
        """Return how far from the left or the top a position (0 to 1) of an axis lies.

        0 and 1 are the centres of the first and the last cell.
        """
        return (position * (self.cells - 1) + 0.5) * self.cell_px


def draw_cells(sheet: Image.Image, plot: Plot, colors: UInt8[np.ndarray, "cells cells 3"]) -> None:
    """Paste a panel's cells, each a square with crisp edges."""
    tile = Image.fromarray(colors).resize((plot.side, plot.side), Image.Resampling.NEAREST)
    sheet.paste(tile, (plot.left, plot.top))


def draw_empty(pen: ImageDraw.ImageDraw, plot: Plot) -> None:
    """Fill a plot that has no events to show, and write that there are none."""
    corner = (plot.left + plot.side - 1, plot.top + plot.side - 1)
    pen.rectangle((plot.left, plot.top, *corner), fill=BACKGROUND)
    middle = (plot.left + plot.side / 2, plot.top + plot.side / 2)
    pen.text(middle, "no such events", MUTED, font=font(_NAME_SIZE), anchor="mm")


def draw_left_axis(sheet: Image.Image, plot: Plot, panel: Panel) -> None:
    """Draw the ticks of the axis that goes down, and its name from bottom to top."""
    pen = ImageDraw.Draw(sheet)
    for position, text in _DIRECTIONS[1] if panel.polar else _ticks(panel.y):
        y = plot.top + plot.at(position)
        pen.line((plot.left - _TICK, y, plot.left - 1, y), fill=MUTED)
        lines = _in_two(text)
        first = y - LINE * (len(lines) - 1) / 2
        for i, line in enumerate(lines):
            at = (plot.left - _TICK - 3, first + i * LINE)
            pen.text(at, line, TEXT, font=font(_TICK_SIZE), anchor="rm")
    if not panel.polar:
        name, room = _axis_name(panel.y), plot.side + 8
        is_long = font(_NAME_SIZE).getlength(name) > room
        size = _NAME_SIZE - 1 if is_long else _NAME_SIZE
        middle = (plot.left - LEFT, plot.top + plot.side // 2)
        draw_upwards(sheet, middle, fitting(name, room, size), MUTED, size)


def draw_lower_axis(pen: ImageDraw.ImageDraw, plot: Plot, panel: Panel) -> int:
    """Draw the ticks and the name of the axis that goes right, and return where they end.

    Ticks that are too close stand in a second row.
    """
    bottom = plot.top + plot.side
    taken = [0.0, 0.0]  # up to where each row is written on
    for position, text in _DIRECTIONS[0] if panel.polar else _ticks(panel.x):
        x = plot.left + plot.at(position)
        pen.line((x, bottom, x, bottom + _TICK), fill=MUTED)
        half = font(_TICK_SIZE).getlength(text) / 2
        middle = min(max(x, plot.left + half - 6), plot.left + plot.side - half + 6)
        row = next((i for i in (0, 1) if middle - half >= taken[i]), None)
        if row is None:  # there is room in neither
            continue
        taken[row] = middle + half + 4
        at = (middle, bottom + _TICK + 2 + row * (LINE - 1))
        pen.text(at, text, TEXT, font=font(_TICK_SIZE), anchor="ma")
    name = f"{_axis_name(panel.x)}, from the middle" if panel.polar else _axis_name(panel.x)
    top = bottom + _TICK + 3 + LINE * (2 if taken[1] else 1)
    middle = (plot.left + plot.side / 2, top)
    pen.text(middle, name, MUTED, font=font(_NAME_SIZE), anchor="ma")
    return top + LINE + 4


def draw_rings(sheet: Image.Image, plot: Plot, axis: Axis) -> None:
    """Draw a ring at each tick of a polar panel's radius, with its value at its upper right."""
    pen = ImageDraw.Draw(sheet)
    middle = (plot.left + plot.side / 2, plot.top + plot.side / 2)
    for position, text in _ticks(axis):
        radius = position / 2 * (plot.cells - 1) * plot.cell_px
        if radius < _LEAST_RADIUS:
            continue
        box = (*(m - radius for m in middle), *(m + radius for m in middle))
        pen.ellipse(box, outline=_RING)
        at = (middle[0] + radius * 0.707, middle[1] - radius * 0.707)
        how: dict[str, Any] = {"anchor": "mm", "stroke_width": 2, "stroke_fill": BACKGROUND}
        pen.text(at, text, TEXT, font=font(_TICK_SIZE), **how)


def draw_upwards(
    sheet: Image.Image,
    middle: tuple[int, int],
    text: str,
    color: tuple[int, int, int],
    size: int = _NAME_SIZE,
) -> None:
    """Write from bottom to top, to the right of a point and centred on its height."""
    letters = font(size)
    width, height = round(letters.getlength(text)) + 2, size + 6
    strip = Image.new("L", (max(width, 1), height))
    ImageDraw.Draw(strip).text((0, 1), text, 255, font=letters)
    strip = strip.transpose(Image.Transpose.ROTATE_90)
    sheet.paste(color, (middle[0], middle[1] - width // 2), strip)


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    """Return where an axis has ticks, 0 to 1, and what is written there."""
    positions = axis.position(np.array([value for value, _ in axis.ticks], np.float64))
    return list(zip(positions.tolist(), (text for _, text in axis.ticks), strict=True))


def _axis_name(axis: Axis) -> str:
    return f"{axis.words}, {axis.unit}" if axis.unit else axis.words


def _in_two(text: str) -> list[str]:
    """Return words in two lines where they are too long for the room at the left."""
    if font(_TICK_SIZE).getlength(text) <= LEFT - 24 or " " not in text:
        return [text]
    first, _, last = text.rpartition(" ")
    return [first, last]
