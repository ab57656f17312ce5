"""The words by which recorders say what an event is, and of which button: one table for all logs.

A word is taken apart into the parts below, however it is written: `CLICK_DOWN`, `mousemove`,
`Button.left`, `RawButtonPress`, `WM_LBUTTONDOWN`. Of the parts that say what an event is the first
in the order of `_KIND_PARTS` counts: a scroll down is a scroll, a click that goes down a press.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

from pipeline.schemas import Button, Kind

UNKNOWN: Final = -1
NOT_POINTER: Final = -2
"""What is known to say nothing of where the pointer is: a key, a page that loads."""

_KIND_PARTS: Final = {
    Kind.SCROLL: "scroll scrolled scrolling wheel",
    Kind.TOUCH: "touch touched tap",
    Kind.DOWN: "down press pressed",
    Kind.UP: "up release released",
    Kind.DRAG: "drag dragged dragging",
    Kind.CLICK: "click clicked dblclick doubleclick dbl double auxclick contextmenu",
    Kind.MOVE: "move moved moving motion movement",
}
_BUTTON_PARTS: Final = {
    Button.NONE: "none nobutton no scroll",
    Button.LEFT: "left primary lbutton lmb",
    Button.RIGHT: "right secondary rbutton rmb",
    Button.MIDDLE: "middle auxiliary mbutton mmb wheel",
    Button.OTHER: "other unknown back forward x xbutton",
}
_FILLERS: Final = (
    "mouse pointer cursor event events on raw notify wm button btn start end cancel single to type"
)
_NOT_POINTER: Final = frozenset(
    {
        "load", "unload", "domcontentloaded", "beforeunload", "pageshow", "pagehide", "pageload",
        "focus", "blur", "focusin", "focusout", "key", "keydown", "keyup", "keypress", "keyboard",
        "resize", "input", "change", "submit", "select", "selectionchange", "copy", "paste", "cut",
        "visibilitychange", "hashchange", "popstate", "online", "offline", "error", "start",
        "stop", "init", "end", "over", "out", "enter", "leave", "mouseover", "mouseout",
        "mouseenter", "mouseleave", "pointerover", "pointerout", "pointerenter", "pointerleave",
        "pointercancel", "gotpointercapture", "lostpointercapture", "fullscreenchange",
        "navigation", "pageview", "screenshot",
    }
)  # fmt: skip
_STATES: Final = {"true": Kind.DOWN, "1": Kind.DOWN, "false": Kind.UP, "0": Kind.UP}
# The DOM's `MouseEvent.button`.
_BUTTON_NUMBERS: Final = {
    "-1": Button.NONE,
    "0": Button.LEFT,
    "1": Button.MIDDLE,
    "2": Button.RIGHT,
}


def by_part(table: Mapping[Kind, str] | Mapping[Button, str]) -> dict[str, int]:
    """Return the code of each part of a word."""
    return {part: int(code) for code, parts in table.items() for part in parts.split()}


_KIND_OF: Final = by_part(_KIND_PARTS)
_BUTTON_OF: Final = by_part(_BUTTON_PARTS)
_ORDER: Final = {int(kind): i for i, kind in enumerate(_KIND_PARTS)}


@cache
def splitter(parts: frozenset[str]) -> re.Pattern[str]:
    """Return a pattern that one of `parts` after the other matches, the longest first."""
    longest_first = "|".join(sorted(map(re.escape, parts), key=len, reverse=True))
    return re.compile(longest_first)


def split_word(word: str, parts: frozenset[str]) -> list[str] | None:
    """Return the parts that a word is put together from; None where something else is in it."""
    plain = re.sub(r"[^a-z]", "", word.lower())
    found = splitter(parts).findall(plain)
    return found if found and sum(map(len, found)) == len(plain) else None


_EVENT_PARTS: Final = frozenset([*_KIND_OF, *_BUTTON_OF, *_FILLERS.split()])


def kind_of(word: str | None) -> int:
    """Return the `Kind` that a word means, `UNKNOWN` or `NOT_POINTER`; no word is a move."""
    word = (word or "").strip()
    if not word:
        return Kind.MOVE
    if re.sub(r"[^a-z]", "", word.lower()) in _NOT_POINTER:
        return NOT_POINTER
    kinds = [_KIND_OF[part] for part in split_word(word, _EVENT_PARTS) or () if part in _KIND_OF]
    return min(kinds, key=_ORDER.__getitem__, default=UNKNOWN)


def state_of(word: str | None) -> int:
    """Return the `Kind` that the word of a button's state means: `True` is one that goes down."""
    plain = (word or "").strip().lower()
    if not plain:
        return UNKNOWN
    return _STATES[plain] if plain in _STATES else kind_of(plain)


def button_of(word: str | None) -> int:
    """Return the `Button` that a word or the DOM's number means, or `UNKNOWN`; no word is none."""
    plain = (word or "").strip().lower()
    if not plain:
        return Button.NONE
    if is_number(plain):
        return _BUTTON_NUMBERS.get(plain, Button.OTHER)
    parts = split_word(plain, _EVENT_PARTS)
    return _first(part for part in parts or () if part in _BUTTON_OF)


def _first(parts: Iterable[str]) -> int:
    return next((_BUTTON_OF[part] for part in parts), UNKNOWN)


def is_number(word: str) -> bool:
    """Say whether a button is written as a small whole number."""
    return re.fullmatch(r"-1|[0-9]", word.strip()) is not None


def is_scroll(word: str | None) -> bool:
    """Say whether the word of a button says that the wheel was turned, as Balabit has it."""
    return (word or "").strip().lower() in ("scroll", "wheel", "mousewheel", "mouse wheel")
