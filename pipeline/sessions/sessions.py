"""`Sessions`: the events of many sessions of unequal length, stored end to end."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float32, Int8, Int32, Int64, Shaped

ABSOLUTE_US = 10**14
"""A time stamp above this (1973) counts since 1970; below, from an origin nobody knows."""


@dataclass(frozen=True)
class Sessions:
    """Sessions end to end: number `i` owns events `offsets[i]:offsets[i + 1]`.

    That is the layout of an Arrow list array, so a table's columns are used as they are.
    """

    session_id: Shaped[np.ndarray, " sessions"]  # str
    account_id: Shaped[np.ndarray, " sessions"]  # str or None
    source: Shaped[np.ndarray, " sessions"]  # str
    recorder: Shaped[np.ndarray, " sessions"]  # str, or None: not known
    started_at: Shaped[np.ndarray, " sessions"]  # datetime64[us], UTC; NaT: not known
    label: Int8[np.ndarray, " sessions"]  # 1 fraud, 0 legitimate, -1 not known
    viewport_width: Int32[np.ndarray, " sessions"]  # px; 0: not known
    viewport_height: Int32[np.ndarray, " sessions"]
    source_file: Shaped[np.ndarray, " sessions"]  # str
    source_sha256: Shaped[np.ndarray, " sessions"]  # str
    offsets: Int64[np.ndarray, " sessions+1"]
    t_us: Int64[np.ndarray, " events"]  # since the session's first event
    x_px: Float32[np.ndarray, " events"]
    y_px: Float32[np.ndarray, " events"]
    kind: Int8[np.ndarray, " events"]  # a schemas.Kind
    button: Int8[np.ndarray, " events"]  # a schemas.Button

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self.session_id)

    @property
    def n_events(self) -> Int64[np.ndarray, " sessions"]:
        """Return the number of events of each session."""
        return np.diff(self.offsets)

    @property
    def session_of_event(self) -> Int64[np.ndarray, " events"]:
        """Return the number of the session that each event is of."""
        return np.repeat(np.arange(len(self)), self.n_events)

    @property
    def is_fraud(self) -> Bool[np.ndarray, " sessions"]:
        """Mark the sessions that are labelled as fraud."""
        return self.label == 1

    @property
    def is_legitimate(self) -> Bool[np.ndarray, " sessions"]:
        """Mark the sessions that are labelled as legitimate; others may have no label."""
        return self.label == 0

    def with_events(self) -> "Sessions":
        """Return the sessions that have any event; a visit may have none."""
        has_any = self.n_events > 0
        return self if has_any.all() else self.take(has_any)

    def between(self, start: int, stop: int) -> "Sessions":
        """Return the sessions from `start` to before `stop`; their events are not copied."""
        offsets = self.offsets[start : stop + 1]
        return self.gather(slice(start, stop), slice(offsets[0], offsets[-1]), offsets - offsets[0])

    def take(
        self,
        indices: Shaped[np.ndarray, " chosen"],
        most_events: Int64[np.ndarray, " chosen"] | None = None,
    ) -> "Sessions":
        """Return the sessions at `indices` (or where a boolean mask is true), in that order.

        Of each at most its first `most_events`, if that is given.
        """
        indices = np.arange(len(self))[indices]
        counts = self.n_events[indices]
        if most_events is not None:
            counts = np.minimum(counts, most_events)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        events = np.arange(offsets[-1]) + np.repeat(self.offsets[indices] - offsets[:-1], counts)
        return self.gather(indices, events, offsets)

    def gather(
        self,
        indices: Shaped[np.ndarray, " chosen"] | slice,
        events: Int64[np.ndarray, " events"] | slice,
        offsets: Int64[np.ndarray, " bounds"],
    ) -> "Sessions":
        """Return the sessions at `indices`, of these `events` instead of all their own."""
        columns = {}
        for field in fields(self):
            column = getattr(self, field.name)
            columns[field.name] = column[events if field.name in EVENT_COLUMNS else indices]
        return Sessions(**columns | {"offsets": offsets})


EVENT_COLUMNS = ("t_us", "x_px", "y_px", "kind", "button")


def concatenate_sessions(parts: Sequence[Sessions]) -> Sessions:
    """Put several `Sessions` end to end."""
    starts = np.cumsum([0, *(part.offsets[-1] for part in parts)])
    columns = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(Sessions)
        if field.name != "offsets"
    }
    shifted = [part.offsets[1:] + start for part, start in zip(parts, starts, strict=False)]
    return Sessions(**columns, offsets=np.concatenate([[0], *shifted]).astype(np.int64))
