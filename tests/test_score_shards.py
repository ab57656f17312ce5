"""Scoring by shards: the same table however it was cut, interrupted, or shared out."""

import json
import logging
import os
import threading

import numpy as np
import pandas as pd
import pytest
from tiny import easy_store, score_now

from flows.jobs import score as job
from flows.jobs.progress import Progress
from pipeline.errors import DataError, LogError, WorkerError
from pipeline.scores.table import short_hashes
from pipeline.storage.shards import alone_with

DAY = "2026-11-01"
OF_THE_RUN = ["run_id", "scored_at"]  # all else is the same in every run


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Return a store of 128 sessions in row groups of 16."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.storage.store.GROUP_SESSIONS", 16)
        return easy_store(tmp_path_factory.mktemp("easy") / "store")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Cut the store in 4 shards."""
    monkeypatch.setattr("pipeline.storage.shards.SHARD_SESSIONS", 32)


@pytest.fixture(scope="module")
def whole(saved_run, store, tmp_path_factory):
    """Return the table when the store is one shard."""
    return rows(score_now([store], saved_run, tmp_path_factory.mktemp("whole") / "scores", DAY))


def rows(partition) -> pd.DataFrame:
    """Return a partition as it lies there, without what differs between any two runs."""
    return pd.read_parquet(partition).drop(columns=OF_THE_RUN)


def test_shards_and_no_shards_give_the_same_table(saved_run, store, whole, tmp_path):
    partition = score_now([store], saved_run, tmp_path / "scores", DAY)

    pd.testing.assert_frame_equal(rows(partition), whole)
    manifest = json.loads((partition / "_manifest.json").read_text())
    assert manifest["files"] == ["part-00000.parquet"]  # one: who opens it has one version
    assert [p.name for p in sorted(partition.glob("*.parquet"))] == manifest["files"]
    assert [path.name for path in tmp_path.iterdir()] == ["scores"]  # nothing else is left


def test_a_run_that_was_cut_short_goes_on(saved_run, store, whole, tmp_path, monkeypatch, caplog):
    real, scored = job.score_shard, []

    def stops_at_two(run, shard, model):
        if shard.number == 2:
            raise KeyboardInterrupt
        scored.append(shard.number)
        return real(run, shard, model)

    def counts(run, shard, model):
        scored.append(shard.number)
        return real(run, shard, model)

    monkeypatch.setattr(job, "score_shard", stops_at_two)
    with pytest.raises(KeyboardInterrupt):
        score_now([store], saved_run, tmp_path / "scores", DAY)
    assert not (tmp_path / "scores").exists()

    monkeypatch.setattr(job, "score_shard", counts)
    with caplog.at_level(logging.INFO):
        partition = score_now([store], saved_run, tmp_path / "scores", DAY)
    assert scored == [0, 1, 2, 3]
    assert "2 of 4 shards are there already" in caplog.text
    pd.testing.assert_frame_equal(rows(partition), whole)
    assert pd.read_parquet(partition)["run_id"].nunique() == 1
    assert [path.name for path in tmp_path.iterdir()] == ["scores"]


def test_the_same_day_twice_gives_the_same_table(saved_run, store, whole, tmp_path):
    for _ in range(2):
        partition = score_now([store], saved_run, tmp_path / "scores", DAY)
        pd.testing.assert_frame_equal(rows(partition), whole)


def test_progress_is_of_all_sessions(saved_run, store, tmp_path):
    shown = []
    score_now([store], saved_run, tmp_path / "scores", DAY, shown.append)
    assert shown == [Progress(16 * i, 128, "sessions") for i in range(1, 9)]


def test_processes_give_the_same_table(saved_run, store, whole, tmp_path):
    partition = score_now([store], saved_run, tmp_path / "scores", DAY, workers=2)
    pd.testing.assert_frame_equal(rows(partition), whole, rtol=1e-5)


def test_a_dask_cluster_gives_the_same_table(saved_run, store, whole, tmp_path):
    distributed = pytest.importorskip(
        "distributed", reason="no distributed: `make setup` brings it"
    )
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0",
        scheduler_port=0, host="127.0.0.1",
    ) as cluster:  # fmt: skip
        partition = score_now(
            [store], saved_run, tmp_path / "scores", DAY, scheduler=cluster.scheduler_address
        )
    pd.testing.assert_frame_equal(rows(partition), whole, rtol=1e-5)


def test_a_scheduler_that_is_not_there_is_an_error(saved_run, store, tmp_path, monkeypatch):
    monkeypatch.setattr("flows.jobs.shards._PATIENCE", "1s")
    with pytest.raises(WorkerError, match="no Dask scheduler answers"):
        score_now([store], saved_run, tmp_path / "scores", DAY, scheduler="tcp://127.0.0.1:9")


def test_a_worker_that_dies_is_an_error_and_a_rerun_goes_on(saved_run, store, whole, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.jobs.shards.score_in_worker", _die)
        with pytest.raises(WorkerError, match="exited unexpectedly"):
            score_now([store], saved_run, tmp_path / "scores", DAY, workers=2)
    pd.testing.assert_frame_equal(
        rows(score_now([store], saved_run, tmp_path / "scores", DAY)), whole
    )


def _die(run, shard):
    os._exit(9)


@pytest.mark.parametrize("hashed", [short_hashes, lambda names: np.zeros(len(names), np.uint64)])
def test_of_a_session_in_two_logs_of_two_shards_the_first_counts(
    saved_run, tmp_path, monkeypatch, hashed
):
    monkeypatch.setattr("flows.jobs.partition.short_hashes", hashed)  # or all ids share one
    monkeypatch.setattr("pipeline.storage.shards.SHARD_LOG_BYTES", 1)
    logs = tmp_path / "logs"
    logs.mkdir()
    for name, n in (("a", 9), ("b", 12)):
        lines = [f"{s},{100 * i},{i * i},{7 * i}" for s in ("same", name) for i in range(n)]
        (logs / f"{name}.csv").write_text("session_id,t_ms,x,y\n" + "\n".join(lines))
    table = pd.read_parquet(score_now([logs], saved_run, tmp_path / "scores", DAY))

    assert table["session_id"].tolist() == ["same", "a", "b"]
    assert table["n_events"].tolist() == [9, 9, 12]


def test_a_folder_without_any_log_is_an_error_and_nothing_is_left(saved_run, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "notes.txt").write_text("nothing here\n")
    with pytest.raises(LogError, match="no log format begins with"):
        score_now([tmp_path / "logs"], saved_run, tmp_path / "scores", DAY)
    assert not (tmp_path / "scores").exists()


def test_an_input_without_sessions_is_an_empty_partition(saved_run, tmp_path):
    (tmp_path / "logs").mkdir()
    table = pd.read_parquet(score_now([tmp_path / "logs"], saved_run, tmp_path / "scores", DAY))
    assert len(table) == 0
    assert "fraud_score" in table.columns


def test_sessions_of_two_stores_are_refused_and_nothing_is_left(saved_run, store, tmp_path):
    copy = easy_store(tmp_path / "copy")
    with pytest.raises(DataError, match=r"in more than one input \(128 such sessions\)"):
        score_now([store, copy], saved_run, tmp_path / "scores", DAY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "copy.quarantine"]


def test_a_second_run_of_the_day_waits_for_the_first(saved_run, store, tmp_path):
    scores, done = tmp_path / "scores", threading.Event()
    second = threading.Thread(
        target=lambda: (score_now([store], saved_run, scores, DAY), done.set()), daemon=True
    )
    with alone_with(scores / f"run_date={DAY}"):
        second.start()
        assert not done.wait(1.0)
        assert not scores.exists()
        score_now([store], saved_run, scores, "2026-11-02")  # another day needn't wait
    second.join(60)
    assert done.is_set()
    assert np.array_equal(
        sorted(path.name for path in scores.iterdir()),
        ["run_date=2026-11-01", "run_date=2026-11-02"],
    )
