"""Sessions in, what the model is given of them and what raised their score out, for a report."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from jaxtyping import Float32, Float64, Int64

from model.attribution import attribute
from model.config import RunConfig
from model.run import TrainedModel
from pipeline.sessions import Sessions
from pipeline.standard import standardise
from pipeline.windows import Windows, cut_windows, pad_windows
from rasterize.picture import draw_pictures, picture_uri

_DRAWN_AT_ONCE: Final = 64  # one compiled shape, and little memory
_STRETCH_EVENTS: Final = 8  # about as fine as attribution is
_LEAST_WEIGHT: Final = 0.1  # of the heaviest stretch: what weighs less isn't shown


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


def stretches_that_raised(model: TrainedModel, sessions: Sessions) -> dict[str, list[list[float]]]:
    """Return by session the stretches that raised its score: from ms, to ms, weight 0 to 1.

    The heaviest stretch of each session weighs 1, whatever its score.
    """
    weights = attribute(model, sessions)
    found = {}
    for i, name in enumerate(sessions.session_id):
        events = slice(sessions.offsets[i], sessions.offsets[i + 1])
        found[str(name)] = _stretches(weights[events], sessions.t_us[events])
    return found


def _stretches(
    weight: Float32[np.ndarray, " events"], t_us: Int64[np.ndarray, " events"]
) -> list[list[float]]:
    """Return stretches of some events that weigh most, an event's part being what led to it."""
    edges = np.arange(0, len(weight), _STRETCH_EVENTS)
    n_events = np.diff(np.append(edges, len(weight)))
    density = np.add.reduceat(weight, edges) / n_events if len(edges) else np.zeros(0)
    heaviest = density.max(initial=0.0)
    if heaviest <= 0:
        return []
    shown = np.flatnonzero(density >= _LEAST_WEIGHT * heaviest)
    begin_ms = t_us[np.maximum(edges[shown] - 1, 0)] / 1000
    end_ms = t_us[edges[shown] + n_events[shown] - 1] / 1000
    rows = zip(begin_ms, end_ms, density[shown] / heaviest, strict=True)
    return [[float(begin), float(end), round(float(share), 2)] for begin, end, share in rows]


def _highest(
    sessions: Sessions, recorded: Windows, worst_ms: Float64[np.ndarray, " sessions"]
) -> np.ndarray:
    """Return a window for each session that has one: that which starts nearest `worst_ms`."""
    started_ms = sessions.t_us[recorded.start] / 1000
    away_ms = np.abs(started_ms - np.nan_to_num(worst_ms)[recorded.session])
    order = np.lexsort((away_ms, recorded.session))
    return order[np.unique(recorded.session[order], return_index=True)[1]]
