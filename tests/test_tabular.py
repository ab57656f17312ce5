"""The columns that csv, jsonl and parquet share, and what their cells may say."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import ConfigError, LogError, MissingColumnsError
from pipeline.readers.common import cells
from pipeline.readers.common.formats import REJECTED
from pipeline.readers.common.tabular import check_header, check_mapping, log_names, to_log
from pipeline.schemas import Button, Kind


def column(*values: object) -> pa.ChunkedArray:
    return pa.chunked_array([list(values)])


def log_of(**columns: list) -> object:
    table = pa.table({"session_id": ["s"], "t_ms": [1], "x": [2], "y": [3]} | columns)
    line = np.arange(2, 2 + table.num_rows)
    return to_log(table, line, REJECTED.empty_table(), "csv", "log")


def test_the_users_name_goes_before_ours():
    found = ["session_id", "sid", "t_ms", "x", "y"]
    assert log_names({"session_id": "sid"}, found, "log")["session_id"] == "sid"


def test_our_name_serves_where_the_users_is_not_there():
    found = ["session_id", "t_ms", "x", "y"]
    assert log_names({"session_id": "sid"}, found, "log")["session_id"] == "session_id"


def test_one_time_is_read_and_the_mapped_one_if_there_is_one():
    found = ["session_id", "t_us", "when", "x", "y"]
    assert set(log_names({}, found, "log")) == {"session_id", "t_us", "x", "y"}
    assert log_names({"t_s": "when"}, found, "log")["t_s"] == "when"


def test_scroll_y_and_strangers_are_not_read():
    found = ["session_id", "t_ms", "x", "y", "scroll_y", "note"]
    assert set(log_names({}, found, "log")) == {"session_id", "t_ms", "x", "y"}


def test_missing_columns_are_named_with_what_was_found():
    with pytest.raises(MissingColumnsError, match=r"session_id, t_ms; found sid, x, y"):
        log_names({}, ["sid", "x", "y"], "log")


def test_a_misspelt_column_of_ours_is_named():
    with pytest.raises(ConfigError, match="did you mean session_id"):
        check_mapping({"sesion_id": "sid"})


def test_two_columns_of_one_name_are_an_error():
    with pytest.raises(LogError, match="more than one column is named x"):
        check_header(["x", "y", "x"], "log")


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
    assert cells.kinds(words).tolist() == [
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
    assert cells.buttons(numbers, kind).tolist() == [
        Button.LEFT, Button.MIDDLE, Button.RIGHT, Button.OTHER, Button.NONE, Button.NONE,
    ]  # fmt: skip


def test_button_words_count_for_every_kind():
    words = column("Left", "RIGHT", "NoButton", "XButton", None)
    kind = np.full(5, Kind.DRAG, np.int8)
    assert cells.buttons(words, kind).tolist() == [
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


def test_a_column_t_of_numbers_asks_for_its_unit():
    table = pa.table({"session_id": ["s"], "t": [12], "x": [1], "y": [1]})
    with pytest.raises(LogError, match="--columns t_ms=t"):
        to_log(table, np.array([2]), REJECTED.empty_table(), "csv", "log")
