"""The posthog reader: windows, compressed data, and what is no pair."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.readers.common.formats import Log, LogFile
from pipeline.readers.posthog import FORMAT
from pipeline.schemas import Kind

META = {"type": 4, "data": {"width": 1280, "height": 720}, "timestamp": 1000}
CLICK = {"type": 3, "data": {"source": 2, "type": 2, "x": 3, "y": 4}, "timestamp": 2000}


def zipped(event: dict) -> dict:
    """Return the event as PostHog's recorder sends it when it compresses it."""
    data = gzip.compress(json.dumps(event["data"]).encode()).decode("latin1")
    return event | {"data": data, "cv": "2024-10"}


def read(folder: Path, *lines: object) -> Log:
    path = folder / "visit.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return FORMAT.read(LogFile(path, folder))


def test_each_window_is_a_session_with_its_own_viewport(tmp_path: Path):
    small = META | {"data": {"width": 640, "height": 480}}
    log = read(tmp_path, ["w1", META], ["w2", small], ["w1", CLICK], ["w2", CLICK])
    found = [
        (
            row["session_id"],
            row["viewport_width"],
            row["t_us"],
            row["x_px"],
            row["kind"],
            row["line"],
        )
        for row in log.events.to_pylist()
    ]
    assert found == [
        ("visit/w1", 1280, 2_000_000, 3.0, Kind.CLICK, 3),
        ("visit/w2", 640, 2_000_000, 3.0, Kind.CLICK, 4),
    ]
    assert log.events["source"].to_pylist() == ["posthog"] * 2
    assert log.ignored == {"not_a_pointer_event": 2}


def test_compressed_data_are_read(tmp_path: Path):
    plain = read(tmp_path, ["w", META], ["w", CLICK])
    compressed = read(tmp_path, ["w", zipped(META)], ["w", zipped(CLICK)])
    assert plain.events.num_rows == 1
    assert compressed.events.equals(plain.events)


def test_a_compressed_snapshot_is_not_even_unpacked(tmp_path: Path):
    snapshot = {"type": 2, "data": "no gzip at all", "timestamp": 1, "cv": "2024-10"}
    log = read(tmp_path, ["w", snapshot])
    assert log.ignored == {"not_a_pointer_event": 1}


def test_what_is_no_pair_is_rejected_alone(tmp_path: Path):
    damaged = CLICK | {"data": "\u001f\u008b garbage"}
    sly = zipped(CLICK) | {"data": gzip.compress(b"{}} , {").decode("latin1")}
    log = read(
        tmp_path, ["w"], ["w", CLICK, 7], ["w", "x"], ["w", damaged], ["w", sly], 5,
        ["w", CLICK | {"timestamp": 3000}],
    )  # fmt: skip
    assert [(row["line"], row["reason"], row["raw"]) for row in log.rejected.to_pylist()] == [
        (1, "not_an_event", None),
        (2, "not_an_event", None),
        (3, "not_an_event", None),
        (4, "cannot_unpack", None),
        (5, "not_json", None),
        (6, "not_an_event", None),
    ]
    assert log.events["line"].to_pylist() == [2, 7]


def test_an_empty_file_is_rejected_as_such(tmp_path: Path):
    assert read(tmp_path).rejected["reason"].to_pylist() == ["empty_file"]


@pytest.mark.parametrize(
    ("head", "is_posthog"),
    [
        (b'["window-1",{"type":4,"data":{},"timestamp":1}]\n', True),
        (b'\xef\xbb\xbf[ "w" , {"cv":"2024-10","type":2,"data":"\\u001f', True),
        (b'[{"type":4,"data":{},"timestamp":1}]', False),
        (b'{"type":4,"data":{},"timestamp":1}', False),
        (b'["a","b"]', False),
        (b'{"session_id":"a","t_ms":0,"x":1,"y":2}\n', False),
        (b"session_id,t_ms,x,y\n", False),
        (b"", False),
    ],
)
def test_it_is_known_by_its_pairs(head: bytes, is_posthog: bool):
    assert FORMAT.recognise(head, Path("log.jsonl")) == is_posthog


events = st.sampled_from([META, CLICK, zipped(META), zipped(CLICK), {}, None, 1, "", [CLICK]])
windows = st.sampled_from(["w1", "w2", "", None, 3, {}])
pairs = st.one_of(st.tuples(windows, events), events)


@settings(max_examples=40, deadline=None)
@given(lines=st.lists(pairs, max_size=8))
def test_every_line_is_read_rejected_or_ignored(
    tmp_path_factory: pytest.TempPathFactory, lines: list
):
    log = read(tmp_path_factory.mktemp("logs"), *lines)
    n_empty = sum(line == [] for line in lines)
    assert log.n_rows >= max(len(lines) - n_empty, not lines)  # an empty file is one rejected row
