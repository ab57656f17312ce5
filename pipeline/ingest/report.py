"""What came of each file of an ingest, and of all of them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from pipeline.ingest.parse import NotALog, ParsedLog, quarantine_table
from pipeline.schemas import QUARANTINE
from pipeline.storage.publish import parquet_writer


@dataclass(frozen=True)
class FileReport:
    """What came of one file, as its part's manifest has it."""

    name: str
    sha256: str
    format: str
    n_rows: int
    n_events: int
    n_sessions: int
    n_scroll_rows: int
    n_labelled: int  # sessions
    rejected: Mapping[str, int]
    ignored: Mapping[str, int]
    notes: Mapping[str, int]


@dataclass(frozen=True)
class IngestReport:
    """What came of an ingest: n_rows = n_events + rejected + ignored, in total."""

    n_files: int = 0  # read in this run
    n_files_skipped: int = 0  # were in the store already
    n_rows: int = 0
    n_events: int = 0
    n_sessions: int = 0
    n_scroll_rows: int = 0
    n_labelled: int = 0  # sessions
    formats: Mapping[str, int] = field(default_factory=dict)  # files
    rejected: Mapping[str, int] = field(default_factory=dict)  # reason -> rows in quarantine
    ignored: Mapping[str, int] = field(default_factory=dict)  # reason -> rows that are no events
    notes: Mapping[str, int] = field(default_factory=dict)  # what was mended or noticed -> rows
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
        tallies = {"quarantined": self.rejected, "no events": self.ignored, "noticed": self.notes}
        lines += [f"{what}: {_listed(tally)}" for what, tally in tallies.items() if tally]
        return lines + [f"not a log: {name}: {why}" for name, why in self.not_logs.items()]

    def to_json(self) -> dict[str, object]:
        """Return the report as plain values, for JSON."""
        return asdict(self)


def _listed(tally: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in sorted(tally.items()))


def file_report(log: ParsedLog) -> FileReport:
    """Return the numbers of one file."""
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
    )


def add_up(accounts: Sequence[FileReport]) -> FileReport:
    """Return the account of a file from those of its pieces."""
    totals = {
        name: sum(getattr(account, name) for account in accounts)
        for name in ("n_rows", "n_events", "n_sessions", "n_scroll_rows", "n_labelled")
    }
    tallies = {
        name: dict(sum((Counter(getattr(account, name)) for account in accounts), Counter()))
        for name in ("rejected", "ignored", "notes")
    }
    return replace(accounts[0], **totals, **tallies)


def ingest_report(
    accounts: Sequence[FileReport], n_skipped: int, not_logs: Sequence[NotALog]
) -> IngestReport:
    """Add up the accounts of all files."""

    def total(name: str) -> int:
        return sum(getattr(account, name) for account in accounts)

    def tally(name: str) -> dict[str, int]:
        return dict(sum((Counter(getattr(account, name)) for account in accounts), Counter()))

    return IngestReport(
        n_files=len(accounts),
        n_files_skipped=n_skipped,
        n_rows=total("n_rows"),
        n_events=total("n_events"),
        n_sessions=total("n_sessions"),
        n_scroll_rows=total("n_scroll_rows"),
        n_labelled=total("n_labelled"),
        formats=dict(Counter(account.format for account in accounts)),
        rejected=tally("rejected"),
        ignored=tally("ignored"),
        notes=tally("notes"),
        not_logs={file.name: file.error.what for file in not_logs},
    )


DUPLICATE: Final = "duplicate_session"


class Outcomes:
    """What came of a shard's raw logs; call it with one after another, in their order."""

    def __init__(self, path: Path, stack: ExitStack):
        self._path, self._stack = path, stack
        self._writer: pq.ParquetWriter | None = None
        self._files: list[FileReport] = []
        self._not_logs: dict[str, str] = {}
        self._n_rejected = 0

    def __call__(self, outcome: ParsedLog | NotALog) -> None:
        """Count it, and write down its rejected rows."""
        if isinstance(outcome, NotALog):
            self._not_logs[outcome.name] = outcome.error.what
            return
        account = file_report(outcome)
        last = self._files[-1] if self._files else None
        if last and (last.name, last.sha256) == (account.name, account.sha256):
            self._files[-1] = add_up([last, account])  # pieces of one large log
        else:
            self._files.append(account)
        if outcome.rejected.num_rows:
            self._n_rejected += outcome.rejected.num_rows
            self._open().write_table(quarantine_table([outcome]))

    def _open(self) -> pq.ParquetWriter:
        """Return the writer; a shard without rejected rows has no file."""
        if self._writer is None:
            self._writer = self._stack.enter_context(parquet_writer(self._path, QUARANTINE))
        return self._writer

    def to_json(self) -> dict[str, Any]:
        """Return what the shard's note says of them."""
        return {
            "files": [asdict(account) for account in self._files],
            "not_logs": self._not_logs,
            "n_rejected": self._n_rejected,
        }


@contextmanager
def outcomes_to(path: Path) -> Iterator[Outcomes]:
    """Give an `Outcomes` whose rejected rows are in `path` at the end, if there are any."""
    with ExitStack() as stack:
        yield Outcomes(path, stack)


def outcomes_report(notes: Sequence[Mapping[str, Any]]) -> IngestReport:
    """Return what came of all raw logs, from what the notes of their shards say."""
    accounts = [FileReport(**account) for note in notes for account in note["files"]]
    not_logs = {name: why for note in notes for name, why in note["not_logs"].items()}
    return replace(ingest_report(accounts, 0, []), not_logs=not_logs)


def duplicates_table(
    note: Mapping[str, Any], rows: Int64[np.ndarray, " doubles"], scores: pa.Table
) -> pa.Table:
    """Return as `QUARANTINE` the sessions at `rows` of a shard, which another shard's log had."""
    files = note["files"]
    stops = np.cumsum([account["n_sessions"] for account in files])
    of_row = [files[i] for i in np.searchsorted(stops, rows, side="right").tolist()]
    chosen = scores.take(pa.array(rows)).select(["session_id", "n_events"]).to_pylist()
    return pa.table(
        {
            "source_file": pa.array([account["name"] for account in of_row], pa.string()),
            "source_sha256": pa.array([account["sha256"] for account in of_row], pa.string()),
            "line": pa.nulls(len(rows), pa.int64()),
            "reason": pa.array([DUPLICATE] * len(rows)).dictionary_encode(),
            "raw": pa.array(
                [f"session {row['session_id']}: {row['n_events']} events" for row in chosen],
                pa.string(),
            ),
        }
    ).cast(QUARANTINE)
