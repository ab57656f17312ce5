"""Killed at random points, published tables are whole, and a rerun completes."""

import subprocess
import sys
import threading

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT

from pipeline.storage.publish import publish_partition, seal, staging, write_parquet

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it forks, and counts on Linux")


@pytest.mark.parametrize("kills", [12, pytest.param(60, marks=pytest.mark.slow)])
def test_killed_runs_leave_whole_tables_and_are_gone_on_with(kills):
    # A process of its own: pytest has threads, and may have loaded JAX, and neither can be forked.
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kills", "--kills", str(kills), "--seed", "7"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "BROKEN" not in done.stdout
    killed = {
        line.split("|")[1].strip(): int(line.split("|")[2])
        for line in done.stdout.splitlines()
        if line.startswith("| ") and "killed" not in line
    }
    assert killed["ingest"] >= kills // 2
    assert killed["score, by a rule"] >= kills // 2


@pytest.mark.parametrize("versions", [50, pytest.param(500, marks=pytest.mark.slow)])
def test_readers_that_poll_see_one_version_whole(versions, tmp_path, monkeypatch):
    """Three kinds of readers, none of which knows of manifests, while a day is replaced."""
    # The time that the disk takes is not what is tested.
    monkeypatch.setattr("pipeline.storage.publish._flush", lambda path: None)
    scores = tmp_path / "scores"
    target = scores / "run_date=2026-11-01"

    def publish_version(version: int) -> None:
        n = 100 + version % 3  # versions differ in length too
        table = pa.table({"version": [version] * n, "n": [n] * n})
        with staging(target, scores) as staged:
            write_parquet([table.slice(0, 50), table.slice(50)], staged / "part-00000.parquet")
            seal(staged, {"files": ["part-00000.parquet"]})
            publish_partition(staged, target)

    def read_with_duckdb() -> pd.DataFrame:
        # Not read_parquet: it opens a file several times in a query, and may mix two versions.
        day = pd.read_parquet(scores)  # noqa: F841 - the query names it
        return duckdb.connect().sql("SELECT * FROM day").df()

    readers = {
        "pandas": lambda: pd.read_parquet(scores),
        "arrow": lambda: pq.ParquetFile(target / "part-00000.parquet").read().to_pandas(),
        "duckdb": read_with_duckdb,
    }
    seen = {name: [] for name in readers}
    faults, is_done = [], threading.Event()

    def poll(name: str) -> None:
        while not is_done.is_set():
            try:
                frame = readers[name]()
                seen[name].append((frame["version"].unique().tolist(), len(frame), frame["n"][0]))
            except Exception as error:  # whatever it is, a reader saw something it shouldn't
                faults.append((name, repr(error)))

    publish_version(0)
    threads = [threading.Thread(target=poll, args=[name]) for name in readers]
    for thread in threads:
        thread.start()
    version = 0
    while version < versions or min(map(len, seen.values())) < 20:
        version += 1
        publish_version(version)
    is_done.set()
    for thread in threads:
        thread.join()

    assert faults == []
    for found in seen.values():
        assert all(len(versions) == 1 and n_rows == n for versions, n_rows, n in found)
        assert len({tuple(versions) for versions, _, _ in found}) > 5  # it did look on
