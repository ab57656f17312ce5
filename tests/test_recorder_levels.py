"""For which recorders a model's level was set: kept in the RUN, marked in the scores, said."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from conftest import make_sessions
from tiny import score_now, untrained

from flows.jobs.partition import summary_json, summary_lines
from model.audit import audit_case
from model.evaluate import evaluate_scores
from model.model_card import fraud_card
from model.run import RECORDERS, load_model, save_model
from model.score import score_sessions
from model.text import audit_text, evaluation_text
from pipeline.audit.case import find_case
from pipeline.audit.shortcuts import find_shortcuts
from pipeline.errors import SchemaError
from pipeline.schemas import LABELS, QUARANTINE
from pipeline.scores.partitions import read_manifest, read_partition
from pipeline.scores.recorders import (
    knows_recorders,
    unknown_recorders,
    unknown_recorders_text,
)
from pipeline.sessions.sessions import Sessions
from pipeline.splits.split import split_sessions
from pipeline.storage.store import Part, write_part

DAY = "2026-11-01"
PAGE, LAB = "17 ms whole px move+click", "10 ms polled whole px move"
LEVEL = {PAGE: 120, "rrweb 50 ms": 30}


def recorded_by(*recorders: str | None, n_each: int = 6) -> Sessions:
    """Return sessions of two people of each recorder, every second one a fraud."""
    rng = np.random.default_rng(0)
    n = len(recorders) * n_each
    t_ms = np.arange(60) * 16
    paths = [
        list(zip(t_ms, *rng.normal(0, 9, (2, 60)).cumsum(axis=1) + 400, strict=True))
        for _ in range(n)
    ]
    return make_sessions(
        *paths,
        recorder=np.repeat(np.array(recorders, object), n_each),
        label=(np.arange(n) % 2).astype(np.int8),
        account_id=np.array([f"{'ab'[i % 2]}{i // 3}" for i in range(n)], object),
    )


def scored(sessions: Sessions, recorders=LEVEL) -> pa.Table:
    model = replace(untrained(), recorders=recorders)
    return score_sessions(model, model.model_id, sessions, "r", datetime.now(UTC))


def labels_of(sessions: Sessions) -> pa.Table:
    columns = [sessions.session_id, sessions.label, sessions.account_id]
    return pa.table([pa.array(column) for column in columns], schema=LABELS)


def test_a_run_keeps_the_recorders_of_its_level_and_they_decide_no_score(tmp_path):
    model = replace(untrained(), recorders=LEVEL)
    save_model(model, tmp_path)
    assert load_model(tmp_path).recorders == LEVEL
    assert model.model_id == untrained().model_id
    (tmp_path / RECORDERS).write_text(json.dumps({"recorders": {LAB: 1}}))
    with pytest.raises(SchemaError, match=r"recorders\.json is not what it was"):
        load_model(tmp_path)


def test_training_sets_the_level_for_the_recorders_of_the_calib_partition(trained_run):
    split = json.loads((trained_run / "split.json").read_text())
    recorders = load_model(trained_run).recorders
    assert recorders == {"17 ms fractional px move": split["parts"]["calib"]["n_legitimate"]}


def test_a_session_is_marked_by_whether_the_level_was_set_for_its_recorder():
    table = scored(recorded_by(PAGE, LAB, None, n_each=1))
    assert table["recorder"].to_pylist() == [PAGE, LAB, None]
    assert table["recorder_known"].to_pylist() == [True, False, None]
    assert scored(recorded_by(PAGE, n_each=1), {})["recorder_known"].to_pylist() == [None]
    assert knows_recorders(np.array([LAB, None], object), {LAB: 3}).tolist() == [True, None]


def test_what_to_do_is_said_with_up_to_three_recorders():
    assert unknown_recorders_text({}, 10) == ""
    text = unknown_recorders_text({"a": 1, "b": 5, "c": 2, "d\u202e": 3}, 40)
    assert text.startswith("11 of 40 sessions come from recorders that the model's level was not")
    assert "(b: 5, d\\u202e: 3, c: 2, and 1 more)" in text
    assert "`pointerprint adapt STORE --model RUN --to RUN2`" in text


def test_scoring_says_how_many_sessions_are_of_other_recorders(tmp_path, capsys):
    save_model(replace(untrained(), recorders=LEVEL), tmp_path / "run")
    sessions = recorded_by(PAGE, LAB, "rrweb 17 ms", None)
    part = Part(tmp_path / "store", DAY, "made")
    write_part(part, [sessions], QUARANTINE.empty_table(), {"files": []})
    partition = score_now([tmp_path / "store"], tmp_path / "run", tmp_path / "scores", DAY)
    assert unknown_recorders(read_partition(partition)) == {LAB: 6, "rrweb 17 ms": 6}
    manifest = read_manifest(partition)
    assert summary_json(partition, manifest)["unknown_recorders"] == {LAB: 6, "rrweb 17 ms": 6}
    told = "\n".join(summary_lines(manifest))
    assert "12 of 24 sessions come from recorders" in told
    assert f"({LAB}: 6, rrweb 17 ms: 6)" in told


def test_who_knows_what_wrote_the_raw_logs_says_so_when_scoring_them(tmp_path):
    save_model(replace(untrained(), recorders={"our shop": 50}), tmp_path / "run")
    rows = [f"s,{16 * i},{i * i % 90},{i % 7}" for i in range(60)]
    (tmp_path / "log.csv").write_text("\n".join(["session_id,t_ms,x,y", *rows]) + "\n")
    for recorder, known in (("", False), ("our shop", True)):
        partition = score_now(
            [tmp_path / "log.csv"], tmp_path / "run", tmp_path / "scores", DAY, recorder=recorder
        )
        (row,) = read_partition(partition).to_pylist()
        assert (row["recorder"], row["recorder_known"]) == (
            recorder or "17 ms whole px move",
            known,
        )


def test_rates_are_given_by_recorder_and_what_was_not_known_is_a_note():
    sessions = recorded_by(PAGE, LAB)
    table = scored(sessions)
    flagged = np.isin(np.arange(12), [1, 3, 6, 7])  # two frauds of the page; one of each of the lab
    table = table.set_column(
        table.column_names.index("is_flagged"), "is_flagged", pa.array(flagged)
    )
    found = evaluate_scores(table, labels_of(sessions), n_resamples=20)
    page, lab = found.recorders
    assert (page.recorder, page.is_known, page.n_legitimate, page.n_fraud) == (PAGE, True, 3, 3)
    assert (page.fpr.value, page.tpr.value) == (0, pytest.approx(2 / 3))
    assert (lab.recorder, lab.is_known) == (LAB, False)
    assert (lab.fpr.value, lab.tpr.value) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert lab.fpr.low < lab.fpr.value < lab.fpr.high
    assert any(note.startswith("6 of 12 sessions come from recorders") for note in found.notes)
    rows = found.to_json()["recorders"]
    assert [row["recorder"] for row in rows] == [PAGE, LAB]
    text = evaluation_text(found)
    assert "17 ms whole px move+click       3  0.0 %" in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_recorder_of_one_class_and_scores_from_before_recorders_were_known():
    sessions = recorded_by(PAGE, LAB)
    sessions = replace(sessions, label=np.repeat([0, 1], 6).astype(np.int8))
    page, lab = evaluate_scores(scored(sessions), labels_of(sessions), n_resamples=5).recorders
    assert (page.tpr, lab.fpr) == (None, None)
    older = scored(sessions).drop_columns(["recorder", "recorder_known"])
    found = evaluate_scores(older, labels_of(sessions), n_resamples=5)
    assert found.recorders == ()
    assert "recorder" not in evaluation_text(found)


def test_the_audit_says_which_recorders_wrote_which_class():
    case = find_case(sessions := recorded_by(PAGE, LAB, None, n_each=8), "fraud")
    found = audit_case(case, find_shortcuts(case), scored(sessions), n_resamples=2)
    assert [(row.recorder, row.n_legitimate, row.n_fraud) for row in found.recorders] == [
        (PAGE, 4, 4), (LAB, 4, 4), ("not known", 4, 4),
    ]  # fmt: skip
    assert found.notes[0].startswith("8 of 24 sessions come from recorders")
    assert f"{PAGE}           4          4" in audit_text(found)
    one_class = replace(sessions, label=np.repeat([0, 1, 0], 8).astype(np.int8))
    case = find_case(one_class, "fraud")
    found = audit_case(case, find_shortcuts(case), n_resamples=2)
    assert found.notes[0].startswith("24 sessions are of recorders with only one class")


def test_the_card_says_on_how_many_sessions_of_which_recorder_the_level_rests():
    sessions = recorded_by(PAGE, LAB, n_each=20)
    evaluation = evaluate_scores(scored(sessions), labels_of(sessions), n_resamples=2)
    split = split_sessions(sessions)
    card = fraud_card(replace(untrained(), recorders=LEVEL), split, evaluation)
    assert f"| {PAGE} | 120 |\n| rrweb 50 ms | 30 |" in card
    assert "10 ms polled whole px move     10" in card
    assert "Of which recorders these were is not known." in fraud_card(
        untrained(), split, evaluation
    )
