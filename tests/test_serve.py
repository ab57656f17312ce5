"""`serve`: a real server and worker; a scheduled run fires and its partition is found."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from browser import HINT, find_chromium
from conftest import ROOT, make_sessions
from tiny import TINY, untrained

from model.registry import add_run, promote
from model.run import load_model, save_model
from pipeline.schemas import QUARANTINE
from pipeline.storage.store import Part, note_ingested, write_part

pytestmark = pytest.mark.prefect
DAILY = {"ingest-daily", "score-daily", "monitor-daily", "train-weekly"}
PATIENCE_S = 400  # for each step, on a machine with other work


@dataclass(frozen=True)
class Served:
    """An installation that `serve` runs."""

    folder: Path
    settings: Path
    api: str
    environ: dict[str, str]

    def ask(self, path: str, content: dict | None = None) -> Any:
        """Return what the server's API answers."""
        data = None if content is None else json.dumps(content).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.api}/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run a command of ours beside it."""
        command = [sys.executable, "-m", "flows", *arguments, "--settings", str(self.settings)]
        return subprocess.run(
            command, cwd=ROOT, env=self.environ, capture_output=True, text=True, check=False
        )


def eventually(what: str, condition):
    """Return what `condition` gives as soon as it is true, or fail saying what didn't happen."""
    end = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        if time.monotonic() > end:
            pytest.fail(f"{what}: not within {PATIENCE_S} s")
        time.sleep(1)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def installation(folder: Path) -> tuple[Path, int]:
    """Make a store of today and tomorrow, a champion, and settings by which scoring is due soon."""
    rng = np.random.default_rng(0)
    paths = [
        list(zip(range(0, 800, 16), *rng.normal(0, 9, (2, 50)).cumsum(1), strict=True))
        for _ in range(6)
    ]
    for n in range(2):  # midnight may pass meanwhile
        day = (datetime.now(UTC) + timedelta(days=n)).date().isoformat()
        sessions = make_sessions(
            *paths, session_id=np.array([f"{day}-{i}" for i in range(6)], object)
        )
        part = Part(folder / "store", day, str(n))
        write_part(part, [sessions], QUARANTINE.empty_table(), {"files": []})
    for day in ("2026-01-01", "2026-01-02"):
        note_ingested(folder / "store", day, 0)  # looked for, and there was nothing
    run = folder / "run"
    save_model(untrained(TINY), run)
    (run / "_SUCCESS").touch()
    model_id = load_model(run).model_id
    add_run(folder / "models", run, model_id)
    promote(folder / "models", model_id, "begun")
    (folder / "logs").mkdir()
    port = free_port()
    settings = folder / "pointerprint.toml"
    settings.write_text(
        f"[server]\nport = {port}\n[schedule]\nscore = '* * * * *'\n[log]\nformat = 'json'\n"
    )
    return settings, port


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Served]:
    """Start `serve`, and at the end stop it: it leaves nothing behind."""
    folder = tmp_path_factory.mktemp("served")
    settings, port = installation(folder)
    ours = ("PREFECT_", "POINTERPRINT_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environ |= {"XDG_CACHE_HOME": str(folder / "cache")}
    url = f"http://127.0.0.1:{port}/api"
    with (folder / "serve.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows", "serve", "--settings", str(settings)],
            cwd=ROOT, env=environ, stdout=output, stderr=output,
        )  # fmt: skip

    def said() -> str:
        return (folder / "serve.log").read_text(errors="replace")

    try:
        eventually("serving", lambda: "serving;" in said() or process.poll() is not None)
        assert process.poll() is None, said()
        yield Served(folder, settings, url, environ)
        began = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0, said()
        assert not [child for child in began if child.is_running() and is_alive(child)]
        with (
            pytest.raises(OSError, match=r"refused"),
            socket.create_connection(("127.0.0.1", port)),
        ):
            pass
    finally:
        process.kill()


def is_alive(process: psutil.Process) -> bool:
    return process.status() != psutil.STATUS_ZOMBIE


def runs(served: Served, state: str) -> list[dict]:
    wanted = {"state": {"type": {"any_": [state]}}}
    return served.ask("flow_runs/filter", {"flow_runs": wanted, "limit": 200})


def deployment(served: Served, name: str) -> dict:
    flow = name.partition("-")[0]
    return served.ask(f"deployments/name/{flow}/{name}")


def test_runs_of_every_schedule_are_planned(served):
    ids = {deployment(served, name)["id"]: name for name in DAILY}

    def planned() -> bool:
        return {ids.get(run["deployment_id"]) for run in runs(served, "SCHEDULED")} >= DAILY

    eventually("scheduled runs", planned)
    for name in ("ingest", "score", "monitor", "train"):
        assert deployment(served, name)["schedules"] == []


