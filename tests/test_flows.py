"""The flows, run by a real Prefect server; and that their deployments fit them."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, make_sessions
from tiny import TINY, easy_store

from flows.settings import ScheduleConfig, ServerConfig, Settings
from pipeline.schemas import QUARANTINE
from pipeline.storage.records import record_json
from pipeline.storage.store import Part, read_sessions, write_part

pytestmark = pytest.mark.prefect
DAY = "2026-11-01"
POOL = "killed"


@pytest.fixture(scope="module")
def prefect(tmp_path_factory):
    """Start a server with a database of its own; Prefect is imported only now: it takes long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.chdir(tmp_path_factory.mktemp("work"))  # no pointerprint.toml there
        from prefect.testing.utilities import prefect_test_harness

        with prefect_test_harness(server_startup_timeout=180):
            yield importlib.import_module("prefect")


def flow_of(name: str):
    """Return the flow of that name."""
    return getattr(importlib.import_module("flows.prefect.entrypoints"), name)


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    return easy_store(tmp_path_factory.mktemp("flows") / "store")


@pytest.fixture(scope="module")
def model(prefect, store) -> Path:
    """Return what the train flow made, its settings given as a deployment gives them."""
    return flow_of("train")(
        store=str(store), models=str(store.with_name("models")), config=record_json(TINY)
    )


def test_ingest_adds_the_day_to_the_store(prefect, sample_dir, tmp_path):
    logs = [str(sample_dir / "formats" / "recordings.parquet")]
    flow_of("ingest")(logs=logs, store=str(tmp_path / "store"), date=DAY)

    (sessions,) = read_sessions(tmp_path / "store", DAY)
    assert len(sessions) == 4


def test_without_a_date_a_run_is_about_the_day_it_was_scheduled_for(prefect, sample_dir, tmp_path):
    before = datetime.now(UTC).date().isoformat()
    logs = [sample_dir / "formats" / "recordings.parquet"]
    flow_of("ingest")(logs=logs, store=tmp_path / "store")
    after = datetime.now(UTC).date().isoformat()

    (partition,) = (tmp_path / "store").iterdir()
    assert partition.name in (f"ingest_date={before}", f"ingest_date={after}")


def test_a_day_begins_in_the_time_zone_of_the_settings(prefect, monkeypatch):
    from flows.prefect import parameters

    class Scheduled:
        scheduled_start_time = datetime(2026, 11, 1, 23, 30, tzinfo=UTC)

    monkeypatch.setattr(parameters, "flow_run", Scheduled)
    berlin = Settings(schedule=ScheduleConfig(timezone="Europe/Berlin"))
    assert parameters.run_day(None, Settings()) == "2026-11-01"
    assert parameters.run_day(None, berlin) == "2026-11-02"


def test_train_then_score_gives_every_session_a_row(prefect, model, store, tmp_path):
    state = flow_of("score")(
        store=store, model=model.parent, scores=tmp_path / "scores", date=DAY, return_state=True
    )
    partition = state.result()

    assert partition == tmp_path / "scores" / f"run_date={DAY}"
    assert (partition / "_SUCCESS").exists()
    scores = pd.read_parquet(partition)
    assert len(scores) == 128
    assert scores["fraud_score"].notna().any()
    assert set(scores["model_id"]) == {model.name}
    with prefect.get_client(sync_client=True) as client:
        assert client.read_flow_run(state.state_details.flow_run_id).name == f"score-{DAY}"


def test_a_failure_fails_the_run_and_publishes_nothing(prefect, store, tmp_path):
    state = flow_of("score")(
        store=store, model=tmp_path, scores=tmp_path / "scores", date=DAY, return_state=True
    )

    assert state.is_failed()
    assert "there is no trained model here" in state.message
    assert not (tmp_path / "scores").exists()


