"""Layouts that tools really write, each read without a flag and counted by plain Python.

The first part makes small ones of its own. The second reads every case of `cases/` beside the
data for development, where they are.
"""

import base64
import csv
import gzip
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import ColumnsError, LogError
from pipeline.ingest.ingest import ingest_logs
from pipeline.readers.common.columns import parse_columns
from pipeline.readers.common.json_walk import AT_ONCE
from pipeline.schemas import Button, Kind
from pipeline.sessions.sessions import Sessions
from pipeline.storage.store import load_sessions

DAY = "2026-11-01"
START = 1_748_000_000_000
META = {"type": 4, "data": {"href": "", "width": 1280, "height": 720}, "timestamp": START}


def moves(second: int, n: int = 8, left: int = 100) -> dict:
    """Return a batch of `n` moves that ends `second` seconds after the start."""
    positions = [
        {"x": left + 5 * i, "y": 100 + 3 * i, "id": 1, "timeOffset": 50 * (i - n + 1)}
        for i in range(n)
    ]
    data = {"source": 1, "positions": positions}
    return {"type": 3, "data": data, "timestamp": START + 1000 * second}


A, B = [META, moves(1), moves(2, left=300)], [moves(3, left=500), moves(4, left=700)]
"""What two sessions, or two windows, hold: 16 moves each."""


def with_ids(events: list[dict], **ids: object) -> list[dict]:
    return [ids | event for event in events]


def packed(event: dict) -> str:
    return zlib.compress(json.dumps(event | {"v": "v1"}).encode()).decode("latin1")


def gzipped_data(event: dict) -> dict:
    data = gzip.compress(json.dumps(event["data"]).encode()).decode("latin1")
    return event | {"data": data, "cv": "2024-10"}


def lines(*rows: object) -> str:
    return "\n".join(map(json.dumps, rows))


def both(a: str, b: str) -> dict[str, int]:
    return {a: 16, b: 16}


snapshot = {
    "event": "$snapshot",
    "distinct_id": "u1",
    "properties": {"$snapshot_data": A, "$window_id": "w1", "$session_id": "s1"},
}
zlib_base64 = base64.b64encode(zlib.compress(json.dumps(A).encode())).decode()

RRWEB = {
    "any order of keys": (json.dumps([dict(reversed(e.items())) for e in with_ids(A, _id="7")]), {"log": 16}),
    "array of arrays": (json.dumps([A, B]), {"log": 32}),
    "recordings by line": (lines({"sessionId": "v", "events": A}, {"events": B, "sessionId": "w"}), both("v", "w")),
    "recordings in an array": (json.dumps([{"events": A, "meta": {"session_id": "v"}}, {"recordingId": "w", "snapshots": B}]), both("v", "w")),
    "an id in each event": (json.dumps(with_ids(A, sessionId="v") + with_ids(B, sessionId="w")), both("v", "w")),
    "rows with an event": (lines(*({"session": "v", "event": e} for e in A), *({"session": "w", "event": e} for e in B)), both("v", "w")),
    "rows with an event in text": (lines(*({"visit_id": "v", "data": json.dumps(e)} for e in A)), {"v": 16}),
    "rows with a packed event": (json.dumps([{"sid": "v", "payload": packed(e)} for e in A]), {"v": 16}),
    "packed events": (json.dumps({"events": [packed(e) for e in A], "replayId": "v"}), {"v": 16}),
    "a recording in base64": (lines({"session_id": "v", "events": zlib_base64}), {"v": 16}),
    "PostHog's blob v2": (lines(*(["w1", e] for e in A), *(["w2", gzipped_data(e)] for e in B)), both("log/w1", "log/w2")),
    "PostHog's blob v1": (lines({"window_id": "w1", "data": A}, {"window_id": "w2", "data": B}), both("log/w1", "log/w2")),
    "PostHog's export": (json.dumps({"version": "2023-04-28", "data": {"id": "r", "snapshots": with_ids(A, windowId="w1") + with_ids(B, windowId="w2")}}), both("r/w1", "r/w2")),
    "PostHog's API, v1": (json.dumps({"next": None, "result": {"snapshot_data_by_window_id": {"w1": A, "w2": B}}}), both("log/w1", "log/w2")),
    "PostHog's API, one window": (json.dumps({"snapshot_data_by_window_id": {"w1": A}}), {"log/w1": 16}),
    "PostHog's captured events": (lines(snapshot), {"s1/w1": 16}),
    "windows by id": (json.dumps({"sessionId": "s", "windows": {"w1": A, "w2": B}}), both("s/w1", "s/w2")),
    "Sentry's segments": (json.dumps([A, B]), {"log": 32}),
    "a segment of Sentry's": ('{"segment_id":0}\n' + json.dumps(A), {"log": 16}),
    "a packed segment of Sentry's": (b'{"segment_id":0}\n' + zlib.compress(json.dumps(A).encode()), {"log": 16}),
    "Datadog's records": (json.dumps({"records": A, "session": {"id": "d"}, "view": {"id": "x"}}), {"d": 16}),
    "a batch twice": (json.dumps([*A, *B, *B]), {"log": 32}),
    "a visit without events": (lines({"session_id": "v", "events": [META]}, {"session_id": "w", "events": A}), {"v": 0, "w": 16}),
}  # fmt: skip

