"""Models side by side: one is champion, and going back is one step."""

import json
import os
import shutil
import threading

import pytest
from tiny import TINY, untrained

from model.registry import (
    add_run,
    list_models,
    promote,
    read_champion,
    resolve_run,
    rollback,
)
from model.run import load_model, save_model
from pipeline.errors import DataError, NotFoundError, SchemaError
from pipeline.storage.publish import write_json


@pytest.fixture
def models(tmp_path):
    """Return a registry of three models, of which none is champion; ids say their age."""
    folder = tmp_path / "models"
    for age, name in enumerate(["first", "second", "third"]):
        run = folder / name
        write_json({"task": "fraud"}, run / "config.json")
        write_json({"overall": {"roc_auc": {"value": 0.9, "low": 0.8, "high": 0.95}}}, run / "m")
        (run / "m").rename(run / "metrics.json")
        (run / "_SUCCESS").touch()
        os.utime(run / "config.json", (age, age))
    return folder


def champion(models):
    return read_champion(models).model_id


def test_without_a_champion_nothing_scores(models):
    with pytest.raises(NotFoundError, match="no model is champion yet"):
        resolve_run(models)
    assert read_champion(models) is None


def test_the_champion_is_what_the_folder_of_models_stands_for(models):
    promote(models, "first", "begun")
    promote(models, "third", "better")

    assert resolve_run(models) == models / "third"
    assert resolve_run(models / "first") == models / "first"
    assert [entry.is_champion for entry in list_models(models)] == [False, False, True]
    assert [entry.model_id for entry in list_models(models)] == ["first", "second", "third"]
    assert next(list_models(models)).roc_auc_low == 0.8


def test_rolling_back_goes_one_back_and_again_one_more(models):
    for name in ("first", "second", "third"):
        promote(models, name, "better")
    rollback(models)
    assert champion(models) == "second"
    rollback(models)
    assert champion(models) == "first"
    with pytest.raises(DataError, match="no earlier champion"):
        rollback(models)
    assert [change.model_id for change in read_champion(models).changes] == [
        *("first", "second", "third", "second", "first"),
    ]


def test_promoting_the_champion_changes_nothing(models):
    promote(models, "first", "begun")
    before = (models / "champion.json").read_bytes()
    promote(models, "first", "again")
    assert (models / "champion.json").read_bytes() == before


def test_a_misspelt_model_is_refused_with_a_suggestion(models):
    with pytest.raises(NotFoundError, match="did you mean second"):
        promote(models, "secnod", "")


def test_a_champion_that_is_gone_or_unreadable_is_an_error(models):
    promote(models, "first", "begun")
    shutil.rmtree(models / "first")
    with pytest.raises(NotFoundError, match="'first' is not there"):
        resolve_run(models)
    (models / "champion.json").write_text("{}")
    with pytest.raises(SchemaError, match=r"champion\.json: model_id: Field required"):
        resolve_run(models)


def test_whoever_reads_sees_one_champion_or_the_other(models):
    promote(models, "first", "begun")
    stop, seen = threading.Event(), set()

    def read():
        while not stop.is_set():
            seen.add(resolve_run(models).name)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(60):
        promote(models, ("second", "first")[number % 2], "to and fro")
    stop.set()
    reader.join()
    assert seen <= {"first", "second"}
    assert len(seen) == 2


def test_a_run_comes_in_under_its_id_and_scores(tmp_path):
    run, models = tmp_path / "run", tmp_path / "models"
    save_model(untrained(TINY), run)
    model_id = load_model(run).model_id
    with pytest.raises(NotFoundError, match="no finished training"):
        add_run(models, run, model_id)
    (run / "_SUCCESS").touch()
    assert add_run(models, run, model_id) == add_run(models, run, model_id) == models / model_id
    promote(models, model_id, "begun")

    assert load_model(models).model_id == model_id
    assert not (tmp_path / "models.staging").exists()


@pytest.mark.parametrize("elsewhere", ["../outside", "/tmp", "", "."])
def test_a_champion_that_is_a_way_to_another_folder_is_refused(tmp_path, elsewhere):
    models, outside = tmp_path / "models", tmp_path / "outside"
    for folder in (models / "a", outside):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    pointer = {"model_id": elsewhere, "before": [], "changes": []}
    (models / "champion.json").write_text(json.dumps(pointer))
    with pytest.raises(NotFoundError, match="is not there"):
        resolve_run(models)