def test_strong_drift_fails_the_run_and_the_table_is_there(prefect, model, store, tmp_path):
    day = "2026-11-02"
    slow = [[(5000 * i, i * i, 3 * i) for i in range(40)] for _ in range(60)]
    ids = np.array([f"slow{i}" for i in range(60)], object)
    strange = tmp_path / "store"
    write_part(
        Part(strange, day, "0"),
        [make_sessions(*slow, session_id=ids)],
        QUARANTINE.empty_table(),
        {"files": []},
    )
    scores, drift = tmp_path / "scores", tmp_path / "drift"
    models = model.parent
    flow_of("score")(store=strange, model=models, scores=scores, date=day)
    state = flow_of("monitor")(
        store=strange, models=models, scores=scores, drift=drift, date=day, return_state=True
    )

    assert state.is_failed()
    assert f"strong drift on {day}" in state.message
    assert "duration_s" in state.message
    levels = pd.read_parquet(drift / f"run_date={day}").set_index("measure")["level"]
    assert "strong" in set(levels["duration_s"])
    with prefect.get_client(sync_client=True) as client:
        keys = {artifact.key for artifact in client.read_artifacts()}
    assert {"drift", "drift-summary", "model-card", "top-scores"} <= keys


def test_the_adapt_flow_says_what_it_did_and_does_nothing_where_all_is_covered(
    prefect, model, store, tmp_path
):
    flow = flow_of("adapt")
    models = shutil.copytree(model.parent, tmp_path / "models")
    here = {"store": store, "models": models, "scores": tmp_path, "date": DAY}
    state = flow(**here, return_state=True)
    assert state.is_completed()
    assert state.message == "it was set for every recorder of these sessions"
    (sessions,) = read_sessions(store, DAY)
    elsewhere = replace(sessions, recorder=np.full(len(sessions), "our shop", object))
    elsewhere = elsewhere.take(np.flatnonzero(sessions.label == 0))
    part = Part(tmp_path / "store", DAY, "0")
    write_part(part, [elsewhere], QUARANTINE.empty_table(), {"files": []})
    few = flow(**here | {"store": tmp_path / "store"}, return_state=True)
    assert few.message == "200 sessions of a recorder are needed, there are our shop: 64"
    form = {"days": 3, "min_sessions": 50}
    state = flow(**here | {"store": tmp_path / "store"}, config=form, return_state=True)
    assert state.is_completed()
    assert "our shop" in state.message
    with prefect.get_client(sync_client=True) as client:
        shown = [a for a in client.read_artifacts() if a.key == "adapt"]
    assert any("# Level as of 2026-11-01: nothing changed" in a.data for a in shown)


def test_what_another_try_cannot_mend_is_not_tried_again(prefect):
    from prefect.states import Failed

    from flows.prefect.parameters import may_pass
    from pipeline.errors import NotFoundError, PublishError

    def failed(error: Exception):
        return Failed(data=error, message=str(error))

    assert may_pass(None, None, failed(PublishError("a", "the disk is full")))
    assert may_pass(None, None, failed(ConnectionError("gone")))
    assert not may_pass(None, None, failed(NotFoundError("a", "not there")))


def deployments() -> list[dict]:
    """Return what prefect.yaml deploys."""
    return yaml.safe_load((ROOT / "flows" / "prefect.yaml").read_text())["deployments"]


@pytest.mark.parametrize("deployment", deployments(), ids=lambda found: found["name"])
def test_a_deployment_fits_its_flow(prefect, deployment):
    path, _, name = deployment["entrypoint"].partition(":")
    flow = flow_of(name)

    assert path == "flows/prefect/entrypoints.py"
    assert (ROOT / path).is_file()
    assert isinstance(flow, prefect.Flow)
    assert flow.validate_parameters(deployment.get("parameters", {})) is not None
    assert not flow.parameters.required  # nobody is there to give any
    properties = flow.parameters.properties
    assert all(about["description"] for about in properties.values())
    daily = bool(deployment["schedules"])
    assert daily == (deployment["name"] != name)
    assert ("concurrency_limit" in deployment) == daily


def test_an_installations_schedules_pool_and_settings_are_in_its_deployments(tmp_path):
    from flows.prefect.deployments import deployments, names

    schedule = ScheduleConfig(score="*/5 * * * *", train="", timezone="Europe/Berlin")
    settings = replace(Settings(), schedule=schedule, server=ServerConfig(pool="mine"))
    content = deployments(settings, tmp_path / "pointerprint.toml")
    found = {d["name"]: d for d in content["deployments"]}

    assert found["score-daily"]["schedules"] == [
        {"cron": "*/5 * * * *", "timezone": "Europe/Berlin", "active": True}
    ]
    assert found["train-weekly"]["schedules"] == found["score"]["schedules"] == []
    assert {d["work_pool"]["name"] for d in found.values()} == {"mine"}
    assert found["score"]["parameters"] == {"settings": str(tmp_path / "pointerprint.toml")}
    assert "train/train-weekly" in names(content)


