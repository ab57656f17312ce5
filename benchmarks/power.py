"""Cut the power of an installation at random moments: `python -m benchmarks.power`.

A site is served as `pointerprint serve` does it, with a real server, worker and runs of
`score-daily`, each for a day of its own. At a random moment of a run everything is killed by
SIGKILL: `serve`, server, worker, run. Then `serve` is started again, as a service manager would,
and nothing else is done. A day that is not scored within three minutes is lost; so is an alert of a
run that was killed, and a slot that is still taken at the end.
"""

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import psutil

from pipeline.ingest.ingest import ingest_logs
from pipeline.storage.publish import SUCCESS

ROOT: Final = Path(__file__).resolve().parent.parent
FIRST_DAY: Final = date(2026, 11, 1)
PATIENCE_S: Final = 180.0  # for a day to be scored after `serve` was started again
_START_S: Final = 240.0
_BUSY_TRIES: Final = 30
_LIVE: Final = ("PENDING", "RUNNING", "CANCELLING")


@dataclass
class Cut:
    """What came of one day."""

    day: str
    after_s: float  # from when the run was asked for until everything was killed
    state: str  # of the run when it was killed
    n_killed: int  # processes
    scored_s: float | None  # from the start of `serve` until the day was scored; 0: before
    end: str  # the run's state in the end
    n_alerts: int  # events that say that it crashed


