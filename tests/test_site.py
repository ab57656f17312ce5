"""An installation's settings: who overrides whom, and what a misspelt one gets."""

from pathlib import Path

import pytest
from conftest import ROOT

from flows.settings import (
    Settings,
    as_environment,
    as_toml,
    check_settings,
    find_settings,
    load_settings,
    setting_types,
    variable,
)
from pipeline.errors import ConfigError, NotFoundError, PointerprintError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_anything_the_defaults_hold_in_the_working_folder(folder):
    site = load_settings(environ={})

    assert site.store == folder / "store"
    assert site.logs == (folder / "logs",)
    assert (site.budget, site.device, site.schedule.score) == (None, "auto", "0 2 * * *")


def test_a_flag_overrides_the_environment_and_that_the_file(folder):
    (folder / "etc").mkdir()
    file = folder / "etc" / "site.toml"
    file.write_text('store = "a"\nscores = "a"\nmodels = "a"\n[server]\nport = 4201\n')
    environ = {"POINTERPRINT_SCORES": "b", "POINTERPRINT_MODELS": "b", "POINTERPRINT_LOGS": "x,/y"}
    site = load_settings(file, ["models=c", "server.port=4300"], environ)

    assert site.store == folder / "etc" / "a"  # a file's paths are seen from its folder
    assert site.scores == folder / "b"
    assert site.models == folder / "c"
    assert site.drift == folder / "etc" / "drift"
    assert site.logs == (folder / "x", Path("/y"))
    assert site.server.port == 4300


def test_the_file_is_found_by_its_name_or_by_the_environment(folder):
    (folder / "pointerprint.toml").write_text("workers = 2\n")
    (folder / "other.toml").write_text("workers = 3\n")

    assert load_settings(environ={}).workers == 2
    assert load_settings(environ={"POINTERPRINT_SETTINGS": "other.toml"}).workers == 3
    with pytest.raises(NotFoundError, match=r"no\.toml: there is no such file"):
        load_settings(Path("no.toml"), environ={})


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('stor = "a"', r"site\.toml: there is no setting 'stor' \(hint: did you mean store\?"),
        ("[server]\nprot = 1", "no setting 'server.prot' .*did you mean server.port"),
        ("[run.canvas]\nsiez = 32", "did you mean run.canvas.size"),
        ("workers = 'two'", r"site\.toml: workers: 'two': input should be a valid integer"),
        ("workers = 0", "workers 0"),
        ("budget = 2", "budget: 2.0 .*a share between 0 and 1"),
        ('device = "gup"', "'gup': input should be .*did you mean 'gpu'"),
        ('[log]\nformat = "xml"', "log.format: 'xml'.*one of 'text' or 'json'"),
        ('[schedule]\nscore = "daily"', "schedule.score: 'daily' is not a cron schedule"),
        ('[schedule]\ntimezone = "Europe/Berln"', "did you mean Europe/Berlin"),
        ("[server]\nport = 0", "port 0"),
        ("[promote]\nlevel = 1", "promote: level 1.0"),
        ("[alarm]\nstrong_psi = 0.01", "alarm: psi 0.1 and 0.01"),
        ("[run.canvas]\nsize = 2", "canvas: size 2"),
        ("store =", "is not TOML"),
        ('logs = "a"', r"logs: '.*a': input should be a valid tuple"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_and_says_whose_it_is(folder, toml, message):
    (folder / "site.toml").write_text(toml)
    with pytest.raises(PointerprintError, match=message):
        load_settings(folder / "site.toml", environ={})


def test_a_misspelt_variable_is_refused_and_others_are_let_be():
    with pytest.raises(ConfigError, match="did you mean POINTERPRINT_STORE"):
        load_settings(environ={"POINTERPRINT_STOER": "a"})
    load_settings(environ={"POINTERPRINT_DATA": "a", "POINTERPRINT_QQQQ": "1", "PREFECT_HOME": "x"})


def test_a_misspelt_flag_is_refused():
    with pytest.raises(ConfigError, match=r"did you mean alarm\.chance"):
        load_settings(sets=["alarm.chnace=0.1"], environ={})
    with pytest.raises(ConfigError, match="'store' has no value"):
        load_settings(sets=["store"], environ={})


def test_a_process_elsewhere_gets_the_same_settings(folder, monkeypatch):
    environ = {"POINTERPRINT_STORE": "a", "POINTERPRINT_BUDGET": "0.05"}
    found = find_settings(None, ["run.train.epochs=3", "logs=one,two"], environ)
    told = as_environment(found)
    monkeypatch.chdir(ROOT)

    assert load_settings(environ=told) == check_settings(found)


def test_beside_a_file_only_what_overrides_it_is_passed_on(folder):
    (folder / "pointerprint.toml").write_text('store = "a"\n')
    found = find_settings(None, ["models=m"], {})
    assert as_environment(found) == {"POINTERPRINT_MODELS": str(folder / "m")}


def test_what_is_printed_is_what_it_may_come_from(folder):
    found = find_settings(None, ["store=a", "promote.min_gain=0.02"], {})
    (folder / "printed.toml").write_text(as_toml(check_settings(found), found))

    assert load_settings(Path("printed.toml"), environ={}) == check_settings(found)
    assert "min_gain = 0.02  # --set promote.min_gain" in (folder / "printed.toml").read_text()


def test_no_two_settings_share_a_variable():
    names = [variable(name) for name, _, _ in setting_types()]
    assert len(names) == len(set(names))


def test_logs_that_are_not_there_are_missed_at_the_start(folder):
    with pytest.raises(NotFoundError, match=r"logs: .*nowhere is not there"):
        Settings(logs=(folder / "nowhere",)).check_logs()
