"""What a reader is: how it knows its format, and what it gives for a file.

A reader is a module in this folder that has a `FORMAT`; it is found by that alone.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

REJECTED = pa.schema(
    [
        pa.field("line", pa.int64()),  # of the file, from 1; null: the file as a whole
        pa.field("reason", pa.string(), nullable=False),
        pa.field("raw", pa.string()),
    ]
)


@dataclass(frozen=True)
class LogFile:
    """A file to read, and what is known of it."""

    path: Path
    root: Path  # the folder the user named; ids are made from the path below it
    columns: Mapping[str, str] = field(default_factory=dict)  # our column -> the log's name


@dataclass(frozen=True)
class Log:
    """What a reader gives: every row of the file is in exactly one of the three."""

    events: pa.Table  # EVENTS, in the order of the file
    rejected: pa.Table  # REJECTED: rows that could not even be parsed
    ignored: Mapping[str, int]  # reason -> rows that are fine but no pointer events

    @property
    def n_rows(self) -> int:
        """Return how many rows the file has."""
        return self.events.num_rows + self.rejected.num_rows + sum(self.ignored.values())


@dataclass(frozen=True)
class Format:
    """A log format."""

    name: str
    recognise: Callable[[bytes, Path], bool]  # from the file's first 64 KiB, unpacked, and name
    read: Callable[[LogFile], Log]
    is_generic: bool = False  # reads any table of its kind: asked after the others
    # Rows at these lines as text, for the quarantine. None: the rows may hold what people
    # typed, and nobody sees them.
    quote: Callable[[Path, Int64[np.ndarray, " rows"]], Sequence[str | None]] | None = None
    # The log a block of rows at a time, for files too large for memory. None: it can't.
    read_blocks: Callable[[LogFile], Iterator[Log]] | None = None


def reject(line: Int64[np.ndarray, " rows"], reason: str) -> pa.Table:
    """Return `REJECTED` rows for these lines of a file."""
    return pa.table(
        [pa.array(line), pa.repeat(reason, len(line)), pa.nulls(len(line), pa.string())],
        schema=REJECTED,
    )


def further_down(log: Log, n_lines: int) -> Log:
    """Return a log whose lines are so many lines further down in its file."""
    if not n_lines:
        return log
    events, rejected = (
        table.set_column(
            table.column_names.index("line"),
            table.schema.field("line"),
            pc.add(table["line"], n_lines),
        )
        for table in (log.events, log.rejected)
    )
    return Log(events, rejected, log.ignored)


def join_logs(logs: Iterable[Log]) -> Log:
    """Return what was read of a file piece by piece as one log."""
    parts = list(logs)
    events = pa.concat_tables(part.events for part in parts).unify_dictionaries()
    rejected = pa.concat_tables(part.rejected for part in parts)
    ignored = sum((Counter(part.ignored) for part in parts), Counter[str]())
    return Log(events, rejected, ignored)


def reject_file(reason: str, raw: str | None = None) -> pa.Table:
    """Return the one `REJECTED` row that stands for a whole file."""
    return pa.table([[None], [reason], [raw]], schema=REJECTED)
