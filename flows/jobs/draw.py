"""The drawing job: a log or a store in, a contact sheet as PNG out."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from flows.jobs.inputs import each_sessions
from pipeline.errors import ConfigError, DataError, NotFoundError, did_you_mean
from pipeline.logs import NO_COLUMNS
from pipeline.publish import replacing
from pipeline.readers import AUTO
from pipeline.sessions import Sessions, concatenate_sessions
from pipeline.windows import WindowConfig, cut_windows, pad_windows
from rasterize.canvas import Canvas
from rasterize.picture import channel_strip, contact_sheet, draw_images, draw_pictures, stacked


def draw(
    path: Path,
    to: Path,
    session: str | None = None,
    canvas: Canvas = Canvas(),
    window: WindowConfig = WindowConfig(),
    limit: int = 12,
    format: str = AUTO,
    columns: Mapping[str, str] = NO_COLUMNS,
) -> Path:
    """Draw the first window of `limit` sessions, or every window of one, with a legend.

    Of a single session the network's own channels are shown too.
    """
    if limit < 1:
        raise ConfigError("draw", f"limit is {limit}", "1 or more pictures")
    parts = list(each_sessions([path], format, columns))
    if not parts:
        raise DataError(path, "no sessions there", "is it a log, or a store that ingest made?")
    sessions = concatenate_sessions(parts)
    # By name: a recording and the twins made from it stand side by side.
    sessions = sessions.take(np.argsort(sessions.session_id.astype(str), kind="stable"))
    if session is not None:
        sessions = sessions.take(_find(sessions, session, path))
    windows = cut_windows(sessions, window)
    if not len(windows):
        raise DataError(
            path,
            f"nothing to draw: no stretch of {window.min_events} events or more",
            "try --window.min-events 2",
        )
    if session is None:
        windows = windows.take(np.unique(windows.session, return_index=True)[1])
    windows = windows.take(np.arange(len(windows))[:limit])
    points = pad_windows(sessions, windows, window.max_events)
    start_s = sessions.t_us[windows.start] / 1e6
    captions = [
        f"{sessions.session_id[i]} from {s:.1f} s" if session else str(sessions.session_id[i])
        for i, s in zip(windows.session, start_s, strict=True)
    ]
    sheet = contact_sheet(draw_pictures(points, canvas), captions, canvas)
    if session is not None:
        images = draw_images(points, canvas)
        sheet = stacked([sheet, *(channel_strip(image, canvas, 160) for image in images[:1])])
    with replacing(to) as unfinished:
        sheet.save(unfinished, format="PNG")
    return to


def _find(sessions: Sessions, session_id: str, path: Path) -> np.ndarray:
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
