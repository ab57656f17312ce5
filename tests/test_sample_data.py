"""sample_data/ is what its script makes, and every file in it can be read."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from pipeline.ingest.parse import parse_logs
from pipeline.schemas import Kind


@pytest.fixture(scope="module")
def remade(sample_dir, tmp_path_factory):
    """Return a folder that the script has just filled from the committed recordings."""
    to = tmp_path_factory.mktemp("sample_data")
    script, recordings = sample_dir / "make_sample_data.py", sample_dir / "logs" / "human.csv"
    subprocess.run([sys.executable, script, recordings, "--to", to], check=True)
    return to


def test_the_script_makes_what_is_committed(sample_dir, remade):
    for name in ("logs/human.csv", "labels.csv", "formats/other_columns.csv"):
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


def test_other_column_names_can_be_told(sample_dir):
    columns = {"session_id": "visit", "t_s": "seconds", "x": "clientX", "y": "clientY"}
    (told,) = parse_logs([sample_dir / "formats" / "other_columns.csv"], columns=columns)
    (human,) = parse_logs([sample_dir / "formats" / "recordings.csv.zst"])

    np.testing.assert_array_equal(told.t_us, human.t_us)
    np.testing.assert_array_equal(told.y_px, human.y_px)


def test_the_sample_is_small(sample_dir):
    sizes = [file.stat().st_size for file in sample_dir.rglob("*") if file.is_file()]

    assert sum(sizes) < 3_000_000
