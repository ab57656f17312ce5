"""What is published is there whole, or not at all, while others read."""

import json
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import PublishError
from pipeline.storage import publish
from pipeline.storage.publish import (
    lock,
    publish_partition,
    seal,
    staging,
    write_json,
    write_parquet,
)

N_PARTS = 3


def numbers(*values: int) -> pa.Table:
    return pa.table({"n": pa.array(values, pa.int64())})


def publish_version(target: Path, version: int) -> None:
    with staging(target, target.parent) as staged:
        for i in range(N_PARTS):
            write_parquet(numbers(version, version), staged / f"part-{i}.parquet")
        seal(staged, {"version": version})
        publish_partition(staged, target)


def versions(target: Path) -> set[int]:
    return {n for part in target.glob("part-*") for n in pq.read_table(part)["n"].to_pylist()}


def test_a_table_is_written_and_read_back(tmp_path):
    path = write_parquet(numbers(1, 2, 3), tmp_path / "new" / "n.parquet")
    assert pq.read_table(path).equals(numbers(1, 2, 3))
    assert [file.name for file in path.parent.iterdir()] == ["n.parquet"]
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_several_tables_are_row_groups_of_one_file(tmp_path):
    path = write_parquet(iter([numbers(1), numbers(2, 3)]), tmp_path / "n.parquet")
    parquet = pq.ParquetFile(path)
    assert [parquet.read_row_group(i).num_rows for i in range(2)] == [1, 2]


def test_an_empty_table_is_a_file_and_no_table_is_an_error(tmp_path):
    assert pq.read_table(write_parquet(numbers(), tmp_path / "n.parquet")).num_rows == 0
    with pytest.raises(PublishError, match="no table"):
        write_parquet([], tmp_path / "m.parquet")


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = write_parquet(numbers(1), tmp_path / "n.parquet")
    with pytest.raises(RuntimeError, match="cut short"):
        write_parquet(_cut_short(), path)
    assert pq.read_table(path).equals(numbers(1))
    assert [file.name for file in tmp_path.iterdir()] == ["n.parquet"]


def _cut_short():
    yield numbers(2)
    raise RuntimeError("cut short")


def test_what_can_not_be_written_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PublishError, match=r"n\.json"):
        write_json({}, tmp_path / "file" / "n.json")


def test_a_partition_is_published_and_replaced(tmp_path):
    target = tmp_path / "scores" / "run_date=2026-11-01"
    publish_version(target, 1)
    publish_version(target, 2)
    assert versions(target) == {2}
    assert json.loads((target / "_manifest.json").read_text()) == {"version": 2}
    assert (target / "_SUCCESS").exists()
    assert [folder.name for folder in (tmp_path / "scores").iterdir()] == [target.name]


def test_what_was_replaced_stays_for_readers_until_something_is_published_later(
    tmp_path, monkeypatch
):
    target = tmp_path / "scores" / "run_date=2026-11-01"
    publish_version(target, 1)
    assert [folder.name for folder in tmp_path.iterdir()] == ["scores"]
    begun = target.iterdir()  # a reader that lists the folder
    names = {next(begun).name}
    publish_version(target, 2)
    names |= {path.name for path in begun}
    assert names == {path.name for path in target.iterdir()}
    staging = tmp_path / "scores.staging"
    (kept,) = staging.iterdir()
    assert kept.name.startswith(publish.REPLACED)
    assert versions(kept) == {1}

    monkeypatch.setattr(publish, "_REPLACED_STAY_S", -1.0)
    publish_version(target, 3)
    (kept,) = staging.iterdir()
    assert versions(kept) == {2}
    assert versions(target) == {3}


def test_a_partition_that_is_not_sealed_is_refused(tmp_path):
    target = tmp_path / "scores" / "run_date=2026-11-01"
    with (
        staging(target, target.parent) as staged,
        pytest.raises(PublishError, match="not complete"),
    ):
        publish_partition(staged, target)
    assert not target.exists()


def test_a_failure_while_staging_leaves_the_old_partition(tmp_path):
    target = tmp_path / "scores" / "run_date=2026-11-01"
    publish_version(target, 1)
    with pytest.raises(RuntimeError, match="cut short"), staging(target, target.parent) as staged:
        write_parquet(_cut_short(), staged / "part-0.parquet")
    assert versions(target) == {1}
    assert not (tmp_path / "scores.staging").exists()


def test_systems_without_exchange_replace_in_two_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "exchange", lambda one, other: False)
    test_a_partition_is_published_and_replaced(tmp_path)


def test_a_second_step_that_fails_puts_the_old_partition_back(tmp_path, monkeypatch):
    target = tmp_path / "scores" / "run_date=2026-11-01"
    publish_version(target, 1)
    rename = Path.rename

    def fail(self: Path, to: Path) -> Path:
        if to == target and not self.name.startswith(publish.REPLACED):
            raise PermissionError("not now")
        return rename(self, to)

    monkeypatch.setattr(publish, "exchange", lambda one, other: False)
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(PublishError, match="not now"):
        publish_version(target, 2)
    assert versions(target) == {1}


@pytest.mark.parametrize("swaps", [80, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_reader_never_finds_nothing_and_never_half(swaps, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "_flush", lambda path: None)  # the disk's time is not ours
    target = tmp_path / "scores" / "run_date=2026-11-01"
    publish_version(target, 0)
    if not publish.exchange(tmp_path / "scores", _folder(tmp_path / "other")):
        pytest.skip("this system can't exchange two names in one step")
    publish.exchange(tmp_path / "scores", tmp_path / "other")
    seen, missed, is_done = [], [], threading.Event()

    def poll() -> None:
        while not is_done.is_set():
            try:
                table = pq.read_table(target / "part-1.parquet", partitioning=None)
                seen.append(tuple(table["n"].to_pylist()))
            except FileNotFoundError as error:
                missed.append(error)

    reader = threading.Thread(target=poll)
    reader.start()
    for version in range(1, swaps):
        publish_version(target, version)
    is_done.set()
    reader.join()
    assert missed == []
    assert all(first == second for first, second in seen)
    assert len(set(seen)) > 10  # the reader did look on


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_lock_is_held_by_one_at_a_time(tmp_path):
    order = []

    def second() -> None:
        with lock(tmp_path / "store"):
            order.append("second")

    with lock(tmp_path / "store"):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.05)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]
