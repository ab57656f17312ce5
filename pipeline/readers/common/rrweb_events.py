"""Turn rrweb's events into a log, wherever in a file of JSON they lie.

rrweb (2.1) writes `{type, data, timestamp}`, time in ms since 1970. Moves come in batches,
each position with its `timeOffset` from the batch's time (0 or negative), so a click stands
in the file before moves that came before it: rows are in the file's order, and cleaning,
which sorts by time, puts them right. A batch is called moves or drags by its last position.
An event that is there twice, as it is where a batch is delivered twice, counts once.

Positions are from the corner of the viewport, except for those in a frame, which count from
the frame's: only the page's whole layout would say where that was.

What people typed and saw is in the file too. It is parsed past and never kept: not in an
event, not in a rejected row's `raw`, which says no more than the event's type and source.
"""

import json
import math
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64

from pipeline.readers.common.formats import VISITS, Log, LogFile
from pipeline.readers.common.json_walk import UnpackError, as_whole
from pipeline.readers.common.scopes import Findings, Place, Scope, SessionNames
from pipeline.schemas import EVENTS, Button, Kind


@dataclass(frozen=True)
class PointerEvent:
    """A kind of rrweb's pointer events, and what it is in our events."""

    source: int  # rrweb's IncrementalSource
    interaction: int | None  # rrweb's MouseInteractions, where the source is 2, MouseInteraction
    kind: Kind
    button: Button = Button.NONE


# rrweb doesn't record the button. A context menu is the right one's; all else counts as the
# left one's, the press and release of a right click too.
POINTER_EVENTS: Final = (
    PointerEvent(1, None, Kind.MOVE),  # MouseMove
    PointerEvent(6, None, Kind.TOUCH),  # TouchMove
    PointerEvent(12, None, Kind.DRAG),  # Drag
    PointerEvent(3, None, Kind.SCROLL),  # its x, y are how far, not where: no position
    PointerEvent(2, 0, Kind.UP, Button.LEFT),
    PointerEvent(2, 1, Kind.DOWN, Button.LEFT),
    PointerEvent(2, 2, Kind.CLICK, Button.LEFT),
    PointerEvent(2, 3, Kind.CLICK, Button.RIGHT),  # ContextMenu
    PointerEvent(2, 4, Kind.CLICK, Button.LEFT),  # DblClick
    PointerEvent(2, 7, Kind.TOUCH),  # TouchStart
    PointerEvent(2, 9, Kind.TOUCH),  # TouchEnd
)
_BY_SOURCE: Final[Mapping[tuple[int | None, int | None], PointerEvent]] = {
    (event.source, event.interaction): event for event in POINTER_EVENTS
}

_INCREMENTAL, _META, _INTERACTION, _RESIZE = 3, 4, 2, 4
_TOUCH = 2  # of rrweb's PointerTypes; a finger presses no button
_LARGEST_MS = 4e15  # two of them, in us, still fit one int64 when subtracted
_NO_POSITION: Final = [{"x": None, "y": None}]


class NotReadable(Exception):
    """An event that can't be read; its one argument is the reason, a word."""


@dataclass
class _Visit:
    """What a session's events say besides where the pointer is."""

    first_us: int | None = None
    width: int | None = None
    height: int | None = None


def _doubles() -> array:
    return array("d")


