"""Remake tests/golden/ from a path by hand: `python -m tests.make_golden`, then look at them."""

from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.schemas import Kind
from pipeline.windows import Points
from rasterize.canvas import CHANNELS, Canvas
from rasterize.picture import draw_images, draw_pictures

GOLDEN = Path(__file__).resolve().parent / "golden"
CANVAS = Canvas(size=16, cell_px=4.0, placement="absolute", channels=tuple(CHANNELS), n_samples=64)

# t_ms, x_px, y_px, kind: right, a press, down with the button held, a rest of 300 ms, back.
PATH = (
    (0, 8, 8, Kind.MOVE),
    (20, 28, 8, Kind.MOVE),
    (100, 56, 8, Kind.MOVE),
    (120, 56, 8, Kind.DOWN),
    (300, 56, 56, Kind.DRAG),
    (600, 56, 56, Kind.UP),
    (640, 8, 28, Kind.MOVE),
)


def points() -> Points:
    """Return the path as a batch of one."""
    t_ms, x_px, y_px, kind = np.array(PATH, np.float32).T[:, None]
    return Points(t_ms, x_px, y_px, kind.astype(np.int8), np.array([len(PATH)], np.int32))


def channels() -> Image.Image:
    """Return the network's channels side by side; grey 128 is 0, for directions may be below."""
    image = np.concatenate(np.moveaxis(draw_images(points(), CANVAS)[0], -1, 0), axis=1)
    return Image.fromarray(np.rint(np.clip(image, -1, 1) * 127 + 128).astype(np.uint8))


def picture() -> Image.Image:
    """Return the picture for people."""
    return draw_pictures(points(), CANVAS)[0]


def main() -> None:
    """Write the files that tests/test_picture.py compares with."""
    GOLDEN.mkdir(exist_ok=True)
    channels().save(GOLDEN / "channels.png")
    picture().save(GOLDEN / "picture.png")


if __name__ == "__main__":
    main()
