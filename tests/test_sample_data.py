"""sample_data/ is what its script makes, and every file in it can be read."""

import csv
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.ingest.ingest import ingest_logs
from pipeline.ingest.parse import parse_logs
from pipeline.readers.common.columns import parse_columns
from pipeline.schemas import Kind


@pytest.fixture(scope="module")
def remade(sample_dir, tmp_path_factory):
    """Return a folder that the script has just filled from the committed recordings."""
    to = tmp_path_factory.mktemp("sample_data")
    script, recordings = sample_dir / "make_sample_data.py", sample_dir / "logs" / "human.csv"
    subprocess.run([sys.executable, script, recordings, "--to", to], check=True)
    return to


def test_the_script_makes_what_is_committed(sample_dir, remade):
    tools = [f"formats/tools/{path.name}" for path in (sample_dir / "formats/tools").iterdir()]
    for name in ("logs/human.csv", "labels.csv", "formats/other_columns.csv", *tools):
        assert (remade / name).read_bytes() == (sample_dir / name).read_bytes()
    made, committed = (pd.read_csv(folder / "logs/bots.csv.gz") for folder in (remade, sample_dir))
    place = ["x", "y"]
    pd.testing.assert_frame_equal(made.drop(columns=place), committed.drop(columns=place))
    # Another processor may round a last bit the other way, here and there a px.
    off_px = np.abs(made[place] - committed[place]).to_numpy()
    assert (off_px > 0).mean() < 0.001


def test_every_session_has_a_label(sample_dir):
    labels = pd.read_csv(sample_dir / "labels.csv")
    (human,) = parse_logs([sample_dir / "logs" / "human.csv"])
    (bots,) = parse_logs([sample_dir / "logs" / "bots.csv.gz"])

    assert labels["session_id"].tolist() == [*human.session_id, *bots.session_id]
    assert labels["label"].tolist() == [0] * 188 + [1] * 376


@pytest.mark.parametrize(
    ("file", "source", "n_sessions"),
    [
        ("recordings.csv.zst", "csv", 4),
        ("recordings.jsonl.gz", "jsonl", 4),
        ("recordings.parquet", "parquet", 4),
        ("balabit", "balabit", 4),
        ("sapimouse", "sapimouse", 1),
    ],
)
def test_every_format_holds_the_same_recordings(sample_dir, file, source, n_sessions):
    parts = list(parse_logs([sample_dir / "formats" / file]))

    assert {name for part in parts for name in part.source} == {source}
    assert sum(map(len, parts)) == n_sessions
    x_px = np.concatenate([part.x_px for part in parts])
    kind = np.concatenate([part.kind for part in parts])
    (human,) = parse_logs([sample_dir / "formats" / "recordings.csv.zst"])
    np.testing.assert_array_equal(np.sort(x_px), np.sort(human.x_px))
    assert (kind == Kind.DOWN).sum() == (kind == Kind.UP).sum() == 2


def commands() -> list[tuple[str, int, int]]:
    """Return the commands of docs/formats.md, with the sessions and events that it promises."""
    page = (Path(__file__).parents[1] / "docs" / "formats.md").read_text()
    found = re.findall(
        r"\| `pointerprint ingest (sample_data[^`]*)` \| (\d+) \| (\d+) \| 0 \|", page
    )
    return [(line, int(sessions), int(events)) for line, sessions, events in found]


def recorded_positions(sample_dir) -> int:
    """Count what the browser recorded of the pointer, without anything of the product."""
    data = [
        event["data"]
        for event in json.loads((sample_dir / "formats" / "rrweb_array.json").read_text())
        if event["type"] == 3
    ]
    presses = [d for d in data if d["source"] == 2 and d["type"] in (0, 1, 2, 3, 4, 7, 9)]
    scrolls = [d for d in data if d["source"] == 3]
    moves = [len(d["positions"]) for d in data if d["source"] in (1, 6, 12)]
    return len(presses) + len(scrolls) + sum(moves)


@pytest.mark.parametrize(("line", "n_sessions", "n_events"), commands())
def test_each_tool_is_read_by_the_command_of_its_line(
    sample_dir, tmp_path, line, n_sessions, n_events
):
    path, _, _, *flags = shlex.split(line)
    file = sample_dir.parent / path
    columns = parse_columns(flags[1] if flags else None)
    report = ingest_logs([file], tmp_path / "store", ingest_date="2026-11-01", columns=columns)
    with (sample_dir / "logs" / "human.csv").open() as log:
        rows = [row["session_id"] for row in csv.DictReader(log)]
    counts = {
        "human": sum(rows.count(name) for name in SHOWN),
        "drag": rows.count("drag_001"),
        "web": recorded_positions(sample_dir),
    }
    assert (report.n_sessions, report.n_events, report.rejected) == (n_sessions, n_events, {})
    assert n_events in counts.values()


SHOWN = ("to_center_from_ul_001", "drag_001", "drag_002", "browse_001")


def test_every_example_has_a_line_in_the_table(sample_dir):
    shown = " ".join(line for line, _, _ in commands())
    folders = (sample_dir / "formats", sample_dir / "formats" / "tools")
    names = [path.name for folder in folders for path in folder.iterdir()]
    assert [name for name in names if name not in shown] == []


def test_other_column_names_can_be_told(sample_dir):
    columns = {"session_id": "visit", "t_s": "seconds", "x": "clientX", "y": "clientY"}
    (told,) = parse_logs([sample_dir / "formats" / "other_columns.csv"], columns=columns)
    (human,) = parse_logs([sample_dir / "formats" / "recordings.csv.zst"])

    np.testing.assert_array_equal(told.t_us, human.t_us)
    np.testing.assert_array_equal(told.y_px, human.y_px)


def test_the_sample_is_small(sample_dir):
    sizes = [file.stat().st_size for file in sample_dir.rglob("*") if file.is_file()]

    assert sum(sizes) < 3_000_000
