"""What is old, or somebody's, is deleted everywhere, whole, and doesn't come back."""

import json
import os
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tiny import score_now

from flows.cli import main
from flows.jobs import forget as forget_module
from flows.jobs.forget import ForgetJob, forget
from flows.jobs.inputs import IngestJob, ingest
from flows.jobs.progress import finish
from flows.jobs.prune import PruneJob, prune, prune_text
from flows.settings import Settings
from model.manifest import check_manifest, write_manifest
from pipeline.errors import ConfigError, NotFoundError
from pipeline.schemas import PRINTS
from pipeline.scores.partitions import read_manifest, read_scores
from pipeline.sessions.feedback import add_feedback, read_feedback
from pipeline.storage.publish import write_json, write_parquet
from pipeline.storage.store import known_sessions, require_ingested

OLD, NEW = "2026-10-01", "2026-11-01"
TODAY = date(2026, 11, 3)


def log(account: str, *sessions: str) -> str:
    rows = [f"{name},{account},{16 * i},{i * i},{9 * i}" for name in sessions for i in range(40)]
    return "\n".join(["session_id,account_id,t_ms,x,y", *rows, f"{sessions[0]},{account},x,1,1"])


@pytest.fixture
def site(tmp_path, run):
    """Return an installation with two days of ann's and bob's sessions, and all that hangs on."""
    settings = Settings(
        logs=(tmp_path / "logs",), store=tmp_path / "store", scores=tmp_path / "scores",
        models=run, drift=tmp_path / "drift",
    )  # fmt: skip
    (tmp_path / "logs").mkdir()
    for day, number in ((OLD, 1), (NEW, 2)):
        for account in ("ann", "bob"):
            path = tmp_path / "logs" / f"{account}{number}.csv"
            path.write_text(log(account, f"{account}-{number}", f"{account}-{number}b"))
            at = datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
            os.utime(path, (at, at))
            finish(ingest(IngestJob([path], settings.store, day)))
        source = settings.store / f"ingest_date={day}"
        score_now([source], run, settings.scores, day)
        picture = tmp_path / "scores.pictures" / f"run_date={day}.png"
        picture.parent.mkdir(exist_ok=True)
        picture.touch()
    return settings


def ids(settings):
    return set(read_scores(settings.scores)["session_id"].to_pylist())


def files(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_only_what_is_older_goes_and_a_dry_run_changes_nothing(site, tmp_path):
    before = files(tmp_path)
    job = PruneJob(site, 30, TODAY)
    found = prune(job)
    kinds = [one.kind for one in found]

    assert {
        path: text for path, text in files(tmp_path).items() if path.suffix != ".lock"
    } == before
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "log": 2, "store": 2, "quarantine": 2, "picture": 1, "scores": 1
    }  # fmt: skip
    assert {one.day for one in found} == {OLD}
    assert "--yes deletes" in prune_text(job, found)

    assert prune(PruneJob(site, 30, TODAY, delete=True)) == found
    assert prune(PruneJob(site, 30, TODAY, delete=True)) == []
    assert known_sessions(site.store) == ids(site) == {"ann-2", "ann-2b", "bob-2", "bob-2b"}
    assert sorted(path.name for path in site.logs[0].iterdir()) == ["ann2.csv", "bob2.csv"]
    with pytest.raises(NotFoundError, match="were deleted by `prune`"):
        require_ingested(site.store, OLD)  # never published as an empty day


def test_verdicts_go_with_the_sessions_that_they_are_about(site, tmp_path):
    (tmp_path / "old.csv").write_text("session_id,label\nann-1,fraud\n")
    add_feedback(site.store, tmp_path / "old.csv", pd.Timestamp("2026-10-02", tz="UTC"))
    (tmp_path / "new.csv").write_text("session_id,label\nbob-2,fraud\n")
    add_feedback(site.store, tmp_path / "new.csv", pd.Timestamp("2026-11-02", tz="UTC"))
    found = prune(PruneJob(site, 30, TODAY, delete=True))
    assert [one.day for one in found if one.kind == "feedback"] == ["2026-10-02"]
    assert read_feedback(site.store)["session_id"].to_pylist() == ["bob-2"]


def test_what_was_pruned_does_not_come_back_from_its_log(site):
    text = (site.logs[0] / "ann1.csv").read_text()
    prune(PruneJob(site, 30, TODAY, delete=True))
    (site.logs[0] / "ann1.csv").write_text(text)
    assert finish(ingest(IngestJob(site.logs, site.store, NEW))).n_files_skipped == 3
    assert "ann-1" not in known_sessions(site.store)


def test_a_log_that_was_not_ingested_stays(site):
    path = site.logs[0] / "ann1.csv"
    path.write_text(log("cid", "new"))
    os.utime(path, (0, 0))
    prune(PruneJob(site, 30, TODAY, delete=True))
    assert path.is_file()


@pytest.mark.parametrize("step", ["write_json", "remove_tree", "remove_if_empty"])
def test_pruning_that_was_killed_is_completed_by_the_next(site, monkeypatch, step):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"flows.jobs.prune.{step}", killed)
        with pytest.raises(KeyboardInterrupt):
            prune(PruneJob(site, 30, TODAY, delete=True))
    prune(PruneJob(site, 30, TODAY, delete=True))
    assert known_sessions(site.store) == ids(site) == {"ann-2", "ann-2b", "bob-2", "bob-2b"}
    finish(ingest(IngestJob(site.logs, site.store, NEW)))
    assert "ann-1" not in known_sessions(site.store)


