"""Run an installation on one machine: Prefect's server, its deployments, and a worker.

`serve` runs until SIGTERM or Ctrl-C, then stops the worker before the server:
a worker that outlives its server would poll whatever listens on that port next.
Meanwhile it starts a worker that was killed anew, and has runs that were killed done again.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final

from flows.prefect.deployments import register
from flows.prefect.environment import ROOT, configured_url, is_healthy, own_url, process_environment
from flows.settings import FoundSettings, ServerConfig, Settings
from pipeline.errors import WorkerError

log = logging.getLogger(__name__)

_START_S: Final = 240  # for a server's first start, which makes its database
_STOP_S: Final = 30  # for a process to end by itself
_RECOVER_S: Final = 10  # between looks for runs that were killed
_WORKER_STARTS: Final = 5  # in an hour: one that always ends has a reason that only people can mend


def serve(
    settings: Settings, found: FoundSettings, file: Path | None, show: Callable[[str], None]
) -> None:
    """Serve the deployments until SIGTERM or Ctrl-C; `show` is called with what happens."""
    settings.check_logs()
    named = configured_url(settings)
    url = named or own_url(settings.server)
    environ = process_environment(settings, found, url, file)
    with ExitStack() as running, _stoppable() as is_stopped:
        settings.server.home.mkdir(parents=True, exist_ok=True)
        server = None
        if named is None:
            _require_free_port(settings.server, url)
            show(f"starting a server at {url}, its log is {settings.server.home / 'server.log'}")
            server = running.enter_context(_server(settings, environ))
            _wait_for(url, server, settings, is_stopped)
        show(f"using the server at {url}")
        if not is_stopped():
            for name in register(settings, file, environ):
                show(f"deployed {name}")
        started: list[float] = []
        while not is_stopped():
            started = [at for at in started if time.monotonic() - at < 3600] + [time.monotonic()]
            with _worker(settings, environ) as worker:
                show(
                    f"serving; the page is {url.removesuffix('/api')}; stop with Ctrl-C or SIGTERM"
                )
                _watch(settings, environ, server, worker, is_stopped)
            if not is_stopped() and len(started) == _WORKER_STARTS:
                raise _ended("worker", worker)
        show("stopping")


def _watch(
    settings: Settings,
    environ: Mapping[str, str],
    server: subprocess.Popen | None,
    worker: subprocess.Popen,
    is_stopped: Callable[[], bool],
) -> None:
    """Have runs that were killed done again until the worker ends, or this process is to stop.

    Raises:
        WorkerError: The server ended.
    """
    os.environ.update(environ)  # Prefect reads it when it is imported
    from flows.prefect.recover import try_to_recover

    next_look = time.monotonic()
    while not is_stopped():
        if server is not None and server.poll() is not None:
            raise _ended("server", server)
        if worker.poll() is not None:
            log.warning("the worker ended with %(code)d", {"code": worker.returncode})
            return
        if time.monotonic() >= next_look:
            try_to_recover(settings.server)
            next_look = time.monotonic() + _RECOVER_S
        time.sleep(0.5)


def _ended(what: str, child: subprocess.Popen) -> WorkerError:
    return WorkerError(
        "serve",
        f"the {what} ended with {child.returncode}",
        "start it again; a service manager can do so by itself (docs/deploy.md)",
    )


def _require_free_port(server: ServerConfig, url: str) -> None:
    """Raise within a second if another program listens where the server would."""
    with socket.socket(socket.AF_INET6 if ":" in server.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((server.host, server.port))
        except OSError as error:
            if is_healthy(url, timeout_s=0.5):
                raise WorkerError(
                    url,
                    "a server runs there already",
                    "stop it, take another server.port, or set server.api_url to use it",
                ) from error
            raise WorkerError(
                "server.port",
                f"nothing can listen on {server.host}:{server.port}: {error.strerror}",
                f"stop what does, or take another: --set server.port={server.port + 1}",
            ) from error


@contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether this process is asked to stop."""
    received = []
    handlers = {
        number: signal.signal(number, lambda number, frame: received.append(number))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def _server(settings: Settings, environ: Mapping[str, str]) -> Iterator[subprocess.Popen]:
    command = [
        "server",
        "start",
        "--host",
        settings.server.host,
        "--port",
        str(settings.server.port),
    ]
    with (
        (settings.server.home / "server.log").open("ab") as output,
        _child(command, environ, output) as child,
    ):
        yield child


@contextmanager
def _worker(settings: Settings, environ: Mapping[str, str]) -> Iterator[subprocess.Popen]:
    command = [
        *("worker", "start", "--pool", settings.server.pool, "--type", "process"),
        *("--limit", str(settings.server.runs_at_once)),
    ]
    with _child(command, environ, None) as child:
        yield child


@contextmanager
def _child(
    arguments: list[str], environ: Mapping[str, str], output: IO[bytes] | None
) -> Iterator[subprocess.Popen]:
    """Run a command of Prefect's; at the end ask it to stop, and if it doesn't, end it.

    It has a session of its own: Ctrl-C on a terminal is for this process to pass on, in order.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", "prefect", *arguments],
        cwd=ROOT, env=dict(environ), stdout=output or sys.stderr, stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            log.warning(
                "%(command)s did not stop in %(seconds)d s",
                {"command": arguments[0], "seconds": _STOP_S},
            )
            child.kill()
            child.wait()


def _wait_for(
    url: str, server: subprocess.Popen, settings: Settings, is_stopped: Callable[[], bool]
) -> None:
    """Wait until the server answers, or raise why it doesn't."""
    end = time.monotonic() + _START_S
    while not is_stopped() and not is_healthy(url):
        if server.poll() is not None or time.monotonic() > end:
            text = (settings.server.home / "server.log").read_text(errors="replace").strip()
            raise WorkerError(
                url,
                f"the server did not start: {(text.splitlines() or ['it printed nothing'])[-1]}",
                f"its log is {settings.server.home / 'server.log'}",
            )
        time.sleep(0.5)
