"""How others draw a path: as a user writes it with Pillow, tuned, OpenCV, matplotlib.

Each gives one image of 64 x 64 x 3 or of another size, colour by speed, scaled to the path's box.
"""

import itertools
import math
from io import BytesIO

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageDraw

Column = Float32[np.ndarray, " events"]
Picture = UInt8[np.ndarray, "size size 3"]

SIZE = 64
FAST_PX_S = 4000.0


def pillow_as_a_user_writes_it(t_ms: Column, x: Column, y: Column, size: int = SIZE) -> Picture:
    """A loop over events, a colour and a line for each."""
    image = Image.new("RGB", (size, size))
    pen = ImageDraw.Draw(image)
    left, top = min(x), min(y)
    scale = (size - 1) / max(max(x) - left, max(y) - top, 1)
    for i in range(1, len(x)):
        distance = math.hypot(x[i] - x[i - 1], y[i] - y[i - 1])
        speed = distance / max(t_ms[i] - t_ms[i - 1], 1) * 1000
        share = min(speed / FAST_PX_S, 1)
        colour = (int(255 * share), 0, int(255 * (1 - share)))
        begin = ((x[i - 1] - left) * scale, (y[i - 1] - top) * scale)
        end = ((x[i] - left) * scale, (y[i] - top) * scale)
        pen.line([begin, end], fill=colour, width=1)
    return np.asarray(image)


def _cells_and_levels(
    t_ms: Column, x: Column, y: Column, levels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return positions in cells, and of each segment the level of its speed."""
    side = max(np.ptp(x), np.ptp(y), 1)
    cells = np.stack([x - x.min(), y - y.min()], axis=1) * ((SIZE - 1) / side)
    speed = np.hypot(np.diff(x), np.diff(y)) / np.maximum(np.diff(t_ms), 1) * 1000
    return cells, (np.minimum(speed / FAST_PX_S, 1) * (levels - 1)).astype(int)


def pillow_tuned(t_ms: Column, x: Column, y: Column) -> Picture:
    """Arithmetic in NumPy, a palette image, one line for a run of segments of one colour."""
    cells, level = _cells_and_levels(t_ms, x, y, 16)
    image = Image.new("P", (SIZE, SIZE))
    image.putpalette([v for i in range(16) for v in (17 * i, 0, 255 - 17 * i)])
    pen = ImageDraw.Draw(image)
    points = cells.ravel().tolist()
    edges = [0, *(np.flatnonzero(np.diff(level)) + 1).tolist(), len(level)]
    colours = level.tolist()
    for begin, end in itertools.pairwise(edges):
        pen.line(points[2 * begin : 2 * end + 2], fill=colours[begin])
    return np.asarray(image.convert("RGB"))


def opencv(t_ms: Column, x: Column, y: Column) -> Picture:
    """A line for each segment, anti-aliased."""
    import cv2

    cells, level = _cells_and_levels(t_ms, x, y, 256)
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    points = np.rint(cells * 16).astype(int).tolist()
    for i, share in enumerate(level.tolist()):
        cv2.line(image, points[i], points[i + 1], (share, 0, 255 - share), 1, cv2.LINE_AA, 4)
    return image


class Matplotlib:
    """A LineCollection in a figure that is made once."""

    def __init__(self) -> None:
        import matplotlib as mpl

        mpl.use("agg")
        from matplotlib import pyplot
        from matplotlib.collections import LineCollection

        self.figure = pyplot.figure(figsize=(1, 1), dpi=SIZE)
        axes = self.figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, SIZE), ylim=(SIZE, 0))
        axes.axis("off")
        self.lines = LineCollection([], cmap="coolwarm")
        axes.add_collection(self.lines)

    def __call__(self, t_ms: Column, x: Column, y: Column) -> Picture:
        """Draw one path."""
        cells, level = _cells_and_levels(t_ms, x, y, 256)
        self.lines.set_segments(np.stack([cells[:-1], cells[1:]], axis=1))
        self.lines.set_array(level)
        file = BytesIO()
        self.figure.savefig(file, format="rgba")
        pixels = np.frombuffer(file.getvalue(), np.uint8)
        return pixels.reshape(SIZE, SIZE, 4)[..., :3]
