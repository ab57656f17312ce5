"""Bring a Chromium for the tests of the report, where the machine has none and lets us.

    .venv/bin/python .ci/browser.py

As root on Debian it is the distribution's package, elsewhere Playwright's own build. Failing is no
error: the tests that need a browser are then skipped, and named at the end of the run.
"""

import os
import shutil
import subprocess
import sys
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


def main() -> None:
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


if __name__ == "__main__":
    main()
