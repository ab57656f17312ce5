"""The rrweb reader: each shape of a file, what is rejected, and a browser's own recording."""

import gzip
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.readers.common.formats import Log, LogFile
from pipeline.readers.common.json_walk import UnpackError, unpack
from pipeline.readers.common.limits import limited
from pipeline.readers.posthog import FORMAT as POSTHOG
from pipeline.readers.rrweb import FORMAT
from pipeline.schemas import EVENTS, Button, Kind

META = {"type": 4, "data": {"href": "http://a", "width": 1280, "height": 720}, "timestamp": 1000}
MOVES = {
    "type": 3,
    "data": {
        "source": 1,
        "positions": [
            {"x": 10, "y": 20, "id": 7, "timeOffset": -50},
            {"x": 13, "y": 24, "id": 9, "timeOffset": 0},
        ],
    },
    "timestamp": 2000,
}


def incremental(timestamp: object = 2000, **data: object) -> dict:
    return {"type": 3, "data": data, "timestamp": timestamp}


def later(event: dict, by: int = 1000) -> dict:
    """Return the event at another time: one that is there twice counts once."""
    return event | {"timestamp": event["timestamp"] + by}


def pack(event: dict) -> str:
    return zlib.compress(json.dumps(event | {"v": "v1"}).encode()).decode("latin1")


def read(folder: Path, text: str | bytes, name: str = "visit.json") -> Log:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return FORMAT.read(LogFile(path, folder))


def read_array(folder: Path, *events: object) -> Log:
    return read(folder, json.dumps(events))


def read_lines(folder: Path, *events: object) -> Log:
    return read(folder, "".join(f"{json.dumps(event)}\n" for event in events))


def rows(log: Log, *columns: str) -> list[tuple]:
    return [tuple(row[name] for name in columns) for row in log.events.to_pylist()]


def reasons(log: Log) -> list[tuple]:
    return [(row["line"], row["reason"], row["raw"]) for row in log.rejected.to_pylist()]


def test_each_position_of_a_batch_is_an_event_at_its_own_time(tmp_path: Path):
    log = read_array(tmp_path, META, MOVES)
    assert log.events.schema.equals(EVENTS)
    assert log.events.to_pylist() == [
        {
            "session_id": "visit",
            "account_id": None,
            "source": "rrweb",
            "t_us": t_us,
            "x_px": x,
            "y_px": y,
            "kind": Kind.MOVE,
            "button": Button.NONE,
            "label": None,
            "viewport_width": 1280,
            "viewport_height": 720,
            "line": 2,
            "written_us": 2_000_000,
        }
        for t_us, x, y in [(1_950_000, 10.0, 20.0), (2_000_000, 13.0, 24.0)]
    ]
    assert log.ignored == {"not_a_pointer_event": 1}
    assert log.rejected.num_rows == 0


@pytest.mark.parametrize(("source", "kind"), [(1, Kind.MOVE), (6, Kind.TOUCH), (12, Kind.DRAG)])
def test_a_batch_is_of_moves_touches_or_drags(tmp_path: Path, source: int, kind: Kind):
    log = read_array(tmp_path, incremental(source=source, positions=[{"x": 1, "y": 2}]))
    assert rows(log, "x_px", "y_px", "kind", "button") == [(1.0, 2.0, kind, Button.NONE)]


@pytest.mark.parametrize(
    ("interaction", "kind", "button"),
    [
        (0, Kind.UP, Button.LEFT),
        (1, Kind.DOWN, Button.LEFT),
        (2, Kind.CLICK, Button.LEFT),
        (3, Kind.CLICK, Button.RIGHT),
        (4, Kind.CLICK, Button.LEFT),
        (7, Kind.TOUCH, Button.NONE),
        (9, Kind.TOUCH, Button.NONE),
    ],
)
def test_an_interaction_is_a_press_a_click_or_a_touch(
    tmp_path: Path, interaction: int, kind: Kind, button: Button
):
    log = read_array(tmp_path, incremental(source=2, type=interaction, id=4, x=30, y=40))
    assert rows(log, "x_px", "y_px", "kind", "button") == [(30.0, 40.0, kind, button)]


def test_a_click_by_touch_has_no_button(tmp_path: Path):
    clicks = [incremental(source=2, type=2, x=1, y=2, pointerType=n) for n in (0, 1, 2)]
    log = read_array(tmp_path, *clicks)
    assert rows(log, "button") == [(Button.LEFT,), (Button.LEFT,), (Button.NONE,)]


def test_a_scroll_says_how_far_not_where(tmp_path: Path):
    log = read_array(tmp_path, incremental(source=3, id=1, x=0, y=900))
    assert rows(log, "x_px", "y_px", "kind") == [(None, None, Kind.SCROLL)]


