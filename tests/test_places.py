"""STORE, RUN and SCORES in an object store: a real S3 server, on this machine."""

import json
import os
import pickle
import threading
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from tiny import TINY, easy_store, ingest_sample, score_now, untrained

from flows.jobs.progress import finish
from flows.jobs.train import TrainJob, train
from model.run import load_model, save_model
from pipeline.errors import NotFoundError, StorageError
from pipeline.ingest.ingest import ingest_logs
from pipeline.schemas import SCORES
from pipeline.scores.partitions import partition_files, read_partition, read_quarantine, read_scores
from pipeline.storage import publish
from pipeline.storage.paths import (
    RemotePath,
    as_path,
    local_copy,
    open_parquet,
    relative_path,
    remove_tree,
)
from pipeline.storage.publish import publish_partition, seal, staging, write_json, write_parquet
from pipeline.storage.store import load_sessions, read_sessions

DAY = "2026-11-01"


def names(folder: Path) -> list[str]:
    """Return what lies below a folder."""
    return sorted(str(relative_path(p, folder)) for p in folder.rglob("*") if p.is_file())


def numbers(n: int) -> pa.Table:
    return pa.table({"n": [n, n]})


@pytest.mark.parametrize("url", ["s3://bucket/a/b.parquet", "gs://bucket/a/b.parquet"])
def test_a_url_survives_what_path_does_to_it(url):
    remote = as_path(Path(url))
    assert isinstance(remote, RemotePath)
    assert not isinstance(remote, Path)
    assert str(remote) == str(as_path(remote)) == str(pickle.loads(pickle.dumps(remote))) == url
    assert str(remote.parent / "c.json") == url.replace("b.parquet", "c.json")
    assert str(remote.with_name("d")) == url.replace("b.parquet", "d")
    assert (remote.name, remote.stem, remote.suffix) == ("b.parquet", "b", ".parquet")
    assert relative_path(remote, remote.parent.parent).as_posix() == "a/b.parquet"
    with pytest.raises(TypeError):
        os.stat(remote)  # noqa: PTH116 - that it can't be is the point


@pytest.mark.parametrize("path", ["scores", "./s3", "/s3:/x", "s3:", "C:/x", "http://x/y"])
def test_other_paths_are_left_alone(path):
    assert as_path(path) == Path(path)
    assert not isinstance(as_path(path), RemotePath)


def test_objects_are_found_like_files(bucket):
    folder = bucket / "found"
    for name in ("day=1/part-a.parquet", "day=1/part-b.parquet", "day=2/part-c.parquet", "x.json"):
        write_json({"name": name}, folder / name)

    assert [p.name for p in folder.glob("day=*/part-*.parquet")] == [
        f"part-{c}.parquet" for c in "abc"
    ]
    assert [p.name for p in folder.glob("day=*")] == ["day=1", "day=2"]
    assert (folder / "day=1").is_dir()
    assert (folder / "x.json").is_file()
    assert json.loads((folder / "x.json").read_text()) == {"name": "x.json"}
    assert not (folder / "y.json").exists()
    assert list((bucket / "nothing").iterdir()) == []
    (folder / "x.json").unlink()
    (folder / "x.json").unlink(missing_ok=True)
    remove_tree(folder / "day=1")
    assert names(folder) == ["day=2/part-c.parquet"]
    with local_copy(folder) as copy:
        assert names(copy) == ["day=2/part-c.parquet"]


def test_a_table_is_written_whole_or_not_at_all(bucket):
    path = write_parquet(numbers(1), bucket / "n.parquet")

    def cut_short():
        yield numbers(2)
        raise RuntimeError("cut short")

    with pytest.raises(RuntimeError, match="cut short"):
        write_parquet(cut_short(), path)
    with open_parquet(path) as parquet:
        assert parquet.read().equals(numbers(1))


def test_a_bucket_that_is_not_there_is_an_error_that_names_it(bucket):
    with pytest.raises(StorageError, match=r"s3://no-such-bucket/n\.json"):
        write_json({}, as_path("s3://no-such-bucket/n.json"))


def test_who_follows_the_manifest_never_sees_half(bucket, monkeypatch):
    scores = bucket / "polled"
    target = scores / f"run_date={DAY}"

    def rows(version: int) -> pa.Table:
        columns = {
            "session_id": [f"v{version}_{i}" for i in range(3)],
            "fraud_score": [0.5] * 3, "band": ["low"] * 3, "is_flagged": [False] * 3,
            "threshold": [0.9] * 3, "reasons": [[]] * 3, "n_events": [1] * 3,
            "n_windows": [1] * 3, "model_id": ["m"] * 3, "run_id": ["r"] * 3,
            "scored_at": [0] * 3,
        }  # fmt: skip
        nothing = [None] * 3
        return pa.table(
            [
                pa.array(columns.get(field.name, nothing)).cast(field.type)
                if field.name != "band"
                else pa.array(columns["band"]).dictionary_encode()
                for field in SCORES
            ],
            schema=SCORES,
        )

    def publish_version(version: int) -> None:
        with staging(target, scores) as staged:
            for i in range(2):
                write_parquet(rows(version), staged / f"part-{i}.parquet")
            seal(staged, {"files": ["part-0.parquet", "part-1.parquet"]})
            publish_partition(staged, target)

    publish_version(0)
    seen, is_done = [], threading.Event()

    def poll() -> None:
        while not is_done.is_set():
            seen.append(read_partition(target)["session_id"].to_pylist())

    reader = threading.Thread(target=poll)
    reader.start()
    for version in range(1, 12):
        publish_version(version)
        time.sleep(0.2)  # as often as this nobody publishes
    is_done.set()
    reader.join()
    assert len({ids[0] for ids in seen}) > 2  # the reader did look on
    for ids in seen:
        version = ids[0].partition("_")[0]
        assert ids == [f"{version}_{i}" for i in range(3)] * 2
    assert len(names(target)) == 4  # two parts, manifest, _SUCCESS: the old ones are gone


