"""Overlays: what raised the score is orange, what lowered it blue, and nothing hides the most."""

import numpy as np
from conftest import make_sessions
from make_golden import CANVAS

from pipeline.sessions.windows import Windows, pad_windows
from rasterize.palette import WEIGHT_SCALE, weight_color
from rasterize.picture import CAPTION, ENLARGED, draw_overlays, weight_legend

BLUE, GREY, ORANGE = (tuple(int(c) for c in color) for color in WEIGHT_SCALE)


def overlay(rows: list[tuple], weights: list[float], largest: float = 1.0) -> np.ndarray:
    """Return the picture of one window, its weights one for each event."""
    sessions = make_sessions(rows)
    points = pad_windows(sessions, Windows(*np.array([[0], [0], [len(rows)]])), 8)
    padded = np.zeros((1, 8))
    padded[0, : len(weights)] = weights
    (picture,) = draw_overlays(points, padded, CANVAS, largest)
    return np.asarray(picture)


def colors(picture: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(map(int, pixel)) for pixel in picture.reshape(-1, 3)}


def test_each_segment_has_the_colour_of_the_event_it_leads_to():
    rows = [(0, 8, 8), (20, 28, 8), (40, 48, 8), (60, 48, 48)]
    picture = overlay(rows, [0, 1, 0, -1])
    scale = ENLARGED / CANVAS.cell_px

    def at(x_px: float, y_px: float) -> set[tuple[int, ...]]:
        row, column = int(y_px * scale), int(x_px * scale)
        return colors(picture[row - 6 : row + 7, column - 2 : column + 3])

    assert ORANGE in at(18, 8)
    assert GREY in at(38, 8)
    assert BLUE in at(48, 30)
    assert ORANGE not in at(48, 30)


def test_what_weighs_most_is_drawn_last():
    there_and_back = [(0, 8, 8), (20, 48, 8), (40, 8, 8), (60, 48, 8)]

    assert ORANGE in colors(overlay(there_and_back, [0, 1, 0.1, 0]))
    assert ORANGE in colors(overlay(there_and_back, [0, 0.1, 0, 1]))


def test_weights_beyond_the_scale_have_the_colour_of_its_end():
    rows = [(0, 8, 8), (20, 48, 8)]

    assert ORANGE in colors(overlay(rows, [0, 9], largest=3.0))
    assert ORANGE not in colors(overlay(rows, [0, 1], largest=3.0))


def test_no_weights_at_all_are_grey():
    assert GREY in colors(overlay([(0, 8, 8), (20, 48, 8)], [0, 0], largest=0.0))


def test_the_legend_is_as_wide_as_the_sheet():
    legend = weight_legend(900, 0.25)

    assert legend.size == (900, 3 * CAPTION)
    assert {BLUE, ORANGE} <= colors(np.asarray(legend))
    assert weight_color(np.array([-1.0, 1.0])).tolist() == [list(BLUE), list(ORANGE)]
