"""What the names of columns and keys mean: places, times, identifiers, words for events.

Names are compared by the words they are made of: `clientX`, `pos_x`, `xpos` and `Mouse X` are x.
The lower the rank of a meaning, the better it fits.
"""

import re
from functools import cache, lru_cache
from typing import Final, NamedTuple

from pipeline.readers.common.words import split_word

TIME_UNITS: Final = {"t_us": 1.0, "t_ms": 1e3, "t_s": 1e6, "t_ns": 1e-3}
"""Columns of numbers that are times, and how many microseconds one of them is."""
DATES: Final = ("t_iso", "t", "t_dmy", "t_mdy")
TIMES: Final = (*TIME_UNITS, *DATES)
"""Our names for a time; the first of them that is there counts."""
IDENTIFIERS: Final = ("session_id", "window_id", "account_id")

# What a name may be made of besides the word that tells what it is.
_PLACE: Final = (
    "mouse cursor pointer pos position client coord coords coordinate coordinates cord event point "
    "px pixel pixels loc location value val data details payload target current"
)
_PAIR: Final = "pos position point coord coords coordinate coordinates loc location"
_PLACE_RANK: Final = {
    "page": 3,
    "screen": 4,
    "abs": 4,
    "global": 4,
    "window": 4,
    "offset": 5,
    "layer": 5,
}
_TIME_WORDS: Final = (
    "t ts time times timestamp timestamps datetime date clock epoch elapsed created"
)
_TIME_FILLERS: Final = (
    "client event record recorded mouse local system unix create at stamp cord utc since in js "
    "relative rel abs performance details data value iso now occurred logged"
)
_LATER_TIMES: Final = (
    "start begin end server received inserted updated upload uploaded ingest load rt"
)
_UNIT_WORDS: Final = {
    "s": "t_s", "sec": "t_s", "secs": "t_s", "second": "t_s", "seconds": "t_s",
    "ms": "t_ms", "msec": "t_ms", "milli": "t_ms", "millis": "t_ms", "millisecond": "t_ms",
    "milliseconds": "t_ms", "us": "t_us", "usec": "t_us", "micros": "t_us", "microsecond": "t_us",
    "microseconds": "t_us", "ns": "t_ns", "nanos": "t_ns", "nanosecond": "t_ns",
    "nanoseconds": "t_ns",
}  # fmt: skip
_ID_FILLERS: Final = (
    "id ids key name uuid uid guid no nr num number code hash token data properties meta metadata "
    "event"
)
_SESSIONS: Final = {
    "session": 1,
    "sess": 1,
    "sid": 2,
    "visit": 2,
    "recording": 2,
    "replay": 2,
    "rec": 2,
}
_ACCOUNTS: Final = {
    "account": 1, "user": 2, "customer": 2, "username": 2, "login": 2, "distinct": 2, "person": 3,
    "participant": 3, "subject": 3, "subj": 3, "ppt": 3, "pid": 3, "player": 3, "worker": 3,
    "visitor": 3,
}  # fmt: skip
_WINDOWS: Final = {"window": 1, "tab": 1}
EVENT_NAMES: Final = {
    "event": 1, "eventtype": 2, "eventname": 2, "type": 3, "action": 3, "actiontype": 3,
    "mouseevent": 2, "mouseeventtype": 2, "eventaction": 3, "kind": 3, "movement": 4, "activity": 4,
    "state": 5, "name": 6, "interaction": 4,
}  # fmt: skip
STATE_NAMES: Final = {
    "state": 1,
    "action": 3,
    "pressed": 2,
    "ispressed": 2,
    "buttonstate": 2,
    "direction": 3,
}
BUTTON_NAMES: Final = {"button": 1, "btn": 2, "mousebutton": 2, "buttonname": 2, "clickbutton": 3}
WIDTHS: Final = {"viewportwidth": 1, "windowwidth": 2, "innerwidth": 2, "windowinnerwidth": 2}
HEIGHTS: Final = {"viewportheight": 1, "windowheight": 2, "innerheight": 2, "windowinnerheight": 2}


class Candidate(NamedTuple):
    """A column that may hold what is looked for."""

    rank: int  # the lower, the better
    name: str
    unit: str = ""  # of a time, where the name says it


