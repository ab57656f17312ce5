"""Who isn't judged, and who avoids it."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import score_now

from flows.cli import main
from flows.jobs.partition import summary_lines
from pipeline.schemas import SCORES
from pipeline.scores.abstentions import Tally, abstaining_accounts, reasons_counted, with_review
from pipeline.scores.partitions import open_scores, read_manifest

DAY = "2026-11-01"


def day_of(*accounts: tuple[str | None, int, int]) -> pa.Table:
    """Return the columns of a day: accounts with so many sessions, and so many that abstained."""
    names = [name for name, n, _ in accounts for _ in range(n)]
    score = [None if i < k else 0.5 for _, n, k in accounts for i in range(n)]
    return pa.table(
        {
            "account_id": pa.array(names, pa.string()),
            "fraud_score": pa.array(score, pa.float32()),
            "abstain_reason": pa.array([None if s else "no_moves" for s in score], pa.string()),
        }
    )


def tally(*tables: pa.Table) -> Tally:
    counted = Tally()
    for table in tables:
        counted.add(table)
    return counted


def named(*tables: pa.Table) -> list[str]:
    return [account.account_id for account in abstaining_accounts(tally(*tables))]


def test_an_account_that_keeps_abstaining_is_named_and_the_others_are_not():
    people = [(f"person {i}", 20, 1) for i in range(50)]
    (found,) = abstaining_accounts(tally(day_of(*people, ("sly", 20, 12))))

    assert (found.account_id, found.n_sessions, found.n_abstained) == ("sly", 20, 12)
    assert found.share_of_others == pytest.approx(0.05)
    assert found.p_value < 1e-6


def test_where_everybody_abstains_often_nobody_stands_out():
    assert named(day_of(*[(f"person {i}", 20, 12) for i in range(50)])) == []


def test_few_abstentions_and_sessions_without_an_account_name_nobody():
    people = [(f"person {i}", 20, 0) for i in range(50)]
    assert named(day_of(*people, ("new", 4, 4), (None, 30, 30))) == []


@pytest.mark.parametrize("reason", ["no_profile", "immature_profile"])
def test_who_has_no_profile_yet_avoids_nothing(reason):
    people = [(f"person {i}", 20, 1) for i in range(50)]
    new = day_of(("new", 20, 20))
    reasons = pa.array([reason] * 20, pa.string())
    new = new.set_column(new.schema.get_field_index("abstain_reason"), "abstain_reason", reasons)
    assert named(day_of(*people), new) == []
    assert named(day_of(*people), day_of(("new", 20, 20))) == ["new"]


def test_a_small_excess_is_no_news_however_sure():
    people = [(f"person {i}", 1000, 300) for i in range(50)]
    assert named(day_of(*people, ("busy", 1000, 450))) == []


def test_an_account_alone_on_its_day_cannot_be_compared():
    assert named(day_of(("one", 20, 20))) == []
    assert abstaining_accounts(Tally()) == []


def test_shards_make_no_difference():
    people = [(f"person {i}", 20, 1) for i in range(50)]
    parts = [day_of(*people[:25], ("sly", 10, 6)), day_of(*people[25:], ("sly", 10, 6))]
    whole = day_of(*people, ("sly", 20, 12))

    assert abstaining_accounts(tally(*parts)) == abstaining_accounts(tally(whole))


def test_a_day_on_which_all_are_alike_names_hardly_anybody():
    rng = np.random.default_rng(0)
    days = [
        day_of(*((f"person {i}", 20, int(rng.binomial(20, 0.2))) for i in range(40)))
        for _ in range(100)
    ]
    assert sum(bool(named(day)) for day in days) <= 3  # 1 % is promised


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)), max_size=8))
@settings(max_examples=50, deadline=None)
def test_probabilities_are_probabilities_and_counts_are_kept(accounts):
    rows = [(f"a{i}", n, min(k, n)) for i, (n, k) in enumerate(accounts)]
    for found in abstaining_accounts(tally(day_of(*rows))):
        assert 0 <= found.p_value <= 0.01
        assert (found.account_id, found.n_sessions, found.n_abstained) in rows


def flagged(*score: float | None) -> pa.Table:
    """Return `SCORES` rows of these scores; 0.9 and more are flagged."""
    n = len(score)
    values = {
        "fraud_score": pa.array(score, pa.float32()),
        "is_flagged": pa.array([s is not None and s >= 0.9 for s in score]),
    }
    columns = [values.get(field.name, pa.nulls(n, field.type)) for field in SCORES]
    return pa.table(columns, schema=SCORES)


@pytest.mark.parametrize(
    ("abstain_is", "needs"), [("review", [True, False, True]), ("pass", [True, False, False])]
)
def test_what_an_abstention_counts_as_changes_the_review_and_nothing_else(abstain_is, needs):
    rows = flagged(0.95, 0.2, None)
    told = with_review(rows, abstain_is)

    assert told["needs_review"].to_pylist() == needs
    assert told.drop_columns("needs_review").equals(rows.drop_columns("needs_review"))
    assert told.schema.equals(SCORES)


def test_reasons_are_counted():
    assert reasons_counted(day_of(("a", 5, 2), ("b", 2, 1))) == {"no_moves": 3}
    assert reasons_counted(day_of(("a", 5, 0))) == {}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Return a log of people who move, and of one account that hardly does."""
    rng, rows = np.random.default_rng(0), []
    for i in range(60):
        x, y = rng.normal(500, 60, (2, 20)).round()
        rows += [f"person{i},{100 * t},{x[t]},{y[t]},account {i % 12}" for t in range(20)]
    for i in range(8):
        n, place = (3, 7 * i) if i % 2 else (20, 0)  # too short, or still
        rows += [f"sly{i},{100 * t},{5 + t * place},5,sly" for t in range(n)]
    path = tmp_path_factory.mktemp("logs") / "log.csv"
    path.write_text("session_id,t_ms,x,y,account_id\n" + "\n".join(rows) + "\n")
    return path


