"""The drawing job of `draw --print`: one session's print, or two, beside the path, as PNG."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float32

from flows.jobs.draw import LARGEST_EVENTS, find_session, read_by_name
from model.config import InputConfig, PanelsConfig
from model.prints import session_prints
from model.run import TrainedModel, load_model
from pipeline.config import AS_RECORDED, WindowConfig
from pipeline.errors import ConfigError, DataError
from pipeline.ingest.parse import NO_COLUMNS
from pipeline.readers import AUTO
from pipeline.sessions.resample import resample
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import Points, Windows, pad_windows
from pipeline.storage.paths import StoragePath, as_path
from pipeline.storage.publish import replacing
from rasterize.canvas import Canvas
from rasterize.panels import PANELS
from rasterize.print_picture import SessionPrint, print_sheet

_NAMES: Final = ("A", "B")  # of two sessions on a sheet


def draw_print(
    path: StoragePath,
    to: StoragePath,
    session_ids: Sequence[str] = (),
    canvas: Canvas = Canvas(),
    window: WindowConfig = WindowConfig(),
    format: str = AUTO,
    columns: Mapping[str, str] = NO_COLUMNS,
    run: StoragePath | None = None,
) -> StoragePath:
    """Draw the path and the print of one session, or of two to compare.

    Without a RUN there are all panels, of the session as it was recorded. With one, there are those
    that its model sees, as it sees them, and the difference to the print of the session's account
    (owner task, if it is enrolled) or of the people the model was trained on.
    """
    path, to = as_path(path), as_path(to)
    model = None if run is None else load_model(run)
    inputs = _as_recorded(window) if model is None else model.scorer.inputs
    sessions = _chosen(read_by_name(path, format, columns), session_ids, path)
    drawn = _session_prints(sessions, inputs, model, path)
    view = canvas if model is None else model.config.canvas
    sheet = print_sheet(drawn, inputs.panels.panels, view)
    with replacing(to) as unfinished:
        sheet.save(unfinished, format="PNG")
    return to


def _as_recorded(window: WindowConfig) -> InputConfig:
    """Return settings with which a print has every panel, and nothing is taken from a session."""
    return InputConfig(AS_RECORDED, window, PanelsConfig(names=tuple(PANELS)))


def _chosen(sessions: Sessions, session_ids: Sequence[str], path: StoragePath) -> Sessions:
    """Return the sessions of these ids, in their order, or the only one there is."""
    if len(session_ids) > len(_NAMES):
        found = f"{len(session_ids)} sessions, and --print compares two at most"
        raise ConfigError("draw", found, "name one or two with --session")
    if session_ids:
        return sessions.take(np.array([find_session(sessions, i, path)[0] for i in session_ids]))
    if len(sessions) > 1:
        some = ", ".join(sessions.session_id[:3])
        found = f"{len(sessions):,} sessions, and --print draws one or two"
        raise ConfigError(path, found, f"say which with --session, such as {some}")
    return sessions


def _session_prints(
    sessions: Sessions, inputs: InputConfig, model: TrainedModel | None, path: StoragePath
) -> list[SessionPrint]:
    """Return what is drawn of each session, with its reference where a model has one."""
    resampled = resample(sessions, inputs.resample).sessions
    prints = session_prints(inputs, sessions)
    is_empty = prints.n_windows == 0
    if is_empty.any():
        few = f"{inputs.window.min_events} events or more"
        found = f"nothing to draw of {sessions.session_id[is_empty][0]!r}: no window of {few}"
        raise DataError(path, found, "try --window.min-events 2" if model is None else "")
    drawn = []
    for i, session_id in enumerate(sessions.session_id):
        reference, whose = (None, "") if model is None else _reference(model, sessions, i)
        account = sessions.account_id[i]
        drawn.append(
            SessionPrint(
                name=_NAMES[i] if len(sessions) > 1 else "session",
                caption=f"{session_id} (account {account})" if account else str(session_id),
                detail=_length_words(sessions, i),
                points=_whole(resampled, i),
                counts=prints.counts[i],
                reference=reference,
                reference_name=whose,
            )
        )
    return drawn


def _length_words(sessions: Sessions, i: int) -> str:
    """Return how many events a session has, in how long."""
    t_us = sessions.t_us[sessions.offsets[i] : sessions.offsets[i + 1]]
    return f"{len(t_us):,} events in {(t_us[-1] - t_us[0]) / 1e6:,.0f} s"


def _reference(
    model: TrainedModel, sessions: Sessions, i: int
) -> tuple[Float32[np.ndarray, "cells cells panels"] | None, str]:
    """Return the counts that a session is compared with, and whose they are."""
    found, whose = model.scorer.reference_print(sessions.account_id[i], model.people)
    if found is None:
        found, whose = model.people, "people"
    return (None, "") if found is None else (found.counts[0], whose)


def _whole(sessions: Sessions, i: int) -> Points:
    """Return a session's path as one window; what follows a great many events is left out."""
    start = int(sessions.offsets[i])
    n_events = min(int(sessions.n_events[i]), LARGEST_EVENTS)
    window = Windows(np.array([i]), np.array([start]), np.array([start + n_events]))
    return pad_windows(sessions, window, n_events)
