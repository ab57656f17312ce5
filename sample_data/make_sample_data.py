"""Make everything in sample_data/ from the human recordings; README.md beside it tells more."""

import gzip
from pathlib import Path

import cyclopts
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.ingest.parse import parse_logs
from pipeline.schemas import SYNTHETIC_MARK
from pipeline.simulate.generators import ALL
from pipeline.simulate.synthetic import simulate_sessions

HERE = Path(__file__).resolve().parent
PERSON = "person_1"
TWINS_PER_SESSION = 2
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
    bots = twin_rows(recordings, human)
    (to / "logs").mkdir(parents=True, exist_ok=True)
    write_csv(human, to / "logs" / "human.csv")
    write_csv(bots, to / "logs" / "bots.csv.gz")
    write_csv(label_rows(human, bots), to / "labels.csv")
    shown = human[human["session_id"].isin(SHOWN)]
    write_formats(shown, to / "formats")


def twin_rows(recordings: Path, human: pd.DataFrame) -> pd.DataFrame:
    """Return the log rows of every recording's twins: all as recorded but session, x and y."""
    (sessions,) = parse_logs([recordings])
    bots = [name for name in ALL if name not in NEWER_BOTS]
    twins = simulate_sessions(sessions, bots, per_session=TWINS_PER_SESSION)
    origin = np.repeat(np.arange(len(sessions)), TWINS_PER_SESSION)
    row = np.concatenate([np.arange(sessions.offsets[i], sessions.offsets[i + 1]) for i in origin])
    return human.iloc[row].assign(
        session_id=np.repeat(twins.session_id, twins.n_events),
        x=twins.x_px.astype(np.int64),
        y=twins.y_px.astype(np.int64),
    )


def label_rows(human: pd.DataFrame, bots: pd.DataFrame) -> pd.DataFrame:
    """Return a row a session: 0 for the person, 1 for a bot, whose account is its generator."""
    people, twins = human["session_id"].unique(), bots["session_id"].unique()
    generators = [name.split(SYNTHETIC_MARK)[1].rsplit("-", 1)[0] for name in twins]
    return pd.DataFrame(
        {
            "session_id": [*people, *twins],
            "label": [0] * len(people) + [1] * len(twins),
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
