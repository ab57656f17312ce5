"""Find the jumps of sessions: where the pointer came back in another place than it left from."""

import numpy as np
from jaxtyping import Bool

from pipeline.features.quantities import JUMP_GAP_MS, is_jump, step_px
from pipeline.sessions.sessions import Sessions


def find_jumps(sessions: Sessions) -> Bool[np.ndarray, " events"]:
    """Mark the events that a jump leads to, by `is_jump`; none is a session's first.

    What a session's jumps are depends on that session alone.
    """
    interval_us = np.diff(sessions.t_us, prepend=0)
    # No time passes between two sessions, so nothing there is a jump, or the neighbour of one.
    interval_us[sessions.offsets[:-1][sessions.n_events > 0]] = 0
    long = np.flatnonzero(interval_us > 1000 * JUMP_GAP_MS)  # few: only there the length counts
    dx_px, dy_px = (column[long] - column[long - 1] for column in (sessions.x_px, sessions.y_px))
    length_px = np.zeros(len(interval_us), np.float32)
    length_px[long] = step_px(dx_px, dy_px)
    return is_jump(length_px, interval_us / 1000)
