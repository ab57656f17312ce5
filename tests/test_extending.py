"""docs/extending.md: what it says is enough to add one of each, in a copy of the packages."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, make_sessions

from model.manifest import write_manifest
from pipeline.ingest.parse import parse_logs
from pipeline.reasons.reference import REFERENCE_RANGES_FILE, fit_reference_ranges
from pipeline.scores.table import ScorePolicy, scores_table
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import WindowConfig, cut_windows
from pipeline.simulate.generators import BOT_NAMES
from pipeline.simulate.synthetic import simulate_sessions
from pipeline.storage.publish import replacing, seal

PAGE = ROOT / "docs" / "extending.md"
EXAMPLE = re.compile(
    r"<!-- (?:new file: (?P<new>\S+)|in (?P<file>\S+), (?P<where>before|after|instead of): "
    r"(?P<line>.+?)) -->\n```python\n(?P<code>.*?)```",
    re.DOTALL,
)
PACKAGES = ("pipeline", "rasterize", "model", "flows")
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def add_example(example: re.Match, folder: Path) -> None:
    """Do to a copy of the packages what an example of the page says."""
    if example["new"]:
        assert not (folder / example["new"]).exists(), f"{example['new']} is there already"
        (folder / example["new"]).write_text(example["code"])
        return
    path, code = folder / example["file"], example["code"]
    lines = path.read_text().splitlines(keepends=True)
    found = [i for i, line in enumerate(lines) if example["line"] in line]
    assert len(found) == 1, f"{example['file']} has {len(found)} lines with {example['line']!r}"
    start, stop = {"before": (0, 0), "after": (1, 1), "instead of": (0, 1)}[example["where"]]
    if not code.startswith(" "):  # a function: blank lines separate it from the next
        code = f"{code.rstrip()}\n\n\n"
    lines[found[0] + start : found[0] + stop] = [code]
    path.write_text("".join(lines))


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a copy of the packages, with all that the page adds."""
    folder = tmp_path_factory.mktemp("extended")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    examples = list(EXAMPLE.finditer(PAGE.read_text()))
    assert len(examples) == PAGE.read_text().count("```python") >= 6
    for example in examples:
        add_example(example, folder)
    return folder


