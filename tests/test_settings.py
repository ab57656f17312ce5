"""The settings: which source counts before which, and what a misspelt one gets."""

import os
from dataclasses import fields, replace
from pathlib import Path

import pytest
from conftest import ROOT

from flows.prefect.environment import process_environment
from flows.settings import (
    Settings,
    as_environment,
    check_settings,
    find_run_settings,
    find_settings,
    known_settings,
    load_settings,
    settings_json,
    settings_toml,
    variable,
)
from pipeline.errors import ConfigError, NotFoundError, PointerprintError
from pipeline.readers.common.limits import Limits


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("POINTERPRINT_")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def environ(monkeypatch):
    """Return a function that sets environment variables."""

    def set_variables(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_variables


def test_without_anything_the_defaults_hold_in_the_working_folder(folder):
    settings = load_settings()

    assert settings.store == folder / "store"
    assert settings.logs == (folder / "logs",)
    assert (settings.budget, settings.device, settings.schedule.score) == (
        None,
        "auto",
        "0 2 * * *",
    )


def test_a_flag_overrides_the_environment_and_that_the_file(folder, environ):
    (folder / "etc").mkdir()
    file = folder / "etc" / "site.toml"
    file.write_text('store = "a"\nscores = "a"\nmodels = "a"\n[server]\nport = 4201\n')
    environ(POINTERPRINT_SCORES="b", POINTERPRINT_MODELS="b", POINTERPRINT_LOGS="x,/y")
    environ(POINTERPRINT_SERVER__RUNS_AT_ONCE="3", POINTERPRINT_RUN__NETWORK__WIDTHS="[8, 16]")
    settings = load_settings(file, ["models=c", "server.port=4300"])

    assert settings.store == folder / "etc" / "a"  # a file's paths are seen from its folder
    assert settings.scores == folder / "b"
    assert settings.models == folder / "c"
    assert settings.drift == folder / "etc" / "drift"
    assert settings.logs == (folder / "x", Path("/y"))
    assert (settings.server.port, settings.server.runs_at_once) == (4300, 3)
    assert settings.run.network.widths == (8, 16)


def test_the_file_is_found_by_its_name_or_by_the_environment(folder, environ):
    (folder / "pointerprint.toml").write_text("workers = 2\n")
    (folder / "other.toml").write_text("workers = 3\n")

    assert load_settings().workers == 2
    environ(POINTERPRINT_SETTINGS="other.toml")
    assert load_settings().workers == 3
    with pytest.raises(NotFoundError, match=r"no\.toml: there is no such file"):
        load_settings(Path("no.toml"))


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('stor = "a"', r"site\.toml: there is no setting 'stor' \(hint: did you mean store\?"),
        ("[server]\nprot = 1", "no setting 'server.prot' .*did you mean server.port"),
        ("[run.canvas]\nsiez = 32", "did you mean run.canvas.size"),
        ("workers = 'two'", r"site\.toml: workers: 'two': input should be a valid integer"),
        ("workers = 0", r"site\.toml: workers: 0: input should be greater than or equal to 1"),
        ("budget = 2", "budget: 2: input should be less than 1"),
        ('device = "gup"', "'gup': input should be .*did you mean 'gpu'"),
        ('[log]\nformat = "xml"', "log.format: 'xml'.*one of 'text' or 'json'"),
        ('[schedule]\nscore = "daily"', "schedule.score: 'daily' is not a cron schedule"),
        ('[schedule]\ntimezone = "Europe/Berln"', "did you mean Europe/Berlin"),
        ("[server]\nport = 0", "server.port: 0: input should be greater than 0"),
        ("[promote]\nlevel = 1", "promote: level 1.0"),
        ("[alarm]\nstrong_psi = 0.01", "alarm: psi 0.1 and 0.01"),
        ("[run.canvas]\nsize = 2", "canvas: size 2"),
        ("store =", "is not TOML"),
        ("store = 3", "store: 3 is not a path"),
        ('logs = "a"', r"logs: '.*a': input should be a valid tuple"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_and_says_whose_it_is(folder, toml, message):
    (folder / "site.toml").write_text(toml)
    with pytest.raises(PointerprintError, match=message):
        load_settings(folder / "site.toml")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("POINTERPRINT_STOER", "POINTERPRINT_STORE"),
        ("POINTERPRINT_SERVER__PROT", "POINTERPRINT_SERVER__PORT"),
        ("POINTERPRINT_SERVER_PORT", "POINTERPRINT_SERVER__PORT"),  # as it was called in 0.1
        ("POINTERPRINT_RUN_TRAIN_EPOCHS", "POINTERPRINT_RUN__TRAIN__EPOCHS"),
    ],
)
def test_a_misspelt_variable_is_refused(environ, name, meant):
    environ(**{name: "1"})
    with pytest.raises(ConfigError, match=f"{name}: .*did you mean {meant}"):
        load_settings()