class Site:
    """An installation in a folder, served and killed."""

    def __init__(self, folder: Path, n_days: int, settings: str = ""):
        self.folder = folder
        self.days = [(FIRST_DAY + timedelta(days=n)).isoformat() for n in range(n_days)]
        self.port = free_port()
        self.settings = folder / "pointerprint.toml"
        self.process: subprocess.Popen | None = None
        self._make(settings)

    def _make(self, settings: str) -> None:
        """Write sessions of each day, a champion, and settings without schedules."""
        rng = random.Random(0)
        (self.folder / "logs").mkdir(parents=True)
        self.settings.write_text(
            f"{settings}\n[server]\nport = {self.port}\n[schedule]\ningest = ''\nscore = ''\n"
            "monitor = ''\nadapt = ''\ntrain = ''\n"
        )
        for day in self.days:
            lines = ["session_id,t_ms,x,y"]
            for number in range(8):
                x, y = rng.randrange(1000), rng.randrange(800)
                for t_ms in range(0, 1600, 16):
                    x, y = x + rng.randint(-9, 9), y + rng.randint(-9, 9)
                    lines.append(f"{day}-{number},{t_ms},{x},{y}")
            log = self.folder / "logs" / f"{day}.csv"
            log.write_text("\n".join(lines) + "\n")
            ingest_logs([log], self.folder / "store", ingest_date=day)
        # In a process of its own: JAX stays out of this one, which forks.
        make = (
            "from pathlib import Path; from benchmarks.models import untrained_run;"
            "from model.registry import add_run, promote; from model.run import load_model;"
            f"run = untrained_run(Path({str(self.folder / 'run')!r})); (run / '_SUCCESS').touch();"
            f"models = Path({str(self.folder / 'models')!r}); name = load_model(run).model_id;"
            "add_run(models, run, name); promote(models, name, 'begun')"
        )
        subprocess.run([sys.executable, "-c", make], cwd=ROOT, check=True)

    @property
    def environ(self) -> dict[str, str]:
        """Return an environment without another installation's variables."""
        ours = ("PREFECT_", "POINTERPRINT_")
        return {name: text for name, text in os.environ.items() if not name.startswith(ours)}

    def start(self) -> None:
        """Start `serve`, and wait until its worker takes runs."""
        log = self.folder / "serve.log"
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flows", "serve", "--settings", str(self.settings)],
                cwd=ROOT, env=self.environ, stdout=output, stderr=output,
            )  # fmt: skip
        process = self.process

        def is_serving() -> bool:
            text = log.read_text(errors="replace")
            if process.poll() is not None:
                raise RuntimeError(f"serve ended: {text}")
            return "serving;" in text

        wait_for(is_serving, _START_S)

    def processes(self) -> list[psutil.Process]:
        """Return all processes of the installation, `serve` first."""
        if self.process is None:
            return []
        serve = psutil.Process(self.process.pid)
        return [serve, *serve.children(recursive=True)]

    def worker(self) -> psutil.Process:
        """Return the worker's process."""
        return next(p for p in self.processes() if "worker" in p.cmdline())

    def runner(self, run_id: str) -> psutil.Process:
        """Return the process that does a run, once it has begun."""
        held = self.folder / "prefect" / "running" / f"{run_id}.lock"
        wait_for(held.exists, PATIENCE_S)
        (found,) = (p for p in self.processes() if has_open(p, held))
        return found

    def kill_all(self) -> int:
        """Kill every process at once, and return how many there were."""
        processes = self.processes()
        for process in processes:
            process.suspend()  # none shall see another one's end
        for process in processes:
            process.kill()
        psutil.wait_procs(processes)
        if self.process is not None:
            self.process.wait()
        return len(processes)

    def stop(self) -> None:
        """Stop `serve` as a service manager does."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()

    def ask(self, path: str, content: dict[str, Any] | None = None) -> Any:
        """Return what the server's API answers."""
        data = None if content is None else json.dumps(content).encode()
        headers = {"Content-Type": "application/json"}
        url = f"http://127.0.0.1:{self.port}/api/{path}"
        request = urllib.request.Request(url, data, headers)
        for _ in range(_BUSY_TRIES):
            with (
                suppress(urllib.error.HTTPError),
                urllib.request.urlopen(request, timeout=60) as got,
            ):
                return json.loads(got.read())
            time.sleep(1)  # its database is busy: 503
        raise TimeoutError(f"{url}: no answer")

    def score(self, day: str) -> str:
        """Ask for a run of `score-daily` for a day, and return its id."""
        deployment = self.ask("deployments/name/score/score-daily")["id"]
        asked = {"parameters": {"settings": str(self.settings), "date": day}}
        return self.ask(f"deployments/{deployment}/create_flow_run", asked)["id"]

    def state(self, run_id: str) -> str:
        """Return the name of a run's state."""
        return self.ask(f"flow_runs/{run_id}")["state"]["name"]

    def n_alerts(self, run_id: str) -> int:
        """Return how many events say that a run crashed: what an automation listens for."""
        wanted = {
            "event": {"name": ["prefect.flow-run.Crashed"]},
            "resource": {"id": [f"prefect.flow-run.{run_id}"]},
        }
        return self.ask("events/filter", {"filter": wanted})["total"]

    def is_scored(self, day: str) -> bool:
        """Say whether a day's partition is there."""
        return (self.folder / "scores" / f"run_date={day}" / SUCCESS).exists()

    def live_runs(self) -> list[dict[str, Any]]:
        """Return the runs that Prefect's server takes for working."""
        wanted = {"flow_runs": {"state": {"type": {"any_": list(_LIVE)}}}}
        return self.ask("flow_runs/filter", wanted)

    def n_slots_taken(self) -> int:
        """Return how many slots of all limits are taken."""
        limits = self.ask("v2/concurrency_limits/filter", {})
        return sum(limit["active_slots"] for limit in limits)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def has_open(process: psutil.Process, path: Path) -> bool:
    """Say whether a process has a file open."""
    try:
        return any(Path(file.path) == path for file in process.open_files())
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Callable[[], bool], patience_s: float) -> float:
    """Wait until something is true, and return how long it took; TimeoutError if it isn't."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > patience_s:
            raise TimeoutError(f"not within {patience_s:.0f} s")
        time.sleep(0.25)
    return time.monotonic() - began


@contextmanager
def served(folder: Path, n_days: int) -> Iterator[Site]:
    """Give a site that is served; at the end nothing of it is left running."""
    site = Site(folder, n_days)
    try:
        site.start()
        yield site
        site.stop()
    finally:
        if site.process is not None and site.process.poll() is None:
            site.kill_all()


def cut(site: Site, day: str, after_s: float) -> Cut:
    """Ask for a day, kill everything `after_s` later, start `serve`, and look what comes."""
    run_id = site.score(day)
    time.sleep(after_s)
    state = site.state(run_id)
    n_killed = site.kill_all()
    scored_s = 0.0 if site.is_scored(day) else None
    began = time.monotonic()
    site.start()
    with suppress(TimeoutError):
        if scored_s is None:
            wait_for(lambda: site.is_scored(day), PATIENCE_S)
            scored_s = time.monotonic() - began
    with suppress(TimeoutError):
        wait_for(lambda: site.state(run_id) == "Completed", PATIENCE_S)
    if state not in (
        "Scheduled",
        "Late",
        "Completed",
    ):  # else there was no process, or nothing left
        with suppress(TimeoutError):
            wait_for(lambda: site.n_alerts(run_id) > 0, 20.0)  # events are written a little later
    return Cut(day, after_s, state, n_killed, scored_s, site.state(run_id), site.n_alerts(run_id))


def to_row(one: Cut) -> str:
    """Return what came of a day as a row of a table."""
    scored = "lost" if one.scored_s is None else f"{one.scored_s:.0f} s" if one.scored_s else "-"
    return (
        f"| {one.day} | {one.after_s:.1f} s | {one.state} | {one.n_killed} | {scored} "
        f"| {one.end} | {one.n_alerts} |"
    )


def to_text(found: Sequence[Cut], n_live: int, n_slots: int) -> str:
    """Return what came of all of them."""
    lost = sum(one.scored_s is None for one in found)
    done_s = sorted(one.scored_s for one in found if one.scored_s)
    middle = f"{done_s[len(done_s) // 2]:.0f} s, at most {done_s[-1]:.0f} s" if done_s else "never"
    n_alerts = sum(one.n_alerts for one in found)
    return (
        f"{len(found)} cuts: {lost} days lost, 0 hands; {len(done_s)} were not scored "
        f"yet, and were after {middle}; "
        f"{n_alerts} alerts; then {n_live} runs live, {n_slots} slots taken"
    )


def main() -> None:
    """Cut the power as often as asked for, and say what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="pointerprint-power-") as folder,
        served(Path(folder) / "site", arguments.cuts + 2) as site,
    ):
        span_s = 0.0
        for day in site.days[:2]:  # the first compiles
            run_id = site.score(day)
            span_s = wait_for(lambda run_id=run_id: site.state(run_id) == "Completed", PATIENCE_S)
        print(f"a run takes {span_s:.0f} s; each is cut at a random moment of these\n")
        print("| day | cut after | state then | killed | scored after | in the end | alerts |")
        print("|---|---|---|---|---|---|---|", flush=True)
        rng = random.Random(arguments.seed)
        found = []
        for day in site.days[2:]:
            found.append(cut(site, day, rng.uniform(0, span_s)))
            print(to_row(found[-1]), flush=True)
        with suppress(TimeoutError):
            wait_for(lambda: not site.live_runs() and not site.n_slots_taken(), PATIENCE_S)
        n_live, n_slots = len(site.live_runs()), site.n_slots_taken()
    print("\n" + to_text(found, n_live, n_slots))
    sys.exit(any(one.scored_s is None for one in found) or n_live or n_slots)


if __name__ == "__main__":
    main()