PATH = [(START + 16 * i, 100 + 3 * i, 200 + i * i % 7) for i in range(20)]
"""Times in ms since 1970, x and y."""


def table(header: str, row: Callable[[int, int, int], str], separator: str = "\n") -> str:
    return separator.join([*([header] if header else []), *(row(*place) for place in PATH)])


def trial(name: str, start: int) -> str:
    x, y = ("[" + ", ".join(str(p[k]) for p in PATH) + "]" for k in (1, 2))
    return f'{name},"{x}","{y}","{[start + 16 * i for i in range(20)]}"'


def objects(**keys: str) -> list[dict]:
    return [{keys["t"]: t, keys["x"]: x, keys["y"]: y} for t, x, y in PATH]


TABLES = {
    "spelt with capitals": (table("Session,Timestamp,X,Y,Event", lambda t, x, y: f"v,{t},{x},{y},mousemove"), {"v": 20}),
    "seconds": (table("visit,time,clientX,clientY", lambda t, x, y: f"v,{t / 1000:.3f},{x},{y}"), {"v": 20}),
    "microseconds": (table("sid;ts;pos_x;pos_y", lambda t, x, y: f"v;{1000 * t};{x};{y}"), {"v": 20}),
    "nanoseconds": (table("sid\ttimestamp\txpos\typos", lambda t, x, y: f"v\t{t}000000\t{x}\t{y}"), {"v": 20}),
    "ISO with a comma": (table("session|datetime|mouse_x|mouse_y", lambda t, x, y: f"v|2025-05-23 11:33:{t // 1000 % 60:02},{t % 1000:03}|{x}|{y}"), {"v": 20}),
    "decimal comma": (table("session_id;t_s;x;y", lambda t, x, y: f"v;0,{t % 1000:03};{x},5;{y},25"), {"v": 20}),
    "UTF-16": (table("session_id\tt_ms\tx\ty", lambda t, x, y: f"v\t{t}\t{x}\t{y}").encode("utf-16"), {"v": 20}),
    "blanks between": (table("cursor timestamp xpos ypos event xpath", lambda t, x, y: f"0 {t}   {x} {y} mousemove"), {"log": 20}),
    "no session": (table("time,mouse_x,mouse_y,button,state", lambda t, x, y: f"{t / 1000:.3f},{x},{y},NoButton,Move"), {"log": 20}),
    "an index without a name": (table(",session_id,t_ms,x,y", lambda t, x, y: f"{x},v,{t},{x},{y}"), {"v": 20}),
    "a column twice": (table("id;session_id;x;y;t_ms;id", lambda t, x, y: f"7;v;{x};{y};{t};7"), {"v": 20}),
    "lists in cells": ("\n".join(["subject,xpos,ypos,timestamps", trial("p1", 0), trial("p1", 5000), trial("p2", 0)]), {"p1": 40, "p2": 20}),
    "trials of one clock": ("\n".join(["subject,xpos,ypos,timestamps", trial("p1", 0), trial("p1", 0)]), {"p1": 40}),
    "an array of rows": (json.dumps(objects(t="timestamp", x="x", y="y")), {"log": 20}),
    "nested rows": (json.dumps([{"type": "mousemove", "details": r, "createAt": f"2025-05-23T11:33:{i:02}Z"} for i, r in enumerate(objects(t="_", x="clientX", y="clientY"))]), {"log": 20}),
    "nested rows by line": (lines(*({"sessionId": "v", "at": 1, "pos": {"x": x, "y": y}, "ts": t} for t, x, y in PATH)), {"v": 20}),
    "trials of jsPsych": (json.dumps([{"rt": 9, "mouse_tracking_data": [{"x": x, "y": y, "t": t - START, "event": "mousemove"} for t, x, y in PATH]}] * 2), {"log": 40}),
    "sessions that hold rows": (json.dumps({"sessions": [{"sessionId": s, "events": objects(t="t", x="x", y="y")} for s in "vw"]}), {"v": 20, "w": 20}),
    "columns of JSON, in the plural": (json.dumps({"cursor": {"xs": [p[1] for p in PATH], "ys": [p[2] for p in PATH], "ts": [p[0] for p in PATH]}}), {"log": 20}),
    "a time inside": (json.dumps([{"wri": {"timestamp": f"2025-05-23T11:33:{i:02}Z"}, "x": x, "y": y} for i, (_, x, y) in enumerate(PATH)]), {"log": 20}),
    "PsychoPy": ("\n".join(["participant,mouse.x,mouse.y,mouse.time,session,date", *(f'p,"{[p[1] for p in PATH]}","{[p[2] for p in PATH]}","{[i / 60 for i in range(20)]}",1,2025-05-23_11h33' for _ in "ab")]), {"1": 40}),
    "columns of JSON": (json.dumps({"session_id": "v", "x": [p[1] for p in PATH], "y": [p[2] for p in PATH], "t": [p[0] for p in PATH]}), {"v": 20}),
}  # fmt: skip


