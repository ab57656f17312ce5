"""Windows in, pictures for people out: the network's kernel on a finer canvas, with a legend."""

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import jax
import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from pipeline.schemas import Kind
from pipeline.windows import Points
from rasterize.canvas import Canvas
from rasterize.draw import Paths, draw, place, to_device
from rasterize.palette import ink_on_background, speed_color

ENLARGED = 5  # a picture's pixels for each of the network's cells
TEXT = (206, 212, 222)
FAINT = (96, 104, 118)
MARGIN = 12
CAPTION = 20  # height of a line of text, px
SHEET = (30, 35, 45)  # around the pictures
CLICK_COLOR = (255, 255, 255)
PAUSE_COLOR = (112, 210, 190)


@partial(jax.jit, static_argnums=1)
def _draw(paths: Paths, canvas: Canvas) -> jax.Array:
    return draw(paths, canvas)


def draw_images(points: Points, canvas: Canvas) -> Float[np.ndarray, "windows size size channels"]:
    """Return what the network sees."""
    return np.asarray(_draw(to_device(points), canvas))


def draw_pictures(points: Points, canvas: Canvas, enlarged: int = ENLARGED) -> list[Image.Image]:
    """Return a picture a window: speed as colour, held buttons, clicks and pauses marked."""
    fine = replace(canvas.enlarged(enlarged), channels=("ink", "speed", "press"))
    planes = draw_images(points, fine)
    x, y = (np.asarray(at) for at in place(to_device(points), fine))
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
    halo = _widened(planes[..., 2], 4 * line)[..., None]
    colors = ink_on_background(np.clip(1.6 * bold[..., 0], 0, 1), np.clip(1.6 * bold[..., 1], 0, 1))
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
        pen.text((left, top + side + 3), _fitting(caption, side), TEXT, font=font())
    _legend(sheet, pen, MARGIN, height - 3 * CAPTION, canvas)
    return sheet


def _legend(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, left: int, top: int, canvas: Canvas
) -> None:
    """Draw the colour scale with speeds at its ticks, then what the marks mean."""
    length = 300
    bar = speed_color(np.tile(np.linspace(0, 1, length), (12, 1)))
    sheet.paste(Image.fromarray(bar), (left, top + 6))
    span = np.log(canvas.fast_px_s / canvas.slow_px_s)
    for speed in (100, 1000, 10_000, 100_000):
        if canvas.slow_px_s <= speed <= canvas.fast_px_s:
            at = left + np.log(speed / canvas.slow_px_s) / span * (length - 1)
            pen.line((at, top + 18, at, top + 24), fill=TEXT)
            pen.text((at, top + 26), f"{speed:,}", TEXT, font=font(), anchor="ma")
    pen.text((left, top + 26), f"{canvas.slow_px_s:g}", TEXT, font=font())
    pen.text((left + length + 10, top + 4), "speed, px/s", TEXT, font=font())
    x = float(left + length + 110)
    for label, color, radius in (
        ("click or press", CLICK_COLOR, 6.0),
        (f"pause of {canvas.pause_ms:g} ms or more", PAUSE_COLOR, 4.0),
    ):
        _ring(pen, x, top + 11.0, radius, color)
        pen.text((x + 12, top + 4), label, TEXT, font=font())
        x += 130
    pen.rectangle((left + length + 110, top + 31, left + length + 130, top + 37), fill=FAINT)
    pen.text((left + length + 138, top + 26), "halo: button held", TEXT, font=font())
    side_px = canvas.size * canvas.cell_px
    note = {
        "box": "each fills its path's box",
        "centred": f"{side_px:g} px wide, path centred",
        "absolute": f"upper left {side_px:g} px of the page",
    }[canvas.placement]
    pen.text((left + length + 260, top + 26), note, FAINT, font=font())


def channel_strip(
    image: Float[np.ndarray, "size size channels"], canvas: Canvas, side: int
) -> Image.Image:
    """Return the network's own channels of one window, each named: grey 0 is none, white most."""
    width = (side + MARGIN) * len(canvas.channels) + MARGIN
    strip = Image.new("RGB", (width, side + 2 * MARGIN + CAPTION), SHEET)
    pen = ImageDraw.Draw(strip)
    for i, name in enumerate(canvas.channels):
        plane = image[..., i]
        low, high = (-1, 1) if name.startswith("direction") else (0, max(1.0, float(plane.max())))
        grey = np.rint((plane - low) / (high - low) * 255).astype(np.uint8)
        left = MARGIN + i * (side + MARGIN)
        tile = Image.fromarray(grey).resize((side, side), Image.Resampling.NEAREST)
        strip.paste(tile, (left, MARGIN))
        pen.text((left, MARGIN + side + 3), _fitting(name, side), TEXT, font=font())
    return strip


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


def font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font of all captions."""
    return ImageFont.load_default(12)


def _fitting(text: str, width_px: int) -> str:
    """Cut text to what fits, with an ellipsis; what isn't printable becomes a question mark."""
    text = "".join(c if c.isprintable() else "?" for c in text[:400])
    letters = font()
    if letters.getlength(text) <= width_px:
        return text
    while text and letters.getlength(text + "…") > width_px:
        text = text[:-1]
    return text + "…"
