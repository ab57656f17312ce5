"""Files of each format in, logs out; bad rows named by line, the others read."""

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import (
    ColumnsError,
    LogError,
    MissingColumnsError,
    NotFoundError,
    UnknownFormatError,
)
from pipeline.ingest.find import find_logs
from pipeline.readers.common import log_files
from pipeline.readers.common.formats import Log, formats, read_log, recognise
from pipeline.schemas import EVENTS, Button, Kind

HEADER = "session_id,t_ms,x,y"
BALABIT = "record timestamp,client timestamp,button,state,x,y\r\n"
SAPIMOUSE = "client timestamp,button,state,x,y\n"


def read(folder: Path, content: bytes | str, name: str = "log.csv", **options: object) -> Log:
    """Return the log in a file with this content."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_log(path, folder, **options)[1]


def rows(log: Log) -> list[tuple]:
    """Return (session, t_us, x, y) of each event."""
    names = ("session_id", "t_us", "x_px", "y_px")
    return list(zip(*(log.events[name].to_pylist() for name in names), strict=True))


def rejected(log: Log) -> list[tuple]:
    return [(row["line"], row["reason"]) for row in log.rejected.to_pylist()]


def test_a_csv_is_read(tmp_path):
    log = read(tmp_path, f"{HEADER},event,button\na,0,1,2,move,\na,16,3.5,4,down,0\n")
    assert log.events.schema.equals(EVENTS, check_metadata=True)
    assert rows(log) == [("a", 0, 1, 2), ("a", 16_000, 3.5, 4)]
    assert log.events["kind"].to_pylist() == [Kind.MOVE, Kind.DOWN]
    assert log.events["button"].to_pylist() == [Button.NONE, Button.LEFT]
    assert log.events["line"].to_pylist() == [2, 3]
    assert log.n_rows == 2


@pytest.mark.parametrize(
    "content",
    [
        f"\ufeff{HEADER}\na,0,1,2\n",
        f"{HEADER}\r\na,0,1,2\r\n",
        f"{HEADER}\ra,0,1,2\r",
        f"{HEADER}\na,0,1,2",
        f"{HEADER}\na,0,1,2\n\n\n",
        f"\n{HEADER}\n\na,0,1,2\n",
        '"session_id","t_ms","x","y"\n"a","0","1","2"\n',
        "session_id;t_ms;x;y\na;0;1;2\n",
        "session_id\tt_ms\tx\ty\na\t0\t1\t2\n",
        f"{HEADER},note\na,0,1,2,\"so, well\"\n",
        f"{HEADER}\na,0,1,2\n".encode("utf-16"),
        gzip.compress(f"{HEADER}\na,0,1,2\n".encode(), mtime=0),
        gzip.compress(f"{HEADER}\n".encode(), mtime=0) + gzip.compress(b"a,0,1,2\n", mtime=0),
        pa.compress(f"{HEADER}\na,0,1,2\n".encode(), codec="zstd", asbytes=True),
    ],
)  # fmt: skip
def test_a_csv_may_be_written_in_many_ways(tmp_path, content):
    assert rows(read(tmp_path, content)) == [("a", 0, 1, 2)]


def test_bad_rows_are_named_by_line_and_the_others_are_read(tmp_path):
    log = read(tmp_path, f"{HEADER}\na,0,1,2\n\na,8,1\na,9,1,2,3\na,soon,1,2\na,16,1,2\n")
    assert rejected(log) == [(4, "wrong_number_of_columns"), (5, "wrong_number_of_columns")]
    assert rows(log) == [("a", 0, 1, 2), ("a", None, 1, 2), ("a", 16_000, 1, 2)]
    assert log.events["line"].to_pylist() == [2, 6, 7]


def test_a_quotation_mark_left_open_does_not_swallow_the_rows_after_it(tmp_path):
    log = read(tmp_path, f'{HEADER}\na,0,1,2\n"a,8,1,2\n"a",16,1,2\n"b,24,1,2\n')
    assert [line for line, _ in rejected(log)] == []
    assert log.events["session_id"].to_pylist() == ["a", "a", "a", "b"]
    assert log.events["line"].to_pylist() == [2, 3, 4, 5]


def test_bytes_that_are_not_utf8_do_not_stop_the_file(tmp_path):
    log = read(tmp_path, HEADER.encode() + b"\nMu\xfcller,0,1,2\nb,0,1,2\n")
    assert log.events["session_id"].to_pylist() == ["Mu\ufffdller", "b"]


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_an_empty_file_is_one_rejected_row_without_line(tmp_path, name):
    assert rejected(read(tmp_path, "", name)) == [(None, "empty_file")]


def test_a_header_alone_is_a_log_without_rows(tmp_path):
    assert read(tmp_path, f"{HEADER}\n").n_rows == 0


def test_columns_are_mapped(tmp_path):
    columns = {"session_id": "sid", "t_s": "ts", "x": "px", "y": "py"}
    log = read(tmp_path, "sid,ts,px,py\na,0.5,1,2\n", columns=columns)
    assert rows(log) == [("a", 500_000, 1, 2)]


def test_missing_columns_are_an_error_with_a_hint(tmp_path):
    with pytest.raises(MissingColumnsError, match="found session_id, xx, yy, tt") as error:
        read(tmp_path, "session_id,xx,yy,tt\na,5,7,0\na,5,7,16\na,6,7,32\n")
    assert "y=yy,x=xx,t_ms=tt" in error.value.hint


def test_a_misspelt_name_of_the_session_is_asked_for(tmp_path):
    with pytest.raises(ColumnsError, match="'sesion_id' nearly does") as error:
        read(tmp_path, "sesion_id,t_ms,x,y\na,0,1,2\n")
    assert "session_id=sesion_id" in error.value.hint


def test_two_columns_of_one_name_are_an_error(tmp_path):
    with pytest.raises(LogError, match="more than one column is named x"):
        read(tmp_path, "session_id,t_ms,x,x,y\na,0,1,1,2\n")


def test_json_lines_are_read(tmp_path):
    lines = [
        {"session_id": "a", "t_ms": 0, "x": 1, "y": 2, "page": {"deep": 1}},
        {"session_id": "a", "t_ms": 16, "x": 3.5, "y": 4, "event": "click"},
    ]
    log = read(tmp_path, "\n".join(map(json.dumps, lines)), "log.jsonl")
    assert rows(log) == [("a", 0, 1, 2), ("a", 16_000, 3.5, 4)]
    assert log.events["kind"].to_pylist() == [Kind.MOVE, Kind.CLICK]


def test_bad_json_lines_are_named_by_line_and_the_others_are_read(tmp_path):
    content = (
        '{"session_id":"a","t_ms":0,"x":1,"y":2}\n\n{"session_id":7,"t_ms":"16","x":1,"y":2}\n'
        '[1,2]\n{"session_id":"a",\nnull\n{"session_id":"a","t_ms":{},"y":2}\n'
    )
    log = read(tmp_path, content, "log.jsonl")
    assert rejected(log) == [(n, "not_a_json_object") for n in (4, 5, 6)]
    assert rows(log) == [("a", 0, 1, 2), ("7", 16_000, 1, 2), ("a", None, None, 2)]
    assert log.events["line"].to_pylist() == [1, 3, 7]


def test_keys_with_odd_names_are_mapped_on_both_ways_through_json(tmp_path):
    good = '{"the/id":"a","t~":1,"x":1,"y":2}\n'
    columns = {"session_id": "the/id", "t_ms": "t~"}
    for content in (good, good + "nonsense\n"):
        assert rows(read(tmp_path, content, "log.jsonl", columns=columns)) == [("a", 1000, 1, 2)]


def test_parquet_is_read_with_its_timestamps(tmp_path):
    table = pa.table(
        {
            "session_id": pa.array(["a", "b", "a"]).dictionary_encode(),
            "t": pa.array([1, 2, 3], pa.timestamp("ms")),
            "x": pa.array([1.5, None, 3], pa.float64()),
            "y": pa.array([1, 2, 3], pa.int16()),
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    log = read(tmp_path, sink.getvalue(), "log.parquet")
    assert rows(log) == [("a", 1000, 1.5, 1), ("b", 2000, None, 2), ("a", 3000, 3, 3)]
    assert log.events["line"].to_pylist() == [1, 2, 3]


def test_a_parquet_file_may_have_two_columns_of_one_name_that_is_not_read(tmp_path):
    names = ["session_id", "t_ms", "x", "y", "note", "note"]
    columns = [["a"], [1], [2], [3], ["first"], ["second"]]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array(c) for c in columns], names), sink)
    assert rows(read(tmp_path, sink.getvalue(), "log.parquet")) == [("a", 1000, 2, 3)]


def test_two_columns_of_a_parquet_file_by_one_name_that_is_read_are_an_error(tmp_path):
    names = ["session_id", "t_ms", "x", "y", "session_id"]
    columns = [["a"], [1], [2], [3], ["b"]]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array(c) for c in columns], names), sink)
    with pytest.raises(LogError, match="more than one column is named session_id"):
        read(tmp_path, sink.getvalue(), "log.parquet")


def test_a_parquet_row_is_quoted_as_json(tmp_path):
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table({"session_id": ["a", "b"], "x": [1, 2]}), path)
    assert formats()["parquet"].quote(path, np.array([2])) == ['{"session_id": "b", "x": 2}']


def test_balabit_is_read(tmp_path):
    content = (
        BALABIT + "0.0,0.0,NoButton,Move,5,6\r\n0.2,0.1,Left,Pressed,5,6\r\n"
        "0.3,0.2,Scroll,Down,0,0\r\n0.4,0.3,NoButton,Drag,7,8\r\n0.5,0.4,Left,Released,7,8\r\n"
    )
    log = read(tmp_path, content, "user7/session_01")
    assert set(log.events["session_id"].to_pylist()) == {"session_01"}
    assert set(log.events["account_id"].to_pylist()) == {"user7"}
    assert log.events["t_us"].to_pylist() == [0, 100_000, 200_000, 300_000, 400_000]
    assert log.events["kind"].to_pylist() == [
        Kind.MOVE, Kind.DOWN, Kind.SCROLL, Kind.DRAG, Kind.UP,
    ]  # fmt: skip
    assert log.events["button"].to_pylist() == [
        Button.NONE, Button.LEFT, Button.NONE, Button.NONE, Button.LEFT,
    ]  # fmt: skip


def test_sapimouse_is_read(tmp_path):
    log = read(tmp_path, SAPIMOUSE + "5,NoButton,Move,1,2\n9,Right,Drag,3,4\n", "user3/s_1min.csv")
    assert rows(log) == [("user3/s_1min", 5_000, 1, 2), ("user3/s_1min", 9_000, 3, 4)]
    assert log.events["source"].to_pylist() == ["sapimouse"] * 2
    assert log.events["button"].to_pylist() == [Button.NONE, Button.RIGHT]


@pytest.mark.parametrize(
    ("path", "name"),
    [("s_1", "s_1"), ("s.csv", "s"), ("s.csv.gz", "s"), ("s.v2.jsonl.zst", "s.v2"), ("a.b", "a.b")],
)
def test_an_id_made_of_a_file_name_has_no_suffixes(path, name):
    assert log_files.bare_name(Path(path)) == name


@pytest.mark.parametrize(
    ("content", "format_"),
    [
        (BALABIT, "balabit"),
        (SAPIMOUSE, "sapimouse"),
        (f"{HEADER}\n", "csv"),
        ("sid,when,px,py\n", "csv"),
        ('{"session_id":"a","t_ms":0,"x":1,"y":2}\n', "jsonl"),
        (gzip.compress(BALABIT.encode(), mtime=0), "balabit"),
    ],
)
def test_a_format_is_known_by_how_the_file_begins(tmp_path, content, format_):
    path = tmp_path / "whatever"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert recognise(path).name == format_


@pytest.mark.parametrize(
    "content",
    [b"session_id,account_id,label\na,u,0\n", b"1,2,3,4\n", b"Apache License\n", b"\0,a,b,c,d\n"],
)
def test_what_is_no_log_is_an_error_that_shows_it(tmp_path, content):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(UnknownFormatError, match="no log format begins with"):
        recognise(path)


def test_a_misspelt_format_is_an_error_with_a_suggestion(tmp_path):
    with pytest.raises(UnknownFormatError, match="did you mean balabit"):
        read(tmp_path, BALABIT, format="ballabit")


def test_a_file_that_was_cut_short_is_an_error(tmp_path):
    packed = gzip.compress(b"".join(b"%d\n" % i for i in range(99_999)))
    with pytest.raises(LogError, match="is the file complete"):
        read(tmp_path, packed[: len(packed) // 2], format="csv")


def test_logs_are_found_in_order_and_hidden_ones_are_not(tmp_path):
    for name in ("b/2.csv", "b/1", "a.csv", ".hidden", ".git/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_logs(tmp_path) == [tmp_path / "a.csv", tmp_path / "b/1", tmp_path / "b/2.csv"]
    assert find_logs(tmp_path / "a.csv") == [tmp_path / "a.csv"]
    with pytest.raises(NotFoundError):
        find_logs(tmp_path / "c")


CELL = st.one_of(
    st.integers(-5, 5).map(str),
    st.sampled_from(["", "x", '"', '"1"', 'a"b', "1,2", " ", "ü", "nan"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(CELL, min_size=1, max_size=5).map(",".join), max_size=8))
def test_every_written_line_of_a_csv_is_read_or_rejected_once(tmp_path_factory, lines):
    log = read(tmp_path_factory.mktemp("csv"), "\n".join([HEADER, *lines]))
    seen = sorted(log.events["line"].to_pylist() + log.rejected["line"].to_pylist())
    assert seen == [number for number, line in enumerate(lines, start=2) if line]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["", "{}", "nope", '{"session_id":"a","t_ms":1,"x":1,"y":1}', '{"x":"ü"}', '{"x":[]}']
        ),
        max_size=8,
    )
)
def test_every_written_json_line_is_read_or_rejected_once(tmp_path_factory, lines):
    first = '{"session_id":"a","t_ms":1,"x":1,"y":1}'
    log = read(tmp_path_factory.mktemp("jsonl"), "\n".join([first, *lines]), "log.jsonl")
    seen = sorted(log.events["line"].to_pylist() + log.rejected["line"].to_pylist())
    assert seen == [1] + [number for number, line in enumerate(lines, start=2) if line]


def test_rejected_lines_are_quoted_as_they_stand(tmp_path):
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress(b"a\r\nM\xfcll;\r\n" + b"x" * 2000))
    assert log_files.quote_lines(path, np.array([2, 3])) == ["M\ufffdll;", "x" * 1000]


def test_the_names_of_formats_load_no_format():
    code = "import sys, pipeline.readers as r; print(*r.format_names()); " + (
        "assert not {'pandas', 'pyarrow', 'numpy'} & set(sys.modules)"
    )
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert sorted(formats()) == names.stdout.split()
