"""Sheets of prints: what stands where, in which colours, and what is said of nothing."""

from dataclasses import replace

import make_golden
import numpy as np
import pytest
from PIL import Image, ImageDraw

from rasterize.draw import draw_counts
from rasterize.motion import to_device
from rasterize.palette import BACKGROUND, WEIGHT_SCALE, share_color
from rasterize.panels import PANELS
from rasterize.picture import SHEET
from rasterize.print_axes import Plot, draw_left_axis, draw_lower_axis
from rasterize.print_picture import SessionPrint, _layout, print_sheet

SOME = (PANELS["hodograph"], PANELS["step"], PANELS["hold_drag"], PANELS["press_rhythm"])
CELLS = 12
GREY = tuple(int(channel) for channel in WEIGHT_SCALE[1])


def session(name: str = "session", **more: object) -> SessionPrint:
    """Return the path by hand with its print."""
    points = make_golden.points()
    counts = np.asarray(draw_counts(to_device(points), SOME, CELLS)[0])
    one = SessionPrint(name, "by hand", "7 events in 1 s", points, counts)
    return replace(one, **more)


@pytest.fixture(scope="module")
def alone() -> np.ndarray:
    """Return the sheet of one session, rows of (red, green, blue)."""
    return np.asarray(print_sheet([session()], SOME))


def pixels(sheet: np.ndarray, plot: Plot) -> np.ndarray:
    return sheet[plot.top : plot.top + plot.side, plot.left : plot.left + plot.side]


def has(part: np.ndarray, color: tuple[int, ...]) -> bool:
    return bool((part == color).all(axis=-1).any())


def test_each_cell_is_a_square_of_the_colour_of_its_share(alone):
    plot = _layout(1, SOME, 1, CELLS).plot(1, 0)
    tile = pixels(alone, plot)
    assert tile.shape == (CELLS * plot.cell_px, CELLS * plot.cell_px, 3)
    blocks = tile.reshape(CELLS, plot.cell_px, CELLS, plot.cell_px, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    counts = session().counts[..., 1]
    share = (counts + 3 / CELLS**2) / (counts.sum() + 3)
    np.testing.assert_array_equal(blocks[:, 0, :, 0], share_color(np.sqrt(share / 0.04)))


def test_a_panel_without_events_says_so(alone):
    tile = pixels(alone, _layout(1, SOME, 1, CELLS).plot(3, 0))  # there is but one press
    assert (tile[:20] == BACKGROUND).all()
    assert not (tile == BACKGROUND).all()


def test_the_hodograph_has_rings_and_the_others_have_none(alone):
    layout = _layout(1, SOME, 1, CELLS)
    plot = layout.plot(0, 0)
    tile = pixels(alone, plot).astype(int)
    blocks = tile.reshape(CELLS, plot.cell_px, CELLS, plot.cell_px, 3)
    assert not (blocks == blocks[:, :1, :, :1]).all()


def test_paths_and_panels_have_their_places_and_the_edge_stays_free():
    for n_sessions, panels in ((1, SOME), (2, SOME), (2, SOME * 2), (1, SOME * 3)):
        drawn = session(counts=np.tile(session().counts, (1, 1, len(panels) // 4)))
        sheet = np.asarray(print_sheet([drawn] * n_sessions, panels))
        layout = _layout(n_sessions, panels, n_sessions, CELLS)
        last = layout.plot(len(panels) - 1, n_sessions - 1)
        assert last.left + last.side <= sheet.shape[1]
        assert last.top + last.side <= sheet.shape[0]
        assert (sheet[:8] == SHEET).all()
        assert (sheet[-8:] == SHEET).all()
        assert has(sheet[layout.path_top(0) :, :400], (255, 255, 255))  # the press is ringed


def test_two_sessions_stand_below_each_other_panel_by_panel():
    other = session("B", counts=np.roll(session().counts, 3, axis=0))
    sheet = np.asarray(print_sheet([session("A"), other], SOME))
    layout = _layout(2, SOME, 2, CELLS)
    upper, lower = layout.plot(1, 0), layout.plot(1, 1)
    assert (upper.left, upper.side) == (lower.left, lower.side)
    shifted = np.roll(pixels(sheet, upper), 3 * upper.cell_px, axis=0)
    np.testing.assert_array_equal(pixels(sheet, lower), shifted)


def test_no_difference_is_grey_and_more_is_orange():
    own = session()
    alike = np.asarray(print_sheet([replace(own, reference=own.counts)], SOME))
    layout = _layout(1, SOME, 3, CELLS)
    assert (pixels(alike, layout.plot(1, 2)) == GREY).all()

    none = np.full_like(own.counts, 1.0)
    apart = pixels(np.asarray(print_sheet([replace(own, reference=none)], SOME)), layout.plot(1, 2))
    row, column = np.unravel_index(own.counts[..., 1].argmax(), (CELLS, CELLS))
    cell = apart[row * layout.cell_px, column * layout.cell_px]
    empty = apart[0, 0]
    assert cell[0] > GREY[0] > cell[2]
    assert empty[2] > GREY[2] > empty[0]


def test_a_session_beside_its_reference_has_a_row_for_each_and_for_the_difference():
    own = session(reference=np.ones_like(session().counts), reference_name="people")
    one, two = (print_sheet([own] * n, SOME) for n in (1, 2))
    heights = [_layout(n, SOME, rows, CELLS).panels_bottom for n, rows in ((1, 3), (2, 4))]
    assert [one.height >= heights[0], two.height >= heights[1]] == [True, True]


@pytest.mark.parametrize("cells", [8, 24, 128])
def test_any_number_of_cells_fits(cells):
    counts = np.asarray(draw_counts(to_device(make_golden.points()), SOME, cells)[0])
    sheet = print_sheet([session(counts=counts)], SOME)
    assert 1000 < sheet.width < 1700


@pytest.mark.parametrize("words", ["W" * 999, "a\nb\u202e", "", "\U0001f5b1\udc80"])
def test_no_words_leave_their_place(words):
    drawn = [session(words, caption=words, detail="", counts=session().counts) for _ in range(2)]
    sheet = np.asarray(print_sheet(drawn, SOME))
    layout = _layout(2, SOME, 2, CELLS)
    assert (sheet[: layout.path_top(0) - 20, : layout.panels_left - 20] == SHEET).all()
    gap = sheet[: layout.panels_bottom, 16 + layout.path_px : layout.panels_left - 20]
    assert (gap == SHEET).all()


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_an_axis_stays_beside_its_plot(panel):
    sheet = Image.new("RGB", (300, 300), SHEET)
    plot = Plot(left=70, top=20, cells=24, cell_px=6)
    draw_left_axis(sheet, plot, panel)
    before = np.asarray(sheet)
    bottom = draw_lower_axis(ImageDraw.Draw(sheet), plot, panel)
    after = np.asarray(sheet)
    assert (before[:, plot.left :] == SHEET).all()
    assert not (before == SHEET).all()
    assert (after[: plot.top + plot.side] == before[: plot.top + plot.side]).all()
    assert (after[bottom:] == SHEET).all()
    assert not (after == before).all()
