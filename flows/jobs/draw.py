"""Draw sessions to PNG: their paths on a contact sheet, one large picture, or their prints."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float32, Float64

from flows.jobs.inputs import each_sessions
from model.attribution import attribute_seen
from model.config import InputConfig, PanelsConfig
from model.prints import session_prints
from model.run import TrainedModel, input_config, load_config, load_model
from pipeline.config import AS_RECORDED, WindowConfig
from pipeline.errors import ConfigError, DataError, NotFoundError, did_you_mean
from pipeline.readers import AUTO
from pipeline.scores.partitions import read_partition
from pipeline.sessions.resample import resample
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from pipeline.sessions.windows import Points, Windows, cut_windows, pad_windows
from pipeline.storage.paths import StoragePath, as_path
from pipeline.storage.publish import replacing
from rasterize.canvas import Canvas
from rasterize.panels import PANELS
from rasterize.picture import (
    ENLARGED,
    contact_sheet,
    draw_overlays,
    draw_pictures,
    stacked,
    weight_legend,
)
from rasterize.print_picture import SessionPrint, print_sheet

LARGE: Final = 16  # pixels a cell: 1,024 a side with the default canvas
LARGEST_EVENTS: Final = 32_768  # of a session drawn as a whole: what follows is left out
_SAMPLES_A_CELL: Final = 16  # a whole session's path is long: so many times a window's spots
_NAMES: Final = ("A", "B")  # of two sessions on a sheet of prints
_COLUMNS: Final = [
    *("session_id", "account_id", "fraud_score", "band", "is_flagged", "reasons"),
    *("n_events", "worst_window_ms"),
]


@dataclass(frozen=True)
class DrawJob:
    """Which sessions to draw, and how.

    Attributes:
        source: A store, or a raw log.
        to: The PNG.
        session_ids: Only these; of one, every window is drawn. None: all sessions.
        format: Format of a raw log.
        columns: The log's names of columns, by ours.
        limit: Pictures on the sheet, at most.
        model: A RUN: draw as its model sees the sessions, with what raised the score.
        large: Draw one session whole, in one picture.
        canvas: What a path is drawn on, without a model.
        window: How sessions are cut, without a model.
    """

    source: StoragePath
    to: StoragePath
    session_ids: Sequence[str] = ()
    format: str = AUTO
    columns: Mapping[str, str] = field(default_factory=dict)
    limit: int = 12
    model: StoragePath | None = None
    large: bool = False
    canvas: Canvas = field(default_factory=Canvas)
    window: WindowConfig = field(default_factory=WindowConfig)

    def sessions(self) -> Sessions:
        """Return the sessions by name, so that a recording and its bots are side by side."""
        found = list(each_sessions([as_path(self.source)], self.format, self.columns))
        if not found:
            hint = "is it a log, or a store that ingest made?"
            raise DataError(self.source, "no sessions there", hint)
        sessions = concatenate_sessions(found)
        sessions = sessions.take(np.argsort(sessions.session_id.astype(str), kind="stable"))
        if not self.session_ids:
            return sessions
        return sessions.take(
            np.array([_find_session(sessions, name, self.source) for name in self.session_ids])
        )


def draw_paths(job: DrawJob) -> StoragePath:
    """Draw the first window of `limit` sessions, or every window of one, with a legend.

    `large` draws a session whole, in one picture. With a model, paths are as it sees them, each
    beside what raised its score.
    """
    if job.limit < 1:
        raise ConfigError("draw", f"limit is {job.limit}", "1 or more pictures")
    if len(job.session_ids) > 1:
        found = f"{len(job.session_ids)} sessions"
        raise ConfigError("draw", found, "--print compares two; else name one")
    to, sessions, is_single = as_path(job.to), job.sessions(), len(job.session_ids) == 1
    if job.large and len(sessions) > 1:
        found = f"{len(sessions):,} sessions, and --large draws one"
        raise ConfigError(job.source, found, "say which with --session")
    if not job.large and not is_single and job.model is not None:
        sessions = sessions.take(np.arange(len(sessions))[: 4 * job.limit])  # weights take time
    seen = _seen(sessions, job)
    if not len(seen.windows):
        raise _nothing_to_draw(job.source, sessions, job.window.min_events)
    seen = _as_one_window(seen) if job.large else _first(seen, not is_single, job.limit)
    with replacing(to) as unfinished:
        _save(seen, LARGE if job.large else ENLARGED, is_single, unfinished)
    return to


class _Seen(NamedTuple):
    """What is drawn: sessions, windows of them, and what their events weigh, if that is known."""

    sessions: Sessions
    windows: Windows
    canvas: Canvas
    weight: Float64[np.ndarray, " events"] | None
    n_points: int


def _seen(sessions: Sessions, job: DrawJob) -> _Seen:
    """Return sessions as they were recorded, or as a model sees and weighs them."""
    if job.model is None:
        windows = cut_windows(sessions, job.window)
        return _Seen(sessions, windows, job.canvas, None, job.window.max_events)
    model = load_model(job.model)
    resampled, windows, _, weight = attribute_seen(model, sessions)
    n_points = int((windows.stop - windows.start).max(initial=2))
    return _Seen(resampled.sessions, windows, model.config.canvas, weight, n_points)


def _first(seen: _Seen, one_each: bool, limit: int) -> _Seen:
    """Return the first windows, or the first one of each session."""
    windows = seen.windows
    if one_each:
        windows = windows.take(np.unique(windows.session, return_index=True)[1])
    return seen._replace(windows=windows.take(np.arange(len(windows))[:limit]))


def _as_one_window(seen: _Seen) -> _Seen:
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


def _find_session(sessions: Sessions, session_id: str, path: StoragePath) -> int:
    """Return where a session is, or raise with the nearest names."""
    found = np.flatnonzero(sessions.session_id == session_id)
    if not len(found):
        near = did_you_mean(session_id, sessions.session_id, 3)
        raise NotFoundError(
            path,
            f"no session {session_id!r} among {len(sessions):,}",
            f"did you mean {', '.join(near)}?" if near else "",
        )
    return int(found[0])


def draw_prints(job: DrawJob) -> StoragePath:
    """Draw the path and the print of one session, or of two to compare.

    Without a model there are all panels, of the session as it was recorded. With one, there are
    those that it sees, as it sees them, and the difference to the print of the session's account
    (owner task, if it is enrolled) or of the people the model was trained on.
    """
    to = as_path(job.to)
    if len(job.session_ids) > len(_NAMES):
        found = f"{len(job.session_ids)} sessions, and --print compares two at most"
        raise ConfigError("draw", found, "name one or two with --session")
    model = None if job.model is None else load_model(job.model)
    inputs = _as_recorded(job.window) if model is None else model.scorer.inputs
    sessions = job.sessions()
    if not job.session_ids and len(sessions) > 1:
        some = ", ".join(sessions.session_id[:3])
        found = f"{len(sessions):,} sessions, and --print draws one or two"
        raise ConfigError(job.source, found, f"say which with --session, such as {some}")
    drawn = _session_prints(sessions, inputs, model, job.source)
    view = job.canvas if model is None else model.config.canvas
    sheet = print_sheet(drawn, inputs.panels.panels, view)
    with replacing(to) as unfinished:
        sheet.save(unfinished, format="PNG")
    return to


def _as_recorded(window: WindowConfig) -> InputConfig:
    """Return settings with which a print has every panel, and nothing is taken from a session."""
    return InputConfig(AS_RECORDED, window, PanelsConfig(names=tuple(PANELS)))


def _nothing_to_draw(
    source: StoragePath, sessions: Sessions, fewest: int, can_change: bool = True
) -> DataError:
    """Return the error that says why there is no picture of these sessions."""
    named = f"nothing to draw of {sessions.session_id[0]!r}" if len(sessions) else "nothing to draw"
    if not sessions.n_events.any():
        return DataError(source, f"{named}: no event of the pointer", "score says `no_events`")
    hint = "try --window.min-events 2" if can_change else ""
    return DataError(source, f"{named}: no window of {fewest} events or more", hint)


def _session_prints(
    sessions: Sessions, inputs: InputConfig, model: TrainedModel | None, path: StoragePath
) -> list[SessionPrint]:
    """Return what is drawn of each session, with its reference where a model has one."""
    resampled = resample(sessions, inputs.resample).sessions
    prints = session_prints(inputs, sessions)
    is_empty = prints.n_windows == 0
    if is_empty.any():
        none = sessions.take(is_empty)
        raise _nothing_to_draw(path, none, inputs.window.min_events, can_change=model is None)
    drawn = []
    for i, session_id in enumerate(sessions.session_id):
        reference, whose = (None, "") if model is None else _reference(model, sessions, i)
        account = sessions.account_id[i]
        drawn.append(
            SessionPrint(
                name=_NAMES[i] if len(sessions) > 1 else "session",
                caption=f"{session_id} (account {account})" if account else str(session_id),
                detail=_length_words(sessions, i),
                points=_whole_path(resampled, i),
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


def _whole_path(sessions: Sessions, i: int) -> Points:
    """Return a session's path as one window; what follows a great many events is left out."""
    start = int(sessions.offsets[i])
    n_events = min(int(sessions.n_events[i]), LARGEST_EVENTS)
    window = Windows(np.array([i]), np.array([start]), np.array([start + n_events]))
    return pad_windows(sessions, window, n_events)


