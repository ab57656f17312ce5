"""Install this checkout into the running environment: with uv where it can be had, else with pip.

    .venv/bin/python .ci/install.py '.[dev]' [--requirement FILE]

Both read constraints.txt. uv takes a quarter of pip's time, but knows nothing of pip's settings:
they are handed over, so that a mirror set up for pip serves uv too. uv's own variables win.
"""

import ast
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# pip's setting: uv's variable, and what separates several values there.
VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "constraint": ("UV_CONSTRAINT", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "proxy": ("ALL_PROXY", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
}
PIP = [sys.executable, "-m", "pip"]
SILENCE_S = 10.0  # so long nothing is said, at most
SECTIONS = ("global", "install", ":env:")  # a later one wins


def pip_settings(listed: str) -> dict[str, str]:
    """Return the settings that `pip config list` lists, in lines like `global.index-url='x'`."""
    lines = [line.partition("=") for line in listed.splitlines()]
    found = {}
    for section in SECTIONS:
        for key, _, value in lines:
            if key.rpartition(".")[0] == section and value:
                found[key.rpartition(".")[2]] = str(ast.literal_eval(value))
    return found


def uv_environment(settings: dict[str, str], environ: dict[str, str]) -> dict[str, str]:
    """Return `environ` with pip's settings in uv's words; a variable that is set stays."""
    added = {"UV_INDEX_STRATEGY": "unsafe-best-match"}  # as pip: the best of all indexes
    for name, (variable, separator) in VARIABLES.items():
        if name in settings:
            added[variable] = separator.join(settings[name].split())
    if settings.get("no-index", "").lower() in {"1", "true", "yes", "on"}:
        added["UV_NO_INDEX"] = "1"
    return added | environ


def install_with_uv(arguments: list[str]) -> bool:
    """Bring uv, install with it, and say whether that went well."""
    say("pip brings uv")
    brought = [*PIP, "install", "-qq", "--only-binary=uv", "--constraint=constraints.txt", "uv"]
    if subprocess.run(brought, check=False).returncode:
        return False
    listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=False)
    environ = uv_environment(pip_settings(listed.stdout), dict(os.environ))
    command = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable, *arguments]
    say("uv installs what constraints.txt pins")
    if sys.stderr.isatty():  # where uv shows bars
        return subprocess.run(command, env=environ, check=False).returncode == 0
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as running:
        for line in running.stderr or ():
            if not line.startswith(" + "):  # a line for each package
                print(line, end="", file=sys.stderr, flush=True)
    return running.returncode == 0


@contextmanager
def shown_work() -> Iterator[None]:
    """Say every few seconds that the installation goes on."""
    start, is_done = time.monotonic(), threading.Event()

    def tell() -> None:
        while not is_done.wait(SILENCE_S):
            say(f"{time.monotonic() - start:.0f} s")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        is_done.set()
        teller.join()


def say(what: str) -> None:
    """Print one line of progress."""
    print(f"setup: {what}", file=sys.stderr, flush=True)


def main(wanted: list[str]) -> int:
    """Install what is `wanted`, in pip's words, and return the exit code."""
    start = time.monotonic()
    arguments = ["--constraint", "constraints.txt", "--editable", *wanted]
    with shown_work():
        if os.environ.get("POINTERPRINT_INSTALLER") == "pip" or not install_with_uv(arguments):
            say("pip installs what constraints.txt pins (some minutes)")
            # The build backend warns of editable installs, which is what this is.
            environ = os.environ | {"PYTHONWARNINGS": "ignore"}
            done = subprocess.run([*PIP, "install", *arguments], env=environ, check=False)
            if done.returncode:
                return done.returncode
    say(f"ready after {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
