"""Cut sessions into windows, each short enough to be one image.

A window is two offsets into the sessions' events; nothing is copied until `pad_windows`
lays a batch of them out as points of one shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float32, Int8, Int32, Int64, Shaped

from pipeline.config import WindowConfig
from pipeline.sessions.sessions import Sessions


@dataclass(frozen=True)
class Windows:
    """Window `i` is events `start[i]:stop[i]` of session `session[i]`; in order of start."""

    session: Int64[np.ndarray, " windows"]
    start: Int64[np.ndarray, " windows"]
    stop: Int64[np.ndarray, " windows"]

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.session)

    def take(self, indices: Shaped[np.ndarray, " chosen"]) -> "Windows":
        """Return the windows at `indices`."""
        return Windows(self.session[indices], self.start[indices], self.stop[indices])


@dataclass(frozen=True)
class Points:
    """A batch of windows laid out as arrays of one shape, ready for the device.

    Places behind a window's last event repeat that event and are not counted in `n_points`.
    """

    t_ms: Float32[np.ndarray, "windows points"]  # since the window's first event
    x_px: Float32[np.ndarray, "windows points"]
    y_px: Float32[np.ndarray, "windows points"]
    kind: Int8[np.ndarray, "windows points"]
    n_points: Int32[np.ndarray, " windows"]

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.n_points)

    def take(self, indices: Shaped[np.ndarray, " chosen"]) -> "Points":
        """Return the windows at `indices`."""
        return Points(
            **{field.name: getattr(self, field.name)[indices] for field in fields(Points)}
        )


def concatenate_points(parts: Sequence[Points]) -> Points:
    """Put several batches of one shape end to end."""
    names = [field.name for field in fields(Points)]
    return Points(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )


def cut_windows(sessions: Sessions, config: WindowConfig = WindowConfig()) -> Windows:
    """Cut every session by `config`; windows that are too short are left out."""
    n = int(sessions.offsets[-1])
    is_start = np.zeros(n, bool)
    is_start[sessions.offsets[:-1][sessions.n_events > 0]] = True
    if config.rule in ("gap", "both"):
        is_start[1:] |= np.diff(sessions.t_us) > config.gap_ms * 1000
    start = np.flatnonzero(is_start)
    if config.rule in ("moves", "both"):
        start = _split_long(start, n, config.max_events)
    stop = np.append(start[1:], n)[: len(start)]
    if config.rule == "gap":  # no limit on events: the picture shows the first `max_events`
        stop = np.minimum(stop, start + config.max_events)
    session = np.searchsorted(sessions.offsets, start, side="right") - 1
    return Windows(session, start, stop).take(stop - start >= config.min_events)


def _split_long(
    start: Int64[np.ndarray, " pieces"], n_events: int, longest: int
) -> Int64[np.ndarray, " windows"]:
    """Split pieces of more than `longest` events into equal parts, give all starts.

    Equal parts rather than full ones and a rest: no piece ends in a crumb.
    """
    length = np.diff(np.append(start, n_events))
    parts = -(-length // longest)
    part = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    return np.repeat(start, parts) + part * np.repeat(length, parts) // np.repeat(parts, parts)


def subsample_windows(windows: Windows, at_most: int) -> Windows:
    """Keep at most so many windows of each session, spread evenly over it."""
    n = np.bincount(windows.session)
    begin = np.cumsum(n) - n
    rank = np.arange(len(windows)) - begin[windows.session]
    kept = np.minimum(n, at_most)[windows.session]
    return windows.take(
        (rank * kept) // n[windows.session] != ((rank - 1) * kept) // n[windows.session]
    )


def pad_windows(sessions: Sessions, windows: Windows, n_points: int) -> Points:
    """Lay `windows` out as `n_points` places each; what is longer is cut at the end."""
    length = np.minimum(windows.stop - windows.start, n_points)
    place = np.minimum(np.arange(n_points), length[:, None] - 1)
    event = windows.start[:, None] + place
    since_us = sessions.t_us[event] - sessions.t_us[windows.start][:, None]
    return Points(
        t_ms=(since_us / 1000).astype(np.float32),
        x_px=sessions.x_px[event],
        y_px=sessions.y_px[event],
        kind=sessions.kind[event],
        n_points=length.astype(np.int32),
    )
