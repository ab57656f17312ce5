"""What a log format is, and how the format of a file is found.

A format is a module in `pipeline/readers/` with a `FORMAT`, whose name is the module's.
"""

import importlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePath

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from pipeline.errors import UnknownFormatError, did_you_mean, printable
from pipeline.readers import AUTO, format_names
from pipeline.readers.common.limits import limits
from pipeline.readers.common.log_files import bare_name, read_head
from pipeline.schemas import EVENTS
from pipeline.storage.paths import StoragePath, relative_path

_SHOWN_BYTES = 60  # of a file whose format is unknown

REJECTED = pa.schema(
    [
        pa.field("line", pa.int64()),  # of the file, from 1; null: the file as a whole
        pa.field("reason", pa.string(), nullable=False),
        pa.field("raw", pa.string()),
    ]
)


VISITS = pa.schema(
    [
        pa.field("session_id", pa.string(), nullable=False),
        pa.field("account_id", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("t_us", pa.int64()),
        pa.field("viewport_width", pa.int32()),
        pa.field("viewport_height", pa.int32()),
    ]
)


@dataclass(frozen=True)
class LogFile:
    """A file to read, and how."""

    path: StoragePath
    root: StoragePath  # the folder the user named; ids are made from the path below it
    columns: Mapping[str, str] = field(default_factory=dict)  # our column -> the log's name
    is_large: bool = False  # its blocks are not put together: memory sets no limit on its size
    is_named: bool = False  # by itself: what the user says of columns has to fit it

    @property
    def session_id(self) -> str:
        """Return what a session is called that the file doesn't name: its path below the folder."""
        return printable((self._folder / bare_name(self.path)).as_posix())

    @property
    def account_id(self) -> str | None:
        """Return the folder that the file lies in, below the one that the user named, if any."""
        return printable(self._folder.name) or None

    @property
    def _folder(self) -> PurePath:
        return PurePath(relative_path(self.path.parent.resolve(), self.root.resolve()))

    @property
    def max_bytes(self) -> int:
        """Return how many bytes are read, unpacked; a file that holds more is refused."""
        return limits().streamed_bytes if self.is_large else limits().file_bytes


@dataclass(frozen=True)
class Log:
    """What a reader gives: every row of the file is in exactly one of the three."""

    events: pa.Table  # EVENTS, in the order of the file
    rejected: pa.Table  # REJECTED: rows that could not even be parsed
    ignored: Mapping[str, int]  # reason -> rows that are fine but no pointer events
    # Sessions of which ignored rows tell; those without an event are sessions all the same.
    visits: pa.Table = field(default_factory=VISITS.empty_table)
    words: Mapping[str, int] = field(default_factory=dict)  # that nobody knows -> rows
    note: str = ""  # how the file was read, for a person
    has_lines: bool = True  # a row's line is one of the file's, and not the event's number

    @property
    def n_rows(self) -> int:
        """Return how many rows the file has."""
        return self.events.num_rows + self.rejected.num_rows + sum(self.ignored.values())


@dataclass(frozen=True)
class Format:
    """A log format."""

    name: str  # of its module
    # By the file's first 64 KiB, unpacked, and path.
    recognise: Callable[[bytes, StoragePath], bool]
    read_blocks: Callable[[LogFile], Iterator[Log]]  # most formats give the whole log as one
    is_generic: bool = False  # reads any table of its kind: a file is compared with it last
    is_streamed: bool = False  # gives some megabytes at a time, so that a file can be any size
    # Rows at these lines as text, for the quarantine. None: the rows may hold what people
    # typed, and nobody sees them.
    quote: Callable[[StoragePath, Int64[np.ndarray, " rows"]], Sequence[str | None]] | None = None

    def read(self, file: LogFile) -> Log:
        """Return the whole log in a file."""
        return join_logs(self.read_blocks(file))


def reject(line: Int64[np.ndarray, " rows"], reason: str) -> pa.Table:
    """Return `REJECTED` rows for these lines of a file."""
    return pa.table(
        [pa.array(line), pa.repeat(reason, len(line)), pa.nulls(len(line), pa.string())],
        schema=REJECTED,
    )


def join_logs(logs: Iterable[Log]) -> Log:
    """Return the blocks of a file as one log."""
    parts = list(logs)
    events = pa.concat_tables(part.events for part in parts).unify_dictionaries()
    rejected = pa.concat_tables(part.rejected for part in parts)
    ignored = sum((Counter(part.ignored) for part in parts), Counter[str]())
    visits = pa.concat_tables(part.visits for part in parts)
    words = sum((Counter(part.words) for part in parts), Counter[str]())
    note = next((part.note for part in parts if part.note), "")
    has_lines = all(part.has_lines for part in parts)
    return Log(events, rejected, ignored, visits, words, note, has_lines)


def rejected_file(reason: str, raw: str | None = None) -> Log:
    """Return the log of a file that is rejected as a whole, such as an empty one."""
    return Log(EVENTS.empty_table(), pa.table([[None], [reason], [raw]], schema=REJECTED), {})


@cache
def formats() -> dict[str, Format]:
    """Return the formats by name, in the order in which a file is compared with them."""
    found = {name: importlib.import_module(f"pipeline.readers.{name}") for name in format_names()}
    for name, module in found.items():
        if module.FORMAT.name != name:
            raise ValueError(
                f"{module.__file__}: FORMAT is named {module.FORMAT.name!r}: "
                f"give it the module's name, {name!r}"
            )
    ordered = sorted(found, key=lambda name: (found[name].FORMAT.is_generic, name))
    return {name: found[name].FORMAT for name in ordered}


def recognise(path: StoragePath) -> Format:
    """Return the format of a file, by how it begins."""
    head = read_head(path)
    for format_ in formats().values():
        if format_.recognise(head, path):
            return format_
    first_line = head[:_SHOWN_BYTES].split(b"\n", 1)[0].decode("utf-8", errors="replace").strip()
    raise UnknownFormatError(
        path,
        f"no log format begins with {first_line!r}",
        f"--format says which it is: {', '.join(formats())}; a table needs columns for a time, x "
        "and y (--columns t_ms=...,x=...,y=...), JSON events with them; docs/formats.md",
    )


def find_format(name: str, path: StoragePath) -> Format:
    """Return the format called `name`; `auto` recognises the file."""
    if name == AUTO:
        return recognise(path)
    if name not in formats():
        near = did_you_mean(name, formats())
        raise UnknownFormatError(
            path,
            f"unknown log format {name!r}",
            f"did you mean {near[0]}?" if near else f"formats: {', '.join([AUTO, *formats()])}",
        )
    return formats()[name]


def read_log(
    path: StoragePath, root: StoragePath, format: str = AUTO, columns: Mapping[str, str] = {}
) -> tuple[str, Log]:
    """Return the name of a file's format, and what it holds."""
    format_ = find_format(format, path)
    return format_.name, format_.read(LogFile(path, root, columns))
