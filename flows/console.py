"""What the program says on stderr: log lines as text or JSON, progress, notes; and a clean stop."""

import json
import logging
import re
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from flows.jobs.progress import Progress, ignore
from pipeline.errors import without_secrets

if TYPE_CHECKING:  # it would load JAX
    from model.train import Epoch

OURS: Final = ("pipeline", "rasterize", "model", "flows")
_FLOW: Final = ("flow_run_id", "flow_run_name", "task_run_id", "task_run_name")


class Lines(logging.Formatter):
    """A message as text, without secrets: other programs' errors are quoted in them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, with what went wrong behind it."""
        return without_secrets(super().format(record))


class JsonLines(logging.Formatter):
    """A line of JSON a message; `fields` holds the mapping it was given."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()

    def format(self, record: logging.LogRecord) -> str:
        """Return the message as one line."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if isinstance(record.args, dict):
            line["fields"] = record.args
        line |= {name: getattr(record, name) for name in _FLOW if getattr(record, name, None)}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return without_secrets(json.dumps(line, default=str))


def set_levels(level: str) -> None:
    """Have the program's own loggers tell what is of `level` or above; others keep theirs."""
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())


def set_up_logs(format: str, level: str) -> None:
    """Have the program's own loggers say on stderr what they do."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonLines() if format == "json" else Lines("%(levelname)s %(name)s: %(message)s")
    )
    for name in OURS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
    set_levels(level)


class Plain(Lines):
    """A message as a person reads it: what it is, not which module says so."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message behind its level."""
        return f"{record.levelname.lower()}: {super().format(record)}"


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Have warnings of the program's own loggers reach stderr as plain lines, until the end."""
    loggers = [logging.getLogger(name) for name in OURS]
    before = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Plain())
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
    set_levels("warning")
    try:
        yield
    finally:
        for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)


SILENCE_S: Final = 5.0
"""So long nothing is said, at most."""

QUIET: Final[ContextVar[bool]] = ContextVar("QUIET", default=False)
"""Whether --quiet was asked for."""


@contextmanager
def shown_progress(verb: str) -> Iterator[Callable[[Progress], None]]:
    """Give a function that shows how far a job is."""
    if QUIET.get():
        yield ignore
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    bar = Bar(
        *(TextColumn(verb), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[unit]}")),
        console=console,
    )
    task = bar.add_task(verb, total=None, unit="")
    last = 0

    def show(now: Progress) -> None:
        nonlocal last
        if console.is_terminal:
            bar.start()
            bar.update(task, completed=now.done, total=now.total or None, unit=now.unit)
        elif now.done == now.total or now.done >= 2 * last:
            last = max(now.done, 1)
            of_all = f" of {now.total:,}" if now.total else ""
            console.print(f"{verb}: {now.done:,}{of_all} {now.unit}", highlight=False)

    try:
        yield show
    finally:
        if console.is_terminal:
            bar.stop()


@contextmanager
def shown_work(verb: str) -> Iterator[None]:
    """Show every few seconds that a job works which can't say how far it is."""
    if QUIET.get():
        yield
        return
    began, is_done = time.monotonic(), threading.Event()

    def tell() -> None:
        while not is_done.wait(SILENCE_S):
            print_message(f"{verb}: {time.monotonic() - began:.0f} s")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        is_done.set()
        teller.join()


def print_message(text: str) -> None:
    """Show on stderr what is being done, or what a person should know beside the result."""
    if not QUIET.get():
        print(text, file=sys.stderr, flush=True)


def own_peak_kb() -> int:
    """Return the most memory that this process has held, in kB.

    On Linux `ru_maxrss` begins at the peak of whatever process started this one.
    """
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    return int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def print_throughput(n_done: int, things: str, seconds: float) -> None:
    """Show how many things were done how fast, and in what memory: this process's, a worker's."""
    own = own_peak_kb() // 1024
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    memory = f"{own:,} MiB" + (f", a worker {worker:,} MiB" if worker else "")
    rate = n_done / seconds
    print_message(
        f"{n_done:,} {things} in {seconds:,.1f} s, {rate:,.0f} a second; memory up to {memory}"
    )


def print_epoch(epoch: "Epoch") -> None:
    """Show the losses and figures of an epoch of training."""
    number, *results = asdict(epoch).items()
    figures = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in results)
    print_message(f"epoch {number[1]}: {figures}")


SIGNALLED: Final = 128
"""A process that a signal stopped exits with this and the signal's number, as in a shell."""

_AGAIN: Final = {"train": "with --resume it goes on from the last epoch that was finished"}


class Stopped(BaseException):
    """The program is asked to stop. No `except Exception` catches it."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Have the first SIGTERM raise `Stopped`; only the main thread gets signals."""
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
    """Return the message for a command that a signal stopped."""
    by = "Ctrl-C" if number == signal.SIGINT else number.name
    again = _AGAIN.get(arguments[0] if arguments else "", "the same command again completes it")
    return f"stopped by {by}: {again}"
