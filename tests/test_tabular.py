"""The columns that csv, jsonl and parquet share, and what their cells may say."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import ColumnsError, ConfigError, LogError, MissingColumnsError
from pipeline.readers.common import cells
from pipeline.readers.common.columns import Reading, Sample, check_mapping, read_columns
from pipeline.readers.common.formats import REJECTED, Log, LogFile
from pipeline.readers.common.tabular import check_doubles, to_log
from pipeline.readers.common.words import NOT_POINTER, UNKNOWN, button_of, kind_of
from pipeline.schemas import Button, Kind


def column(*values: object) -> pa.ChunkedArray:
    return pa.chunked_array([list(values)])


def log_of(**columns: list) -> Log:
    table = pa.table({"session_id": ["s"], "t_ms": [1], "x": [2], "y": [3]} | columns)
    line = np.arange(2, 2 + table.num_rows)
    file = LogFile(Path("logs/u7/log.csv"), Path("logs"))
    reading = Reading({name: name for name in table.column_names})
    return to_log(table, line, REJECTED.empty_table(), "csv", file, reading)


def reading(names: str, *rows: str, columns: dict | None = None, is_named: bool = True) -> Reading:
    cells_of_rows = [row.split(",") for row in rows]
    return read_columns(columns or {}, Sample(names.split(","), cells_of_rows), "log", is_named)


def names(found: str, **columns: str) -> dict[str, str]:
    return dict(reading(found, columns=columns).names)


def test_the_users_name_goes_before_ours():
    assert names("session_id,sid,t_ms,x,y", session_id="sid")["session_id"] == "sid"


def test_a_name_of_the_users_that_is_not_there_is_an_error_where_the_file_was_named():
    with pytest.raises(ColumnsError, match="no column 'sid'"):
        names("session_id,t_ms,x,y", session_id="sid")
    among_others = reading("session_id,t_ms,x,y", columns={"session_id": "sid"}, is_named=False)
    assert among_others.names["session_id"] == "session_id"


def test_one_time_is_read_and_the_mapped_one_if_there_is_one():
    found = "session_id,t_us,when,x,y"
    assert set(names(found)) == {"session_id", "t_us", "x", "y"}
    assert names(found, t_s="when")["t_s"] == "when"


def test_scroll_y_and_strangers_are_not_read():
    assert set(names("session_id,t_ms,x,y,scroll_y,note")) == {"session_id", "t_ms", "x", "y"}


def test_missing_columns_are_named_with_what_was_found():
    with pytest.raises(MissingColumnsError, match=r"t_ms, y; found sid, x"):
        names("sid,x,z")


def test_a_misspelt_column_of_ours_is_named():
    with pytest.raises(ConfigError, match="did you mean session_id"):
        check_mapping({"sesion_id": "sid"})


def test_two_columns_of_one_name_are_an_error_if_they_are_read():
    with pytest.raises(LogError, match="more than one column is named x"):
        check_doubles(["x", "y", "x"], ["x", "y"], "log")
    check_doubles(["id", "x", "id"], ["x"], "log")


@pytest.mark.parametrize(
    ("header", "x", "y", "time"),
    [
        ("X,Y,Timestamp", "X", "Y", "Timestamp"),
        ("clientX,clientY,pageX,pageY,ts", "clientX", "clientY", "ts"),
        ("pos_x,pos_y,time", "pos_x", "pos_y", "time"),
        ("xpos,ypos,datetime", "xpos", "ypos", "datetime"),
        ("mouse_x,mouse_y,timeStamp", "mouse_x", "mouse_y", "timeStamp"),
        ("Mouse X,Mouse Y,Time (s)", "Mouse X", "Mouse Y", "Time (s)"),
        ("screenX,screenY,created_at", "screenX", "screenY", "created_at"),
        ("x_px,y_px,elapsed_ms", "x_px", "y_px", "elapsed_ms"),
        ("x,y,clientX,clientY,t", "x", "y", "t"),
    ],
)
def test_columns_are_known_by_what_their_names_are_made_of(header, x, y, time):
    found = reading(header).names
    assert (found["x"], found["y"]) == (x, y)
    assert time in found.values()


@pytest.mark.parametrize(
    ("first", "unit"),
    [
        ("1748000000.016", "t_s"), ("1748000000016", "t_ms"), ("1748000000016000", "t_us"),
        ("1748000000016000000", "t_ns"), ("0.016", "t_s"), ("16", "t_ms"), ("2025-05-23", "t_iso"),
        ("2025-05-23T11:33:20,016", "t_iso"), ("23/05/2025 11:33:20", "t_dmy"),
        ("05/23/2025 11:33:20", "t_mdy"), ("11:33:20.016", "t_iso"),
    ],
)  # fmt: skip
def test_the_unit_of_a_time_is_told_by_its_values(first, unit):
    second = first[:-1] + "9" if first[-1].isdigit() else first
    table = Sample(["time", "x", "y"], [[first, "1", "2"], [second, "1", "2"]])
    assert unit in read_columns({}, table, "log").names


def test_a_name_that_says_the_unit_is_believed():
    assert "t_s" in names("t_s,x,y")
    assert names("time_us,x,y")["t_us"] == "time_us"
    assert names("seconds,x,y")["t_s"] == "seconds"


def test_a_unit_that_cannot_be_is_an_error_with_the_one_that_can():
    rows = [f"{1748000000 + i * 0.016:.3f},{i},{i}" for i in range(30)]
    with pytest.raises(ColumnsError) as error:
        reading("time,x,y", *rows, columns={"t_ms": "time"})
    assert "t_s=time" in error.value.hint


@pytest.mark.parametrize(
    ("header", "rows", "flags"),
    [
        ("session,session_key,t_ms,x,y", ["a,b,0,1,2", "a,c,9,1,2"],
         ["session_id=session", "session_id=session_key"]),
        ("s,when,time,clock,x,y", ["s,a,0,5,1,2", "s,b,9,2000005,1,2"], ["t_ms=time"]),
        ("date,x,y", ["03/04/2025 10:00:00,1,2"], ["t_dmy=date", "t_mdy=date"]),
        ("mouse_x,mouse_y,cursor_x,cursor_y,t_ms", ["1,2,3,4,5"],
         ["x=mouse_x,y=mouse_y", "x=cursor_x,y=cursor_y"]),
    ],
)  # fmt: skip
def test_two_readings_as_good_are_an_error_that_shows_both(header, rows, flags):
    with pytest.raises(ColumnsError, match="two readings") as error:
        reading(header, *rows)
    assert all(flag in error.value.hint for flag in flags)


def test_two_columns_that_mean_the_same_are_no_riddle():
    same = reading("visit,session,session_id2,t_ms,x,y", "a,b,c,0,1,2")
    assert same.names["session_id"] == "session"
    clocks = reading("time,timestamp,x,y", "0,1748000000000,1,2", "16,1748000000016,3,4")
    assert clocks.names["t_ms"] == "time"


def test_a_table_without_session_is_one_of_its_file_and_folder():
    table = pa.table({"t_ms": [1], "x": [2], "y": [3]})
    file = LogFile(Path("logs/u7/log.csv"), Path("logs"))
    log = to_log(table, np.array([2]), REJECTED.empty_table(), "csv", file, reading("t_ms,x,y"))
    assert log.events["session_id"].to_pylist() == ["u7/log"]
    assert log.events["account_id"].to_pylist() == ["u7"]


def test_what_was_found_is_said():
    found = reading("Session,Timestamp,X,Y,Event", "a,1748000000000,1,2,mousemove")
    assert found.note == "sessions by `Session`, x=X, y=Y, t_ms=Timestamp, event=Event"


@pytest.mark.parametrize(
    ("unit", "value", "t_us"),
    [
        ("t_us", 1_500, 1_500),
        ("t_ms", 1.5, 1_500),
        ("t_ms", " 1.5 ", 1_500),
        ("t_s", "0.0015", 1_500),
        ("t_s", "1.5e-3", 1_500),
        ("t_ms", 1_767_225_600_000, 1_767_225_600_000_000),
        ("t_iso", "2026-01-01T00:00:00Z", 1_767_225_600_000_000),
        ("t_iso", "2026-01-01 00:00:00.001500", 1_767_225_600_001_500),
        ("t_iso", "2026-01-01T01:00:00+01:00", 1_767_225_600_000_000),
    ],
)
def test_times_of_any_unit_become_microseconds(unit, value, t_us):
    assert cells.times_us(column(value), unit).to_pylist() == [t_us]


@pytest.mark.parametrize("unit", ["t_us", "t_ms", "t_s", "t_ns"])
@pytest.mark.parametrize("value", [0, -5, 1_767_225_600, 2**53 - 1, 2**53 + 1, 2**62, -(2**63)])
def test_whole_numbers_are_the_times_that_the_same_decimals_are(unit, value):
    given = pa.chunked_array([pa.array([value, None], pa.int64()), pa.array([7], pa.int64())])
    decimals = given.cast(pa.float64(), safe=False)
    assert cells.times_us(given, unit).to_pylist() == cells.times_us(decimals, unit).to_pylist()


@pytest.mark.parametrize("value", ["", "soon", "nan", "inf", "1,5", "0x10", "1e300", None])
def test_what_is_no_time_is_null(value):
    assert cells.times_us(column(value, "1"), "t_ms").to_pylist() == [None, 1_000]


@pytest.mark.parametrize("value", ["2026", "1767225600", "2026-13-01T00:00:00Z", "today"])
def test_what_is_no_date_is_null(value):
    times = cells.times_us(column(value, "1970-01-01"), "t_iso")
    assert times.to_pylist() == [None, 0]


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Vienna"])
@pytest.mark.parametrize("unit", ["s", "ms", "ns"])
def test_a_timestamp_column_is_what_it_says_whatever_its_name(zone, unit):
    one_second = {"s": 1, "ms": 1_000, "ns": 10**9}[unit]
    times = pa.chunked_array([pa.array([one_second, None], pa.timestamp(unit, zone))])
    assert cells.times_us(times, "t_ms").to_pylist() == [1_000_000, None]


def test_event_words_of_other_recorders_are_known():
    words = column("move", "MouseDown", "released", "wheel", " Drag ", "dblclick", "touchmove", "")
    assert cells.kinds({"event": words}, len(words)).tolist() == [
        Kind.MOVE, Kind.DOWN, Kind.UP, Kind.SCROLL, Kind.DRAG, Kind.CLICK, Kind.TOUCH, Kind.MOVE,
    ]  # fmt: skip


def test_an_unknown_event_costs_its_row_and_names_its_line():
    log = log_of(session_id=["s"] * 3, t_ms=[1] * 3, x=[2] * 3, y=[3] * 3,
                 event=["move", "hover", None])  # fmt: skip
    assert log.events["line"].to_pylist() == [2, 4]
    assert log.rejected.to_pylist() == [{"line": 3, "reason": "unknown_event", "raw": None}]


def test_button_numbers_are_the_doms_and_count_only_for_presses():
    numbers = column(0, 1, 2, 4, 0, -1)
    kind = np.array([Kind.DOWN, Kind.UP, Kind.CLICK, Kind.DOWN, Kind.MOVE, Kind.MOVE], np.int8)
    assert cells.buttons({"button": numbers}, kind).tolist() == [
        Button.LEFT, Button.MIDDLE, Button.RIGHT, Button.OTHER, Button.NONE, Button.NONE,
    ]  # fmt: skip


def test_button_words_count_for_every_kind():
    words = column("Left", "RIGHT", "NoButton", "XButton", None)
    kind = np.full(5, Kind.DRAG, np.int8)
    assert cells.buttons({"button": words}, kind).tolist() == [
        Button.LEFT, Button.RIGHT, Button.NONE, Button.OTHER, Button.NONE,
    ]  # fmt: skip


@pytest.mark.parametrize("given", [["1", "0", "", "2"], [1, 0, None, 2], ["1", "0", "", "bot"]])
def test_a_label_is_0_or_1_or_not_said(given):
    log = log_of(session_id=["s"] * 4, t_ms=[1] * 4, x=[2] * 4, y=[3] * 4, label=given)
    assert log.events["label"].to_pylist() == [1, 0, None]
    assert log.rejected["reason"].to_pylist() == ["unknown_label"]


def test_true_is_fraud():
    assert log_of(label=[True]).events["label"].to_pylist() == [1]


def test_a_viewport_that_can_not_be_is_not_known():
    log = log_of(viewport_width=["1280"], viewport_height=["-1"])
    assert log.events["viewport_width"].to_pylist() == [1280]
    assert log.events["viewport_height"].to_pylist() == [None]


def test_session_ids_may_be_numbers():
    assert log_of(session_id=[17]).events["session_id"].to_pylist() == ["17"]


def test_the_source_is_the_format_unless_the_log_says():
    assert log_of().events["source"].to_pylist() == ["csv"]
    assert log_of(source=["wind_mouse"]).events["source"].to_pylist() == ["wind_mouse"]


def test_a_column_t_of_numbers_gets_its_unit_from_them():
    assert "t_ms" in reading("t,x,y", "0,1,2", "16,1,2").names
    assert "t_s" in reading("t,x,y", "0,1,2", "0.016,1,2").names


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("CLICK_DOWN", Kind.DOWN), ("CLICK_UP", Kind.UP), ("Button.left pressed", Kind.DOWN),
        ("RawMotion", Kind.MOVE), ("ButtonRelease", Kind.UP), ("double", Kind.CLICK),
        ("WM_LBUTTONDOWN", Kind.DOWN), ("wheel down", Kind.SCROLL), ("on_move", Kind.MOVE),
        ("left_click", Kind.CLICK), ("touchend", Kind.TOUCH), ("dragTo", Kind.DRAG),
        ("keydown", NOT_POINTER), ("blur", NOT_POINTER), ("mouseover", NOT_POINTER),
        ("teleport", UNKNOWN), ("down with it", UNKNOWN), (None, Kind.MOVE),
    ],
)  # fmt: skip
def test_words_of_events_are_taken_apart(word, kind):
    assert kind_of(word) == kind


@pytest.mark.parametrize(
    ("word", "button"),
    [
        ("Button.left", Button.LEFT), ("LEFT_BUTTON", Button.LEFT), ("NoButton", Button.NONE),
        ("Button.x1", Button.OTHER), ("Button.unknown", Button.OTHER), ("2", Button.RIGHT),
        ("", Button.NONE), ("thumb", UNKNOWN),
    ],
)  # fmt: skip
def test_words_of_buttons_are_taken_apart(word, button):
    assert button_of(word) == button


def test_the_state_of_a_button_says_which_way_a_click_goes():
    given = {
        "event": column("click", "click", "move", "scroll"),
        "state": column("True", "False", None, "down"),
    }
    assert cells.kinds(given, 4).tolist() == [Kind.DOWN, Kind.UP, Kind.MOVE, Kind.SCROLL]


def test_a_wheel_as_button_makes_a_scroll():
    given = {"event": column("Down", "Pressed"), "button": column("Scroll", "Left")}
    assert cells.kinds(given, 2).tolist() == [Kind.SCROLL, Kind.DOWN]


def test_unknown_words_are_counted_with_what_they_are():
    log = log_of(session_id=["s"] * 3, t_ms=[1] * 3, x=[2] * 3, y=[3] * 3,
                 event=["hover", "down", "hover"], button=["", "thumb", ""])  # fmt: skip
    assert log.words == {"event hover": 2, "button thumb": 1}
    assert log.events["button"].to_pylist() == [Button.OTHER]


def test_a_row_of_something_else_is_ignored_and_its_session_is_a_visit():
    log = log_of(session_id=["s", "v"], t_ms=[1, 5], x=[2, 3], y=[3, 4], event=["move", "load"])
    assert log.ignored == {"not_a_pointer_event": 1}
    assert log.visits["session_id"].to_pylist() == ["v"]
