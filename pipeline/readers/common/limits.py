"""The limits on what logs may cost: when they are read, and when much is learnt from them.

Logs come from browsers that others control. A limit is far above what a mouse does and below
what hurts a machine; what goes over it is rejected with a reason, or an error that names it.
`POINTERPRINT_LIMIT_<NAME>` in the environment sets one, for worker processes too.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any, Final

from pipeline.errors import ConfigError, did_you_mean

LIMIT_VARIABLES: Final = "POINTERPRINT_LIMIT_"


def _limit(value: int, what: str, excess: str) -> Any:  # a Field, to become an int
    """Declare a limit: its value, what it counts, what becomes of more."""
    return field(default=value, metadata={"what": what, "excess": excess})


@dataclass(frozen=True)
class Limits:
    """The limits in force. docs/limits.md is made of this."""

    files: int = _limit(1_000_000, "files in a folder that is named", "error")
    file_bytes: int = _limit(
        4 * 2**30, "bytes of a file that is read at once, unpacked", "`unreadable_file`"
    )
    streamed_bytes: int = _limit(
        2**40, "bytes of delimited text or JSON lines that are read in pieces", "`unreadable_file`"
    )
    unpacked_ratio: int = _limit(
        250, "bytes unpacked for each packed one, beyond `unpacked_free_bytes`", "`unreadable_file`"
    )
    unpacked_free_bytes: int = _limit(
        256 * 2**20, "bytes that a file may unpack to whatever its packed size", "as above"
    )
    columns: int = _limit(10_000, "columns of a table, keys of a JSON line", "not a log, or error")
    line_bytes: int = _limit(
        2**20, "bytes of a row of delimited text or JSON lines", "row rejected: `too_large`"
    )
    event_bytes: int = _limit(
        64 * 2**20, "bytes of JSON of one rrweb or PostHog event", "row rejected: `too_large`"
    )
    packed_bytes: int = _limit(
        2**30, "bytes of JSON that a file's packed events may hold", "rows rejected: `too_large`"
    )
    rows_per_byte: int = _limit(
        64, "rows of a Parquet file for each of its bytes, beyond `free_rows`", "`unreadable_file`"
    )
    free_rows: int = _limit(
        2_000_000, "rows that a Parquet file may have whatever its size", "as above"
    )
    session_events: int = _limit(
        10_000_000, "events of a session", "rows behind them rejected: `session_too_long`"
    )
    training_events: int = _limit(
        5_000_000,
        "events of the sessions that a training or an adaptation loads",
        "left out: a sample of every account and label is taken",
    )
    name_characters: int = _limit(
        1024, "characters of a session's or account's name", "row rejected: `bad_name`"
    )

    def __post_init__(self) -> None:
        """Refuse limits that let nothing through."""
        wrong = [one.name for one in fields(self) if getattr(self, one.name) < 1]
        if wrong:
            raise ConfigError(f"limit {wrong[0]}", f"{getattr(self, wrong[0])}", "1 or more")


_in_force: Limits | None = None


def limits() -> Limits:
    """Return the limits in force: those set by `limited`, or else by the environment."""
    return _in_force or _of_process()


@cache
def _of_process() -> Limits:
    """Return the limits that this process was started with."""
    return from_environment(os.environ)


def from_environment(environment: Mapping[str, str]) -> Limits:
    """Return the default limits with those that the environment sets."""
    known = [one.name for one in fields(Limits)]
    changes = {}
    for variable, text in environment.items():
        name = variable.removeprefix(LIMIT_VARIABLES).lower()
        if not variable.startswith(LIMIT_VARIABLES):
            continue
        if name not in known:
            near = did_you_mean(name, known)
            nearest = f"did you mean {LIMIT_VARIABLES}{near[0].upper()}?" if near else ""
            raise ConfigError(variable, "unknown limit", nearest or "docs/limits.md lists them")
        if not text.isascii() or not text.isdigit():
            raise ConfigError(
                variable, f"{text!r} is not a whole number", "use one such as 1000000"
            )
        changes[name] = int(text)
    return replace(Limits(), **changes)


@contextmanager
def limited(**changes: int) -> Iterator[Limits]:
    """Put other limits in force for a while; in this process alone."""
    global _in_force
    before = _in_force
    _in_force = replace(limits(), **changes)
    try:
        yield _in_force
    finally:
        _in_force = before
