"""Reason codes of replays; apart from the search, which loads SciPy."""

from typing import Final

REPLAY: Final = "replay_of_session"
REPEATED: Final = "repeated_movements"
