"""Find rrweb's events and rows of the pointer in JSON of any layout, and what they are part of.

One walk for all formats: it goes down arrays, objects and strings that hold JSON, packed or not,
and hands each event and row to `Findings`, with the `Scope` it lies in. Which session that is can
be told at the end alone, since keys come in any order: the nearest identifier counts, in the event,
in what holds it, and so on outwards. The names of identifiers are those of `names.py`.

A text of more than a megabyte isn't parsed at once: arrays are gone through item by item, objects
key by key until the parts are small.
"""

import base64
import binascii
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from json.decoder import scanstring
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

from pipeline.readers.common.limits import limits
from pipeline.readers.common.names import (
    is_event_name,
    is_place_name,
    name_role,
    place_role,
    time_role,
)
from pipeline.readers.common.scopes import HOLDERS, Findings, Scope
from pipeline.readers.common.words import NOT_POINTER, kind_of

AT_ONCE: Final = 2**20  # characters that are parsed at once
_PIECE: Final = 2**15  # of a larger text
_DEEPEST: Final = 60  # arrays and objects inside each other
_MOST_LEADING: Final = 100_000  # items before the first event of an array that are remembered
_SHORTEST_STRING: Final = 20  # that may hold an event

_ZLIB: Final = tuple("x" + second for second in "\x01^\x9c\xda")
_GZIP: Final = "\x1f\x8b"
_BASE64: Final = re.compile(r"(?:H4sI|eJ|eN|eA)[A-Za-z0-9+/_-]+=*\s*")
_ZLIB_OR_GZIP: Final = zlib.MAX_WBITS + 32  # zlib sees by the first bytes which it is
_SPACE: Final = re.compile(r"[ \t\r\n]*")
NESTED: Final = (dict, list)
_ROWS: Final = "\0rows"  # stands for the names in an array of rows
_LAZY: Final = object()  # a value that was gone through without being parsed
_NOT_PARSED: Final = object()
_FIRST_KEY: Final = re.compile(r'\{\s*"[^"\\]*"\s*:')
_decode: Final = json.JSONDecoder(strict=False).raw_decode


class UnpackError(Exception):
    """A string that can't be unpacked; its one argument is the reason, a word."""


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


