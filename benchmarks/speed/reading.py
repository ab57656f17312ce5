"""Ingest by format: rows and MB a second, cleaning included, against `pandas.read_csv` alone.

The peer is what a user writes, `pandas.read_csv(path)`: pandas' own engine, which since pandas 3.1
reads in several threads where there are cores for them. Its other engine, Arrow's reader, stands
beside it.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.speed.recordings import make_sessions, write_log
from benchmarks.speed.timing import Result, interleaved
from pipeline.ingest.parse import parse_logs
from pipeline.sessions.sessions import Sessions

N_SESSIONS, N_EVENTS = 10_000, 200  # of a table: some dozen MB
N_JSON_SESSIONS = 2000
TEXTS = ("csv", "balabit", "sapimouse")
PEER = "pandas.read_csv alone"


def measure(repeats: int) -> Result:
    """Read the same events from every format, and each table of text with pandas."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_tables(make_sessions(N_SESSIONS, N_EVENTS), folder)
        n_rows = dict.fromkeys(files, N_SESSIONS * N_EVENTS)
        files |= write_json(make_sessions(N_JSON_SESSIONS, N_EVENTS), folder)
        n_rows = dict.fromkeys(files, N_JSON_SESSIONS * N_EVENTS) | n_rows
        cases: dict[str, Callable[[], object]] = {
            form: lambda path=path: [len(part) for part in parse_logs([path])]
            for form, path in files.items()
        }
        for form in TEXTS:
            path = files[form]
            cases[f"{form}, {PEER}"] = lambda path=path: pd.read_csv(path)
            cases[f"{form}, {PEER}, engine='pyarrow'"] = lambda path=path: pd.read_csv(
                path, engine="pyarrow"
            )
        rows = []
        for case, timing in (timings := interleaved(cases, repeats)).items():
            form = case.split(",")[0]
            pandas = timings.get(f"{form}, {PEER}")
            rows.append(
                {
                    "read": case,
                    "rows/s": n_rows[form] / timing.wall_s,
                    "MB/s": files[form].stat().st_size / 1e6 / timing.wall_s,
                    "cores busy": timing.cores,
                    "pandas.read_csv / this": pandas.wall_s / timing.wall_s if pandas else None,
                }
            )
        title = f"Reading {n_rows['csv']:,} events (as JSON {n_rows['jsonl']:,}), cleaning included"
        return Result("ingest", title, rows)


def write_tables(sessions: Sessions, folder: Path) -> dict[str, Path]:
    """Write the events as each format of tables has them; give the file of each."""
    files = {
        "csv": write_log(sessions, folder / "log.csv"),
        "parquet": write_log(sessions, folder / "log.parquet"),
        "balabit": folder / "session_0000000001",
        "sapimouse": folder / "session.csv",
    }
    events = pd.read_csv(files["csv"])
    t_ms = np.arange(len(events)) * 16
    mouse = pd.DataFrame({"button": "NoButton", "state": "Move", "x": events.x, "y": events.y})
    mouse.insert(0, "client timestamp", t_ms)
    mouse.to_csv(files["sapimouse"], index=False)
    seconds = t_ms / 1000
    mouse.drop(columns="client timestamp").assign(
        **{"record timestamp": seconds, "client timestamp": seconds}
    )[["record timestamp", "client timestamp", "button", "state", "x", "y"]].to_csv(
        files["balabit"], index=False
    )
    return files


def write_json(sessions: Sessions, folder: Path) -> dict[str, Path]:
    """Write the events as each format of JSON has them; give the file of each."""
    names = {"jsonl": "log.jsonl", "rrweb": "log.json", "posthog": "posthog.jsonl"}
    files = {form: folder / name for form, name in names.items()}
    events = pd.read_csv(write_log(sessions, folder / "few.csv"))
    events.to_json(files["jsonl"], orient="records", lines=True)
    t_ms = np.arange(len(events)) * 16
    files["rrweb"].write_text(json.dumps(list(_rrweb(events, t_ms))))
    lines = (json.dumps(["window", event]) for event in _rrweb(events, t_ms))
    files["posthog"].write_text("\n".join(lines) + "\n")
    return files


def _rrweb(events: pd.DataFrame, t_ms: np.ndarray):
    """Give the events of a recording: half a second of moves in each."""
    yield {
        "type": 4,
        "data": {"href": "", "width": 1280, "height": 720},
        "timestamp": 1_700_000_000_000,
    }
    x, y = events.x.tolist(), events.y.tolist()
    for begin in range(0, len(events), 30):
        end = min(begin + 30, len(events))
        at = int(t_ms[end - 1])
        positions = [
            {"x": x[i], "y": y[i], "id": 1, "timeOffset": int(t_ms[i]) - at}
            for i in range(begin, end)
        ]
        yield {
            "type": 3,
            "data": {"source": 1, "positions": positions},
            "timestamp": 1_700_000_000_000 + at,
        }
