"""Log files in, `Sessions` out, with an account of every row: read, clean, group."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import (
    ChangedLogError,
    LogError,
    MissingColumnsError,
    NotFoundError,
    UnknownFormatError,
    printable,
)
from pipeline.ingest.clean import clean_events
from pipeline.ingest.external_partition import ExternalPartition
from pipeline.readers import AUTO
from pipeline.readers.common import log_files
from pipeline.readers.common.cells import one_dictionary
from pipeline.readers.common.formats import (
    REJECTED,
    Format,
    Log,
    LogFile,
    find_format,
    reject,
    rejected_file,
)
from pipeline.readers.common.limits import limits
from pipeline.schemas import EVENTS, QUARANTINE, Kind
from pipeline.sessions.sessions import Sessions, to_sessions
from pipeline.storage.paths import RemotePath, as_path

HASHED_BESIDE_BYTES: Final = 2**20  # for less a thread doesn't pay
_MAKE_READABLE: Final = "let this user read it, or name what is to be read"
NO_COLUMNS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True)
class FoundFile:
    """A file that may be a log, and how the user came to name it."""

    path: Path
    root: Path  # the folder that the user named, or the file's own
    is_named: bool  # by itself, not as part of a folder

    @property
    def name(self) -> str:
        """Return its path from the folder that the user named, as tables show it."""
        if self.is_named:
            return printable(self.path.name)
        below = self.path.relative_to(self.root)
        return printable((Path(self.root.resolve().name) / below).as_posix())

    @property
    def leads_out(self) -> bool:
        """Say whether it is a link to somewhere outside of the folder that the user named.

        Whoever may write a log may not thereby have any other file of this machine read.
        """
        inside = self.root.resolve()
        return not self.is_named and not self.path.resolve().is_relative_to(inside)

    @cached_property
    def sha256(self) -> str:
        """Return the hash of its bytes, by which the store knows it."""
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise LogError(self.path, f"it can't be read: {error}") from error

    @cached_property
    def first_seen(self) -> tuple[int, int]:
        """Return its size and the time of its last change, when first asked: before it is read."""
        try:
            was = self.path.stat()
        except OSError as error:
            raise LogError(self.path, f"it can't be read: {error}") from error
        return was.st_size, was.st_mtime_ns

    def check_unchanged(self) -> None:
        """Raise `ChangedLogError` if it was written to since it was first seen."""
        try:
            is_now = self.path.stat()
        except OSError as error:
            raise ChangedLogError(self.path, f"it is gone: {error}") from error
        if (is_now.st_size, is_now.st_mtime_ns) != self.first_seen:
            raise ChangedLogError(self.path)


@dataclass(frozen=True)
class ParsedLog:
    """What came of one file."""

    name: str
    sha256: str
    format: str
    sessions: Sessions
    rejected: pa.Table  # REJECTED
    ignored: Mapping[str, int]
    notes: Mapping[str, int]
    n_rows: int
    n_scroll_rows: int


@dataclass(frozen=True)
class LargeLog:
    """What comes of a file that is too large to be read at once: as many logs as it is cut in.

    Together they are what `ParsedLog` would be; each session is in one of them.
    """

    name: str
    sha256: str
    pieces: Iterator[ParsedLog]


@dataclass(frozen=True)
class NotALog:
    """A file in a folder that no reader takes, and why."""

    name: str
    error: LogError


def find_logs(path: Path) -> list[Path]:
    """Return the file itself, or every file below a folder, in order, but no hidden ones.

    A folder that can't be looked into is an error: what lies in it would be lost in silence.
    """
    try:
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise NotFoundError(path, "there is no such file or folder")
        return sorted(_files_below(path))
    except OSError as error:
        where = Path(error.filename) if error.filename else path
        why = error.strerror or error
        raise LogError(where, f"it can't be looked into: {why}", _MAKE_READABLE) from error


def _files_below(path: Path) -> Iterator[Path]:
    """Give the files below a folder, without hidden ones and what lies in hidden folders."""
    if isinstance(path, RemotePath):
        for file in path.rglob("*"):
            if file.is_file() and not any(map(_is_hidden, file.relative_to(path).parts)):
                yield file
        return
    for folder, folders, names in os.walk(path, onerror=_fail):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        files = (Path(folder, name) for name in names if not _is_hidden(name))
        yield from (file for file in files if file.is_file())


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _fail(error: OSError) -> None:
    raise error


def find_files(paths: Sequence[Path]) -> list[FoundFile]:
    """Return every file that the user named, and every one in a folder, each once."""
    found: dict[Path, FoundFile] = {}
    for path in map(as_path, paths):
        for file in find_logs(path):
            is_named = file == path
            found.setdefault(
                file.resolve(), FoundFile(file, path.parent if is_named else path, is_named)
            )
        if len(found) > limits().files:
            raise LogError(
                path, f"there are more than {limits().files:,} files", "name a folder inside it"
            )
    return list(found.values())


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
    refused = refusal(found)
    if refused is not None:
        return refused
    try:
        format_ = find_format(format, found.path)
        log = _read(format_, LogFile(found.path, found.root, columns))
        parsed = _group(found, format_, log, known_sessions)
        found.check_unchanged()
    except LogError as error:
        if found.is_named:
            raise
        return NotALog(found.name, error)
    return parsed


def refusal(found: FoundFile) -> NotALog | None:
    """Return why a file in a folder can't be looked at, None if it can; named itself, raise."""
    try:
        if found.leads_out:
            raise LogError(found.path, "it is a link out of the folder", "name it itself")
        found.first_seen  # noqa: B018 - it is asked here for the first time
    except LogError as error:
        if found.is_named:
            raise
        return NotALog(found.name, error)
    return None


