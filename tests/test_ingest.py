"""Logs into a store: each file once, each row accounted for."""

import gzip
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigError, LogError, MissingColumnsError, UnknownFormatError
from pipeline.ingest import ingest as ingest_module
from pipeline.ingest.find import find_files
from pipeline.ingest.ingest import ingest_logs
from pipeline.ingest.parse import parse_logs
from pipeline.ingest.report import IngestReport
from pipeline.schemas import QUARANTINE
from pipeline.storage.store import load_sessions, quarantine_folder

HEADER = "session_id,t_ms,x,y"
DAY = "2026-11-01"


@pytest.fixture
def logs(tmp_path) -> Path:
    """Return a folder with two logs, a table of labels, and three bad rows."""
    folder = tmp_path / "logs"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.csv").write_text(f"{HEADER}\na,0,1,2\na,soon,1,2\na,16,3,4\n")
    (folder / "deep/b.csv").write_text(
        f"{HEADER},event\nb,0,1,2,\nb,9,1,2,hover\nb,9,1\nc,0,1,1,\n"
    )
    (folder / "labels.csv").write_text("session_id,account_id,label\na,u,1\n")
    return folder


@pytest.fixture
def store(tmp_path) -> Path:
    return tmp_path / "store"


def ingest(paths: list[Path] | Path, store: Path, **options: object) -> IngestReport:
    paths = [paths] if isinstance(paths, Path) else paths
    return ingest_logs(paths, store, **{"ingest_date": DAY} | options)


def quarantined(store: Path) -> list[tuple]:
    parts = sorted(quarantine_folder(store).glob("*/part-*.parquet"))
    rows = [row for part in parts for row in pq.read_table(part).to_pylist()]
    return [(row["source_file"], row["line"], row["reason"], row["raw"]) for row in rows]


def test_every_row_is_in_the_store_or_in_the_quarantine(logs, store):
    report = ingest(logs, store)
    assert (report.n_files, report.n_rows, report.n_events, report.n_sessions) == (2, 7, 4, 3)
    assert report.rejected == {
        "not_a_number": 1, "unknown_event": 1, "wrong_number_of_columns": 1,
    }  # fmt: skip
    assert quarantined(store) == [
        ("logs/a.csv", 3, "not_a_number", "a,soon,1,2"),
        ("logs/deep/b.csv", 3, "unknown_event", "b,9,1,2,hover"),
        ("logs/deep/b.csv", 4, "wrong_number_of_columns", "b,9,1"),
    ]
    sessions = load_sessions([store])
    assert sessions.session_id.tolist() == ["a", "b", "c"]
    assert sessions.source_file.tolist() == ["logs/a.csv", "logs/deep/b.csv", "logs/deep/b.csv"]


def test_what_is_no_log_in_a_folder_is_named_and_by_itself_is_an_error(logs, store):
    assert list(ingest(logs, store).not_logs) == ["logs/labels.csv"]
    with pytest.raises(UnknownFormatError):
        ingest(logs / "labels.csv", store)


@pytest.mark.parametrize("format_", ["auto", "csv"])
def test_labels_among_the_logs_break_no_run(logs, store, format_):
    assert ingest(logs, store, format=format_).n_files == 2


def test_a_format_that_no_file_has_is_an_error(logs, store):
    with pytest.raises(UnknownFormatError, match="is not a balabit log: missing column"):
        ingest(logs, store, format="balabit")
    with pytest.raises(UnknownFormatError, match="did you mean balabit"):
        ingest(logs, store, format="balabitt")


def test_missing_columns_are_an_error_only_where_nothing_else_is_a_log(logs, store):
    (logs / "other.csv").write_text("session_id,page,clicks,day\na,b,1,2\n")
    assert "missing column(s)" in ingest(logs, store).not_logs["logs/other.csv"]
    for path in (logs / "a.csv", logs / "deep/b.csv", logs / "labels.csv"):
        path.unlink()
    with pytest.raises(MissingColumnsError):
        ingest(logs, store.with_name("another"))


