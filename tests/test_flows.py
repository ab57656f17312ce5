"""The flows, run by a real Prefect server; and that their deployments fit them."""

import importlib
import inspect
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT
from tiny import TINY, easy_store

from model.run import config_json
from pipeline.store import read_sessions

pytestmark = pytest.mark.prefect
DAY = "2026-11-01"


@pytest.fixture(scope="session")
def prefect(tmp_path_factory):
    """Start a server with a database of its own; Prefect is imported only now: it takes long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        import flows.settings  # noqa: F401 - before Prefect

        # isort: split
        from prefect.testing.utilities import prefect_test_harness

        with prefect_test_harness(server_startup_timeout=180):
            yield importlib.import_module("prefect")


def flow_of(name: str):
    """Return the flow of that name."""
    return getattr(importlib.import_module(f"flows.{name}"), name)


@pytest.fixture(scope="session")
def model(prefect, tmp_path_factory) -> Path:
    """Return what the train flow made, its settings given as a deployment gives them."""
    folder = tmp_path_factory.mktemp("flows")
    store = easy_store(folder / "store")
    settings = config_json(TINY)
    return flow_of("train")(stores=[str(store)], run=str(folder / "run"), config=settings)


def test_ingest_adds_the_day_to_the_store(prefect, sample_dir, tmp_path):
    logs = [str(sample_dir / "formats" / "recordings.parquet")]
    store = flow_of("ingest")(logs=logs, store=str(tmp_path / "store"), date=DAY)

    (sessions,) = read_sessions(store, DAY)
    assert len(sessions) == 4


def test_without_a_date_a_run_is_about_the_day_it_was_scheduled_for(prefect, sample_dir, tmp_path):
    before = datetime.now(UTC).date().isoformat()
    logs = [sample_dir / "formats" / "recordings.parquet"]
    flow_of("ingest")(logs=logs, store=tmp_path / "store")
    after = datetime.now(UTC).date().isoformat()

    (partition,) = (tmp_path / "store").iterdir()
    assert partition.name in (f"ingest_date={before}", f"ingest_date={after}")


def test_train_then_score_gives_every_session_a_row(prefect, model, sample_dir, tmp_path):
    log = str(sample_dir / "formats" / "recordings.parquet")
    state = flow_of("score")(
        sources=[log], model=model, scores=tmp_path / "scores", date=DAY, return_state=True
    )
    partition = state.result()

    assert partition == tmp_path / "scores" / f"run_date={DAY}"
    assert (partition / "_SUCCESS").exists()
    scores = pd.read_parquet(partition)
    assert len(scores) == 4
    assert scores["fraud_score"].notna().any()
    assert (model / "MODEL_CARD.md").exists()
    with prefect.get_client(sync_client=True) as client:
        assert client.read_flow_run(state.state_details.flow_run_id).name == f"score-{DAY}"


def test_a_failure_fails_the_run_and_publishes_nothing(prefect, tmp_path):
    state = flow_of("score")(
        sources=[tmp_path], model=tmp_path, scores=tmp_path / "scores", date=DAY, return_state=True
    )

    assert state.is_failed()
    assert "there is no trained model here" in state.message
    assert not (tmp_path / "scores").exists()


def deployments() -> list[dict]:
    """Return what prefect.yaml deploys."""
    return yaml.safe_load((ROOT / "flows" / "prefect.yaml").read_text())["deployments"]


@pytest.mark.parametrize("deployment", deployments(), ids=lambda found: found["name"])
def test_a_deployment_fits_its_flow(prefect, deployment):
    path, _, name = deployment["entrypoint"].partition(":")
    flow = flow_of(name)

    assert path == f"flows/{name}.py"
    assert (ROOT / path).is_file()
    assert isinstance(flow, prefect.Flow)
    parameters = deployment.get("parameters", {})
    signature = inspect.signature(flow.fn)
    signature.bind_partial(**parameters)
    if deployment["schedules"]:  # nobody is there to give the rest
        signature.bind(**parameters)
        assert flow.validate_parameters(parameters)