def test_a_publishing_that_breaks_off_leaves_the_old_partition(bucket, monkeypatch):
    target = bucket / "broken" / f"run_date={DAY}"
    with staging(target, target.parent) as staged:
        write_parquet(numbers(1), staged / "part-0.parquet")
        seal(staged, {"files": ["part-0.parquet"], "version": 1})
        publish_partition(staged, target)
    old = partition_files(target)

    with staging(target, target.parent) as staged, monkeypatch.context() as patch:
        write_parquet(numbers(2), staged / "part-0.parquet")
        seal(staged, {"files": ["part-0.parquet"], "version": 2})
        patch.setattr(publish, "write_json", _break_off)
        with pytest.raises(KeyboardInterrupt):
            publish_partition(staged, target)
    assert partition_files(target) == old
    with open_parquet(old[0]) as parquet:
        assert parquet.read().equals(numbers(1))


def _break_off(*_):
    raise KeyboardInterrupt


def test_store_run_and_scores_may_all_be_remote(bucket, sample_dir, tmp_path):
    local = ingest_sample(sample_dir, tmp_path / "store")
    ingest_sample(sample_dir, bucket / "store")
    save_model(untrained(), tmp_path / "run")
    with staging(bucket / "run", bucket) as staged:
        save_model(untrained(), staged)
        (staged / "_SUCCESS").touch()
        publish_partition(staged, bucket / "run")
    assert load_model(bucket / "run").model_id == load_model(tmp_path / "run").model_id

    here = score_now([local], tmp_path / "run", tmp_path / "scores", DAY)
    for _ in range(2):  # the second replaces the first
        there = score_now(
            # As the command line gives it: `Path` took one of the slashes away.
            [Path("s3://bucket/store")], Path("s3://bucket/run"), Path("s3://bucket/scores"), DAY
        )  # fmt: skip
    left, right = (
        read_partition(p).drop_columns(["run_id", "scored_at"]).to_pandas() for p in (here, there)
    )
    pd.testing.assert_frame_equal(left, right)
    assert set(read_scores(bucket / "scores")["run_date"].to_pylist()) == {DAY}
    assert names(bucket / "scores.staging") == []
    assert len([n for n in names(there) if n.endswith(".parquet")]) == 1


def test_a_file_is_ingested_into_a_remote_store_once(bucket, sample_dir):
    logs = [sample_dir / "formats" / "recordings.parquet"]
    first = ingest_logs(logs, bucket / "once", ingest_date=DAY)
    second = ingest_logs(logs, bucket / "once", ingest_date=DAY)

    assert (first.n_files, second.n_files, second.n_files_skipped) == (1, 0, 1)
    assert len(load_sessions([bucket / "once"])) == 4
    with pytest.raises(NotFoundError):
        list(read_sessions(bucket / "no_store"))


def test_a_remote_log_is_read_as_it_lies_there(bucket, sample_dir, tmp_path):
    source = sample_dir / "formats" / "recordings.parquet"
    (bucket / "logs" / "recordings.parquet").upload(source)
    report = ingest_logs([bucket / "logs"], tmp_path / "store", ingest_date=DAY)
    assert report.n_sessions == 4


def test_rejected_rows_lie_beside_remote_scores_and_change_with_them(bucket, tmp_path):
    log, scores = tmp_path / "log.csv", bucket / "rejecting"
    rows = "".join(f"a,{16 * i},{i * i % 700},{7 * i}\n" for i in range(60))
    save_model(untrained(), tmp_path / "run")
    for n_bad in (2, 3, 0):
        log.write_text("session_id,t_ms,x,y\n" + rows + "a,never,1,1\n" * n_bad)
        there = score_now([log], tmp_path / "run", scores, DAY)
        assert read_partition(there).num_rows == 1
        assert read_quarantine(there).num_rows == n_bad
        assert len([n for n in names(there) if n.startswith("_quarantine/")]) == bool(n_bad)
        assert read_scores(scores).num_rows == 1
    assert names(bucket / "rejecting.staging") == []


def test_training_to_a_remote_run(bucket, tmp_path):
    easy_store(bucket / "easy")
    short = replace(TINY, train=replace(TINY.train, epochs=1, steps_per_epoch=2))
    finish(train(TrainJob((bucket / "easy",), bucket / "trained", short)))
    assert load_model(bucket / "trained").config == short
    assert "_SUCCESS" in names(bucket / "trained")
    assert "MODEL_CARD.md" in names(bucket / "trained")
