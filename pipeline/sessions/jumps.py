"""Find the jumps of sessions: where the pointer came back in another place than it left from."""

import numpy as np
from jaxtyping import Bool

from pipeline.features.quantities import is_jump, step_px
from pipeline.sessions.sessions import Sessions


def find_jumps(sessions: Sessions) -> Bool[np.ndarray, " events"]:
    """Mark the events that a jump leads to, by `is_jump`; none is a session's first.

    What a session's jumps are depends on that session alone.
    """
    dx_px, dy_px = (np.diff(c, prepend=np.float32(0)) for c in (sessions.x_px, sessions.y_px))
    interval_us = np.diff(sessions.t_us, prepend=0)
    # No time passes between two sessions, so nothing there is a jump, or the neighbour of one.
    interval_us[sessions.offsets[:-1][sessions.n_events > 0]] = 0
    return is_jump(step_px(dx_px, dy_px), interval_us / 1000)
