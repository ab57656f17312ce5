"""Draw prints as a sheet for people: the path, every panel with its axes, legends in words."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from pipeline.sessions.windows import Points
from rasterize.canvas import Canvas
from rasterize.draw import density
from rasterize.palette import BACKGROUND, share_color, weight_color
from rasterize.panels import Panel
from rasterize.picture import (
    MUTED,
    SHEET,
    TEXT,
    draw_pictures,
    draw_scale,
    explain_marks,
    fitting,
    font,
    speed_scale,
)
from rasterize.print_axes import (
    BELOW,
    LEFT,
    LINE,
    Plot,
    draw_cells,
    draw_empty,
    draw_left_axis,
    draw_lower_axis,
    draw_rings,
    draw_upwards,
)

MOST_SHARE: Final = 0.04  # of a panel's events in one cell: the colours end here
MOST_APART: Final = 0.1  # difference of the square roots of two shares: the colours end here
_SHARES: Final = (
    *((0.0, "0"), (0.0025, "0.25 %"), (0.01, "1 %"), (0.02, "2 %")),
    (MOST_SHARE, "4 % or more"),
)  # ticks of the legend

_EDGE: Final = 16  # around the sheet and between its columns, px; so are all sizes below
_TITLE: Final = 22  # height of a panel's title
_COUNT: Final = 16  # and of the line above its cells that says how many events it shows
_CAPTION: Final = 28  # and of the line above a path
_LABEL: Final = 20  # width of what is written along a row
_BAR: Final = 240  # length of a colour scale
_LEGEND: Final = 64  # height of a colour scale with its words
_PATH_LEGEND: Final = 128  # height of what explains a path
_FRAME: Final = 16  # beside a path; above it half of it, below it more
_SHARPER: Final = 4  # for each cell of a path's canvas
_MOST_SPOTS: Final = 65_536  # of ink along a path
_SHORTEST_PAUSE_MS: Final = 500.0  # a whole session has too many short ones to be marked


@dataclass(frozen=True)
class SessionPrint:
    """A session to draw: its path, its print, and the reference to compare that with."""

    name: str  # short: it stands along the rows of panels
    caption: str  # above the path
    detail: str  # in the path's corner
    points: Points  # one window: the path
    counts: Float[np.ndarray, "cells cells panels"]
    reference: Float[np.ndarray, "cells cells panels"] | None = None
    reference_name: str = ""  # such as "people"


class _Row(NamedTuple):
    """A print, or how it differs from a reference, with what is written along it."""

    label: str
    counts: Float[np.ndarray, "cells cells panels"]
    reference: Float[np.ndarray, "cells cells panels"] | None = None


class _Layout(NamedTuple):
    """Sizes of a sheet in pixels. Panels stand in `bands` of `columns`; a band has every row."""

    columns: int
    bands: int
    n_rows: int
    cells: int
    cell_px: int
    path_px: int
    n_word_lines: int  # that explain a panel
    is_aligned: bool  # each path stands beside its row

    @property
    def column_px(self) -> int:
        """Return the width of a panel with its axis."""
        return LEFT + self.cells * self.cell_px + _EDGE

    @property
    def row_px(self) -> int:
        """Return the height of a panel without its lower axis."""
        return _COUNT + self.cells * self.cell_px

    @property
    def band_px(self) -> int:
        """Return the height of a band."""
        return _TITLE + self.n_rows * self.row_px + BELOW + self.n_word_lines * LINE + 10

    @property
    def panels_left(self) -> int:
        """Return where the panels begin."""
        return 2 * _EDGE + self.path_px + (_LABEL if self.n_rows > 1 else 0)

    @property
    def width(self) -> int:
        """Return the width of the sheet."""
        return self.panels_left + max(self.columns * self.column_px, 2 * (_BAR + 100))

    @property
    def panels_bottom(self) -> int:
        """Return where the panels end."""
        return _EDGE + self.bands * self.band_px

    def plot(self, panel: int, row: int) -> Plot:
        """Return where a panel's cells lie in a row of its band."""
        band, column = divmod(panel, self.columns)
        left = self.panels_left + column * self.column_px + LEFT
        top = _EDGE + band * self.band_px + _TITLE + row * self.row_px + _COUNT
        return Plot(left, top, self.cells, self.cell_px)

    def path_top(self, i: int) -> int:
        """Return where path `i` begins; that behind the last one is where their legend does."""
        return _EDGE + _TITLE + _COUNT + i * self.path_step_px

    @property
    def path_step_px(self) -> int:
        """Return how far below each other two paths begin."""
        return self.row_px if self.is_aligned else self.path_px + _CAPTION

    def legend_corner(self, i: int, n_paths: int) -> tuple[int, int]:
        """Return where the legend of a colour scale begins: below the paths, or the panels."""
        if self.is_aligned:
            return self.panels_left + LEFT + i * (_BAR + 100), self.panels_bottom
        return _EDGE, self.path_top(n_paths) + _PATH_LEGEND + i * _LEGEND


