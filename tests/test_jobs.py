"""One small run, all the way: logs, store, model, scores, figures."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tiny import TINY, easy_store, ingest_sample, score_now

from flows.jobs.draw import DrawJob, draw_paths
from flows.jobs.evaluate import EvaluateJob, evaluate
from flows.jobs.progress import finish
from flows.jobs.sessions import SimulateJob, simulate
from flows.jobs.train import TrainJob, train
from model.run import load_model
from model.text import evaluation_text
from pipeline.errors import ConfigError, DataError, NotFoundError
from pipeline.schemas import SCORES
from pipeline.storage.store import load_sessions

DAY = "2026-11-01"

# Too short; long enough but still; and one that can be judged.
HARD_LOG = "\n".join(
    [
        "session_id,t_ms,x,y,event",
        *(f"short,{100 * i},{7 * i},5,move" for i in range(3)),
        *(f"still,{100 * i},40,50,move" for i in range(20)),
        *(f"moving,{100 * i},{i * i},{9 * i},move" for i in range(20)),
    ]
)


@dataclass(frozen=True)
class Made:
    """What the run made."""

    store: Path
    run: Path
    scores: Path
    partition: Path
    figures: dict[str, Any]


@pytest.fixture(scope="module")
def made(sample_dir, trained, tmp_path_factory):
    """Return a model trained on easy sessions, and the sample's scores by it."""
    folder = tmp_path_factory.mktemp("made")
    store = ingest_sample(sample_dir, folder / "store")
    run, figures = trained / "run", json.loads((trained / "figures.json").read_text())
    scores = folder / "scores"
    return Made(store, run, scores, score_now([store], run, scores, DAY), figures)


@pytest.fixture(scope="module")
def hard(made, tmp_path_factory):
    """Return the rows of three sessions that are hard to judge, by session."""
    folder = tmp_path_factory.mktemp("hard")
    (folder / "hard.csv").write_text(HARD_LOG)
    partition = score_now([folder / "hard.csv"], made.run, folder / "scores", DAY)
    return pd.read_parquet(partition).set_index("session_id")


def fraud_score(partition: Path) -> pd.Series:
    """Return the score of each session, by its name."""
    return pd.read_parquet(partition).set_index("session_id")["fraud_score"].sort_index()


def test_a_run_holds_what_decides_a_score_and_how_it_came_about(made):
    assert {path.name for path in made.run.iterdir()} == {
        *("checkpoint", "config.json", "calibration.json", "policy.json"),
        *("metrics.json", "split.json", "history.json", "MODEL_CARD.md", "_SUCCESS"),
        *("reasons.json", "prints", "reference.json", "manifest.json", "recorders.json"),
        "level_reference.json",
        *("training.png", "roc.png", "reliability.png", "scores.png"),
    }
    assert not list(made.run.parent.glob("*.training"))
    assert len(json.loads((made.run / "history.json").read_text())["epochs"]) == 2
    written = json.loads((made.run / "metrics.json").read_text())
    assert written == made.figures


def test_the_tiny_network_tells_straight_from_crooked(made):
    assert made.figures["overall"]["roc_auc"]["value"] > 0.9


def test_the_model_card_says_which_model_and_on_whom(made):
    card = (made.run / "MODEL_CARD.md").read_text()
    assert "docs/replay.md" in card
    assert "docs/benchmarks.md" in card

    assert card.startswith(f"# Model card: {load_model(made.run).model_id}\n")
    assert "3 panels of 16 x 16 cells (hodograph, step, speed_turn)" in card
    assert "| train | 32 | 32 | 4 | " in card


def test_the_scores_have_the_schema_and_its_version(made):
    (part,) = made.partition.glob("*.parquet")
    schema = pq.read_schema(part)

    assert schema.equals(SCORES)
    assert {key: schema.metadata[key] for key in SCORES.metadata} == SCORES.metadata


