"""Report what became of each file of an ingest or a scoring, and of all of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from types import TracebackType
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from pipeline.errors import LogError
from pipeline.ingest.find import NotALog
from pipeline.ingest.parse import DUPLICATE, ParsedLog, quarantine_table
from pipeline.schemas import QUARANTINE
from pipeline.sessions.recorder import recorder_counts
from pipeline.storage.paths import StoragePath
from pipeline.storage.publish import parquet_writer

_SHOWN: Final = 10  # recorders
_NUMBERS: Final = ("n_rows", "n_events", "n_sessions", "n_scroll_rows", "n_labelled")
_TALLIES: Final = ("rejected", "ignored", "notes", "recorders", "words", "readings")
_MOST_SHOWN: Final = 20  # of a tally, and of files that are no logs
_NEAR: Final = ("column", "reading", "header", "unit")  # in why a file is no log: it nearly is


@dataclass(frozen=True, kw_only=True)
class RowCounts:
    """What became of the rows: n_rows = n_events + rejected + ignored, in total."""

    n_rows: int = 0
    n_events: int = 0
    n_sessions: int = 0
    n_scroll_rows: int = 0
    n_labelled: int = 0  # sessions
    rejected: Mapping[str, int] = field(default_factory=dict)  # reason -> rows in quarantine
    ignored: Mapping[str, int] = field(default_factory=dict)  # reason -> rows that are no events
    notes: Mapping[str, int] = field(default_factory=dict)  # what was mended or noticed -> rows
    recorders: Mapping[str, int] = field(default_factory=dict)  # recorder -> sessions
    words: Mapping[str, int] = field(default_factory=dict)  # that nobody knows -> rows
    readings: Mapping[str, int] = field(default_factory=dict)  # how files were read -> files


@dataclass(frozen=True, kw_only=True)
class FileReport(RowCounts):
    """What became of one file, or a piece of it; the manifest of the file's part has it."""

    name: str
    sha256: str
    format: str
    why: str = ""  # it was rejected as a whole


@dataclass(frozen=True, kw_only=True)
class IngestReport(RowCounts):
    """What became of several files."""

    n_files: int = 0  # read in this run
    n_files_skipped: int = 0  # were in the store already
    formats: Mapping[str, int] = field(default_factory=dict)  # files
    not_logs: Mapping[str, str] = field(default_factory=dict)  # file in a folder -> why not

    def summary(self) -> list[str]:
        """Return the report as lines for a person."""
        lines = [
            f"{self.n_files:,} files ({_listed(self.formats)}): {self.n_rows:,} rows, "
            f"{self.n_events:,} events in {self.n_sessions:,} sessions",
        ]
        counts = {
            "already in the store": self.n_files_skipped,
            "labelled sessions": self.n_labelled,
            "scroll rows": self.n_scroll_rows,
        }
        lines += [f"{what}: {n:,}" for what, n in counts.items() if n]
        lines += [f"read: {how}" + (f" ({n:,} files)" if n > 1 else "")
                  for how, n in _most(self.readings).items()]  # fmt: skip
        tallies = {
            "quarantined": self.rejected, "no events": self.ignored, "noticed": self.notes,
            "unknown words": _most(self.words),
        }  # fmt: skip
        lines += [f"{what}: {_listed(tally)}" for what, tally in tallies.items() if tally]
        commonest = sorted(self.recorders.items(), key=lambda found: (-found[1], found[0]))
        lines += [f"recorder: {name} ({n:,} sessions)" for name, n in commonest[:_SHOWN]]
        if len(commonest) > _SHOWN:
            lines.append(f"and {len(commonest) - _SHOWN:,} more recorders")
        nearest_first = sorted(self.not_logs.items(), key=lambda item: not _is_near(item[1]))
        lines += [f"not a log: {name}: {why}" for name, why in nearest_first[:_MOST_SHOWN]]
        n_more = len(nearest_first) - _MOST_SHOWN
        return lines + ([f"not a log: {n_more:,} more"] if n_more > 0 else [])

    def to_json(self) -> dict[str, object]:
        """Return the report as plain values, for JSON."""
        return asdict(self)


def _is_near(why: str) -> bool:
    """Say whether a file is nearly a log: its columns were looked at."""
    return any(word in why for word in _NEAR)


def _most(tally: Mapping[str, int]) -> dict[str, int]:
    """Return what is most frequent."""
    return dict(Counter(tally).most_common(_MOST_SHOWN))


def _listed(tally: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in sorted(tally.items()))


def file_report(log: ParsedLog) -> FileReport:
    """Return the report of one file, or of a piece of a large one."""
    return FileReport(
        name=log.name,
        sha256=log.sha256,
        format=log.format,
        n_rows=log.n_rows,
        n_events=int(log.sessions.offsets[-1]),
        n_sessions=len(log.sessions),
        n_scroll_rows=log.n_scroll_rows,
        n_labelled=int((log.sessions.label >= 0).sum()),
        rejected=dict(Counter(log.rejected["reason"].to_pylist())),
        ignored=dict(log.ignored),
        notes=dict(log.notes),
        recorders=recorder_counts(log.sessions),
        words=dict(log.words),
        readings={log.note: 1} if log.note else {},
        why=log.why_rejected,
    )


