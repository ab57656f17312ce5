"""What a long job yields while it works, and how a caller drains it.

A long job is a generator: `score(job) -> Generator[Progress, None, Result]`. It yields how far it
has come and returns its result; who shows the progress (a bar, a log line, Prefect's page) is the
caller's business.
"""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

Event = TypeVar("Event")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Progress:
    """How far a job has come: 3 of 12 shards.

    Attributes:
        done: Units finished.
        total: Units in all; 0 where that isn't known yet.
        unit: What is counted, in the plural: shards, epochs, sessions.
    """

    done: int
    total: int
    unit: str


def ignore(event: object) -> None:
    """Show nothing."""


def counted(
    steps: Generator[tuple[int, int], None, Result], unit: str
) -> Generator[Progress, None, Result]:
    """Yield `Progress` for each step's (done, total), and return what the steps return."""
    try:
        while True:
            done, total = next(steps)
            yield Progress(done, total, unit)
    except StopIteration as end:
        return end.value
    finally:
        steps.close()


def finish(
    events: Generator[Event, None, Result], show: Callable[[Event], object] = ignore
) -> Result:
    """Run a job to its end, call `show` with each event, and return the job's result.

    Events are `Progress`, or what a job knows better: a training yields its epochs. If `show`
    raises, the job is closed at once: it lets go of its locks and its workers.
    """
    with closing(events):
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                return end.value
            show(event)