def test_variables_that_are_no_settings_are_let_be(environ):
    environ(POINTERPRINT_DATA="a", POINTERPRINT_QQQQ="1", PREFECT_HOME="x")
    environ(**{f"POINTERPRINT_LIMIT_{one.name.upper()}": "9" for one in fields(Limits)})
    load_settings()


def test_a_misspelt_flag_is_refused():
    with pytest.raises(ConfigError, match=r"did you mean alarm\.chance"):
        load_settings(sets=["alarm.chnace=0.1"])
    with pytest.raises(ConfigError, match="'store' has no value"):
        load_settings(sets=["store"])


def test_a_process_elsewhere_gets_the_same_settings(environ, monkeypatch):
    environ(POINTERPRINT_STORE="a", POINTERPRINT_BUDGET="0.05")
    found = find_settings(None, ["run.train.epochs=3", "logs=one,two"])
    expected = check_settings(found)
    monkeypatch.chdir(ROOT)
    environ(**as_environment(found))

    assert load_settings() == expected


def test_beside_a_file_only_what_overrides_it_is_passed_on(folder):
    (folder / "pointerprint.toml").write_text('store = "a"\n')
    found = find_settings(None, ["models=m"])
    assert as_environment(found) == {"POINTERPRINT_MODELS": str(folder / "m")}


def test_limits_reach_the_processes_of_serve(environ):
    environ(POINTERPRINT_LIMIT_TRAINING_EVENTS="9", POINTERPRINT_STORE="a")
    found = find_settings()
    passed = process_environment(check_settings(found), found, "http://127.0.0.1:4200/api", None)
    assert passed["POINTERPRINT_LIMIT_TRAINING_EVENTS"] == "9"
    assert Path(passed["POINTERPRINT_STORE"]).is_absolute()


def test_what_is_printed_can_be_used_again(folder):
    found = find_settings(None, ["store=a", "promote.min_gain=0.02", "run.augment.mirror=false"])
    settings = check_settings(found)
    (folder / "printed.toml").write_text(settings_toml(settings, found))

    assert load_settings(Path("printed.toml")) == settings
    assert find_run_settings(Path("printed.toml"))["augment.mirror"].value is False


def test_every_setting_is_printed_with_what_it_is_for_and_where_it_came_from(folder, environ):
    (folder / "pointerprint.toml").write_text("workers = 3\n")
    environ(POINTERPRINT_LOG__LEVEL="error")
    found = find_settings(None, ["promote.min_gain=0.02"])
    content = settings_json(check_settings(found), found)

    origins = {name: about["origin"] for name, about in content.items()}
    assert {name: origin for name, origin in origins.items() if origin != "default"} == {
        "workers": "file", "log.level": "variable", "promote.min_gain": "flag",
    }  # fmt: skip
    assert [name for name, about in content.items() if not about["description"]] == []
    assert content["run.window.min_events"] == {
        "value": 8, "origin": "default", "source": "default",
        "description": "A shorter window is not scored.",
    }  # fmt: skip
    text = settings_toml(check_settings(found), found)
    file = f"{folder}/pointerprint.toml"
    assert f"workers = 3  # Processes that score at the same time. ({file}: workers)" in text
    assert 'level = "error"  # Lowest level that is logged. (POINTERPRINT_LOG__LEVEL)' in text
    assert "(--set promote.min_gain)" in text


@pytest.mark.parametrize("toml", ["[run.canvas]\nsize = 32", "[canvas]\nsize = 32"])
def test_a_trainings_file_is_a_settings_file_or_its_run_alone(folder, environ, toml):
    (folder / "run.toml").write_text(toml)
    environ(POINTERPRINT_RUN__SEED="7")
    found = find_run_settings(folder / "run.toml")
    assert {name: setting.value for name, setting in found.items()} == {
        "canvas.size": 32, "seed": "7",
    }  # fmt: skip


def test_no_two_settings_share_a_variable():
    names = [variable(name) for name in known_settings()]
    assert len(names) == len(set(names))


def test_the_known_settings_are_the_fields():
    settings = replace(Settings(), run=replace(Settings().run, seed=3))
    found = find_settings(None, ["run.seed=3"])
    assert check_settings(found).run == settings.run
    assert len(known_settings()) > 100


def test_logs_that_are_not_there_are_missed_at_the_start(folder):
    with pytest.raises(NotFoundError, match=r"logs: .*nowhere is not there"):
        Settings(logs=(folder / "nowhere",)).check_logs()
