"""A file's bytes in, `AssertionError` out if reading it breaks a promise.

Each row of a file ends as an event, rejected, or counted as ignored; nothing but
`PointerprintError` is raised; what comes out is fit for all that follows.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.errors import PointerprintError
from pipeline.features.kinematics import session_features
from pipeline.ingest.clean import FARTHEST_PX, clean_events
from pipeline.ingest.find import FoundFile
from pipeline.ingest.parse import ParsedLog, parse_log, quarantine_table
from pipeline.readers.common import log_files
from pipeline.readers.common.formats import Log, LogFile, find_format
from pipeline.schemas import QUARANTINE, Kind
from pipeline.sessions.resample import ResampleConfig, resample
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.tables import sessions_from_table, sessions_table
from pipeline.sessions.windows import WindowConfig, cut_windows, pad_windows

LINED = ("csv", "balabit", "sapimouse", "jsonl")
"""Formats whose rows are lines."""

_WINDOW = WindowConfig(min_events=2, max_events=16)


def check_file(path: Path, format: str, deep: bool = True) -> str:
    """Read a file and return what came of it: `refused`, `read`, or `quarantined` as a whole.

    With `deep` what follows reading is done too: tables, windows, features.
    """
    try:
        log = parse_log(FoundFile(path, path.parent, is_named=True), format)
        read = _read(path, format)
    except PointerprintError:
        return "refused"
    assert isinstance(log, ParsedLog)
    _check_account(log)
    _check_sessions(log.sessions)
    if read is not None:
        _check_lines(read, path, log.format)
    if deep:
        _check_tables(log)
        _check_windows(log.sessions)
    return "quarantined" if log.rejected.num_rows == log.n_rows else "read"


def _read(path: Path, format: str) -> Log | None:
    """Return what the reader alone gives; None where it refuses the whole file, or rows are not
    numbered as they lie.
    """
    format_ = find_format(format, path)
    if format_.name not in (*LINED, "parquet"):
        return None
    try:
        return format_.read(LogFile(path, path.parent))
    except PointerprintError:
        return None


def _check_account(log: ParsedLog) -> None:
    """Every row is in exactly one place, and a rejected one says why."""
    n_events = int(log.sessions.offsets[-1])
    n_ignored = sum(log.ignored.values())
    assert log.n_rows == n_events + log.rejected.num_rows + n_ignored, (
        f"{log.n_rows} rows: {n_events} events, {log.rejected.num_rows} rejected, "
        f"{n_ignored} ignored"
    )
    assert all(log.rejected["reason"].to_pylist())


def _check_lines(log: Log, path: Path, format: str) -> None:
    """Of a text with a row a line, each line is there once; of Parquet, each row."""
    cleaned = clean_events(log.events)
    n_ignored = sum(cleaned.ignored.values())
    n_clean = cleaned.events.num_rows
    assert log.events.num_rows == n_clean + cleaned.rejected.num_rows + n_ignored
    lines = [*log.events["line"].to_pylist(), *log.rejected["line"].to_pylist()]
    if None in lines or not log.has_lines:
        return
    if format == "parquet":
        expected = list(range(1, len(lines) + 1))
    else:
        written = log_files.written_lines(log_files.split_lines(log_files.read_text(path)))
        expected = written.tolist()[format != "jsonl" :]
    if format in ("csv", "jsonl"):  # lists in cells, a value behind another in a line
        lines = list(set(lines))
    assert sorted(lines) == expected, f"lines {sorted(lines)} instead of {expected}"


def _check_sessions(sessions: Sessions) -> None:
    """Sessions are as their schema says, and hold nothing that isn't a number."""
    assert sessions.offsets[0] == 0
    has_events = sessions.n_events > 0  # a visit without any is a session too
    assert len(set(sessions.session_id)) == len(sessions)
    assert all(name and name.strip() for name in sessions.session_id)
    starts = sessions.offsets[:-1][has_events]
    assert (sessions.t_us[starts] == 0).all()
    steps = np.diff(sessions.t_us)
    steps[starts[1:] - 1] = 0
    assert (steps >= 0).all()
    for place in (sessions.x_px, sessions.y_px):
        assert (np.abs(place) <= FARTHEST_PX).all()  # false for NaN
    assert np.isin(sessions.kind, list(Kind)).all()
    assert np.isin(sessions.label, (-1, 0, 1)).all()


def _check_tables(log: ParsedLog) -> None:
    """What is stored comes back as it was."""
    again = sessions_from_table(_through_ipc(sessions_table(log.sessions)))
    assert again.session_id.tolist() == log.sessions.session_id.tolist()
    assert np.array_equal(again.t_us, log.sessions.t_us)
    table = quarantine_table([log])
    assert table.schema == QUARANTINE
    assert table.num_rows == log.rejected.num_rows


def _through_ipc(table: pa.Table) -> pa.Table:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def _check_windows(sessions: Sessions) -> None:
    """What a network would see, and what features are made of, is finite."""
    standard = resample(sessions, ResampleConfig()).sessions
    for found in (sessions, standard):
        windows = cut_windows(found, _WINDOW)
        points = pad_windows(found, windows, _WINDOW.max_events)
        for name in ("t_ms", "x_px", "y_px"):
            assert np.isfinite(getattr(points, name)).all(), name
    features = session_features(sessions, cut_windows(sessions, _WINDOW))
    assert not np.isinf(features).any()