def top_scores(partition: StoragePath, n: int = 20) -> pd.DataFrame:
    """Return the rows of a partition with the highest scores, highest first."""
    rows = read_partition(partition).select(_COLUMNS).to_pandas().dropna(subset="fraud_score")
    return rows.sort_values("fraud_score", ascending=False, kind="stable").head(n)


def top_sheet(
    partition: StoragePath,
    sources: Sequence[StoragePath],
    run: StoragePath,
    to: StoragePath,
    n: int = 12,
) -> StoragePath | None:
    """Draw the highest window of each of the `n` highest scores; None: there is nothing to draw."""
    top = top_scores(partition, n)
    sessions = _find(each_sessions(sources), top["session_id"].tolist())
    if sessions is None:
        return None
    config = load_config(run)
    window = input_config(config).window
    windows = cut_windows(sessions, window)
    start_ms = sessions.t_us[windows.start] // 1000
    worst_ms = top.set_index("session_id")["worst_window_ms"].to_dict()
    wanted_ms = np.array([worst_ms[name] for name in sessions.session_id], np.int64)
    # The nearest start: the network's windows are of the resampled session.
    far_ms = np.abs(start_ms - wanted_ms[windows.session])
    order = np.lexsort((far_ms, windows.session))
    windows = windows.take(order[np.unique(windows.session[order], return_index=True)[1]])
    if not len(windows):
        return None
    points = pad_windows(sessions, windows, window.max_events)
    score = top.set_index("session_id")["fraud_score"]
    captions = [
        f"{score[sessions.session_id[i]]:.3f} {sessions.session_id[i]}" for i in windows.session
    ]
    sheet = contact_sheet(draw_pictures(points, config.canvas), captions, config.canvas)
    with replacing(to) as unfinished:
        sheet.save(unfinished, format="PNG")
    return to


def _find(groups: Iterator[Sessions], names: Sequence[str]) -> Sessions | None:
    """Return the sessions of these names, in their order; None: none is there."""
    found = []
    for sessions in groups:
        is_wanted = np.isin(sessions.session_id.astype(str), names)
        found += [sessions.take(is_wanted)] if is_wanted.any() else []
    if not found:
        return None
    sessions = concatenate_sessions(found)
    rank = {name: i for i, name in enumerate(names)}
    return sessions.take(np.argsort([rank[name] for name in sessions.session_id]))