def test_a_scheduled_run_fires_and_its_partition_is_there(served):
    def partitions() -> list[Path]:
        # Days that were asked for, and of which there is no session, may be there before.
        days = [path.name.removeprefix("ingest_") for path in served.folder.glob("store/*")]
        found = [served.folder / "scores" / f"run_{day}" for day in days]
        return [path for path in found if (path / "_SUCCESS").is_file()]

    partition = eventually("a partition", partitions)[0]
    scores = pd.read_parquet(partition)
    day = partition.name.removeprefix("run_date=")

    assert sorted(scores["session_id"]) == [f"{day}-{i}" for i in range(6)]
    assert scores["fraud_score"].notna().all()

    def completed() -> list[dict]:
        return [run for run in runs(served, "COMPLETED") if run["name"] == f"score-{day}"]

    run = eventually("a completed run", completed)[0]
    assert run["auto_scheduled"]
    assert run["expected_start_time"].startswith(day)


@pytest.fixture(scope="module")
def summary(served) -> dict:
    """Return the artifact that shows a scored day with its pictures."""

    def shown() -> dict | None:
        found = served.ask("artifacts/filter", {"limit": 200})
        kinds = {artifact["key"]: artifact["type"] for artifact in found}
        # A day without a session has a summary too, and no picture.
        summaries = [a for a in found if a["key"] == "day-summary" and ".png`" in a["data"]]
        if summaries and kinds.keys() >= {"top-scores", None}:  # progress has no key
            assert kinds[None] == "progress"
            return summaries[0]
        return None

    return eventually("artifacts", shown)


def test_the_runs_page_holds_the_picture_itself_and_no_link_to_a_file(served, summary):
    data = summary["data"]
    sheet = next(word.strip("`") for word in data.split() if word.endswith(".png`"))
    assert Path(sheet).read_bytes().startswith(b"\x89PNG")
    picture = data.partition("(data:image/png;base64,")[2].partition(")")[0]
    assert base64.b64decode(picture, validate=True).startswith(b"\x89PNG")
    assert len(data) < 310_000
    artifacts = served.ask("artifacts/filter", {"limit": 200})
    assert not [artifact for artifact in artifacts if "file:" in str(artifact["data"])]


def test_a_browser_shows_the_picture_on_prefects_page(served, summary):
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install -e .[dev]")
    chromium = find_chromium()
    if chromium is None:
        pytest.skip(HINT)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.goto(f"{served.api.removesuffix('/api')}/artifacts/artifact/{summary['id']}")
        image = page.locator("img[alt='The highest scores']")
        image.wait_for(timeout=PATIENCE_S * 1000)
        width, natural = image.evaluate("image => [image.width, image.naturalWidth]")
        browser.close()
    assert natural > 700
    assert width > 500  # as the page shows it


def test_the_form_shows_help_limits_and_choices_and_refuses_nonsense(served):
    found = deployment(served, "score-daily")
    properties = found["parameter_openapi_schema"]["properties"]
    budget = next(kind for kind in properties["budget"]["anyOf"] if kind["type"] == "number")

    assert "share of legitimate sessions flagged" in properties["budget"]["description"]
    assert (budget["exclusiveMinimum"], budget["exclusiveMaximum"]) == (0, 1)
    assert next(k for k in properties["date"]["anyOf"] if "format" in k)["format"] == "date"
    assert {"auto", "cpu", "gpu"} in [set(k.get("enum", ())) for k in properties["device"]["anyOf"]]
    assert found["global_concurrency_limit"]["limit"] == 1
    for nonsense in ({"workers": 0}, {"budget": 2}, {"date": "yesterday"}, {"device": "gup"}):
        with pytest.raises(urllib.error.HTTPError):
            served.ask(f"deployments/{found['id']}/create_flow_run", {"parameters": nonsense})


def test_a_day_asked_for_twice_is_one_run(served):
    days = ("--start", "2026-01-01", "--end", "2026-01-02")
    first = served.run("backfill", *days)
    again = served.run("backfill", *days)

    assert first.returncode == 0, first.stderr
    assert "2026-01-01: asked for" in first.stderr
    assert "2026-01-01: known" in again.stderr
    ids = [[line.split()[1] for line in run.stdout.splitlines()] for run in (first, again)]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2


def test_nothing_is_told_to_anybody(served):
    settings = served.ask("admin/settings")
    assert settings["server"]["analytics_enabled"] is False


def test_logs_are_lines_of_json_with_their_counts(served):
    def counted() -> list[dict]:
        lines = (served.folder / "serve.log").read_text(errors="replace").splitlines()
        told = [json.loads(line) for line in lines if line.startswith('{"at"')]
        return [line for line in told if line.get("fields", {}).get("n_sessions")]

    line = eventually("a count", counted)[0]
    assert (line["level"], line["logger"]) == ("info", "flows.jobs.score")
    assert line["fields"]["n_sessions"] == 6
