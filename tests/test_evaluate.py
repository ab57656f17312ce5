"""An evaluation counts what it should, names what it leaves out, and says how sure it is."""

import json
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.jobs.evaluate import EvaluateJob, evaluate
from model.evaluate import UNNAMED, evaluate_scores
from model.plots import plot_evaluation
from model.text import evaluation_text
from pipeline.errors import DataError, MissingColumnsError, SchemaError
from pipeline.schemas import LABELS, SCORES
from pipeline.sessions.labels import read_group_column

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def make_scores(*rows: tuple, **columns: list) -> pa.Table:
    """Return a SCORES table of (session_id, account_id, score) rows; None: abstained."""
    full = [
        {
            "session_id": session_id,
            "account_id": account_id,
            "fraud_score": score,
            "band": "low",
            "is_flagged": score is not None and score >= 0.5,
            "threshold": 0.5,
            "abstain_reason": None if score is not None else "no_moves",
            "reasons": [],
            "n_events": 10,
            "n_windows": 1,
            "model_id": "m1",
            "run_id": "r1",
            "scored_at": NOON,
        }
        | {name: values[i] for name, values in columns.items()}
        for i, (session_id, account_id, score) in enumerate(rows)
    ]
    return pa.Table.from_pylist(full, SCORES)


def make_labels(*rows: tuple) -> pa.Table:
    """Return a LABELS table of (session_id, label[, account_id]) rows."""
    columns = ("session_id", "label", "account_id")
    return pa.Table.from_pylist([dict(zip(columns, row, strict=False)) for row in rows], LABELS)


SCORED = make_scores(
    ("a1", "ann", 0.1),
    ("a2", "ann", 0.6),
    ("b1", "bob", 0.2),
    ("b2", "bob", 0.3),
    ("a1~pyclick-0", "ann", 0.9),
    ("b1~pyclick-0", "bob", 0.25),
    ("f1", None, 0.8),
    ("a3", "ann", None),
)
LABELLED = make_labels(
    ("a1", 0), ("a2", 0), ("b1", 0), ("b2", 0),
    ("a1~pyclick-0", 1), ("b1~pyclick-0", 1), ("f1", 1, "gang"), ("a3", 0),
)  # fmt: skip


@pytest.fixture(scope="module")
def small():
    return evaluate_scores(SCORED, LABELLED, n_resamples=20)


def test_overall_is_all_frauds_against_all_legitimate(small):
    # 0.9 and 0.8 are above all four; 0.25 is above two: 10 of 12 pairs.
    assert small.overall.roc_auc.value == pytest.approx(10 / 12)
    assert (small.overall.n_fraud, small.overall.n_legitimate) == (3, 4)
    assert small.overall.base_rate == pytest.approx(3 / 7)


def test_each_family_is_against_all_legitimate_worst_first(small):
    assert [row.name for row in small.families] == ["pyclick", "gang"]
    assert [row.n_legitimate for row in small.families] == [4, 4]
    assert small.families[0].roc_auc.value == pytest.approx(6 / 8)
    assert small.families[1].roc_auc.value == 1


def test_rates_are_of_the_flags_that_were_set(small):
    assert small.fpr.value == 0.25
    assert small.overall.tpr.value == pytest.approx(2 / 3)
    assert small.families[0].tpr.value == 0.5


def test_each_person_has_a_rate_with_an_interval(small):
    ann, bob = small.people
    assert (ann.person, ann.n_sessions, ann.n_flagged) == ("ann", 2, 1)
    assert (bob.person, bob.n_sessions, bob.n_flagged) == ("bob", 2, 0)
    assert bob.fpr.low == 0 < bob.fpr.high


def test_rates_that_few_sessions_cannot_show_are_refused(small):
    assert small.overall.tpr_at_fpr["1 %"].startswith("refused: 4 legitimate sessions")
    assert small.overall.tpr_at_fpr["0.1 %"].startswith("refused")


def test_who_abstained_is_counted_by_class(small):
    assert small.abstained == {"legitimate": {"no_moves": 1}, "fraud": {}}
    assert small.n_sessions == {"legitimate": 4, "fraud": 3}


