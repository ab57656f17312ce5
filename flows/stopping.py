"""SIGTERM in, a clean end out: what is in the making is taken away, and one line says so.

Left to itself Python ends at once at SIGTERM: temporary files stay, and so do worker processes.
As an exception it goes the way that Ctrl-C does. What was being computed is not waited for longer
than the step takes that was begun, and a second SIGTERM ends it on the spot.
"""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

CODE: Final = 128
"""A process that a signal stopped ends with this and the signal's number, as shells have it."""

_AGAIN: Final = {"train": "with --resume it goes on from the last epoch that was finished"}


class Stopped(BaseException):
    """Somebody told the program to stop. No `except Exception` holds it up."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Have the first SIGTERM raise `Stopped`; only the main thread can hear it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def stopped_text(number: signal.Signals, arguments: Sequence[str]) -> str:
    """Return what to say of a command that a signal stopped."""
    by = "Ctrl-C" if number == signal.SIGINT else number.name
    again = _AGAIN.get(arguments[0] if arguments else "", "the same command again completes it")
    return f"stopped by {by}: {again}"
