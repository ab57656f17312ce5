"""Nothing is overwritten or published by mistake, and the error names the way out."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conftest import make_sessions
from tiny import TINY, untrained

from flows.cli import main
from flows.jobs.days import is_scored, score_day
from flows.jobs.inputs import IngestJob, ingest
from flows.jobs.monitor import MonitorJob, monitor, read_drift
from flows.jobs.progress import finish
from flows.jobs.train import TrainJob, train
from flows.settings import Settings
from model.run import save_model
from pipeline.config import DriftConfig
from pipeline.errors import ConfigError, NotFoundError
from pipeline.monitoring.drift import strongest
from pipeline.monitoring.reference import session_measures, summarise, write_reference
from pipeline.schemas import PRINTS, QUARANTINE
from pipeline.scores.partitions import read_manifest
from pipeline.storage.publish import write_json, write_parquet
from pipeline.storage.store import Part, require_ingested, write_part

DAY, NEXT = "2026-11-01", "2026-11-02"
LOG = "session_id,t_ms,x,y\n" + "".join(f"a,{16 * i},{i * i},{9 * i}\n" for i in range(40))


@pytest.fixture
def site(tmp_path, run):
    """Return the settings of an installation into which a log was ingested on DAY."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.csv").write_text(LOG)
    settings = Settings(
        logs=(tmp_path / "logs",), store=tmp_path / "store", scores=tmp_path / "scores",
        drift=tmp_path / "drift", models=run,
    )  # fmt: skip
    ingest_on(settings, DAY)
    return settings


def ingest_on(settings, day):
    return finish(ingest(IngestJob(settings.logs, settings.store, day)))


def test_a_trained_model_is_replaced_by_force_alone(run):
    with pytest.raises(ConfigError, match=r"a trained model is there \(.*--force"):
        finish(train(TrainJob((run.parent / "store",), run, TINY)))
    with pytest.raises(NotFoundError, match="there is no store here"):
        finish(train(TrainJob((run.parent / "store",), run, TINY, force=True)))


def test_who_is_enrolled_is_counted_before_they_are_lost(run):
    row = {"account_id": "ann", "device": "", "session_ids": ["s"], "n_windows": 1}
    pixels = {"counts": [0.0], "images": [0.0]}
    write_parquet(pa.Table.from_pylist([row | pixels], PRINTS), run / "profiles" / "prints.parquet")
    with pytest.raises(ConfigError, match="with 1 enrolled profiles, which would be lost"):
        finish(train(TrainJob((run.parent / "store",), run, TINY)))


def test_what_is_no_model_is_never_replaced(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mine.txt").touch()
    for force in (False, True):
        with pytest.raises(ConfigError, match="something else than a RUN is there"):
            finish(train(TrainJob((tmp_path / "store",), tmp_path / "store", force=force)))


def test_a_misspelt_store_is_an_error_and_no_empty_day(site):
    wrong = replace(site, store=site.store.with_name("stroe"))
    with pytest.raises(NotFoundError, match=r"stroe: there is no store.*setting `store` right"):
        score_day(wrong, DAY)
    assert not site.scores.exists()


def test_a_day_is_empty_only_if_somebody_looked(site):
    with pytest.raises(NotFoundError, match=f"nothing was ingested on {NEXT}.*--date {NEXT}"):
        score_day(site, NEXT)
    assert not site.scores.exists()

    ingest_on(site, NEXT)  # the log is known: nothing new
    partition = score_day(site, NEXT)
    assert read_manifest(partition)["n_sessions"] == 0
    assert pd.read_parquet(partition).empty


def test_a_store_of_before_counts_as_ingested_into_where_it_has_files(tmp_path):
    sessions = make_sessions([(16 * i, i, i) for i in range(4)])
    empty = QUARANTINE.empty_table()
    write_part(Part(tmp_path / "store", DAY, "0"), [sessions], empty, {"files": []})
    write_part(Part(tmp_path / "store", NEXT, "1"), [sessions.take(np.zeros(0, int))], empty, {})

    require_ingested(tmp_path / "store", DAY)
    require_ingested(tmp_path / "store", NEXT)  # files without any session
    with pytest.raises(NotFoundError):
        require_ingested(tmp_path / "store", "2026-11-03")


def test_an_empty_day_is_missing_once_its_sessions_came(site):
    ingest_on(site, NEXT)
    score_day(site, NEXT)
    assert is_scored(site, NEXT)
    assert not is_scored(site, DAY)
    (site.logs[0] / "late.csv").write_text(LOG.replace("a,", "late,"))
    ingest_on(site, NEXT)
    assert not is_scored(site, NEXT)
    score_day(site, NEXT)
    assert is_scored(site, NEXT)


def test_backfill_does_the_days_it_can_and_says_which_not(site, monkeypatch, capsys):
    for name in ("store", "scores", "models"):
        monkeypatch.setenv(f"POINTERPRINT_{name.upper()}", str(getattr(site, name)))
    monkeypatch.setattr("flows.prefect.environment.find_url", lambda settings: None)
    with pytest.raises(SystemExit) as stopped:
        main(["backfill", "--start", DAY, "--end", NEXT])
    out, err = capsys.readouterr()

    assert stopped.value.code == 1
    assert out.strip() == str(site.scores / f"run_date={DAY}")
    assert f"{NEXT}: not done: {site.store}: nothing was ingested on {NEXT}" in err


def test_monitoring_alarms_on_an_empty_day(site, run):
    sessions = make_sessions(*[[(16 * i, i, i) for i in range(40)]] * 40)
    write_reference(summarise(session_measures(sessions), sessions.account_id), run)
    ingest_on(site, NEXT)
    score_day(site, NEXT)
    job = MonitorJob(site.store, site.scores, run, site.drift, NEXT, DriftConfig())

    assert strongest(read_drift(monitor(job))) == "strong"


@pytest.fixture
def installation(tmp_path, monkeypatch):
    """Return a working folder with a fraud and an owner model in it."""
    monkeypatch.chdir(tmp_path)
    for task in ("fraud", "owner"):
        save_model(untrained(), tmp_path / task)
        (tmp_path / task / "_SUCCESS").touch()
    file = tmp_path / "owner" / "config.json"
    write_json(json.loads(file.read_text()) | {"task": "owner"}, file)
    return tmp_path


def promote(*arguments: str) -> int:
    try:
        main(["models", "promote", *arguments])
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def test_an_owner_model_is_not_promoted_where_frauds_are_looked_for(installation, capsys):
    assert promote("owner") == 1
    said = capsys.readouterr().err
    assert "its task is owner, the settings' (`run.task`) is fraud" in said
    assert 'task = "owner"' in said
    assert "--force" in said
    assert not (installation / "models").exists()

    assert promote("fraud") == 0
    (installation / "pointerprint.toml").write_text('[run]\ntask = "owner"\n')
    assert promote("owner") == 1
    assert "the champion's is fraud" in capsys.readouterr().err