@dataclass
class Batches(Findings):
    """The pointer events found, each a batch of positions, and what became of the others."""

    unpacked: Callable[[str], Any] = json.loads  # gives what is in a packed string
    events: list[PointerEvent] = field(default_factory=list)
    n_positions: list[int] = field(default_factory=list)
    time_ms: list[float] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)  # of an event with one position
    is_touch: list[bool] = field(default_factory=list)
    x: array = field(default_factory=_doubles)
    y: array = field(default_factory=_doubles)
    offset_ms: array = field(default_factory=_doubles)
    seen: list[tuple[Scope, float | None, Any, Any]] = field(default_factory=list)  # visits

    def visit(
        self, scope: Scope, time: float | None = None, width: Any = None, height: Any = None
    ) -> None:
        """Take what says no more than that somebody was there: the first of a scope counts."""
        if self.seen and width is None:
            last, last_time, *_ = self.seen[-1]
            if last is scope and last_time is not None:
                return
        self.seen.append((scope, time, width, height))

    def event(self, event: Mapping[str, Any], scope: Scope, place: Place) -> str | None:
        """Take an event: of the pointer, of something else, or one that can't be read."""
        type_ = as_whole(event["type"])
        source = None
        try:
            data = self._data(event, type_)
            source = _whole_in(data, "source")
            interaction = _whole_in(data, "type") if source == _INTERACTION else None
            if type_ == _INCREMENTAL and (
                source is None or (source == _INTERACTION and interaction is None)
            ):
                raise NotReadable("not_an_event")
            time = time_ms(event.get("timestamp"))
            found = _BY_SOURCE.get((source, interaction)) if type_ == _INCREMENTAL else None
            if found is None:
                has_size = type_ == _META or (type_ == _INCREMENTAL and source == _RESIZE)
                size = (data.get("width"), data.get("height")) if has_size else (None, None)
                self.visit(scope, time, *size)
                return "not_a_pointer_event"
            positions = _positions(found, data)
        except (NotReadable, UnpackError) as error:
            said = f"type {type_}" + (f", source {source}" if source is not None else "")
            is_data = str(error) in ("cannot_unpack", "too_large", "not_json")
            self.rejected.append((place, str(error), None if is_data else said))
            return None
        if not positions:
            self.visit(scope, time)
            return "no_moves"
        self.hashes.append(_hash(data) if len(positions) == 1 else 0)
        self.events.append(found)
        self.time_ms.append(time)
        self.is_touch.append(_whole_in(data, "pointerType") == _TOUCH)
        self.n_positions.append(len(positions))
        self._take(positions)
        self.scopes.append(scope)
        self.places.append(place)
        return None

    def _take(self, positions: Sequence[Any]) -> None:
        try:
            x, y, offset_ms = (
                [position["x"] for position in positions],
                [position["y"] for position in positions],
                [position["timeOffset"] for position in positions],
            )
        except (KeyError, TypeError, AttributeError):
            objects = [position if isinstance(position, dict) else {} for position in positions]
            x, y = ([position.get(axis) for position in objects] for axis in ("x", "y"))
            offset_ms = [position.get("timeOffset", 0) for position in objects]
        values: list[Any]
        for numbers, values in ((self.x, x), (self.y, y), (self.offset_ms, offset_ms)):
            try:
                numbers.fromlist(values)  # all of them or none
            except (TypeError, OverflowError):
                numbers.fromlist([_number(value) for value in values])

    def _data(self, event: Mapping[str, Any], type_: int | None) -> Mapping[str, Any]:
        """Return an event's data, unpacked where it may be about the pointer."""
        data = event.get("data")
        if isinstance(data, str) and type_ in (_INCREMENTAL, _META):
            try:
                data = self.unpacked(data)
            except ValueError as error:
                raise NotReadable("not_json") from error
        return data if isinstance(data, dict) else {}

    def _kept(self, names: Sequence[str]) -> Bool[np.ndarray, " found"]:
        """Say of which events, of these sessions, no equal one came before."""
        keys = list(zip(names, self.time_ms, self.hashes, strict=True))
        n_equal = Counter(keys)
        bounds = np.cumsum([0, *self.n_positions]).tolist()
        kept = np.ones(len(keys), bool)
        seen: set[tuple] = set()
        for i, key in enumerate(keys):
            if n_equal[key] > 1:
                part = slice(bounds[i], bounds[i + 1])
                lists = (numbers[part].tobytes() for numbers in (self.x, self.y, self.offset_ms))
                whole = (*key, self.events[i], *(lists if key[2] == 0 else ()))
                kept[i] = whole not in seen
                seen.add(whole)
        return kept

    def to_log(
        self, source: str, file: LogFile, ignored: Counter[str], is_one_document: bool
    ) -> Log:
        """Return the log of all that was found."""
        resolve = SessionNames(file)
        visits: dict[str, _Visit] = {}
        for scope, time, width, height in self.seen:
            _see(visits.setdefault(resolve(scope)[0], _Visit()), time, width, height)
        ids = [resolve(scope) for scope in self.scopes]
        kept = self._kept([name for name, _ in ids])
        ignored = ignored + Counter(duplicate_event=int(np.count_nonzero(~kept)))
        number: Literal[0, 1] = 1 if is_one_document else 0
        return Log(
            self._events(ids, kept, visits, source, number),
            self.rejected_rows(number),
            ignored,
            _visits(visits, dict(resolve.seen()), source),
            note=resolve.note,
        )

    def _events(
        self,
        ids: Sequence[tuple[str, str | None]],
        kept: np.ndarray,
        visits: Mapping[str, _Visit],
        source: str,
        number: Literal[0, 1],
    ) -> pa.Table:
        """Return `EVENTS`: a row a position."""
        n_positions = np.array(self.n_positions, np.int64)
        event = np.repeat(np.arange(len(ids)), n_positions)
        events_ms = np.array(self.time_ms, np.float64)
        offset_ms = np.array(self.offset_ms)
        with np.errstate(over="ignore", invalid="ignore"):
            t_ms = events_ms[event] + offset_ms
            is_time = np.abs(t_ms) < _LARGEST_MS
            x, y = (np.array(numbers).astype(np.float32) for numbers in (self.x, self.y))
        kind = np.array([found.kind for found in self.events], np.int8)
        button = np.array([found.button for found in self.events], np.int8)
        button[np.array(self.is_touch, bool)] = Button.NONE
        sizes = [visits.get(id_, _Visit()) for id_, _ in ids]
        lines = np.array([place[number] for place in self.places], np.int64)
        row = np.flatnonzero(kept[event])
        of_event = event[row]
        names, accounts = (pa.array([i[k] for i in ids], pa.string()) for k in (0, 1))
        take = pa.array(of_event)

        made = {
            "session_id": names.dictionary_encode().take(take),
            "account_id": accounts.dictionary_encode().take(take),
            "source": pa.DictionaryArray.from_arrays(np.zeros(len(row), np.int32), [source]),
            "t_us": _us(t_ms[row], ~is_time[row]),
            "x_px": _places(x[row]),
            "y_px": _places(y[row]),
            "kind": pa.array(kind[of_event]),
            "button": pa.array(button[of_event]),
            "label": pa.nulls(len(row), pa.int8()),
            "viewport_width": pa.array([size.width for size in sizes], pa.int32()).take(take),
            "viewport_height": pa.array([size.height for size in sizes], pa.int32()).take(take),
            "line": pa.array(lines[of_event]),
            "written_us": _us(events_ms[of_event]),
        }
        return pa.table([made[name] for name in EVENTS.names], schema=EVENTS)