def test_telemetry_is_off_unless_somebody_turns_it_on():
    script = (
        "from flows.prefect.environment import set_prefect_defaults; set_prefect_defaults();"
        "import json, os;"
        "from prefect.settings import get_current_settings;"
        "print(json.dumps([get_current_settings().server.analytics_enabled,"
        " os.environ['DO_NOT_TRACK'], os.environ['MLFLOW_DISABLE_TELEMETRY']]))"
    )
    ours = ("PREFECT_", "DO_NOT_TRACK", "MLFLOW_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}

    def said(**more: str) -> list:
        run = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, env=environ | more, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        return json.loads(run.stdout)

    assert said() == [False, "1", "true"]
    assert said(PREFECT_SERVER_ANALYTICS_ENABLED="true")[0] is True


def test_backfill_without_a_server_does_the_days_here(prefect, model, store, tmp_path):
    from flows.prefect.backfill import backfill_here, missing_days

    settings = Settings(store=store, models=model.parent, scores=tmp_path / "scores")
    end = (datetime.fromisoformat(DAY) + timedelta(days=1)).date().isoformat()
    first = missing_days(settings, DAY, DAY, only_missing=True, what="score")
    assert first == [DAY]
    assert backfill_here(settings, first, "score", lambda text: None) == [
        tmp_path / "scores" / f"run_date={DAY}"
    ]
    assert missing_days(settings, DAY, end, only_missing=True, what="score") == [end]
    assert missing_days(settings, DAY, end, only_missing=False, what="score") == [DAY, end]


def test_a_days_summary_says_who_abstains_and_no_name_becomes_markup(prefect):
    from flows.prefect.artifacts import day_summary

    counts = dict.fromkeys(("n_sessions", "n_flagged", "n_review", "n_replays"), 0)
    manifest = counts | {
        "n_abstained": 9, "abstained": {"no_moves": 9}, "threshold": 0.9, "model_id": "m",
        "abstaining_accounts": [
            {"account_id": "a`|<b>" + "x" * 99, "n_abstained": 9, "n_sessions": 12}
        ],
    }  # fmt: skip
    told = day_summary(DAY, manifest, Path("scores"), None)
    row = next(line for line in told.splitlines() if "unusually often" in line)
    assert row == (f"| accounts that abstain unusually often | `a'/<b>{'x' * 54}` (9 of 12) |")
    assert "| - no_moves | 9 |" in told


def test_importing_the_flows_modules_writes_no_environment():
    """Only the module that Prefect itself imports does, and only what nobody has set."""
    script = (
        "import os; before = dict(os.environ)\n"
        "import flows.cli, flows.settings, flows.console, flows.prefect.environment\n"
        "import flows.prefect.serve, flows.prefect.deployments, flows.prefect.backfill\n"
        "print(sorted(os.environ.keys() - before.keys()))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout == "[]\n"


def test_a_form_has_the_type_limits_and_words_of_the_setting(prefect):
    properties = flow_of("score").parameters.properties
    (workers,) = (kind for kind in properties["workers"]["anyOf"] if kind["type"] == "integer")
    assert (workers["minimum"], workers["maximum"]) == (1, 256)
    assert properties["model"]["description"] == (
        "The folder of models, whose champion scores; or one model. Default: the settings'."
    )
    assert "date" not in flow_of("train").parameters.properties


@pytest.fixture(scope="module")
def deployed(prefect):
    """Return a client, and a deployment of one run at a time in a pool without a worker."""
    from prefect.client.schemas.actions import WorkPoolCreate

    with prefect.get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        flow_id = client.create_flow_from_name("score")
        deployment = client.create_deployment(
            flow_id, "score-killed", work_pool_name=POOL, concurrency_limit=1
        )
        yield client, deployment


def run_in(client, deployment, *states):
    """Return a new run of the deployment that went through these states."""
    run = client.create_flow_run_from_deployment(deployment)
    for state in states:
        answer = client.set_flow_run_state(run.id, state)
        assert answer.status.value == "ACCEPT", answer
    return client.read_flow_run(run.id)


def n_taken(client, deployment) -> int:
    found = client.read_deployment(deployment).global_concurrency_limit
    return client.read_global_concurrency_limit_by_name(found.name).active_slots


def state_names(client, run) -> list[str]:
    return [state.name for state in client.read_flow_run_states(run.id)]


def test_a_run_whose_process_is_gone_crashes_and_is_run_again(deployed, tmp_path):
    from prefect.states import Pending, Running

    from flows.prefect.recover import recover

    client, deployment = deployed
    run = run_in(client, deployment, Pending(), Running())
    assert n_taken(client, deployment) == 1
    (tmp_path / "running").mkdir()
    left = tmp_path / "running" / f"{run.id}.lock"
    left.touch()  # what SIGKILL leaves of a lock

    recover(POOL, tmp_path)
    names = state_names(client, run)
    assert names == ["Scheduled", "Pending", "Running", "Crashed", "AwaitingRetry"]
    assert n_taken(client, deployment) == 0
    assert not left.exists()
    again = client.read_flow_run(run.id)
    assert again.expected_start_time == run.expected_start_time  # it is about the same day
    recover(POOL, tmp_path)
    assert state_names(client, run) == names
    client.delete_flow_run(run.id)


def test_a_run_that_works_is_left_alone(deployed, tmp_path):
    from prefect.states import Pending, Running

    from flows.prefect.recover import recover
    from pipeline.storage.publish import lock

    client, deployment = deployed
    run = run_in(client, deployment, Pending(), Running())
    with lock(tmp_path / "running" / str(run.id)):
        recover(POOL, tmp_path)
        assert state_names(client, run)[-1] == "Running"
    recover(POOL, tmp_path)  # without a lock it may be about to take one
    assert state_names(client, run)[-1] == "Running"
    client.delete_flow_run(run.id)


def test_a_run_that_never_began_crashes_after_a_while(deployed, tmp_path, monkeypatch):
    from prefect.states import Pending

    from flows.prefect import recover

    client, deployment = deployed
    run = run_in(client, deployment, Pending())
    recover.recover(POOL, tmp_path)
    assert state_names(client, run)[-1] == "Pending"
    monkeypatch.setattr(recover, "GRACE_S", 0.0)
    recover.recover(POOL, tmp_path)
    assert state_names(client, run)[-2:] == ["Crashed", "AwaitingRetry"]
    client.delete_flow_run(run.id)


def test_a_run_that_was_being_cancelled_ends_cancelled(deployed, tmp_path):
    from prefect.states import Cancelling, Pending, Running

    from flows.prefect.recover import recover

    client, deployment = deployed
    run = run_in(client, deployment, Pending(), Running(), Cancelling())
    (tmp_path / "running").mkdir()
    (tmp_path / "running" / f"{run.id}.lock").touch()
    recover(POOL, tmp_path)
    assert state_names(client, run)[-1] == "Cancelled"
    assert n_taken(client, deployment) == 0
    client.delete_flow_run(run.id)


def test_a_run_that_always_crashes_is_not_run_for_ever(deployed, tmp_path):
    from prefect.states import Crashed, Pending, Running

    from flows.prefect.recover import TIMES_AGAIN, recover

    client, deployment = deployed
    run = run_in(client, deployment)
    for _ in range(TIMES_AGAIN + 3):
        client.set_flow_run_state(run.id, Pending())
        client.set_flow_run_state(run.id, Running())
        client.set_flow_run_state(run.id, Crashed())
        recover(POOL, tmp_path)
        if client.read_flow_run(run.id).state.is_final():
            break
    assert state_names(client, run).count("Crashed") == TIMES_AGAIN + 1
    client.delete_flow_run(run.id)


def test_what_a_backfill_waits_for_is_said(deployed):
    from prefect.states import Pending, Running

    from flows.prefect.backfill import why_waiting

    client, deployment = deployed
    assert "no worker takes runs of the pool killed" in why_waiting(client, POOL, "score")
    run = run_in(client, deployment, Pending(), Running())
    told = why_waiting(client, POOL, "score")
    assert f"the others wait for {run.name} (running since " in told
    assert f"/runs/flow-run/{run.id})" in told
    client.delete_flow_run(run.id)


def test_a_model_that_is_named_and_not_there_is_refused(prefect, store, tmp_path):
    state = flow_of("score")(
        store=store, model=tmp_path / "none", scores=tmp_path / "s", date=DAY, return_state=True
    )
    assert state.is_failed()
    assert "there is no such model" in state.message