def test_every_session_has_one_row(made, sample_dir):
    labels = pd.read_csv(sample_dir / "labels.csv")
    scores = pd.read_parquet(made.partition)

    assert sorted(scores["session_id"]) == sorted(labels["session_id"])
    manifest = json.loads((made.partition / "_manifest.json").read_text())
    assert manifest["n_sessions"] == len(scores) == 564
    assert manifest["n_flagged"] == scores["is_flagged"].sum()
    assert manifest["n_abstained"] == scores["fraud_score"].isna().sum()
    assert manifest["inputs"] == ["store"]
    assert manifest["read_from"] == {
        "paths": [str(made.store)], "format": "auto", "columns": {}
    }  # fmt: skip
    assert manifest["run"] == str(made.run)


def test_a_row_says_which_model_judged_it_and_agrees_with_itself(made):
    scores = pd.read_parquet(made.partition)
    judged = scores[scores["fraud_score"].notna()]

    assert set(scores["model_id"]) == {load_model(made.run).model_id}
    assert scores["run_id"].nunique() == 1
    assert judged["fraud_score"].between(0, 1).all()
    assert judged["abstain_reason"].isna().all()
    assert (judged["is_flagged"] == (judged["fraud_score"] >= judged["threshold"])).all()
    assert (judged["is_flagged"] == (judged["band"] == "high")).all()
    assert (judged["n_windows"] > 0).all()


def test_what_cannot_be_judged_has_no_score_but_a_reason(hard):
    assert hard["abstain_reason"].dropna().to_dict() == {
        "short": "too_few_events",
        "still": "no_moves",
    }
    abstained = hard.loc[["short", "still"]]
    assert abstained["fraud_score"].isna().all()
    assert abstained["worst_window_ms"].isna().all()
    assert (abstained["band"] == "abstained").all()
    assert not abstained["is_flagged"].any()
    assert 0 <= hard.loc["moving", "fraud_score"] <= 1


def test_nothing_but_days_lies_in_the_scores(made):
    assert [path.name for path in made.scores.iterdir()] == [f"run_date={DAY}"]
    assert not made.scores.with_name("scores.staging").exists()


def test_a_day_scored_again_is_replaced_and_gets_the_same_scores(made, tmp_path):
    scores = shutil.copytree(made.scores, tmp_path / "scores")
    before = pd.read_parquet(scores)
    score_now([made.store], made.run, scores, DAY)
    after = pd.read_parquet(scores)

    assert set(after["run_id"]).isdisjoint(before["run_id"])
    passing = ["run_id", "scored_at"]
    pd.testing.assert_frame_equal(after.drop(columns=passing), before.drop(columns=passing))


def test_another_day_stands_beside_and_readers_choose(made, tmp_path):
    scores = shutil.copytree(made.scores, tmp_path / "scores")
    shutil.copytree(scores / f"run_date={DAY}", scores / "run_date=2026-11-02")
    filters = [("run_date", "=", "2026-11-02")]
    by_pandas = pd.read_parquet(scores, filters=filters)
    files = f"{scores}/run_date=*/*.parquet"
    by_duckdb = duckdb.sql(
        f"SELECT run_date::VARCHAR, count(*), sum(fraud_score) "
        f"FROM read_parquet('{files}', hive_partitioning = true) GROUP BY 1 ORDER BY 1"
    ).fetchall()

    assert len(by_pandas) == 564
    assert [row[:2] for row in by_duckdb] == [(DAY, 564), ("2026-11-02", 564)]
    assert by_duckdb[0][2] == pytest.approx(by_pandas["fraud_score"].sum(), rel=1e-4)


def test_raw_logs_in_any_order_get_the_scores_that_the_store_got(made, sample_dir, tmp_path):
    logs = [sample_dir / "logs" / name for name in ("human.csv", "bots.csv.gz")]
    partition = score_now(logs, made.run, tmp_path / "scores", DAY)
    backwards = score_now(logs[::-1], made.run, tmp_path / "backwards", DAY)

    np.testing.assert_array_equal(fraud_score(partition), fraud_score(backwards))
    pd.testing.assert_series_equal(fraud_score(partition), fraud_score(made.partition), rtol=1e-6)


def test_a_neighbour_changes_no_score(made, sample_dir, tmp_path):
    log = pd.read_csv(sample_dir / "logs" / "human.csv")
    name = "browse_003"
    log[log["session_id"] == name].to_csv(tmp_path / "alone.csv", index=False)
    alone = fraud_score(score_now([tmp_path / "alone.csv"], made.run, tmp_path / "scores", DAY))

    assert alone.loc[name] == pytest.approx(fraud_score(made.partition).loc[name], rel=1e-6)


