"""What tests share: where the real recordings are, and small sessions made by hand."""

import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from flows.prefect.environment import set_prefect_defaults
from model.device import compilation_cache
from pipeline.sessions.sessions import Sessions
from pipeline.storage.publish import lock

ROOT = Path(__file__).resolve().parent.parent
LONGEST = {
    *("test_faults.py", "test_flows.py", "test_secrets.py", "test_serve.py", "test_supply.py"),
    *("test_cloud.py", "test_network.py", "test_owner.py", "test_report_page.py"),
}

# A busy machine is no fault: no example is failed for its time.
settings.register_profile("pointerprint", deadline=None)
settings.load_profile("pointerprint")


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment before anything is imported that reads it.

    What JAX compiles is kept for the other workers and the next run. Prefect reads its settings
    when a test first imports it, whichever test that is, and keeps what it made of them.
    """
    set_prefect_defaults()
    kept = config.cache.mkdir("jax") / compilation_cache(version("jaxlib")).name
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(kept))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real recordings, or skip: they are not part of the checkout."""
    folder = Path(os.environ.get("POINTERPRINT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}: set POINTERPRINT_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def sample_dir() -> Path:
    """Return the checkout's sample_data/."""
    return ROOT / "sample_data"


@pytest.fixture(scope="session")
def saved_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the RUN of a model that nobody trained: tests read it and leave it as it is."""
    from tiny import untrained  # which loads JAX: most tests don't need it

    from model.run import save_model

    folder = tmp_path_factory.mktemp("run")
    save_model(untrained(), folder)
    return folder


@pytest.fixture
def run(saved_run: Path, tmp_path: Path) -> Path:
    """Return a copy of that RUN, which a test may break."""
    return shutil.copytree(saved_run, tmp_path / "run")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder to be read: `run`, trained on easy sessions, and its `figures.json`."""
    return once(tmp_path_factory, "trained", _train)


def _train(folder: Path) -> None:
    from tiny import TINY, easy_store

    from flows.jobs.progress import finish
    from flows.jobs.train import TrainJob, train

    figures = finish(train(TrainJob((easy_store(folder / "easy"),), folder / "run", TINY)))
    (folder / "figures.json").write_text(json.dumps(figures.to_json()))


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that `make` has filled, once for all workers of a run."""
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    folder = (factory.getbasetemp().parent if is_worker else factory.getbasetemp()) / name
    with lock(folder):
        if not folder.is_dir():
            made = factory.mktemp(name)
            make(made)
            made.rename(folder)
    return folder


@pytest.fixture(scope="session")
def trained_run(trained: Path) -> Path:
    """Return that RUN."""
    return trained / "run"


@pytest.fixture(scope="module")
def bucket() -> Iterator[Path]:
    """Start an S3 server on loopback and give the URL of an empty bucket in it."""
    pytest.importorskip("moto", reason="no moto: `make setup` brings it")
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        from moto.server import ThreadedMotoServer
        from pyarrow import fs

        from pipeline.storage.paths import as_path

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        }.items():
            patch.setenv(name, value)
        made = fs.S3FileSystem(
            endpoint_override=f"http://{host}:{port}", allow_bucket_creation=True
        )
        made.create_dir("bucket")
        yield as_path("s3://bucket")
        server.stop()


def make_sessions(*paths: list[tuple], **columns: object) -> Sessions:
    """Return sessions from lists of (t_ms, x, y[, kind]) rows; `columns` replace the defaults."""
    rows = [row if len(row) == 4 else (*row, 0) for path in paths for row in path]
    t_ms, x, y, kind = np.array(rows, np.float64).reshape(-1, 4).T
    n = len(paths)
    defaults = {
        "session_id": np.array([f"s{i}" for i in range(n)], object),
        "account_id": np.full(n, None, object),
        "source": np.full(n, "csv", object),
        "recorder": np.full(n, None, object),
        "started_at": np.full(n, np.datetime64("NaT", "us"), "datetime64[us]"),
        "label": np.full(n, -1, np.int8),
        "viewport_width": np.zeros(n, np.int32),
        "viewport_height": np.zeros(n, np.int32),
        "source_file": np.full(n, "log.csv", object),
        "source_sha256": np.full(n, "0" * 64, object),
        "offsets": np.cumsum([0, *map(len, paths)]).astype(np.int64),
        "t_us": (t_ms * 1000).astype(np.int64),
        "x_px": x.astype(np.float32),
        "y_px": y.astype(np.float32),
        "kind": kind.astype(np.int8),
        "button": np.zeros(len(rows), np.int8),
    }
    return Sessions(**defaults | columns)
