"""Layouts of recorders in public repositories, each read without a flag and counted here.

Names of keys and columns are theirs, and the path is ours. Where each was found:
docs/formats.md#layouts-found-in-public-repositories.
"""

import json
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.errors import UnknownFormatError
from pipeline.ingest.ingest import ingest_logs
from pipeline.storage.store import load_sessions

START_MS = 1_748_000_000_000
PATH = [(16 * i + i % 3, 400 + 6 * i, 300 + i * i // 4) for i in range(24)]
"""Times in ms from the start, x and y."""
TRIALS = (PATH, [(t, x - 200, y + 100) for t, x, y in PATH])


def by_address_and_trial() -> tuple[str, str]:
    """An object of pages, each an object of visits, each an array of events."""
    events = [{"x": x, "y": y, "timestamp": t, "type": "move"} for t, x, y in PATH]
    events[-1]["type"] = "click"
    return "replay.json", json.dumps({"http://www.example.com/": {"0": events}})


def events_of_a_desktop_app() -> tuple[str, str]:
    """Places in three systems of coordinates, and ids of events beside the session's."""
    rows = [
        {
            "event_type": "mousemove", "timestamp": START_MS + t, "x": x, "y": y,
            "screen_x": x + 8, "screen_y": y + 80, "page_x": x, "page_y": y + 500, "button": None,
            "buttons": 0, "scroll_x": None, "scroll_y": None, "target_tag": "div",
            "session_id": "s1", "event_id": f"e{t}", "parent_event_id": None,
        }
        for t, x, y in PATH
    ]  # fmt: skip
    return "events.jsonl", "\n".join(map(json.dumps, rows))


def points_packed_in_a_cell() -> tuple[str, str]:
    """A line a path, without a header: number, `x,y,t;` of each point, target, label."""
    lines = []
    for number, trial in enumerate(TRIALS, start=1):
        points = "".join(f"{x},{y},{t};" for t, x, y in trial)
        lines.append(f"{number} {points} {trial[-1][1]}.5,{trial[-1][2]} 1")
    return "training.txt", "\n".join(lines)


def a_folder_of_a_mail_users_sessions() -> tuple[str, str]:
    """Names of columns with blanks, and a tab's number that is the user's."""
    lines = [f"1067,1067,movement,{x},{y},{START_MS + t}" for t, x, y in PATH]
    return "1067/session_0.csv", "\n".join(
        ["Tab ID,ClientID,Type,Mouse X,Mouse Y,Timestamp", *lines]
    )


def steps_of_a_task() -> tuple[str, str]:
    """An array for each step, with the time since the last event beside the time in seconds."""
    steps = {}
    for number, trial in enumerate(TRIALS, start=1):
        since = 10 * number
        durations = [0, *np.diff([t for t, _, _ in trial])]
        steps[f"step{number}"] = [
            {"x": x, "y": y, "duration": d / 1000, "timestamp": round(since + t / 1000, 4)}
            for (t, x, y), d in zip(trial, durations, strict=True)
        ]
    return "mouse.json", json.dumps(steps)


def a_path_a_line() -> tuple[str, str]:
    """Each line has when it was saved and where the target was, besides the path."""
    lines = []
    for number, trial in enumerate(TRIALS, start=1):
        path = [{"t": t / 1000, "x": x, "y": y} for t, x, y in trial]
        path[-1]["click"] = True
        line = {
            "session": "20250523_113300", "trial": number, "timestamp": START_MS / 1000 + number,
            "window": {"width": 800, "height": 600}, "target": {"x": 640, "y": 90, "radius": 12},
            "path": path,
        }  # fmt: skip
        lines.append(json.dumps(line))
    return "session_20250523_113300.jsonl", "\n".join(lines)


def a_table_of_trials() -> tuple[str, str]:
    """Seconds from the start of each trial."""
    lines = [
        f"{number},{t / 1000:.3f},{x},{y}"
        for number, trial in enumerate(TRIALS, start=1)
        for t, x, y in trial
    ]
    return "trajectories.csv", "\n".join(["trial,time,x,y", *lines])


def lists_with_a_summary() -> tuple[str, str]:
    """Lists of places and of a performance counter, beside start, target and lengths."""
    recording = {
        "x": [float(x) for _, x, _ in PATH], "y": [float(y) for _, _, y in PATH],
        "timestamps": [5321.25 + t / 1000 for t, _, _ in PATH], "start": [400.0, 300.0],
        "target": [538.0, 432.0], "ideal_distance": 190.9, "actual_distance": 195.2,
        "duration_ms": 370.0, "point_count": len(PATH),
    }  # fmt: skip
    return "traj_0001.json", json.dumps(recording)


def current_places_among_others() -> tuple[str, str]:
    """The last and the final place in columns beside the current one, and features."""
    header = (
        "group_id,sequence_id,start_x,start_y,end_x,end_y,current_x,current_y,velocity,"
        "acceleration,direction,timestamp"
    )
    lines = [
        f"1,{i},{x - 6},{y},700,500,{x},{y},{12.5 * i},{-0.5 * i},{30 + i},{t / 1000}"
        for i, (t, x, y) in enumerate(PATH)
    ]
    return "mouse_trajectories.csv", "\n".join([header, *lines])


def batches_of_pointer_events() -> tuple[str, str]:
    """Frames, each with its events; a place is a pair, a time counts microseconds."""
    frames = []
    for i, (t, x, y) in enumerate(PATH):
        event = {
            "type": "PointerDownEvent" if i == 0 else "PointerMoveEvent",
            "timeStamp": 196_312_273_000 + 1000 * t, "pointer": 1,
            "position": [x + 0.25, y + 0.5], "buttons": 1, "down": True, "pressure": 0.36,
        }  # fmt: skip
        frames.append({"ts": 196_312_296_606 + 1000 * t, "events": [event]})
    return "record.json", json.dumps(frames)


def pairs_by_line() -> tuple[str, str]:
    """An event a line, its place a pair."""
    rows = [{"visit": "v", "time_ms": t, "mousePos": [x, y]} for t, x, y in PATH]
    return "pairs.jsonl", "\n".join(map(json.dumps, rows))


LAYOUTS: dict[Callable[[], tuple[str, str]], dict[str, int]] = {
    by_address_and_trial: {"replay": 24},
    events_of_a_desktop_app: {"s1": 24},
    a_folder_of_a_mail_users_sessions: {"1067/session_0/1067": 24},
    steps_of_a_task: {"mouse": 48},
    a_path_a_line: {"20250523_113300": 48},
    a_table_of_trials: {"trajectories": 48},
    lists_with_a_summary: {"traj_0001": 24},
    current_places_among_others: {"mouse_trajectories": 24},
    batches_of_pointer_events: {"record": 24},
    pairs_by_line: {"v": 24},
}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_a_layout_is_read_without_a_flag(layout, tmp_path):
    name, content = layout()
    file = tmp_path / "logs" / name
    file.parent.mkdir(parents=True)
    file.write_text(content)
    report = ingest_logs([tmp_path / "logs"], tmp_path / "store", ingest_date="2026-11-01")
    sessions = load_sessions([tmp_path / "store"])
    ids = np.repeat(sessions.session_id, sessions.n_events)
    assert Counter(ids.tolist()) == LAYOUTS[layout]
    assert report.rejected == {}
    n_trials = len(sessions.t_us) // len(PATH)
    place = [(x, y) for trial in TRIALS[:n_trials] for _, x, y in trial]
    offset = np.subtract(place, np.stack([sessions.x_px, sessions.y_px], axis=1))
    assert np.all(offset == offset[0])
    assert np.all(np.abs(offset) <= 0.5)
    steps_ms = np.diff(sessions.t_us)[: len(PATH) - 1] / 1000
    assert np.rint(steps_ms).tolist() == np.diff([t for t, _, _ in PATH]).tolist()


def test_points_packed_in_a_cell_are_refused_aloud(tmp_path):
    name, content = points_packed_in_a_cell()
    (tmp_path / name).write_text(content)
    with pytest.raises(UnknownFormatError, match="no log format begins with"):
        ingest_logs([tmp_path / name], tmp_path / "store", ingest_date="2026-11-01")