def is_place_pair(key: str, value: Any) -> bool:
    """Say whether a value is `[x, y]`, by its key and by what is in it."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(part, int | float) for part in value)
        and is_place_name(key)
    )


class Clue(NamedTuple):
    """Where in an object something may stand that identifies it."""

    rank: int  # the lower, the better
    role: str  # session_id, window_id or account_id
    name: str  # as the file has it
    outer: str | None  # key of the object in it where it stands
    key: str


class ObjectShape(NamedTuple):
    """What an object is by its keys and those of the objects in it."""

    is_row: bool  # it has a place and a time
    clues: Sequence[Clue]  # the best first
    may_have_id: bool  # a key `id` that is a session's, if it holds a list


class Shapes:
    """The shapes of objects; those of one table have the same."""

    def __init__(self, asked: Mapping[str, str]) -> None:
        self._asked = asked  # the file's name of an identifier -> its role
        self._known: dict[tuple, ObjectShape] = {}

    def of(self, found: Mapping[str, Any]) -> ObjectShape:
        """Return the shape of an object."""
        inner = [
            (key, *self._inner_names(key, value))
            for key, value in found.items()
            if isinstance(value, NESTED)
        ]
        keys = (*found, *inner)
        if keys not in self._known:
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[keys] = self._shape(found, inner)
        return self._known[keys]

    def _inner_names(self, key: str, value: Any) -> Iterable[str]:
        """Return the names of the parts of an object, or of a pair that is a place."""
        if isinstance(value, dict):
            return value
        if len(value) > 1 and isinstance(value[0], dict) and self.of(value[0]).is_row:
            return (_ROWS,)
        return ("x", "y") if is_place_pair(key, value) else ()

    def _shape(self, found: Mapping[str, Any], inner: Sequence[tuple[str, ...]]) -> ObjectShape:
        names = [*found, *(name for _, *names in inner for name in names)]
        axes = {role[0] for name in names if (role := place_role(name))}
        own = [(0, key, key, None, key) for key in found if not isinstance(found[key], dict)]
        inside = [
            (10, f"{outer}.{key}", outer if key == "id" else key, outer, key)
            for outer, *names in inner if outer not in HOLDERS and outer != "node"
            for key in names
        ]  # fmt: skip
        clues = [
            Clue(rank + role[1], role[0], name, outer, key)
            for rank, name, word, outer, key in own + inside
            if (role := self._role(name, word))
        ]
        return ObjectShape(
            # What lies beside rows is a target, or a summary.
            axes == {"x", "y"} and any(map(time_role, names)) and _ROWS not in names,
            sorted(clues, key=lambda clue: clue.rank),
            "id" in found and not HOLDERS.isdisjoint(found),
        )

    def _role(self, name: str, word: str) -> tuple[str, int] | None:
        return (self._asked[name], -100) if name in self._asked else name_role(word)


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

    def __init__(
        self, sink: Findings, asked: Mapping[str, str] | None = None, has_long_numbers: bool = True
    ):
        self.sink = sink
        self.asked = {theirs: ours for ours, theirs in (asked or {}).items()}
        self.number = 0
        self.is_one_document = False
        self.root = Scope()
        self.names_seen: set[str] = set()  # of identifiers
        self.saw_event = self.saw_window = False  # the beginning of one, at least
        self.ignored: Counter[str] = Counter()
        self.is_direct = False  # whether the last value was an event or a row itself
        self._parse_fast = _refuse if has_long_numbers else orjson.loads
        self._line = 1
        self._shapes = Shapes(self.asked)
        self._packed_left = limits().packed_bytes  # what packed strings may still hold
        self._scopes: dict[tuple, Scope] = {}

    def text(self, text: str) -> None:
        """Go through a text: one value, or one after the other, mostly a line each."""
        n, pos, n_values, counted = len(text), 0, 0, 0
        while (pos := _skip(text, pos)) < n:
            self._line += text.count("\n", counted, pos)
            counted, n_values = pos, n_values + 1
            line_end = text.find("\n", pos) % (n + 1)
            pos = self._one(text, pos, line_end, is_first=n_values == 1)
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

    def _one(self, text: str, pos: int, line_end: int, is_first: bool) -> int:
        """Go through one value of a text; return its end."""
        before, mark = self.number, None
        try:
            value, end = self._parsed(text, pos, line_end, is_first)
            if value is _NOT_PARSED:
                mark = self._mark()
                value, end = self.part(text, pos, self.root, 0)
        except (ValueError, IndexError, RecursionError):
            if mark:
                self._forget(mark)
            self._damaged(text[pos:line_end])
            return line_end
        if not mark:
            try:
                self.value(value, self.root, 0)
            except RecursionError:  # so deep that Python can't compare it
                self._stranger("not_json")
        if self.number == before:
            self._nothing(value)
        return end

    def _parsed(self, text: str, pos: int, line_end: int, is_first: bool) -> tuple[Any, int]:
        """Return the value at `pos` and its end; `_NOT_PARSED` for one that is too large."""
        at_once = min(AT_ONCE, limits().event_bytes)
        line = text[pos:line_end] if line_end - pos <= at_once else None
        if line is not None:
            with suppress(ValueError):
                return self._parse_fast(line), line_end
        if len(text) - pos <= at_once:
            return _decode(text, pos)
        if line is not None:
            try:
                value, n = _decode(line)
            except (ValueError, RecursionError):
                if not is_first:  # else a document that is laid out over lines
                    raise
            else:
                return value, pos + n
        return _NOT_PARSED, pos

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
            scope = self._named(item, self._shapes.of(item), scope)
            self._visit(scope, "not_a_pointer_event")
        else:
            self._stranger("not_an_event")

    def _visit(self, scope: Scope, reason: str) -> None:
        self.number += 1
        scope.use()
        self.ignored[reason] += 1
        self.sink.visit(scope)

    def _stranger(self, reason: str) -> None:
        self.number += 1
        self.sink.stranger(reason, (self._line, self.number))

    def value(self, value: object, scope: Scope, depth: int) -> None:
        """Go through a parsed value."""
        self.is_direct = False
        if depth > _DEEPEST:
            return
        if isinstance(value, dict):
            self._object(value, scope, depth)
        elif isinstance(value, list):
            array = Array(self, scope)
            for item in value:
                array.take(item, depth)
            self.is_direct = False
        elif isinstance(value, str) and _may_hold(value):
            self._string(value, scope, depth)

    def _object(self, found: Mapping[str, Any], scope: Scope, depth: int) -> None:
        shape = self._shapes.of(found)
        if is_event(found):
            self._found(self.sink.event, found, shape, scope)
        elif shape.is_row:
            self._found(self.sink.row, found, shape, scope)
        else:
            inside = Scope(scope, None, *self._identifiers(found, shape))
            for key, value in found.items():
                if isinstance(value, dict | list) or _may_hold(value):
                    self.value(value, Scope(inside, key), depth + 1)
                    if value == [] and key in HOLDERS and inside.ids:
                        self._visit(inside, "no_events")  # a recording without any
            self.is_direct = False

    def _found(
        self, take: Callable, found: Mapping[str, Any], shape: ObjectShape, scope: Scope
    ) -> None:
        self.number += 1
        scope = self._named(found, shape, scope)
        scope.use()
        if reason := take(found, scope, (self._line, self.number)):
            self.ignored[reason] += 1
        self.is_direct = True

    def _string(self, text: str, scope: Scope, depth: int) -> None:
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
        text = unpack(packed, min(limits().event_bytes, self._packed_left))
        self._packed_left -= len(text)
        return parse(text.decode("utf-8", "surrogatepass" if packed[:1] in "{[" else "replace"))

    def _named(self, found: Mapping[str, Any], shape: ObjectShape, outer: Scope) -> Scope:
        """Return the scope of an event or a row: a new one if it names something."""
        ids, names = self._identifiers(found, shape)
        return self.scope_in(outer, ids, names) if ids else outer

    def scope_in(self, outer: Scope, ids: Mapping[str, str], names: Mapping[str, str]) -> Scope:
        """Return the one scope with these identifiers in another."""
        key = (id(outer), *ids.items())
        if key not in self._scopes:
            self._scopes[key] = Scope(outer, None, ids, names)
        return self._scopes[key]

    def _identifiers(
        self, found: Mapping[str, Any], shape: ObjectShape
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Return the identifiers in an object, or in objects beside its events, and their names."""
        ids: dict[str, str] = {}
        names: dict[str, str] = {}
        for _, role, name, outer, key in shape.clues:
            value = (found[outer] if outer else found)[key]
            is_word = isinstance(value, str | int | float) and not isinstance(value, bool)
            if is_word and value != "" and role not in ids:
                ids[role], names[role] = str(value), name
                self.names_seen.add(name)
        if shape.may_have_id and "session_id" not in ids and isinstance(found["id"], str):
            held = (value for key, value in found.items() if key in HOLDERS)
            if any(isinstance(value, list) or value is _LAZY for value in held):
                ids["session_id"], names["session_id"] = found["id"], "id"
        return ids, names

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
        return is_event(item) or self._shapes.of(item).is_row

    def _long_array(self, text: str, pos: int, scope: Scope, depth: int) -> int:
        array = Array(self, scope)
        between, alone = "", 0  # up to there no items parse together
        pos = _skip(text, pos)
        while text[pos] != "]":
            items: list[Any] = []
            if between and pos >= alone:
                items, end = self._several(text, pos, between)
                alone = end
            for item in items:
                array.take(item, depth)
            if not items:
                end = array.take_part(text, pos, depth)
            pos = _skip(text, end)
            if text[pos] != "]":
                pos = _skip(text, _after(text, pos, ","))
                first_key = _FIRST_KEY.match(text, pos)
                between = text[end - 1 : first_key.end()] if first_key else ""
        self.is_direct = False
        return pos + 1

    def _several(self, text: str, pos: int, between: str) -> tuple[list[Any], int]:
        """Return items of an array that parse together, and their end.

        They are cut where what stood between the last two stands again. That may be inside of one:
        then there are none.
        """
        end = text.rfind(between, pos, pos + min(_PIECE, limits().event_bytes)) + 1
        with suppress(ValueError):
            return self._parse_fast(f"[{text[pos:end]}]"), end
        return [], end

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
            inside.ids, inside.names = self._identifiers(own, self._shapes.of(own))
            self.is_direct = False
            return pos + 1
        self._forget(mark)
        if pos + 1 - start > limits().event_bytes:
            self._stranger("too_large")
        elif as_whole(own["type"]) in (3, 4):
            self.value(_decode(text, start)[0], scope, depth)
        else:
            self._found(self.sink.event, own, self._shapes.of(own), scope)
        self.is_direct = True
        return pos + 1


class Array:
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
            self.scope = self.walk.scope_in(
                self.scope, {"window_id": item}, {"window_id": "the first item"}
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


def _refuse(text: str) -> Any:
    raise ValueError("only Python's parser keeps a number of any length")


def has_long_numbers(text: bytes) -> bool:
    """Say whether twenty digits stand in a row: orjson would round such an identifier."""
    codes = np.frombuffer(text, np.uint8)
    for start in range(0, len(text), AT_ONCE):
        is_digit = codes[start : start + AT_ONCE + 20] - np.uint8(ord("0")) < 10
        for others in (1, 2, 4, 8, 4):
            is_digit = is_digit[others:] & is_digit[:-others]
        if is_digit.any():
            return True
    return False


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
