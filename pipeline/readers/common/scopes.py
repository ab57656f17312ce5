"""What events lie in, in a file of JSON, and which session that makes them of."""

import re
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import pyarrow as pa

from pipeline.readers.common.formats import REJECTED, LogFile

HOLDERS: Final = frozenset(
    {
        "events", "event", "snapshots", "snapshot", "data", "records", "record", "items", "results",
        "rows", "recordings", "recording", "segments", "chunks", "batch", "batches", "payload",
        "body", "rrweb", "sessions", "replays", "snapshot_data", "$snapshot_data", "rrwebEvents",
        "rrweb_events", "messages", "logs", "content", "value", "values", "result", "hits",
        "_source", "properties", "mouseEvents", "moves", "movements", "mouse", "points", "path",
        "track", "trajectory",
    }
)  # fmt: skip
"""Keys under which events lie, so that they name no window or session."""

_PART: Final = re.compile(
    r"(step|trial|task|block|phase|stage|round|level|question|page|screen|part)s?[ _-]?\d*", re.I
)
"""Keys of parts of a session; addresses of pages are such keys, too."""
_BY_ID: Final = re.compile(r"by_?(window|tab|session|visit|view)", re.I)

Place = tuple[int, int]
"""The line of the text, and the number of what was found, both from 1."""


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
        is_plain = is_plain or "://" in self.key or bool(_PART.fullmatch(self.key))
        return self.key if len(self.parent.id_keys) > 1 and not is_plain else None


class SessionNames:
    """Which session each scope is of, and what says so."""

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


@dataclass
class Findings:
    """What was found in a file of JSON, and what became of the rest: here, all is rejected."""

    scopes: list[Scope] = field(default_factory=list)  # of each that is kept
    places: list[Place] = field(default_factory=list)
    rejected: list[tuple[Place, str, str | None]] = field(default_factory=list)
    has_events: bool = False  # of rrweb

    def event(self, event: Mapping[str, Any], scope: Scope, place: Place) -> str | None:
        """Take an rrweb event; return why it is left out, if it is none of the pointer."""
        self.has_events = True
        self.stranger("not_a_row", place)

    def row(self, row: Mapping[str, Any], scope: Scope, place: Place) -> None:
        """Take a row with a place and a time."""
        self.stranger("not_an_event", place)

    def visit(self, scope: Scope) -> None:
        """Take what says nothing of the pointer, but that somebody was there."""

    def stranger(self, reason: str, place: Place) -> None:
        """Take what stands where an event or a row should, and is none."""
        self.rejected.append((place, reason, None))

    def _lists(self) -> list[list | array]:
        return [found for found in vars(self).values() if isinstance(found, list | array)]

    def mark(self) -> Sequence[int]:
        """Return how much there is of each list."""
        return [len(found) for found in self._lists()]

    def forget(self, mark: Sequence[int]) -> None:
        """Shorten each list to what it was."""
        for found, n in zip(self._lists(), mark, strict=True):
            del found[n:]

    def rejected_rows(self, number: Literal[0, 1]) -> pa.Table:
        """Return `REJECTED`; `number` says which part of a place is the line that is shown."""
        rows = [(place[number], reason, said) for place, reason, said in self.rejected]
        columns = list(zip(*rows, strict=True)) or [(), (), ()]
        return pa.table(
            [pa.array(c, f.type) for c, f in zip(columns, REJECTED, strict=True)], schema=REJECTED
        )
