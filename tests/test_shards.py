"""Inputs are cut into shards the same way each time, and doubles among them are found."""

import os
import threading

import numpy as np
import pytest
from conftest import make_sessions
from hypothesis import given
from hypothesis import strategies as st

from pipeline.schemas import QUARANTINE
from pipeline.scores.table import repeated_hashes, short_hashes
from pipeline.storage import shards as module
from pipeline.storage.overlap import overlapped
from pipeline.storage.shards import drop_staged, inputs_digest, open_staged, plan_shards, read_shard
from pipeline.storage.store import Part, write_part

PATH = [(0, 1, 1), (10, 2, 2), (20, 4, 3)]
HEADER = "session_id,t_ms,x,y\n"


def make_store(store, *part_sizes):
    """Write a store of parts with so many sessions each, one row group a part."""
    for number, n in enumerate(part_sizes):
        names = np.array([f"p{number}_{i}" for i in range(n)], object)
        sessions = make_sessions(*[PATH] * n, session_id=names)
        part = Part(store, "2026-11-01", f"{number:016}")
        write_part(part, [sessions], QUARANTINE.empty_table(), {"files": []})
    return store


def names_of(shards):
    """Return the session ids of each shard."""
    return [
        [name for sessions in read_shard(shard) for name in sessions.session_id] for shard in shards
    ]


def test_row_groups_are_put_together_until_a_shard_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARD_SESSIONS", 5)
    shards = plan_shards([make_store(tmp_path / "store", 2, 3, 4, 9, 1)])

    assert [shard.n_sessions for shard in shards] == [5, 4, 9, 1]
    assert [shard.number for shard in shards] == [0, 1, 2, 3]
    flat = [name for names in names_of(shards) for name in names]
    assert flat == [f"p{number}_{i}" for number, n in enumerate((2, 3, 4, 9, 1)) for i in range(n)]
    assert plan_shards([tmp_path / "store"]) == shards


def test_row_groups_of_one_part_are_one_piece(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.storage.store.GROUP_SESSIONS", 2)
    monkeypatch.setattr(module, "SHARD_SESSIONS", 4)
    shards = plan_shards([make_store(tmp_path / "store", 7)])

    assert [[(p.first, p.stop) for p in shard.pieces] for shard in shards] == [[(0, 2)], [(2, 4)]]
    assert [len(names) for names in names_of(shards)] == [4, 3]


def test_logs_are_put_together_by_their_size(tmp_path, monkeypatch):
    for name in "abc":
        (tmp_path / f"{name}.csv").write_text(HEADER + f"{name},0,1,1\n{name},9,2,2\n")
    size = (tmp_path / "a.csv").stat().st_size
    monkeypatch.setattr(module, "SHARD_LOG_BYTES", 2 * size)

    assert names_of(plan_shards([tmp_path])) == [["a", "b"], ["c"]]


def test_a_changed_input_or_setting_has_another_digest(tmp_path):
    store = make_store(tmp_path / "store", 2)
    before = inputs_digest(plan_shards([store]), {"model_id": "m"})

    assert inputs_digest(plan_shards([store]), {"model_id": "m"}) == before
    assert inputs_digest(plan_shards([store]), {"model_id": "n"}) != before
    (path,) = store.glob("*/*.parquet")
    os.utime(path, ns=(1, 1))
    assert inputs_digest(plan_shards([store]), {"model_id": "m"}) != before


def test_staged_shards_of_other_runs_of_the_day_are_taken_away(tmp_path):
    day, other_day = (tmp_path / "scores" / f"run_date=2026-11-0{i}" for i in (1, 2))
    old, _ = open_staged(day, "old", {"run_id": "1"})
    elsewhere, _ = open_staged(other_day, "old", {"run_id": "2"})
    old.finish(0, {"n_sessions": 3})

    again, begun = open_staged(day, "old", {"run_id": "3"})
    assert again.read_result(0) == {"n_sessions": 3}
    assert again.read_result(1) is None
    assert again.is_whole(0)
    assert not again.is_whole(1)
    assert begun == {"run_id": "1"}  # it goes on, it doesn't begin
    new, begun = open_staged(day, "new", {"run_id": "4"})
    assert begun == {"run_id": "4"}
    assert not old.folder.exists()
    assert elsewhere.folder.exists()
    drop_staged(new)
    drop_staged(elsewhere)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damaged", ["part", "recordings", "rejected", "result"])
@pytest.mark.parametrize("left", [0, 5])
def test_a_shard_of_which_a_power_cut_left_less_is_not_whole(tmp_path, damaged, left):
    staged, _ = open_staged(tmp_path / "scores" / "run_date=2026-11-01", "d", {"run_id": "1"})
    for path in (staged.part(0), staged.recordings(0), staged.rejected(0)):
        path.write_bytes(b"what was written")
    staged.finish(0, {"n_sessions": 3})
    assert staged.is_whole(0)
    path = getattr(staged, damaged)(0)
    path.write_bytes(path.read_bytes()[:left])
    assert not staged.is_whole(0)


@pytest.mark.parametrize("content", [b"", b'{"run', None])
def test_a_run_whose_beginning_a_power_cut_took_begins_anew(tmp_path, content):
    day = tmp_path / "scores" / "run_date=2026-11-01"
    staged, _ = open_staged(day, "d", {"run_id": "1"})
    staged.finish(0, {"n_sessions": 3})
    path = staged.folder / "begun.json"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    again, begun = open_staged(day, "d", {"run_id": "2"})
    assert begun == {"run_id": "2"}
    assert not again.is_whole(0)  # its rows say run 1
    assert open_staged(day, "d", {"run_id": "3"})[1] == {"run_id": "2"}


@given(names=st.lists(st.text(max_size=2), max_size=30))
def test_hashes_that_occur_twice_are_those_of_duplicate_names(names):
    found = repeated_hashes(short_hashes(names))
    duplicates = sorted({name for name in names if names.count(name) > 1})
    assert found.tolist() == sorted(short_hashes(duplicates).tolist())


def test_overlapped_work_keeps_its_order_and_is_never_much_ahead():
    taken, done = [], []

    def items():
        for i in range(20):
            taken.append(i)
            yield i

    barrier = threading.Barrier(2, timeout=300)  # two are under way at once, or this breaks
    for result in overlapped(lambda i: (barrier.wait(), i * i)[1], items(), n_threads=2):
        done.append(result)
        assert len(taken) - len(done) <= 3
    assert done == [i * i for i in range(20)]


def test_an_error_in_overlapped_work_comes_out():
    with pytest.raises(ZeroDivisionError):
        list(overlapped(lambda i: 1 // i, [1, 2, 0, 3]))
