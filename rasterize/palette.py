"""Speed to colour: blue is slow, yellow is fast, lighter is always faster.

Lightness rises along the whole scale, so it reads the same to colour-blind eyes and in grey.
Weights have two sides, blue and orange, which no common colour-blindness takes for each other.
"""

from typing import Final

import numpy as np
from jaxtyping import Float, UInt8

BACKGROUND: Final = (16, 20, 28)
SCALE: Final = np.array(
    [(46, 64, 168), (122, 76, 190), (196, 84, 148), (240, 128, 90), (255, 222, 96)], np.float64
)

WEIGHT_SCALE: Final = np.array([(64, 160, 255), (92, 100, 114), (255, 150, 30)], np.float64)


def weight_color(fraction: Float[np.ndarray, "*any"]) -> UInt8[np.ndarray, "*any 3"]:
    """Return the colour of a weight: -1 lowered the score most, 0 grey, 1 raised it most."""
    at = np.clip(fraction, -1, 1) + 1
    channels = [np.interp(at, range(3), WEIGHT_SCALE[:, i]) for i in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def speed_color(fraction: Float[np.ndarray, "*any"]) -> UInt8[np.ndarray, "*any 3"]:
    """Return the colour of a speed given as its place on the scale, 0 slow to 1 fast."""
    at = np.clip(fraction, 0, 1) * (len(SCALE) - 1)
    stops = np.arange(len(SCALE))
    channels = [np.interp(at, stops, SCALE[:, i]) for i in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def ink_on_background(
    ink: Float[np.ndarray, "height width"], speed: Float[np.ndarray, "height width"]
) -> UInt8[np.ndarray, "height width 3"]:
    """Return the picture of a path: `speed` (already times ink) as colour, `ink` as opacity."""
    color = speed_color(speed / np.maximum(ink, 1e-6)).astype(np.float64)
    opacity = np.clip(ink, 0, 1)[..., None]
    return np.rint(opacity * color + (1 - opacity) * np.array(BACKGROUND)).astype(np.uint8)