def test_the_same_session_twice_is_refused_and_nothing_is_published(made, sample_dir, tmp_path):
    with pytest.raises(DataError, match="in more than one input"):
        score_now([made.store, sample_dir / "logs"], made.run, tmp_path / "scores", DAY)
    assert not list(tmp_path.rglob("*.parquet"))
    assert not list(tmp_path.rglob("_SUCCESS"))


def test_a_finished_training_cannot_be_resumed(made):
    before = (made.run / "config.json").stat().st_mtime_ns
    with pytest.raises(NotFoundError, match=r"run\.training: no interrupted training there"):
        finish(train(TrainJob((made.store,), made.run, TINY, resume=True)))
    assert (made.run / "config.json").stat().st_mtime_ns == before


def test_an_evaluation_is_written_with_its_plots(made, sample_dir, tmp_path):
    labels = sample_dir / "labels.csv"
    evaluation = evaluate(EvaluateJob(made.scores, labels, [made.store], tmp_path / "figures"))

    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        *("evaluation.json", "roc.png", "reliability.png", "scores.png"),
    }
    written = json.loads((tmp_path / "figures" / "evaluation.json").read_text())
    assert written == json.loads(json.dumps(evaluation.to_json()))
    assert "AUC" in evaluation_text(evaluation)


def test_scores_of_another_kind_are_refused(tmp_path, sample_dir):
    folder = tmp_path / "run_date=2026-11-01"
    folder.mkdir()
    pq.write_table(pa.table({"session_id": ["a"]}), folder / "part-00000.parquet")
    with pytest.raises(ValueError, match="not a scores table: missing column"):
        evaluate(EvaluateJob(tmp_path, sample_dir / "labels.csv"))


def test_twins_are_made_of_people_and_of_bots_none(tmp_path):
    store = easy_store(tmp_path / "easy", n=8)
    assert simulate(SimulateJob(store, tmp_path / "twins", ["bezier", "teleport"])) == 8

    twins = load_sessions([tmp_path / "twins"])
    assert (twins.label == 1).all()
    assert {name.split("~")[0] for name in twins.session_id} == {f"s{i}" for i in range(8)}
    with pytest.raises(DataError, match="no legitimate session"):
        simulate(SimulateJob(tmp_path / "twins", tmp_path / "none"))


def test_sessions_are_drawn_and_a_misspelt_one_is_refused(made, tmp_path):
    sheet = draw_paths(DrawJob(made.store, tmp_path / "sheet.png", canvas=TINY.canvas, limit=2))
    one = draw_paths(DrawJob(made.store, tmp_path / "one.png", ("browse_003",), canvas=TINY.canvas))

    assert sheet.read_bytes() != one.read_bytes()
    with pytest.raises(NotFoundError, match=r"did you mean .*browse_003"):
        draw_paths(DrawJob(made.store, tmp_path / "no.png", ("browse_03",)))
    with pytest.raises(ConfigError, match="limit is 0"):
        draw_paths(DrawJob(made.store, tmp_path / "no.png", limit=0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "sheet.png"]


def test_pictures_with_a_model_show_what_raised_the_score(made, tmp_path):
    plain = draw_paths(DrawJob(made.store, tmp_path / "plain.png", canvas=TINY.canvas, limit=2))
    weighed = draw_paths(DrawJob(made.store, tmp_path / "weighed.png", model=made.run, limit=2))
    sizes = []
    for path in (plain, weighed):
        with Image.open(path) as image:
            sizes.append(image.size)
            shown = {tuple(pixel) for pixel in np.asarray(image.convert("RGB")).reshape(-1, 3)}
        assert ((64, 160, 255) in shown) == (path == weighed)
    assert sizes[1][0] >= sizes[0][0]


def test_a_large_picture_is_of_one_session(made, tmp_path):
    large = draw_paths(
        DrawJob(made.store, tmp_path / "a.png", ("browse_003",), canvas=TINY.canvas, large=True)
    )
    with Image.open(large) as image:
        assert image.width > 16 * TINY.canvas.size
    with pytest.raises(ConfigError, match="say which with --session"):
        draw_paths(DrawJob(made.store, tmp_path / "b.png", large=True))
