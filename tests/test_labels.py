"""Labels are 0 or 1, one for a session, or an error that says where."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import DataError, MissingColumnsError, NotFoundError
from pipeline.schemas import LABELS
from pipeline.sessions.labels import read_labels


def labels(folder, text: str) -> list[tuple]:
    path = folder / "labels.csv"
    path.write_text(text)
    table = read_labels(path)
    assert table.schema.equals(LABELS, check_metadata=True)
    return [tuple(row.values()) for row in table.to_pylist()]


def test_labels_are_read_in_order(tmp_path):
    text = "session_id,account_id,label\nb,u1,0\na,,1\n"
    assert labels(tmp_path, text) == [("b", 0, "u1"), ("a", 1, "")]


def test_labels_may_be_parquet(tmp_path):
    path = tmp_path / "labels"
    pq.write_table(pa.table({"session_id": ["a"], "label": [True]}), path)
    assert read_labels(path).to_pylist() == [{"session_id": "a", "label": 1, "account_id": None}]


def test_the_same_said_twice_counts_once(tmp_path):
    assert labels(tmp_path, "session_id,label\na,1\nb,0\na,1\n") == [("a", 1, None), ("b", 0, None)]


def test_contradictions_are_named(tmp_path):
    with pytest.raises(DataError, match="labelled both 0 and 1: a"):
        labels(tmp_path, "session_id,label\na,1\nb,0\na,0\n")


@pytest.mark.parametrize("label", ["frau", "2", "", "0.5"])
def test_a_label_that_is_none_is_named(tmp_path, label):
    with pytest.raises(DataError, match=f"neither 0 nor 1: b={label}"):
        labels(tmp_path, f"session_id,label\na,1\nb,{label}\n")


def test_missing_things_are_errors(tmp_path):
    with pytest.raises(MissingColumnsError, match="label"):
        labels(tmp_path, "session_id,verdict\na,1\n")
    with pytest.raises(NotFoundError):
        read_labels(tmp_path / "none.csv")
    with pytest.raises(DataError, match="no session_id"):
        labels(tmp_path, "session_id,label\n,1\n")
    with pytest.raises(DataError, match="line 3"):
        labels(tmp_path, "session_id,label\na,1\nb\n")


def test_peoples_words_are_labels_and_who_is_unsure_says_nothing(tmp_path):
    text = 'session_id,label,note\na,Fraud,\nb,legitimate,\'=1+1\nc,unsure,"well, who knows"\n'
    assert labels(tmp_path, text) == [("a", 1, None), ("b", 0, None)]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-5", "@a", "\tx", "\n", "'=1", "''-", '=\n"q",'])
def test_an_id_kept_from_a_spreadsheet_comes_back(tmp_path, name):
    cell = "'" + name.replace('"', '""')
    assert labels(tmp_path, f'session_id,label\n"{cell}",1\n') == [(name, 1, None)]


def test_an_apostrophe_elsewhere_stays(tmp_path):
    assert [row[0] for row in labels(tmp_path, "session_id,label\n'a,1\nb'=,0\n")] == ["'a", "b'="]
