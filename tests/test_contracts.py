"""Promises about imports, kept by tests."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_the_datas_way_has_one_direction():
    lint = [str(Path(sys.executable).with_name("lint-imports"))]
    result = subprocess.run(lint, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_loads_neither_jax_nor_prefect(arguments):
    script = (
        "import sys\n"
        "from flows.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit:\n"
        "    pass\n"
        "print([m for m in ('jax', 'flax', 'prefect', 'matplotlib', 'PIL') if m in sys.modules])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip().splitlines()[-1] == "[]"


def test_no_module_loads_what_could_run():
    unsafe = re.compile(
        r"\b(import (pickle|dill|cloudpickle|joblib|marshal|shelve)|from (pickle|dill|joblib) "
        r"|allow_pickle=True|yaml\.(unsafe_)?load\(|eval\(|exec\(|read_pickle|torch\.load)"
    )
    for package in ("pipeline", "rasterize", "model", "flows", "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            assert not unsafe.search(path.read_text()), path
