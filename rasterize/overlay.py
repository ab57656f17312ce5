"""Draw paths in the colours of weights: what raised a score, and what lowered it."""

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from pipeline.windows import Points
from rasterize.canvas import Canvas
from rasterize.draw import to_cells
from rasterize.motion import to_device
from rasterize.palette import BACKGROUND, weight_color
from rasterize.picture import CAPTION, ENLARGED, MARGIN, SHEET, TEXT, font

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
    bar = weight_color(np.tile(np.linspace(-1, 1, _SCALE_PX), (12, 1)))
    strip.paste(Image.fromarray(bar), (MARGIN, 6))
    for share, anchor in ((-1, "la"), (0, "ma"), (1, "ra")):
        at = MARGIN + (share + 1) / 2 * (_SCALE_PX - 1)
        text = f"{share * largest:+.2g}" if share else "0"
        pen.text((at, 26), text, TEXT, font=font(), anchor=anchor)
    words = "an event's part of the logit: blue lowered the score, orange raised it"
    pen.text((MARGIN + _SCALE_PX + 10, 4), words, TEXT, font=font())
    return strip