def _us(ms: Float64[np.ndarray, " rows"], is_none: np.ndarray | None = None) -> pa.Array:
    """Return whole microseconds, null where there is no time."""
    ms = ms if is_none is None else np.where(is_none, 0, ms)
    return pa.array(np.rint(ms * 1000).astype(np.int64), mask=is_none)


def _hash(data: Mapping[str, Any]) -> int:
    """Return a number that equal events share, and no others but by a rare accident; not 0."""
    try:
        return hash(tuple(data.items())) or 1
    except TypeError:  # a list stands there
        return hash(str(data)) or 1


def _whole_in(data: Mapping[str, Any], name: str) -> int | None:
    return as_whole(data.get(name))


def time_ms(value: object) -> float:
    """Return an event's time in ms since 1970; raise `NotReadable` where there is none."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = _date_ms(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST_MS:
        return float(value)
    raise NotReadable("no_time")


def _date_ms(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.timestamp() * 1000


def _positions(found: PointerEvent, data: Mapping[str, Any]) -> Sequence[Any]:
    """Return the positions of an event of the pointer; a scroll's x and y are none."""
    if found.kind == Kind.SCROLL:
        return _NO_POSITION
    if found.interaction is not None:
        return [{"x": data.get("x"), "y": data.get("y")}]
    positions = data.get("positions")
    if not isinstance(positions, list):
        raise NotReadable("no_positions")
    return positions


def _number(value: Any) -> float:
    try:
        return float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return math.nan


def _places(px: np.ndarray) -> pa.Array:
    is_bad = ~np.isfinite(px)
    return pa.array(px, mask=is_bad) if is_bad.any() else pa.array(px)


def _see(visit: _Visit, time: float | None, width: Any, height: Any) -> None:
    """Remember the first time and the first size of a viewport."""
    if time is not None and visit.first_us is None:
        visit.first_us = round(time * 1000)
    for name, size in (("width", width), ("height", height)):
        pixels = _number(size)
        if getattr(visit, name) is None and 1 <= pixels < 2**31:
            other = _number(height if name == "width" else width)
            if other >= 1:
                setattr(visit, name, round(pixels))


def _visits(
    visits: Mapping[str, _Visit], accounts: Mapping[str, str | None], source: str
) -> pa.Table:
    rows = [
        {
            "session_id": id_, "account_id": accounts.get(id_), "source": source,
            "t_us": visit.first_us, "viewport_width": visit.width, "viewport_height": visit.height,
        }
        for id_, visit in visits.items()
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, VISITS)