def read(folder: Path, content: str | bytes, name: str = "log", columns: str = "") -> Sessions:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    ingest_logs([path], folder / "store", ingest_date=DAY, columns=parse_columns(columns))
    return load_sessions([folder / "store"])


def counts(sessions: Sessions) -> dict[str, int]:
    return dict(zip(sessions.session_id, sessions.n_events.tolist(), strict=True))


@pytest.mark.parametrize("layout", [*RRWEB, *TABLES])
def test_a_layout_is_read_without_a_flag(layout, tmp_path):
    content, expected = (RRWEB | TABLES)[layout]
    sessions = read(tmp_path, content)
    assert counts(sessions) == expected
    gaps = np.diff(sessions.t_us)[np.diff(sessions.session_of_event) == 0]
    assert gaps.min() >= 0
    assert gaps.max() <= 6_000_000


@pytest.mark.parametrize("layout", RRWEB)
def test_a_large_file_is_gone_through_piece_by_piece_to_the_same_end(layout, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.readers.common.json_walk.AT_ONCE", 60)
    monkeypatch.setattr("pipeline.readers.common.json_walk._PIECE", 120)
    assert AT_ONCE > 60
    content, expected = RRWEB[layout]
    assert counts(read(tmp_path, content)) == expected


def test_a_table_without_header_says_how_to_read_it_and_is_read_so(tmp_path):
    content = table("", lambda t, x, y: f"{t / 1000:.4f},1,MOVE,{x},{y}")
    with pytest.raises(ColumnsError, match="no header line") as error:
        read(tmp_path, content)
    flag = error.value.hint.split("--columns ")[1]
    assert flag == "t_s=1,event=3,x=4,y=5"
    assert counts(read(tmp_path, content, columns=flag)) == {"log": 20}
    with_session = read(tmp_path, content + "\n", columns=f"session_id=2,{flag}", name="other")
    assert counts(with_session) == {"log": 20, "1": 20}


def test_the_folder_of_a_file_without_session_is_its_account(tmp_path):
    for user, left in (("user7", 0), ("user8", 9)):
        content = table("time,x,y", lambda t, x, y, left=left: f"{t},{x + left},{y}")
        (tmp_path / "logs" / user).mkdir(parents=True)
        (tmp_path / "logs" / user / "session_1.csv").write_text(content)
    ingest_logs([tmp_path / "logs"], tmp_path / "store", ingest_date=DAY)
    sessions = load_sessions([tmp_path / "store"])
    assert dict(zip(sessions.session_id, sessions.account_id, strict=True)) == {
        "user7/session_1": "user7", "user8/session_1": "user8",
    }  # fmt: skip


def test_an_option_that_has_no_use_is_an_error(tmp_path):
    with pytest.raises(ColumnsError, match="x has no use"):
        read(tmp_path, json.dumps(A), columns="x=left")
    with pytest.raises(ColumnsError, match="nothing is called 'visitor_key'"):
        read(tmp_path, json.dumps(A), columns="session_id=visitor_key")
    named = lines({"visitor_key": "v", "events": A}, {"visitor_key": "w", "events": B})
    assert counts(read(tmp_path, named, columns="session_id=visitor_key")) == both("v", "w")


def test_a_recording_whose_clock_was_set_back_keeps_its_path(tmp_path):
    events = [moves(second, 20, left=100 * second) for second in range(1, 9)]
    whole = read(tmp_path / "whole", json.dumps(events))
    set_back = [e | {"timestamp": e["timestamp"] - 1500 * (i >= 4)} for i, e in enumerate(events)]
    mended = read(tmp_path / "mended", json.dumps(set_back))
    assert mended.x_px.tolist() == whole.x_px.tolist()
    assert abs(int(mended.t_us[-1]) - int(whole.t_us[-1])) <= 1_000_000


CASES = Path(os.environ.get("POINTERPRINT_DATA", Path(__file__).parents[2] / "shared" / "data")).parent / "cases"  # fmt: skip
NO_CASES = f"no {CASES}: cases lie beside the folder that POINTERPRINT_DATA names"
FLAGS = {"headerless": "t_s=1,session_id=2,event=3,x=4,y=5"}
REFUSED = {"microseconds-as-ms-crash-report": "t_us=t_ms"}
"""Cases that are asked about, and the flag that the hint names."""


def cases() -> list[str]:
    if not CASES.is_dir():
        return []
    files = sorted(path for path in CASES.glob("*/*") if path.name not in ("case.md", "README.md"))
    return [str(path.relative_to(CASES)) for path in files]


@pytest.mark.parametrize("name", cases() or [pytest.param("", marks=pytest.mark.skip(NO_CASES))])
def test_a_case_is_read_as_an_independent_count_says(name, tmp_path):
    path, case = CASES / name, name.split("/")[0]
    columns = parse_columns(FLAGS.get(case))
    if case in REFUSED:
        with pytest.raises(LogError) as error:
            ingest_logs([path], tmp_path / "store", ingest_date=DAY)
        assert REFUSED[case] in error.value.hint
        columns = parse_columns(REFUSED[case])
    ingest_logs([path], tmp_path / "store", ingest_date=DAY, columns=columns)
    sessions = load_sessions([tmp_path / "store"])
    expected = counted(path)
    assert len(sessions) == len(expected)
    assert sorted(sessions.n_events.tolist()) == sorted(expected.values())


def test_the_table_of_cases_is_what_plain_python_counts():
    if not CASES.is_dir():
        pytest.skip(NO_CASES)
    page = (Path(__file__).parents[1] / "docs" / "formats.md").read_text()
    rows = re.findall(r"ingest cases/(\S+) [^`]*` \| (\d+) \| (\d+) \| (\d+) \|", page)
    counts = {name: counted(CASES / name) for name in cases()}
    assert rows == [(name, str(len(n)), str(n.total()), "0") for name, n in counts.items()]


def counted(path: Path) -> Counter:
    """Return the events of each session of a case, without anything of the product."""
    text = path.read_text()
    if path.suffix in (".json", ".jsonl", ".txt"):
        documents = [json.loads(text)] if path.suffix == ".json" else list(map(json.loads, text.split("\n")[: text.strip().count("\n") + 1]))  # fmt: skip
        sessions, seen = Counter(), set()
        for session, key, n in in_json(documents, ""):
            sessions[session] += 0 if key in seen else n
            seen.add(key)
        return sessions
    rows = [line for line in text.splitlines()[path.parent.name != "headerless" :] if line]
    if path.parent.name == "lists-in-cells":
        paths = list(csv.reader(rows))
        return Counter({who: sum(row[2].count(",") + 1 for row in paths if row[0] == who) for who in {row[0] for row in paths}})  # fmt: skip
    return Counter({"": sum(" load " not in row for row in rows)})


def in_json(value: object, session: object) -> Iterator[tuple]:
    """Give session, key and number of positions of each event of the pointer, and of visits."""
    if isinstance(value, list):
        for item in value:
            yield from in_json(item, session)
    elif isinstance(value, dict) and isinstance(value.get("type"), int) and "timestamp" in value:
        who = value.get("windowId", session)
        data = value["data"]
        n = len(data.get("positions", [0])) if value["type"] == 3 else 0
        yield who, json.dumps([who, value]), n
    elif isinstance(value, dict):
        names = ("session_id", "sessionId", "window_id", "windowId")
        session = next((value[name] for name in names if name in value), session)
        place = value.get("details", value)
        if {"x", "y"} <= place.keys() or {"clientX", "clientY"} <= place.keys():
            yield session, id(value), 1
        else:
            for item in value.values():
                yield from in_json(item, session)


def test_a_click_goes_the_way_that_another_column_says(tmp_path):
    rows = [f"{t / 1000},move,{x},{y},," for t, x, y in PATH]
    rows += [f"{START / 1000 + k},click,1,2,Button.left,{way}" for k, way in ((1, "pressed"), (2, "released"))]  # fmt: skip
    rows += [f"{START / 1000 + 3},scroll,1,2,,down"]
    sessions = read(tmp_path, "\n".join(["ts,event,x,y,button,action", *rows]))
    assert sessions.kind[20:].tolist() == [Kind.DOWN, Kind.UP, Kind.SCROLL]
    assert sessions.button[20:].tolist() == [Button.LEFT, Button.LEFT, Button.NONE]


def test_a_column_of_states_alone_says_what_an_event_is(tmp_path):
    rows = ["0,NoButton,Move,1,2", "9,Left,Pressed,1,2", "18,Left,Released,1,2"]
    rows += ["27,Scroll,Down,1,2", "36,NoButton,,3,4"]
    sessions = read(tmp_path, "\n".join(["timestamp,button,state,x,y", *rows]))
    kinds = [Kind.MOVE, Kind.DOWN, Kind.UP, Kind.SCROLL, Kind.MOVE]
    assert sessions.kind.tolist() == kinds


IN_CELLS = {
    "an event a row": [{"session_id": s, "id": i, "event": json.dumps(e)} for s, events in (("v", A), ("w", B)) for i, e in enumerate(events)],
    "an event over columns": [{"session_id": s, "type": e["type"], "timestamp": e["timestamp"], "data": json.dumps(e["data"])} for s, events in (("v", A), ("w", B)) for e in events],
    "a recording a row": [{"recording_id": s, "created_at": "2025-05-23", "events": json.dumps(events)} for s, events in (("v", A), ("w", B))],
}  # fmt: skip


@pytest.mark.parametrize("layout", IN_CELLS)
@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_events_in_the_cells_of_a_table_are_read(layout, kind, quoting, tmp_path):
    frame = pd.DataFrame(IN_CELLS[layout])
    path = tmp_path / f"log.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="," if kind == "csv" else "\t", quoting=quoting)
    report = ingest_logs([path], tmp_path / "store", ingest_date=DAY)
    sessions = load_sessions([tmp_path / "store"])
    assert counts(sessions) == both("v", "w")
    assert report.rejected == {}
    assert set(sessions.source) == {"rrweb"}
