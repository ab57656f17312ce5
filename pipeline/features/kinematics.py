"""Kinematic features of windows: how fast, how straight, how smooth the pointer moves.

They are the baseline beside the network. `MOTION_FEATURES` come from the way of moving,
`CLOCK_FEATURES` and `SCREEN_FEATURES` mostly from the recorder: an audit keeps them apart.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float32, Float64

from pipeline.config import WindowConfig
from pipeline.features.intervals import PAUSE_MS, Intervals, window_rows
from pipeline.features.quantities import (
    direction_rad,
    elapsed_ms,
    is_jump,
    speed_px_s,
    step_px,
    turn_rad,
)
from pipeline.sessions.ragged import Grouping, ratio
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import Windows, cut_windows

_NO_TURN_RAD = 0.01
_COMPASS = ("right", "down_right", "down", "down_left", "left", "up_left", "up", "up_right")

_MOTION = {
    "straightness": "distance from the first to the last position / length of the path",
    "deviation": "largest distance from the line through both / length of the path",
    "speed_mean_px_s": "length of the path / duration",
    "speed_median_px_s": "median speed of the segments",
    "speed_std_px_s": "standard deviation of the segments' speeds",
    "speed_max_px_s": "highest speed of a segment",
    "speed_cv": "standard deviation of the segments' speeds / their mean",
    "speed_peak_position": "when the highest speed comes: share of the duration (0 to 1)",
    "speed_autocorrelation": "of a segment's speed with the next one's (-1 to 1)",
    "speed_peaks_per_s": "submovements: local maxima of speed above its mean, a second",
    "acceleration_mean_px_s2": "mean absolute change of speed a second",
    "jerk_mean_px_s3": "mean absolute change of acceleration a second",
    "turn_mean_rad": "mean absolute turn from one moving segment to the next",
    "turn_std_rad": "standard deviation of these turns, left negative and right positive",
    "turn_autocorrelation": "of a turn with the next one (-1 to 1)",
    "curvature_mean_rad_px": "sum of the absolute turns / length of the path",
    "no_turn_share": "share of the turns below 0.01 rad",
    "reversal_share": "share of the turns above a right angle",
    "axis_aligned_share": "share of the moving segments exactly along x or y",
    "direction_entropy_bits": "entropy of the eight shares below (0 one direction, 3 all alike)",
    **{f"direction_{name}": f"share of the path's length that leads {name}" for name in _COMPASS},
    "step_median_px": "median length of the moving segments",
    "step_std_px": "standard deviation of the moving segments' lengths",
    "repeated_share": "share of the segments that do not move",
    "pause_share": "share of the duration in segments of more than 100 ms",
}
_CLOCK = {
    "interval_median_ms": "median time between events",
    "interval_std_ms": "standard deviation of the times between events",
    "interval_modal_share": "share of the commonest time between events, in whole ms",
}
_SCREEN = {
    "x_max_px": "rightmost position",
    "y_max_px": "lowest position",
}
FEATURES: Final[dict[str, str]] = {**_MOTION, **_CLOCK, **_SCREEN}
"""What each feature is, by name; the unit is the end of the name."""
MOTION_FEATURES: Final[tuple[str, ...]] = tuple(_MOTION)
CLOCK_FEATURES: Final[tuple[str, ...]] = tuple(_CLOCK)
SCREEN_FEATURES: Final[tuple[str, ...]] = tuple(_SCREEN)
KINEMATIC_FEATURES: Final[tuple[str, ...]] = tuple(FEATURES)


def kinematic_features(
    sessions: Sessions, windows: Windows
) -> Float32[np.ndarray, "windows features"]:
    """Return `KINEMATIC_FEATURES` of each window; what isn't defined is 0, never NaN."""
    segments = _cut_segments(sessions, windows)
    columns = {
        **_shape(segments),
        **_speed(segments),
        **_turns(segments),
        **_directions(segments),
        **_clock(segments),
        **_screen(sessions, windows),
    }
    return np.stack([columns[name] for name in KINEMATIC_FEATURES], axis=1).astype(np.float32)


def session_features(
    sessions: Sessions, windows: Windows
) -> Float32[np.ndarray, "sessions features"]:
    """Return the mean of each session's windows; NaN where it has none: leave those out."""
    features = kinematic_features(sessions, windows).astype(np.float64)
    of_session = Grouping(windows.session, len(sessions))
    mean = np.stack([of_session.mean(column) for column in features.T], axis=1)
    mean[of_session.count() == 0] = np.nan
    return mean.astype(np.float32)


