"""Draw paths as pictures for people, with a legend."""

import base64
import io
from collections.abc import Sequence
from functools import partial
from typing import Final

import jax
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from pipeline.schemas import Kind
from pipeline.sessions.windows import Points
from pipeline.storage.paths import StoragePath
from rasterize.canvas import Canvas
from rasterize.draw import draw_path, to_cells
from rasterize.motion import Paths, to_device
from rasterize.palette import BACKGROUND, ink_on_background, speed_color, weight_color

ENLARGED = 5  # a picture's pixels for each of the canvas's cells
TEXT = (206, 212, 222)
MUTED = (152, 160, 174)  # of words that explain
FAINT = (96, 104, 118)
MARGIN = 12
CAPTION = 20  # height of a line of text, px
SHEET = (30, 35, 45)  # around the pictures
CLICK_COLOR = (255, 255, 255)
PAUSE_COLOR = (112, 210, 190)
_FULLER: Final = 1.6  # times the ink that was drawn, so that a line's edges are seen


@partial(jax.jit, static_argnums=1)
def _draw(paths: Paths, canvas: Canvas) -> jax.Array:
    return draw_path(paths, canvas)


def draw_pictures(points: Points, canvas: Canvas, enlarged: int = ENLARGED) -> list[Image.Image]:
    """Return a picture a window: speed as colour, held buttons, clicks and pauses marked."""
    fine = canvas.enlarged(enlarged)
    paths = to_device(points)
    planes = np.asarray(_draw(paths, fine))
    x, y = (np.asarray(at) for at in to_cells(paths, fine))
    line = max(enlarged // 8, 1)
    return [
        _picture(planes[i], points, i, x[i], y[i], canvas.pause_ms, line)
        for i in range(len(points))
    ]


def _picture(
    planes: Float[np.ndarray, "size size 3"],
    points: Points,
    i: int,
    x: Float[np.ndarray, " points"],
    y: Float[np.ndarray, " points"],
    pause_ms: float,
    line: int,
) -> Image.Image:
    """Return one window's picture: the halo of held buttons, the line, then the marks."""
    bold = _widened(planes, line)
    ink = np.clip(_FULLER * bold[..., 0], 0, 1)
    speed = bold[..., 1] / np.maximum(bold[..., 0], 1e-6)
    halo = _widened(planes[..., 2], 4 * line)[..., None]
    colors = ink_on_background(ink, speed * ink)
    lit = colors + halo * (1 - np.clip(bold[..., :1], 0, 1)) * 70
    picture = Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    n = points.n_points[i]
    rest_ms = np.diff(points.t_ms[i, :n], append=points.t_ms[i, n - 1])
    for j in np.flatnonzero(rest_ms >= pause_ms):
        radius = 2 + 2 * np.log2(rest_ms[j] / pause_ms)
        _ring(pen, float(x[j]), float(y[j]), float(radius), PAUSE_COLOR)
    for j in np.flatnonzero(np.isin(points.kind[i, :n], (Kind.DOWN, Kind.CLICK, Kind.TOUCH))):
        _ring(pen, float(x[j]), float(y[j]), 6.0, CLICK_COLOR)
    return picture


def _widened(plane: np.ndarray, by: int) -> np.ndarray:
    """Return each cell's largest neighbour within `by` cells: a line that eyes can follow."""
    for axis in (0, 1):
        pad = [(by, by) if i == axis else (0, 0) for i in range(plane.ndim)]
        padded = np.pad(plane, pad)
        length = plane.shape[axis]
        slices = [np.take(padded, range(k, k + length), axis) for k in range(2 * by + 1)]
        plane = np.max(slices, axis=0)
    return plane


def _ring(
    pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, color: tuple[int, int, int]
) -> None:
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=color, width=2)


def contact_sheet(
    pictures: Sequence[Image.Image], captions: Sequence[str], canvas: Canvas, columns: int = 4
) -> Image.Image:
    """Return pictures in rows with their captions, a colour scale and a legend below."""
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    side = pictures[0].width
    step = side + MARGIN
    width = max(columns * step + MARGIN, 760)
    height = rows * (step + CAPTION) + MARGIN + 3 * CAPTION
    sheet = Image.new("RGB", (width, height), SHEET)
    pen = ImageDraw.Draw(sheet)
    for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left = MARGIN + i % columns * step
        top = MARGIN + i // columns * (step + CAPTION)
        sheet.paste(picture, (left, top))
        pen.text((left, top + side + 3), fitting(caption, side), TEXT, font=font())
    _legend(sheet, pen, MARGIN, height - 3 * CAPTION, canvas)
    return sheet


def _legend(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, left: int, top: int, canvas: Canvas
) -> None:
    """Draw the colour scale with speeds at its ticks, then what the marks mean."""
    length = 300
    speed_scale(sheet, (left, top + 6), length, canvas)
    pen.text((left + length + 10, top + 4), "speed, px/s", TEXT, font=font())
    column = left + length + 104
    explain_marks(pen, ((column, top), (column + 130, top), (column, top + 22)), canvas)
    side_px = canvas.size * canvas.cell_px
    view = {
        "box": "each fills its path's box",
        "centred": f"{side_px:g} px wide, path centred",
        "absolute": f"upper left {side_px:g} px of the page",
    }[canvas.placement]
    pen.text((left + length + 260, top + 26), view, MUTED, font=font())


