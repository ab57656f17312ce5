"""Pictures for people: what is where, sizes, any caption; and two that were looked at."""

import base64
import io

import make_golden
import numpy as np
import pytest
from PIL import Image

from pipeline.sessions.windows import Points
from rasterize.canvas import Canvas
from rasterize.palette import speed_color
from rasterize.picture import (
    CAPTION,
    CLICK_COLOR,
    ENLARGED,
    MARGIN,
    PAUSE_COLOR,
    SHEET,
    bounded_uri,
    contact_sheet,
    draw_pictures,
    stacked,
)

CANVAS = make_golden.CANVAS
SIDE = CANVAS.size * ENLARGED
BLANK = Image.new("RGB", (SIDE, SIDE))


@pytest.mark.parametrize("name", ["panels", "picture"])
def test_the_kernel_draws_what_was_looked_at(name):
    drawn = np.asarray(getattr(make_golden, name)()).astype(int)
    with Image.open(make_golden.GOLDEN / f"{name}.png") as golden:
        np.testing.assert_allclose(drawn, np.asarray(golden), atol=1)


@pytest.fixture(scope="module")
def picture():
    """Return the picture of the path by hand, rows of (red, green, blue)."""
    (drawn,) = draw_pictures(make_golden.points(), CANVAS)
    return np.asarray(drawn)


def at(x_px: float, y_px: float) -> tuple[slice, slice]:
    """Return the few pixels around a place on the screen."""
    scale = ENLARGED / CANVAS.cell_px
    row, column = int(y_px * scale), int(x_px * scale)
    return slice(row - 8, row + 9), slice(column - 8, column + 9)


def has(pixels: np.ndarray, color: tuple[int, int, int]) -> bool:
    """Return whether a colour is among the pixels."""
    return bool((pixels == color).all(axis=-1).any())


def test_a_press_and_a_pause_are_ringed_where_they_happened(picture):
    assert has(picture[at(56, 8)], CLICK_COLOR)
    assert has(picture[at(56, 56)], PAUSE_COLOR)
    assert not has(picture[at(28, 8)], CLICK_COLOR)
    assert not has(picture[at(56, 32)], PAUSE_COLOR)


def test_the_fast_stretch_is_lighter_than_the_slow_one(picture):
    fast, slow = picture[at(16, 8)], picture[at(56, 32)]  # 1000 px/s and 267 px/s
    assert fast[..., 0].max() > slow[..., 0].max()


@pytest.mark.parametrize("step_px", [2, 8, 40])
def test_a_path_has_the_colour_of_its_speed(step_px):
    canvas = Canvas(size=64, cell_px=8.0, placement="absolute")
    at_px = np.arange(12, dtype=np.float32)[None]
    path = Points(
        16 * at_px, step_px * at_px + 20, 0 * at_px + 60,
        np.zeros((1, 12), np.int8), np.array([12], np.int32),
    )  # fmt: skip
    (drawn,) = draw_pictures(path, canvas)
    slow, fast = canvas.slow_px_s, canvas.fast_px_s
    fraction = np.log([1000 * step_px / 16 / slow]) / np.log(fast / slow)
    (expected,) = speed_color(fraction)

    row = np.asarray(drawn)[int(60 * ENLARGED / canvas.cell_px)].astype(int)
    middle = row[int((20 + 5.5 * step_px) * ENLARGED / canvas.cell_px)]
    np.testing.assert_allclose(middle, expected, atol=6)


@pytest.mark.parametrize(
    ("n", "columns", "expected"),
    [
        (1, 1, (760, SIDE + MARGIN + CAPTION + MARGIN + 3 * CAPTION)),
        (5, 4, (760, 2 * (SIDE + MARGIN + CAPTION) + MARGIN + 3 * CAPTION)),
        (10, 10, (10 * (SIDE + MARGIN) + MARGIN, SIDE + MARGIN + CAPTION + MARGIN + 3 * CAPTION)),
    ],
)
def test_a_sheet_has_rows_captions_and_a_legend(n, columns, expected):
    assert contact_sheet([BLANK] * n, ["x"] * n, CANVAS, columns).size == expected


HOSTILE = {
    "newlines": "a\nb\r\n\tc",
    "right to left": "\u202eevil\u202c \u05d0\u05d1",
    "long": "W" * 10_000,
    "not text": "\x00\x1b[31m\udc80",
    "emoji": "\U0001f5b1\ufe0f",
    "empty": "",
}


@pytest.mark.parametrize("caption", HOSTILE.values(), ids=HOSTILE)
def test_no_caption_leaves_its_place(caption):
    sheet = np.asarray(contact_sheet([BLANK, BLANK], [caption, ""], CANVAS))

    assert sheet.shape == (SIDE + 2 * MARGIN + 4 * CAPTION, 760, 3)
    below = sheet[MARGIN + SIDE : MARGIN + SIDE + CAPTION + MARGIN]
    assert (below[:, MARGIN + SIDE + 1 :] == SHEET).all()
    assert (below[CAPTION:] == SHEET).all()


def test_a_long_caption_is_cut_and_a_short_one_shows():
    short, long, none = (
        np.asarray(contact_sheet([BLANK], [caption], CANVAS)) for caption in ("W", "W" * 99, "")
    )
    written = [int((sheet != none).any(axis=-1).sum()) for sheet in (short, long)]
    assert 0 < written[0] < written[1]


def test_parts_are_stacked_without_a_gap():
    sheet = stacked([Image.new("RGB", (3, 2), "red"), Image.new("RGB", (5, 4), "blue")])

    assert sheet.size == (5, 6)
    assert sheet.getpixel((0, 1)) == (255, 0, 0)
    assert sheet.getpixel((4, 2)) == (0, 0, 255)


def test_a_picture_in_an_address_is_made_smaller_until_it_fits(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    whole = bounded_uri(tmp_path / "a.png", 10**6)
    fitting = bounded_uri(tmp_path / "a.png", 50_000)
    assert opened(whole).size == (300, 200)
    assert 25_000 < len(fitting) <= 50_000
    width, height = opened(fitting).size
    assert width / height == pytest.approx(1.5, abs=0.05)


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
