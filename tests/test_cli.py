"""The command line: exit codes, what goes to stdout and what to stderr."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace

import pandas as pd
import pytest
from conftest import ROOT
from tiny import TINY, untrained

import flows.cli
from flows import console
from flows.cli import app, main
from flows.jobs.inputs import today
from model.config import RunConfig
from model.run import save_model
from pipeline.errors import ConfigError
from pipeline.readers.common.columns import parse_columns
from pipeline.storage.records import record_json
from rasterize.canvas import Canvas

LOG = "sid,when,left,top\n" + "".join(f"a,{i * 10},{i * i},{i}\n" for i in range(20))
COLUMNS = "session_id=sid,t_ms=when,x=left,y=top"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in a folder with a log whose columns have other names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")  # no message is broken into lines
    monkeypatch.setattr(flows.cli, "_prepare", lambda *_: None)  # JAX runs here already
    (tmp_path / "log.csv").write_text(LOG)
    return tmp_path


@pytest.fixture
def run(capsys):
    """Return a function that gives the exit code, stdout and stderr of a command line."""

    def call(*arguments):
        code = 0
        try:
            main(list(map(str, arguments)))
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ingest no.csv --to store", "no.csv: there is no such file or folder"),
        ("ingest log.csv --to store", "missing column(s) t_ms, x, y; found sid, when"),
        ("ingest log.csv --to store --columns session_id", "has no name on both sides"),
        ("ingest log.csv --to store --date 1.11.2026", "'1.11.2026' is not a date"),
        ("ingest log.csv --to store --labels no.csv", "no such labels file"),
        ("draw log.csv --to a.png --limit 0", "limit is 0"),
        ("draw log.csv --to a.png --print --large", "--print and --large (hint: choose one"),
        ("draw log.csv --to a.png --session a --session b", "--print compares two"),
        (f"draw log.csv --to a.png --print --session b --columns {COLUMNS}", "no session 'b'"),
        ("simulate store --to bots", "there is no store here"),
        ("train store --to model", "there is no store here"),
        ("train store --to model --canvas.size 2", "canvas: size 2"),
        ("train store --to model --config no.toml", "no.toml: there is no such file"),
        ("score log.csv --model model --to scores", "model: there is no trained model here"),
        ("evaluate scores --labels no.csv", "there are no scores here"),
        ("demo --sample-data no", "no sample data here"),
        ("label store --from no.csv", "no.csv: there is no such file"),
        ("models promote x", "unknown model 'x'; there are 0"),
        ("models rollback", "there is no earlier champion"),
        ("settings --set stor=a", "did you mean store?"),
        ("settings --settings no.toml", "no.toml: there is no such file"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_1(run, line, message):
    code, out, err = run(*line.split())

    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("scor log.csv", 'Unknown command "scor". Did you mean "score"?'),
        ("ingest log.csv --too store", "Did you mean --to?"),
        ("ingest log.csv", "--to"),
        ("ingest --to store", "name at least one"),
        ("ingest log.csv --to store --format cvs", 'Did you mean "csv"?'),
        ("train --to model", "name at least one"),
        ("train store --to model --train.epohcs 3", "Did you mean --train.epochs?"),
        ("train store --to model --train.epochs many", "many"),
        ("score --model model --to scores", "name at least one"),
    ],
)
def test_wrong_usage_is_2(run, line, message):
    code, out, err = run(*line.split())

    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize("option", ["--config run.toml", "--config=run.toml", ""])
@pytest.mark.parametrize(
    ("toml", "code", "message"),
    [
        ("[canvas]\nsiez = 32", 1, "did you mean run.canvas.size?"),
        ("[trian]\nepochs = 3", 1, "did you mean run.train.epochs?"),
        ("[canvas", 1, "it is not TOML"),
        ("[train]\nepochs = 'many'", 2, "many"),
    ],
)
def test_a_wrong_setting_in_a_file_is_refused_wherever_the_file_is_named(
    run, folder, option, toml, code, message
):
    name = "run.toml" if option else "pointerprint.toml"
    (folder / name).write_text(toml if option else toml.replace("[", "[run."))
    status, out, err = run("train", "store", "--to", "model", *option.split())

    assert (status, out) == (code, "")
    assert message in " ".join(err.replace("│", " ").split())  # wherever a long path breaks it
    assert name in err


FILE = "{first}[{run}canvas]\nsize = 32\n[{run}train]\nepochs = 3\npatience = 2\n"
WITH_RUN = FILE.format(first="workers = 2\n", run="run.")


@pytest.mark.parametrize(
    ("option", "name", "toml"),
    [
        ("--config run.toml", "run.toml", FILE.format(first="", run="")),
        ("--config=run.toml", "run.toml", FILE.format(first="", run="")),
        ("--config run.toml", "run.toml", WITH_RUN),
        ("", "pointerprint.toml", WITH_RUN),
    ],
)
def test_the_command_line_counts_before_the_file_and_the_file_before_the_defaults(
    run, folder, monkeypatch, option, name, toml
):
    jobs = []
    (folder / name).write_text(toml)
    monkeypatch.setattr("flows.jobs.train.train", stand_in(jobs))
    monkeypatch.setattr("model.text.evaluation_text", str)
    monkeypatch.setenv("POINTERPRINT_RUN__SIMULATE__PER_SESSION", "5")
    code, out, _ = run(
        "train", "store", "--to", "model", *option.split(), "--train.epochs", 4, "--simulate"
    )

    assert (code, out) == (0, "figures\nmodel\n")
    (job,) = jobs
    assert ([str(path) for path in job.stores], str(job.to)) == (["store"], "model")
    config = job.config
    assert (config.canvas.size, config.train.epochs, config.train.patience) == (32, 4, 2)
    assert (config.seed, config.simulate.per_session) == (0, 5)
    assert (job.simulate, job.resume) == (True, False)


def stand_in(calls: list):
    """Return a training that writes down its job and gives "figures"."""

    def train(job):
        calls.append(job)
        yield from ()
        return "figures"

    return train


def test_ingest_ends_with_the_store_and_reports_progress_elsewhere(run):
    code, out, err = run("ingest", "log.csv", "--to", "store", "--columns", COLUMNS)

    assert code == 0
    assert out.splitlines() == [
        "1 files (csv 1): 20 rows, 20 events in 1 sessions",
        "read: sessions by `sid`, t_ms=when, x=left, y=top",
        "recorder: 10 ms whole px move (1 sessions)",
        "store",
    ]
    assert err == "reading: 1 of 1 files\n"


def test_ingest_gives_json_and_knows_a_file_again(run):
    arguments = ("ingest", "log.csv", "--to", "store", "--columns", COLUMNS, "--json")
    first, again = (json.loads(run(*arguments)[1]) for _ in range(2))

    assert (first["n_rows"], first["n_sessions"], first["n_files_skipped"]) == (20, 1, 0)
    assert (again["n_rows"], again["n_files_skipped"]) == (0, 1)


def test_score_prints_the_partition_and_nothing_else(run, folder):
    save_model(untrained(TINY), folder / "model")
    code, out, err = run(
        *("score", "log.csv", "--model", "model", "--to", "scores"),
        *("--date", "2026-11-01", "--columns", COLUMNS),
    )

    assert (code, out) == (0, "scores/run_date=2026-11-01\n")
    shown, told, counts = err.splitlines()
    assert shown == "scoring: 1 sessions"
    figures = r"1 sessions in [\d.]+ s, [\d,]+ a second; memory up to [\d,]+ MiB"
    assert re.fullmatch(rf"{figures}(, a worker [\d,]+ MiB)?", told)  # tests before left children
    assert counts == "1 sessions: 0 flagged, 0 for review"
    assert (folder / "scores" / "run_date=2026-11-01" / "_SUCCESS").exists()


def test_labels_are_fed_back_and_counted(run, folder):
    run("ingest", "log.csv", "--to", "store", "--columns", COLUMNS)
    (folder / "labels.csv").write_text("session_id,label\na,fraud\nb,1\n")
    code, out, _ = run("label", "store", "--from", "labels.csv")

    assert code == 0
    assert out == (
        "1 labels added: 1 fraud, 0 legitimate, 0 unsure; 0 known before\n"
        "1 unknown sessions: 'b'\nstore.feedback\n"
    )
    assert json.loads(run("label", "store", "--from", "labels.csv", "--json")[1])["n_same"] == 1


def test_a_model_is_promoted_scores_and_is_rolled_back(run, folder):
    ids = []
    for seed in (1, 2):
        save_model(untrained(replace(TINY, seed=seed)), folder / f"run{seed}")
        (folder / f"run{seed}" / "_SUCCESS").touch()
        code, out, _ = run("models", "promote", f"run{seed}")
        assert code == 0
        ids.append(out.strip().rpartition("/")[2])
    listed = json.loads(run("models", "list", "--json")[1])
    assert [(entry["model_id"], entry["is_champion"]) for entry in listed] == [
        *((ids[0], False), (ids[1], True)),
    ]
    assert f"* {ids[1]}  fraud" in run("models", "list")[1]
    run("models", "rollback")
    run("score", "log.csv", "--model", "models", "--to", "scores", "--columns", COLUMNS)

    (partition,) = (folder / "scores").iterdir()
    assert set(pd.read_parquet(partition)["model_id"]) == {ids[0]}


def test_settings_are_printed_as_toml_and_json(run, folder):
    (folder / "pointerprint.toml").write_text("workers = 3\n")
    code, out, err = run("settings", "--set", "budget=0.05")

    assert (code, err) == (0, "")
    file = f"{folder}/pointerprint.toml"
    assert f"workers = 3  # Processes that score at the same time. ({file}: workers)" in out
    assert re.search(r"^budget = 0.05  # .*\(--set budget\)$", out, re.MULTILINE)
    assert tomllib.loads(out)["run"] == record_json(RunConfig())
    assert json.loads(run("settings", "--json")[1])["workers"]["value"] == 3


def test_draw_prints_the_picture(run, folder):
    code, out, err = run("draw", "log.csv", "--to", "a.png", "--columns", COLUMNS)

    assert (code, out, err) == (0, "a.png\n", "")
    assert (folder / "a.png").read_bytes().startswith(b"\x89PNG")


def test_draw_prints_the_picture_of_a_print(run, folder):
    for ids in ((), ("--session", "a"), ("--session", "a", "--session", "a")):
        code, out, err = run(
            "draw", "log.csv", "--to", "p.png", "--print", *ids, "--columns", COLUMNS
        )
        assert (code, out, err) == (0, "p.png\n", "")
        assert (folder / "p.png").read_bytes().startswith(b"\x89PNG")


def test_columns_map_our_names_to_the_logs():
    assert parse_columns("session_id=visit, t_s = at=0") == {"session_id": "visit", "t_s": "at=0"}
    assert parse_columns(None) == {}
    for wrong in ("x", "x=", "=x", "x=a,,y=b"):
        with pytest.raises(ConfigError, match="no name on both sides"):
            parse_columns(wrong)


def test_python_m_flows_is_the_command_line(folder):
    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "flows", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    wrong, version = call("ingest", folder / "no.csv", "--to", folder / "store"), call("--version")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr == f"error: {folder}/no.csv: there is no such file or folder\n"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    hint = "what is installed is not this checkout: make setup"
    assert (version.returncode, version.stdout) == (0, f"{project['version']}\n"), hint


SLOW = {"numpy", "pandas", "pyarrow", "jax", "prefect", "scipy", "duckdb", "matplotlib", "PIL"}


@pytest.mark.parametrize("line", ["--help", "train --help", "--version", "settings", "scor"])
def test_help_waits_for_nothing_slow(line):
    code = (
        "import sys\n"
        "from flows.cli import main\n"
        "try:\n"
        f"    main({line.split()!r})\n"
        "except SystemExit:\n"
        "    pass\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(re.findall(r"'([^']+)'", found.stdout.splitlines()[-1]))
    assert "cyclopts" in loaded
    assert not loaded & SLOW


@pytest.mark.parametrize("command", [name for name in app if not name.startswith("-")])
def test_every_help_page_fits_a_screen(run, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "100")
    code, out, _ = run(command, "--help")

    assert code == 0
    assert len(out.splitlines()) <= 50


def test_quiet_shows_no_progress(run):
    arguments = ("ingest", "log.csv", "--to", "store", "--columns", COLUMNS)
    code, out, err = run(*arguments, "--quiet")

    assert (code, err) == (0, "")
    assert out.endswith("store\n")
    code, _, err = run("ingest", "no.csv", "--to", "store", "--quiet")
    assert (code, err.count("\n")) == (1, 1)  # an error is no progress
    assert run(*arguments, "--date", "2026-11-02")[2] != ""  # and it isn't quiet for ever


def test_printed_settings_are_taken_as_config(run, folder, monkeypatch):
    jobs = []
    monkeypatch.setattr("flows.jobs.train.train", stand_in(jobs))
    monkeypatch.setattr("model.text.evaluation_text", str)
    code, out, _ = run("settings", "--set", "run.canvas.size=32", "--set", "run.task=owner")
    assert code == 0
    (folder / "run.toml").write_text(out)
    code, _, err = run("train", "store", "--to", "model", "--config", "run.toml")

    assert (code, err) == (0, "")
    assert jobs[0].config == RunConfig(task="owner", canvas=Canvas(size=32))


def test_info_says_what_would_be_used(run):
    found = json.loads(run("info", "--json")[1])
    assert found["packages"]["jax"]
    assert found["devices"][0]["platform"] == found["used"]["backend"]
    text = run("info")[1]
    assert found["packages"]["jax"] in text
    assert f"{found['used']['processors']} processors" in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(run, shell):
    code, out, _ = run("completion", shell)
    assert code == 0
    assert all(name in out for name in ("ingest", "score", "--labels"))


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """Return what a command line shows on a terminal."""
    ours, theirs = pty.openpty()
    keep = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        [sys.executable, "-m", "flows", *arguments],
        cwd=ROOT, env=keep | {"TERM": "xterm-256color"} | environment, stdout=theirs, stderr=theirs,
    ) as program:  # fmt: skip
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        program.wait()
    os.close(ours)
    return shown.decode()


COLOR = re.compile(r"\x1b\[[\d;]*(3[0-7]|38)[\d;]*m")


def test_colour_is_for_terminals_that_want_it():
    assert COLOR.search(on_a_terminal("--help"))
    assert not COLOR.search(on_a_terminal("--help", NO_COLOR="1"))
    piped = subprocess.run(
        [sys.executable, "-m", "flows", "--help"], cwd=ROOT, capture_output=True, check=True
    )
    assert b"\x1b" not in piped.stdout


def test_a_day_is_one_of_the_settings_time_zone(run, folder):
    zones = "Pacific/Kiritimati", "Etc/GMT+12"  # 26 hours apart: never the same day
    days = []
    for name, zone in zip("ab", zones, strict=True):
        (folder / "pointerprint.toml").write_text(f"[schedule]\ntimezone = '{zone}'\n")
        assert run("ingest", "log.csv", "--columns", COLUMNS, "--to", name)[0] == 0
        (partition,) = (folder / name).iterdir()
        assert partition.name.removeprefix("ingest_date=") == today()
        days.append(partition.name)
    assert days[0] > days[1]


def test_a_job_that_cant_say_how_far_it_is_says_that_it_works(monkeypatch, capsys):
    monkeypatch.setattr(console, "SILENCE_S", 0.01)
    with console.shown_work("evaluating"):
        time.sleep(0.2)
    assert capsys.readouterr().err.startswith("evaluating: 0 s\nevaluating: 0 s\n")
    token = console.QUIET.set(True)
    with console.shown_work("evaluating"):
        time.sleep(0.1)
    console.QUIET.reset(token)
    assert capsys.readouterr().err == ""


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m flows settings | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 128 + signal.SIGPIPE)  # 0: it was written before `true` ended
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_the_peak_of_memory_is_the_processs_own_and_not_its_starters():
    held = bytearray(300 * 2**20)
    held[::4096] = b"1" * len(held[::4096])  # every page is there
    code = "from flows.console import own_peak_kb; print(own_peak_kb())"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert 0 < int(found.stdout) < 250 * 1024
