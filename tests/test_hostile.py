"""What fuzzing found, and what whoever names things could try: each mended, each kept mended."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.fuzz.check import check_file
from pipeline.errors import LogError, is_fit
from pipeline.ingest import parse as logs
from pipeline.ingest.find import FoundFile, find_files
from pipeline.ingest.ingest import ingest_logs
from pipeline.ingest.parse import ParsedLog, parse_log
from pipeline.ingest.report import IngestReport
from pipeline.scores.partitions import for_spreadsheets
from pipeline.storage.store import load_sessions, quarantine_folder

ROOT = Path(__file__).resolve().parent.parent
HEADER = "session_id,t_ms,x,y"
LOG = f"{HEADER}\na,0,1,2\na,16,3,4\n"
NAMES = ["../../../tmp/x", "a\0b", "a\nb", "\u202egnp.exe", "a\x1b[2Jb", "x" * 2**20, "CON", "a/b"]


def parse(folder: Path, content: bytes | str, format: str = "auto", name: str = "log") -> ParsedLog:
    """Return what comes of a file, after all that holds for any file was seen to hold."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert check_file(path, format) != "refused"
    log = parse_log(FoundFile(path, folder, is_named=True), format)
    assert isinstance(log, ParsedLog)
    return log


def reasons(log: ParsedLog) -> list[tuple]:
    return [(row["line"], row["reason"]) for row in log.rejected.to_pylist()]


def ingest(path: Path, store: Path) -> IngestReport:
    return ingest_logs([path], store, ingest_date="2026-11-01")


def parquet(**columns: pa.Array) -> bytes:
    """Return a log of two rows in Parquet with these columns in place of the usual ones."""
    usual = {"session_id": pa.array(["a", "a"]), "t_ms": pa.array([0.0, 16.0])}
    usual |= {"x": pa.array([1.0, 2.0]), "y": pa.array([1.0, 2.0])}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(usual | columns), sink)
    return sink.getvalue().to_pybytes()


