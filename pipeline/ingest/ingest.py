"""Add log files to a store: each file once, each row to the store or to the quarantine."""

from collections.abc import Generator, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any, Final

import numpy as np
import pyarrow as pa

from pipeline.errors import ColumnsError, LogError
from pipeline.ingest.find import FoundFile, NotALog, find_files, refused
from pipeline.ingest.parse import (
    DUPLICATE,
    NO_COLUMNS,
    LargeLog,
    ParsedLog,
    open_log,
    quarantine_table,
)
from pipeline.ingest.report import (
    FileReport,
    IngestReport,
    file_report,
    ingest_report,
    join_pieces,
    nothing_read,
)
from pipeline.readers import AUTO
from pipeline.readers.common.columns import check_mapping
from pipeline.sessions.recorder import check_recorder, name_recorders
from pipeline.sessions.sessions import Sessions
from pipeline.storage.paths import StoragePath, as_path
from pipeline.storage.publish import lock
from pipeline.storage.store import (
    Part,
    check_date,
    drop_unfinished,
    known_files,
    known_sessions,
    note_ingested,
    part_hash,
    write_large_part,
    write_part,
)

PART_EVENTS: Final = 1_000_000  # a part is closed when it has as many, or as many files
PART_FILES: Final = 64

_FileResult = ParsedLog | LargeLog | NotALog | None
"""What is in a file; None: the store has it."""


def ingest_logs(paths: Sequence[StoragePath], store: StoragePath, **options: Any) -> IngestReport:
    """Do all of `ingest_steps`, which has the same parameters, and return the report."""
    steps = ingest_steps(paths, store, **options)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def ingest_steps(
    paths: Sequence[StoragePath],
    store: StoragePath,
    *,
    format: str = AUTO,
    columns: Mapping[str, str] = NO_COLUMNS,
    labels: Mapping[str, int] | None = None,
    recorder: str = "",
    ingest_date: str,
    strict: bool = False,
) -> Generator[tuple[int, int], None, IngestReport]:
    """Add the logs in `paths` to `store`, under `ingest_date`, and report what became of them.

    A file that the store has, known by its hash, is skipped. `recorder` names what wrote the logs;
    if it is empty, each file's is found or estimated. With `strict` one rejected row
    is an error and nothing is written: the files are read once more, first, to see.
    After each file its number and that of all files are yielded.
    """
    store = as_path(store)
    check_date(ingest_date)
    check_mapping(columns)
    said = Said(labels or {}, check_recorder(recorder))
    files = find_files(paths)
    with lock(store):
        drop_unfinished(store)
        known = _Known(known_files(store), known_sessions(store))
        if strict:
            trial = _Known(set(known.files), set(known.sessions))
            _refuse_rejected(_parse_new(files, trial, format, columns))
        results = _parse_new(files, known, format, columns)
        report = yield from _write_parts(results, len(files), store, ingest_date, said)
        note_ingested(store, ingest_date, len(files))
        return report


@dataclass(frozen=True)
class Said:
    """What the user says of sessions; it counts before what their log does."""

    labels: Mapping[str, int]  # by session
    recorder: str  # empty: nothing is said

    def about(self, sessions: Sessions) -> Sessions:
        """Return the sessions with what is said of them; others keep what the log says."""
        if self.recorder:
            sessions = name_recorders(sessions, self.recorder)
        if not self.labels:
            return sessions
        logged = zip(sessions.session_id, sessions.label.tolist(), strict=True)
        label = [self.labels.get(session_id, label) for session_id, label in logged]
        return replace(sessions, label=np.array(label, np.int8))


@dataclass
class _Known:
    """What the store has: hashes of files, ids of sessions."""

    files: set[str]
    sessions: set[str]


def _parse_new(
    files: Sequence[FoundFile],
    known: _Known,
    format: str,
    columns: Mapping[str, str],
) -> Iterator[_FileResult]:
    """Read each file that is not `known`, and add it and its sessions there."""
    for found in files:
        result: _FileResult = refused(found)
        if result is None and not _is_known(found, known.files):
            result = open_log(found, format, columns, known.sessions)
        if isinstance(result, LargeLog):
            known.files.add(result.sha256)
            result = replace(result, pieces=_remembered(result.pieces, known))
        elif isinstance(result, ParsedLog):
            known.files.add(result.sha256)
            known.sessions.update(result.sessions.session_id.tolist())
        yield result


