"""The drawing job: sessions of a log or a store as a contact sheet or one large picture, PNG."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float64

from flows.jobs.inputs import each_sessions
from model.attribution import attribute_seen
from model.run import TrainedModel, load_model
from pipeline.config import WindowConfig
from pipeline.errors import ConfigError, DataError, NotFoundError, did_you_mean
from pipeline.ingest.parse import NO_COLUMNS
from pipeline.readers import AUTO
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from pipeline.sessions.windows import Windows, cut_windows, pad_windows
from pipeline.storage.paths import StoragePath, as_path
from pipeline.storage.publish import replacing
from rasterize.canvas import Canvas
from rasterize.picture import (
    ENLARGED,
    contact_sheet,
    draw_overlays,
    draw_pictures,
    stacked,
    weight_legend,
)

LARGE: Final = 16  # pixels a cell: 1,024 a side with the default canvas
LARGEST_EVENTS: Final = 32_768  # of a session drawn as a whole: what follows is left out
_SAMPLES_A_CELL: Final = 16  # a whole session's path is long: so many times a window's spots


class _Seen(NamedTuple):
    """What is drawn: sessions, windows of them, and what their events weigh, if that is known."""

    sessions: Sessions
    windows: Windows
    canvas: Canvas
    weight: Float64[np.ndarray, " events"] | None
    n_points: int


def draw(
    path: StoragePath,
    to: StoragePath,
    session: str | None = None,
    canvas: Canvas = Canvas(),
    window: WindowConfig = WindowConfig(),
    limit: int = 12,
    format: str = AUTO,
    columns: Mapping[str, str] = NO_COLUMNS,
    run: StoragePath | None = None,
    large: bool = False,
) -> StoragePath:
    """Draw the first window of `limit` sessions, or every window of one, with a legend.

    `large` draws a session whole, in one picture. With a RUN, paths are as its model sees them,
    each beside what raised its score.
    """
    path, to = as_path(path), as_path(to)
    if limit < 1:
        raise ConfigError("draw", f"limit is {limit}", "1 or more pictures")
    sessions = read_by_name(path, format, columns)
    if session is not None:
        sessions = sessions.take(find_session(sessions, session, path))
    if large:
        sessions = _single(sessions, path)
    elif session is None and run is not None:
        sessions = sessions.take(np.arange(len(sessions))[: 4 * limit])  # weights take time
    seen = _seen(sessions, canvas, window, run)
    if not len(seen.windows):
        raise DataError(
            path,
            f"nothing to draw: no window of {window.min_events} events or more",
            "try --window.min-events 2",
        )
    seen = _whole(seen) if large else _first(seen, session is None, limit)
    with replacing(to) as unfinished:
        _save(seen, LARGE if large else ENLARGED, session is not None, unfinished)
    return to


def read_by_name(path: StoragePath, format: str, columns: Mapping[str, str]) -> Sessions:
    """Return the sessions of a path by name: a recording and its bots stand side by side."""
    parts = list(each_sessions([path], format, columns))
    if not parts:
        raise DataError(path, "no sessions there", "is it a log, or a store that ingest made?")
    sessions = concatenate_sessions(parts)
    return sessions.take(np.argsort(sessions.session_id.astype(str), kind="stable"))


def _single(sessions: Sessions, path: StoragePath) -> Sessions:
    """Return the one session, or raise: a large picture is of one."""
    if len(sessions) > 1:
        raise ConfigError(
            path, f"{len(sessions):,} sessions, and --large draws one", "say which with --session"
        )
    return sessions


def _seen(
    sessions: Sessions, canvas: Canvas, window: WindowConfig, run: StoragePath | None
) -> _Seen:
    """Return sessions as they came, or as the model of a RUN sees and weighs them."""
    if run is None:
        return _Seen(sessions, cut_windows(sessions, window), canvas, None, window.max_events)
    model = load_model(run)
    seen, windows, weight = _weighed(model, sessions)
    n_points = int((windows.stop - windows.start).max(initial=2))
    return _Seen(seen, windows, model.config.canvas, weight, n_points)


def _weighed(
    model: TrainedModel, sessions: Sessions
) -> tuple[Sessions, Windows, Float64[np.ndarray, " events"]]:
    """Return sessions and windows as a model sees them, and what each event weighs in its score."""
    standard, windows, _, weight = attribute_seen(model, sessions)
    return standard.sessions, windows, weight


def _first(seen: _Seen, one_each: bool, limit: int) -> _Seen:
    """Return the first windows, or the first one of each session."""
    windows = seen.windows
    if one_each:
        windows = windows.take(np.unique(windows.session, return_index=True)[1])
    return seen._replace(windows=windows.take(np.arange(len(windows))[:limit]))


def _whole(seen: _Seen) -> _Seen:
    """Return the session as one window that fills its picture."""
    n_events = min(int(seen.sessions.n_events[0]), LARGEST_EVENTS)
    n_samples = seen.canvas.n_samples * _SAMPLES_A_CELL
    canvas = replace(seen.canvas, placement="box", n_samples=n_samples)
    whole = Windows(np.array([0]), np.array([0]), np.array([n_events]))
    return seen._replace(windows=whole, canvas=canvas, n_points=n_events)


def _save(seen: _Seen, enlarged: int, of_one: bool, path: Path) -> None:
    """Write the pictures with captions and legend, each beside its weights if these are known."""
    sessions, windows = seen.sessions, seen.windows
    points = pad_windows(sessions, windows, seen.n_points)
    start_s = sessions.t_us[windows.start] / 1e6
    captions = [
        f"{sessions.session_id[i]} from {s:.1f} s" if of_one else str(sessions.session_id[i])
        for i, s in zip(windows.session, start_s, strict=True)
    ]
    pictures = draw_pictures(points, seen.canvas, enlarged)
    parts = [contact_sheet(pictures, captions, seen.canvas)]
    if seen.weight is not None:
        at = windows.start[:, None] + np.arange(points.t_ms.shape[1])
        weights = seen.weight[np.minimum(at, windows.stop[:, None] - 1)]
        largest = float(np.quantile(np.abs(weights), 0.98))  # one odd event dims no other
        overlays = draw_overlays(points, weights, seen.canvas, largest, enlarged)
        pairs = [picture for pair in zip(pictures, overlays, strict=True) for picture in pair]
        both = [words for caption in captions for words in (caption, "what raised or lowered it")]
        sheet = contact_sheet(pairs, both, seen.canvas)
        parts = [sheet, weight_legend(sheet.width, largest)]
    stacked(parts).save(path, format="PNG")


def find_session(sessions: Sessions, session_id: str, path: StoragePath) -> np.ndarray:
    """Return where a session is, or raise with the nearest names."""
    found = np.flatnonzero(sessions.session_id == session_id)
    if not len(found):
        near = did_you_mean(session_id, sessions.session_id, 3)
        raise NotFoundError(
            path,
            f"no session {session_id!r} among {len(sessions):,}",
            f"did you mean {', '.join(near)}?" if near else "",
        )
    return found