def print_sheet(
    sessions: Sequence[SessionPrint], panels: Sequence[Panel], canvas: Canvas = Canvas()
) -> Image.Image:
    """Return sessions' paths and prints, panel below panel, and how they differ from references.

    The first rows are the sessions' prints. A single session's reference has a row of its own; then
    comes a row for each difference. All panels have one scale of colours, so that they can be
    compared.
    """
    rows = _rows(sessions)
    layout = _layout(len(sessions), panels, len(rows), sessions[0].counts.shape[0])
    legends = [_share_legend]
    if any(row.reference is not None for row in rows):
        legends.append(_difference_legend)
    corners = [layout.legend_corner(i, len(sessions)) for i in range(len(legends))]
    height = max(
        layout.panels_bottom,
        layout.path_top(len(sessions)) + _PATH_LEGEND,
        corners[-1][1] + _LEGEND,
    )
    sheet = Image.new("RGB", (layout.width, height + _EDGE), SHEET)
    _draw_paths(sheet, sessions, canvas, layout)
    for p, panel in enumerate(panels):
        _draw_panel(sheet, panel, p, rows, layout)
    if len(rows) > 1:
        _draw_labels(sheet, rows, len(panels), layout)
    for legend, corner in zip(legends, corners, strict=True):
        legend(sheet, corner)
    return sheet


def _rows(sessions: Sequence[SessionPrint]) -> list[_Row]:
    """Return what a panel is drawn of, from top to bottom."""
    rows = [_Row(one.name, one.counts) for one in sessions]
    is_single = len(sessions) == 1
    for one in sessions:
        if one.reference is not None:
            rows += [_Row(one.reference_name, one.reference)] if is_single else []
            label = "difference" if is_single else f"{one.name} less {one.reference_name}"
            rows.append(_Row(label, one.counts, one.reference))
    return rows