def plain(name: str) -> str:
    """Return a name in small letters, without what stands between its words."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


@cache
def _vocabulary(*texts: str) -> frozenset[str]:
    return frozenset(word for text in texts for word in text.split())


@lru_cache(10_000)
def name_role(name: str) -> tuple[str, int] | None:
    """Return what an identifier's name names (`session_id`, ...), and its rank."""
    word = name.rpartition(".")[2]
    for role, table in (
        ("session_id", _SESSIONS), ("window_id", _WINDOWS), ("account_id", _ACCOUNTS),
    ):  # fmt: skip
        parts = split_word(word, _vocabulary(" ".join(table), _ID_FILLERS))
        named = [part for part in parts or () if part in table]
        if len(named) == 1 and parts and not {"data", "meta"} >= set(parts) - set(named) != set():
            if role == "window_id" and parts == named:
                continue  # `window` alone is a title or an object
            return role, table[named[0]]
    return None


@lru_cache(10_000)
def place_role(name: str) -> tuple[str, int, str] | None:
    """Return `x` or `y`, its rank, and the rest of the name, which the other one's has too."""
    outer, dot, leaf = name.rpartition(".")
    role = _place_role(name)
    if role or not dot or not (role := _place_role(leaf)):
        return role
    return role[0], role[1] + 1, f"{outer} {role[2]}"


@lru_cache(10_000)
def is_place_name(name: str) -> bool:
    """Say whether a name can be that of a pair, x and y: `position`, `mouse_pos`, `clientXY`."""
    parts = split_word(name, _vocabulary(_PAIR, _PLACE, "xy"))
    return bool(parts and set(parts) & (_vocabulary(_PAIR) | {"xy"}))


def _place_role(name: str) -> tuple[str, int, str] | None:
    word = plain(name)
    if word in ("x", "y", "xs", "ys"):
        return word[0], 1, ""
    listed = re.fullmatch(r"([xy])pos(.+)", word)  # mousetrap: xpos_get_response
    parts = split_word(name, _vocabulary("x y", _PLACE, " ".join(_PLACE_RANK)))
    axes = [part for part in parts or () if part in ("x", "y")]
    if parts and len(axes) == 1 and not re.search(r"\d", name):
        rest = [part for part in parts if part not in ("x", "y")]
        rank = max((_PLACE_RANK.get(part, 2) for part in rest), default=2)
        return axes[0], rank, " ".join(rest)
    return (listed[1], 6, listed[2]) if listed else None


@lru_cache(10_000)
def time_role(name: str) -> Candidate | None:
    """Return the rank of a time's name, and its unit if the name says it."""
    role = _time_role(name)
    leaf = name.rpartition(".")[2]
    if role or leaf == name or not (role := _time_role(leaf)):
        return role
    return Candidate(role.rank + 1, name, role.unit)


def _time_role(name: str) -> Candidate | None:
    if name in TIMES:
        return Candidate(0, name, "" if name == "t" else name)
    words = [word for word in re.split(r"[^a-z]+", _apart(name)) if word]
    unit = ""
    if len(words) > 1 and words[-1] in _UNIT_WORDS:
        unit = _UNIT_WORDS[words.pop()]
    elif words and words[0] in _UNIT_WORDS and len(words[0]) > 2:
        return Candidate(2, name, _UNIT_WORDS[words[0]]) if len(words) == 1 else None
    fillers = _vocabulary(_TIME_FILLERS, _LATER_TIMES)
    parts = split_word(" ".join(words), _vocabulary(_TIME_WORDS) | fillers)
    named = set(parts or ()) & (_vocabulary(_TIME_WORDS) | {"create"})
    if parts and named and len(set(parts)) == len(parts):
        is_later = bool(set(parts) & _vocabulary(_LATER_TIMES))
        return Candidate(4 if is_later else 2, name, unit)
    if re.fullmatch(r"timestamps?.+", plain(name)):  # mousetrap: timestamps_get_response
        return Candidate(6, name, unit)
    return None


def _apart(name: str) -> str:
    """Return a name in small letters with a blank where a capital begins a word."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()


def leaf_of(name: str) -> str:
    """Return the plain name of a column, without that of the object it lies in."""
    return plain(name.rpartition(".")[2])


def is_event_name(name: str) -> bool:
    """Say whether a name may be that of the word for what an event is."""
    return leaf_of(name) in EVENT_NAMES