def test_a_null_before_the_first_json_object_does_not_end_the_process(tmp_path):
    path = tmp_path / "log.jsonl"
    row = {"session_id": "a", "t_ms": 0, "x": 1, "y": 2}
    path.write_text(f"null\n{json.dumps(row)}\n")
    script = (
        "import sys, pathlib\n"
        "from pipeline.readers.common.formats import read_log\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "print(read_log(path, path.parent, 'jsonl')[1].rejected.to_pylist())\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    assert "'line': 1, 'reason': 'not_a_json_object'" in result.stdout


def test_bytes_that_are_no_text_in_a_json_line_are_shown_as_such(tmp_path):
    line = b'{"session_id": "a\x87", "t_ms": %d, "x": %d, "y": 1, "account_id": "\xff\xfe"}\n'
    lines = [line % (16 * i, i) for i in range(3)] + [line.replace(b"\x87", b"\x88") % (0, 1)]
    (tmp_path / "log.jsonl").write_bytes(b"".join(lines))
    log = parse_log(*find_files([tmp_path / "log.jsonl"]))

    # Both names are the same once what is no text is replaced.
    assert log.sessions.session_id.tolist() == ["a\ufffd"]
    assert set(log.sessions.account_id) == {"\ufffd\ufffd"}
    assert log.sessions.n_events.tolist() == [4]


def test_bytes_that_are_no_text_in_a_parquet_column_are_shown_as_such(tmp_path):
    name = pa.array([b"a\x87", b"a\x87", b"b"]).cast(pa.binary()).view(pa.string())
    columns = {"session_id": name, "t_ms": [0, 16, 0], "x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 3.0]}
    pq.write_table(pa.table(columns), tmp_path / "log.parquet")
    log = parse_log(*find_files([tmp_path / "log.parquet"]))
    assert log.sessions.session_id.tolist() == ["a\ufffd", "b"]


def test_a_word_that_is_twice_in_a_parquet_dictionary_is_one_session(tmp_path):
    names, numbers = pa.array(["aaaa", "bbbb", "cccc"]), pa.array([1.0, 2.0, 3.0])
    sink = pa.BufferOutputStream()
    columns = {"session_id": names, "t_ms": numbers, "x": numbers, "y": numbers}
    pq.write_table(pa.table(columns), sink, compression="none")
    content = sink.getvalue().to_pybytes().replace(b"bbbb", b"aaaa")
    sessions = parse(tmp_path, content, "parquet").sessions
    assert dict(zip(sessions.session_id, sessions.n_events, strict=True)) == {"aaaa": 2, "cccc": 1}


def test_bytes_that_are_no_text_in_a_header_do_not_shift_the_rows(tmp_path):
    content = f"{HEADER},so\xff\xfe\xfdurce\na,0,1,2,b\na,16,3\n".encode("latin1")
    log = parse(tmp_path, content, "csv")
    assert log.sessions.n_events.tolist() == [1]
    assert reasons(log) == [(3, "wrong_number_of_columns")]


def test_a_column_twice_in_a_recording_is_no_crash(tmp_path):
    text = "client timestamp,button,state,x,x,y\n0,Left,Pressed,1,1,2\n"
    assert reasons(parse(tmp_path, text, "sapimouse")) == [(None, "unreadable_file")]


def test_a_time_too_large_for_a_number_is_no_time(tmp_path):
    assert reasons(parse(tmp_path, f"{HEADER}\na,1e308,1,2\n")) == [(2, "not_a_number")]


@pytest.mark.parametrize("place", [20, 60, 200, -200, -60])
def test_a_damaged_parquet_file_is_one_row_of_the_quarantine(place, tmp_path):
    content = bytearray(parquet())
    content[place : place + 12] = b"\xff" * 12
    log = parse(tmp_path, bytes(content), "parquet")
    assert log.n_rows == 2 or reasons(log) == [(None, "unreadable_file")]


@pytest.mark.parametrize("place", [5, 300, -9])
def test_a_parquet_file_cut_short_is_one_row_of_the_quarantine(place, tmp_path):
    log = parse(tmp_path, parquet()[:place], "parquet")
    assert reasons(log) == [(None, "unreadable_file")]


@pytest.mark.parametrize(
    "column",
    [
        {"session_id": pa.array([{"a": 1}, {"a": 2}])},
        {"session_id": pa.array([[1], [2]])},
        {"session_id": pa.array([b"\xff", b"a"])},
        {"x": pa.array([b"1", b"2"])},
        {"x": pa.array([{"a": 1}, None])},
        {"t_ms": pa.array([True, False])},
        {"label": pa.array([[1], [2]])},
        {"event": pa.array([{"a": 1}, {"a": 2}])},
        {"x": pa.nulls(2)},
        {"x": pa.array([2**31 - 1, 0], pa.date32())},
    ],
    ids=lambda column: "{}: {}".format(*((k, v.type) for k, v in column.items()).__next__()),
)
def test_columns_of_types_that_no_log_has_cost_rows_and_no_more(column, tmp_path):
    assert parse(tmp_path, parquet(**column)).n_rows == 2


def test_a_number_of_400_digits_in_json_is_no_crash(tmp_path):
    row = f'{{"session_id":"a","t_ms":{"9" * 400},"x":1,"y":{"8" * 5000}}}'
    assert reasons(parse(tmp_path, row)) == [(1, "not_a_number")]


@pytest.mark.parametrize(
    "first",
    [
        "null",
        '{"x": ' + "9" * 5000 + "}",
        '{"x": ' + "[" * 5000,
        '{"x": "' + "y" * 2**21 + '"}',
        "{}",
    ],
    ids=lambda line: f"{line[:10]} {len(line)}",
)
def test_one_absurd_row_at_the_beginning_hides_no_other(first, tmp_path):
    rows = [{"session_id": "a", "t_ms": i, "x": i, "y": 1} for i in range(3)]
    log = parse(tmp_path, "\n".join([first, *map(json.dumps, rows)]))
    assert (log.n_rows, log.sessions.n_events.tolist()) == (4, [3])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("column", ["session_id", "account_id"])
def test_a_name_from_a_log_never_becomes_a_path(name, column, tmp_path):
    logs_folder, store = tmp_path / "logs", tmp_path / "out" / "store"
    logs_folder.mkdir()
    plain = {"session_id": "s", "account_id": "u"}
    rows = [plain | {"session_id": "plain"}, *[plain | {column: name}] * 3]
    lines = [json.dumps(row | {"t_ms": i, "x": i, "y": i}) for i, row in enumerate(rows)]
    (logs_folder / "log.jsonl").write_text("\n".join(lines))
    report = ingest(logs_folder, store)

    assert report.n_rows == 4
    assert report.n_events == (4 if is_fit(name, 1024) else 1)
    assert report.rejected == ({} if is_fit(name, 1024) else {"bad_name": 3})
    made = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    assert made == {"logs", "out"}
    inside = {path.name.split(".")[0] for path in (tmp_path / "out").iterdir()}
    assert inside == {"store"}


@pytest.mark.parametrize(
    "name", [b"a\nb.csv", b"\xff\xfe.csv", "\u202egnp.csv".encode(), b"=1+1.csv"]
)
def test_a_file_is_read_whatever_it_is_called_and_named_visibly(name, tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    path = folder / os.fsdecode(name)
    path.write_text(
        "client timestamp,button,state,x,y\n0,NoButton,Move,1,2\n16,NoButton,Move,1,x\n"
    )
    report = ingest(folder, tmp_path / "store")

    assert (report.n_events, report.rejected) == (1, {"not_a_number": 1})
    sessions = load_sessions([tmp_path / "store"])
    for word in (*sessions.session_id, *sessions.source_file):
        assert word.isprintable()
        assert word.startswith("logs/")
    [part] = quarantine_folder(tmp_path / "store").glob("*/part-*.parquet")
    assert pq.read_table(part)["source_file"][0].as_py().isprintable()


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    folder, elsewhere = tmp_path / "logs", tmp_path / "elsewhere"
    (folder / "deep").mkdir(parents=True)
    elsewhere.mkdir()
    (elsewhere / "private.csv").write_text(LOG.replace("a,", "private,"))
    (folder / "a.csv").write_text(LOG)
    (folder / "out.csv").symlink_to(elsewhere / "private.csv")
    (folder / "deep" / "all").symlink_to(elsewhere)
    (folder / "deep" / "up").symlink_to(folder)
    (folder / "deep" / "in.csv").symlink_to(folder / "a.csv")
    (folder / "gone.csv").symlink_to(elsewhere / "gone.csv")
    report = ingest(folder, tmp_path / "store")

    assert load_sessions([tmp_path / "store"]).session_id.tolist() == ["a"]
    assert report.not_logs == {"logs/out.csv": "it is a link out of the folder"}
    assert ingest(folder / "out.csv", tmp_path / "named").n_sessions == 1


@pytest.mark.parametrize("hashed_in_thread_bytes", [0, logs.HASHED_IN_THREAD_BYTES])
def test_a_file_written_to_while_it_is_read_waits_for_the_next_ingest(
    tmp_path, monkeypatch, hashed_in_thread_bytes
):
    monkeypatch.setattr(logs, "HASHED_IN_THREAD_BYTES", hashed_in_thread_bytes)
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.csv").write_text(LOG)
    (folder / "b.csv").write_text(LOG.replace("a,", "b,"))
    clean_events = logs.clean_events

    def writing(events):
        if events["session_id"][0].as_py() == "b":
            with (folder / "b.csv").open("a") as file:
                file.write("b,32,1,1\n")
        return clean_events(events)

    monkeypatch.setattr(logs, "clean_events", writing)
    report = ingest(folder, tmp_path / "store")
    assert (report.n_sessions, report.not_logs) == (
        1,
        {"logs/b.csv": "it changed while it was read"},
    )
    monkeypatch.undo()
    report = ingest(folder, tmp_path / "store")
    assert (report.n_sessions, report.n_events, report.n_files_skipped) == (1, 3, 1)


@pytest.mark.parametrize("hashed_in_thread_bytes", [0, logs.HASHED_IN_THREAD_BYTES])
def test_a_file_that_vanishes_costs_no_other_file(tmp_path, monkeypatch, hashed_in_thread_bytes):
    monkeypatch.setattr(logs, "HASHED_IN_THREAD_BYTES", hashed_in_thread_bytes)
    folder = tmp_path / "logs"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.csv").write_text(LOG.replace("a,", f"{name},"))
    clean_events = logs.clean_events

    def vanishing(events):
        for name in "ab":  # the one that is read, and the next
            (folder / f"{name}.csv").unlink(missing_ok=True)
        return clean_events(events)

    monkeypatch.setattr(logs, "clean_events", vanishing)
    report = ingest(folder, tmp_path / "store")
    assert report.n_sessions == 1
    assert list(report.not_logs) == ["logs/a.csv", "logs/b.csv"]
    assert all("can't be read" in why or "is gone" in why for why in report.not_logs.values())


def test_a_packed_file_without_a_beginning_costs_no_other_file(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.csv").write_text(LOG)
    (folder / "b.csv.gz").write_bytes(b"\x1f\x8b\x08\0")
    report = ingest(folder, tmp_path / "store")
    assert report.n_sessions == 1
    assert list(report.not_logs) == ["logs/b.csv.gz"]
    with pytest.raises(LogError, match="is the file complete"):
        ingest(folder / "b.csv.gz", tmp_path / "store")


def test_no_cell_of_an_exported_csv_is_a_formula(tmp_path):
    names = ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\tx", "plain", "a=b"]
    frame = pd.DataFrame({"session_id": names, "score": [-1.5] * len(names)})
    for_spreadsheets(frame).to_csv(tmp_path / "out.csv", index=False)

    lines = (tmp_path / "out.csv").read_text().splitlines()[1:]
    assert [line for line in lines if line.startswith(("=", "+", "-", "@", "\t"))] == []
    again = pd.read_csv(tmp_path / "out.csv")
    assert again["session_id"].str.removeprefix("'").tolist() == names
    assert (again["score"] == -1.5).all()


@pytest.mark.parametrize("bad", ["abc", "\xc8" * 107 + "\xf5\xc1", "[", '["w", {', "\x00", "null"])
def test_one_line_of_posthog_that_is_no_json_hides_no_other(bad, tmp_path):
    position = {"x": 1, "y": 2, "id": 1, "timeOffset": 0}
    moves = {"type": 3, "timestamp": 1, "data": {"source": 1, "positions": [position]}}
    good = json.dumps(["w", moves]).encode()
    again = json.dumps(["w", moves | {"timestamp": 2}]).encode()
    log = parse(tmp_path, b"\n".join([good, bad.encode("latin1"), again]), "posthog")
    assert log.sessions.n_events.tolist() == [2]
    assert [line for line, _ in reasons(log)] == [2]
