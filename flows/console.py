"""How far a job is, on stderr: a bar on a terminal, few plain lines elsewhere, nothing if quiet."""

import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # it would load JAX
    from model.train import Epoch

QUIET: Final[ContextVar[bool]] = ContextVar("QUIET", default=False)
"""Whether --quiet was asked for."""


@contextmanager
def progress(verb: str, things: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows how far a job is.

    It is called with the number of things done, and of all of them (0: nobody knows).
    """
    if QUIET.get():
        yield lambda n_done, n_all: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    bar = Progress(
        TextColumn(verb), BarColumn(), MofNCompleteColumn(), TextColumn(things), console=console
    )
    task = bar.add_task(verb, total=None)
    shown = [0]

    def show(n_done: int, n_all: int) -> None:
        if console.is_terminal:
            bar.start()
            bar.update(task, completed=n_done, total=n_all or None)
        elif n_done == n_all or n_done >= 2 * shown[0]:
            shown[0] = max(n_done, 1)
            of_all = f" of {n_all:,}" if n_all else ""
            console.print(f"{verb}: {n_done:,}{of_all} {things}", highlight=False)

    try:
        yield show
    finally:
        if console.is_terminal:
            bar.stop()


def print_notes(lines: Sequence[str]) -> None:
    """Show what there is to say of a result beside the result itself."""
    if not QUIET.get():
        print("\n".join(lines), file=sys.stderr, flush=True)


def print_throughput(n_done: int, things: str, seconds: float) -> None:
    """Show how many things were done how fast, and in what memory: ours, and a worker's."""
    if QUIET.get():
        return
    own, worker = (
        resource.getrusage(who).ru_maxrss // 1024  # kB on Linux
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    memory = f"{own:,} MiB" + (f", a worker {worker:,} MiB" if worker else "")
    rate = n_done / seconds
    told = f"{n_done:,} {things} in {seconds:,.1f} s, {rate:,.0f} a second; memory up to {memory}"
    print(told, file=sys.stderr, flush=True)


def print_epoch(epoch: "Epoch") -> None:
    """Show what an epoch of training came to."""
    if QUIET.get():
        return
    number, *results = asdict(epoch).items()
    told = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in results)
    print(f"epoch {number[1]}: {told}", file=sys.stderr, flush=True)


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