def nothing_read(report: FileReport) -> LogError:
    """Return the error of a file that gave no session."""
    if report.why:
        return LogError(report.name, f"{report.why}: nothing was stored", "is the file complete?")
    tallies = {"quarantined": report.rejected, "no events": report.ignored}
    found = "; ".join(f"{what}: {_listed(tally)}" for what, tally in tallies.items() if tally)
    words = f"; unknown words: {_listed(_most(report.words))}" if report.words else ""
    how = next(iter(report.readings), "")
    return LogError(
        report.name,
        f"no session could be read from its {report.n_rows:,} rows ({found or 'it is empty'}"
        f"{words}), and nothing was stored",
        (f"it was read so: {how}; " if how else "")
        + "--columns or --format say how else; docs/formats.md has the columns and words",
    )


def _totals(reports: Sequence[FileReport]) -> dict[str, Any]:
    """Return the sums of the fields of `RowCounts`."""
    numbers = {name: sum(getattr(one, name) for one in reports) for name in _NUMBERS}
    tallies = {
        name: dict(sum((Counter(getattr(one, name)) for one in reports), Counter()))
        for name in _TALLIES
    }
    return numbers | tallies


def join_pieces(reports: Sequence[FileReport]) -> FileReport:
    """Return the report of a file from those of its pieces."""
    totals = _totals(reports)
    totals["readings"] = dict.fromkeys(totals["readings"], 1)
    totals["why"] = next((report.why for report in reports if report.why), "")
    return replace(reports[0], **totals)


def ingest_report(
    reports: Sequence[FileReport], n_skipped: int, not_logs: Mapping[str, str]
) -> IngestReport:
    """Return the report of several files from the report of each."""
    return IngestReport(
        n_files=len(reports),
        n_files_skipped=n_skipped,
        formats=dict(Counter(report.format for report in reports)),
        not_logs=dict(not_logs),
        **_totals(reports),
    )


class ShardReport:
    """What became of a shard's raw logs; their rejected rows go to a file, if there are any."""

    def __init__(self, rejected: StoragePath):
        self._path, self._stack = rejected, ExitStack()
        self._writer: pq.ParquetWriter | None = None
        self._files: list[FileReport] = []
        self._not_logs: dict[str, str] = {}
        self._n_rejected = 0

    def __enter__(self) -> "ShardReport":
        """Begin without a file."""
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Finish the file of rejected rows."""
        self._stack.close()

    def add(self, log: ParsedLog | NotALog) -> None:
        """Count a log, or a piece of one, and write its rejected rows; logs come in order."""
        if isinstance(log, NotALog):
            self._not_logs[log.name] = log.error.what
            return
        report = file_report(log)
        last = self._files[-1] if self._files else None
        if last and (last.name, last.sha256) == (report.name, report.sha256):
            self._files[-1] = join_pieces([last, report])
        else:
            self._files.append(report)
        if log.rejected.num_rows:
            self._n_rejected += log.rejected.num_rows
            if self._writer is None:
                writer = parquet_writer(self._path, QUARANTINE, flush=False)
                self._writer = self._stack.enter_context(writer)
            self._writer.write_table(quarantine_table([log]))

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values, for the shard's metadata."""
        return {
            "files": [asdict(report) for report in self._files],
            "not_logs": self._not_logs,
            "n_rejected": self._n_rejected,
        }


def join_shard_reports(shards: Sequence[Mapping[str, Any]]) -> IngestReport:
    """Return the report of all raw logs, from `ShardReport.to_json` of each shard."""
    files = [FileReport(**report) for shard in shards for report in shard["files"]]
    not_logs = {name: why for shard in shards for name, why in shard["not_logs"].items()}
    return ingest_report(files, 0, not_logs)


def duplicates_table(
    shard: Mapping[str, Any], rows: Int64[np.ndarray, " duplicates"], scores: pa.Table
) -> pa.Table:
    """Return the sessions at `rows` of a shard, which an earlier shard has, as `QUARANTINE` rows.

    `shard` is `ShardReport.to_json` of the shard.
    """
    files = shard["files"]
    stops = np.cumsum([report["n_sessions"] for report in files])
    file_of_row = [files[i] for i in np.searchsorted(stops, rows, side="right").tolist()]
    chosen = scores.take(pa.array(rows)).select(["session_id", "n_events"]).to_pylist()
    return pa.table(
        {
            "source_file": pa.array([report["name"] for report in file_of_row], pa.string()),
            "source_sha256": pa.array([report["sha256"] for report in file_of_row], pa.string()),
            "line": pa.nulls(len(rows), pa.int64()),
            "reason": pa.array([DUPLICATE] * len(rows)).dictionary_encode(),
            "raw": pa.array(
                [f"session {row['session_id']}: {row['n_events']} events" for row in chosen],
                pa.string(),
            ),
        }
    ).cast(QUARANTINE)