@dataclass(frozen=True)
class _Segments:
    """The segments of all windows end to end, y downwards."""

    intervals: Intervals
    step: np.ndarray  # complex, x + iy in px

    @property
    def groups(self) -> Grouping:
        """Return the segments grouped by window."""
        return self.intervals.groups

    @cached_property
    def interval_s(self) -> Float64[np.ndarray, " segments"]:
        return self.intervals.us / 1e6

    @cached_property
    def length_px(self) -> Float64[np.ndarray, " segments"]:
        return step_px(self.step.real, self.step.imag)

    @cached_property
    def elapsed_s(self) -> Float64[np.ndarray, " segments"]:
        return elapsed_ms(1000 * self.interval_s) / 1000

    @cached_property
    def speed(self) -> Float64[np.ndarray, " segments"]:
        return speed_px_s(self.length_px, 1000 * self.interval_s)

    @cached_property
    def path_px(self) -> Float64[np.ndarray, " windows"]:
        return self.groups.sum(self.length_px)

    @cached_property
    def duration_s(self) -> Float64[np.ndarray, " windows"]:
        return self.groups.sum(self.elapsed_s)


def _cut_segments(sessions: Sessions, windows: Windows) -> _Segments:
    """Return the segments of windows, without those in which the pointer was away."""
    groups, event = window_rows(windows, windows.stop - windows.start - 1)
    position = sessions.x_px.astype(np.float64) + 1j * sessions.y_px
    step = position[event + 1] - position[event]
    interval_us = sessions.t_us[event + 1] - sessions.t_us[event]
    # A segment of another window is no neighbour: nothing stands between them.
    begins = np.flatnonzero(np.diff(groups.of)) + 1
    length_px = np.insert(step_px(step.real, step.imag), begins, 0)
    jumps = is_jump(length_px, np.insert(interval_us / 1000, begins, 0))
    moves = ~np.delete(jumps, begins + np.arange(len(begins)))
    return _Segments(Intervals(groups.where(moves), interval_us[moves]), step[moves])


def _shape(segments: _Segments) -> dict[str, np.ndarray]:
    """Describe the path without its timing."""
    groups, length_px = segments.groups, segments.length_px
    chord = groups.sum(np.real(segments.step)) + 1j * groups.sum(np.imag(segments.step))
    chord_px = np.abs(chord)
    way = np.cumsum(segments.step)
    n_before = np.cumsum(groups.count()) - groups.count()
    from_first = way - np.append(0, way)[n_before][groups.of]
    across_px = np.abs(np.imag(np.conj(chord)[groups.of] * from_first))
    # With both ends in one place there is no line: the distance from that place counts.
    off_px = np.where(
        chord_px[groups.of] > 0,
        across_px / np.maximum(chord_px, 1e-9)[groups.of],
        np.abs(from_first),
    )
    moves = length_px > 0
    moving = groups.where(moves)
    return {
        "straightness": ratio(chord_px, segments.path_px),
        "deviation": ratio(groups.max(off_px), segments.path_px),
        "step_median_px": moving.median(length_px[moves]),
        "step_std_px": moving.std(length_px[moves]),
        "repeated_share": groups.mean(~moves),
    }


def _speed(segments: _Segments) -> dict[str, np.ndarray]:
    """Describe how the speed runs."""
    groups, speed, elapsed_s = segments.groups, segments.speed, segments.elapsed_s
    highest = groups.max(speed)
    acceleration = np.diff(speed) / ((elapsed_s[1:] + elapsed_s[:-1]) / 2)
    inside = groups.neighbours()
    changes = Grouping(groups.of[1:], groups.n).where(inside)
    jerk = np.diff(acceleration) / elapsed_s[1:-1]
    whole = inside[1:] & inside[:-1]
    middles = Grouping(groups.of[1:-1], groups.n).where(whole)
    is_peak = (speed[1:-1] >= speed[:-2]) & (speed[1:-1] > speed[2:])
    is_peak &= speed[1:-1] > groups.mean(speed)[groups.of[1:-1]]
    return {
        "speed_mean_px_s": ratio(segments.path_px, segments.duration_s),
        "speed_median_px_s": groups.median(speed),
        "speed_std_px_s": groups.std(speed),
        "speed_max_px_s": highest,
        "speed_cv": ratio(groups.std(speed), groups.mean(speed)),
        "speed_peak_position": _peak_position(segments, highest),
        "speed_autocorrelation": groups.autocorrelation(groups.centred(speed)),
        "speed_peaks_per_s": ratio(middles.sum(is_peak[whole]), segments.duration_s),
        "acceleration_mean_px_s2": changes.mean(np.abs(acceleration[inside])),
        "jerk_mean_px_s3": middles.mean(np.abs(jerk[whole])),
        "pause_share": ratio(
            groups.sum(elapsed_s * (segments.intervals.us > 1000 * PAUSE_MS)), segments.duration_s
        ),
    }


