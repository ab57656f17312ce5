"""The kit for a GPU machine: it runs without pandas and Arrow, and notices what disagrees."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import jax
import pytest

from benchmarks.gpu import __main__ as kit
from benchmarks.gpu import agreement, drawing
from benchmarks.gpu.machine import Peaks
from benchmarks.gpu.programs import SMALL, find_setting, sample_paths
from benchmarks.gpu.timing import Limit, median_seconds, row_of
from benchmarks.speed.timing import Result
from model.drawing import draw_print

ROOT = Path(__file__).resolve().parent.parent
NOT_THERE = (
    *("pandas", "pyarrow", "duckdb", "prefect", "orbax", "matplotlib", "sklearn", "PIL"),
    *("pydantic", "cyclopts", "fsspec"),
)
WITHOUT = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({NOT_THERE}))
runpy.run_module("benchmarks.gpu", run_name="__main__", alter_sys=True)
"""


def test_the_kit_runs_on_a_cpu_with_jax_and_flax_alone(tmp_path):
    command = [sys.executable, "-c", WITHOUT, "--small", "--to", str(tmp_path)]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "No GPU found: CPU figures only" in done.stdout
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["agrees"]
    assert not found["has_gpu"]
    results = {result["name"]: result["rows"] for result in found["results"]}
    assert list(results) == ["peaks", "agreement", "drawing", "scoring", "training"]
    assert all("note" not in row for rows in results.values() for row in rows), "a case failed"
    drawn = {row["drawn by"]: row["right"] for row in results["drawing"]}
    assert len(drawn) == 7
    assert [name for name, right in drawn.items() if right == "no"] == ["product, bfloat16"]
    assert results["scoring"][0]["sessions/s"] > 0
    assert results["scoring"][0]["share of the roofline"] > 0
    assert 0 < results["scoring"][0]["share without memory"] < 1
    assert results["training"][0]["steps/s"] > 0
    text = (tmp_path / "gpu.md").read_text()
    assert "No GPU found" in text
    assert "### Scoring from points on the host" in text


def test_a_difference_beyond_its_tolerance_is_named(monkeypatch):
    monkeypatch.setattr(agreement, "_drawing", lambda *_: 0.5)
    monkeypatch.setattr(agreement, "_logits", lambda *_: 0.0)
    monkeypatch.setattr(agreement, "_training", lambda *_: (0.0, 0.0))
    result, agrees = agreement.agreement(find_setting(SMALL), Limit(1))
    assert not agrees
    assert [row["what"] for row in result.rows if row["agrees"] == "NO"] == ["prints, product"]


@pytest.mark.parametrize(("agrees", "code"), [(True, 0), (False, 1)])
def test_the_exit_code_says_whether_the_devices_agree(agrees, code, monkeypatch, tmp_path, capsys):
    section = {"agreement": lambda setting, limit: (Result("agreement", "T", []), agrees)}
    monkeypatch.setattr(kit, "measure_peaks", lambda setting: Peaks({}, 1.0, 1.0))
    monkeypatch.setattr(kit, "sections", lambda peaks: section)
    monkeypatch.setattr(sys, "argv", ["gpu", "--small", "--to", str(tmp_path)])
    assert kit.main() == code
    assert json.loads((tmp_path / "gpu.json").read_text())["agrees"] is agrees
    assert ("do not agree" in capsys.readouterr().err) is not agrees


def test_what_takes_longest_at_best_is_the_roofline():
    peaks = Peaks({"float32": 100.0}, bytes_s=10.0, sent_bytes_s=1.0)
    assert peaks.least_s("float32", flops=300, moved=10, sent=2) == (3, "arithmetic")
    assert peaks.least_s("float32", flops=300, moved=10, sent=4) == (4, "transfer")
    assert peaks.least_s("float32", flops=300, moved=50, sent=4) == (5, "memory")


def test_one_case_that_fails_or_comes_too_late_loses_no_other():
    def out_of_memory() -> dict[str, object]:
        raise MemoryError("16 GiB")

    assert row_of({"batch": 1}, Limit(60), dict) == {"batch": 1}
    failed = row_of({"batch": 2}, Limit(60), out_of_memory)
    assert failed == {"batch": 2, "note": "failed: MemoryError: 16 GiB"}
    assert "time was over" in row_of({"batch": 3}, Limit(-1), dict)["note"]


def test_a_case_runs_at_least_three_times():
    runs = []
    assert median_seconds(lambda: runs.append(1), 0.0) >= 0
    assert len(runs) == 3


@pytest.mark.parametrize("name", drawing.ways(find_setting(SMALL)))
def test_every_way_of_drawing_compiles_for_a_gpu_as_far_as_a_cpu_can_tell(name):
    setting = replace(find_setting(SMALL), device=SimpleNamespace(platform="gpu"))
    panels, paths = SMALL.config.panels, sample_paths(SMALL.config, 4)
    with patch("rasterize.draw._with_margin", drawing.ways(setting)[name]):
        traced = jax.jit(lambda paths: draw_print(paths, panels)).trace(paths)
        text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert ("triton" in text) is ("Pallas" in name)
