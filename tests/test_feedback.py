"""Labels fed back: the latest counts, nothing is lost, and training uses them."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import make_sessions

from pipeline.errors import DataError, MissingColumnsError, NotFoundError
from pipeline.readers.common.limits import limited
from pipeline.schemas import FEEDBACK, QUARANTINE, SCORES
from pipeline.sessions.feedback import (
    add_feedback,
    feedback_folder,
    labelled_sessions,
    latest_verdicts,
    read_feedback,
)
from pipeline.sessions.stratified_sample import stratified_sample
from pipeline.storage.publish import write_parquet
from pipeline.storage.store import Part, write_part

START = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    """Return a store of four sessions: a is a fraud by its log, b legitimate, c, d unknown."""
    path = [(0, 1, 2), (16, 3, 4)]
    sessions = make_sessions(
        *[path] * 4,
        session_id=np.array(["a", "b", "c", "d"], object),
        label=np.array([1, 0, -1, -1], np.int8),
    )
    part = Part(tmp_path / "store", "2026-11-01", "0")
    write_part(part, [sessions], QUARANTINE.empty_table(), {"files": []})
    return tmp_path / "store"


@pytest.fixture
def feed(store, tmp_path):
    """Return a function that feeds a text back, each time a day later."""
    times = iter(START + timedelta(days=n) for n in range(99))

    def call(text, table=store):
        (tmp_path / "labels.csv").write_text(text)
        return add_feedback(table, tmp_path / "labels.csv", next(times))

    return call


def labels(store) -> dict[str, int]:
    sessions = labelled_sessions([store])
    return dict(zip(sessions.session_id.tolist(), sessions.label.tolist(), strict=True))


def test_what_was_fed_back_counts_before_what_the_log_says(feed, store):
    report = feed("session_id,label\na,0\nc,1\n")

    assert (report.fraud, report.legitimate, report.unsure, report.n_same) == (1, 1, 0, 0)
    assert labels(store) == {"a": 0, "b": 0, "c": 1, "d": -1}


def test_the_words_of_the_report_page_are_taken_and_unsure_leaves_a_session_out(feed, store):
    note = '"said ""no"",\nthen left"'
    report = feed(f"session_id,label,note\na,unsure,\nb,fraud,{note}\nd,Legitimate,ok\n")

    assert (report.fraud, report.legitimate, report.unsure) == (1, 1, 1)
    assert labels(store) == {"b": 1, "c": -1, "d": 0}
    assert read_feedback(store)["note"].to_pylist() == [None, 'said "no",\nthen left', "ok"]


def test_a_note_without_a_label_is_kept_and_changes_no_label(feed, store):
    feed("session_id,label,note\na,legitimate,\n")
    report = feed("session_id,label,note\na,undecided,call back\nd,undecided,odd\n")
    again = feed("session_id,label,note\nd,undecided,odd\n")

    assert (report.fraud + report.legitimate + report.unsure, report.notes) == (0, 2)
    assert "2 notes without a label added" in report.to_text()
    assert (again.notes, again.n_same) == (0, 1)
    assert labels(store) == {"a": 0, "b": 0, "c": -1, "d": -1}
    found = {name: (one.word, one.note) for name, one in latest_verdicts([store]).items()}
    assert found == {"a": ("legitimate", "call back"), "d": ("undecided", "odd")}


def test_feedback_of_the_version_before_is_read(feed, store):
    feed("session_id,label\na,0\n")
    (part,) = feedback_folder(store).glob("part-*.parquet")
    older = pq.read_table(part).drop_columns(["is_note"])
    written = older.replace_schema_metadata({"schema": "feedback", "version": "1"})
    pq.write_table(written, part)

    assert labels(store)["a"] == 0
    assert latest_verdicts([store])["a"].word == "legitimate"


def test_what_shields_a_spreadsheet_is_taken_away_again(feed, store):
    feed("session_id,label,note\na,fraud,'=1+1\n")
    assert read_feedback(store)["note"].to_pylist() == ["=1+1"]


def test_the_later_word_counts_and_the_history_is_kept(feed, store):
    feed("session_id,label\na,0\na,unsure\n")
    feed("session_id,label\na,1\n")
    feed("session_id,label\na,0\n")
    history = read_feedback(store)

    assert history.schema.equals(FEEDBACK)
    assert history["label"].to_pylist() == [0, None, 1, 0]
    assert labels(store)["a"] == 0


def test_the_same_file_again_adds_nothing(feed, store):
    text = "session_id,label,note\na,0,\nc,unsure,why\n"
    feed(text)
    again = feed(text)

    assert (again.n_same, again.fraud + again.legitimate + again.unsure) == (2, 0)
    assert len(list(feedback_folder(store).iterdir())) == 1


def test_sessions_that_are_not_there_are_named(feed, tmp_path, store):
    report = feed("session_id,label\na,0\nbb,1\nx,1\n")

    assert report.unknown == ("bb", "x")
    assert "2 unknown sessions: 'bb', 'x' (did you mean 'b'?)" in report.to_text()
    assert read_feedback(store)["session_id"].to_pylist() == ["a"]
    with pytest.raises(DataError, match="none of its 1 sessions is in"):
        feed("session_id,label\nx,1\n")


def test_feedback_lies_beside_the_store_and_anyone_can_read_it(feed, store):
    feed("session_id,label\na,0\n")

    assert sorted(path.name for path in store.parent.iterdir() if path.is_dir()) == [
        *("store", "store.feedback", "store.quarantine"),
    ]
    assert pd.read_parquet(feedback_folder(store))["source_file"].tolist() == ["labels.csv"]


def test_feedback_beside_scores_counts_where_it_is_named(feed, store, tmp_path):
    scores = tmp_path / "scores"
    said = {"session_id": "d", "band": "high", "is_flagged": True, "threshold": 0.5, "reasons": []}
    made = {"n_events": 2, "n_windows": 1, "model_id": "m", "run_id": "r", "scored_at": START}
    table = pa.Table.from_pylist([said | made], SCORES)
    write_parquet(table, scores / "run_date=2026-11-01" / "part-00000.parquet")
    feed("session_id,label\nd,1\n", scores)

    assert labels(store)["d"] == -1
    assert labelled_sessions([store], [scores]).label.tolist() == [1, 0, -1, 1]


def test_labels_may_be_parquet(store, tmp_path):
    pq.write_table(pa.table({"session_id": ["a"], "label": [0]}), tmp_path / "labels")
    assert add_feedback(store, tmp_path / "labels", START).legitimate == 1


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("session_id,label\na,maybe\n", DataError, "line 2: label 'maybe' of 'a'"),
        ("session_id,label\na,undecided\n", DataError, "'a' is undecided and has no note"),
        ("session_id,label\na\n", DataError, "line 2 has another number of columns"),
        ("session_id,label\n,1\n", DataError, "no session_id"),
        ("session_id,verdict\na,1\n", MissingColumnsError, "label"),
        ("", MissingColumnsError, "session_id"),
    ],
)
def test_what_is_no_label_is_an_error_and_nothing_is_added(feed, store, text, error, message):
    with pytest.raises(error, match=message):
        feed(text)
    assert not feedback_folder(store).exists()


def test_a_missing_file_or_store_is_an_error(store, tmp_path):
    with pytest.raises(NotFoundError, match="no such file"):
        add_feedback(store, tmp_path / "no.csv", START)
    (tmp_path / "labels.csv").write_text("session_id,label\na,1\n")
    with pytest.raises(NotFoundError, match="no sessions here"):
        add_feedback(tmp_path / "no", tmp_path / "labels.csv", START)


def test_the_report_is_json_too(feed):
    report = feed("session_id,label\na,0\n")
    assert json.loads(json.dumps(report.to_json()))["legitimate"] == 1


def many(n_events, account, label):
    """Return sessions of so many events each."""
    paths = [[(16 * i, i, i) for i in range(n)] for n in n_events]
    names = np.array([f"s{i}" for i in range(len(paths))], object)
    return make_sessions(
        *paths,
        session_id=names,
        account_id=np.array(account, object),
        label=np.array(label, np.int8),
    )


def test_of_a_large_store_everybody_has_as_many_sessions(tmp_path, caplog):
    account = ["ann"] * 50 + ["ben"] * 8 + ["eve"] * 2 + [None] * 4
    label = [0] * 58 + [1, 1] + [-1] * 4
    store = tmp_path / "store"
    for day, chosen in (("2026-11-01", slice(0, 40)), ("2026-11-02", slice(40, 64))):
        sessions = many([10] * 64, account, label).take(np.arange(64)[chosen])
        part = Part(store, day, day)
        write_part(part, [sessions], QUARANTINE.empty_table(), {"files": []})

    def some_sessions(n_events):
        with limited(training_events=n_events):
            return labelled_sessions([store])

    some = some_sessions(155)
    taken = pd.Series(some.account_id.astype(str)).value_counts()
    assert taken.to_dict() == {"ann": 5, "ben": 5, "None": 4, "eve": 2}  # 16 of 10 events each
    assert set(some.label[some.account_id == "eve"]) == {1}
    assert "16 of 64 sessions are taken" in caplog.text
    assert "have 640 events, POINTERPRINT_LIMIT_TRAINING_EVENTS is 155" in caplog.text
    again = some_sessions(155)
    assert again.session_id.tolist() == some.session_id.tolist()
    caplog.clear()
    assert len(some_sessions(640)) == 64
    assert not caplog.text


def test_many_frauds_without_account_leave_half_to_people():
    frame = pd.DataFrame(
        {
            "session_id": [f"s{i}" for i in range(430)],
            "account_id": [None] * 300 + [f"p{i % 3}" for i in range(130)],
            "label": [1] * 300 + [0] * 130,
            "n_events": 10,
        }
    )
    taken = frame[stratified_sample(frame, 1200)]
    assert taken["label"].value_counts().to_dict() == {0: 60, 1: 60}
    assert taken["account_id"].value_counts().to_dict() == {"p0": 20, "p1": 20, "p2": 20}
    assert len(frame[stratified_sample(frame, 3000)].query("label == 0")) == 130  # all there are


def test_labels_fed_back_say_who_is_taken(store, feed):
    feed("session_id,label\nb,unsure\nc,1\n")  # a and c are frauds, d is not known
    with limited(training_events=5):
        some = labelled_sessions([store])
    assert sorted(some.session_id) == ["a", "c", "d"]
    with limited(training_events=1):
        assert len(labelled_sessions([store])) == 1
