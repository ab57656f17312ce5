"""Setting up a checkout: uv gets pip's settings, pip is the fallback, and a browser is found."""

import hashlib
import io
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import browser
import install
import pytest
from conftest import ROOT

LISTED = """\
:env:.find-links='/wheels'
:env:.disable-pip-version-check='1'
global.find-links='/other'
global.index-url='https://user:it%27s@mirror/simple'
global.extra-index-url='file:///a file:///b'
install.cert='/etc/ca.crt'
"""


def test_uv_gets_what_pip_is_set_to_and_the_environment_wins_over_a_file():
    environ = install.uv_environment(install.pip_settings(LISTED), {"PATH": "/bin"})
    assert environ == {
        "PATH": "/bin",
        "UV_DEFAULT_INDEX": "https://user:it%27s@mirror/simple",
        "UV_INDEX": "file:///a file:///b",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/wheels",
        "SSL_CERT_FILE": "/etc/ca.crt",
    }


def test_uvs_own_variables_win_over_pips():
    environ = install.uv_environment(
        {"index-url": "https://pip", "no-index": "true"}, {"UV_DEFAULT_INDEX": "https://uv"}
    )
    assert environ["UV_DEFAULT_INDEX"] == "https://uv"
    assert environ["UV_NO_INDEX"] == "1"


@pytest.mark.parametrize("failing", ["-qq", "uv"])
def test_pip_installs_where_uv_cant_be_had_or_fails(failing, monkeypatch):
    commands = []

    def run(command, **options):
        commands.append(command[2:])
        return subprocess.CompletedProcess(command, int(failing in command[2:5]), "", "")

    monkeypatch.setattr(install.subprocess, "run", run)
    monkeypatch.setattr(install.sys.stderr, "isatty", lambda: True, raising=False)

    assert install.main([".[dev]"]) == 0

    assert commands[-1] == [
        "pip",
        "install",
        "--constraint",
        "constraints.txt",
        "--editable",
        ".[dev]",
    ]
    assert sum(command[0] == "uv" for command in commands) == (failing == "uv")


def test_a_browser_that_is_named_is_taken(monkeypatch):
    monkeypatch.setenv("POINTERPRINT_CHROMIUM", "/opt/chrome")
    assert browser.find_chromium() == "/opt/chrome"


def test_without_a_browser_the_distributions_package_comes_first_and_failing_is_no_error(
    monkeypatch, capsys
):
    run = []
    monkeypatch.setattr(browser, "find_chromium", lambda: None)
    monkeypatch.setattr(browser, "find_recorder", lambda: Path("there"))
    monkeypatch.setattr(browser.os, "geteuid", lambda: 0, raising=False)
    monkeypatch.setattr(browser.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(
        browser.subprocess,
        "run",
        lambda command, **_: run.append(command) or subprocess.CompletedProcess(command, 1),
    )

    browser.main()

    assert [command[:2] for command in run] == [["apt-get", "update"], [sys.executable, "-m"]]
    assert browser.HINT in capsys.readouterr().err


def packing(content: bytes):
    """Return what stands in for `npm pack`: it leaves a package with this content."""

    def run(command, cwd, **_):
        with tarfile.open(Path(cwd, "rrweb-record-2.1.6.tgz"), "w:gz") as packed:
            member = tarfile.TarInfo("package/umd/record.min.js")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
        return subprocess.CompletedProcess(command, 0)

    return run


@pytest.fixture
def no_recorder(tmp_path, monkeypatch):
    """Have no file of rrweb, a Chromium, and an npm."""
    monkeypatch.delenv("POINTERPRINT_RRWEB", raising=False)
    monkeypatch.setattr(browser.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(browser, "find_chromium", lambda: "/opt/chrome")
    monkeypatch.setattr(browser.shutil, "which", lambda name: f"/usr/bin/{name}")
    return tmp_path


def test_rrwebs_file_is_taken_out_of_its_package(no_recorder, monkeypatch):
    monkeypatch.setattr(browser, "RECORDER_SHA256", hashlib.sha256(b"rrweb").hexdigest())
    monkeypatch.setattr(browser.subprocess, "run", packing(b"rrweb"))
    browser.main()

    assert browser.find_recorder().read_bytes() == b"rrweb"


def test_another_file_than_was_looked_at_is_not_taken(no_recorder, monkeypatch, capsys):
    monkeypatch.setattr(browser.subprocess, "run", packing(b"something else"))
    browser.main()

    assert browser.find_recorder() is None
    assert "is not the file it was" in capsys.readouterr().err


def test_without_npm_it_is_said_how_to_bring_rrweb(no_recorder, monkeypatch, capsys):
    monkeypatch.setattr(browser.shutil, "which", lambda _: None)
    browser.main()

    assert browser.find_recorder() is None
    assert browser.RECORDER_HINT in capsys.readouterr().err
    monkeypatch.setenv("POINTERPRINT_RRWEB", __file__)
    assert browser.find_recorder() == Path(__file__)


def test_help_names_each_target():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("setup", "demo", "test", "test-all", "check", "browser", "bench"):
        assert f"  make {target} " in done.stdout


def test_setting_up_is_never_silent_for_long(monkeypatch, capsys):
    monkeypatch.setattr(install, "SILENCE_S", 0.01)
    with install.shown_work():
        time.sleep(0.2)
    assert capsys.readouterr().err.startswith("setup: 0 s\nsetup: 0 s\n")