def test_few_groups_are_said(small):
    assert "2 group(s) of legitimate" in small.overall.roc_auc.note


def test_sessions_without_label_and_labels_without_session_are_told():
    labels = make_labels(("a1", 0), ("f1", 1), ("gone", 1))
    evaluation = evaluate_scores(SCORED, labels, n_resamples=5)
    assert evaluation.n_unlabelled == 6
    assert evaluation.labels_without_session == ("gone",)
    assert "gone" in evaluation_text(evaluation)
    assert evaluation.families[0].name == UNNAMED


def test_the_last_score_of_a_session_counts():
    scored = make_scores(
        ("a", None, 0.1), ("b", None, 0.9), ("b", None, 0.2), ("a", None, 0.7),
        scored_at=[NOON, NOON, NOON - timedelta(days=1), NOON + timedelta(hours=1)],
    )  # fmt: skip
    evaluation = evaluate_scores(scored, make_labels(("a", 0), ("b", 1)), n_resamples=5)
    np.testing.assert_allclose(np.sort(evaluation.scored.score), [0.7, 0.9], rtol=1e-6)


def test_a_later_run_date_counts_over_a_later_clock():
    frame = make_scores(
        ("a", None, 0.1), ("a", None, 0.7), scored_at=[NOON, NOON + timedelta(hours=1)]
    ).to_pandas()
    frame["run_date"] = pd.Categorical(["2026-11-03", "2026-11-02"])
    frame.index = [0, 0]  # as of partitions that were put together
    evaluation = evaluate_scores(frame, make_labels(("a", 0)), n_resamples=5)
    np.testing.assert_allclose(evaluation.scored.score, [0.1], rtol=1e-6)


def test_the_last_label_of_a_session_counts():
    labels = pa.concat_tables([LABELLED, make_labels(("f1", 0))])
    assert evaluate_scores(SCORED, labels, n_resamples=5).n_sessions["fraud"] == 2


def test_a_label_that_names_the_generator_does_not_make_it_the_person():
    labels = make_labels(("a1", 0), ("b1", 0), ("a1~pyclick-0", 1, "pyclick"))
    scored = evaluate_scores(SCORED, labels, n_resamples=5).scored
    assert scored.person[scored.label == 1].tolist() == ["ann"]
    assert scored.family[scored.label == 1].tolist() == ["pyclick"]


def test_the_owner_task_groups_by_account():
    scored = make_scores(
        ("a1", "ann", 0.1), ("a2", "ann", 0.7), ("b1", "bob", 0.2), ("b2", "bob", 0.9)
    )
    labels = make_labels(("a1", 0), ("a2", 1), ("b1", 0), ("b2", 1))
    evaluation = evaluate_scores(scored, labels, n_resamples=5)
    assert {row.name for row in evaluation.families} == {"ann", "bob"}
    assert evaluation.overall.roc_auc.n_groups == 2


def test_the_best_single_feature_stands_beside_each_row():
    session_id = SCORED["session_id"].to_pylist()
    features = pd.DataFrame(
        {
            "noise": [0.0, 1, 0, 1, 0, 1, 0, 1],
            "slow": [9.0, 8, 7, 6, 1, 2, np.nan, 0],  # low is fraud; one isn't known
            "word": list("abcdefgh"),
        },
        index=session_id,
    )
    evaluation = evaluate_scores(SCORED, LABELLED, features, n_resamples=5)
    best = {row.name: row.best_feature for row in evaluation.families}
    assert (best["pyclick"].name, best["pyclick"].roc_auc) == ("slow", 1.0)
    assert "flatters it, not the model" in evaluation.notes[0]
    assert "1.000 slow" in evaluation_text(evaluation)


def test_one_class_alone_still_tells_its_rate():
    legitimate = evaluate_scores(SCORED, make_labels(("a1", 0), ("a2", 0)), n_resamples=5)
    assert legitimate.overall is None
    assert legitimate.families == ()
    assert legitimate.fpr.value == 0.5
    fraud = evaluate_scores(SCORED, make_labels(("f1", 1)), n_resamples=5)
    assert fraud.fpr is None
    assert fraud.people == ()
    for evaluation in (legitimate, fraud):
        assert evaluation_text(evaluation)
        json.dumps(evaluation.to_json(), allow_nan=False)


