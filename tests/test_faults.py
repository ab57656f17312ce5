"""Faults around the program: what the user sees, what is left, that a rerun completes."""

import gzip
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from faults import FAULTS
from pyarrow import fs
from tiny import TINY, easy_store, score_now, untrained

from flows.console import Stopped, stoppable
from flows.jobs.days import is_published
from flows.prefect.environment import is_healthy
from flows.settings import Settings, find_settings, settings_toml
from model.checkpoint import HISTORY, TRAINING_STATE
from model.run import load_model, save_model
from pipeline.errors import LogError, PublishError, StorageError
from pipeline.ingest.ingest import ingest_logs
from pipeline.scores.partitions import read_quarantine
from pipeline.storage.paths import as_path
from pipeline.storage.publish import write_json, write_parquet
from pipeline.storage.store import load_sessions

HEADER = "session_id,t_ms,x,y\n"
DAY = "2026-11-01"
PATIENCE_S = 300  # on a machine with other work


def log_of(name: str, n: int = 20) -> str:
    return HEADER + "".join(f"{name},{16 * i},{i * i % 1000},{7 * i % 800}\n" for i in range(n))


def ingest(path: Path, store: Path):
    return ingest_logs([path], store, ingest_date=DAY)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "flows", *map(str, arguments)]