def test_not_even_a_day_is_refused(site):
    with pytest.raises(ConfigError, match="--keep-days is 0"):
        PruneJob(site, 0, TODAY)


def feed_back(settings, tmp_path):
    (tmp_path / "labels.csv").write_text("session_id,label\nann-1,fraud\nbob-1,fraud\n")
    for table in (settings.store, settings.scores):
        add_feedback(table, tmp_path / "labels.csv", pd.Timestamp("2026-11-02", tz="UTC"))
    (tmp_path / "labels.csv").unlink()


def enroll(run):
    pixels = {"device": "", "n_windows": 1, "counts": [0.0], "images": [0.0]}
    rows = [{"account_id": who, "session_ids": [f"{who}-1"]} | pixels for who in ("ann", "bob")]
    write_parquet(pa.Table.from_pylist(rows, PRINTS), run / "profiles" / "prints.parquet")
    write_json({"sessions": {"train": ["ann-1", "bob-1"]}}, run / "split.json")
    write_manifest(run)


def test_an_account_is_forgotten_everywhere_and_the_receipt_says_where_not(site, run, tmp_path):
    feed_back(site, tmp_path)
    enroll(run)
    for who in ("ann", "bob"):
        (tmp_path / f"{who}.html").write_text(f'<title>pointerprint report</title>["{who}-2"]')
    job = ForgetJob(site, "ann", (tmp_path,))
    counted = forget(job).to_json()
    assert "ann-1" in ids(site)  # nothing was deleted yet

    receipt = forget(ForgetJob(site, "ann", (tmp_path,), delete=True)).to_json()
    assert receipt["counts"] == counted["counts"] == {
        "reports": 1, "feedback": 2, "quarantine": 2, "profiles": 1, "scores": 4, "pictures": 2,
        "store": 4,
    }  # fmt: skip
    assert "ann" not in json.dumps(receipt["counts"]) + receipt["account_sha256"]
    assert "log ann1.csv" in receipt["not_reached"]
    assert any("trained and measured on 1 of its sessions" in row for row in receipt["not_reached"])
    assert known_sessions(site.store) == ids(site) == {"bob-1", "bob-1b", "bob-2", "bob-2b"}
    assert [set(read_feedback(table)["session_id"].to_pylist())
            for table in (site.store, site.scores)] == [{"bob-1"}] * 2  # fmt: skip
    assert not (tmp_path / "ann.html").exists()
    assert (tmp_path / "bob.html").exists()
    assert pd.read_parquet(run / "profiles" / "prints.parquet")["account_id"].tolist() == ["bob"]
    check_manifest(run)
    for day in (OLD, NEW):
        assert read_manifest(site.scores / f"run_date={day}")["n_sessions"] == 2
    kept_names = {"ann1.csv", "ann2.csv", "split.json"}  # as the receipt says
    for path, content in files(tmp_path).items():
        is_manifest = path.name.startswith("_manifest-")  # the names of logs stay known
        assert path.name in kept_names or is_manifest or b"ann-" not in content, path


def test_reports_beside_the_scores_are_found_without_being_named(site, tmp_path):
    (tmp_path / "reports").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for folder in (tmp_path, tmp_path / "reports", tmp_path / "elsewhere"):
        (folder / "day.html").write_text('<title>pointerprint report</title>["ann-2"]')
    assert forget(ForgetJob(site, "ann", delete=True)).counts["reports"] == 2
    assert [path.parent.name for path in tmp_path.rglob("day.html")] == ["elsewhere"]


def test_who_is_forgotten_does_not_come_back_from_the_log(site):
    forget(ForgetJob(site, "ann", delete=True))
    assert finish(ingest(IngestJob(site.logs, site.store, NEW))).n_files_skipped == 4
    assert not {name for name in known_sessions(site.store) if name.startswith("ann")}


@pytest.mark.parametrize("step", ["_rewrite", "_recount", "_forget_sessions", "_forget_scores"])
def test_forgetting_that_was_killed_is_completed_by_the_next(site, monkeypatch, step):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(forget_module, step, killed)
        with pytest.raises(KeyboardInterrupt):
            forget(ForgetJob(site, "ann", delete=True))
    forget(ForgetJob(site, "ann", delete=True))
    assert known_sessions(site.store) == ids(site) == {"bob-1", "bob-1b", "bob-2", "bob-2b"}
    assert read_manifest(site.scores / f"run_date={OLD}")["n_sessions"] == 2


def test_nobody_is_a_replay_of_who_was_forgotten(site):
    (part,) = (site.scores / f"run_date={NEW}").glob("*.parquet")
    table = pa.parquet.read_table(part)
    place = table.column_names.index("replay_of")
    names = np.where(np.array(table["session_id"].to_pylist()) == "bob-2", "ann-2", None)
    write_parquet(table.set_column(place, table.field(place), pa.array(names, pa.string())), part)
    forget(ForgetJob(site, "ann", delete=True))
    assert pd.read_parquet(part)["replay_of"].isna().all()


def test_both_commands_only_count_without_yes(site, monkeypatch, capsys):
    for name in ("store", "scores", "models", "drift"):
        monkeypatch.setenv(f"POINTERPRINT_{name.upper()}", str(getattr(site, name)))
    monkeypatch.setenv("POINTERPRINT_LOGS", str(site.logs[0]))
    said = []
    for line in ("prune --keep-days 1", "forget --account ann"):
        with pytest.raises(SystemExit) as stopped:
            main(line.split())
        assert stopped.value.code == 0
        said.append(capsys.readouterr())
    assert "--yes deletes" in said[0].out
    assert json.loads(said[1].out)["is_deleted"] is False
    assert "ann-1" in ids(site)