def draw_scale(
    sheet: Image.Image,
    corner: tuple[int, int],
    bar: UInt8[np.ndarray, "length 3"],
    ticks: Sequence[tuple[float, str]],
) -> None:
    """Draw a scale of colours with ticks (0 to 1) below, 32 px high."""
    pen = ImageDraw.Draw(sheet)
    left, top = corner
    sheet.paste(Image.fromarray(np.tile(bar, (12, 1, 1))), corner)
    for position, text in ticks:
        x = left + position * (len(bar) - 1)
        pen.line((x, top + 12, x, top + 17), fill=MUTED)
        anchor = "la" if position == 0 else "ma"
        pen.text((x, top + 20), text, TEXT, font=font(), anchor=anchor)


def speed_scale(sheet: Image.Image, corner: tuple[int, int], length: int, canvas: Canvas) -> None:
    """Draw the canvas's colours of speed with px/s at their ticks."""
    slow, fast = canvas.slow_px_s, canvas.fast_px_s
    speeds = [speed for speed in (100, 1000, 10_000, 100_000) if slow < speed <= fast]
    ticks = [(float(np.log(v / slow) / np.log(fast / slow)), f"{v:,}") for v in speeds]
    draw_scale(sheet, corner, speed_color(np.linspace(0, 1, length)), [(0.0, f"{slow:g}"), *ticks])


def explain_marks(
    pen: ImageDraw.ImageDraw, corners: Sequence[tuple[int, int]], canvas: Canvas
) -> None:
    """Draw each of the three marks of a path's picture at its corner, and what it means."""
    click, pause, held = corners
    _ring(pen, click[0] + 6.0, click[1] + 11.0, 6.0, CLICK_COLOR)
    _ring(pen, pause[0] + 6.0, pause[1] + 11.0, 4.0, PAUSE_COLOR)
    pen.rectangle((held[0], held[1] + 8, held[0] + 20, held[1] + 14), fill=FAINT)
    for (left, top), indent, words in (
        (click, 18, "click or press"),
        (pause, 18, f"pause of {canvas.pause_ms:g} ms or more"),
        (held, 28, "halo: button held"),
    ):
        pen.text((left + indent, top + 4), words, TEXT, font=font())


def stacked(parts: Sequence[Image.Image]) -> Image.Image:
    """Return pictures one below the other."""
    width = max(part.width for part in parts)
    sheet = Image.new("RGB", (width, sum(part.height for part in parts)), SHEET)
    top = 0
    for part in parts:
        sheet.paste(part, (0, top))
        top += part.height
    return sheet


def picture_uri(picture: Image.Image) -> str:
    """Return a picture as an address that holds it, for a page in one file."""
    png = io.BytesIO()
    picture.save(png, "PNG")
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()


def bounded_uri(path: StoragePath, most_bytes: int) -> str:
    """Return a picture's file as an address that holds it, made smaller until that fits."""
    with path.open("rb") as file:
        picture = Image.open(file).convert("RGB")
    uri = picture_uri(picture)
    while len(uri) > most_bytes and min(picture.size) > 1:
        picture = picture.resize((picture.width * 3 // 4, picture.height * 3 // 4))
        uri = picture_uri(picture)
    return uri


def font(size: int = 12) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font of all words on a sheet."""
    return ImageFont.load_default(size)


def fitting(text: str, width_px: int, size: int = 12) -> str:
    """Cut text to what fits, with an ellipsis; what isn't printable becomes a question mark."""
    text = "".join(c if c.isprintable() else "?" for c in text[:400])
    letters = font(size)
    if letters.getlength(text) <= width_px:
        return text
    while text and letters.getlength(text + "…") > width_px:
        text = text[:-1]
    return text + "…"


_THIN_PX, _THICK_PX = 2, 7
_SCALE_PX = 300


def draw_overlays(
    points: Points,
    weights: Float[np.ndarray, "windows points"],
    canvas: Canvas,
    largest: float,
    enlarged: int = ENLARGED,
) -> list[Image.Image]:
    """Return a picture a window: orange raised the score, blue lowered it, the more the bolder.

    `largest` is the weight at the end of the scale: one for all the pictures of a sheet.
    """
    fine = canvas.enlarged(enlarged)
    x, y = (np.asarray(at) for at in to_cells(to_device(points), fine))
    shares = weights / max(largest, 1e-12)
    return [
        _overlay(x[i, :n], y[i, :n], shares[i, :n], fine.size)
        for i, n in enumerate(points.n_points)
    ]


def _overlay(
    x: Float[np.ndarray, " points"],
    y: Float[np.ndarray, " points"],
    shares: Float[np.ndarray, " points"],
    size: int,
) -> Image.Image:
    """Draw the segments that weigh least first, so that nothing hides what weighs most."""
    picture = Image.new("RGB", (size, size), BACKGROUND)
    pen = ImageDraw.Draw(picture)
    colors = weight_color(shares)
    for i in np.argsort(np.abs(shares[1:]), kind="stable") + 1:
        strength = min(abs(float(shares[i])), 1.0)
        ends = (float(x[i - 1]), float(y[i - 1]), float(x[i]), float(y[i]))
        color = tuple(int(channel) for channel in colors[i])
        width = round(_THIN_PX + strength * (_THICK_PX - _THIN_PX))
        pen.line(ends, fill=color, width=width)
    return picture


def weight_legend(width: int, largest: float) -> Image.Image:
    """Return the scale of weights with words at its ends."""
    strip = Image.new("RGB", (max(width, 760), 3 * CAPTION), SHEET)
    pen = ImageDraw.Draw(strip)
    ticks = [(0.0, f"{-largest:+.2g}"), (0.5, "0"), (1.0, f"{largest:+.2g}")]
    draw_scale(strip, (MARGIN, 6), weight_color(np.linspace(-1, 1, _SCALE_PX)), ticks)
    words = "an event's part of the logit: blue lowered the score, orange raised it"
    pen.text((MARGIN + _SCALE_PX + 10, 4), words, TEXT, font=font())
    return strip