def _layout(n_sessions: int, panels: Sequence[Panel], n_rows: int, cells: int) -> _Layout:
    """Return sizes with which a sheet is 1,300 to 1,700 px wide."""
    at_most, room_px = (4, 1000) if n_rows == 1 else (6, 1300)
    bands = -(-len(panels) // at_most)
    columns = -(-len(panels) // bands)
    cell_px = max(min(room_px // columns - LEFT - _EDGE, 192) // cells, 1)
    is_aligned = bands == 1 and n_sessions > 1
    side = cells * cell_px
    path_px = side if is_aligned else {1: 480, 2: 320}.get(n_rows, 400)
    return _Layout(
        columns=columns,
        bands=bands,
        n_rows=n_rows,
        cells=cells,
        cell_px=cell_px,
        path_px=path_px,
        n_word_lines=max(len(_wrapped(panel.words, LEFT + side)) for panel in panels),
        is_aligned=is_aligned,
    )


def _draw_paths(
    sheet: Image.Image, sessions: Sequence[SessionPrint], canvas: Canvas, layout: _Layout
) -> None:
    """Draw each session's path with its caption, then once what its colours and marks mean."""
    pen = ImageDraw.Draw(sheet)
    canvas = replace(canvas, pause_ms=max(canvas.pause_ms, _SHORTEST_PAUSE_MS))
    for i, session in enumerate(sessions):
        top = layout.path_top(i)
        sheet.paste(_path_picture(session, canvas, layout.path_px), (_EDGE, top))
        words = f"{session.name}: {session.caption}" if len(sessions) > 1 else session.caption
        pen.text((_EDGE, top - 16), fitting(words, layout.path_px), TEXT, font=font())
    top = layout.path_top(len(sessions)) + 4
    pen.text((_EDGE, top), "speed along the path, px/s", TEXT, font=font())
    speed_scale(sheet, (_EDGE, top + 18), min(layout.path_px - 24, _BAR), canvas)
    click, pause, held = ((_EDGE, top + 56 + i * 20) for i in range(3))
    explain_marks(pen, (click, pause, held), canvas)


def _path_picture(session: SessionPrint, canvas: Canvas, side: int) -> Image.Image:
    """Return a path that fills a square, with a bar that says how long so many px are."""
    points = session.points
    size = (side - 2 * _FRAME) // _SHARPER
    extent_px = max(float(np.ptp(points.x_px)), float(np.ptp(points.y_px)), 1.0)
    scale = (size - 2) * _SHARPER / extent_px  # as `to_cells` fits a path to its box
    length_px = float(np.hypot(np.diff(points.x_px), np.diff(points.y_px)).sum())
    n_spots = int(min(max(length_px * scale, canvas.n_samples), _MOST_SPOTS))
    n_spots = 2 ** (n_spots - 1).bit_length()  # few shapes are compiled
    whole = replace(canvas, size=size, placement="box", n_samples=n_spots // _SHARPER)
    (path,) = draw_pictures(points, whole, _SHARPER)
    picture = Image.new("RGB", (side, side), BACKGROUND)
    picture.paste(path, (_FRAME, _FRAME // 2))
    pen = ImageDraw.Draw(picture)
    bar_px = _round_length(0.3 * extent_px)
    right, y = side - 8, side - 8
    pen.line((right - bar_px * scale, y, right, y), fill=MUTED, width=2)
    pen.text((right, y - 4), f"{bar_px:,g} px", MUTED, font=font(11), anchor="rs")
    pen.text((8, y + 2), session.detail, MUTED, font=font(11), anchor="ls")
    return picture


def _round_length(longest_px: float) -> float:
    """Return the longest of 1, 2, 5, 10, 20, ... px that is at most so long."""
    power = 10.0 ** np.floor(np.log10(longest_px))
    return float(max(times * power for times in (1, 2, 5) if times * power <= longest_px))


def _draw_panel(
    sheet: Image.Image, panel: Panel, p: int, rows: Sequence[_Row], layout: _Layout
) -> None:
    """Draw a panel in every row, its title above and its lower axis and words below."""
    pen = ImageDraw.Draw(sheet)
    for r, row in enumerate(rows):
        plot = layout.plot(p, r)
        of_panel = [part[..., p] for part in (row.counts, row.reference) if part is not None]
        if all(part.any() for part in of_panel):
            draw_cells(sheet, plot, _colors(row, p))
            if panel.polar:
                draw_rings(sheet, plot, panel.x)
        else:
            draw_empty(pen, plot)
        draw_left_axis(sheet, plot, panel)
        if row.reference is None:
            words = f"{of_panel[0].sum():,.0f} events"
            corner = (plot.left + plot.side, plot.top - 3)
            pen.text(corner, words, MUTED, font=font(11), anchor="rs")
    first, last = layout.plot(p, 0), layout.plot(p, len(rows) - 1)
    left = first.left - LEFT + _EDGE
    title = fitting(panel.title, layout.column_px - _EDGE // 2, 14)
    pen.text((left, first.top - _COUNT - 6), title, TEXT, font=font(14), anchor="ls")
    top = draw_lower_axis(pen, last, panel)
    for i, line in enumerate(_wrapped(panel.words, LEFT + last.side)):
        pen.text((left, top + i * LINE), line, MUTED, font=font(11))


def _colors(row: _Row, p: int) -> UInt8[np.ndarray, "cells cells 3"]:
    """Return the colour of each cell of a panel: of its share, or of how that differs."""
    own = density(row.counts[..., p : p + 1])[..., 0]
    root = np.sqrt(own.size)  # a density is this times the root of a share, less 1
    if row.reference is None:
        return share_color((own + 1) / root / np.sqrt(MOST_SHARE))
    return weight_color((own - density(row.reference[..., p : p + 1])[..., 0]) / root / MOST_APART)


def _draw_labels(sheet: Image.Image, rows: Sequence[_Row], n_panels: int, layout: _Layout) -> None:
    """Write what each row is, at the left of every band."""
    for first in range(0, n_panels, layout.columns):
        for r, row in enumerate(rows):
            plot = layout.plot(first, r)
            middle = (layout.panels_left - _LABEL, plot.top + plot.side // 2)
            draw_upwards(sheet, middle, fitting(row.label, layout.row_px, 14), TEXT, 14)


def _share_legend(sheet: Image.Image, corner: tuple[int, int]) -> None:
    """Draw the colours of shares, at equal steps of their square root."""
    words = "share of a panel's events in a cell (square root)"
    ticks = [(float(np.sqrt(share / MOST_SHARE)), text) for share, text in _SHARES]
    _draw_legend(sheet, corner, words, share_color(np.linspace(0, 1, _BAR)), ticks)


def _difference_legend(sheet: Image.Image, corner: tuple[int, int]) -> None:
    """Draw the colours of differences, with words at their ends."""
    words = "compared with the reference, such events are"
    ticks = [(0.0, "rarer"), (0.5, "as frequent"), (1.0, "more frequent")]
    _draw_legend(sheet, corner, words, weight_color(np.linspace(-1, 1, _BAR)), ticks)


def _draw_legend(
    sheet: Image.Image,
    corner: tuple[int, int],
    words: str,
    bar: UInt8[np.ndarray, "length 3"],
    ticks: Sequence[tuple[float, str]],
) -> None:
    """Draw a scale of colours with words above."""
    ImageDraw.Draw(sheet).text(corner, words, TEXT, font=font())
    draw_scale(sheet, (corner[0], corner[1] + 18), bar, ticks)


def _wrapped(words: str, width_px: int) -> list[str]:
    """Return words in lines of about a width."""
    return textwrap.wrap(words, max(width_px // 6, 10))
