"""Visits without an event of the pointer: a row of the store and of the scores, in no one's way."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_sessions
from tiny import easy_store, score_now, untrained

from flows.jobs.draw import DrawJob, draw_paths
from flows.jobs.evaluate import AuditJob, audit
from flows.jobs.progress import finish
from flows.jobs.report import ReportJob, report
from flows.jobs.sessions import SimulateJob, simulate
from model.run import save_model
from pipeline.errors import DataError
from pipeline.ingest.ingest import ingest_logs
from pipeline.schemas import Kind
from pipeline.scores.table import abstain_reasons, is_touch_alone
from pipeline.sessions.feedback import labelled_sessions
from pipeline.sessions.windows import WindowConfig, cut_windows
from pipeline.storage.store import load_sessions

DAY = "2026-11-01"
META = {
    "type": 4,
    "data": {"href": "", "width": 1280, "height": 720},
    "timestamp": 1_748_000_000_000,
}
MOVES = {
    "type": 3,
    "timestamp": 1_748_000_000_500,
    "data": {
        "source": 1,
        "positions": [{"x": 9 * i, "y": i * i, "timeOffset": 16 * i - 480} for i in range(30)],
    },
}


@pytest.fixture
def log(tmp_path) -> Path:
    visits = [("idle", [META]), ("moves", [META, MOVES]), ("nothing", [])]
    lines = [json.dumps({"session_id": name, "events": events}) for name, events in visits]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines))
    return path


def test_a_visit_without_events_is_a_session_of_the_store(log, tmp_path):
    report = ingest_logs([log], tmp_path / "store", ingest_date=DAY)
    assert (report.n_sessions, report.n_events) == (3, 30)
    sessions = load_sessions([tmp_path / "store"])
    rows = dict(zip(sessions.session_id, sessions.n_events.tolist(), strict=True))
    assert rows == {"idle": 0, "moves": 30, "nothing": 0}
    idle = sessions.session_id.tolist().index("idle")
    assert sessions.viewport_width[idle] == 1280
    assert str(sessions.started_at[idle]).startswith("2025-05-23")


def test_a_table_row_of_no_pointer_event_makes_a_visit(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("session,time,x,y,type\na,0,,,load\nb,0,,,load\nb,16,5,6,mousemove\n")
    ingest_logs([log], tmp_path / "store", ingest_date=DAY)
    sessions = load_sessions([tmp_path / "store"])
    assert dict(zip(sessions.session_id, sessions.n_events.tolist(), strict=True)) == {
        "a": 0,
        "b": 1,
    }


def test_a_visit_is_scored_as_one_without_events(log, tmp_path):
    save_model(untrained(), tmp_path / "run")
    ingest_logs([log], tmp_path / "store", ingest_date=DAY)
    for source in (tmp_path / "store", log):
        scores = score_now([source], tmp_path / "run", tmp_path / "scores", DAY)
        rows = pd.read_parquet(scores).set_index("session_id")
        assert rows.loc[["idle", "nothing"], "abstain_reason"].tolist() == ["no_events"] * 2
        assert rows.loc[["idle", "nothing"], "band"].tolist() == ["abstained"] * 2
        assert pd.isna(rows.loc["moves", "abstain_reason"])


def test_visits_are_in_nobodys_way(log, tmp_path):
    store = easy_store(tmp_path / "store")
    ingest_logs([log], store, ingest_date=DAY)
    assert len(load_sessions([store])) == len(labelled_sessions([store])) + 2
    simulated = simulate(SimulateJob(store, tmp_path / "bots"))
    assert simulated == 65  # of 64 people and the visit that moves
    assert audit(AuditJob([store], task="fraud")) is not None


@pytest.fixture
def visits(tmp_path) -> Path:
    """Return a store of two visits alone."""
    lines = [json.dumps({"session_id": name, "events": [META]}) for name in ("v1", "v2")]
    (tmp_path / "visits.jsonl").write_text("\n".join(lines))
    ingest_logs([tmp_path / "visits.jsonl"], tmp_path / "visits", ingest_date=DAY)
    return tmp_path / "visits"


def test_a_day_of_visits_alone_is_scored_and_reported(visits, tmp_path):
    save_model(untrained(), tmp_path / "run")
    partition = score_now([visits], tmp_path / "run", tmp_path / "scores", DAY)
    rows = pd.read_parquet(partition)
    assert rows["abstain_reason"].tolist() == ["no_events"] * 2
    assert rows["needs_review"].tolist() == [True, True]
    # They have no scores that could be too high or too low.
    assert json.loads((partition / "_manifest.json").read_text())["unknown_recorders"] == {}
    (page,) = finish(report(ReportJob(tmp_path / "scores", tmp_path / "day.html")))
    text = page.read_text()
    assert "v1" in text
    assert "no_events" in text
    assert '"reference":[{' not in text  # a visit has no path to compare with


def test_what_needs_events_says_that_visits_have_none(visits, tmp_path):
    with pytest.raises(DataError, match="no legitimate session with an event"):
        simulate(SimulateJob(visits, tmp_path / "bots"))
    with pytest.raises(DataError, match="no event of the pointer"):
        draw_paths(DrawJob(visits, tmp_path / "picture.png"))
    labels = tmp_path / "labels.csv"
    labels.write_text("session_id,label\nv1,1\nv2,0\n")
    with pytest.raises(DataError, match="0 sessions of label 1 and 0 of 0 have an event"):
        audit(AuditJob([visits], labels))


def test_a_finger_alone_abstains_unless_the_model_knows_touch():
    paths = [[(16 * i, 9 * i, i * i) for i in range(12)]] * 3
    sessions = make_sessions(*paths)
    kind = np.zeros(36, np.int8)
    kind[:12] = Kind.TOUCH
    kind[12:18] = Kind.TOUCH  # a laptop with a screen to touch
    object.__setattr__(sessions, "kind", kind)
    assert is_touch_alone(sessions).tolist() == [True, False, False]
    windows = cut_windows(sessions, WindowConfig(min_events=2))
    assert abstain_reasons(sessions, windows, 2).tolist() == ["touch", None, None]
    assert abstain_reasons(sessions, windows, 2, knows_touch=True).tolist() == [None] * 3


def test_no_timestamp_breaks_a_read_of_the_scores(tmp_path):
    save_model(untrained(), tmp_path / "run")
    times = [1_748_000_000_000 + 16 * i for i in range(20)]
    rows = [f"a,{t},{9 * i},{i * i}" for i, t in enumerate(times)]
    rows += [f"b,{1000 * t},1,2" for t in times[:2]]
    log = tmp_path / "log.csv"
    log.write_text("\n".join(["session_id,t_ms,x,y", *rows]))
    scores = score_now([log], tmp_path / "run", tmp_path / "scores", DAY)
    found = pd.read_parquet(scores)
    assert found["session_id"].tolist() == ["a"]
    assert found["started_at"].dt.year.tolist() == [2025]
