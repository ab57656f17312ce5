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

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from pipeline.readers.common.formats import REJECTED, VISITS, Log, LogFile
from pipeline.readers.common.json_walk import Scope, UnpackError, Walk, as_whole
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
_BY_SOURCE: Final = {(event.source, event.interaction): event for event in POINTER_EVENTS}

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


@dataclass
class Batches:
    """The pointer events found, each a batch of positions, and what became of the others."""

    walk: Walk | None = None
    scopes: list[Scope] = field(default_factory=list)  # of each event of the pointer
    events: list[PointerEvent] = field(default_factory=list)
    n_positions: list[int] = field(default_factory=list)
    time_ms: list[float] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)
    lines: list[tuple[int, int]] = field(default_factory=list)  # of the file, and its number
    is_touch: list[bool] = field(default_factory=list)
    x: list[Any] = field(default_factory=list)
    y: list[Any] = field(default_factory=list)
    offset_ms: list[Any] = field(default_factory=list)
    rejected: list[tuple[int, int, str, str | None]] = field(default_factory=list)
    seen: list[tuple[Scope, float | None, Any, Any]] = field(default_factory=list)  # visits
    ignored: list[tuple[str, int]] = field(default_factory=list)
    n_rows: int = 0

    def mark(self) -> tuple[int, ...]:
        """Return how much there is of each list."""
        lists = [v for v in vars(self).values() if isinstance(v, list)]
        return (*map(len, lists), self.n_rows, self.ignored[-1][1] if self.ignored else 0)

    def forget(self, mark: Sequence[int]) -> None:
        """Shorten each list to what it was."""
        lists = [v for v in vars(self).values() if isinstance(v, list)]
        for values, n in zip(lists, mark, strict=False):
            del values[n:]
        self.n_rows = mark[-2]
        if self.ignored:
            self.ignored[-1] = self.ignored[-1][0], mark[-1]

    def row(self, row: Mapping[str, Any], scope: Scope, line: int, number: int) -> None:
        """Count a row of the pointer, which isn't rrweb's."""
        self.n_rows += 1
        self.stranger("not_an_event", line, number)

    def stranger(self, reason: str, line: int, number: int) -> None:
        """Take what is no event."""
        self.rejected.append((line, number, reason, None))

    def visit(self, scope: Scope, reason: str) -> None:
        """Take what says no more than that somebody was there."""
        self._ignore(reason, scope, None)

    def event(self, event: Mapping[str, Any], scope: Scope, line: int, number: int) -> None:
        """Take an event: of the pointer, of something else, or one that can't be read."""
        type_ = as_whole(event["type"])
        source = None
        try:
            data = self._data(event, type_)
            source = _whole_in(data, "source")
            if type_ == _INCREMENTAL and source is None:
                raise NotReadable("not_an_event")
            interaction = _whole_in(data, "type") if source == _INTERACTION else None
            if type_ == _INCREMENTAL and source == _INTERACTION and interaction is None:
                raise NotReadable("not_an_event")
            time = time_ms(event.get("timestamp"))
            found = _BY_SOURCE.get((source or 0, interaction)) if type_ == _INCREMENTAL else None
            if found is None:
                has_size = type_ == _META or (type_ == _INCREMENTAL and source == _RESIZE)
                size = (data.get("width"), data.get("height")) if has_size else (None, None)
                self._ignore("not_a_pointer_event", scope, time, *size)
                return
            positions = _positions(found, data)
        except (NotReadable, UnpackError) as error:
            said = f"type {type_}" + (f", source {source}" if source is not None else "")
            is_data = str(error) in ("cannot_unpack", "too_large", "not_json")
            self.rejected.append((line, number, str(error), None if is_data else said))
            return
        if not positions:
            self._ignore("no_moves", scope, time)
            return
        self._take(found, data, positions, time)
        self.scopes.append(scope)
        self.lines.append((line, number))

    def _take(
        self, found: PointerEvent, data: Mapping[str, Any], positions: Sequence[Any], time: float
    ) -> None:
        self.events.append(found)
        self.time_ms.append(time)
        self.n_positions.append(len(positions))
        self.is_touch.append(_whole_in(data, "pointerType") == _TOUCH)
        try:
            self.x += [position["x"] for position in positions]
            self.y += [position["y"] for position in positions]
            self.offset_ms += [position.get("timeOffset", 0) for position in positions]
        except (KeyError, TypeError, AttributeError):
            n = sum(self.n_positions[:-1])
            del self.x[n:], self.y[n:], self.offset_ms[n:]
            objects = [p if isinstance(p, dict) else {} for p in positions]
            self.x += [position.get("x") for position in objects]
            self.y += [position.get("y") for position in objects]
            self.offset_ms += [position.get("timeOffset", 0) for position in objects]
        n = len(positions)
        batch = (self.x[-n:], self.y[-n:], self.offset_ms[-n:])
        self.hashes.append(_hash(found, *batch) if n > 1 else hash(str(data)))

    def _data(self, event: Mapping[str, Any], type_: int | None) -> Mapping[str, Any]:
        """Return an event's data, unpacked where it may be about the pointer."""
        data = event.get("data")
        if isinstance(data, str) and type_ in (_INCREMENTAL, _META):
            try:
                data = self.walk.unpacked(data) if self.walk else None
            except ValueError as error:
                raise NotReadable("not_json") from error
        return data if isinstance(data, dict) else {}

    def _ignore(
        self, reason: str, scope: Scope, time: float | None, width: Any = None, height: Any = None
    ) -> None:
        """Count an event that isn't of the pointer; the first of a scope tells of a visit."""
        if self.ignored and self.ignored[-1][0] == reason:
            self.ignored[-1] = reason, self.ignored[-1][1] + 1
        else:
            self.ignored.append((reason, 1))
        if width is not None or not self.seen or self.seen[-1][0] is not scope:
            self.seen.append((scope, time, width, height))

    def to_log(self, source: str, file: LogFile, is_one_document: bool) -> Log:
        """Return the log of all that was found."""
        resolve = SessionNames(file)
        visits: dict[str, _Visit] = {}
        for scope, time, width, height in self.seen:
            _see(visits.setdefault(resolve(scope)[0], _Visit()), time, width, height)
        ids = [resolve(scope) for scope in self.scopes]
        keys = [(id_, h) for (id_, _), h in zip(ids, self.hashes, strict=True)]
        keys = [(*key, time) for key, time in zip(keys, self.time_ms, strict=True)]
        first = {key: i for i, key in reversed(list(enumerate(keys)))}
        kept = np.array([first[key] == i for i, key in enumerate(keys)], bool)
        ignored = sum((Counter({reason: n}) for reason, n in self.ignored), Counter[str]())
        if not kept.all():
            ignored["duplicate_event"] += int((~kept).sum())
        number: Literal[0, 1] = 1 if is_one_document else 0
        return Log(
            self._events(ids, kept, visits, source, number),
            _rejected([(row[:2][number], row[2], row[3]) for row in self.rejected]),
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
        offset_ms = _numbers(self.offset_ms)
        with np.errstate(over="ignore", invalid="ignore"):
            t_ms = events_ms[event] + offset_ms
            is_time = np.abs(t_ms) < _LARGEST_MS
            x, y = (_numbers(values).astype(np.float32) for values in (self.x, self.y))
        kind = np.array([found.kind for found in self.events], np.int8)
        button = np.array([found.button for found in self.events], np.int8)
        button[np.array(self.is_touch, bool)] = Button.NONE
        sizes = [visits.get(id_, _Visit()) for id_, _ in ids]
        lines = np.array([line[number] for line in self.lines], np.int64)
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


class SessionNames:
    """Which session each scope is of, and by what that was told."""

    def __init__(self, file: LogFile):
        self._of_file = file.session_id
        self._known: dict[int, tuple[Scope, tuple[str, str | None]]] = {}
        self._by: Counter[str] = Counter()

    def __call__(self, scope: Scope) -> tuple[str, str | None]:
        """Return a scope's session and account."""
        if id(scope) not in self._known:
            self._known[id(scope)] = scope, self._resolve(scope)
        return self._known[id(scope)][1]

    def _resolve(self, scope: Scope) -> tuple[str, str | None]:
        ids, names = scope.find()
        role = next((role for role in ("session_id", "account_id") if role in ids), None)
        session = ids[role] if role else self._of_file
        by = f"`{names[role]}`" if role else "the file's name"
        if "window_id" in ids:
            session, by = f"{session}/{ids['window_id']}", f"{by} and `{names['window_id']}`"
        self._by[by] += 1
        return session, ids.get("account_id")

    def seen(self) -> list[tuple[str, str | None]]:
        """Return the session and account of each scope asked for."""
        return [known for _, known in self._known.values()]

    @property
    def note(self) -> str:
        """Return a line that says what sessions are called by."""
        return "sessions by " + " or ".join(self._by) if self._by else ""


def _us(ms: Float64[np.ndarray, " rows"], is_none: np.ndarray | None = None) -> pa.Array:
    """Return whole microseconds, null where there is no time."""
    ms = ms if is_none is None else np.where(is_none, 0, ms)
    return pa.array(np.rint(ms * 1000).astype(np.int64), mask=is_none)


def _hash(found: PointerEvent, *positions: Sequence[Any]) -> int:
    """Return a number that equal events share, and no others but by a rare accident."""
    try:
        return hash((found, *map(tuple, positions)))
    except TypeError:  # something stands where a number should
        return hash((found, str(positions)))


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


def _numbers(values: Sequence[Any]) -> Float64[np.ndarray, " rows"]:
    """Return numbers, those in strings too; NaN for all else."""
    try:
        numbers = np.array(values, np.float64)
        if numbers.ndim == 1:
            return numbers
    except (ValueError, TypeError, OverflowError):
        pass
    return np.array([_number(value) for value in values], np.float64)


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


def _rejected(rows: Sequence[tuple[int, str, str | None]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, REJECTED, strict=True)], schema=REJECTED
    )


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