def test_what_says_nothing_about_the_pointer_is_counted(tmp_path: Path):
    log = read_array(
        tmp_path,
        {"type": 0, "data": {}, "timestamp": 1},
        {"type": 2, "data": {"node": {"id": 1, "x": 5, "source": 1}}, "timestamp": 1},
        incremental(source=0, texts=[], adds=[]),
        incremental(source=2, type=5, id=3),
        incremental(source=5, text="secret", id=3),
        {"type": 6, "data": {"plugin": "p", "payload": "secret"}, "timestamp": 1},
        incremental(source=1, positions=[]),
    )
    assert log.ignored == {"not_a_pointer_event": 6, "no_moves": 1}
    assert log.n_rows == 7


def test_the_first_viewport_counts_for_the_whole_session(tmp_path: Path):
    other = {"type": 4, "data": {"width": 640, "height": 480}, "timestamp": 3000}
    resize = incremental(source=4, width=800, height=600)
    log = read_array(tmp_path, MOVES, META, resize, other, later(MOVES))
    assert rows(log, "viewport_width", "viewport_height") == [(1280, 720)] * 4
    log = read_array(tmp_path, resize, META, MOVES)
    assert rows(log, "viewport_width", "viewport_height") == [(800, 600)] * 2
    nonsense = {"type": 4, "data": {"width": 0, "height": "tall"}, "timestamp": 1}
    log = read_array(tmp_path, nonsense, MOVES)
    assert rows(log, "viewport_width", "viewport_height") == [(None, None)] * 2


def test_every_layout_of_a_file_gives_the_same_events(tmp_path: Path):
    events = [META, MOVES, incremental(2020, source=2, type=2, x=13, y=24)]
    lines = "\n".join(map(json.dumps, events))
    layouts = {
        "array": json.dumps(events),
        "pretty array": json.dumps(events, indent=2),
        "lines": lines,
        "lines of Windows": "\ufeff" + lines.replace("\n", "\r\n"),
        "packed array": json.dumps([pack(event) for event in events]),
        "packed lines": "\n".join(json.dumps(pack(event), ensure_ascii=False) for event in events),
        "JSON in strings": json.dumps([json.dumps(event) for event in events]),
        "recording": json.dumps({"session_id": "visit", "events": events}),
        "packed recording": json.dumps({"events": [pack(event) for event in events]}),
        "gzip": gzip.compress(lines.encode()),
    }
    expected = read(tmp_path, layouts["array"]).events
    assert expected.num_rows == 3
    for layout, text in layouts.items():
        log = read(tmp_path, text)
        assert log.events.equals(expected), layout
        head = gzip.decompress(text) if layout == "gzip" else text.encode()
        assert FORMAT.recognise(head, tmp_path / "visit.json"), layout


def test_an_event_is_known_by_its_line_or_its_number(tmp_path: Path):
    assert rows(read(tmp_path, "[\n\n" + json.dumps(MOVES) + "\n]"), "line") == [(1,), (1,)]
    assert rows(read(tmp_path, f"{json.dumps(META)}\n\n{json.dumps(MOVES)}"), "line") == [(3,)] * 2
    recordings = [{"session_id": s, "events": [META, MOVES]} for s in ("a", "b")]
    one_document = read_array(tmp_path, *recordings)
    assert rows(one_document, "session_id", "line") == [("a", 2)] * 2 + [("b", 4)] * 2
    lines = read_lines(tmp_path, *recordings)
    assert rows(lines, "session_id", "line") == [("a", 1)] * 2 + [("b", 2)] * 2


def test_a_session_is_called_by_its_file_below_the_named_folder(tmp_path: Path):
    for name in ("v1.2-visit.json", "v1.2-visit.jsonl", "shop/visit.ndjson", "visit"):
        log = read(tmp_path, json.dumps([MOVES]), name)
        assert rows(log, "session_id") == [(name.rsplit(".", 1)[0],)] * 2
    assert rows(read_array(tmp_path, {"session_id": 17, "events": [MOVES]}), "session_id")[0] == (
        "17",
    )


def test_times_may_be_fractions_or_strings(tmp_path: Path):
    moves = {"source": 1, "positions": [{"x": 1, "y": 2, "timeOffset": -0.5}]}
    times = (1795433788950, "1795433788951", 1795433788950.25, "1795433788951.25")
    log = read_array(tmp_path, *(incremental(t, **moves) for t in times))
    assert rows(log, "t_us") == [
        (1795433788949500,), (1795433788950500,), (1795433788949750,), (1795433788950750,),
    ]  # fmt: skip


