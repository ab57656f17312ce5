"""A print as a user writes it: NumPy's differences, `numpy.histogram2d`, a blur. No JAX.

The axes of the panels are ours, so that it is the same print; an event goes to its nearest cell
instead of its four nearest.
"""

import numpy as np
from jaxtyping import Float32
from scipy.ndimage import convolve1d

from rasterize.panels import Motion, Panel

Column = Float32[np.ndarray, " events"]

PRIOR_EVENTS = 3.0


def motion_of(t_ms: Column, x: Column, y: Column) -> Motion:
    """Return the quantities of one path, a row a moving segment; no presses are looked for."""
    interval, dx, dy = np.diff(t_ms), np.diff(x), np.diff(y)
    moves = (dx != 0) | (dy != 0)
    interval, dx, dy = interval[moves], dx[moves], dy[moves]
    step = np.hypot(dx, dy)
    speed = step / np.maximum(interval, 1) * 1000
    direction = np.arctan2(dy, dx)
    turn = np.diff(direction, prepend=direction[:1])
    turn = (turn + np.pi) % (2 * np.pi) - np.pi
    change = speed / np.roll(speed, 1)
    place = np.arange(len(step))
    nothing = np.zeros(len(step))
    return Motion(
        kind=nothing,
        interval_ms=interval,
        dx_px=dx,
        dy_px=dy,
        step_px=step,
        speed_px_s=speed,
        heading_x=dx / step,
        heading_y=dy / step,
        turn_rad=turn,
        speed_change=change,
        step_before_px=np.roll(step, 1),
        speed_before_px_s=np.roll(speed, 1),
        turn_before_rad=np.roll(turn, 1),
        speed_change_before=np.roll(change, 1),
        hold_ms=nothing,
        drag_px=nothing,
        since_press_ms=nothing,
        is_segment=place >= 0,
        is_moving=place >= 0,
        is_turning=place >= 1,
        is_turning_again=place >= 2,
        is_held=place < 0,
        is_next_press=place < 0,
    )


def naive_print(
    t_ms: Column, x: Column, y: Column, panels: tuple[Panel, ...], cells: int
) -> Float32[np.ndarray, "cells cells panels"]:
    """Return the print of one path."""
    motion, images = motion_of(t_ms, x, y), []
    half = 0.5 / (cells - 1)
    for panel in panels:
        right, down, counted = panel.positions(motion)
        counts, _, _ = np.histogram2d(
            down[counted], right[counted], bins=cells, range=[(-half, 1 + half)] * 2
        )
        for axis in (0, 1):
            counts = convolve1d(counts, [0.25, 0.5, 0.25], axis=axis, mode="nearest")
        share = (counts + PRIOR_EVENTS / cells**2) / (counts.sum() + PRIOR_EVENTS)
        images.append(np.sqrt(share * cells**2) - 1)
    return np.stack(images, axis=-1).astype(np.float32)