def _is_known(found: FoundFile, files: Set[str]) -> bool:
    """Say whether the store has a file. If it has none, nothing need be hashed to know."""
    try:
        return bool(files) and found.sha256 in files
    except LogError:
        return False  # reading it will say why


def _remembered(pieces: Iterator[ParsedLog], known: _Known) -> Iterator[ParsedLog]:
    """Give the pieces of a large log, and add their sessions to `known`."""
    for piece in pieces:
        known.sessions.update(piece.sessions.session_id.tolist())
        yield piece


def _refuse_rejected(results: Iterator[_FileResult]) -> None:
    """Raise `LogError` for the first file with a rejected row."""
    each = (log.pieces if isinstance(log, LargeLog) else [log] for log in results)
    for log in chain.from_iterable(each):
        if isinstance(log, ParsedLog) and log.rejected.num_rows:
            first = log.rejected.slice(0, 1).to_pylist()[0]
            line = "" if first["line"] is None else f"line {first['line']}: "
            raise LogError(
                log.name,
                f"{line}{first['reason']}; {log.rejected.num_rows:,} rows of the file are bad",
                "without --strict they go to the quarantine",
            )


def _write_parts(
    results: Iterator[_FileResult],
    n_files: int,
    store: StoragePath,
    ingest_date: str,
    said: Said,
) -> Generator[tuple[int, int], None, IngestReport]:
    """Write the logs part by part, yield how many files are done, and report on all."""
    reports: list[FileReport] = []
    not_logs: list[NotALog] = []
    n_skipped = 0
    logs: list[ParsedLog] = []
    failures: list[LogError] = []
    for n_done, result in enumerate(results, 1):
        if result is None:
            n_skipped += 1
        elif isinstance(result, NotALog):
            not_logs.append(result)
        elif isinstance(result, LargeLog):  # a part of its own
            reports.append(_write_large(result, store, ingest_date, said))
        elif result.is_failure:  # not written: it may be read another way next time
            failures.append(nothing_read(file_report(result)))
        else:
            logs.append(replace(result, sessions=said.about(result.sessions)))
        if _is_full(logs):
            reports += _write_part(logs, store, ingest_date)
            logs = []
        yield n_done, n_files
    if logs:
        reports += _write_part(logs, store, ingest_date)
    if failures:
        raise failures[0]
    _refuse_nothing(reports, not_logs, n_skipped)
    return ingest_report(reports, n_skipped, {file.name: file.error.what for file in not_logs})


def _refuse_nothing(
    reports: Sequence[FileReport], not_logs: Sequence[NotALog], n_skipped: int
) -> None:
    """Raise why no session could be read from any of the files, the nearest to a log first."""
    if n_skipped or any(report.n_sessions for report in reports):
        return
    if reports and not any(DUPLICATE in report.rejected for report in reports):
        raise nothing_read(join_pieces(reports))
    if not_logs:
        raise min(not_logs, key=lambda file: not isinstance(file.error, ColumnsError)).error


def _write_large(log: LargeLog, store: StoragePath, ingest_date: str, said: Said) -> FileReport:
    """Write a large log as a part of its own, a piece at a time, and return its report."""
    part = Part(store, ingest_date, part_hash([log.sha256]))
    reports: list[FileReport] = []

    def pieces() -> Iterator[tuple[Sessions, pa.Table]]:
        for piece in log.pieces:
            piece = replace(piece, sessions=said.about(piece.sessions))
            reports.append(file_report(piece))
            yield piece.sessions, quarantine_table([piece])

    def manifest() -> dict[str, object]:
        return {"ingest_date": ingest_date, "files": [asdict(join_pieces(reports))]}

    write_large_part(part, pieces(), manifest)
    return join_pieces(reports)


def _is_full(logs: Sequence[ParsedLog]) -> bool:
    n_events = sum(int(log.sessions.offsets[-1]) for log in logs)
    return len(logs) >= PART_FILES or n_events >= PART_EVENTS


def _write_part(
    logs: Sequence[ParsedLog], store: StoragePath, ingest_date: str
) -> list[FileReport]:
    """Write some logs as one part, and return the report of each."""
    reports = [file_report(log) for log in logs]
    part = Part(store, ingest_date, part_hash(log.sha256 for log in logs))
    write_part(
        part,
        [log.sessions for log in logs],
        quarantine_table(logs),
        {"ingest_date": ingest_date, "files": [asdict(report) for report in reports]},
    )
    return reports
