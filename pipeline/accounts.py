"""What came of each file of an ingest, and of all of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from pipeline.logs import NotALog, ParsedLog


@dataclass(frozen=True)
class FileAccount:
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


def file_account(log: ParsedLog) -> FileAccount:
    """Return the numbers of one file."""
    return FileAccount(
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


def add_up(accounts: Sequence[FileAccount]) -> FileAccount:
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
    accounts: Sequence[FileAccount], n_skipped: int, not_logs: Sequence[NotALog]
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
