"""The model that ships: it scores where there is no other, and every output says which it is."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from report_day import block
from test_recorder_levels import PAGE, labels_of, recorded_by, scored
from tiny import TINY, score_now, untrained

import flows.cli
import model.registry
from flows.cli import main
from flows.jobs.evaluate import EvaluateJob, evaluate
from flows.jobs.monitor import MonitorJob, monitor
from flows.jobs.progress import finish
from flows.jobs.report import ReportJob, report
from flows.prefect.artifacts import day_summary
from model.calibrate import RecorderLevel
from model.evaluate import evaluate_scores
from model.manifest import write_manifest
from model.model_card import fraud_card
from model.registry import STARTER, add_run, champion_or_starter, promote, resolve_run
from model.run import StarterMark, load_model, save_model
from pipeline.errors import NotFoundError, SchemaError
from pipeline.scores.partitions import read_manifest
from pipeline.scores.starter import (
    ADAPTED_STARTER_TEXT,
    STARTER_TEXT,
    starter_notes,
    starter_text,
)
from pipeline.splits.split import split_sessions

LOG = "session_id,t_ms,x,y\n" + "".join(f"a,{i * 16},{i * i % 97},{i}\n" for i in range(60))
MARK = StarterMark({"some_set": "somebody, MIT"})
DAY = "2026-11-01"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in a folder with a log and no models."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(flows.cli, "_prepare", lambda *_: None)  # JAX runs here already
    (tmp_path / "log.csv").write_text(LOG)
    return tmp_path


@pytest.fixture
def starter(folder, monkeypatch):
    """Have a model that nobody trained ship as the starter."""
    shipped = folder / "installed" / "starter"
    save_model(replace(untrained(), starter=MARK), shipped)
    monkeypatch.setattr(model.registry, "STARTER", shipped)
    return shipped


def run(line: str) -> int:
    """Return the exit code of a command line."""
    with pytest.raises(SystemExit) as stopped:
        main(line.split())
    return stopped.value.code


@pytest.fixture
def no_starter(folder, monkeypatch):
    """Have no model ship."""
    monkeypatch.setattr(model.registry, "STARTER", folder / "installed" / "none")


def test_without_a_model_a_log_is_scored_by_the_starter_and_that_is_said(starter, folder, capsys):
    assert run(f"score log.csv --to scores --date {DAY}") == 0
    out, err = capsys.readouterr()
    assert out.strip() == f"scores/run_date={DAY}"
    assert f"scoring with the starter model that ships: {folder}/models has no champion" in err
    assert STARTER_TEXT in err
    assert read_manifest(folder / out.strip())["is_starter"] is True
    assert pd.read_parquet(out.strip())["model_id"].tolist() == [load_model(starter).model_id]
    assert run(f"score log.csv --to scores --date {DAY} --json --quiet") == 0
    assert json.loads(capsys.readouterr().out)["is_starter"] is True


def test_the_champion_counts_before_the_starter(starter, folder, capsys):
    save_model(untrained(replace(TINY, seed=1)), folder / "run")
    (folder / "run" / "_SUCCESS").touch()
    add_run(folder / "models", folder / "run", "mine")
    assert champion_or_starter(folder / "models") == starter
    promote(folder / "models", "mine", "tests")
    assert run(f"score log.csv --to scores --date {DAY}") == 0
    err = capsys.readouterr().err
    assert f"scoring with the champion of {folder}/models" in err
    assert "starter" not in err
    assert read_manifest(folder / "scores" / f"run_date={DAY}")["is_starter"] is False


def test_without_a_champion_a_backfill_takes_the_starter_and_that_is_said(starter, folder, capsys):
    assert run(f"ingest log.csv --to store --date {DAY}") == 0
    assert run(f"backfill --start {DAY} --end {DAY}") == 0
    assert f"{folder}/models has no champion: the starter scores" in capsys.readouterr().err
    assert read_manifest(folder / "scores" / f"run_date={DAY}")["is_starter"] is True


def test_without_champion_and_starter_score_says_what_to_do(no_starter, folder, capsys):
    assert run("score log.csv --to scores") == 1
    assert "models has no champion (hint: name a RUN; or `pointerprint" in capsys.readouterr().err
    assert not (folder / "scores").exists()
    with pytest.raises(NotFoundError, match="no starter model ships with this version"):
        resolve_run(Path("starter"))


def test_any_command_takes_starter_for_a_model_unless_a_folder_has_that_name(starter, folder):
    assert resolve_run(Path("starter")) == starter
    assert load_model(Path("starter")).starter == MARK
    assert run("draw log.csv --model starter --to a.png") == 0
    assert (folder / "a.png").is_file()
    shutil.copytree(starter, folder / "starter")
    assert str(resolve_run(Path("starter"))) == "starter"


def test_the_mark_decides_no_score_and_stays_with_the_model(starter, folder):
    loaded = load_model(starter)
    assert loaded.model_id == untrained().model_id
    save_model(loaded, folder / "adapted")
    assert load_model(folder / "adapted").starter == MARK
    (starter / "starter.json").unlink()
    with pytest.raises(SchemaError, match=r"starter\.json is missing"):
        load_model(starter)


def test_the_report_says_it_and_finds_the_starter_where_it_is_now(starter, folder, monkeypatch):
    score_now([folder / "log.csv"], starter, folder / "scores", DAY)
    moved = shutil.move(starter, folder / "elsewhere")
    monkeypatch.setattr(model.registry, "STARTER", moved)
    (page,) = finish(report(ReportJob(folder / "scores", folder / "report.html")))
    shown = block(page.read_text(), "report")
    assert shown["starter"] == STARTER_TEXT
    assert shown["reference_print"] is None
    assert 'id="starter"' in page.read_text()


def test_figures_of_its_scores_say_it(starter, folder):
    save_model(untrained(), folder / "run")
    score_now([folder / "log.csv"], folder / "run", folder / "scores", "2026-10-31")
    labels = folder / "labels.csv"
    labels.write_text("session_id,label\na,0\n")
    assert not any("starter" in note for note in _notes(folder, labels))
    score_now([folder / "log.csv"], starter, folder / "scores", DAY)
    note = f"scores of {DAY} are by the {STARTER_TEXT}"
    assert _notes(folder, labels)[0] == note
    assert starter_notes(folder / "scores" / f"run_date={DAY}") == (note,)


def _notes(folder, labels):
    return evaluate(EvaluateJob(folder / "scores", labels)).notes


def test_its_card_and_figures_are_about_the_model_that_ships():
    shipped = load_model(STARTER).model_id
    assert (STARTER / "MODEL_CARD.md").read_text().startswith(f"# Model card: {shipped} ")
    assert json.loads((STARTER / "metrics.json").read_text())["model_ids"] == [shipped]


def test_its_card_says_it_first_and_names_its_recordings():
    sessions = recorded_by(PAGE, n_each=40)
    evaluation = evaluate_scores(scored(sessions), labels_of(sessions), n_resamples=2)
    split = split_sessions(sessions)
    card = fraud_card(replace(untrained(), starter=MARK), split, evaluation)
    assert card.splitlines()[0].endswith(" (starter model)")
    assert "- trained on some_set: somebody, MIT" in card
    assert "starter" not in fraud_card(untrained(), split, evaluation)


def test_monitoring_says_that_the_reference_is_not_the_sites(trained_run, folder, caplog):
    run = shutil.copytree(trained_run, folder / "run")
    score_now([folder / "log.csv"], run, folder / "scores", DAY)
    job = MonitorJob(folder / "store", folder / "scores", run, folder / "drift", DAY)
    assert read_manifest(monitor(job))["is_starter"] is False
    assert "starter" not in caplog.text
    save_model(replace(load_model(run), starter=MARK), folder / "marked")
    shutil.copy(folder / "marked" / "starter.json", run)
    write_manifest(run)
    assert read_manifest(monitor(job))["is_starter"] is True
    assert "the reference is the starter model's: its people, not yours" in caplog.text


def test_an_adapted_starter_says_whose_its_level_is(folder, caplog, trained_run):
    run = shutil.copytree(trained_run, folder / "run")
    level = RecorderLevel(0.5, 1.0, 200)
    levels = {"17 ms whole px move": level}
    save_model(replace(load_model(run), starter=MARK, levels=levels), folder / "adapted")
    shutil.copy(run / "reference.json", folder / "adapted")
    partition = score_now([folder / "log.csv"], folder / "adapted", folder / "scores", DAY)
    assert starter_text(read_manifest(partition)) == ADAPTED_STARTER_TEXT
    job = MonitorJob(folder / "store", folder / "scores", run, folder / "drift", DAY)
    assert read_manifest(monitor(job))["is_starter"] is False
    assert "not yours" not in caplog.text


def test_prefects_page_says_it(starter, folder):
    partition = score_now([folder / "log.csv"], starter, folder / "scores", DAY)
    assert f"| starter | {STARTER_TEXT} |" in day_summary(
        DAY, read_manifest(partition), partition, None
    )


def test_the_starter_that_ships_is_whole_small_and_says_what_it_is():
    shipped = model.registry.STARTER
    assert (shipped / "config.json").is_file()
    assert load_model(shipped).starter is not None
    files = [path for path in shipped.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 2_000_000
    card = (shipped / "MODEL_CARD.md").read_text()
    assert card.splitlines()[0].endswith(" (starter model)")
    assert "## On recordings that it has not seen" in card
    assert "MIT" in (shipped / "NOTICE.md").read_text()
