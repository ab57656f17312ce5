"""From a folder of models and a store to a challenger, promoted if it is clearly better."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tiny import TINY, easy_store, untrained

from flows.jobs.days import each_day, monitor_day, score_day
from flows.jobs.draw import top_scores, top_sheet
from flows.jobs.monitor import drift_text, read_drift
from flows.jobs.progress import finish
from flows.jobs.retrain import Retrained, RetrainJob, retrain
from flows.jobs.tracking import track
from flows.settings import Settings
from model.comparison import NEW_TO_BOTH, UNTRAINED, choose_held_out, used_sessions
from model.config import OwnerConfig, PromotionConfig, RunConfig
from model.registry import add_run, promote, read_champion, rollback
from model.run import load_model, save_model
from pipeline.config import WindowConfig
from pipeline.errors import ConfigError, NotFoundError, SchemaError
from pipeline.monitoring.reference import read_reference
from pipeline.readers.common.limits import limited
from pipeline.sessions.feedback import add_feedback
from pipeline.splits.split import split_sessions
from pipeline.storage.publish import write_json
from pipeline.storage.records import record_json
from pipeline.storage.store import load_sessions, note_ingested

DAY = "2026-11-01"  # of the easy store
RULE = PromotionConfig(min_each=8, n_resamples=200, max_false_alarms=50.0)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Settings:
    """Return an installation with a store, and a champion that nobody trained."""
    folder = tmp_path_factory.mktemp("site")
    easy_store(folder / "store", n=128, people=32)
    run = folder / "run"
    save_model(untrained(TINY), run)
    write_json(
        {"sessions": {"train": [], "valid": [], "calib": [], "test": []}}, run / "split.json"
    )
    (run / "MODEL_CARD.md").write_text("# Untrained\n")
    (run / "_SUCCESS").touch()
    model_id = load_model(run).model_id
    add_run(folder / "models", run, model_id)
    promote(folder / "models", model_id, "begun")
    return Settings(
        logs=(folder,), store=folder / "store", scores=folder / "scores",
        models=folder / "models", drift=folder / "drift", run=TINY, promote=RULE,
    )  # fmt: skip


@pytest.fixture(scope="module")
def better(site) -> Retrained:
    """Return what came of training beside the untrained champion."""
    return finish(retrain(RetrainJob((site.store,), site.models, TINY, promotion=RULE)))


def test_a_model_that_learnt_takes_the_place_of_one_that_did_not(site, better):
    comparison = better.comparison

    assert better.is_champion
    assert read_champion(site.models).model_id == better.model_id == better.run.name
    assert comparison.held_out == NEW_TO_BOTH
    assert comparison.gain_low > 0
    card = (better.run / "MODEL_CARD.md").read_text()
    assert "## Beside the champion" in card
    assert "Promoted: a clear gain" in card
    assert json.loads((better.run / "comparison.json").read_text())["is_promoted"]
    assert not site.models.with_name("models.staging").exists()


def test_of_a_large_store_a_challenger_is_trained_and_compared_on_a_part(site):
    sessions = load_sessions([site.store])
    job = RetrainJob((site.store,), site.models, TINY, promotion=RULE, promote_when="never")
    with limited(training_events=int(sessions.n_events.sum() * 0.8)):
        found = finish(retrain(job))

    split = json.loads((found.run / "split.json").read_text())["sessions"]
    n_used = sum(len(of_partition) for of_partition in split.values())
    assert 0.7 * len(sessions) < n_used < 0.9 * len(sessions)
    assert found.comparison.held_out == NEW_TO_BOTH


def test_the_sessions_compared_on_are_new_to_both(site, better):
    sessions = load_sessions([site.store])
    split = split_sessions(sessions, replace(TINY.split, task="fraud", seed=TINY.seed))
    used = used_sessions(better.run)
    chosen, held_out = choose_held_out(sessions, split, used, 8)
    people = dict(zip(sessions.session_id, split.groups.person, strict=True))

    assert held_out.rule == NEW_TO_BOTH
    assert not used & set(chosen.session_id)
    legitimate = chosen.session_id[chosen.label == 0]
    assert not {people[name] for name in used} & {people[name] for name in legitimate} - {None}
    # A champion that knows every person from another session: only these sessions are left out.
    one_each = set(sessions.session_id[:64]) - set(chosen.session_id)
    _, known = choose_held_out(sessions, split, one_each, 10_000)
    assert known.rule == UNTRAINED


def test_going_back_is_one_step(site, better):
    first = read_champion(site.models).before[-1]
    assert rollback(site.models).model_id == first
    promote(site.models, better.model_id, "again")


def test_a_day_is_scored_by_the_champion_watched_and_drawn(site, better, tmp_path):
    partition = score_day(site, DAY)
    watched = read_drift(monitor_day(site, DAY))

    assert set(pd.read_parquet(partition)["model_id"]) == {better.model_id}
    assert {row["measure"] for row in watched.to_pylist()} > {"sessions", "fraud_score", "screen"}
    assert set(watched["model_id"].to_pylist()) == {better.model_id}
    assert "fraud_score" in drift_text(watched)
    manifest = json.loads((site.drift / f"run_date={DAY}" / "_manifest.json").read_text())
    assert Path(manifest["reference"]).name == better.model_id
    top = top_scores(partition, 5)
    assert top["fraud_score"].is_monotonic_decreasing
    sheet = top_sheet(partition, [site.store], better.run, tmp_path / "top.png", 5)
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_a_days_pictures_are_of_windows_as_the_task_cuts_them(site, better, tmp_path):
    partition = score_day(site, DAY)
    short = WindowConfig(max_events=8)

    def drawn(name: str, config: RunConfig) -> bytes:
        (tmp_path / name).mkdir()
        write_json(record_json(config), tmp_path / name / "config.json")
        sheet = top_sheet(partition, [site.store], tmp_path / name, tmp_path / f"{name}.png", 2)
        return sheet.read_bytes()

    of_owner = drawn("owner", replace(TINY, task="owner", owner=OwnerConfig(window=short)))
    assert of_owner == drawn("short", replace(TINY, window=short))
    assert of_owner != drawn("long", TINY)


def test_a_day_without_sessions_has_an_empty_partition_and_alarms(site, better):
    note_ingested(site.store, "2026-11-09", 0)
    partition = score_day(site, "2026-11-09")
    watched = read_drift(monitor_day(site, "2026-11-09"))

    assert pd.read_parquet(partition).empty
    assert watched["level"].to_pylist() == ["strong"]
    with pytest.raises(NotFoundError, match="the day isn't scored"):
        monitor_day(site, "2026-11-10")


def test_the_reference_is_of_legitimate_sessions(site, better):
    reference = read_reference(better.run)

    assert reference["n_events"].n == 128
    assert 0 < reference["fraud_score"].n < 128
    assert set(reference["abstain_reason"].counts) == {"judged"}


def test_feedback_of_analysts_changes_what_is_learnt(site, better, tmp_path):
    trained_on = json.loads((better.run / "split.json").read_text())["sessions"]["train"]
    name = next(name for name in trained_on if int(name[1:]) < 128)  # a person's
    (tmp_path / "labels.csv").write_text(f"session_id,label\n{name},unsure\n")
    score_day(site, DAY)
    add_feedback(site.scores, tmp_path / "labels.csv", pd.Timestamp("2026-11-02", tz="UTC"))
    job = RetrainJob(
        (site.store,), site.models, TINY, feedback=(site.scores,), promotion=RULE,
        promote_when="never",
    )  # fmt: skip
    found = finish(retrain(job))
    split = json.loads((found.run / "split.json").read_text())["sessions"]

    assert found.model_id != better.model_id
    assert name not in {other for part in split.values() for other in part}
    assert not found.is_champion
    assert "promotion was set to 'never'" in found.why
    assert read_champion(site.models).model_id == better.model_id


def test_a_training_is_tracked_where_it_was_asked_for(better, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="no mlflow: install the extra `mlflow`")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    run = mlflow.MlflowClient(tracking_uri=uri).get_run(track(uri, better))

    assert run.data.tags["model_id"] == better.model_id
    assert run.data.params["canvas.size"] == "16"
    assert run.data.metrics["gain_over_champion"] == pytest.approx(better.comparison.gain)


def test_without_mlflow_asking_for_it_says_what_to_install(better, monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(ConfigError, match="MLflow is not installed"):
        track("sqlite://", better)


def test_what_a_champion_was_trained_on_has_to_be_known(tmp_path):
    with pytest.raises(SchemaError, match="isn't known"):
        used_sessions(tmp_path)


def test_days_are_counted_with_both_ends():
    assert list(each_day("2026-02-27", "2026-03-01")) == ["2026-02-27", "2026-02-28", "2026-03-01"]
    with pytest.raises(ConfigError, match="2026-02-01 is before"):
        list(each_day("2026-03-01", "2026-02-01"))
