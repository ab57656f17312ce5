"""Find rrweb's events and rows of the pointer in JSON of any layout, and what they are part of.

One walk for all formats: it goes down arrays, objects and strings that hold JSON, packed or not,
and hands each event and row to a `Sink`, with the `Scope` it lies in. Which session that is can be
told at the end alone, since keys come in any order: the nearest identifier counts, in the event, in
what holds it, and so on outwards. The names of identifiers are those of `columns.py`.

A text of more than a megabyte isn't parsed at once: arrays are gone through item by item, objects
key by key until the parts are small.
"""

import base64
import binascii
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from json.decoder import scanstring
from typing import Any, Final, Protocol, runtime_checkable

from pipeline.readers.common.limits import limits
from pipeline.readers.common.names import (
    IDENTIFIERS,
    is_event_name,
    name_role,
    place_role,
    time_role,
)
from pipeline.readers.common.words import NOT_POINTER, kind_of

AT_ONCE: Final = 2**20  # characters that are parsed at once
_PIECE: Final = 2**15  # of a larger text
_DEEPEST: Final = 60  # arrays and objects inside each other
_MOST_LEADING: Final = 100_000  # items before the first event of an array that are remembered
_SHORTEST_STRING: Final = 20  # that may hold an event

HOLDERS: Final = frozenset(
    [
        "events",
        "event",
        "snapshots",
        "snapshot",
        "data",
        "records",
        "record",
        "items",
        "results",
        "rows",
        "recordings",
        "recording",
        "segments",
        "chunks",
        "batch",
        "batches",
        "payload",
        "body",
        "rrweb",
        "sessions",
        "replays",
        "snapshot_data",
        "$snapshot_data",
        "rrwebEvents",
        "rrweb_events",
        "messages",
        "logs",
        "content",
        "value",
        "values",
        "result",
        "hits",
        "_source",
        "properties",
        "mouseEvents",
        "moves",
        "movements",
        "mouse",
        "points",
        "path",
        "track",
        "trajectory",
    ]
)
"""Keys under which events lie, so that they name no window or session."""

_BY_ID: Final = re.compile(r"by_?(window|tab|session|visit|view)", re.I)
_ZLIB: Final = tuple("x" + second for second in "\x01^\x9c\xda")
_GZIP: Final = "\x1f\x8b"
_BASE64: Final = re.compile(r"(?:H4sI|eJ|eN|eA)[A-Za-z0-9+/_-]+=*\s*")
_ZLIB_OR_GZIP: Final = zlib.MAX_WBITS + 32  # zlib sees by the first bytes which it is
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_LAZY: Final = object()  # a value that was gone through without being parsed
_NOT_PARSED: Final = object()
_decode: Final = json.JSONDecoder(strict=False).raw_decode


class UnpackError(Exception):
    """A string that can't be unpacked; its one argument is the reason, a word."""


