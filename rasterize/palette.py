"""Colours of the speeds of a path, the shares of a print, and weights with two sides.

Lightness rises along the scales of speeds and shares, so they read the same to colour-blind eyes
and in grey. Weights and differences have two sides, blue and orange, which no common
colour-blindness takes for each other.
"""

from typing import Final

import numpy as np
from jaxtyping import Float, UInt8

BACKGROUND: Final = (16, 20, 28)
SCALE: Final = np.array(
    [(46, 64, 168), (122, 76, 190), (196, 84, 148), (240, 128, 90), (255, 222, 96)], np.float64
)
"""Speeds: blue is slow, yellow is fast."""

SHARE_SCALE: Final = np.array(
    [BACKGROUND, (24, 66, 92), (28, 122, 130), (104, 190, 148), (244, 248, 206)], np.float64
)
"""Shares of events in a print: from the background to nearly white."""

WEIGHT_SCALE: Final = np.array([(64, 160, 255), (92, 100, 114), (255, 150, 30)], np.float64)


def weight_color(fraction: Float[np.ndarray, "*any"]) -> UInt8[np.ndarray, "*any 3"]:
    """Return the colour of a weight or a difference: -1 blue, 0 grey, 1 orange."""
    return _blend(WEIGHT_SCALE, (fraction + 1) / 2)


def speed_color(fraction: Float[np.ndarray, "*any"]) -> UInt8[np.ndarray, "*any 3"]:
    """Return the colour of a speed given as a fraction of the scale, 0 slow to 1 fast."""
    return _blend(SCALE, fraction)


def share_color(fraction: Float[np.ndarray, "*any"]) -> UInt8[np.ndarray, "*any 3"]:
    """Return the colour of a share given as a fraction of the scale, 0 none to 1 most."""
    return _blend(SHARE_SCALE, fraction)


def _blend(
    scale: Float[np.ndarray, "stops 3"], fraction: Float[np.ndarray, "*any"]
) -> UInt8[np.ndarray, "*any 3"]:
    """Return the colour at a fraction of a scale, 0 its first stop to 1 its last."""
    at = np.clip(fraction, 0, 1) * (len(scale) - 1)
    channels = [np.interp(at, np.arange(len(scale)), scale[:, i]) for i in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def ink_on_background(
    ink: Float[np.ndarray, "height width"], speed: Float[np.ndarray, "height width"]
) -> UInt8[np.ndarray, "height width 3"]:
    """Return the picture of a path: `speed` (already times ink) as colour, `ink` as opacity."""
    color = speed_color(speed / np.maximum(ink, 1e-6)).astype(np.float64)
    opacity = np.clip(ink, 0, 1)[..., None]
    return np.rint(opacity * color + (1 - opacity) * np.array(BACKGROUND)).astype(np.uint8)
