"""The quantities of a motion, each defined once: step, speed, direction, turn, change of speed.

Every function takes NumPy or JAX arrays of any one shape and returns such an array, so that what is
drawn, learnt, measured as a reason and audited is the same number. Where a quantity compares two
segments, the second is the moving segment before, whatever rests lie between.
"""

import math
from typing import Any, Final

TICK_MS: Final = 1.0
"""Two events with one time stamp count as this far apart: fast, but not infinitely so."""

ABOUT_RAD: Final = 1e-5
"""A turn within this of half a circle counts as half a circle: float32 rounds by less."""

JUMP_PX: Final = 150.0
"""A longer step ..."""
JUMP_GAP_MS: Final = 250.0
"""... after a longer time is no movement: the pointer left the page, or a new trial began."""

NumericArray = Any  # a NumPy or a JAX array; no type of both exists


def step_px(dx_px: NumericArray, dy_px: NumericArray) -> NumericArray:
    """Return the length of each segment, px."""
    return dx_px.__array_namespace__().hypot(dx_px, dy_px)


def is_jump(length_px: NumericArray, interval_ms: NumericArray) -> NumericArray:
    """Mark segments that no pointer moved along: it was somewhere else meanwhile.

    Nothing is known of such a segment: it has no speed and no direction, and what follows begins
    a new piece of the path. Segments follow each other along the last axis. Two in a row are no
    jumps: a pointer that came back moves, and one that goes from place to place like that is
    moved by a script.
    """
    xp = length_px.__array_namespace__()
    is_far = (length_px > JUMP_PX) & (interval_ms > JUMP_GAP_MS)
    none = xp.zeros_like(is_far[..., :1])
    after = xp.concat([none, is_far[..., :-1]], axis=-1)
    before = xp.concat([is_far[..., 1:], none], axis=-1)
    return is_far & ~after & ~before


def elapsed_ms(interval_ms: NumericArray) -> NumericArray:
    """Return how long each segment lasted: its interval, but at least `TICK_MS`."""
    return interval_ms.__array_namespace__().maximum(interval_ms, TICK_MS)


def speed_px_s(length_px: NumericArray, interval_ms: NumericArray) -> NumericArray:
    """Return the mean speed of each segment, px/s."""
    return 1000 * length_px / elapsed_ms(interval_ms)


def direction_rad(dx_px: NumericArray, dy_px: NumericArray) -> NumericArray:
    """Return where each segment points, -pi to pi: 0 right, pi/2 down (y grows downwards)."""
    return dx_px.__array_namespace__().arctan2(dy_px, dx_px)


def turn_rad(direction: NumericArray, before: NumericArray) -> NumericArray:
    """Return by how much each direction differs from the one before, -pi to pi.

    Above 0 is clockwise, as seen on a screen. `direction` and `before` lie between -pi and pi. A
    turn by half a circle is -pi, within `ABOUT_RAD`: rounding doesn't decide between -pi and pi.
    """
    # Not by `%`: on a CPU XLA takes each number's remainder alone, a tenth of a print's time.
    turn, where = direction - before, direction.__array_namespace__().where
    turn = where(turn >= math.pi - ABOUT_RAD, turn - 2 * math.pi, turn)
    return where(turn < -math.pi - ABOUT_RAD, turn + 2 * math.pi, turn)


def speed_change(speed: NumericArray, before: NumericArray) -> NumericArray:
    """Return how many times as fast each segment is as the one before, from 1 + speed (px/s)."""
    return (1 + speed) / (1 + before)
