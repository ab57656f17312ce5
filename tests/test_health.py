"""The health of an installation: last successes, room, drift; for people, programs, Prometheus."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from conftest import make_sessions
from tiny import score_now

from flows.cli import main
from flows.jobs.health import HealthJob, health, health_metrics, health_text
from flows.jobs.inputs import IngestJob, ingest
from flows.jobs.progress import finish
from flows.settings import ScheduleConfig, ServerConfig, Settings
from model.manifest import RUN_MANIFEST, check_manifest
from pipeline.schemas import QUARANTINE
from pipeline.scores.partitions import read_manifest
from pipeline.storage.publish import seal, write_json
from pipeline.storage.store import Part, ingested_days, write_part
from pipeline.storage.version import program_version

DAY = "2026-11-01"
LOG = "session_id,t_ms,x,y\n" + "".join(f"a,{16 * i},{i * i},{9 * i}\n" for i in range(40))
SERIES = re.compile(r'^pointerprint_[a-z_]+(\{[a-z]+="[^"]*"\})? -?[0-9.e+]+$')


@pytest.fixture
def site(tmp_path, run):
    """Return the settings of an installation of which a day is ingested, scored and compared."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.csv").write_text(LOG)
    settings = Settings(
        logs=(tmp_path / "logs",), store=tmp_path / "store", scores=tmp_path / "scores",
        models=tmp_path / "models", drift=tmp_path / "drift",
        server=ServerConfig(home=tmp_path / "prefect", port=1),
    )  # fmt: skip
    finish(ingest(IngestJob(settings.logs, settings.store, DAY)))
    score_now([settings.store], run, settings.scores, DAY)
    compare(settings, "ok")
    return settings


def job_of(settings, expects_server=False, **options):
    return HealthJob(settings, "http://127.0.0.1:1/api", False, expects_server, **options)


def compare(settings, level):
    partition = settings.drift / f"run_date={DAY}"
    at = datetime.now(UTC).isoformat()
    write_json({}, partition / "part.json")
    seal(partition, {"files": [], "level": level, "checked_at": at})


def test_a_site_whose_jobs_succeeded_is_healthy(site):
    found = health(job_of(site))

    assert found.problems == ()
    assert [(one.job, one.day) for one in found.jobs] == [
        ("ingest", DAY), ("score", DAY), ("monitor", DAY), ("train", None),
    ]  # fmt: skip
    assert all(0 <= one.age_h < 1 for one in found.jobs[:3])
    assert found.last_day["n_sessions"] == 1
    assert found.last_day["duration_s"] > 0
    assert "healthy" in health_text(found)


def test_what_is_late_full_strange_or_silent_is_a_problem(site):
    later = health(job_of(site), datetime.now(UTC) + timedelta(hours=30))
    assert [problem.partition(":")[0] for problem in later.problems] == [
        "ingest", "score", "monitor"
    ]  # fmt: skip
    assert "is 30 h ago" in later.problems[0]
    assert not health(
        job_of(replace(site, schedule=ScheduleConfig("", "", "", ""))),
        datetime.now(UTC) + timedelta(hours=30),
    ).problems

    full = health(job_of(site, min_free_gb=1e9)).problems
    assert len(full) == 4
    assert "GB free" in full[0]

    compare(site, "strong")
    assert health(job_of(site, expects_server=True)).problems == (
        "the server at http://127.0.0.1:1/api does not answer",
        "strong drift on the last day compared",
    )


def test_a_site_where_nothing_ran_says_never(tmp_path):
    empty = Settings(**{name: tmp_path / name for name in ("store", "scores", "models", "drift")},
                     server=ServerConfig(home=tmp_path / "prefect", port=1))  # fmt: skip
    found = health(job_of(empty))
    assert found.problems[0] == "ingest: it has never succeeded"
    assert "never" in health_text(found)


def test_prometheus_reads_each_line(site):
    compare(site, "strong")
    lines = health_metrics(health(job_of(site))).splitlines()

    assert all(line.startswith("# ") or SERIES.match(line) for line in lines)
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert values["pointerprint_drift_level"] == "2"
    assert values["pointerprint_healthy"] == "0"
    assert values["pointerprint_last_day_sessions"] == "1"
    assert float(values["pointerprint_last_day_duration_seconds"]) > 0
    age_s = datetime.now(UTC).timestamp() - float(
        values['pointerprint_last_success_timestamp_seconds{job="score"}']
    )
    assert 0 <= age_s < 600
    for name in {line.split()[2] for line in lines if line.startswith("# TYPE")}:
        assert f"# HELP {name} " in "\n".join(lines)


def test_the_exit_code_says_it(site, monkeypatch, capsys):
    for name in ("store", "scores", "models", "drift"):
        monkeypatch.setenv(f"POINTERPRINT_{name.upper()}", str(getattr(site, name)))
    monkeypatch.setenv("POINTERPRINT_SERVER__HOME", str(site.server.home))
    with pytest.raises(SystemExit) as stopped:
        main(["health", "--json"])
    assert stopped.value.code == 0
    assert json.loads(capsys.readouterr().out)["is_healthy"] is True
    site.server.home.mkdir()  # `serve` ran here
    with pytest.raises(SystemExit) as stopped:
        main(["health", "--min-free-gb", "1e9", "--metrics"])
    assert stopped.value.code == 3
    assert "pointerprint_healthy 0" in capsys.readouterr().out


def test_every_manifest_keeps_the_programs_version(site, run):
    (store,) = site.store.with_name("store.quarantine").glob("*/_manifest-*.json")
    for path in (store, store.with_name("_ingested.json"), run / RUN_MANIFEST):
        assert json.loads(path.read_text())["pointerprint"] == program_version()
    assert read_manifest(site.scores / f"run_date={DAY}")["pointerprint"] == program_version()


def test_a_model_of_before_has_none_and_is_read(run):
    manifest = json.loads((run / RUN_MANIFEST).read_text())
    del manifest["pointerprint"]
    write_json(manifest, run / RUN_MANIFEST)
    check_manifest(run)


def test_a_store_of_before_says_when_its_parts_were_written(tmp_path):
    sessions = make_sessions([(16 * i, i, i) for i in range(4)])
    write_part(Part(tmp_path / "s", DAY, "0"), [sessions], QUARANTINE.empty_table(), {"files": []})
    at = datetime.fromisoformat(ingested_days(tmp_path / "s")[DAY])
    assert abs((datetime.now(UTC) - at).total_seconds()) < 600
