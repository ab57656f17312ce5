"""Sessions and their highest windows in, what the model is given of them out, for a report."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from model.config import RunConfig
from pipeline.sessions import Sessions
from pipeline.standard import standardise
from pipeline.windows import Windows, cut_windows, pad_windows
from rasterize.picture import draw_pictures, picture_uri

_DRAWN_AT_ONCE: Final = 64  # one compiled shape, and little memory


def looks_of(
    sessions: Sessions,
    worst_ms: Float64[np.ndarray, " sessions"],
    config: RunConfig,
    progress: Callable[[int, int], None] = lambda n_done, n_all: None,
) -> dict[str, dict[str, Any]]:
    """Return by session the picture of its highest window, and from when to when that lasted.

    `worst_ms` is where the window starts, as SCORES says; NaN: its first window is drawn. It is
    drawn as the model is given it: standardised, on its canvas.
    """
    is_owner = config.task == "owner"
    standard = standardise(sessions, config.owner.standard if is_owner else config.standard)
    windows = cut_windows(standard.sessions, config.task_window)
    recorded = standard.recorded(windows)
    chosen = _highest(sessions, recorded, worst_ms)
    begin_ms = sessions.t_us[recorded.start[chosen]] // 1000
    end_ms = sessions.t_us[recorded.stop[chosen] - 1] // 1000
    looks: dict[str, dict[str, Any]] = {}
    for start in range(0, len(chosen), _DRAWN_AT_ONCE):
        some = chosen[start : start + _DRAWN_AT_ONCE]
        filled = np.resize(some, _DRAWN_AT_ONCE)
        points = pad_windows(standard.sessions, windows.take(filled), config.task_window.max_events)
        for j, picture in enumerate(draw_pictures(points, config.canvas)[: len(some)]):
            name = str(sessions.session_id[recorded.session[some[j]]])
            looks[name] = {
                "picture": picture_uri(picture),
                "window": [int(begin_ms[start + j]), int(end_ms[start + j])],
            }
        progress(start + len(some), len(chosen))
    return looks


def _highest(
    sessions: Sessions, recorded: Windows, worst_ms: Float64[np.ndarray, " sessions"]
) -> np.ndarray:
    """Return a window for each session that has one: that which starts nearest `worst_ms`."""
    started_ms = sessions.t_us[recorded.start] / 1000
    away_ms = np.abs(started_ms - np.nan_to_num(worst_ms)[recorded.session])
    order = np.lexsort((away_ms, recorded.session))
    return order[np.unique(recorded.session[order], return_index=True)[1]]
