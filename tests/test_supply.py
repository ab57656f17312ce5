"""What is installed is what is pinned, fits together, and tells nobody anything."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
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


def required(extras: tuple[str, ...]) -> Iterator[tuple[str, Requirement]]:
    """Give what the project needs, and what that needs, and so on; and who needs it."""
    waiting, seen = [("pointerprint", frozenset(extras))], set()
    while waiting:
        name, chosen = waiting.pop()
        if (name, chosen) in seen:
            continue
        seen.add((name, chosen))
        for needed in map(Requirement, metadata.requires(name) or []):
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in {*chosen, ""}):
                yield name, needed
                if installed(needed.name) is not None:
                    waiting.append((needed.name, frozenset(needed.extras)))


def installed(name: str) -> str | None:
    """Return the version of a package that is installed, None if it isn't."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def test_every_need_of_every_package_is_met_by_what_is_pinned():
    versions, everything = pinned(), list(required(("dev",)))
    assert len(everything) > 100
    for by, needed in everything:
        name = re.sub(r"[-_.]+", "-", needed.name).lower()
        found = installed(needed.name)
        assert found is not None, f"{by} needs {needed}, which is not installed"
        assert needed.specifier.contains(found, prereleases=True), f"{by} needs {needed}: {found}"
        assert versions.get(name) == found, f"{name} {found}, which {by} needs, is not pinned"


def test_a_need_that_is_not_met_is_seen():
    assert installed("no-such-package") is None
    assert not Requirement("numpy>=99").specifier.contains(installed("numpy") or "")


def test_what_is_installed_fits_together():
    check = [sys.executable, "-m", "pip", "check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    if "No module named pip" in done.stderr:
        pytest.skip("this environment has no pip")
    assert done.returncode == 0, done.stdout


def test_the_list_of_licences_has_every_package_that_is_installed(tmp_path):
    page = (ROOT / "docs" / "licences.md").read_text()
    lists = re.findall(r"^\| .+ \| (.+ \d.*) \|$", page, re.MULTILINE)
    names = {package.partition(" ")[0] for packages in lists for package in packages.split(", ")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for needed in map(Requirement, project["dependencies"]):
        assert needed.name.lower() in names, "make it anew: python docs/make_licences.py"
    assert names <= set(pinned()), "constraints.txt lacks what an installation brings"


def test_telemetry_is_off_for_whatever_reads_the_environment():
    script = (
        "import os\n"
        "from flows.prefect.environment import set_prefect_defaults\n"
        "set_prefect_defaults()\n"
        "print(*(os.environ[name] for name in ('PREFECT_SERVER_ANALYTICS_ENABLED', "
        "'DO_NOT_TRACK', 'MLFLOW_DISABLE_TELEMETRY')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True,
        env={},
    )  # fmt: skip
    assert done.stdout.split() == ["false", "1", "true"]


QUIET = "from flows.prefect.environment import set_prefect_defaults\nset_prefect_defaults()\n"

# Every process that Python starts imports it: whoever it asks for, other than itself, is noted.
LISTENER = """
import os, socket, sys

OWN = {"127.0.0.1", "::1", "localhost", "0.0.0.0", "", socket.gethostname()}

def listen(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
    elif event == "socket.getaddrinfo":
        address = (arguments[0],)
    else:
        return
    host = address[0] if isinstance(address, tuple) else None
    host = host.decode() if isinstance(host, bytes) else host
    if host is not None and host not in OWN:
        with open(os.environ["CALLS"], "a") as calls:
            calls.write(f"{event} {address} {sys.argv}\\n")
        raise OSError("nobody is to be called")

sys.addaudithook(listen)
"""

SPEAKERS = {
    "a flow": "from prefect import flow\n@flow\ndef nothing(): return 1\nassert nothing() == 1",
    "mlflow": (
        "import mlflow, os, time\n"
        "client = mlflow.MlflowClient(tracking_uri='sqlite:///' + os.environ['CALLS'] + '.db')\n"
        "client.create_run(client.create_experiment('e'))\ntime.sleep(3)"
    ),
    "dask": (
        "import distributed\n"
        "if __name__ == '__main__':\n"
        "    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, scheduler_port=0,\n"
        "            dashboard_address='127.0.0.1:0', host='127.0.0.1') as cluster:\n"
        "        with distributed.Client(cluster) as client:\n"
        "            assert client.submit(len, 'abc').result() == 3"
    ),
}


@pytest.fixture
def listened(tmp_path):
    """Give a function that runs a script, and returns whom it or its processes called."""
    (tmp_path / "sitecustomize.py").write_text(LISTENER)
    calls = tmp_path / "calls"
    calls.touch()
    names = ("PREFECT_", "POINTERPRINT_", "MLFLOW_", "DASK_", "DO_NOT_TRACK")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    environ |= {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "CALLS": str(calls),
        "PREFECT_HOME": str(tmp_path / "prefect"), "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }  # fmt: skip

    def run(script: str, *arguments: str) -> list[str]:
        (tmp_path / "script.py").write_text(script)
        done = subprocess.run(
            [sys.executable, str(tmp_path / "script.py"), *arguments], cwd=tmp_path, env=environ,
            capture_output=True, text=True, check=False, timeout=500,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return calls.read_text().splitlines()

    return run


def test_a_call_is_noticed(listened):
    script = (
        "import socket\ntry:\n    socket.create_connection(('192.0.2.1', 80), 1)\n"
        "except OSError as error:\n    assert 'nobody' in str(error)"
    )
    assert "192.0.2.1" in listened(script)[0]


@pytest.mark.parametrize(
    "name", ["mlflow", "dask", pytest.param("a flow", marks=pytest.mark.prefect)]
)
def test_dependencies_call_nobody(name, listened):
    library = {"dask": "distributed", "a flow": "prefect"}.get(name, name)
    pytest.importorskip(library, reason=f"no {library}: install pyproject.toml's extra with it")
    assert listened(f"{QUIET}{SPEAKERS[name]}\n") == []


def test_commands_call_nobody(listened, sample_dir):
    command = "from flows.cli import main\nmain()"
    log = str(sample_dir / "formats" / "recordings.parquet")
    for arguments in (
        ("ingest", log, "--to", "store"),
        ("simulate", "store", "--to", "twins"),
        ("info",),
        ("draw", "store", "--to", "sheet.png"),
        ("settings",),
    ):
        assert listened(command, *arguments) == []
