"""Words that a log, or whoever named its file, chose: fit to show and to store."""

import re
from collections.abc import Sequence
from typing import Final

# Control characters, and marks that turn the direction of what is written behind them.
_UNFIT: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def is_fit(name: str, most_characters: int) -> bool:
    """Say whether a name may be stored: not endless, and it shows as what it is."""
    return len(name) <= most_characters and _UNFIT.search(name) is None


def all_fit(names: Sequence[str], most_characters: int) -> bool:
    """Say whether each of many names is fit: they are searched as one text."""
    return (
        max(map(len, names), default=0) <= most_characters and _UNFIT.search("".join(names)) is None
    )


def printable(text: str) -> str:
    """Return text with a visible escape for each character that would do something else.

    The newline too: a file's name could otherwise write a line of its own into an error.
    """
    return _UNFIT.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
