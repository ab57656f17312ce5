"""Turn rows of the pointer into a log, wherever in a file of JSON they lie.

A row is an object with a place and a time, in it or in an object inside it; or one with a list for
each, a whole path. Their columns are found as those of any table, once for the file; which session
a row is of, the walk says.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from pipeline.errors import UnknownFormatError
from pipeline.readers.common.columns import (
    SAMPLE_ROWS,
    Reading,
    Sample,
    read_columns,
)
from pipeline.readers.common.formats import REJECTED, VISITS, Log, LogFile, join_logs
from pipeline.readers.common.json_walk import Scope
from pipeline.readers.common.names import IDENTIFIERS, name_role
from pipeline.readers.common.rrweb_events import SessionNames
from pipeline.readers.common.tabular import check_width, to_log

_CHUNK: Final = 50_000  # rows that are kept as Python has them


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with the parts of an object in it as `outer.inner`."""
    if not any(isinstance(value, dict) for value in row.values()):
        return dict(row)
    made: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            made |= {f"{key}.{inner}": part for inner, part in value.items()}
        else:
            made[key] = value
    return made


def first_names(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names that some rows have, in the order of their appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


def sample_of(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Sample:
    """Return the first of some rows."""
    return Sample(names, [[row.get(name) for name in names] for row in rows[:SAMPLE_ROWS]])


def column_of(values: Sequence[Any]) -> pa.ChunkedArray:
    """Return values as a column; as text where they are of several kinds."""
    try:
        return pa.chunked_array([pa.array(values)])
    except (pa.ArrowException, OverflowError, UnicodeEncodeError, ValueError, TypeError):
        return pa.chunked_array([pa.array([cell_text(value) for value in values], pa.string())])


def cell_text(value: Any) -> str | None:
    """Return a value as text, as JSON has it where it is no text."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace").decode()


@dataclass
class FoundRows:
    """The rows found, and what became of the others."""

    file: LogFile
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)  # of each row, those in chunks too
    lines: list[tuple[int, int]] = field(default_factory=list)
    rejected: list[tuple[int, int, str]] = field(default_factory=list)
    visits: list[Scope] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    n_events: int = 0  # of rrweb, which aren't rows
    chunks: list[pa.Table] = field(default_factory=list)
    reading: Reading | None = None

    def mark(self) -> tuple[int, ...]:
        """Return how much there is."""
        return (
            len(self.rows),
            len(self.scopes),
            len(self.rejected),
            len(self.visits),
            len(self.chunks),
        )

    def forget(self, mark: Sequence[int]) -> None:
        """Shorten all to what it was, unless rows were put into a chunk since."""
        n_rows, n_scopes, n_rejected, n_visits, n_chunks = mark
        if len(self.chunks) == n_chunks:
            del self.rows[n_rows:], self.scopes[n_scopes:], self.lines[n_scopes:]
        del self.rejected[n_rejected:], self.visits[n_visits:]

    def event(self, event: Mapping[str, Any], scope: Scope, line: int, number: int) -> None:
        """Count an event of rrweb's."""
        self.n_events += 1
        self.stranger("not_a_row", line, number)

    def row(self, row: Mapping[str, Any], scope: Scope, line: int, number: int) -> None:
        """Take a row."""
        self.rows.append(flat(row))
        self.scopes.append(scope)
        self.lines.append((line, number))
        if len(self.rows) >= _CHUNK:
            self._pack()

    def visit(self, scope: Scope, reason: str) -> None:
        """Take a row that is no event of the pointer."""
        self.ignored[reason] += 1
        if not self.visits or self.visits[-1] is not scope:
            self.visits.append(scope)

    def stranger(self, reason: str, line: int, number: int) -> None:
        """Take what is no row."""
        self.rejected.append((line, number, reason))

    def _pack(self) -> None:
        """Make a table of the rows so far, of the columns that are read."""
        if self.reading is None:
            names = [name for name in first_names(self.rows) if not name_role(name)]
            check_width(names, self.file.path)
            asked = {o: n for o, n in self.file.columns.items() if o not in IDENTIFIERS}
            sample = sample_of(names, self.rows)
            self.reading = read_columns(asked, sample, self.file.path, self.file.is_named)
        columns = {
            ours: column_of([row.get(name) for row in self.rows])
            for ours, name in self.reading.names.items()
            if ours not in IDENTIFIERS
        }
        self.chunks.append(pa.table(columns))
        self.rows = []

    def to_log(self, source: str, is_one_document: bool) -> Log:
        """Return the log of all that was found."""
        if self.rows:
            self._pack()
        if self.reading is None:
            raise UnknownFormatError(
                self.file.path,
                "it holds JSON, but no rows with a place and a time"
                + (", only rrweb's events" if self.n_events else ""),
                "--format rrweb" if self.n_events else "docs/formats.md has what is read",
            )
        resolve = SessionNames(self.file)
        ids = [resolve(scope) for scope in self.scopes]
        reading = Reading(
            {**self.reading.names, "session_id": "session_id"},
            has_lists=self.reading.has_lists,
            sessions=resolve.note,
        )
        number = 1 if is_one_document else 0
        lines = np.array([line[number] for line in self.lines], np.int64)
        logs, start = [], 0
        for chunk in self.chunks:
            stop = start + chunk.num_rows
            for k, name in ((0, "session_id"), (1, "account_id")):
                words = pa.array([i[k] for i in ids[start:stop]], pa.string()).dictionary_encode()
                if name in chunk.column_names:
                    chunk = chunk.drop_columns(name)
                chunk = chunk.append_column(name, words)
            none = REJECTED.empty_table()
            logs.append(to_log(chunk, lines[start:stop], none, source, self.file, reading))
            start = stop
        rejected = pa.table(
            [
                pa.array([row[number] for row in self.rejected], pa.int64()),
                pa.array([row[2] for row in self.rejected], pa.string()),
                pa.nulls(len(self.rejected), pa.string()),
            ],
            schema=REJECTED,
        )
        none = logs[0].events.slice(0, 0)
        visits = pa.Table.from_pylist(
            [
                {"session_id": id_, "account_id": account, "source": source}
                for id_, account in dict.fromkeys(map(resolve, self.visits))
            ],
            VISITS,
        )
        others = Log(none, rejected, self.ignored, visits, has_lines=not is_one_document)
        return join_logs([*logs, others])
