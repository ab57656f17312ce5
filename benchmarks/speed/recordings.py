"""Sessions to time things on: parts of the sample's recordings, each moved and sped up anew."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flows.jobs.inputs import each_sessions
from pipeline.schemas import Kind
from pipeline.sessions.sessions import Sessions, concatenate_sessions

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data" / "logs"
DAY = "2026-11-01"


def make_sessions(n: int, n_events: int = 200, seed: int = 0) -> Sessions:
    """Return `n` sessions of `n_events` events: no two alike, all of them moves of a hand."""
    recorded = concatenate_sessions(list(each_sessions([SAMPLE])))
    human = recorded.take(np.flatnonzero(np.char.find(recorded.session_id.astype(str), "~") < 0))
    rng = np.random.default_rng(seed)
    gap_us = np.diff(human.t_us, prepend=0).clip(0, 2_000_000)
    event = (rng.integers(0, len(gap_us), n)[:, None] + np.arange(n_events)) % len(gap_us)
    speed = rng.uniform(0.7, 1.4, (n, 1))
    t_us = np.cumsum(gap_us[event] / speed, axis=1).astype(np.int64)
    ids = np.array([f"s{i:07d}" for i in range(n)], object)
    return Sessions(
        session_id=ids,
        account_id=np.full(n, None, object),
        source=np.full(n, "parquet", object),
        recorder=np.full(n, None, object),
        started_at=np.full(n, np.datetime64("NaT"), "datetime64[us]"),
        label=np.full(n, -1, np.int8),
        viewport_width=np.full(n, 1280, np.int32),
        viewport_height=np.full(n, 720, np.int32),
        source_file=np.full(n, "recordings", object),
        source_sha256=np.full(n, "", object),
        offsets=np.arange(n + 1, dtype=np.int64) * n_events,
        t_us=(t_us - t_us[:, :1]).ravel(),
        x_px=_moved(human.x_px[event], rng).ravel(),
        y_px=_moved(human.y_px[event], rng).ravel(),
        kind=np.full(n * n_events, Kind.MOVE, np.int8),
        button=np.zeros(n * n_events, np.int8),
    )


def _moved(position_px: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    shift = rng.uniform(-50, 50, (len(position_px), 1))
    return np.rint((position_px + shift).clip(0, 1279)).astype(np.float32)


def write_log(sessions: Sessions, path: Path) -> Path:
    """Write `sessions` as a log of events, a row an event: Parquet, or CSV by the name."""
    n_events = np.diff(sessions.offsets)
    table = pa.table(
        {
            "session_id": np.repeat(sessions.session_id.astype(str), n_events),
            "t_ms": sessions.t_us // 1000,
            "x": sessions.x_px.astype(np.float64),
            "y": sessions.y_px.astype(np.float64),
        }
    )
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        table.to_pandas().to_csv(path, index=False)
    return path