def test_an_event_that_cannot_be_read_is_rejected_alone(tmp_path: Path):
    log = read_array(
        tmp_path,
        incremental(None, source=2, type=2, x=1, y=2),
        incremental("soon", source=5, text="secret"),
        incremental(1e300, source=1, positions=[]),
        incremental(source=1, positions="secret"),
        incremental(type=2, x=1, y=2),
        incremental(source=2, x=1, y=2),
        {"type": "secret", "timestamp": 1},
        None,
        17,
        ["secret"],
        "secret",
        MOVES,
    )
    assert reasons(log) == [
        (1, "no_time", "type 3, source 2"),
        (2, "no_time", "type 3, source 5"),
        (3, "no_time", "type 3, source 1"),
        (4, "no_positions", "type 3, source 1"),
        (5, "not_an_event", "type 3"),
        (6, "not_an_event", "type 3, source 2"),
        (7, "not_an_event", None),
        (8, "not_an_event", None),
        (9, "not_an_event", None),
        (10, "not_an_event", None),
        (11, "not_an_event", None),
    ]
    assert rows(log, "line") == [(12,), (12,)]


def test_a_position_that_cannot_be_read_stays_as_null(tmp_path: Path):
    positions = [
        {"x": "left", "y": 2, "timeOffset": 0},
        {"x": 1e300, "y": "nan", "timeOffset": "late"},
        None,
        {"x": "5", "y": 6.5},
    ]
    log = read_array(tmp_path, incremental(2, source=1, positions=positions))
    assert rows(log, "t_us", "x_px", "y_px") == [
        (2000, None, 2.0),
        (None, None, None),
        (2000, None, None),
        (2000, 5.0, 6.5),
    ]


def test_garbage_at_the_end_costs_its_own_line(tmp_path: Path):
    whole = json.dumps(MOVES)
    log = read(tmp_path, f"{whole}\n{json.dumps(later(MOVES))}\n{whole[:60]}")
    assert rows(log, "line") == [(1,), (1,), (2,), (2,)]
    assert reasons(log) == [(3, "not_json", None)]
    log = read(tmp_path, whole.encode() + b"\n\xff\x00\xfe\n")
    assert reasons(log) == [(2, "not_json", None)]


def test_a_truncated_array_is_read_as_far_as_it_goes(tmp_path: Path):
    log = read(tmp_path, json.dumps([META, MOVES, later(MOVES)])[:-20])
    assert reasons(log) == [(3, "not_json", None)]
    assert rows(log, "line") == [(2,), (2,)]


def test_an_empty_file_is_rejected_as_such(tmp_path: Path):
    assert reasons(read(tmp_path, " \n")) == [(None, "empty_file", None)]
    assert read(tmp_path, "[]").n_rows == 0


def test_half_a_character_does_not_cost_the_recording(tmp_path: Path):
    text = r'{"type":2,"data":"\ud83d \ud83d\ude00 \ude00 \\ud83d","timestamp":1}'
    log = read(tmp_path, f"[{text},{json.dumps(MOVES)}]")
    assert log.events.num_rows == 2
    emoji = read_array(tmp_path, {"session_id": "\U0001f600", "events": [MOVES]})
    assert rows(emoji, "session_id")[0] == ("\U0001f600",)


def test_what_unpacks_to_too_much_is_not_unpacked_whole():
    bomb = zlib.compress(b"0" * 100_000).decode("latin1")
    with pytest.raises(UnpackError, match="too_large"):
        unpack(bomb, 99_999)
    assert len(unpack(bomb, 100_000)) == 100_000


def test_the_limit_holds_for_an_event_and_for_a_file(tmp_path: Path):
    moves = pack(MOVES)
    size = len(unpack(moves, 10_000))
    with limited(packed_bytes=2 * size):
        log = read_array(tmp_path, moves, pack(later(MOVES)), pack(later(MOVES, 2000)))
    assert rows(log, "line") == [(1,), (1,), (2,), (2,)]
    assert reasons(log) == [(3, "too_large", None)]
    with limited(event_bytes=size - 1):
        log = read_array(tmp_path, moves, MOVES)
    assert [row[1] for row in reasons(log)] == ["too_large"]


def test_an_event_beyond_the_limit_is_rejected_unread(tmp_path: Path):
    with limited(event_bytes=500):
        log = read_array(tmp_path, {"type": 2, "data": "x" * 500, "timestamp": 1}, MOVES)
    assert reasons(log) == [(1, "too_large", None)]
    assert rows(log, "line") == [(2,), (2,)]


def test_a_damaged_packed_event_is_rejected(tmp_path: Path):
    whole = pack(MOVES)
    log = read_array(tmp_path, whole[:-6], whole[:10] + "AAAA" + whole[14:], "x\u4e00", whole)
    assert [row[:2] for row in reasons(log)] == [
        (1, "cannot_unpack"), (2, "cannot_unpack"), (4, "not_an_event"),
    ]  # fmt: skip
    assert log.events.num_rows == 2