def _peak_position(segments: _Segments, highest: np.ndarray) -> np.ndarray:
    """Return when each window is fastest, in the middle of the first such segment."""
    groups, elapsed_s = segments.groups, segments.elapsed_s
    is_peak = (segments.speed == highest[groups.of]) & (segments.speed > 0)
    window, nth = np.unique(groups.of[is_peak], return_index=True)
    first = np.flatnonzero(is_peak)[nth]
    ended_s = np.cumsum(elapsed_s)
    n_before = np.cumsum(groups.count()) - groups.count()
    began_s = np.append(0, ended_s)[n_before]
    position = np.zeros(groups.n)
    position[window] = (ended_s[first] - elapsed_s[first] / 2 - began_s[window]) / (
        segments.duration_s[window]
    )
    return position


def _turns(segments: _Segments) -> dict[str, np.ndarray]:
    """Describe how the path turns, between segments that move."""
    moves = segments.length_px > 0
    moving = segments.groups.where(moves)
    direction = direction_rad(segments.step.real[moves], segments.step.imag[moves])
    inside = moving.neighbours()
    turned = turn_rad(direction[1:], direction[:-1])[inside]
    turns = Grouping(moving.of[1:], moving.n).where(inside)
    size_rad = np.abs(turned)
    return {
        "turn_mean_rad": turns.mean(size_rad),
        "turn_std_rad": turns.std(turned),
        "turn_autocorrelation": turns.autocorrelation(turned),
        "curvature_mean_rad_px": ratio(turns.sum(size_rad), segments.path_px),
        "no_turn_share": turns.mean(size_rad < _NO_TURN_RAD),
        "reversal_share": turns.mean(size_rad > np.pi / 2),
    }


def _directions(segments: _Segments) -> dict[str, np.ndarray]:
    """Describe where the path leads."""
    moves = segments.length_px > 0
    moving = segments.groups.where(moves)
    step, n = segments.step[moves], len(_COMPASS)
    direction = direction_rad(step.real, step.imag)
    sector = np.rint(direction / (2 * np.pi / n)).astype(np.int64) % n
    length_px = np.bincount(moving.of * n + sector, np.abs(step), minlength=moving.n * n)
    share = length_px.reshape(moving.n, n) / np.maximum(segments.path_px, 1e-9)[:, None]
    log_share = np.log2(share, out=np.zeros_like(share), where=share > 0)
    return {
        "axis_aligned_share": moving.mean((np.real(step) == 0) | (np.imag(step) == 0)),
        "direction_entropy_bits": -(share * log_share).sum(axis=1) + 0.0,  # not -0
        **{f"direction_{name}": share[:, i] for i, name in enumerate(_COMPASS)},
    }


def _clock(segments: _Segments) -> dict[str, np.ndarray]:
    """Describe the recorder's rhythm."""
    intervals = segments.intervals
    return {
        "interval_median_ms": intervals.median_ms,
        "interval_std_ms": intervals.groups.std(intervals.us / 1000),
        "interval_modal_share": intervals.modal_share(),
    }


def _screen(sessions: Sessions, windows: Windows) -> dict[str, np.ndarray]:
    """Describe how far over the screen the path gets."""
    groups, event = window_rows(windows, windows.stop - windows.start)
    return {
        "x_max_px": groups.max(sessions.x_px[event].astype(np.float64)),
        "y_max_px": groups.max(sessions.y_px[event].astype(np.float64)),
    }


def session_feature_frame(sessions: Sessions, window: WindowConfig) -> pd.DataFrame:
    """Return each session's kinematic features, by session id: the baseline beside the model."""
    windows = cut_windows(sessions, window)
    features = session_features(sessions, windows)
    frame = pd.DataFrame(features, index=sessions.session_id, columns=list(KINEMATIC_FEATURES))
    return frame.loc[np.isfinite(features).all(axis=1)]
