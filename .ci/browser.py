"""Bring what the tests in a browser need, where the machine lacks it and lets us.

    .venv/bin/python .ci/browser.py

A Chromium: as root on Debian the distribution's package, elsewhere Playwright's own build. And the
file of rrweb that docs/recording.md names, from npm. Failing is no error: the tests that need them
are then skipped, and named at the end of the run with what to do.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
HINT = "install Chromium or Chrome, or name one in POINTERPRINT_CHROMIUM"
PACKAGE = [
    ["apt-get", "update", "-qq"],
    ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", "chromium"],
]
OWN_BUILD = [[sys.executable, "-m", "playwright", "install", "chromium"]]


def find_chromium() -> str | None:
    """Return the path of a Chromium: POINTERPRINT_CHROMIUM, one on the PATH, or Playwright's."""
    named = os.environ.get("POINTERPRINT_CHROMIUM")
    return named or next(filter(None, map(shutil.which, NAMES)), None) or _of_playwright()


def _of_playwright() -> str | None:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as started:
        path = Path(started.chromium.executable_path)
    return str(path) if path.is_file() else None


def ways() -> list[list[list[str]]]:
    """Return the ways to install one on this machine, each a list of commands."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return [*([PACKAGE] if is_root and shutil.which("apt-get") else []), OWN_BUILD]


RECORDER = ("@rrweb/record", "2.1.6", "umd/record.min.js")  # package, version, file
RECORDER_SHA256 = "fde9a5c5c38fc23c9f8d6429b4e74c8996156e1632f132693b68e32509dc92f0"
RECORDER_HINT = (
    "install npm and run `make browser`; or, from a machine that reaches npm, bring "
    "umd/record.min.js of `npm pack @rrweb/record@2.1.6` and name it in POINTERPRINT_RRWEB"
)


def find_recorder() -> Path | None:
    """Return rrweb's file: the one that POINTERPRINT_RRWEB names, or what `bring_recorder` left."""
    named = os.environ.get("POINTERPRINT_RRWEB")
    path = Path(named) if named else _recorder_path()
    return path if path.is_file() else None


def _recorder_path() -> Path:
    return Path(sys.prefix, "share", "pointerprint", f"rrweb-record-{RECORDER[1]}.min.js")


def bring_recorder() -> None:
    """Take the one file out of the npm package, if it is the file that was looked at."""
    package, version, name = RECORDER
    npm = shutil.which("npm")
    if npm is None:
        raise OSError("no npm")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", f"{package}@{version}"]
        subprocess.run(command, cwd=folder, stdout=sys.stderr, check=True, timeout=300)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as packed:
            member = packed.extractfile(f"package/{name}")
            content = member.read() if member else b""
    if hashlib.sha256(content).hexdigest() != RECORDER_SHA256:
        raise OSError(f"{package} {version} {name} is not the file it was")
    path = _recorder_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def bring_browser() -> None:
    """Install a Chromium unless there is one."""
    for way in ways():
        if find_chromium():
            return
        print(f"browser: {' '.join(way[-1])}", file=sys.stderr, flush=True)
        for command in way:
            environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            if subprocess.run(command, env=environ, stdout=sys.stderr, check=False).returncode:
                break
    if not find_chromium():
        print(f"browser: none; its tests will be skipped ({HINT})", file=sys.stderr)


def main() -> None:
    """Bring both, unless they are there."""
    bring_browser()
    if find_recorder():
        return
    print(f"browser: npm pack {RECORDER[0]}@{RECORDER[1]}", file=sys.stderr, flush=True)
    try:
        bring_recorder()
    except (OSError, ValueError, subprocess.SubprocessError, tarfile.TarError, KeyError) as error:
        print(f"browser: no rrweb, {error}; its test is skipped ({RECORDER_HINT})", file=sys.stderr)


if __name__ == "__main__":
    main()