def test_no_label_at_all_is_an_error():
    with pytest.raises(DataError, match="no scored session has a label: 8 sessions, 1 labels"):
        evaluate_scores(SCORED, make_labels(("gone", 1)))


def test_another_label_is_an_error():
    with pytest.raises(DataError, match="not 0 or 1"):
        evaluate_scores(SCORED, make_labels(("a1", 2)))


def test_another_table_is_an_error():
    with pytest.raises(SchemaError, match="scores table lacks session_id"):
        evaluate_scores(pd.DataFrame({"score": [1.0]}), LABELLED)


def test_mixed_models_and_thresholds_are_said():
    mixed = make_scores(
        ("a", None, 0.1), ("b", None, 0.9), model_id=["m1", "m2"], threshold=[0.5, 0.6]
    )
    notes = evaluate_scores(mixed, make_labels(("a", 0), ("b", 1)), n_resamples=5).notes
    assert "2 models are mixed" in notes[0]
    assert "scored with 2 thresholds" in notes[1]


def make_many() -> tuple[pa.Table, pa.Table]:
    """Return 1,500 sessions of 50 people and 6 generators with long names."""
    rng = np.random.default_rng(0)
    families = [f"generator-with-a-rather-long-name-{i}" for i in range(6)]
    legitimate = [(f"s{i}", f"person-{i % 50}", rng.beta(1, 4)) for i in range(1000)]
    fraud = [(f"s{i}~{families[i % 6]}-0", f"person-{i % 50}", rng.beta(4, 1)) for i in range(500)]
    rows = legitimate + fraud
    return make_scores(*rows), make_labels(*[(row[0], int("~" in row[0])) for row in rows])


def test_the_text_fits_a_terminal_and_the_json_is_json():
    evaluation = evaluate_scores(*make_many(), n_resamples=50)
    text = evaluation_text(evaluation)
    assert max(map(len, text.splitlines())) <= 100
    assert "1,000 legitimate and 500 simulated fraud sessions scored" in text
    assert "simulated, by family" in text
    assert "refused" not in text
    found = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert len(found["families"]) == 6
    assert found["overall"]["roc_auc"]["low"] < found["overall"]["roc_auc"]["value"]


def by_account(n: int, n_simulated: int = 0) -> str:
    """Return the evaluation of frauds of `n` accounts of the site, and of simulated ones."""
    people = [(f"s{i}", f"customer-{i}", 0.1 + 0.001 * i) for i in range(n + 5)]
    frauds = [(f"f{i}", f"customer-{i}", 0.9 - 0.02 * i) for i in range(n)]
    made = [(f"s{i}~bezier-0", f"customer-{i}", 0.9) for i in range(n_simulated)]
    labels = make_labels(*[(row[0], 0) for row in people], *[(row[0], 1) for row in frauds + made])
    return evaluation_text(
        evaluate_scores(make_scores(*people, *frauds, *made), labels, n_resamples=5)
    )


def test_frauds_of_the_sites_own_accounts_are_called_so_and_a_long_list_is_cut():
    text = by_account(40)
    assert "45 legitimate and 40 fraud sessions scored\n" in text
    listed = text.split("fraud, by account")[1].split("\n\n")[0].splitlines()
    assert len(listed) == 12  # the rest of the head, ten accounts, and how many more
    assert listed[-1] == "and 30 more that rank better, in the JSON"
    assert "customer-39" in listed[1]
    assert "family" not in text


def test_simulated_frauds_beside_labelled_ones_are_counted():
    text = by_account(3, n_simulated=2)
    assert "8 legitimate and 5 fraud sessions scored; 2 of the frauds are simulated" in text
    assert "by generator or account" in text
    assert "bezier" in text


