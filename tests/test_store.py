"""Sessions into parts, parts into sessions; what was cut short is not there."""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import make_sessions

from pipeline.errors import ConfigError, NotFoundError, SchemaError
from pipeline.schemas import QUARANTINE, SESSIONS
from pipeline.sessions.sessions import Sessions
from pipeline.storage import store as store_module
from pipeline.storage.publish import write_parquet
from pipeline.storage.store import (
    Part,
    check_date,
    day_folder,
    drop_unfinished,
    group_bounds,
    ingest_days,
    is_store,
    known_files,
    known_sessions,
    load_sessions,
    part_hash,
    quarantine_folder,
    read_sessions,
    write_part,
)

DAY = "2026-11-01"
PATH = [(0, 1, 2), (16, 3, 4)]
NO_ROWS = QUARANTINE.empty_table()


@pytest.fixture
def store(tmp_path) -> Path:
    return tmp_path / "store"


def write(store: Path, sessions: Sessions, name: str = "0", day: str = DAY) -> Part:
    """Write these sessions as the part of one file whose hash is `name`."""
    part = Part(store, day, part_hash([name]))
    write_part(part, [sessions], NO_ROWS, {"files": [{"sha256": name}]})
    return part


def named(*ids: str) -> Sessions:
    return make_sessions(*[PATH for _ in ids], session_id=np.array(ids, object))


def test_sessions_are_written_and_read_back(store):
    sessions = make_sessions(PATH, [(0, 5, 6)], label=np.array([1, -1], np.int8))
    write(store, sessions)
    (back,) = read_sessions(store)
    assert back.session_id.tolist() == ["s0", "s1"]
    assert back.label.tolist() == [1, -1]
    assert back.offsets.tolist() == [0, 2, 3]
    assert back.t_us.tolist() == [0, 16_000, 0]
    assert back.x_px.tolist() == [1, 3, 5]


def test_nothing_but_partitions_lies_in_a_store_and_others_can_read_it(store):
    write(store, named("a", "b"))
    write(store, named("c"), "1", "2026-11-02")
    assert {folder.name for folder in store.iterdir()} == {
        "ingest_date=2026-11-01",
        "ingest_date=2026-11-02",
    }
    table = pd.read_parquet(store, filters=[("ingest_date", "=", DAY)])
    assert table["session_id"].tolist() == ["a", "b"]
    query = f"SELECT count(*) FROM read_parquet('{store}/*/*.parquet')"
    assert duckdb.sql(query).fetchall() == [(3,)]


def test_one_day_can_be_read_alone(store):
    write(store, named("a"))
    write(store, named("b"), "1", "2026-11-02")
    (of_day,) = read_sessions(store, "2026-11-02")
    assert of_day.session_id.tolist() == ["b"]


def test_a_days_folder_may_stand_for_the_store(store):
    write(store, named("a"))
    write(store, named("b"), "1", "2026-11-02")
    day = day_folder(store, "2026-11-02")

    assert ingest_days(store) == ["2026-11-01", "2026-11-02"]
    assert is_store(day)
    assert not is_store(day_folder(store, "2026-11-03"))
    assert load_sessions([day]).session_id.tolist() == ["b"]
    assert known_sessions(day) == {"b"}


def test_sessions_come_in_row_groups_of_bounded_size(store, monkeypatch):
    monkeypatch.setattr(store_module, "GROUP_SESSIONS", 2)
    part = write(store, named("a", "b", "c"))
    assert pq.ParquetFile(part.sessions).num_row_groups == 2
    groups = list(read_sessions(store))
    assert [group.session_id.tolist() for group in groups] == [["a", "b"], ["c"]]
    assert [group.offsets.tolist() for group in groups] == [[0, 2, 4], [0, 2]]
    assert groups[1].x_px.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("counts", "bounds"),
    [
        ([], [0]),
        ([1, 1, 1, 1, 1], [0, 3, 5]),  # 3 sessions at most
        ([4, 4, 4, 1], [0, 2, 4]),  # 8 events at most
        ([1, 99, 1], [0, 1, 2, 3]),  # a session is never cut
    ],
)
def test_a_row_group_is_full_by_sessions_or_by_events(monkeypatch, counts, bounds):
    monkeypatch.setattr(store_module, "GROUP_SESSIONS", 3)
    monkeypatch.setattr(store_module, "GROUP_EVENTS", 8)
    assert group_bounds(np.cumsum([0, *counts]).astype(np.int64)) == bounds


def test_several_stores_are_loaded_at_once(tmp_path):
    write(tmp_path / "one", named("a"))
    write(tmp_path / "two", named("b"))
    loaded = load_sessions([tmp_path / "two", tmp_path / "one"])
    assert loaded.session_id.tolist() == ["b", "a"]


def test_a_store_without_sessions_is_empty_and_a_missing_one_an_error(store):
    with pytest.raises(NotFoundError, match="no store"):
        list(read_sessions(store))
    assert not is_store(store)
    (store / f"ingest_date={DAY}").mkdir(parents=True)
    assert is_store(store)
    assert len(load_sessions([store])) == 0


def test_a_table_of_another_kind_is_an_error(store):
    write_parquet(NO_ROWS, store / f"ingest_date={DAY}" / "part-0.parquet")
    with pytest.raises(SchemaError, match="not a sessions table"):
        known_sessions(store)


def test_a_part_is_named_by_its_files_in_whatever_order():
    assert part_hash(["a", "b"]) == part_hash(["b", "a"]) != part_hash(["a"])


def test_files_are_known_even_if_no_session_came_of_them(store):
    write(store, named("a"), "full")
    write(store, make_sessions(), "empty")
    drop_unfinished(store)
    hashes = {"full", "empty", "0" * 64}  # the last is the one that make_sessions gives
    assert known_files(store) == hashes
    assert known_sessions(store) == {"a"}


def test_a_part_that_was_cut_short_is_taken_away(store):
    whole, cut = write(store, named("a"), "1"), write(store, named("b"), "2")
    row = {"source_file": "f", "source_sha256": "2", "line": 1, "reason": "r", "raw": None}
    write_parquet(QUARANTINE.empty_table().from_pylist([row], QUARANTINE), cut.quarantine)
    cut.sessions.unlink()
    orphan = Part(store, DAY, "f" * 16).quarantine
    write_parquet(NO_ROWS, orphan)
    drop_unfinished(store)
    assert whole.manifest.exists()
    assert not cut.manifest.exists()
    assert not cut.quarantine.exists()
    assert not orphan.exists()
    assert "2" not in known_files(store)


def test_the_quarantine_lies_beside_the_store(store):
    assert quarantine_folder(store) == store.parent / "store.quarantine"


def test_a_store_keeps_the_version_of_its_schema(store):
    part = write(store, named("a"))
    assert pq.read_schema(part.sessions).metadata[b"version"] == SESSIONS.metadata[b"version"]


@pytest.mark.parametrize("day", ["20261101", "2026-11-31", "today", "", "2026-W45-1"])
def test_a_date_that_is_none_is_an_error(day):
    with pytest.raises(ConfigError, match="not a date"):
        check_date(day)
