"""A log too large for memory is read in pieces, and nothing comes out differently."""

import gzip
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.errors import LogError
from pipeline.ingest.external_partition import ExternalPartition
from pipeline.ingest.find import find_files
from pipeline.ingest.ingest import ingest_logs
from pipeline.ingest.parse import parse_logs
from pipeline.readers.common import log_files
from pipeline.readers.common.formats import read_log
from pipeline.storage.store import load_sessions, part_paths, quarantine_folder

DAY = "2026-11-01"
HEADER = "session_id,t_ms,x,y,event"


def csv_lines(n_sessions: int = 40, n_events: int = 60) -> list[str]:
    """Return rows of sessions that are mixed with each other, some of them bad."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 900, (2, n_events, n_sessions)).tolist()
    lines = [
        f"s{s},{16 * t},{x[t][s]},{y[t][s]},move"
        for t in range(n_events)
        for s in range(n_sessions)
    ]
    bad = {
        7: "s3,when,1,2,move",
        100: "s4,1,2",
        900: "",
        1200: "s5,7,nan,2,move",
        1500: 's6,8,"9,2,move',
        2300: "s7,9,70000,2,jump",
    }
    for place, line in bad.items():
        lines[place : place + 1] = [line] if place < len(lines) else []
    return lines


@pytest.fixture
def small_pieces(monkeypatch):
    """Take every file for a large one, and read it some hundred bytes at a time."""
    monkeypatch.setattr(log_files, "LARGE_BYTES", 0)
    monkeypatch.setattr(log_files, "BLOCK_BYTES", 700)
    monkeypatch.setattr("pipeline.ingest.external_partition.N_FILES", 5)


def stored(store) -> tuple[list[dict], list[dict]]:
    """Return the sessions and the rejected rows of a store."""
    sessions = load_sessions([store])
    rows = [
        {
            "id": sessions.session_id[i],
            "label": int(sessions.label[i]),
            **{
                name: getattr(sessions, name)[
                    sessions.offsets[i] : sessions.offsets[i + 1]
                ].tolist()
                for name in ("t_us", "x_px", "y_px", "kind")
            },
        }
        for i in range(len(sessions))
    ]
    rejected = [
        row
        for path in sorted(quarantine_folder(store).glob("*/*.parquet"))
        for row in pa.parquet.ParquetFile(path).read().to_pylist()
    ]
    by_line = sorted(rejected, key=lambda row: (row["line"] is None, row["line"]))
    return sorted(rows, key=lambda row: row["id"]), by_line


def ingested(logs, store, **options):
    report = ingest_logs([logs], store, ingest_date=DAY, **options)
    return report.to_json(), *stored(store)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("is_packed", [False, True])
def test_a_large_csv_comes_out_as_a_small_one(tmp_path, monkeypatch, ending, is_packed, request):
    text = ending.join(["", HEADER, *csv_lines()]).encode()
    log = tmp_path / ("log.csv.gz" if is_packed else "log.csv")
    log.write_bytes(gzip.compress(text) if is_packed else text)
    whole = ingested(log, tmp_path / "whole", labels={"s1": 1})
    request.getfixturevalue("small_pieces")
    pieces = ingested(log, tmp_path / "pieces", labels={"s1": 1})

    assert pieces == whole
    assert pieces[0]["n_files"] == 1
    assert {row["reason"] for row in pieces[2]} >= {"not_a_number", "wrong_number_of_columns"}
    assert len(part_paths(tmp_path / "pieces")) == 1


def test_a_large_jsonl_comes_out_as_a_small_one(tmp_path, request):
    rows = [line.split(",") for line in csv_lines() if line.count(",") == 4 and '"' not in line]
    lines = [
        f'{{"session_id": "{s}", "t_ms": "{t}", "x": {x}, "y": {y}, "event": "{e}"}}'
        for s, t, x, y, e in rows
        if x != "nan"
    ]
    lines[50] = "no object"
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(lines))
    whole = ingested(log, tmp_path / "whole")
    request.getfixturevalue("small_pieces")
    assert ingested(log, tmp_path / "pieces") == whole


def test_scoring_reads_a_large_log_in_pieces_too(tmp_path, small_pieces):
    log = tmp_path / "log.csv"
    log.write_text("\n".join([HEADER, *csv_lines()]))
    pieces = [sessions for sessions in parse_logs([log]) if len(sessions)]
    assert len(pieces) == 5
    names = [name for sessions in pieces for name in sessions.session_id]
    assert sorted(names) == sorted(f"s{i}" for i in range(40))


def test_a_large_log_is_ingested_once_and_its_sessions_are_known(tmp_path, small_pieces):
    log, other = tmp_path / "log.csv", tmp_path / "other.csv"
    log.write_text("\n".join([HEADER, *csv_lines()]))
    other.write_text("\n".join([HEADER, *csv_lines(n_events=20)]))
    ingest_logs([log], tmp_path / "store", ingest_date=DAY)
    assert ingest_logs([log], tmp_path / "store", ingest_date=DAY).n_files_skipped == 1
    assert ingest_logs([other], tmp_path / "store", ingest_date=DAY).n_sessions == 0


def test_strict_finds_a_bad_row_of_a_large_log(tmp_path, small_pieces):
    log = tmp_path / "log.csv"
    log.write_text("\n".join([HEADER, *csv_lines()]))
    with pytest.raises(LogError, match="rows of the file are bad"):
        ingest_logs([log], tmp_path / "store", ingest_date=DAY, strict=True)
    assert not part_paths(tmp_path / "store")


def test_a_large_log_that_breaks_off_is_one_rejected_row(tmp_path, small_pieces):
    log = tmp_path / "log.csv.gz"
    log.write_bytes(gzip.compress("\n".join([HEADER, *csv_lines(40, 400)]).encode())[:-2000])
    with pytest.raises(LogError, match="is the file complete"):
        ingest_logs([log], tmp_path / "store", ingest_date=DAY)
    assert not part_paths(tmp_path / "store")
    assert [row["reason"] for row in stored_rejected(tmp_path / "store")] == ["unreadable_file"]


def stored_rejected(store):
    return [
        row
        for path in quarantine_folder(store).glob("*/*.parquet")
        for row in pa.parquet.ParquetFile(path).read().to_pylist()
    ]


def test_blocks_of_text_are_the_text(tmp_path, monkeypatch):
    monkeypatch.setattr(log_files, "BLOCK_BYTES", 10)
    text = b"one\ntwo\n\nthree and more than ten\nfour\r\nfive"
    (tmp_path / "x").write_bytes(text)
    blocks = list(log_files.text_blocks(tmp_path / "x"))

    assert b"".join(block.text for block in blocks) == text
    assert len(blocks) == 3
    lines = text.split(b"\n")
    for block in blocks:
        assert block.text.split(b"\n")[0] == lines[block.first_line - 1]
        assert block.n_lines == len(block.text.splitlines())
    (tmp_path / "empty").touch()
    assert list(log_files.text_blocks(tmp_path / "empty")) == [(b"", 1, 0)]


@pytest.mark.parametrize("text", [b"\n\n\n\n\n\n\n\n\n\none\n\xff\xfetwo\n\xef\xbb\xbfthree\n"])
def test_a_mark_of_an_encoding_counts_only_at_the_beginning(tmp_path, monkeypatch, text):
    monkeypatch.setattr(log_files, "BLOCK_BYTES", 5)
    (tmp_path / "x").write_bytes(text)
    assert b"".join(block.text for block in log_files.text_blocks(tmp_path / "x")) == text


def read_in_blocks(path, monkeypatch, n_bytes):
    """Return what a file holds, read at once and in pieces of so many bytes."""
    whole = read_log(path, path.parent)[1]
    monkeypatch.setattr(log_files, "BLOCK_BYTES", n_bytes)
    return whole, read_log(path, path.parent)[1]


@pytest.mark.parametrize("name", ["csv", "balabit", "sapimouse"])
def test_blocks_of_a_file_make_the_log_that_the_file_makes(tmp_path, monkeypatch, name):
    lines = [HEADER, *(line for line in csv_lines() if '"' not in line)]
    if name != "csv":
        kinds = ["NoButton,Move", "Left,Pressed", "Left,Released", "Scroll,Down", "Scroll,Up"]
        rows = [f"{i},{kinds[i // 7 % 5]},{i % 90},{i % 70}" for i in range(900)]
        rows[333:335] = ["5,NoButton,Move,x,8", "6,NoButton"]
        both = name == "balabit"
        header = "client timestamp,button,state,x,y"
        lines = ["record timestamp," * both + header, *("0.0," * both + row for row in rows)]
    log = tmp_path / "log"
    log.write_text("\n".join(lines))
    whole, blocks = read_in_blocks(log, monkeypatch, 700)

    assert blocks.events.num_rows > 800
    assert blocks.events.schema.equals(whole.events.schema, check_metadata=True)
    assert blocks.events.to_pylist() == whole.events.to_pylist()
    assert blocks.rejected.to_pylist() == whole.rejected.to_pylist()
    assert len(set(whole.events["kind"].to_pylist())) == (1 if name == "csv" else 4)


def test_a_header_may_come_blocks_after_the_beginning(tmp_path, monkeypatch):
    (tmp_path / "log").write_text("\n" * 50 + HEADER + "\n" + "a,0,1,2,move\n" * 9)
    whole, blocks = read_in_blocks(tmp_path / "log", monkeypatch, 10)
    assert blocks.events["line"].to_pylist() == list(range(52, 61))
    assert blocks.events.to_pylist() == whole.events.to_pylist()


def test_a_block_without_any_time_says_nothing_of_the_column(tmp_path, monkeypatch):
    times = ["2026-11-01T10:00:00", *["soon"] * 50]
    rows = "".join(f"a,{time},1,2\n" for time in times)
    (tmp_path / "log").write_text("session_id,t,x,y\n" + rows)
    whole, blocks = read_in_blocks(tmp_path / "log", monkeypatch, 80)
    assert blocks.events.to_pylist() == whole.events.to_pylist()


def test_a_large_log_takes_less_memory_in_pieces(tmp_path, monkeypatch):
    log = tmp_path / "log.csv"
    with log.open("w") as file:
        file.write(HEADER + "\n")
        for i in range(60):
            rows = [line[1:] for line in csv_lines(8, 200) if line.count(",") == 4]
            file.writelines(f"s{i}_{row}\n" for row in rows)

    def peak_bytes() -> int:
        tracemalloc.start()
        n = sum(len(sessions) for sessions in parse_logs([log]))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert n == 480
        return peak

    whole = peak_bytes()
    monkeypatch.setattr(log_files, "LARGE_BYTES", 2**20)
    monkeypatch.setattr(log_files, "BLOCK_BYTES", 2**16)
    assert peak_bytes() < whole / 4


def test_events_of_a_session_stay_together_and_in_order():
    from pipeline.schemas import EVENTS

    def events(names, first):
        n = len(names)
        columns = {
            "session_id": pa.array(names).dictionary_encode(), "kind": [0] * n, "button": [0] * n,
            "line": list(range(first, first + n)),
        }  # fmt: skip
        nothing = [None] * n
        return pa.table([pa.array(columns.get(f.name, nothing), f.type) if f.name != "session_id"
                         else columns["session_id"] for f in EVENTS], schema=EVENTS)  # fmt: skip

    with ExternalPartition(3) as partition:
        partition.add(events(["a", "b", None, "a"], 1))
        partition.add(events(["c", "a", "b"], 5))
        files = [table.select(["session_id", "line"]).to_pylist() for table in partition.read()]
    of = {}
    for number, rows in enumerate(files):
        for row in rows:
            of.setdefault(row["session_id"], []).append((number, row["line"]))
    assert {name: [line for _, line in found] for name, found in of.items()} == {
        "a": [1, 4, 6], "b": [2, 7], "c": [5], None: [3],
    }  # fmt: skip
    assert all(len({number for number, _ in found}) == 1 for found in of.values())


def test_events_dealt_out_keep_only_their_own_words(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text(HEADER + "\n" + "".join(f"s{i},{i},1,2,move\n" for i in range(400)))
    events = read_log(log, tmp_path)[1].events
    with ExternalPartition(5) as partition:
        partition.add(events)
        files = list(partition.read())
    ids = [table["session_id"].combine_chunks() for table in files]
    assert sorted(len(one.dictionary) for one in ids) == sorted(len(one) for one in ids)
    assert sum(len(one) for one in ids) == 400


def test_what_is_no_log_is_refused_however_large(tmp_path, small_pieces):
    (tmp_path / "notes.txt").write_text("nothing here\n")
    with pytest.raises(LogError, match="no log format begins with"):
        list(parse_logs([tmp_path / "notes.txt"]))
    assert find_files([tmp_path / "notes.txt"])