def test_no_session_is_lost_and_the_summary_says_who_was_not_judged(saved_run, log, tmp_path):
    partition = score_now([log], saved_run, tmp_path / "scores", DAY)
    rows, manifest = pd.read_parquet(partition), read_manifest(partition)

    assert len(rows) == 68
    assert manifest["abstained"] == {"no_moves": 4, "too_few_events": 4}
    assert [found["account_id"] for found in manifest["abstaining_accounts"]] == ["sly"]
    assert manifest["n_review"] == rows["needs_review"].sum() == manifest["n_flagged"] + 8
    told = "\n".join(summary_lines(manifest))
    assert "abstained: 8 (no_moves 4, too_few_events 4)" in told
    assert "account sly abstains unusually often: 8 of 8 sessions, others 0.0%" in told


def test_the_command_says_it_in_words_and_in_json(saved_run, log, tmp_path, capsys):
    command = [
        "score",
        str(log),
        "--model",
        str(saved_run),
        "--to",
        str(tmp_path / "s"),
        "--date",
        DAY,
    ]
    with pytest.raises(SystemExit, match="0"):
        main(command)
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 's'}/run_date={DAY}\n"  # for programs: nothing else
    assert "account sly abstains unusually often" in printed.err

    with pytest.raises(SystemExit, match="0"):
        main([*command, "--json", "--abstain-is", "pass", "--quiet"])
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert printed.err == ""
    assert told["abstained"] == {"no_moves": 4, "too_few_events": 4}
    assert (told["abstain_is"], told["n_review"]) == ("pass", told["n_flagged"])
    assert told["abstaining_accounts"][0]["account_id"] == "sly"


def test_days_scored_before_there_was_a_column_are_read_beside_later_ones(saved_run, log, tmp_path):
    scores = tmp_path / "scores"
    score_now([log], saved_run, scores, DAY)
    old = score_now([log], saved_run, scores, "2026-10-01")
    part = old / "part-00000.parquet"
    with pa.parquet.ParquetFile(part) as parquet:
        table = parquet.read().drop_columns("needs_review")
    metadata = {**SCORES.metadata, b"version": b"2"}
    pa.parquet.write_table(table.replace_schema_metadata(metadata), part)

    found = open_scores(scores).to_table().to_pandas()
    assert found.groupby("run_date")["needs_review"].count().to_dict() == {
        "2026-10-01": 0,
        DAY: 68,
    }
