"""Name the recorder of each session: the program that wrote down where the pointer was.

A format that only one recorder writes names it. Of any other log the recorder is estimated, from
what it leaves in every session: its clock, its resolution, and which events it writes.
"""

from collections import Counter
from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from pipeline.errors import ConfigError, is_fit
from pipeline.readers.common.formats import formats
from pipeline.schemas import Kind
from pipeline.sessions.sessions import Sessions

CLOCKS_MS: Final = (1, 2, 4, 8, 10, 17, 33, 50, 100, 200, 500)
"""Periods that recorders have: an interval counts for the nearest, on a scale of octaves."""

_CLOCKED_BY_SETTING: Final = ("rrweb", "posthog")
"""Formats whose recorder is set to a period: 20 and 60 events a second are two recorders."""

NOT_KNOWN: Final = "not known"
"""What a recorder is called where nothing tells."""

FEWEST_INTERVALS: Final = 8  # of a file: fewer show no clock
_MOST_INTERVALS: Final = 200  # that a session counts for: who was recorded for hours is one person
_MOST_SESSIONS: Final = 100  # of a file that are looked at, spread evenly over it
_MOST_EVENTS: Final = 50_000  # of a file that are looked at: each session's first so many
_LONGEST_US: Final = 1_000_000  # a longer time is a rest
_POLLED: Final = {"same_clock": 0.9, "repeats": 0.2}  # shares from which a recorder polls
_FRACTIONAL: Final = 0.1  # of a session's positions
_LONGEST_NAME: Final = 100


def name_recorders(sessions: Sessions, said: str = "") -> Sessions:
    """Return sessions of log files with their recorder: as `said`, else by format, else estimated.

    All sessions of a file have one recorder: few events show little of it, and a person's screen or
    mouse is no recorder of its own. It is None where a file has too few events to tell.
    """
    if said:
        return replace(sessions, recorder=np.full(len(sessions), said, object))
    own = _own_formats()
    pairs = zip(sessions.source_sha256.tolist(), sessions.source.tolist(), strict=True)
    keys = [(sha256, source if source in own else "") for sha256, source in pairs]
    number = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    file = np.fromiter(map(number.__getitem__, keys), np.int64, len(keys))
    estimated = _estimate(sessions, file, len(number))
    by_file = [
        _name(format_, clock, looks)
        for (_, format_), (clock, looks) in zip(number, estimated, strict=True)
    ]
    return replace(sessions, recorder=np.array([*by_file, None], object)[:-1][file])


def recorder_counts(sessions: Sessions) -> dict[str, int]:
    """Return the number of sessions of each recorder, "not known" for those of none."""
    names = [NOT_KNOWN if name is None else str(name) for name in sessions.recorder]
    return dict(Counter(names))


def known_recorder_counts(recorder: Shaped[np.ndarray, " sessions"]) -> dict[str, int]:
    """Return how many sessions are of each recorder, without those of none."""
    return {name: n for name, n in Counter(recorder).items() if name not in (None, NOT_KNOWN)}


def check_recorder(name: str) -> str:
    """Return a recorder's name without space around it; refuse one that can't be shown."""
    name = name.strip()
    if not is_fit(name, _LONGEST_NAME):
        raise ConfigError(
            "recorder", f"{name[:_LONGEST_NAME]!r} is no name", f"up to {_LONGEST_NAME} characters"
        )
    return name


def _own_formats() -> set[str]:
    """Return the formats that only one recorder writes."""
    return {name for name, format_ in formats().items() if not format_.is_generic}


def _name(format_: str, clock: str | None, looks: str) -> str | None:
    if format_ and format_ not in _CLOCKED_BY_SETTING:
        return format_
    if format_:
        return f"{format_} {clock}" if clock else format_
    return f"{clock} {looks}" if clock else None


