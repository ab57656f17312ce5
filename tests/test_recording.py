"""Recording as docs/recording.md has it: page, receiver and commands are run as they stand there.

Needs a Chromium and rrweb's file: `make browser` brings both.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pandas as pd
import pytest
from browser import HINT, RECORDER, RECORDER_HINT, find_chromium, find_recorder
from conftest import ROOT

import flows.cli
from flows.cli import main
from pipeline.storage.store import load_sessions

playwright = pytest.importorskip(
    "playwright.sync_api", reason="no Playwright: pip install -e .[dev]"
)
DOCS = (ROOT / "docs" / "recording.md").read_text()
PATH = [(100 + 4 * i, 300 + int(80 * (i % 50) / 50)) for i in range(200)]
SECRET = "31415 is typed"


def code(language: str) -> str:
    """Return the page's block of code in a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)
    return found


def commands(beginning: str) -> list[str]:
    """Return the indented commands of the page that begin so."""
    return [line.strip() for line in DOCS.splitlines() if line.startswith(f"    {beginning}")]


@contextmanager
def receiving(folder: Path) -> Iterator[int]:
    """Run the page's receiver in a folder; give its port."""
    names: dict = {}
    exec(compile(code("python"), "docs/recording.md", "exec"), names)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        server = names["serve"](0)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return a folder with a page that records, and rrweb's file where it says."""
    recorder = find_recorder()
    if recorder is None:
        pytest.skip(f"no rrweb: {RECORDER_HINT}")
    folder = tmp_path_factory.mktemp("site")
    (folder / "static").mkdir()
    (folder / "static" / "record.min.js").write_bytes(recorder.read_bytes())
    page = f"<!doctype html><body><p>Hello Ann</p><input><button>Send</button>{code('html')}"
    (folder / "page.html").write_text(page)
    (folder / "next.html").write_text("<!doctype html><p>Thanks")
    return folder


@pytest.fixture(scope="module")
def visited(site):
    """Visit the page: move, type, click and leave; return the folder and what went wrong."""
    chromium = find_chromium()
    if chromium is None:
        pytest.skip(f"no browser: {HINT}")
    errors = []
    with receiving(site) as port, playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1000, "height": 700})
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"http://127.0.0.1:{port}/page.html?secret=1")
        for x, y in PATH:
            page.mouse.move(x, y)
            page.wait_for_timeout(8)
        page.locator("input").fill(SECRET)
        page.locator("button").click()
        page.wait_for_timeout(600)  # positions are collected for half a second
        page.goto(f"http://127.0.0.1:{port}/next.html")  # who leaves sends what is left
        page.wait_for_timeout(300)
        browser.close()
    return site, errors


@pytest.fixture(scope="module")
def log(visited):
    """Return the log that the receiver wrote."""
    folder, errors = visited
    assert errors == []
    (log,) = (folder / "logs").glob("*.jsonl")
    return log


def test_the_page_names_the_file_that_defines_what_it_calls():
    package, version, name = RECORDER
    assert f"`{package}` {version}" in DOCS
    assert f"its file `{name}` defines `rrwebRecord`" in DOCS
    assert commands("npm") == [f"npm pack {package}@{version}"]
    assert "rrwebRecord.record({" in code("html")


def test_what_was_sent_is_the_pointer_alone(log):
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    events = [event for line in lines for event in line["events"]]

    assert len({line["session_id"] for line in lines}) == 1
    assert {event["type"] for event in events} == {3, 4}
    assert {event["data"].get("source") for event in events} <= {None, 1, 2, 3}
    for secret in (SECRET, "Hello Ann", "Thanks", "secret=1"):
        assert secret not in log.read_text()


def test_the_log_is_ingested_and_scored_by_the_commands_of_the_page(log, monkeypatch, capsys):
    monkeypatch.chdir(log.parent.parent)
    monkeypatch.setattr(flows.cli, "_prepare", lambda *_: None)  # JAX runs here already
    for line in commands("pointerprint"):
        with pytest.raises(SystemExit) as stopped:
            main(line.split()[1:])
        assert stopped.value.code == 0, capsys.readouterr().err

    sessions = load_sessions([Path("out/store")])
    assert len(sessions) == 1
    found = set(zip(sessions.x_px.tolist(), sessions.y_px.tolist(), strict=True))
    assert len(found & set(PATH)) > 0.4 * len(PATH)  # one each 16 ms, of moves that come faster
    assert len(found - set(PATH)) <= 2  # and where the button is
    assert int(sessions.viewport_width[0]) == 1000
    (row,) = pd.read_parquet("out/scores").to_dict("records")
    assert 0 <= row["fraud_score"] <= 1
    assert row["recorder"] is not None


@pytest.mark.parametrize(
    ("to", "size", "body", "status"),
    [
        ("/pointer-log", 0, b"", 400),
        ("/pointer-log", (1 << 17) + 1, b"", 400),
        ("/elsewhere", 1, b"x", 400),
        ("/pointer-log", 9, b"two\nlines", 204),
    ],
)
def test_the_receiver_takes_one_line_a_body_and_nothing_else(tmp_path, to, size, body, status):
    with receiving(tmp_path) as port, closing(HTTPConnection("127.0.0.1", port)) as connection:
        connection.putrequest("POST", to)
        connection.putheader("Content-Length", str(size))
        connection.endheaders(body)
        assert connection.getresponse().status == status
    written = [log.read_text() for log in tmp_path.glob("logs/*.jsonl")]
    assert written == (["two lines\n"] if status == 204 else [])
