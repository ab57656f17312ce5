"""The analyst's page: every block of it runs, and comes to what its words promise."""

import re

import pandas as pd
import pytest
from conftest import ROOT
from report_day import DAY, EARLIER, a_day

from pipeline.sessions.labels import read_labels

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
N = 90

# DuckDB's own: what it does to columns with a time zone.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.drop")


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """Return what the page's blocks leave behind, run in order beside `scores` and `store`."""
    folder = tmp_path_factory.mktemp("analyst")
    a_day(folder, [f"s{i}" for i in range(N)])
    blocks = BLOCK.findall((ROOT / "docs" / "analyst.md").read_text())
    assert len(blocks) > 5
    names: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for code in blocks:
            exec(compile(code, "docs/analyst.md", "exec"), names)
        names["read_back"] = read_labels(folder / "labels.csv").to_pylist()
    return names


def test_a_filter_reads_one_day(notebook):
    assert len(notebook["scores"]) == N
    assert set(notebook["scores"]["run_date"]) == {DAY}
    assert set(notebook["few"]["run_date"]) == {DAY, EARLIER}


def test_words_are_categories_and_an_abstained_score_is_missing(notebook):
    scores = notebook["scores"]
    assert isinstance(scores["band"].dtype, pd.CategoricalDtype)
    assert isinstance(scores["run_date"].dtype, pd.CategoricalDtype)
    assert notebook["abstained"]["abstain_reason"].tolist() == ["no_moves"]


def test_the_top_is_the_top(notebook):
    highest = notebook["scores"]["fraud_score"].nlargest(20).tolist()
    assert notebook["top"]["fraud_score"].tolist() == highest


def test_reasons_explode(notebook):
    assert notebook["by_reason"]["sessions"].to_dict() == {"replay_of_session": 1}


def test_accounts_add_up(notebook):
    by_account = notebook["by_account"]
    assert by_account["sessions"].sum() == N
    assert by_account["flagged"].sum() == notebook["scores"]["is_flagged"].sum()
    assert by_account["abstained"].sum() == 1


def test_pandas_and_duckdb_say_the_same_of_a_day(notebook):
    by_day = notebook["by_day"].set_index(notebook["by_day"]["run_date"].astype(str))
    assert by_day["flagged"].tolist() == pytest.approx(notebook["rates"].tolist())
    assert by_day["abstained"].to_dict() == notebook["bands"]["abstained"].to_dict()
    assert len(notebook["latest"]) == N
    assert notebook["models"].loc[DAY].tolist() == ["made by hand"]


def test_own_data_join_by_session(notebook):
    assert len(notebook["at_risk"]) == 10
    assert notebook["by_band"].sum() == 550
    risky = notebook["risky_orders"]
    scores = notebook["scores"].set_index("session_id").loc[risky["session_id"]]
    assert (scores["is_flagged"] | scores["fraud_score"].isna()).all()


def test_a_path_is_a_row_an_event(notebook):
    assert len(notebook["path"]) == notebook["session"]["n_events"] == 60
    assert notebook["path"]["speed_px_s"].iloc[1:].gt(0).all()


def test_labels_come_back(notebook):
    top = notebook["top"]["session_id"].tolist()
    said = [(row["session_id"], row["label"]) for row in notebook["read_back"]]
    assert said == [(top[0], 1), (top[2], 0)]


def test_the_sample_is_of_every_band(notebook):
    assert set(notebook["sample"]["band"]) == {"high", "medium", "low", "abstained"}
