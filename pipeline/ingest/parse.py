"""Read log files, clean their events and group them into sessions; account for every row."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ColumnsError, LogError, UnknownFormatError, is_fit
from pipeline.ingest.clean import clean_events
from pipeline.ingest.external_partition import ExternalPartition
from pipeline.ingest.find import FoundFile, NotALog, find_files, refused
from pipeline.readers import AUTO
from pipeline.readers.common import log_files
from pipeline.readers.common.cells import one_dictionary
from pipeline.readers.common.formats import (
    REJECTED,
    Format,
    Log,
    LogFile,
    find_format,
    join_logs,
    reject,
    rejected_file,
)
from pipeline.readers.common.limits import limits
from pipeline.schemas import EVENTS, QUARANTINE, Kind
from pipeline.sessions.recorder import name_recorders
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from pipeline.sessions.tables import empty_sessions, to_sessions
from pipeline.storage.paths import StoragePath

DUPLICATE: Final = "duplicate_session"
HASHED_IN_THREAD_BYTES: Final = 2**20  # for less a thread doesn't pay
NO_COLUMNS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True)
class ParsedLog:
    """The sessions of one file, and what else its rows are."""

    name: str
    sha256: str
    format: str
    sessions: Sessions
    rejected: pa.Table  # REJECTED
    ignored: Mapping[str, int]
    notes: Mapping[str, int]
    n_rows: int
    n_scroll_rows: int
    words: Mapping[str, int] = field(default_factory=dict)  # that nobody knows
    note: str = ""  # how it was read
    is_named: bool = False  # by the user, by itself

    @property
    def why_rejected(self) -> str:
        """Return why the file was rejected as a whole, empty if it wasn't."""
        rows = self.rejected.filter(self.rejected["line"].is_null()).slice(0, 1).to_pylist()
        return (rows[0]["raw"] or rows[0]["reason"]) if rows else ""

    @property
    def is_failure(self) -> bool:
        """Say whether a user named it and nothing could be read of it: not even what is known."""
        return (
            self.is_named
            and not len(self.sessions)
            and not pc.any(pc.equal(self.rejected["reason"], DUPLICATE)).as_py()
        )


@dataclass(frozen=True)
class LargeLog:
    """A file that is too large to be read at once: as many logs as it is cut in.

    Together they are what `ParsedLog` would be; each session is in one of them.
    """

    name: str
    sha256: str
    pieces: Iterator[ParsedLog]


def parse_log(
    found: FoundFile,
    format: str = AUTO,
    columns: Mapping[str, str] = NO_COLUMNS,
    known_sessions: Set[str] = frozenset(),
) -> ParsedLog | NotALog:
    """Read one file. Rows of sessions in `known_sessions` are rejected as duplicates.

    A file that a user named has to be a log; in a folder other files may lie about, among
    them links out of it and files that are still being written.
    """
    if (not_a_log := refused(found)) is not None:
        return not_a_log
    try:
        format_ = find_format(format, found.path)
        log = _read(format_, LogFile(found.path, found.root, columns, is_named=found.is_named))
        parsed = _group(found, format_, log, known_sessions)
        found.check_unchanged()
    except LogError as error:
        if found.is_named:
            raise
        return NotALog(found.name, error)
    return parsed


def open_log(
    found: FoundFile, format: str, columns: Mapping[str, str], known_sessions: Set[str]
) -> ParsedLog | LargeLog | NotALog:
    """Read one file as `parse_log` does; of one that is too large for memory only the beginning.

    The rest is read as its pieces are asked for.
    """
    try:
        if refused(found) is None and log_files.is_large(found.path):
            format_ = find_format(format, found.path)
            if format_.is_streamed:
                pieces = _pieces(found, format_, columns, known_sessions)
                return LargeLog(found.name, found.sha256, pieces)
    except (LogError, OSError):
        pass  # the next line says why
    return parse_log(found, format, columns, known_sessions)


def _pieces(
    found: FoundFile, format_: Format, columns: Mapping[str, str], known_sessions: Set[str]
) -> Iterator[ParsedLog]:
    """Give what comes of each part of a large file, last what could not even be parsed."""
    rest: list[Log] = []  # of each block, without its events
    named: set[str] = set()  # sessions with events
    file = LogFile(found.path, found.root, columns, is_large=True, is_named=found.is_named)
    with ExternalPartition() as partition:
        try:
            for log in format_.read_blocks(file):
                partition.add(log.events)
                rest.append(
                    replace(log, events=EVENTS.empty_table(), visits=_once(log.visits, rest))
                )
        except (UnknownFormatError, ColumnsError):
            raise
        except LogError as error:
            bad = rejected_file("unreadable_file", error.what)
            yield _group(found, format_, bad, known_sessions)
            return
        for events in partition.read():
            log = Log(events, REJECTED.empty_table(), {})
            piece = _group(found, format_, log, known_sessions)
            named.update(piece.sessions.session_id.tolist())
            yield piece
    if rest:
        yield _group(found, format_, join_logs(rest), known_sessions | named)
    found.check_unchanged()


def _read(format_: Format, file: LogFile) -> Log:
    """Return the log in a file; one that is damaged as a whole is one rejected row."""
    try:
        return format_.read(file)
    except (UnknownFormatError, ColumnsError):
        raise  # the user can mend these
    except LogError as error:
        return rejected_file("unreadable_file", error.what)