@pytest.fixture
def run_extended(extended: Path, tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs Python with the copy, in an empty folder."""

    def run(*arguments: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(extended), "COLUMNS": "200"}
        done = subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def human() -> Sessions:
    """Return some people's sessions."""
    (sessions,) = parse_logs([ROOT / "sample_data" / "logs" / "human.csv"])
    return sessions.take(np.arange(12))


def publish_scores(sessions: Sessions, scores: Path, day: str) -> None:
    """Publish a partition with scores of sessions."""
    windows = cut_windows(sessions, WindowConfig())
    verdict = ScorePolicy(0.9, 0.5, min_events=3, model_id="m1", run_id="r1", scored_at=NOON)
    table = scores_table(
        sessions, windows, np.zeros(len(windows)), np.full(len(sessions), 0.5), verdict
    )
    with replacing(scores / f"run_date={day}") as staged:
        staged.mkdir()
        pq.write_table(table, staged / "part-00000.parquet")
        seal(staged, {"files": ["part-00000.parquet"]})


def test_a_format_and_a_command_are_in_the_help_and_work(run_extended, tmp_path: Path):
    (tmp_path / "a.log").write_text("#plain\ns1 0 10 20\ns1 8 13 24\n\ns1 16\ns2 0 1 2\n")
    calls = [["ingest", "--help"], ["--help"], ["ingest", "a.log", "--to", "store"]]
    calls += [["count", "store"]]
    code = "import json, sys; from flows.cli import main\nfor call in json.loads(sys.argv[1]):\n"
    code += "    try:\n        main(call)\n    except SystemExit as end:\n"
    code += "        assert not end.code\n    print('-----')\n"
    ingest_help, all_help, report, counted, _ = run_extended("-c", code, json.dumps(calls)).split(
        "-----\n"
    )
    assert "plain" in ingest_help
    assert "Count the sessions and events of a store." in all_help
    assert "(plain 1): 4 rows, 3 events in 2 sessions" in report
    assert "wrong_number_of_columns 1" in report
    assert counted == "2 sessions, 3 events\n"


def test_a_panel_is_drawn_and_described(run_extended):
    code = """
import json
import numpy as np
from pipeline.sessions.windows import Points
from rasterize.draw import draw_counts
from rasterize.motion import to_device
from rasterize.panels import PANELS, find_panels
from rasterize.print_json import panels_json
from rasterize.print_picture import SessionPrint, print_sheet
row = lambda *values: np.array([values], np.float32)
points = Points(
    row(0, 100, 200, 300), row(0, 10, 20, 20), row(0, 0, 0, 0),
    np.zeros((1, 4), np.int8), np.array([4], np.int32),
)
panels = find_panels(("step_interval",))
counts = np.asarray(draw_counts(to_device(points), panels, 24))[0]
sheet = print_sheet([SessionPrint("s1", "s1", "", points, counts)], panels)
name = list(PANELS)[-1]
print(json.dumps([name, float(counts.sum()), sheet.size[0], panels_json((name,))[0]["words"]]))
"""
    name, n_events, width, words = json.loads(run_extended("-c", code))
    assert (name, round(n_events, 3)) == ("step_interval", 2)  # the third step has no length
    assert width > 500
    assert words == "how far from one event to the next, and how long that takes"


def test_a_bot_changes_only_the_sessions_that_it_takes_over(
    run_extended, human: Sessions, tmp_path: Path
):
    code = """
import numpy as np
from pipeline.ingest.parse import parse_logs
from pipeline.simulate.synthetic import simulate_sessions
import sys
(human,) = parse_logs([sys.argv[1]])
made = simulate_sessions(human.take(np.arange(12)), per_session=3)
np.savez("made.npz", session_id=made.session_id.astype(str), x_px=made.x_px, offsets=made.offsets)
"""
    run_extended("-c", code, str(ROOT / "sample_data" / "logs" / "human.csv"))
    before = simulate_sessions(human, BOT_NAMES, per_session=3)
    after = np.load(tmp_path / "made.npz")
    paths = [
        {
            name: x_px[start:stop].tolist()
            for name, start, stop in zip(ids, offsets[:-1], offsets[1:], strict=True)
        }
        for ids, x_px, offsets in (
            (before.session_id, before.x_px, before.offsets),
            (after["session_id"], after["x_px"], after["offsets"]),
        )
    ]
    new = {name for name in paths[1] if "sine_line" in name}
    assert 0 < len(new) < len(paths[1])
    assert paths[1].keys() - paths[0].keys() == new
    assert all(paths[1][name] == paths[0][name] for name in paths[1].keys() - new)


def test_a_reason_is_found_and_a_run_without_it_loads(
    run_extended, human: Sessions, saved_run: Path, tmp_path: Path
):
    run = shutil.copytree(saved_run, tmp_path / "run")
    ranges = fit_reference_ranges(human, human.session_id)
    (run / REFERENCE_RANGES_FILE).write_text(json.dumps(ranges.to_json()))
    write_manifest(run)
    code = """
import json, sys
from pathlib import Path
import numpy as np
from dataclasses import replace
from model.run import load_model
from pipeline.ingest.parse import parse_logs
from pipeline.reasons.find import find_reasons
from pipeline.reasons.reference import fit_reference_ranges
from pipeline.schemas import Kind
(human,) = parse_logs([sys.argv[1]])
human = human.take(np.arange(12))
old = load_model(Path("run")).reference_ranges
new = fit_reference_ranges(human, human.session_id)
scrolled = human.take(np.array([0]))
scrolled = replace(scrolled, kind=np.full(len(scrolled.kind), Kind.SCROLL, np.int8))
found = [find_reasons(scrolled, ranges)["code"].to_pylist() for ranges in (old, new)]
print(json.dumps([found, "scroll_share" in old.levels, "scroll_share" in new.levels]))
"""
    output = run_extended("-c", code, str(ROOT / "sample_data" / "logs" / "human.csv"))
    (by_old, by_new), old_has, new_has = json.loads(output)
    assert not old_has
    assert new_has
    assert "mostly_scrolls" not in by_old
    assert set(by_new) - set(by_old) == {"mostly_scrolls"}


def test_a_column_of_scores_is_written_and_null_before(run_extended, tmp_path: Path):
    publish_scores(make_sessions([(0, 0, 0), (9, 3, 4)]), tmp_path / "scores", "2026-11-01")
    code = f"""
import sys
sys.path.append({str(ROOT / "tests")!r})
from pathlib import Path
from conftest import make_sessions
from test_extending import publish_scores
from pipeline.scores.partitions import read_scores
publish_scores(make_sessions([(0, 0, 0), (9, 3, 4), (18, 3, 5)]), Path("scores"), "2026-11-02")
rows = read_scores(Path("scores")).to_pylist()
print({{str(row["run_date"]): row["path_px"] for row in rows}})
"""
    found = run_extended("-c", code)
    assert found.strip() == "{'2026-11-01': None, '2026-11-02': 6.0}"
