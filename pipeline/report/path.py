"""A session in, its path as small whole numbers out: what the page draws and plays.

Times and positions are written as differences, which are short, in steps as fine as the
recorder's. A long session is shown as the stretch around the window that looked worst.
"""

from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from pipeline.sessions import Sessions

LONGEST: Final = 2000  # events of a path on a page
LONGEST_BESIDE: Final = 400  # of a session that is shown for comparison


def path_json(
    sessions: Sessions, i: int, around_ms: int | None = None, longest: int = LONGEST
) -> dict[str, Any]:
    """Return up to `longest` events of session `i`, those around `around_ms` if it has more."""
    begin, end = int(sessions.offsets[i]), int(sessions.offsets[i + 1])
    start, n_shown = shown_events(sessions, i, around_ms, longest)
    stop = start + n_shown
    shown = slice(begin + start, begin + stop)
    t_us = sessions.t_us[shown].astype(np.float64)
    step_us = _step(t_us, (1000.0, 100.0))
    x_px, y_px = sessions.x_px[shown].astype(np.float64), sessions.y_px[shown].astype(np.float64)
    step_px = _step(np.concatenate([x_px, y_px]), (1.0, 0.1))
    return {
        "step_ms": step_us / 1000,
        "step_px": step_px,
        "t": _differences(t_us / step_us),
        "x": _differences(x_px / step_px),
        "y": _differences(y_px / step_px),
        "kind": "".join(map(str, sessions.kind[shown])),
        "n_before": start,
        "n_after": end - begin - stop,
        "duration_ms": int(sessions.t_us[end - 1] // 1000) if end > begin else 0,
        "viewport": [int(sessions.viewport_width[i]), int(sessions.viewport_height[i])],
    }


def shown_events(
    sessions: Sessions, i: int, around_ms: int | None = None, longest: int = LONGEST
) -> tuple[int, int]:
    """Return from which event of session `i` on, and how many, are shown.

    A third of them come before `around_ms`.
    """
    t_us = sessions.t_us[sessions.offsets[i] : sessions.offsets[i + 1]]
    n = len(t_us)
    if n <= longest:
        return 0, n
    at = 0 if around_ms is None else int(np.searchsorted(t_us, 1000 * around_ms))
    return min(max(at - longest // 3, 0), n - longest), longest


def _step(values: Float64[np.ndarray, " values"], steps: tuple[float, float]) -> float:
    """Return the coarser step where every value is a multiple of it, else the finer one."""
    coarse, fine = steps
    return coarse if (values % coarse == 0).all() else fine


def _differences(values: Float64[np.ndarray, " values"]) -> list[int]:
    """Return whole numbers that add up to `values`: the first, then what is added each time."""
    return np.diff(np.rint(values).astype(np.int64), prepend=0).tolist()
