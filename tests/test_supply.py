"""What is installed is what is pinned, fits together, and tells nobody anything."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent


def pinned() -> dict[str, str]:
    """Return the versions in constraints.txt that are for this Python."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    needed = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    return {
        re.sub(r"[-_.]+", "-", one.name).lower(): str(one.specifier).removeprefix("==")
        for one in needed
        if one.marker is None or one.marker.evaluate()
    }


def test_every_line_of_the_constraints_pins_one_version():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[^\s;]+( ; .+)?", line), line


def test_every_dependency_is_pinned_and_within_what_the_project_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [word for name in ("dev", "dask", "s3", "mlflow", "fuzz")
              for word in project["optional-dependencies"][name]]  # fmt: skip
    versions = pinned()
    for needed in map(Requirement, [*project["dependencies"], *extras]):
        name = re.sub(r"[-_.]+", "-", needed.name).lower()
        assert name in versions, f"{name} has no line in constraints.txt"
        assert needed.specifier.contains(versions[name]), f"{name} {versions[name]}"


def test_what_is_installed_is_what_is_pinned():
    versions = pinned()
    for found in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", found.name or "").lower()
        if name in versions:
            assert found.version == versions[name], name


def test_what_is_installed_fits_together():
    check = [sys.executable, "-m", "pip", "check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    if "No module named pip" in done.stderr:
        pytest.skip("this environment has no pip")
    assert done.returncode == 0, done.stdout


def test_the_list_of_licences_has_every_package_that_is_installed(tmp_path):
    page = (ROOT / "docs" / "licences.md").read_text()
    names = set(re.findall(r"^\| ([a-z0-9-]+) \|", page, re.MULTILINE)) - {"package"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for needed in map(Requirement, project["dependencies"]):
        assert needed.name.lower() in names, "make it anew: python docs/make_licences.py"
    assert names <= set(pinned()), "constraints.txt lacks what an installation brings"


def test_prefect_tells_its_makers_nothing():
    script = (
        "import flows.settings, os\n"
        "print(os.environ['PREFECT_SERVER_ANALYTICS_ENABLED'], os.environ['DO_NOT_TRACK'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True,
        env={},
    )  # fmt: skip
    assert done.stdout.split() == ["false", "1"]