def open_log(
    found: FoundFile, format: str, columns: Mapping[str, str], known_sessions: Set[str]
) -> ParsedLog | LargeLog | NotALog:
    """Read one file as `parse_log` does; of one that is too large for memory only the beginning.

    The rest is read as its pieces are asked for.
    """
    try:
        if refusal(found) is None and log_files.is_large(found.path):
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
    rejected, ignored = [REJECTED.empty_table()], Counter[str]()
    with ExternalPartition() as spill:
        try:
            for log in format_.read_blocks(LogFile(found.path, found.root, columns, is_large=True)):
                spill.add(log.events)
                rejected.append(log.rejected)
                ignored.update(log.ignored)
        except (UnknownFormatError, MissingColumnsError):
            raise
        except LogError as error:
            bad = rejected_file("unreadable_file", error.what)
            yield _group(found, format_, bad, known_sessions)
            return
        for events in spill.read():
            log = Log(events, REJECTED.empty_table(), {})
            yield _group(found, format_, log, known_sessions)
    unparsed = Log(EVENTS.empty_table(), pa.concat_tables(rejected), ignored)
    yield _group(found, format_, unparsed, known_sessions)
    found.check_unchanged()


def _read(format_: Format, file: LogFile) -> Log:
    """Return the log in a file; one that is damaged as a whole is one rejected row."""
    try:
        return format_.read(file)
    except (UnknownFormatError, MissingColumnsError):
        raise  # the user can mend these
    except LogError as error:
        return rejected_file("unreadable_file", error.what)


def _group(found: FoundFile, format_: Format, log: Log, known_sessions: Set[str]) -> ParsedLog:
    """Clean a log's events and group them into sessions; meanwhile a large file is hashed."""
    with ThreadPoolExecutor(1) as beside:
        if found.first_seen[0] > HASHED_BESIDE_BYTES:
            beside.submit(lambda: found.sha256)
        cleaned = clean_events(log.events)
    events, duplicates = _split_duplicates(cleaned.events, known_sessions)
    rejected = pa.concat_tables([log.rejected, cleaned.rejected, duplicates])
    return ParsedLog(
        name=found.name,
        sha256=found.sha256,
        format=format_.name,
        sessions=to_sessions(events, found.name, found.sha256),
        rejected=_quote(format_, found.path, rejected),
        ignored=log.ignored,
        notes=cleaned.notes,
        n_rows=log.n_rows,
        n_scroll_rows=int(np.count_nonzero(log.events["kind"].to_numpy() == Kind.SCROLL)),
    )


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
    return events.filter(pc.invert(is_known)), reject(line, "duplicate_session")


def _quote(format_: Format, path: Path, rejected: pa.Table) -> pa.Table:
    """Add to rejected rows what stands in the file, sorted by line."""
    rejected = rejected.sort_by("line")
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
    paths: Sequence[Path], format: str = AUTO, columns: Mapping[str, str] = NO_COLUMNS
) -> Iterator[Sessions]:
    """Give the sessions of each log in turn, as they are, without a store.

    A session counts once: the same id in a later file is left out.
    """
    files = find_files(paths)
    is_empty = True
    for sessions in parse_files(files, format, columns):
        is_empty = False
        yield sessions
    if is_empty:
        refuse_no_logs(files, format, columns)


def _untold(outcome: ParsedLog | NotALog) -> None:
    """Tell nobody."""


def parse_files(
    files: Iterable[FoundFile],
    format: str = AUTO,
    columns: Mapping[str, str] = NO_COLUMNS,
    tell: Callable[[ParsedLog | NotALog], None] = _untold,
) -> Iterator[Sessions]:
    """Give the sessions of each file that is a log; a session counts once, as in `parse_logs`.

    `tell` is called with what came of each file, or of each piece of a large one, before its
    sessions are given.
    """
    known: set[str] = set()
    for found in files:
        outcome = open_log(found, format, columns, known)
        if isinstance(outcome, NotALog):
            tell(outcome)
            continue
        for parsed in outcome.pieces if isinstance(outcome, LargeLog) else [outcome]:
            known.update(parsed.sessions.session_id.tolist())
            tell(parsed)
            yield parsed.sessions


def refuse_no_logs(
    files: Sequence[FoundFile], format: str = AUTO, columns: Mapping[str, str] = NO_COLUMNS
) -> None:
    """Raise why the first of `files` is no log; called when none of them is one."""
    first = parse_log(files[0], format, columns) if files else None
    if isinstance(first, NotALog):
        raise first.error