def test_the_same_file_again_changes_nothing(logs, store):
    ingest(logs, store)
    before = sorted(path for path in store.parent.rglob("*") if path.is_file())
    (logs / "a.csv").rename(logs / "renamed.csv")
    report = ingest(logs, store, ingest_date="2026-11-02")
    assert (report.n_files, report.n_files_skipped) == (0, 2)
    (logs / "renamed.csv").rename(logs / "a.csv")
    after = sorted(path for path in store.parent.rglob("*") if path.is_file())
    noted = store.with_name("store.quarantine") / "ingest_date=2026-11-02" / "_ingested.json"
    assert after == sorted([*before, noted])  # but that nothing new came on that day is noted


def test_a_file_of_bad_rows_alone_is_known_too(tmp_path, store):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.csv").write_text(f"{HEADER}\na,soon,1,2\n")
    (tmp_path / "logs" / "b.csv").write_text(f"{HEADER}\nb,0,1,2\n")
    ingest(tmp_path / "logs", store)
    assert ingest(tmp_path / "logs", store).n_files_skipped == 2
    assert len(quarantined(store)) == 1


def test_a_named_file_of_which_nothing_is_read_is_an_error_and_not_known(tmp_path, store):
    path = tmp_path / "a.csv"
    path.write_text("session_id,t_ms,x,y,event\na,0,1,2,teleport\na,soon,1,2,move\n")
    with pytest.raises(LogError) as error:
        ingest(path, store)
    assert "not_a_number 1, unknown_event 1; unknown words: event teleport 1" in error.value.what
    assert "sessions by `session_id`" in error.value.hint
    path.write_text("session_id,t_ms,x,y\n")
    with pytest.raises(LogError, match="it is empty"):
        ingest(path, store)
    assert not store.exists() or not any(store.rglob("*.parquet"))


def test_a_session_that_the_store_has_from_another_file_is_quarantined(tmp_path, store):
    (tmp_path / "1.csv").write_text(f"{HEADER}\na,0,1,2\n")
    (tmp_path / "2.csv").write_text(f"{HEADER}\nb,0,5,6\na,0,1,3\nb,9,7,8\n")
    report = ingest([tmp_path / "1.csv", tmp_path / "2.csv"], store)
    assert report.rejected == {"duplicate_session": 1}
    assert quarantined(store) == [("2.csv", 3, "duplicate_session", "a,0,1,3")]
    assert load_sessions([store]).x_px.tolist() == [1, 5, 7]


def test_strict_names_the_first_bad_row_and_writes_nothing(logs, store):
    with pytest.raises(LogError, match=r"logs/a.csv: line 3: not_a_number; 1 rows"):
        ingest(logs, store, strict=True)
    assert not store.exists()
    assert not quarantine_folder(store).exists()


def test_strict_takes_a_log_without_fault(tmp_path, store):
    (tmp_path / "a.csv").write_text(f"{HEADER}\na,0,1,2\n")
    assert ingest(tmp_path / "a.csv", store, strict=True).n_sessions == 1


def test_labels_that_are_given_go_before_the_logs(tmp_path, store):
    (tmp_path / "a.csv").write_text(f"{HEADER},label\na,0,1,2,0\nb,0,1,2,0\nc,0,1,2,\n")
    assert ingest(tmp_path / "a.csv", store, labels={"a": 1, "z": 1}).n_labelled == 2
    assert load_sessions([store]).label.tolist() == [1, 0, -1]


def test_a_damaged_file_is_quarantined_as_a_whole(tmp_path, store):
    packed = gzip.compress(
        f"{HEADER}\n".encode() + b"".join(b"a,%d,1,2\n" % i for i in range(9999))
    )
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/a.csv").write_text(f"{HEADER}\na,0,1,2\n")
    (tmp_path / "logs/b.parquet").write_bytes(b"PAR1" + b"\0" * 99)
    (tmp_path / "logs/c.csv.gz").write_bytes(packed[:-9])
    report = ingest(tmp_path / "logs", store)
    assert (report.n_files, report.n_sessions) == (3, 1)
    assert report.rejected == {"unreadable_file": 2}
    assert [(line, reason) for _, line, reason, _ in quarantined(store)] == [
        (None, "unreadable_file"),
        (None, "unreadable_file"),
    ]


