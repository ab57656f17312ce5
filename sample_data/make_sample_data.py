"""Make everything in sample_data/ from the human recordings; README.md there describes it."""

import gzip
import hashlib
import json
import zlib
from pathlib import Path

import cyclopts
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.ingest.parse import parse_logs
from pipeline.schemas import SYNTHETIC_MARK
from pipeline.simulate.generators import BOT_NAMES
from pipeline.simulate.synthetic import synthetic_sessions

HERE = Path(__file__).resolve().parent
PERSON = "person_1"
BOTS_PER_SESSION = 2
# The sample is older than these, and stays as it is.
NEWER_BOTS = ("composed", "morphed_moves", "random_phases", "shuffled_steps", "uneven_replay")
# One of each sort of recording; the two drags have clicks.
SHOWN = ("to_center_from_ul_001", "drag_001", "drag_002", "browse_001")


def make_sample_data(recordings: Path, to: Path = HERE) -> None:
    """Write logs/, labels.csv and formats/.

    Parameters
    ----------
    recordings
        recordings.csv: one person's sessions, whole ms and px.
    to
        The folder to write into.
    """
    human = pd.read_csv(recordings, dtype={"scroll_y": "Int64"})
    bots = bot_rows(recordings, human)
    (to / "logs").mkdir(parents=True, exist_ok=True)
    write_csv(human, to / "logs" / "human.csv")
    write_csv(bots, to / "logs" / "bots.csv.gz")
    write_csv(label_rows(human, bots), to / "labels.csv")
    shown = human[human["session_id"].isin(SHOWN)]
    write_formats(shown, to / "formats")
    write_tools(shown[shown["session_id"] == "drag_001"], to / "formats" / "tools")


