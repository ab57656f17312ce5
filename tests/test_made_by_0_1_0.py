"""Tables that version 0.1.0 wrote are read; its RUNs are refused, with the way out.

`made_by_0_1_0/` was made with version 0.1.0: `sample_data/formats/recordings.parquet` ingested, an
untrained model saved as a RUN (its checkpoint is left out), and the store scored with it.
"""

import shutil
from pathlib import Path

import pytest
from conftest import ROOT

from flows.jobs.progress import finish
from flows.jobs.score import ScoreJob, score
from model.run import load_model
from pipeline.errors import SchemaError
from pipeline.ingest.ingest import ingest_logs
from pipeline.schemas import SCORES
from pipeline.scores.partitions import read_manifest, read_partition, read_scores
from pipeline.storage.store import load_sessions

DAY, NEXT_DAY = "2026-11-01", "2026-11-02"


@pytest.fixture
def made(tmp_path) -> Path:
    return shutil.copytree(ROOT / "tests" / "made_by_0_1_0", tmp_path / "made")


def test_its_store_is_read_and_added_to(made, sample_dir):
    recordings = sample_dir / "formats" / "recordings.parquet"
    assert len(load_sessions([made / "store"])) == 4
    again = ingest_logs([recordings], made / "store", ingest_date=NEXT_DAY)
    assert again.n_files_skipped == 1
    more = ingest_logs([sample_dir / "formats" / "balabit"], made / "store", ingest_date=NEXT_DAY)
    assert more.n_sessions == 4
    assert len(load_sessions([made / "store"])) == 8


def test_its_scores_are_read_and_a_day_is_added(made, saved_run):
    partition = made / "scores" / f"run_date={DAY}"
    assert read_manifest(partition)["n_sessions"] == read_partition(partition).num_rows == 4
    finish(score(ScoreJob([made / "store"], saved_run, made / "scores", NEXT_DAY)))
    both = read_scores(made / "scores")
    assert set(both["run_date"].to_pylist()) == {DAY, NEXT_DAY}
    assert both.num_rows == 8
    assert set(SCORES.names) <= set(both.column_names)


def test_its_runs_are_refused_with_the_way_out(made):
    with pytest.raises(SchemaError, match=r"another version.*train again with this one"):
        load_model(made / "run")