def test_a_part_holds_some_files_and_its_sessions_keep_their_order(tmp_path, store, monkeypatch):
    monkeypatch.setattr(ingest_module, "PART_FILES", 2)
    for name in "abc":
        (tmp_path / f"{name}.csv").write_text(f"{HEADER}\n{name},0,1,2\n")
    paths = [tmp_path / f"{name}.csv" for name in "abc"]
    seen = list(ingest_module.ingest_steps(paths, store, ingest_date=DAY))
    assert len(list(store.glob("*/part-*.parquet"))) == 2
    assert sorted(load_sessions([store]).session_id) == ["a", "b", "c"]
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_run_that_breaks_off_can_be_run_again(logs, store, monkeypatch):
    monkeypatch.setattr(ingest_module, "PART_FILES", 1)
    written = ingest_module.write_part

    def break_off(part, sessions, rejected, manifest):
        if "deep/b.csv" in manifest["files"][0]["name"]:
            part.quarantine.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(rejected, part.quarantine)
            raise KeyboardInterrupt
        written(part, sessions, rejected, manifest)

    monkeypatch.setattr(ingest_module, "write_part", break_off)
    with pytest.raises(KeyboardInterrupt):
        ingest(logs, store)
    monkeypatch.undo()
    ingest(logs, store)
    assert sorted(load_sessions([store]).session_id) == ["a", "b", "c"]
    assert len(quarantined(store)) == 3


def test_the_report_reads_as_sentences(logs, store):
    lines = ingest(logs, store).summary()
    assert lines[0] == "2 files (csv 2): 7 rows, 4 events in 3 sessions"
    assert lines[1] == "read: sessions by `session_id` (2 files)"
    assert lines[2] == "quarantined: not_a_number 1, unknown_event 1, wrong_number_of_columns 1"
    assert lines[3].startswith("unknown words: event ")
    assert lines[4] == "recorder: not known (3 sessions)"  # of 4 events
    assert lines[5].startswith("not a log: logs/labels.csv: no log format begins with")


def test_the_quarantine_can_be_read_as_one_table(logs, store):
    ingest(logs, store)
    table = pd.read_parquet(quarantine_folder(store))
    assert set(QUARANTINE.names) <= set(table.columns)


def test_wrong_settings_are_errors_before_anything_is_read(logs, store):
    with pytest.raises(ConfigError, match="not a date"):
        ingest(logs, store, ingest_date="yesterday")
    with pytest.raises(ConfigError, match="did you mean t_ms"):
        ingest(logs, store, columns={"t_m": "ts"})
    assert not store.exists()


def test_raw_logs_are_parsed_without_a_store_and_a_session_counts_once(logs):
    (logs / "z.csv").write_text(f"{HEADER}\na,0,9,9\nd,0,1,1\n")
    ids = [sessions.session_id.tolist() for sessions in parse_logs([logs])]
    assert ids == [["a"], ["b", "c"], ["d"]]


def test_a_file_that_is_named_twice_is_read_once(logs):
    assert len(find_files([logs, logs / "a.csv"])) == 3


def test_all_of_balabit_is_accounted_for(data_dir, store):
    if not (data_dir / "balabit").is_dir():
        pytest.skip(f"no Balabit recordings in {data_dir}")
    report = ingest(data_dir / "balabit", store)
    assert (report.n_files, report.n_sessions, report.n_rows) == (487, 487, 2_838_450)
    assert report.rejected == {"no_position": 134}
    assert report.n_events == 2_838_450 - 134
    assert report.n_scroll_rows == report.notes["scroll_without_position"] == 110_265
    assert list(report.not_logs) == ["balabit/labels.csv"]
    training = pd.read_parquet(quarantine_folder(store))
    assert training["source_file"].str.startswith("balabit/training_files/").sum() == 80