@pytest.mark.parametrize(
    "head",
    [
        b"session_id,t_ms,x,y\na,0,1,2\n",
        b'{"session_id":"a","t_ms":0,"x":1,"y":2}\n',
        b'{"type":"move","timestamp":1,"x":1,"y":2}\n',
        b'["window-1",{"type":3,"data":{},"timestamp":1}]\n',  # PostHog's
        b'["a","b"]',
        b"[1,2,3]",
        b"PAR1\x15\x04",
        b"",
    ],
)
def test_other_formats_are_not_taken(head: bytes):
    assert not FORMAT.recognise(head, Path("log.json"))


def test_a_first_event_of_many_pages_is_recognised():
    snapshot = {"type": 2, "data": {"node": {"text": "x" * 100_000}}, "timestamp": 1}
    head = json.dumps([snapshot]).encode()[:65_536]
    assert FORMAT.recognise(head, Path("visit.json"))


RECORDINGS = ["rrweb_array.json", "rrweb_lines.jsonl.gz", "rrweb_packed.jsonl", "posthog.jsonl"]
"""One visit by a script, recorded by rrweb in a browser; see sample_data/recorder."""


@pytest.fixture(params=RECORDINGS)
def recording(request: pytest.FixtureRequest, sample_dir: Path) -> Log:
    path = sample_dir / "formats" / request.param
    format_ = POSTHOG if request.param.startswith("posthog") else FORMAT
    return format_.read(LogFile(path, path.parent))


@pytest.fixture(scope="session")
def visit(sample_dir: Path) -> dict:
    """Return what the script did."""
    return json.loads((sample_dir / "recorder" / "expected.json").read_text())


def test_a_recording_gives_back_where_the_pointer_was(recording: Log, visit: dict):
    events = recording.events.sort_by("t_us").to_pylist()
    recorded = [
        [event["x_px"], event["y_px"]]
        for event in events
        if event["kind"] in (Kind.MOVE, Kind.DRAG)
    ]
    path = iter(visit["path"])
    # rrweb takes a position every 50 ms: not all of them, but in their order.
    assert all(position in path for position in recorded)
    assert len(recorded) > len(visit["path"]) / 4
    assert recorded[-1] == visit["path"][-1]
    assert {Kind.MOVE, Kind.DRAG, Kind.SCROLL} <= {event["kind"] for event in events}


def test_a_recording_gives_back_every_press(recording: Log, visit: dict):
    kinds = {Kind.DOWN: "down", Kind.UP: "up", Kind.CLICK: "click"}
    presses = [
        ["contextmenu" if button == Button.RIGHT else kinds[kind], x, y]
        for kind, button, x, y in rows(recording, "kind", "button", "x_px", "y_px")
        if kind in kinds
    ]
    assert presses == visit["presses"]


def test_a_recording_is_read_whole_and_has_the_first_viewport(recording: Log, visit: dict):
    assert recording.rejected.num_rows == 0
    sizes = set(rows(recording, "viewport_width", "viewport_height"))
    assert sizes == {tuple(visit["viewport"])}


def test_nothing_typed_gets_into_a_table(recording: Log, visit: dict, sample_dir: Path):
    assert visit["typed"] in (sample_dir / "formats" / "rrweb_array.json").read_text()
    assert visit["typed"][:5] not in str([recording.events.to_pylist(), recording.ignored])


numbers = st.one_of(st.none(), st.integers(-5, 15), st.floats(), st.text(max_size=3))
any_event = st.fixed_dictionaries(
    {},
    optional={
        "type": numbers,
        "timestamp": numbers,
        "data": st.one_of(
            numbers,
            st.fixed_dictionaries(
                {"source": st.integers(0, 13)},
                optional={
                    "type": numbers,
                    "x": numbers,
                    "y": numbers,
                    "width": numbers,
                    "positions": st.lists(
                        st.one_of(numbers, st.just({"x": 1, "y": 2})), max_size=3
                    ),
                },
            ),
        ),
    },
)


@settings(max_examples=60, deadline=None)
@given(events=st.lists(st.one_of(any_event, numbers, any_event.map(pack)), max_size=8))
def test_every_event_is_read_rejected_or_ignored(
    tmp_path_factory: pytest.TempPathFactory, events: list
):
    # JSON has no NaN: a line with one can't be parsed, and is still a row. The events around
    # them see to it that the file is neither empty nor one document.
    log = read_lines(tmp_path_factory.mktemp("logs"), MOVES, *events, MOVES)
    pointer_lines = np.unique(log.events["line"].to_numpy())
    rejected_lines = log.rejected["line"].to_numpy()
    assert not set(pointer_lines) & set(rejected_lines)
    n_accounted = len(pointer_lines) + len(rejected_lines) + sum(log.ignored.values())
    assert n_accounted == len(events) + 2
