"""The way through JSON: its two parsers agree, and what is cut off is taken once."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.readers.common.formats import Log, read_log
from pipeline.readers.common.json_walk import has_long_numbers

NODE = {"type": 2, "tagName": "div", "childNodes": [{"type": 3, "textContent": "]},{"}] * 3}


def moves(second: int, x: float = 5) -> dict:
    positions = [{"x": x + i, "y": 7, "timeOffset": 50 * (i - 4)} for i in range(4)]
    return {"type": 3, "data": {"source": 1, "positions": positions}, "timestamp": 1000 * second}


EVENTS = [
    {"type": 4, "data": {"width": 800, "height": 600}, "timestamp": 900},
    {"type": 2, "data": {"node": NODE}, "timestamp": 950},
    *(moves(second) for second in range(1, 9)),
    {"type": 3, "data": {"source": 0, "adds": [{"node": NODE}] * 4}, "timestamp": 9000},
    moves(8),  # once more
    *(moves(second, x=0.1) for second in range(10, 19)),
]
TEXTS = {
    "array": json.dumps(EVENTS),
    "array without blanks": json.dumps(EVENTS, separators=(",", ":")),
    "array over lines": json.dumps(EVENTS, indent=1),
    "lines": "\n".join(json.dumps(["window", event]) for event in EVENTS),
    "recording": json.dumps({"events": EVENTS, "session_id": "s"}),
    "what only Python reads": json.dumps(EVENTS).replace('"width": 800', '"width": NaN'),
    "half a character": json.dumps(EVENTS).replace("div", r"\ud83d"),
}


def read(folder: Path, text: str) -> Log:
    path = folder / "log.json"
    path.write_text(text)
    return read_log(path, folder)[1]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("at_once", [90, 700, 2**20])
def test_both_parsers_give_the_same_log(text, at_once, tmp_path, monkeypatch):
    walk = "pipeline.readers.common.json_walk"
    monkeypatch.setattr(f"{walk}.AT_ONCE", at_once)
    monkeypatch.setattr(f"{walk}._PIECE", 2 * at_once)
    fast = read(tmp_path, TEXTS[text])
    assert fast.events.num_rows == 17 * 4
    assert fast.ignored == {"not_a_pointer_event": 3, "duplicate_event": 1}
    monkeypatch.setattr("pipeline.readers.common.json_files.has_long_numbers", lambda _: True)
    assert read(tmp_path, TEXTS[text]) == fast


@pytest.mark.parametrize("id_", [2**64 - 1, 2**64, 10**29 + 1])
def test_an_identifier_is_kept_to_its_last_digit(id_, tmp_path):
    lines = (json.dumps({"session_id": id_ + i, "events": [moves(1)]}) for i in range(2))
    log = read(tmp_path, "\n".join(lines))
    assert log.events["session_id"].unique().to_pylist() == [str(id_), str(id_ + 1)]


@given(st.integers(0, 2**21), st.integers(15, 25))
def test_twenty_digits_are_seen_wherever_they_stand(start: int, n: int):
    text = np.full(start + 40, ord("-"), np.uint8)
    text[start : start + n] = ord("7")
    assert has_long_numbers(text.tobytes()) == (n >= 20)
    assert has_long_numbers(text[: start + n].tobytes()) == (n >= 20)
    assert not has_long_numbers(text[: start + 19].tobytes())


@pytest.mark.parametrize("n", [25, 30, 35])
def test_rows_of_an_array_that_is_cut_off_are_there_once(n, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.readers.common.json_walk.AT_ONCE", 100)
    monkeypatch.setattr("pipeline.readers.common.json_rows._CHUNK", 10)
    rows = [{"t_ms": 10 * i, "x": i, "y": 5} for i in range(n)]
    whole = json.dumps(rows[:5])
    log = read(tmp_path, f"{whole}\n{json.dumps(rows[5:])[:-3]}")
    assert log.events["x_px"].to_pylist() == list(range(n - 1))
    assert log.rejected["reason"].to_pylist() == ["not_json"]


@pytest.mark.parametrize("depth", [300, 1010, 1500, 100_000])
def test_what_is_absurdly_deep_costs_no_other_event_and_none_is_there_twice(depth, tmp_path):
    nested = "[" * depth + "1" + "]" * depth
    deep = f'{{"type":3,"timestamp":9000,"data":{{"source":2,"type":2,"id":{nested}}}}}'
    log = read(tmp_path, "\n".join([json.dumps(moves(1)), deep, json.dumps(moves(2))]))
    assert log.n_rows == 9
    assert log.rejected["reason"].to_pylist() == ["not_json"] * (depth > 1000)
    log = read(tmp_path, f"[{json.dumps(moves(1))},{deep}]")
    assert log.n_rows == 5