def _estimate(
    sessions: Sessions, file: Int64[np.ndarray, " sessions"], n_files: int
) -> list[tuple[str | None, str]]:
    """Return the clock of each file, None if it isn't known, and what else its events look like.

    The clock and the positions are those of a sample (`_sample`), in which each session counts by
    its intervals, up to `_MOST_INTERVALS`; which events there are is asked of all.
    """
    kinds = _kinds_of_files(sessions, file, n_files)
    chosen, most_events = _sample(sessions, file, n_files)
    sessions, file = sessions.take(chosen, most_events), file[chosen]
    owner = sessions.session_of_event
    is_within = owner[1:] == owner[:-1]
    step_us = np.diff(sessions.t_us)
    is_tick = is_within & (step_us > 0) & (step_us <= _LONGEST_US)
    bounds_us = 1000 * np.sqrt(np.array(CLOCKS_MS[1:]) * np.array(CLOCKS_MS[:-1]))
    clock = np.searchsorted(bounds_us, step_us[is_tick])
    n_clocks = len(CLOCKS_MS)
    counts = np.bincount(
        owner[1:][is_tick] * n_clocks + clock, minlength=len(sessions) * n_clocks
    ).reshape(-1, n_clocks)
    n_ticks = counts.sum(axis=1)
    weight = np.minimum(n_ticks, _MOST_INTERVALS)
    shares = counts / n_ticks.clip(1)[:, None]

    def of_files(values: Float64[np.ndarray, "sessions ..."]) -> Float64[np.ndarray, "files ..."]:
        """Return the mean over each file's sessions, by their weight."""
        total = np.zeros((n_files, *values.shape[1:]))
        np.add.at(total, file, (values.T * weight).T)
        n = np.bincount(file, weight, n_files).clip(1)
        return (total.T / n).T

    is_repeat = is_within & (np.diff(sessions.x_px) == 0) & (np.diff(sessions.y_px) == 0)
    is_fraction = (sessions.x_px % 1 != 0) | (sessions.y_px % 1 != 0)
    clock_shares = of_files(shares)
    repeats = of_files(_share(owner[1:], is_repeat, len(sessions)))
    fractional = of_files((_share(owner, is_fraction, len(sessions)) > _FRACTIONAL).astype(float))
    n_intervals = np.bincount(file, n_ticks, n_files)
    found = []
    for i in range(n_files):
        best = int(np.argmax(clock_shares[i]))
        is_polled = clock_shares[i, best] >= _POLLED["same_clock"]
        is_polled &= repeats[i] >= _POLLED["repeats"]
        clock_name = f"{CLOCKS_MS[best]} ms{' polled' if is_polled else ''}"
        looks = f"{'fractional' if fractional[i] >= 0.5 else 'whole'} px {_kinds(kinds[i])}"
        found.append((clock_name if n_intervals[i] >= FEWEST_INTERVALS else None, looks))
    return found


def _sample(
    sessions: Sessions, file: Int64[np.ndarray, " sessions"], n_files: int
) -> tuple[Int64[np.ndarray, " chosen"], Int64[np.ndarray, " chosen"]]:
    """Return which sessions show a file's recorder, and how many of the first events of each.

    A program writes alike from the first session to the last: more would only take longer.
    """
    by_file = np.flatnonzero(sessions.n_events)
    by_file = by_file[np.argsort(file[by_file], kind="stable")]
    n = np.bincount(file[by_file], minlength=n_files)
    rank = np.arange(len(by_file)) - (np.cumsum(n) - n)[file[by_file]]
    every = -(-n // _MOST_SESSIONS)
    chosen = by_file[rank % every[file[by_file]] == 0]
    n_chosen = np.bincount(file[chosen], minlength=n_files)
    return chosen, _MOST_EVENTS // n_chosen[file[chosen]]


def _kinds_of_files(
    sessions: Sessions, file: Int64[np.ndarray, " sessions"], n_files: int
) -> Bool[np.ndarray, "files kinds"]:
    """Mark which kinds of events each file has."""
    has_any = np.flatnonzero(sessions.n_events)
    begins, found = sessions.offsets[has_any], np.zeros((n_files, len(Kind)), bool)
    for kind in map(int, Kind):  # NumPy compares these ten times as fast
        is_found = np.logical_or.reduceat(sessions.kind == kind, begins)
        found[file[has_any[is_found]], kind] = True
    return found


def _share(
    owner: Int64[np.ndarray, " events"], is_so: Bool[np.ndarray, " events"], n_sessions: int
) -> Float64[np.ndarray, " sessions"]:
    """Return the share of each session's events that are so."""
    n = np.bincount(owner, minlength=n_sessions).clip(1)
    return np.bincount(owner, is_so, n_sessions) / n


def _kinds(found: Shaped[np.ndarray, " kinds"]) -> str:
    """Return which events there are, as far as a short log shows it: scrolling is left out."""
    if found[Kind.TOUCH]:
        return "touch"
    if found[Kind.DOWN] or found[Kind.UP] or found[Kind.DRAG]:
        return "move+press"
    return "move+click" if found[Kind.CLICK] else "move"
