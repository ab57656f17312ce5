"""What came of raw logs that are scored as they are: rejected rows to a file, all else counted.

Ingest keeps the same beside its store. Nothing that somebody sent is lost in silence.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from pipeline.accounts import FileAccount, IngestReport, add_up, file_account, ingest_report
from pipeline.logs import NotALog, ParsedLog, quarantine_table
from pipeline.publish import parquet_writer
from pipeline.schemas import QUARANTINE

DUPLICATE: Final = "duplicate_session"


class Outcomes:
    """What came of a shard's raw logs; call it with one after another, in their order."""

    def __init__(self, path: Path, stack: ExitStack):
        self._path, self._stack = path, stack
        self._writer: pq.ParquetWriter | None = None
        self._files: list[FileAccount] = []
        self._not_logs: dict[str, str] = {}
        self._n_rejected = 0

    def __call__(self, outcome: ParsedLog | NotALog) -> None:
        """Count it, and write down its rejected rows."""
        if isinstance(outcome, NotALog):
            self._not_logs[outcome.name] = outcome.error.what
            return
        account = file_account(outcome)
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
    accounts = [FileAccount(**account) for note in notes for account in note["files"]]
    not_logs = {name: why for note in notes for name, why in note["not_logs"].items()}
    return replace(ingest_report(accounts, 0, []), not_logs=not_logs)


def doubles_table(
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
