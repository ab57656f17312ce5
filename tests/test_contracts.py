"""Promises about imports and the layout, kept by tests."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_imports_keep_the_contracts():
    lint = [str(Path(sys.executable).with_name("lint-imports"))]
    result = subprocess.run(lint, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def modules_loaded_by(arguments: list[str]) -> set[str]:
    """Return the modules that a command has imported when it ends."""
    script = (
        "import sys\n"
        "from flows.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit:\n"
        "    pass\n"
        "print(*sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.splitlines()[-1].split())
    assert "cyclopts" in loaded
    return loaded


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_loads_neither_jax_nor_prefect(arguments):
    assert {"jax", "flax", "prefect", "matplotlib", "PIL"} & modules_loaded_by(arguments) == set()


@pytest.mark.parametrize("module", ["rasterize.draw", "model.network", "model.train"])
def test_drawing_and_training_load_no_flows_databases_or_plots(module):
    script = f"import sys, {module}\nprint(*(name.partition('.')[0] for name in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = {"prefect", "fastapi", "sqlalchemy", "duckdb", "matplotlib", "PIL", "flows"}
    assert heavy & set(result.stdout.split()) == set()


def test_scoring_loads_nothing_that_training_or_plots_alone_need(tmp_path):
    logs = ROOT / "sample_data" / "logs" / "human.csv"
    arguments = ["score", str(logs), "--model", "starter", "--to", str(tmp_path / "scores")]
    modules_loaded_by(arguments)  # which traces the network, where no run before has
    loaded = modules_loaded_by(arguments)
    assert "jax" in loaded
    heavy = {"flax", "optax", "orbax", "sklearn", "matplotlib", "PIL", "prefect", "duckdb"}
    heavy |= {f"scipy.{part}" for part in ("optimize", "sparse", "spatial", "special", "stats")}
    assert heavy & loaded == set()


def test_pipeline_is_folders_by_subject_and_three_files():
    files = {path.stem for path in (ROOT / "pipeline").glob("*.py")}
    assert files == {"__init__", "config", "errors", "schemas"}


def test_every_package_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in ("pipeline", "rasterize", "model", "flows")
        for path in (ROOT / package).rglob("*.py")
    }
    assert found == set(project["tool"]["setuptools"]["packages"])


def test_no_module_loads_what_could_run():
    unsafe = re.compile(
        r"\b(import (pickle|dill|cloudpickle|joblib|marshal|shelve)|from (pickle|dill|joblib) "
        r"|allow_pickle=True|yaml\.(unsafe_)?load\(|eval\(|exec\(|read_pickle|torch\.load)"
    )
    for package in ("pipeline", "rasterize", "model", "flows", "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            assert not unsafe.search(path.read_text()), path


def public_names(path: Path) -> set[str]:
    """Return the public names that a module defines at its top."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {name for name in found if not name.startswith("_")}


def test_no_public_name_is_defined_twice():
    conventional = {"FORMAT", "Result", "log"}  # a reader's format, a type variable, a logger
    commands = {"cli", "entrypoints"}  # a command and a flow are named like the job that they call
    modules = defaultdict(list)
    for package in ("pipeline", "rasterize", "model", "flows"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for name in public_names(path) - conventional:
                modules[name].append(path)
    twice = {
        name: [path.relative_to(ROOT).as_posix() for path in paths]
        for name, paths in modules.items()
        if len([path for path in paths if path.stem not in commands or name[0].isupper()]) > 1
    }
    assert twice == {}
