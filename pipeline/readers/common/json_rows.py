"""Turn rows of the pointer into a log, wherever in a file of JSON they lie.

A row is an object with a place and a time, in it or in an object inside it; or one with a list for
each, a whole path. Their columns are found as those of any table, once for the file; which session
a row is of, the walk says.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

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
from pipeline.readers.common.json_walk import NESTED, is_place_pair
from pipeline.readers.common.names import IDENTIFIERS, name_role
from pipeline.readers.common.scopes import Findings, Place, Scope, SessionNames
from pipeline.readers.common.tabular import check_width, to_log

_CHUNK: Final = 50_000  # rows that are kept as Python has them


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with the parts of an object, or of a pair, in it as `outer.inner`."""
    if not any(isinstance(value, NESTED) for value in row.values()):
        return dict(row)
    made: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            made |= {f"{key}.{inner}": part for inner, part in value.items()}
        elif is_place_pair(key, value):
            made |= {f"{key}.x": value[0], f"{key}.y": value[1]}
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
class FoundRows(Findings):
    """The rows found, and what became of the others."""

    file: LogFile = field(kw_only=True)
    rows: list[Mapping[str, Any]] = field(default_factory=list)  # those that are in no chunk yet
    visits: list[Scope] = field(default_factory=list)
    chunks: list[pa.Table] = field(default_factory=list)
    reading: Reading | None = None

    def forget(self, mark: Sequence[int]) -> None:
        """Shorten each list to what it was, and undo chunks that were made since."""
        chunks = [*self.chunks]
        super().forget(mark)
        if len(self.chunks) < len(chunks):
            left, self.chunks, self.rows = len(self.scopes), [], []
            for chunk in chunks:
                self.chunks.append(chunk.slice(0, left))
                left -= self.chunks[-1].num_rows

    def row(self, row: Mapping[str, Any], scope: Scope, place: Place) -> None:
        """Take a row."""
        self.rows.append(flat(row))
        self.scopes.append(scope)
        self.places.append(place)
        if len(self.rows) >= _CHUNK:
            self._pack()

    def visit(self, scope: Scope) -> None:
        """Take a row that is no event of the pointer."""
        if not self.visits or self.visits[-1] is not scope:
            self.visits.append(scope)

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

    def to_log(self, source: str, ignored: Counter[str], is_one_document: bool) -> Log:
        """Return the log of all that was found."""
        if self.rows:
            self._pack()
        if self.reading is None:
            raise UnknownFormatError(
                self.file.path,
                "it holds JSON, but no rows with a place and a time"
                + (", only rrweb's events" if self.has_events else ""),
                "--format rrweb" if self.has_events else "docs/formats.md has what is read",
            )
        resolve = SessionNames(self.file)
        ids = [resolve(scope) for scope in self.scopes]
        reading = Reading(
            {**self.reading.names, "session_id": "session_id"},
            has_lists=self.reading.has_lists,
            sessions=resolve.note,
        )
        number: Literal[0, 1] = 1 if is_one_document else 0
        lines = np.array([place[number] for place in self.places], np.int64)
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
        none = logs[0].events.slice(0, 0)
        visits = pa.Table.from_pylist(
            [
                {"session_id": id_, "account_id": account, "source": source}
                for id_, account in dict.fromkeys(map(resolve, self.visits))
            ],
            VISITS,
        )
        rejected = self.rejected_rows(number)
        others = Log(none, rejected, ignored, visits, has_lines=not is_one_document)
        return join_logs([*logs, others])
