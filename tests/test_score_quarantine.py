"""What raw logs hold that is no session's event: beside the scores, counted, published as one."""

import json

import duckdb
import pandas as pd
import pytest
from tiny import easy_store, score_now

from flows.jobs.partition import summary_lines
from pipeline.ingest.ingest import ingest_logs
from pipeline.scores.partitions import read_manifest, read_quarantine

DAY = "2026-11-01"
FILE = "_quarantine/part-00000.parquet"


@pytest.fixture
def logs(tmp_path):
    """Return a folder with bad rows, a session in two files, and a file that is no log."""
    folder = tmp_path / "logs"
    folder.mkdir()
    for name, n in (("a", 9), ("b", 12)):
        lines = [f"{s},{100 * i},{i * i},{7 * i}" for s in ("same", name) for i in range(n)]
        lines += [f"{name},never,1,1", f"{name},1,99999,1"]
        (folder / f"{name}.csv").write_text("session_id,t_ms,x,y\n" + "\n".join(lines) + "\n")
    (folder / "notes.txt").write_text("nothing here\n")
    (folder / "empty.csv").write_text("")
    return folder


def reasons(partition) -> dict[str, int]:
    return read_quarantine(partition)["reason"].to_pandas().value_counts().to_dict()


def accounted(partition, logs) -> None:
    """Every row of the logs is in a session, in the quarantine, or counted as no event."""
    told = read_manifest(partition)["logs"]
    n_lines = sum(max(len(path.read_text().splitlines()) - 1, 0) for path in logs.glob("[ab].csv"))
    assert told["n_rows"] - told["rejected"].get("empty_file", 0) == n_lines
    assert told["n_rows"] == told["n_events"] + sum(told["rejected"].values())


def test_rejected_rows_lie_beside_the_scores_and_are_counted(saved_run, logs, tmp_path):
    partition = score_now([logs], saved_run, tmp_path / "scores", DAY)
    manifest, table = read_manifest(partition), read_quarantine(partition).to_pandas()

    assert table["reason"].value_counts().to_dict() == {
        "not_a_number": 2, "absurd_position": 2, "duplicate_session": 12, "empty_file": 1,
    }  # fmt: skip
    assert manifest["n_quarantined"] == len(table) == 17
    assert manifest["quarantine"] == [FILE]
    never = table[table["reason"] == "not_a_number"].iloc[0]
    assert (never["source_file"], never["line"], never["raw"]) == (
        "logs/a.csv", 20, "a,never,1,1",
    )  # fmt: skip
    assert list(manifest["logs"]["not_logs"]) == ["logs/notes.txt"]
    accounted(partition, logs)
    told = "\n".join(summary_lines(manifest))
    assert "quarantined: 17 rows (absurd_position 2, duplicate_session 12" in told
    assert "not a log: logs/notes.txt" in told


def test_the_same_rows_that_ingest_rejects(saved_run, logs, tmp_path):
    ingest_logs([logs], tmp_path / "store", ingest_date=DAY)
    kept = pd.read_parquet(tmp_path / "store.quarantine")
    told = read_quarantine(score_now([logs], saved_run, tmp_path / "scores", DAY)).to_pandas()

    columns = ["source_file", "source_sha256", "line", "reason", "raw"]
    by = ["source_file", "line"]
    pd.testing.assert_frame_equal(
        told[columns].sort_values(by, ignore_index=True).astype({"reason": str}),
        kept[columns].sort_values(by, ignore_index=True).astype({"reason": str}),
    )


def test_readers_of_the_scores_do_not_see_it(saved_run, logs, tmp_path):
    scores = tmp_path / "scores"
    partition = score_now([logs], saved_run, scores, DAY)
    assert (partition / FILE).is_file()

    assert pd.read_parquet(scores)["session_id"].tolist() == ["same", "a", "b"]
    files = f"{scores}/run_date=*/*.parquet"
    assert duckdb.sql(f"SELECT count(*) FROM read_parquet('{files}')").fetchall() == [(3,)]
    assert [path.name for path in scores.iterdir()] == [f"run_date={DAY}"]


def test_scored_again_it_is_the_same_and_what_was_mended_is_gone(saved_run, logs, tmp_path):
    before = read_quarantine(score_now([logs], saved_run, tmp_path / "scores", DAY))
    again = read_quarantine(score_now([logs], saved_run, tmp_path / "scores", DAY))
    assert again.equals(before)

    (logs / "b.csv").unlink()
    (logs / "empty.csv").unlink()
    text = (logs / "a.csv").read_text()
    (logs / "a.csv").write_text(text.replace("a,never,1,1\n", "").replace("a,1,99999,1\n", ""))
    partition = score_now([logs], saved_run, tmp_path / "scores", DAY)
    assert read_quarantine(partition).num_rows == 0
    assert read_manifest(partition)["quarantine"] == []
    assert not (partition / FILE).exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_shards_and_workers_lose_nothing(workers, saved_run, logs, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.storage.shards.SHARD_LOG_BYTES", 1)  # a shard a file
    partition = score_now([logs], saved_run, tmp_path / "scores", DAY, workers=workers)
    table, manifest = read_quarantine(partition).to_pandas(), read_manifest(partition)

    # The second file's session is now found to be one when the shards are put together.
    assert reasons(partition) == {
        "not_a_number": 2, "absurd_position": 2, "duplicate_session": 1, "empty_file": 1,
    }  # fmt: skip
    double = table[table["reason"] == "duplicate_session"].iloc[0]
    assert (double["source_file"], double["raw"]) == ("logs/b.csv", "session same: 12 events")
    assert (manifest["n_doubles"], manifest["n_quarantined"]) == (1, 6)
    assert "duplicate_session 1" in "\n".join(summary_lines(manifest))
    accounted(partition, logs)
    assert pd.read_parquet(partition)["session_id"].tolist() == ["same", "a", "b"]


def test_a_run_that_was_cut_short_keeps_what_was_rejected(saved_run, logs, tmp_path, monkeypatch):
    from flows.jobs import score as job

    monkeypatch.setattr("pipeline.storage.shards.SHARD_LOG_BYTES", 1)
    real = job.score_shard

    def stops_at_two(run, shard, model):
        if shard.number == 2:
            raise KeyboardInterrupt
        return real(run, shard, model)

    with monkeypatch.context() as patch:
        patch.setattr(job, "score_shard", stops_at_two)
        with pytest.raises(KeyboardInterrupt):
            score_now([logs], saved_run, tmp_path / "scores", DAY)
    assert not (tmp_path / "scores").exists()
    partition = score_now([logs], saved_run, tmp_path / "scores", DAY)
    assert sum(reasons(partition).values()) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs", "scores"]


def test_pieces_of_a_large_log_are_one_file(saved_run, logs, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.readers.common.log_files.LARGE_BYTES", 1)
    partition = score_now([logs], saved_run, tmp_path / "scores", DAY)
    assert reasons(partition)["not_a_number"] == 2
    assert read_manifest(partition)["logs"]["n_files"] == 3
    accounted(partition, logs)


def test_a_store_has_its_own_quarantine(saved_run, tmp_path):
    manifest = read_manifest(
        score_now([easy_store(tmp_path / "s")], saved_run, tmp_path / "scores", DAY)
    )
    assert (manifest["logs"], manifest["n_quarantined"]) == (None, 0)
    json.dumps(manifest)