def bot_rows(recordings: Path, human: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of every recording's bots: all as recorded but session, x and y."""
    (sessions,) = parse_logs([recordings])
    bots = synthetic_sessions(sessions, choose_bots(sessions.session_id))
    origin = np.repeat(np.arange(len(sessions)), BOTS_PER_SESSION)
    row = np.concatenate([np.arange(sessions.offsets[i], sessions.offsets[i + 1]) for i in origin])
    return human.iloc[row].assign(
        session_id=np.repeat(bots.session_id, bots.n_events),
        x=bots.x_px.astype(np.int64),
        y=bots.y_px.astype(np.int64),
    )


def choose_bots(session_ids: np.ndarray) -> list[tuple[int, str, int]]:
    """Return two bots for each recording, drawn as they were when the sample was first made."""
    names = [name for name in BOT_NAMES if name not in NEWER_BOTS]
    chosen = []
    for i, session_id in enumerate(session_ids):
        digest = hashlib.blake2b(f"0\x1f{session_id}".encode(), digest_size=16).digest()
        drawn = np.random.default_rng(int.from_bytes(digest, "big")).permutation(len(names))
        chosen += [(i, names[drawn[n]], n) for n in range(BOTS_PER_SESSION)]
    return chosen


def label_rows(human: pd.DataFrame, bots: pd.DataFrame) -> pd.DataFrame:
    """Return a row a session: 0 for the person, 1 for a bot, whose account is its generator."""
    people, bot_ids = human["session_id"].unique(), bots["session_id"].unique()
    generators = [name.split(SYNTHETIC_MARK)[1].rsplit("-", 1)[0] for name in bot_ids]
    return pd.DataFrame(
        {
            "session_id": [*people, *bot_ids],
            "label": [0] * len(people) + [1] * len(bot_ids),
            "account_id": [PERSON] * len(people) + generators,
        }
    )


def write_formats(human: pd.DataFrame, folder: Path) -> None:
    """Write the same few recordings in each other tabular format that is read."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(human, folder / "recordings.csv.zst")
    lines = human.to_json(orient="records", lines=True)
    write_bytes(lines.encode(), folder / "recordings.jsonl.gz")
    pq.write_table(pa.Table.from_pandas(human, preserve_index=False), folder / "recordings.parquet")
    renamed = {"session_id": "visit", "t_ms": "seconds", "x": "clientX", "y": "clientY"}
    in_seconds = human.assign(t_ms=human["t_ms"] / 1000).rename(columns=renamed)
    write_csv(in_seconds[[*renamed.values(), "event"]], folder / "other_columns.csv")
    write_balabit(human, folder / "balabit" / "user1")
    write_sapimouse(human, folder / "sapimouse" / "user1")


def write_balabit(human: pd.DataFrame, account: Path) -> None:
    """Write each recording as a file without suffix: `record timestamp,...` in seconds."""
    account.mkdir(parents=True, exist_ok=True)
    for n, (_, session) in enumerate(human.groupby("session_id"), start=1):
        seconds = session["t_ms"] / 1000
        rows = challenge_rows(session)
        rows.insert(0, "client timestamp", seconds)
        rows.insert(0, "record timestamp", seconds)
        write_csv(rows, account / f"session_{n:04}")


def write_sapimouse(human: pd.DataFrame, account: Path) -> None:
    """Write the recordings one after the other as one file, whole ms."""
    account.mkdir(parents=True, exist_ok=True)
    gap_ms = 2000  # between two recordings
    length_ms = human.groupby("session_id", sort=False)["t_ms"].max() + gap_ms
    begins_ms = human["session_id"].map(length_ms.cumsum() - length_ms)
    rows = challenge_rows(human)
    rows.insert(0, "client timestamp", human["t_ms"] + begins_ms)
    write_csv(rows, account / "session_1min.csv")


def write_tools(drag: pd.DataFrame, folder: Path) -> None:
    """Write one recording, or the browser's, in the layouts of tools that people have."""
    folder.mkdir(parents=True, exist_ok=True)
    t_ms, x, y = drag["t_ms"], drag["x"], drag["y"]
    epoch_ms = 1_767_225_600_000 + t_ms  # 2026-01-01
    word = drag["event"].map({"drag": "move"}).fillna(drag["event"])
    is_press = drag["event"].isin(["down", "up"])
    pressed = drag["event"].map({"down": True, "up": False})
    tables = {
        "pynput.csv": {
            "timestamp": epoch_ms / 1000, "event": np.where(is_press, "click", "move"), "x": x,
            "y": y, "button": np.where(is_press, "Button.left", ""), "pressed": pressed,
        },
        "mouse_module.csv": {
            "event_type": word, "button": np.where(is_press, "left", ""),
            "x": x.astype("Int64").mask(is_press), "y": y.astype("Int64").mask(is_press),
            "time": epoch_ms / 1000,
        },
        "spreadsheet.csv": {
            "Session": "visit", "Time (s)": t_ms / 1000, "X": x + 0.5, "Y": y + 0.25,
        },
    }  # fmt: skip
    for name, columns in tables.items():
        style = {"sep": ";", "decimal": ","} if name.startswith("spreadsheet") else {}
        text = pd.DataFrame(columns).to_csv(index=False, lineterminator="\n", **style)
        write_bytes(text.encode(), folder / name)
    lines = [f"0 {t} {a} {b} mousemove / {{}}" for t, a, b in zip(epoch_ms, x, y, strict=True)]
    evtrack = ["cursor timestamp xpos ypos event xpath attrs", *lines]
    write_bytes("\n".join(evtrack).encode(), folder / "evtrack.txt")
    rows = zip(epoch_ms / 1000, word, x, y, strict=True)
    headerless = [f"{t:.3f},visit,{event.upper()},{a},{b}" for t, event, a, b in rows]
    write_bytes("\n".join(headerless).encode(), folder / "no_header.log")
    half = len(drag) // 2
    trials = [slice(0, half), slice(half, None)]
    lists = [{"subject_nr": 1, "xpos_response": x[s].tolist(), "ypos_response": y[s].tolist(),
              "timestamps_response": t_ms[s].tolist()} for s in trials]  # fmt: skip
    write_csv(pd.DataFrame(lists), folder / "opensesame_mousetrap.csv")
    tracked = [{"x": int(a), "y": int(b), "t": int(t), "event": "mousemove"}
               for t, a, b in zip(t_ms, x, y, strict=True)]  # fmt: skip
    of_trials = [
        {"trial_index": i, "mouse_tracking_data": tracked[s]} for i, s in enumerate(trials)
    ]
    write_json(of_trials, folder / "jspsych.json")
    nested = [{"type": r["event"], "details": {"clientX": r["x"], "clientY": r["y"]},
               "sessionId": "visit", "createdAt": int(t)}
              for r, t in zip(tracked, epoch_ms, strict=True)]  # fmt: skip
    write_json(nested, folder / "page_events.json")
    write_recorders(folder)


def write_recorders(folder: Path) -> None:
    """Write what a browser recorded by rrweb as those that use rrweb hand it out."""
    recorded = json.loads((HERE / "formats" / "rrweb_array.json").read_text())
    events = [event for event in recorded if event["type"] != 2]  # without the page itself
    windows = {"window-1": events[: len(events) // 2], "window-2": events[len(events) // 2 :]}
    snapshots = [{"windowId": name} | event for name in windows for event in windows[name]]
    version = {"version": "2023-04-28"}
    write_json(
        version | {"data": {"id": "rec", "snapshots": snapshots}}, folder / "posthog_export.json"
    )
    blob = [json.dumps({"window_id": name, "data": windows[name]}) for name in windows]
    write_bytes("\n".join(blob).encode(), folder / "posthog_blob_v1.jsonl")
    write_json(list(windows.values()), folder / "sentry_segments.json")
    packed = zlib.compress(json.dumps(events).encode())
    write_bytes(b'{"segment_id":0}\n' + packed, folder / "sentry_segment")
    write_json(
        {"records": events, "session": {"id": "dd"}, "view": {"id": "v"}}, folder / "datadog.json"
    )
    write_json([event | {"sessionId": "bb"} for event in events], folder / "browserbase.json")
    table = [{"id": i, "session_id": "visit", "event": json.dumps(e)} for i, e in enumerate(events)]
    write_bytes("\n".join(map(json.dumps, table)).encode(), folder / "event_table.jsonl")


def write_json(value: object, path: Path) -> None:
    """Write JSON."""
    write_bytes(json.dumps(value).encode(), path)


def challenge_rows(session: pd.DataFrame) -> pd.DataFrame:
    """Return button, state and position in the words of the Balabit and SapiMouse logs."""
    states = {"move": "Move", "drag": "Drag", "down": "Pressed", "up": "Released"}
    is_button = session["event"].isin(["down", "up"])
    return pd.DataFrame(
        {
            "button": np.where(is_button, "Left", "NoButton"),
            "state": session["event"].map(states),
            "x": session["x"],
            "y": session["y"],
        }
    )


def write_csv(rows: pd.DataFrame, path: Path) -> None:
    """Write a CSV, packed as its suffix says."""
    write_bytes(rows.to_csv(index=False, lineterminator="\n").encode(), path)


def write_bytes(content: bytes, path: Path) -> None:
    """Write a file, packed as its suffix says, the same bytes each time."""
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    elif path.suffix == ".zst":
        content = pa.compress(content, codec="zstd", asbytes=True)
    path.write_bytes(content)


if __name__ == "__main__":
    cyclopts.run(make_sample_data)