def _once(visits: pa.Table, earlier: Sequence[Log]) -> pa.Table:
    """Return the visits that no earlier block tells of."""
    if not visits.num_rows:
        return visits
    seen = pa.chunked_array(
        [c for log in earlier for c in log.visits["session_id"].chunks], pa.string()
    )
    return visits.filter(pc.invert(pc.is_in(visits["session_id"], seen)))


def _group(found: FoundFile, format_: Format, log: Log, known_sessions: Set[str]) -> ParsedLog:
    """Clean a log's events and group them into sessions; meanwhile a large file is hashed.

    A visit without any event is a session too.
    """
    with ThreadPoolExecutor(1) as thread:
        if found.first_seen[0] > HASHED_IN_THREAD_BYTES:
            thread.submit(lambda: found.sha256)
        cleaned = clean_events(log.events)
    events, duplicates = _split_duplicates(cleaned.events, known_sessions)
    rejected = pa.concat_tables([log.rejected, cleaned.rejected, duplicates])
    sessions = to_sessions(events, found.name, found.sha256)
    if log.visits.num_rows:
        visits = _new_visits(log.visits, known_sessions | set(sessions.session_id.tolist()))
        empty = empty_sessions(visits, found.name, found.sha256)
        sessions = concatenate_sessions([sessions, empty])
    return ParsedLog(
        name=found.name,
        sha256=found.sha256,
        format=format_.name,
        sessions=name_recorders(sessions),
        rejected=_quote(format_, found.path, rejected) if log.has_lines else _sorted(rejected),
        ignored=Counter(log.ignored) + Counter(cleaned.ignored),
        notes=cleaned.notes,
        n_rows=log.n_rows,
        n_scroll_rows=int(np.count_nonzero(log.events["kind"].to_numpy() == Kind.SCROLL.value)),
        words=log.words,
        note=log.note,
        is_named=found.is_named,
    )


def _new_visits(visits: pa.Table, known: Set[str]) -> pa.Table:
    """Return a row for each session that is not `known`, without those that can't be named."""
    ids = visits["session_id"].to_pylist()
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        if name and name.strip() and name not in known:
            first.setdefault(name, row)
    most = limits().name_characters
    return visits.take(
        pa.array([row for name, row in first.items() if is_fit(name, most)], pa.int64())
    )


def _sorted(rejected: pa.Table) -> pa.Table:
    return rejected.sort_by("line")


def _split_duplicates(events: pa.Table, known_sessions: Set[str]) -> tuple[pa.Table, pa.Table]:
    """Return the events of sessions that are new, and the others as rejected rows."""
    if not known_sessions:
        return events, REJECTED.empty_table()
    ids = one_dictionary(events["session_id"])
    known = known_sessions & set(ids.dictionary.to_pylist())
    if not known:
        return events, REJECTED.empty_table()
    is_known = pc.is_in(ids.cast(pa.string()), pa.array(sorted(known)))
    line = events["line"].filter(is_known).to_numpy()
    return events.filter(pc.invert(is_known)), reject(line, DUPLICATE)


def _quote(format_: Format, path: StoragePath, rejected: pa.Table) -> pa.Table:
    """Sort rejected rows by line, and add their text in the file."""
    rejected = _sorted(rejected)
    needs = pc.and_(rejected["raw"].is_null(), rejected["line"].is_valid()).combine_chunks()
    if format_.quote is None or not pc.any(needs).as_py():
        return rejected
    rows = format_.quote(path, rejected["line"].filter(needs).to_numpy())
    raw = pc.replace_with_mask(rejected["raw"].combine_chunks(), needs, pa.array(rows, pa.string()))
    return rejected.set_column(REJECTED.get_field_index("raw"), REJECTED.field("raw"), raw)


def quarantine_table(logs: Sequence[ParsedLog]) -> pa.Table:
    """Return the `QUARANTINE` rows of several files."""
    tables = [
        pa.table(
            {
                "source_file": pa.repeat(log.name, log.rejected.num_rows),
                "source_sha256": pa.repeat(log.sha256, log.rejected.num_rows),
                "line": log.rejected["line"],
                "reason": log.rejected["reason"].cast(QUARANTINE.field("reason").type),
                "raw": log.rejected["raw"],
            }
        )
        for log in logs
    ]
    return pa.concat_tables(tables).unify_dictionaries().cast(QUARANTINE)


def parse_logs(
    paths: Sequence[StoragePath], format: str = AUTO, columns: Mapping[str, str] = NO_COLUMNS
) -> Iterator[Sessions]:
    """Give the sessions of each log in turn, as they are, without a store."""
    files = find_files(paths)
    is_empty = True
    for log in parse_files(files, format, columns):
        if isinstance(log, ParsedLog):
            is_empty = False
            yield log.sessions
    if is_empty:
        refuse_no_logs(files, format, columns)


def parse_files(
    files: Iterable[FoundFile], format: str = AUTO, columns: Mapping[str, str] = NO_COLUMNS
) -> Iterator[ParsedLog | NotALog]:
    """Read each file, a large one in pieces. A session that an earlier file had is rejected."""
    known: set[str] = set()
    for found in files:
        log = open_log(found, format, columns, known)
        for parsed in log.pieces if isinstance(log, LargeLog) else [log]:
            if isinstance(parsed, ParsedLog):
                known.update(parsed.sessions.session_id.tolist())
            yield parsed


def refuse_no_logs(
    files: Sequence[FoundFile], format: str = AUTO, columns: Mapping[str, str] = NO_COLUMNS
) -> None:
    """Raise why the first of `files` is no log; called when none of them is one."""
    first = parse_log(files[0], format, columns) if files else None
    if isinstance(first, NotALog):
        raise first.error
