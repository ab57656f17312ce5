"""Draw what a report shows of each case: its path, its print, and what raised its score."""

from collections.abc import Generator, Mapping
from functools import partial
from typing import Any, Final

import jax
import numpy as np
from jaxtyping import Float32, Float64, Int64

from model.attribution import Attribution
from model.batches import map_windows
from model.config import InputConfig, PanelsConfig
from model.prints import Prints, input_windows
from model.run import TrainedModel
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import Windows, pad_windows
from rasterize.canvas import Canvas
from rasterize.draw import density, draw_counts, nearest_cells
from rasterize.motion import Paths
from rasterize.picture import draw_pictures, picture_uri
from rasterize.print_json import cells_json, print_json, raised_json

_DRAWN_AT_ONCE: Final = 64  # one compiled shape, and little memory
_RUN_EVENTS: Final = 8  # events that are highlighted together on the path
N_RANKED: Final = 5  # runs of a session that are named, the heaviest first


def highest_windows(
    sessions: Sessions,
    worst_ms: Float64[np.ndarray, " sessions"],
    inputs: InputConfig,
    canvas: Canvas,
) -> Generator[tuple[int, int], None, dict[str, dict[str, Any]]]:
    """Return by session the picture of its highest window, and from when to when that lasted.

    `worst_ms` is where the window starts, as SCORES says; NaN: its first window is drawn. It is
    drawn as the model is given it. Yield how many are drawn, and of how many.
    """
    resampled, windows = input_windows(inputs, sessions)
    recorded = resampled.recorded(windows)
    chosen = _nearest(sessions, recorded, worst_ms)
    begin_ms = sessions.t_us[recorded.start[chosen]] // 1000
    end_ms = sessions.t_us[recorded.stop[chosen] - 1] // 1000
    views: dict[str, dict[str, Any]] = {}
    for start in range(0, len(chosen), _DRAWN_AT_ONCE):
        some = chosen[start : start + _DRAWN_AT_ONCE]
        filled = np.resize(some, _DRAWN_AT_ONCE)
        points = pad_windows(resampled.sessions, windows.take(filled), inputs.window.max_events)
        for j, picture in enumerate(draw_pictures(points, canvas)[: len(some)]):
            name = str(sessions.session_id[recorded.session[some[j]]])
            views[name] = {
                "picture": picture_uri(picture),
                "window": [int(begin_ms[start + j]), int(end_ms[start + j])],
            }
        yield start + len(some), len(chosen)
    return views


def case_prints(
    inputs: InputConfig,
    sessions: Sessions,
    model: TrainedModel | None,
    weights: Mapping[str, Float32[np.ndarray, "cells cells panels"]],
    shown: Mapping[str, tuple[int, int]],
) -> dict[str, dict[str, Any]]:
    """Return by session its print, the account's, what raised the score, and each event's cells.

    `shown` says from which event on, and how many, a page shows of a session's path.
    """
    prints, cell = _print_and_cells(inputs, sessions)
    images = prints.mean_images
    found = {}
    for i, name in enumerate(map(str, sessions.session_id)):
        if not prints.n_windows[i]:
            continue
        account = None
        if model is not None:
            account, _ = model.scorer.reference_print(sessions.account_id[i], None)
        first, n = shown[name]
        first += int(sessions.offsets[i])
        found[name] = {
            "own": print_json(images[i]),
            "account": None if account is None else print_json(account.mean_images[0]),
            "raised": raised_json(weights[name]) if name in weights else None,
            "cell_of": cells_json(cell[:, first : first + n]),
        }
    return found


def raised_by_session(attribution: Attribution, sessions: Sessions) -> dict[str, list[list[float]]]:
    """Return by session the runs of events that raised its score most, the heaviest first.

    A run is from ms, to ms, and its share of all that events raised the score by, 0 to 1.
    """
    found = {}
    for i, name in enumerate(sessions.session_id):
        events = slice(sessions.offsets[i], sessions.offsets[i + 1])
        found[str(name)] = _runs(attribution.events[events], sessions.t_us[events])
    return found


def _print_and_cells(
    inputs: InputConfig, sessions: Sessions
) -> tuple[Prints, Int64[np.ndarray, "panels events"]]:
    """Return the print of each session, and the cell of each recorded event in each panel.

    An event that the plain recorder left out lies in none: -1.
    """
    panels = inputs.panels
    resampled, windows = input_windows(inputs, sessions)
    n_windows = np.bincount(windows.session, minlength=len(sessions)).astype(np.int64)
    counts, images = np.zeros((2, len(sessions), *panels.shape), np.float32)
    cell = np.full((len(panels.names), len(sessions.t_us)), -1, np.int64)
    compiled, n_points = partial(_counts_and_cells, panels), inputs.window.max_events
    for chosen, (of_counts, of_cells) in map_windows(
        lambda paths, _: compiled(paths), resampled.sessions, windows, n_points
    ):
        np.add.at(counts, windows.session[chosen], of_counts)
        np.add.at(images, windows.session[chosen], density(of_counts))
        length = np.minimum(windows.stop[chosen] - windows.start[chosen], n_points)
        for row, begin, n in zip(of_cells, windows.start[chosen], length, strict=True):
            cell[:, resampled.event[begin : begin + n]] = row[:, :n]
    return Prints(counts, images, n_windows), cell


@partial(jax.jit, static_argnums=0)
def _counts_and_cells(panels: PanelsConfig, paths: Paths) -> tuple[jax.Array, jax.Array]:
    counts = draw_counts(paths, panels.panels, panels.cells)
    return counts, nearest_cells(paths, panels.panels, panels.cells)


def _runs(
    weight: Float32[np.ndarray, " events"], t_us: Int64[np.ndarray, " events"]
) -> list[list[float]]:
    """Return the runs of some events that weigh most, an event's part being what led to it."""
    edges = np.arange(0, len(weight), _RUN_EVENTS)
    n_events = np.diff(np.append(edges, len(weight)))
    raised = np.maximum(np.add.reduceat(weight, edges), 0) if len(edges) else np.zeros(0)
    heaviest = np.argsort(-raised, kind="stable")[:N_RANKED]
    shown = heaviest[raised[heaviest] > 0]
    begin_ms = t_us[np.maximum(edges[shown] - 1, 0)] / 1000
    end_ms = t_us[edges[shown] + n_events[shown] - 1] / 1000
    rows = zip(begin_ms, end_ms, raised[shown] / max(raised.sum(), 1e-12), strict=True)
    return [[float(begin), float(end), round(float(share), 3)] for begin, end, share in rows]


def _nearest(
    sessions: Sessions, recorded: Windows, worst_ms: Float64[np.ndarray, " sessions"]
) -> np.ndarray:
    """Return a window for each session that has one: that which starts nearest `worst_ms`."""
    started_ms = sessions.t_us[recorded.start] / 1000
    away_ms = np.abs(started_ms - np.nan_to_num(worst_ms)[recorded.session])
    order = np.lexsort((away_ms, recorded.session))
    return order[np.unique(recorded.session[order], return_index=True)[1]]