def test_what_too_few_people_cannot_show_is_said_once_not_in_each_row():
    text = by_account(8)
    assert text.count("refused") == 2  # recall at 1 % and at 0.1 %
    assert "at 1 % " not in text.split("fraud, by account")[1]


def test_the_owner_tasks_trials_are_no_frauds():
    rows = [("s1 as a", "a", 0.1), ("s2 as b", "b", 0.2), ("s1 as b", "b", 0.9),
            ("s2 as a", "a", 0.8)]  # fmt: skip
    scores = make_scores(*rows, threshold=[0.5, 0.6, 0.5, 0.6])
    labels = make_labels(("s1 as a", 0), ("s2 as b", 0), ("s1 as b", 1), ("s2 as a", 1))
    found = evaluate_scores(scores, labels, n_resamples=5, task="owner")
    text = evaluation_text(found)

    assert text.startswith(
        "2 sessions compared with their own account; 2 comparisons of sessions\n"
        "with another account, which stand for impostors"
    )
    assert "impostors, by account" in text
    assert "fraud" not in text
    assert "each fold was flagged by the threshold that the other folds set, 0.5 to 0.6" in text
    assert found.to_json()["task"] == "owner"


def test_plots_are_written_where_there_is_something_to_plot(tmp_path):
    evaluation = evaluate_scores(SCORED, LABELLED, n_resamples=5)
    names = [path.name for path in plot_evaluation(evaluation, tmp_path)]
    assert names == ["scores.png", "roc.png", "reliability.png"]
    alone = evaluate_scores(SCORED, make_labels(("f1", 1)), n_resamples=5)
    assert [path.name for path in plot_evaluation(alone, tmp_path)] == ["scores.png"]


def test_the_same_input_gives_the_same_evaluation():
    first, again = (
        evaluate_scores(SCORED, LABELLED, n_resamples=20, seed=1).to_json() for _ in "12"
    )
    assert first == again


def test_rates_are_given_by_a_column_of_the_labels(tmp_path, capsys):
    rows = [(f"s{i}", f"p{i % 4}", score) for i, score in enumerate([0.1, 0.9, 0.2, 0.3, 0.9, 0.1])]
    partition = tmp_path / "scores" / "run_date=2026-11-02"
    partition.mkdir(parents=True)
    pq.write_table(make_scores(*rows), partition / "part-00000.parquet")
    labels = tmp_path / "labels.csv"
    devices = ["trackpad", "trackpad", "mouse", "mouse", "mouse", ""]
    lines = [f"s{i},{int(i == 4)},{device}" for i, device in enumerate(devices)]
    labels.write_text("\n".join(["session_id,label,device", *lines]) + "\n")
    found = evaluate(EvaluateJob(tmp_path / "scores", labels, by="device"))
    rates = {row.group: row for row in found.groups}
    assert list(rates) == ["mouse", "trackpad", "(not said)"]
    assert (rates["mouse"].n_legitimate, rates["mouse"].n_fraud) == (2, 1)
    assert (rates["mouse"].fpr.value, rates["mouse"].tpr.value) == (0, 1)
    assert (rates["trackpad"].fpr.value, rates["trackpad"].tpr) == (0.5, None)
    text = evaluation_text(found)
    assert re.search(r"^trackpad +2  50\.0 % \[.*\]\* +0  -$", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 100
    assert found.to_json()["groups"][1]["group"] == "trackpad"
    assert evaluate(EvaluateJob(tmp_path / "scores", labels)).groups == ()
    with pytest.raises(MissingColumnsError, match="hand"):
        evaluate(EvaluateJob(tmp_path / "scores", labels, by="hand"))


def test_a_column_of_a_parquet_file_of_labels_and_shielded_ids(tmp_path):
    table = pa.table({"session_id": ["a", "b"], "label": [0, 1], "device": ["mouse", None]})
    pq.write_table(table, tmp_path / "labels.parquet")
    assert read_group_column(tmp_path / "labels.parquet", "device") == {"a": "mouse", "b": ""}
    (tmp_path / "labels.csv").write_text("session_id,label,device\n'=1,0, pen \n")
    assert read_group_column(tmp_path / "labels.csv", "device") == {"=1": "pen"}