@dataclass(eq=False, slots=True)
class Scope:
    """An object or array that events lie in, and the identifiers that stand there."""

    parent: "Scope | None" = None
    key: str | None = None  # under which it lies in its parent
    ids: Mapping[str, str] = field(default_factory=dict)  # session_id, window_id, account_id
    names: Mapping[str, str] = field(default_factory=dict)  # of these, as the file has them
    id_keys: set[str] = field(default_factory=set)  # that lead to events and may be identifiers
    is_used: bool = False

    def use(self) -> None:
        """Remember that an event lies here, and so in all that is around it."""
        scope: Scope | None = self
        while scope and not scope.is_used:
            scope.is_used = True
            if (
                scope.parent
                and scope.key
                and scope.key not in HOLDERS
                and not scope.key.isdecimal()
            ):
                scope.parent.id_keys.add(scope.key)
            scope = scope.parent

    def find(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the nearest identifiers, and what each is called in the file."""
        ids: dict[str, str] = {}
        names: dict[str, str] = {}
        key = None
        scope: Scope | None = self
        while scope:
            for role, value in scope.ids.items():
                if role not in ids:
                    ids[role], names[role] = value, scope.names[role]
            if key is None and "session_id" not in ids and "window_id" not in ids and scope.parent:
                key = scope.id_key()
            scope = scope.parent
        if key and "window_id" not in ids:
            ids["window_id"], names["window_id"] = key, "the key"
        return ids, names

    def id_key(self) -> str | None:
        """Return this scope's key if it is an identifier: one of several, or `by_window_id`."""
        if not self.parent or not self.key:
            return None
        holder: Scope | None = self.parent
        while holder and holder.key is None:
            holder = holder.parent
        if holder and holder.key and _BY_ID.search(holder.key):
            return self.key
        is_plain = self.key in HOLDERS or self.key.isdecimal()
        return self.key if len(self.parent.id_keys) > 1 and not is_plain else None


@runtime_checkable
class Sink(Protocol):
    """Who takes what is found. `number` counts what was found, from 1; `line` is the text's."""

    def event(self, event: Mapping[str, Any], scope: Scope, line: int, number: int) -> None:
        """Take an rrweb event."""
        ...

    def row(self, row: Mapping[str, Any], scope: Scope, line: int, number: int) -> None:
        """Take a row with a place and a time."""
        ...

    def visit(self, scope: Scope, reason: str) -> None:
        """Take what says nothing of the pointer, but that somebody was there."""
        ...

    def stranger(self, reason: str, line: int, number: int) -> None:
        """Take what stands where an event should, and is none."""
        ...

    def mark(self) -> Any:
        """Return what `forget` needs."""
        ...

    def forget(self, mark: Any) -> None:
        """Forget what came since a mark."""
        ...


def as_whole(value: object) -> int | None:
    """Return a whole number, or one that is written in a string, else None."""
    if type(value) is int:
        return value
    if isinstance(value, str) and value.isdecimal() and value.isascii() and len(value) < 10:
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else None


def is_event(found: Mapping[str, Any]) -> bool:
    """Say whether an object is one of rrweb's events: a number for its type, and data or a time."""
    if "type" not in found or not ("timestamp" in found or "data" in found):
        return False
    return as_whole(found["type"]) is not None and not ("x" in found and "y" in found)


class RowKeys:
    """Which objects are rows, by their keys; objects of one table have the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], bool] = {}

    def is_row(self, found: Mapping[str, Any]) -> bool:
        """Say whether an object has a place and a time, itself or in an object inside it."""
        keys = tuple(found)
        inner = tuple(key for key, value in found.items() if isinstance(value, dict))
        if inner:
            keys += tuple(name for key in inner for name in found[key])
        if keys not in self._known:
            if len(self._known) > 10_000:
                self._known.clear()
            axes = {role[0] for key in keys if (role := place_role(key))}
            self._known[keys] = axes == {"x", "y"} and any(map(time_role, keys))
        return self._known[keys]


@dataclass
class Budget:
    """How many bytes the packed strings of a file may still hold."""

    left: int


def unpack(packed: str, max_bytes: int) -> bytes:
    """Return the JSON in a packed string; JSON that isn't packed comes back as it is."""
    if packed.lstrip()[:1] in ("{", "["):
        return packed.encode("utf-8", "surrogatepass")
    try:
        raw = (
            base64.b64decode(packed.strip().translate({45: 43, 95: 47}) + "==")
            if _BASE64.fullmatch(packed)
            else packed.encode("latin1")
        )
        return inflate(raw, max_bytes)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise UnpackError("cannot_unpack") from error


def inflate(raw: bytes, max_bytes: int) -> bytes:
    """Return what zlib or gzip packed."""
    unpacker = zlib.decompressobj(_ZLIB_OR_GZIP)
    try:
        text = unpacker.decompress(raw, max_bytes + 1)
    except zlib.error as error:
        raise UnpackError("cannot_unpack") from error
    if len(text) > max_bytes:
        raise UnpackError("too_large")
    if not unpacker.eof:
        raise UnpackError("cannot_unpack")
    return text


def parse(text: str) -> Any:
    """Return the value of a JSON text; raise `ValueError` for anything else."""
    try:
        value, end = _decode(text, _skip(text, 0))
    except RecursionError as error:
        raise ValueError("too deep") from error
    if _skip(text, end) != len(text):
        raise ValueError("more than one value")
    return value


class Walk:
    """The way through one text."""

    def __init__(self, sink: Sink, asked: Mapping[str, str] | None = None):
        self.sink = sink
        self.asked = {theirs: ours for ours, theirs in (asked or {}).items()}
        self.number = 0
        self.is_one_document = False
        self.root = Scope()
        self.names_seen: set[str] = set()  # of identifiers
        self.saw_event = self.saw_window = False  # the beginning of one, at least
        self.ignored: Counter[str] = Counter()
        self._line = 1
        self._rows = RowKeys()
        self._budget = Budget(limits().packed_bytes)
        self._scopes: dict[tuple, Scope] = {}
        self.is_direct = False  # whether the last value was an event or a row itself

    def text(self, text: str) -> None:
        """Go through a text: one value, or one after the other, mostly a line each."""
        n, pos, n_values, counted = len(text), 0, 0, 0
        while (pos := _skip(text, pos)) < n:
            self._line += text.count("\n", counted, pos)
            counted, n_values = pos, n_values + 1
            before, mark = self.number, self._mark()
            line_end = text.find("\n", pos) % (n + 1)
            try:
                value, pos = self._one(text, pos, line_end, is_first=n_values == 1)
            except (ValueError, IndexError, RecursionError):
                self._forget(mark)
                self._damaged(text[pos:line_end])
                pos = line_end
            else:
                if self.number == before:
                    self._nothing(value)
        self.is_one_document = n_values == 1

    def begin(self, text: str) -> None:
        """Go through the beginning of a text, which may be cut off anywhere."""
        pos = 0
        while (pos := _skip(text, pos)) < len(text):
            line_end = text.find("\n", pos) % (len(text) + 1)
            try:
                value, pos = _decode(text, pos)
                self.value(value, self.root, 0)
            except (ValueError, RecursionError):
                try:
                    _, pos = self.part(text, pos, self.root, 0)
                except (ValueError, IndexError, RecursionError):
                    pos = line_end

    def _one(self, text: str, pos: int, line_end: int, is_first: bool) -> tuple[Any, int]:
        """Go through one value of a text; return it, or `_LAZY`, and its end."""
        whole = min(AT_ONCE, limits().event_bytes)
        if len(text) - pos > whole:
            value, end = _NOT_PARSED, pos
            if line_end - pos <= whole:
                try:
                    value, n = _decode(text[pos:line_end])
                    end = pos + n
                except (ValueError, RecursionError):
                    if not is_first:  # else a document that is laid out over lines
                        raise
            if value is _NOT_PARSED:
                return self.part(text, pos, self.root, 0)
        else:
            value, end = _decode(text, pos)
        self.value(value, self.root, 0)
        return value, end

    def _damaged(self, line: str) -> None:
        """Take what is whole in a damaged array, and reject the rest."""
        if line.startswith("["):
            with suppress(ValueError, IndexError, RecursionError):
                self.part(line, 0, self.root, 0)
        self._stranger("not_json")

    def _mark(self) -> tuple[Any, int, Counter[str]]:
        return self.sink.mark(), self.number, Counter(self.ignored)

    def _forget(self, mark: tuple[Any, int, Counter[str]]) -> None:
        self.sink.forget(mark[0])
        self.number, self.ignored = mark[1], Counter(mark[2])

    def _nothing(self, value: object) -> None:
        """Account for a value in which nothing was found."""
        if value is _LAZY or value == []:
            return
        if isinstance(value, dict) and not {"type", "data", "timestamp"} & value.keys():
            self.number += 1
            self.ignored["no_event"] += 1  # such as the line above a segment's events
        else:
            self._stranger("not_an_event")

    def other(self, item: object, scope: Scope) -> None:
        """Account for what stands among events and is none: a key, or something damaged."""
        words = (v for k, v in item.items() if is_event_name(k)) if isinstance(item, dict) else ()
        if isinstance(item, dict) and any(
            isinstance(word, str) and kind_of(word) == NOT_POINTER for word in words
        ):
            scope = self._scope(item, scope)
            self.number += 1
            scope.use()
            self.sink.visit(scope, "not_a_pointer_event")
        else:
            self._stranger("not_an_event")

    def _stranger(self, reason: str) -> None:
        self.number += 1
        self.sink.stranger(reason, self._line, self.number)

    def value(self, value: object, scope: Scope, depth: int) -> None:
        """Go through a parsed value."""
        self.is_direct = False
        if depth > _DEEPEST:
            return
        if isinstance(value, dict):
            self._object(value, scope, depth)
        elif isinstance(value, list):
            self._array(value, scope, depth)
        elif isinstance(value, str):
            self._string(value, scope, depth)

    def _object(self, found: Mapping[str, Any], scope: Scope, depth: int) -> None:
        if is_event(found):
            self._found(self.sink.event, found, scope)
        elif self._rows.is_row(found):
            self._found(self.sink.row, found, scope)
        else:
            inside = self._scope(found, scope)
            for key, value in found.items():
                if isinstance(value, dict | list) or _may_hold(value):
                    self.value(value, Scope(inside, key), depth + 1)
                    if value == [] and key in HOLDERS and inside.ids:
                        self._empty(inside)
            self.is_direct = False

    def _found(self, take: Callable, found: Mapping[str, Any], scope: Scope) -> None:
        self.number += 1
        scope = self._scope(found, scope)
        scope.use()
        take(found, scope, self._line, self.number)
        self.is_direct = True

    def _empty(self, scope: Scope) -> None:
        """Take a recording without any event: it is a visit."""
        self.number += 1
        scope.use()
        self.sink.visit(scope, "no_events")

    def _array(self, items: Sequence[Any], scope: Scope, depth: int) -> None:
        array = _Array(self, scope)
        for item in items:
            array.take(item, depth)
        self.is_direct = False

    def _string(self, text: str, scope: Scope, depth: int) -> None:
        if not _may_hold(text):
            return
        try:
            value = self.unpacked(text)
        except UnpackError as error:
            self._stranger(str(error))
        except ValueError:
            pass
        else:
            if isinstance(value, dict | list):
                self.value(value, scope, depth + 1)

    def unpacked(self, packed: str) -> Any:
        """Return the value in a string; raise `UnpackError`, or `ValueError` for no JSON."""
        text = unpack(packed, min(limits().event_bytes, self._budget.left))
        self._budget.left -= len(text)
        return parse(text.decode("utf-8", "surrogatepass" if packed[:1] in "{[" else "replace"))

    def _scope(self, found: Mapping[str, Any], outer: Scope) -> Scope:
        """Return the scope inside an object: a new one if it names something."""
        ids, names = self._identifiers(found)
        if not ids:
            return outer if is_event(found) else Scope(outer, None)
        key = (id(outer), *ids.items())
        if not is_event(found) and not self._rows.is_row(found):
            return Scope(outer, None, ids, names)
        if key not in self._scopes:
            self._scopes[key] = Scope(outer, None, ids, names)
        return self._scopes[key]

    def _identifiers(self, found: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
        """Return the identifiers in an object, or in objects beside its events, and their names."""
        best: dict[str, tuple[int, str, str]] = {}
        for key, value in found.items():
            if isinstance(value, dict) and key not in HOLDERS and key != "node":
                for inner, part in value.items():
                    self._identify(
                        f"{key}.{inner}", key if inner == "id" else inner, part, 10, best
                    )
            else:
                self._identify(key, key, value, 0, best)
        held = [value for key, value in found.items() if key in HOLDERS]
        holds = any(isinstance(value, list) or value is _LAZY for value in held)
        if "session_id" not in best and holds and isinstance(found.get("id"), str):
            best["session_id"] = 20, "id", found["id"]
        ids = {role: value for role, (_, _, value) in best.items()}
        return ids, {role: name for role, (_, name, _) in best.items()}

    def _identify(
        self, shown: str, name: str, value: object, rank: int, best: dict[str, tuple[int, str, str]]
    ) -> None:
        if not isinstance(value, str | int | float) or isinstance(value, bool) or value == "":
            return
        role = (self.asked[shown], -100) if shown in self.asked else name_role(name)
        if (
            role
            and role[0] in IDENTIFIERS
            and (role[0] not in best or rank + role[1] < best[role[0]][0])
        ):
            best[role[0]] = rank + role[1], shown, str(value)
            self.names_seen.add(shown)

    # What follows is for a text that is too large to be parsed at once.

    def part(self, text: str, pos: int, scope: Scope, depth: int) -> tuple[Any, int]:
        """Go through the value at `pos`; return it, or `_LAZY` if it wasn't parsed, and its end."""
        if depth > _DEEPEST:
            raise ValueError("too deep")
        if text[pos] == "[":
            return _LAZY, self._long_array(text, pos + 1, scope, depth)
        value, end = self.small(text, pos)
        if value is _NOT_PARSED:
            return _LAZY, self._long_object(text, pos, scope, depth)
        self.value(value, scope, depth)
        return value, end

    def small(self, text: str, pos: int) -> tuple[Any, int]:
        """Return the value at `pos` and its end; `_NOT_PARSED` for an array or a large object."""
        if text[pos] == "[":
            return _NOT_PARSED, pos
        if text[pos] != "{":
            return _decode(text, pos)
        try:
            value, n = _decode(text[pos : pos + min(_PIECE, limits().event_bytes)])
        except (ValueError, RecursionError):
            return _NOT_PARSED, pos
        return value, pos + n

    def is_found(self, item: Mapping[str, Any]) -> bool:
        """Say whether an object is an event or a row."""
        return is_event(item) or self._rows.is_row(item)

    def _long_array(self, text: str, pos: int, scope: Scope, depth: int) -> int:
        array = _Array(self, scope)
        pos = _skip(text, pos)
        if text[pos] == "]":
            return pos + 1
        while True:
            pos = array.take_part(text, pos, depth)
            pos = _skip(text, pos)
            if text[pos] == "]":
                self.is_direct = False
                return pos + 1
            pos = _skip(text, _after(text, pos, ","))

    def _long_object(self, text: str, pos: int, scope: Scope, depth: int) -> int:
        """Go through an object key by key; one that turns out to be an event is parsed whole."""
        start, mark = pos, self._mark()
        inside, own = Scope(scope), {}
        pos = _skip(text, pos + 1)
        while text[pos] != "}":
            key, pos = scanstring(text, _after(text, pos, '"'), False)
            pos = _skip(text, pos)
            pos = _skip(text, _after(text, pos, ":"))
            is_typed = as_whole(own.get("type")) is not None
            if key == "node" or (is_typed and key in ("data", "timestamp")):
                self.saw_event, self.saw_window = True, "window_id" in scope.find()[0]
            if text[pos] in "{[":
                own[key], pos = self.part(text, pos, Scope(inside, key), depth + 1)
            else:
                own[key], pos = _decode(text, pos)
                if _may_hold(own[key]):
                    self.value(own[key], Scope(inside, key), depth + 1)
            pos = _skip(text, pos)
            if text[pos] != "}":
                pos = _skip(text, _after(text, pos, ","))
        if not is_event(own):
            inside.ids, inside.names = self._identifiers(own)
            self.is_direct = False
            return pos + 1
        self._forget(mark)
        if pos + 1 - start > limits().event_bytes:
            self._stranger("too_large")
        elif as_whole(own["type"]) in (3, 4):
            self.value(_decode(text, start)[0], scope, depth)
        else:
            self._found(self.sink.event, own, scope)
        self.is_direct = True
        return pos + 1


class _Array:
    """An array on the way: what is no event is one that went wrong, if others are events."""

    def __init__(self, walk: Walk, scope: Scope):
        self.walk, self.scope, self.n = walk, scope, 0
        self.leading: list[object] = []  # what came before the first event
        self.has_events = False

    def take(self, item: object, depth: int) -> None:
        """Go through an item."""
        if self._is_window(item):
            return
        if self.leading and isinstance(item, dict) and self.walk.is_found(item):
            self._account_leading()
        before = self.walk.number
        self.walk.value(item, self.scope, depth + 1)
        self._account(item, before)

    def take_part(self, text: str, pos: int, depth: int) -> int:
        """Go through the item at `pos`; return its end."""
        item, end = self.walk.small(text, pos)
        if item is not _NOT_PARSED:
            self.take(item, depth)
            return end
        before = self.walk.number
        self.walk.is_direct = False
        item, end = self.walk.part(text, pos, self.scope, depth + 1)
        self._account(item, before)
        return end

    def _account_leading(self) -> None:
        self.has_events = True
        for other in self.leading:
            self.walk.other(other, self.scope)
        self.leading = []

    def _is_window(self, item: object) -> bool:
        """Take the window's name, which PostHog writes before its event."""
        self.n += 1
        if self.n == 1 and isinstance(item, str) and not _may_hold(item):
            self.scope = Scope(
                self.scope, None, {"window_id": item}, {"window_id": "the first item"}
            )
            return True
        return False

    def _account(self, item: object, before: int) -> None:
        if self.walk.number > before:
            if self.walk.is_direct and not self.has_events:
                self._account_leading()
        elif self.has_events:
            self.walk.other(item, self.scope)
        elif len(self.leading) < _MOST_LEADING:
            self.leading.append(item)


def _skip(text: str, pos: int) -> int:
    """Return the place of the next character that is no space."""
    found = _SPACE.match(text, pos)
    return found.end() if found else pos


def _after(text: str, pos: int, mark: str) -> int:
    """Return the place behind a mark that has to be there."""
    if text[pos] != mark:
        raise ValueError(f"no {mark}")
    return pos + 1


def _may_hold(value: object) -> bool:
    """Say whether a value is a string that may hold JSON, packed or not."""
    if not isinstance(value, str):
        return False
    if value.startswith((*_ZLIB, _GZIP)):
        return True
    if len(value) < _SHORTEST_STRING:
        return False
    first = value.lstrip()[:1]
    return first in ("{", "[") or _BASE64.fullmatch(value) is not None