@contextmanager
def small_disk(folder: Path, size: str):
    """Mount a small disk in memory; skip where that isn't allowed."""
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(options, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"a small disk needs root: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_disk_full(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "small.csv").write_text(log_of("small"))
    with small_disk(tmp_path / "disk", "256k") as disk:
        assert ingest(logs, disk / "store").n_sessions == 1
        noise = np.random.default_rng(0).integers(-9000, 9000, (100_000, 2))
        rows = "".join(f"large,{i},{x},{y}\n" for i, (x, y) in enumerate(noise.tolist()))
        (logs / "large.csv").write_text(HEADER + rows)
        with pytest.raises(PublishError, match=r"can't be written.*No space left on device"):
            ingest(logs, disk / "store")
        assert load_sessions([disk / "store"]).session_id.tolist() == ["small"]
        assert not list(disk.rglob(".*"))
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        assert ingest(logs, disk / "store").n_sessions == 1
        assert set(load_sessions([disk / "store"]).session_id) == {"small", "large"}


def test_read_only(tmp_path):
    (tmp_path / "log.csv").write_text(log_of("a"))
    with small_disk(tmp_path / "disk", "5m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(PublishError, match=r"can't be locked.*Read-only file system"):
            ingest(tmp_path / "log.csv", disk / "store")
        assert list(disk.iterdir()) == []
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert ingest(tmp_path / "log.csv", disk / "store").n_sessions == 1


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs users")
def test_permission_denied(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "mine.csv").write_text(log_of("mine"))
    (logs / "theirs.csv").write_text(log_of("theirs"))
    (logs / "theirs.csv").chmod(0o000)
    closed = tmp_path / "closed" / "below"
    closed.mkdir(parents=True)
    (closed / "more.csv").write_text(log_of("more"))
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == tmp_path.owner() and "pytest" in str(folder):
            folder.chmod(0o755)
    closed.chmod(0o000)
    (tmp_path / "out").mkdir(mode=0o777)
    (tmp_path / "out").chmod(0o777)
    script = f"""
import os, sys
from pathlib import Path
from pipeline.errors import PointerprintError
from pipeline.ingest.ingest import ingest_logs
logs, store = Path({str(logs)!r}), Path({str(tmp_path / "out" / "store")!r})
ingest_logs([logs / "mine.csv"], store.with_name("warm"), ingest_date={DAY!r})  # imports
if os.geteuid() == 0:
    os.umask(0)
    os.seteuid(65534)
report = ingest_logs([logs], store, ingest_date={DAY!r})
print(report.n_sessions, dict(report.not_logs))
closed = logs.with_name("closed")
for path in (logs / "theirs.csv", closed, closed / "below" / "more.csv"):
    try:
        ingest_logs([path], store, ingest_date={DAY!r})
    except PointerprintError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    in_folder, by_name, in_closed, closed_by_name = done.stdout.splitlines()
    assert in_folder.startswith("1 {'logs/theirs.csv': ")
    assert "Permission denied" in in_folder
    assert "Permission denied" in by_name
    assert f"{closed}: it can't be looked into: Permission denied" in in_closed
    assert "it can't be looked into: Permission denied" in closed_by_name
    closed.chmod(0o755)
    (logs / "theirs.csv").chmod(0o644)
    assert ingest(logs, tmp_path / "out" / "store").n_sessions == 1


def parquet_log() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(pd.read_csv(io.StringIO(log_of("a", 900)))), sink)
    return sink.getvalue()


@pytest.mark.parametrize("kind", ["gzip", "parquet"])
def test_cut_short(kind, tmp_path):
    rng = np.random.default_rng(0)  # hard to pack: the beginning is readable after the cut
    rows = "".join(f"a,{i},{x},{x}\n" for i, x in enumerate(rng.integers(0, 9999, 90_000)))
    whole = gzip.compress((HEADER + rows).encode()) if kind == "gzip" else parquet_log()
    path = tmp_path / "log"
    path.write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(LogError, match="is the file complete"):
        ingest(path, tmp_path / "store")
    path.write_bytes(whole)
    report = ingest(path, tmp_path / "store")
    assert (report.n_sessions, report.rejected) == (1, {})


def test_a_clock_that_jumps(tmp_path):
    back = [*range(0, 90_000, 9000), *range(5, 90, 9)]
    years = [1_700_000_000_000 + i for i in range(20)] + [1_900_000_000_000]
    rows = [f"back,{t},1,1\n" for t in back] + [f"years,{t},1,1\n" for t in years]
    (tmp_path / "log.csv").write_text(HEADER + "".join(rows))
    report = ingest(tmp_path / "log.csv", tmp_path / "store")
    assert (report.notes["clock_reset"], report.rejected) == (1, {"absurd_time": 1})
    sessions = load_sessions([tmp_path / "store"])
    steps = np.diff(sessions.t_us)
    steps[sessions.offsets[1:-1] - 1] = 0
    assert (steps >= 0).all()
    assert ingest(tmp_path / "log.csv", tmp_path / "store").n_files_skipped == 1


@dataclass(frozen=True)
class Ended:
    """How a command ended that was told to stop."""

    status: int
    said: str  # on stderr
    n_left: int  # processes that it started and left


def stopped(arguments: list[str], has_begun, environ: dict[str, str] | None = None) -> Ended:
    """Start a command, SIGTERM it as soon as it has begun, and return how it ended."""
    process = subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=os.environ | (environ or {}),
    )  # fmt: skip
    end = time.monotonic() + PATIENCE_S
    while process.poll() is None and not has_begun() and time.monotonic() < end:
        time.sleep(0.005)
    children = (
        psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    )
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=PATIENCE_S)[1]
    return Ended(process.returncode, said, len(psutil.wait_procs(children, 10)[1]))


def waits_after(function: str, prepare: str = "") -> list[str]:
    """Return a command like `pointerprint` that waits once `function` was called.

    So it can't end before SIGTERM comes, however late that is on a busy machine.
    """
    module, _, name = function.rpartition(".")
    return python(f"""{prepare}
import time
import {module} as module

def waits(*arguments, real=module.{name}):
    list(real(*arguments) or ())  # it may be a generator
    time.sleep({10 * PATIENCE_S})

module.{name} = waits
""")


def python(prepare: str = "") -> list[str]:
    """Return a command like `pointerprint` that runs some code first."""
    run = "from flows.cli import main\nif __name__ == '__main__': main()"
    return [sys.executable, "-c", f"{prepare}\n{run}"]


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


STOPPED = "stopped by SIGTERM: the same command again completes it"


def test_sigterm(tmp_path):
    logs, store = tmp_path / "logs", tmp_path / "store"
    logs.mkdir()
    for i in range(150):
        (logs / f"{i:03}.csv").write_text(log_of(f"s{i}"))
    arguments = ["ingest", str(logs), "--to", str(store), "--date", DAY]
    ended = stopped(
        waits_after("pipeline.ingest.ingest.write_part") + arguments,
        lambda: any(store.glob("*/part-*.parquet")),  # one of three parts
    )
    assert (ended.status, last_line(ended.said)) == (128 + signal.SIGTERM, STOPPED)
    assert "Traceback" not in ended.said
    everyone = {f"s{i}" for i in range(150)}
    assert 0 < len(load_sessions([store])) < 150
    assert not list(tmp_path.rglob(".*"))  # nothing half written
    subprocess.run(command(*arguments), cwd=ROOT, check=True, capture_output=True)
    assert set(load_sessions([store]).session_id) == everyone


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_sigterm_while_scoring(workers, tmp_path):
    logs, scores, run = tmp_path / "logs", tmp_path / "scores", tmp_path / "run"
    logs.mkdir()
    for i in range(200):
        (logs / f"{i:03}.csv").write_text(log_of(f"s{i}", 40) + f"s{i},never,1,1\n")
    save_model(untrained(), run)
    small = "from pipeline.storage import shards; shards.SHARD_LOG_BYTES = 1"
    arguments = ["score", logs, "--model", run, "--to", scores, "--date", DAY]
    arguments = [*map(str, arguments), "--workers", str(workers)]
    waiting = waits_after("flows.jobs.score.score_shard", small)  # two workers have their own
    (tmp_path / "tmp").mkdir()
    staging = tmp_path / "scores.staging"
    ended = stopped(
        waiting + arguments,
        lambda: any(staging.glob("*/shard-*.json")),
        {"TMPDIR": str(tmp_path / "tmp")},
    )
    assert (ended.status, last_line(ended.said)) == (128 + signal.SIGTERM, STOPPED)
    assert "Traceback" not in ended.said
    assert ended.n_left == 0
    assert not scores.exists()
    assert list((tmp_path / "tmp").iterdir()) == []
    n_done = len(list(staging.glob("*/shard-*.json")))
    assert 0 < n_done < 200
    done = subprocess.run(
        python(small) + arguments, cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert "200 sessions" in done.stderr
    table = pd.read_parquet(scores)
    assert sorted(table["session_id"]) == sorted(f"s{i}" for i in range(200))
    assert read_quarantine(scores / f"run_date={DAY}").num_rows == 200
    assert not staging.exists()


def test_sigterm_while_training(tmp_path):
    store, run = easy_store(tmp_path / "store"), tmp_path / "run"
    settings = replace(Settings(), run=TINY)
    (tmp_path / "run.toml").write_text(settings_toml(settings, find_settings()))
    arguments = ["train", store, "--to", run, "--config", tmp_path / "run.toml"]
    arguments = [*map(str, arguments), "--train.epochs", "12", "--train.patience", "12"]
    state = tmp_path / "run.training"
    ended = stopped(
        waits_after("model.train.save_training") + arguments,
        lambda: (state / TRAINING_STATE).is_file(),
    )
    assert ended.status == 128 + signal.SIGTERM
    assert last_line(ended.said) == (
        "stopped by SIGTERM: with --resume it goes on from the last epoch that was finished"
    )
    assert "Traceback" not in ended.said
    assert not run.exists()
    with np.load(state / TRAINING_STATE) as kept:
        n_done = len(json.loads(str(kept[HISTORY])))
    assert 0 < n_done < 12
    done = subprocess.run(
        command(*arguments, "--resume"), cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stderr.count("epoch ") == 12 - n_done  # what was learnt is not learnt again
    assert load_model(run).model_id
    assert not state.exists()


def test_a_second_sigterm_ends_it_at_once_and_handlers_are_as_before():
    before = signal.getsignal(signal.SIGTERM)

    def told():
        with stoppable():
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

    with pytest.raises(Stopped):
        told()
    assert signal.getsignal(signal.SIGTERM) == before


FLOW = """
import time
from pipeline.storage import shards
from flows.jobs import score as job
shards.SHARD_SESSIONS, real = 1, job.score_shard

def slowly(*arguments):
    time.sleep(0.1)
    return real(*arguments)

job.score_shard = slowly
from flows.prefect.entrypoints import score
score(store={store!r}, model={run!r}, scores={scores!r}, date={day!r})
"""


@pytest.mark.prefect
def test_prefects_server_gone_in_the_middle(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.storage.store.GROUP_SESSIONS", 1)
    store, run, scores = easy_store(tmp_path / "store", 16), tmp_path / "run", tmp_path / "scores"
    save_model(untrained(), run)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environ = kept | {
        "PREFECT_HOME": str(tmp_path / "prefect"), "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1",
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api", "PREFECT_CLIENT_MAX_RETRIES": "0",
    }  # fmt: skip
    start = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "server.log").open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, *start], cwd=tmp_path, env=environ, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        wait_until(lambda: is_healthy(environ["PREFECT_API_URL"]))
        code = FLOW.format(store=str(store), run=str(run), scores=str(scores), day=DAY)
        flow = subprocess.Popen(
            [sys.executable, "-c", code], cwd=tmp_path, env=environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        staging = tmp_path / "scores.staging"
        wait_until(lambda: flow.poll() is not None or any(staging.glob("*/shard-*.json")))
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    said = flow.communicate(timeout=PATIENCE_S)[0]
    assert flow.returncode, said  # Prefect can't be told how it ended
    assert "the work goes on" in said, said
    assert "httpx.ConnectError" in said
    assert is_published(scores, DAY)  # the work was done all the same
    before = pd.read_parquet(scores)
    assert len(before) == 32
    again = pd.read_parquet(score_now([store], run, scores, DAY))
    of_the_run = ["run_id", "scored_at", "run_date"]
    pd.testing.assert_frame_equal(
        again.drop(columns=of_the_run, errors="ignore"), before.drop(columns=of_the_run), rtol=1e-5
    )


def wait_until(condition) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


class Flaky:
    """A server that answers every third request with an error, or none once it is gone."""

    def __init__(self, application):
        self.application = application
        self.n_requests = self.n_failed = 0
        self.every = 0

    def __call__(self, environ, start_response):
        self.n_requests += 1
        if self.every and self.n_requests % self.every == 0:
            self.n_failed += 1
            start_response("503 Slow Down", [("Content-Type", "text/xml")])
            return [b"<Error><Code>SlowDown</Code></Error>"]
        return self.application(environ, start_response)


@pytest.fixture
def flaky_s3():
    """Start an S3 server on loopback that can be made to fail; give it, and a bucket's URL."""
    pytest.importorskip("moto", reason="no moto: `make setup` brings it")
    from pipeline.storage import paths as places

    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        from moto.moto_server import threaded_moto_server as moto_server

        made = []

        def failing(*arguments, **options):
            made.append(Flaky(create_app(*arguments, **options)))
            return made[-1]

        create_app = moto_server.DomainDispatcherApplication
        patch.setattr(moto_server, "DomainDispatcherApplication", failing)
        server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        }.items():  # fmt: skip
            patch.setenv(name, value)
        places._connect.cache_clear()
        s3 = fs.S3FileSystem(endpoint_override=f"http://{host}:{port}", allow_bucket_creation=True)
        s3.create_dir("flaky")
        yield made[0], server
        server.stop()
        places._connect.cache_clear()


def test_s3_that_fails_every_third_request(flaky_s3, tmp_path):
    flaky, _ = flaky_s3
    (tmp_path / "log.csv").write_text(log_of("a"))
    flaky.every = 3
    store = as_path("s3://flaky/store")
    assert ingest(tmp_path / "log.csv", store).n_sessions == 1
    assert load_sessions([store]).session_id.tolist() == ["a"]
    assert flaky.n_failed > 0


def test_s3_that_is_gone(flaky_s3):
    flaky, _ = flaky_s3
    table = pa.table({"n": [1]})
    write_parquet(table, as_path("s3://flaky/gone/there.parquet"))
    flaky.every = 1
    with pytest.raises(StorageError, match="the object store says"):
        write_json({"a": 1}, as_path("s3://flaky/gone/new.json"))
    flaky.every = 0
    names = {path.name for path in as_path("s3://flaky/gone").rglob("*")}
    assert names == {"there.parquet"}
    write_json({"a": 1}, as_path("s3://flaky/gone/new.json"))
    assert as_path("s3://flaky/gone/new.json").read_text().startswith("{")


def test_the_table_of_faults_has_every_fault_and_each_has_a_test():
    page = (ROOT / "docs" / "reliability.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == [f.what for f in FAULTS]
    for fault in FAULTS:
        file, _, name = fault.test.partition("::")
        text = (ROOT / "tests" / file).read_text()
        assert f"def {name.partition('[')[0]}(" in text, fault.test
        assert f"| {fault.seen} | {fault.left} | {fault.again} |" in page
