"""What a log may cost is limited: each limit at a reduced value, and files that try to hurt."""

import gzip
import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigError, LogError, MissingColumnsError, printable
from pipeline.ingest.find import FoundFile, NotALog, find_files
from pipeline.ingest.ingest import ingest_logs
from pipeline.ingest.parse import ParsedLog, parse_log
from pipeline.readers.common import log_files
from pipeline.readers.common.limits import Limits, from_environment, limited
from pipeline.readers.common.log_files import most_unpacked_bytes, text_blocks
from pipeline.sessions.feedback import labelled_sessions
from rasterize.canvas import LARGEST_SIZE, Canvas

ROOT = Path(__file__).resolve().parent.parent
HEADER = "session_id,t_ms,x,y"
MANY = HEADER + "\n" + "".join(f"a,{i},{i},1\n" for i in range(100))


def parse(folder: Path, content: bytes | str, name: str = "log", **options: object) -> ParsedLog:
    """Return what comes of a file in a folder; it has to be a log."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    log = parse_log(FoundFile(path, folder, is_named=False), **options)
    assert isinstance(log, ParsedLog), log.error
    return log


def reasons(log: ParsedLog) -> list[tuple]:
    return [(row["line"], row["reason"]) for row in log.rejected.to_pylist()]


def whole_file(log: ParsedLog) -> str:
    """Return what is said of a file that is rejected as a whole."""
    [row] = log.rejected.to_pylist()
    assert (row["line"], row["reason"], len(log.sessions)) == (None, "unreadable_file", 0)
    return row["raw"]


def zstd(content: bytes) -> bytes:
    return pa.Codec("zstd").compress(content, asbytes=True)


def parquet_of(n: int) -> bytes:
    """Return `n` equal rows, which take next to no space."""
    columns = {
        "session_id": pa.repeat("a", n),
        **{k: pa.repeat(1.0, n) for k in ("t_ms", "x", "y")},
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def too_many_files(folder):
    for i in range(4):
        (folder / f"{i}.csv").write_text(MANY)
    with limited(files=3), pytest.raises(LogError, match="more than 3 files"):
        find_files([folder])
    assert len(find_files([folder])) == 4


def too_large_a_file(folder):
    with limited(file_bytes=500):
        assert "more than 500 bytes" in whole_file(parse(folder, MANY))
        assert "more than 500 bytes" in whole_file(parse(folder, gzip.compress(MANY.encode())))
    assert parse(folder, MANY).n_rows == 100


def too_much_unpacked(folder):
    bomb = f"{HEADER}\na,0,1,1".encode() + b"\n" * 10**6
    for packed in (gzip.compress(bomb), zstd(bomb)):
        with limited(unpacked_ratio=10, unpacked_free_bytes=50_000):
            assert "it holds more than" in whole_file(parse(folder, packed))
    assert parse(folder, gzip.compress(bomb)).n_rows == 1


def little_is_unpacked_whatever_the_ratio(folder):
    with limited(unpacked_ratio=1, unpacked_free_bytes=50_000):
        assert parse(folder, zstd(MANY.encode())).n_rows == 100


def too_many_columns(folder):
    names = [*HEADER.split(","), *(f"c{i}" for i in range(20))]
    row = ["a", *["1"] * 23]
    jsonl = json.dumps(dict(zip(names, row, strict=True)))
    table = pa.table(dict(zip(names, ([cell] for cell in row), strict=True)))
    pq.write_table(table, folder / "wide")
    files = [",".join(names) + "\n" + ",".join(row), jsonl, (folder / "wide").read_bytes()]
    for content in files:
        with limited(columns=23):
            assert "24 columns, 23 are read" in whole_file(parse(folder, content))
        assert parse(folder, content).n_rows == 1


def too_long_a_line(folder):
    long = "a,16,3," + "4" * 6 * 2**20  # Arrow reads blocks of 4 MiB
    log = parse(folder, f"{HEADER}\na,0,1,2\n{long}\na,32,5,x\na,48,7,8\n")
    assert reasons(log) == [(3, "too_large"), (4, "not_a_number")]
    assert log.sessions.t_us.tolist() == [0, 48_000]
    rows = [{"session_id": "a", "t_ms": i, "x": 1, "y": 2, "z": "2" * i**3} for i in (1, 2, 10, 3)]
    text = "\n".join(map(json.dumps, rows))
    with limited(line_bytes=500):
        log = parse(folder, text + '\n{"session_id"')
    assert reasons(log) == [(3, "too_large"), (5, "not_a_json_object")]
    assert log.sessions.n_events.tolist() == [3]


def too_large_an_event(folder):
    event = {"type": 2, "timestamp": 1, "data": {"html": "x" * 500}}
    with limited(event_bytes=400):
        assert reasons(parse(folder, json.dumps([event, event]))) == [
            (1, "too_large"),
            (2, "too_large"),
        ]
    assert parse(folder, json.dumps([event, event])).ignored == {"not_a_pointer_event": 2}


def too_much_packed(folder):
    bomb = gzip.compress(b'{"source":1,"positions":[]' + b" " * 10**6 + b"}").decode("latin1")
    lines = [["w", {"type": 3, "timestamp": 1, "data": bomb}]] * 2
    text = "\n".join(map(json.dumps, lines))
    with limited(packed_bytes=1_500_000):
        log = parse(folder, text)
    assert reasons(log) == [(2, "too_large")]
    assert log.ignored == {"no_moves": 1}


def too_many_rows_for_its_bytes(folder):
    content = parquet_of(50_000)
    with limited(free_rows=1000, rows_per_byte=2):
        assert f"50,000 rows in {len(content):,} bytes" in whole_file(parse(folder, content))
    with limited(free_rows=1000, rows_per_byte=100):
        assert parse(folder, content).n_rows == 50_000


def few_rows_are_read_whatever_their_bytes(folder):
    with limited(free_rows=50_000, rows_per_byte=1):
        assert parse(folder, parquet_of(50_000)).n_rows == 50_000


def too_long_a_session(folder):
    text = f"{HEADER}\n" + "".join(f"{'ab'[i % 3 == 0]},{i},1,1\n" for i in range(12))
    with limited(session_events=5):
        log = parse(folder, text)
    n_events = zip(log.sessions.session_id, log.sessions.n_events, strict=True)
    assert dict(n_events) == {"a": 5, "b": 4}
    assert reasons(log) == [(line, "session_too_long") for line in (10, 12, 13)]


def too_long_a_name(folder):
    text = f"{HEADER},account_id\n{'s' * 9},0,1,1,u\nb,0,1,1,{'u' * 9}\nc,0,1,1,u\n"
    with limited(name_characters=8):
        log = parse(folder, text)
    assert reasons(log) == [(2, "bad_name"), (3, "bad_name")]
    assert log.sessions.session_id.tolist() == ["c"]


def too_large_a_stream(folder):
    (folder / "log.csv").write_text(MANY)
    with pytest.MonkeyPatch.context() as patch, limited(streamed_bytes=500):
        patch.setattr(log_files, "LARGE_BYTES", 100)
        with pytest.raises(LogError, match="more than 500 bytes"):
            ingest_logs([folder / "log.csv"], folder / "store", ingest_date="2026-11-01")


def too_many_events_to_learn_from(folder):
    rows = "".join(f"{'abc'[i % 3]},{i},{i},1\n" for i in range(150))
    (folder / "log.csv").write_text(f"{HEADER}\n{rows}")
    ingest_logs([folder / "log.csv"], folder / "store", ingest_date="2026-11-01")
    for limit, n_sessions in ((150, 3), (101, 3), (100, 2), (50, 1), (1, 1)):
        with limited(training_events=limit):
            assert len(labelled_sessions([folder / "store"])) == n_sessions


CASES = {
    "training_events": too_many_events_to_learn_from,
    "streamed_bytes": too_large_a_stream,
    "files": too_many_files,
    "file_bytes": too_large_a_file,
    "unpacked_ratio": too_much_unpacked,
    "unpacked_free_bytes": little_is_unpacked_whatever_the_ratio,
    "columns": too_many_columns,
    "line_bytes": too_long_a_line,
    "event_bytes": too_large_an_event,
    "packed_bytes": too_much_packed,
    "rows_per_byte": too_many_rows_for_its_bytes,
    "free_rows": few_rows_are_read_whatever_their_bytes,
    "session_events": too_long_a_session,
    "name_characters": too_long_a_name,
}


@pytest.mark.parametrize("name", [one.name for one in fields(Limits)])
def test_each_limit_holds(name, tmp_path):
    CASES[name](tmp_path)


def test_the_page_of_limits_is_what_the_script_makes(tmp_path):
    script = [sys.executable, str(ROOT / "docs" / "make_limits.py"), str(tmp_path / "limits.md")]
    subprocess.run(script, cwd=ROOT, check=True, capture_output=True)
    assert (ROOT / "docs" / "limits.md").read_text() == (tmp_path / "limits.md").read_text(), (
        "make it anew: python docs/make_limits.py"
    )


def test_the_environment_sets_a_limit_and_a_misspelt_one_is_an_error():
    assert from_environment({"POINTERPRINT_LIMIT_LINE_BYTES": "99", "HOME": "/"}).line_bytes == 99
    assert from_environment({}) == Limits()
    with pytest.raises(ConfigError, match="did you mean POINTERPRINT_LIMIT_LINE_BYTES"):
        from_environment({"POINTERPRINT_LIMIT_LINES_BYTE": "99"})
    for wrong in ("", "many", "-1", "1e9", "0"):
        with pytest.raises(ConfigError):
            from_environment({"POINTERPRINT_LIMIT_FILES": wrong})


def test_limits_are_taken_back_even_after_an_error():
    with pytest.raises(LogError), limited(files=1):
        raise LogError("x", "y")
    assert most_unpacked_bytes(1, 2**40) == Limits().unpacked_free_bytes


def test_a_bomb_is_not_unpacked_further_than_its_limit(tmp_path):
    """It would be 4 GiB; more than a tenth of that is never held."""
    script = (
        "import resource, sys, pathlib, pyarrow as pa\n"
        "from pipeline.ingest.find import FoundFile\n"
        "from pipeline.ingest.parse import parse_log\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "log = parse_log(FoundFile(path, path.parent, is_named=True))\n"
        "print(log.rejected['reason'][0], peak() - before)\n"
    )
    path = tmp_path / "bomb.csv.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as bomb:
        bomb.write(f"{HEADER}\n".encode())
        for _ in range(64):
            bomb.write(b"\n" * 2**26)
    assert path.stat().st_size < 2**20
    result = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=ROOT, capture_output=True, text=True,
        check=True, env={"POINTERPRINT_LIMIT_UNPACKED_FREE_BYTES": "10000000"},
    )  # fmt: skip
    reason, grown_kib = result.stdout.split()
    assert reason == "unreadable_file"
    assert int(grown_kib) < 400 * 1024


DEEP = 200_000


@pytest.mark.parametrize(
    "content",
    [
        '{"session_id":"a","t_ms":0,"x":' + "[" * DEEP + "]" * DEEP + ',"y":1}',
        '{"session_id":"a","t_ms":0,"x":1,"y":1,"z":' + "[" * DEEP + "]" * DEEP + "}",
        '[{"type":3,"timestamp":1,"data":' + '{"a":' * DEEP + "1" + "}" * DEEP + "}]",
        '["w",{"type":3,"timestamp":1,"data":' + "[" * DEEP + "]" * DEEP + "}]",
        '{"session_id":"s","events":[{"type":3,"timestamp":1,"data":'
        + "[" * DEEP
        + "]" * DEEP
        + "}]}",
    ],
    ids=["jsonl in a cell", "jsonl beside", "rrweb", "posthog", "recording"],
)
def test_deeply_nested_json_is_read_or_rejected(content, tmp_path):
    path = tmp_path / "deep"
    path.write_text(content)
    log = parse_log(FoundFile(path, tmp_path, is_named=False))
    assert isinstance(log, NotALog) or log.n_rows == 1


def test_many_short_sessions_are_sessions(tmp_path):
    rows = "".join(f"s{i},0,1,1\ns{i},9,2,2\n" for i in range(50_000))
    log = parse(tmp_path, f"{HEADER}\n{rows}")
    assert len(log.sessions) == 50_000
    assert set(log.sessions.n_events.tolist()) == {2}


def test_many_files_are_read_and_each_is_accounted_for(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    for i in range(300):
        (folder / f"{i}.csv").write_text(f"{HEADER}\ns{i},0,1,1\n")
    report = ingest_logs([folder], tmp_path / "store", ingest_date="2026-11-01")
    assert (report.n_files, report.n_sessions) == (300, 300)


def test_a_canvas_that_no_memory_holds_is_refused():
    with pytest.raises(ConfigError, match=f"4 to {LARGEST_SIZE}"):
        Canvas(size=LARGEST_SIZE + 1)


def test_an_error_shows_few_of_a_million_columns(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"c{i}" for i in range(9000)) + "\n")
    with pytest.raises(MissingColumnsError, match="c19 and 8,980 more") as error:
        parse_log(FoundFile(path, tmp_path, is_named=True))
    assert len(str(error.value)) < 2000


def test_an_error_does_not_steer_the_terminal(tmp_path):
    error = LogError("a\n\x1b[2J", "it begins with '\u202e'")
    assert str(error) == r"a\n\x1b[2J: it begins with '\u202e'"
    assert printable("plain, é, 日本") == "plain, é, 日本"


def test_no_row_of_a_limit_is_lost(tmp_path):
    (tmp_path / "log.csv").write_text(MANY)
    with limited(session_events=np.int64(7).item()):
        report = ingest_logs([tmp_path / "log.csv"], tmp_path / "store", ingest_date="2026-11-01")
    assert (report.n_rows, report.n_events, report.rejected) == (100, 7, {"session_too_long": 93})


def test_of_an_endless_line_no_more_than_the_limit_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(log_files, "BLOCK_BYTES", 1000)
    (tmp_path / "log.csv").write_text(f"{HEADER}\na,0,1,2\na,8,1," + "2" * 90_000 + "\na,16,1,2\n")
    with limited(line_bytes=5000):
        blocks = list(text_blocks(tmp_path / "log.csv"))
    assert sum(len(block.text) for block in blocks) < 8000
    assert b"".join(block.text for block in blocks).count(b"\n") == 4

    monkeypatch.setattr(log_files, "LARGE_BYTES", 100)
    with limited(line_bytes=5000):
        report = ingest_logs([tmp_path / "log.csv"], tmp_path / "store", ingest_date="2026-11-01")
    assert (report.n_rows, report.n_events, sum(report.rejected.values())) == (3, 2, 1)
