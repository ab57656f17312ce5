"""A site's own level: set from unlabelled sessions, published beside the model it comes from."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from conftest import make_sessions
from people import people
from tiny import TINY, score_now, untrained, untrained_with

from flows.cli import main
from flows.jobs.adapt import ADAPTATION, AdaptChampionJob, AdaptJob, adapt, adapt_champion
from flows.jobs.days import adapt_to_days
from flows.settings import Settings
from model.adapt import adapt_model
from model.calibrate import Calibration, LengthCalibration, RecorderLevel
from model.level import FEWEST_SESSIONS, fit_level_reference
from model.owner.profiles import Profiles
from model.owner.scorer import OwnerScorer
from model.owner.train import PopulationData
from model.policy import Policy, Threshold
from model.registry import add_run, promote, read_champion, rollback
from model.run import LEVELS, TrainedModel, load_model, save_model
from model.score import score_sessions
from pipeline.config import AdaptConfig
from pipeline.errors import ConfigError, DataError, NotFoundError, SchemaError
from pipeline.monitoring.reference import read_reference
from pipeline.schemas import QUARANTINE
from pipeline.scores.partitions import read_partition
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from pipeline.storage.store import Part, load_sessions, write_part

DAY = "2026-11-01"
LAB, SITE, RARE = "10 ms polled whole px move", "our shop", "a kiosk"


def walks(n: int, seed: int, recorder: str | None, label: int = -1, **changes) -> Sessions:
    """Return sessions of as many people, each a random walk."""
    rng = np.random.default_rng(seed)
    t_ms = np.arange(40) * 16
    paths = [
        list(zip(t_ms, *rng.normal(0, 9, (2, 40)).cumsum(axis=1) + 400, strict=True))
        for _ in range(n)
    ]
    names = {
        "session_id": np.array([f"{recorder}-{seed}-{i}" for i in range(n)], object),
        "account_id": np.array([f"{recorder}-{seed}-{i}" for i in range(n)], object),
        "recorder": np.full(n, recorder, object),
        "label": np.full(n, label, np.int8),
    }
    return make_sessions(*paths, **(names | changes))


def stored(store: Path, *parts: Sessions, day: str = DAY) -> Path:
    for number, sessions in enumerate(parts):
        write_part(
            Part(store, day, f"{number}"), [sessions], QUARANTINE.empty_table(), {"files": []}
        )
    return store


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    """Return a model calibrated for people whose logits lie far below those of the site's."""
    scorer = untrained().scorer
    logits = scorer.predict(walks(200, 0, LAB)).of_session
    middle, spread = np.median(logits), np.quantile(logits, 0.95) - np.median(logits)
    length = LengthCalibration((8.0, 32.0), (middle - 2 * spread,) * 2, (float(spread),) * 2)
    rng = np.random.default_rng(0)
    adjusted = np.append((logits - middle) / spread, rng.normal(4, 1, 200))
    reference = fit_level_reference(
        adjusted, np.repeat([0, 1], 200), np.full(400, LAB, dtype=object)
    )
    calibration = Calibration(1.0, -1.5, 0.5, length)
    threshold = Threshold(0.01, calibration.score_of(1.6), 0.0, None, True, "")
    return TrainedModel(
        TINY, scorer, calibration, Policy(0.01, (threshold,), 9, 200),
        recorders={LAB: 200}, level_reference=reference,
    )  # fmt: skip


@pytest.fixture
def run(model: TrainedModel, tmp_path: Path) -> Path:
    """Return the model's RUN, as one that was trained leaves it."""
    run = tmp_path / "run"
    save_model(model, run)
    (run / "MODEL_CARD.md").write_text(f"# Model card: {model.model_id}\n\nTask: **fraud**.\n")
    (run / "split.json").write_text("{}")
    (run / "_SUCCESS").touch()
    return run


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a store of the site's sessions, and of some of another recorder."""
    return stored(tmp_path / "site", walks(120, 1, SITE), walks(12, 2, RARE), walks(3, 3, None))


def flagged(run: Path, sessions: Sessions) -> float:
    """Return the share of sessions that a RUN flags."""
    table = score_sessions(load_model(run), "m", sessions, "r", datetime.now(UTC))
    return float(np.mean(table["is_flagged"].to_pylist()))


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_people_of_the_site_are_no_longer_flagged_and_the_model_before_stays(run, site, tmp_path):
    before = files(run)
    found = adapt(AdaptJob((site,), run, tmp_path / "run2"))

    assert files(run) == before
    people = walks(200, 9, SITE)
    assert flagged(run, people) > 0.5
    assert flagged(tmp_path / "run2", people) < 0.05
    of_site, rare, unknown = found.recorders
    assert (of_site.recorder, of_site.n_sessions, of_site.is_adapted) == (SITE, 120, True)
    assert of_site.fraud_share < 0.05
    assert of_site.distance_after < 0.5 < of_site.distance_before
    assert of_site.threshold_before == pytest.approx(1.6)
    assert of_site.threshold_after == pytest.approx(2 + 1.5, abs=0.5)
    assert (rare.recorder, rare.is_adapted) == (RARE, False)
    assert rare.why == f"too few sessions: {FEWEST_SESSIONS} with a score are needed"
    assert (unknown.recorder, unknown.is_adapted) == ("not known", False)
    # Sessions of other recorders have the scores that they had.
    assert flagged(tmp_path / "run2", walks(50, 8, LAB)) == flagged(run, walks(50, 8, LAB))


def test_frauds_among_the_sessions_hardly_move_the_level(model, monkeypatch):
    people = walks(160, 1, SITE)
    clean = adapt_model(model, people).adapted[0]
    predict, spread = type(model.scorer).predict, model.calibration.length.spread[0]

    def with_frauds(scorer, sessions):
        """Give every fifth session a logit far up."""
        found = predict(scorer, sessions)
        is_fraud = np.arange(len(sessions)) % 5 == 0
        return replace(found, of_session=found.of_session + 4 * spread * is_fraud)

    monkeypatch.setattr(type(model.scorer), "predict", with_frauds)
    (found,) = adapt_model(model, people).adapted
    assert found.fraud_share == pytest.approx(0.2, abs=0.06)
    assert found.threshold_after == pytest.approx(clean.threshold_after, abs=0.35)


def test_the_new_run_says_what_its_level_rests_on(run, site, tmp_path):
    to = tmp_path / "run2"
    found = adapt(AdaptJob((site,), run, to))
    old, new = load_model(run), load_model(to)

    assert new.recorders == {LAB: 200, SITE: 120}
    assert new.model_id == found.model.model_id != old.model_id
    card = (to / "MODEL_CARD.md").read_text()
    assert card.startswith(f"# Model card: {new.model_id}\n")
    assert f"Adapted from {old.model_id} to unlabelled sessions" in card
    assert f"| {SITE} | 120 | 120 | 0% |" in card
    assert f"| {RARE} | 12 | 12 | - | - | - | too few sessions" in card
    content = json.loads((to / ADAPTATION).read_text())
    assert content["adapted_from"] == old.model_id
    assert content["recorders"][0]["n_sessions"] == 120
    assert (to / "split.json").is_file()
    assert read_reference(to)["n_events"].n == 135
    assert read_reference(to)["fraud_score"].n == 135
    assert not list(tmp_path.glob("*.staging"))
    (to / LEVELS).write_text(json.dumps({"levels": {}}))
    with pytest.raises(SchemaError, match=r"levels\.json is not what it was"):
        load_model(to)


def test_sessions_are_scored_and_marked_by_the_adapted_model(run, site, tmp_path):
    adapt(AdaptJob((site,), run, tmp_path / "run2"))
    partition = score_now([site], tmp_path / "run2", tmp_path / "scores", DAY)
    rows = read_partition(partition).to_pylist()
    known = {row["recorder"]: row["recorder_known"] for row in rows}
    assert known == {SITE: True, RARE: False, None: None}


def test_adapting_again_starts_from_the_logits_not_from_the_level_before(run, site, tmp_path):
    once = adapt(AdaptJob((site,), run, tmp_path / "run2")).model
    more = stored(tmp_path / "more", walks(120, 1, SITE), walks(60, 5, RARE))
    again = adapt(AdaptJob((more,), tmp_path / "run2", tmp_path / "run3", recorders=(RARE,)))
    assert again.model.levels[SITE] == once.levels[SITE]
    assert set(again.model.levels) == {SITE, RARE}
    assert again.model.recorders == {LAB: 200, SITE: 120, RARE: 60}
    with pytest.raises(DataError, match="our shop: as before: its own level is no nearer"):
        adapt(AdaptJob((site,), tmp_path / "run2", tmp_path / "run4", recorders=(SITE,)))


def test_a_level_that_fits_stays_as_it_is_and_nothing_is_published(model, tmp_path):
    fits = RecorderLevel(2.0, 1.0, 200)
    fitting = replace(model, levels={SITE: fits})
    save_model(fitting, tmp_path / "run")
    store = stored(tmp_path / "site", walks(120, 0, SITE))
    with pytest.raises(DataError, match="the level stays as it was"):
        adapt(AdaptJob((store,), tmp_path / "run", tmp_path / "run2"))
    assert not (tmp_path / "run2").exists()


def test_known_frauds_are_left_out(model):
    people, frauds = walks(60, 1, SITE), walks(60, 4, SITE, label=1)
    (found,) = adapt_model(model, concatenate_sessions([people, frauds])).recorders
    assert found.n_sessions == 60


@pytest.mark.parametrize(
    ("n", "is_enough"), [(FEWEST_SESSIONS - 1, False), (FEWEST_SESSIONS, True)]
)
def test_fifty_sessions_are_enough(model, n, is_enough):
    (found,) = adapt_model(model, walks(n, 1, SITE)).recorders
    assert found.is_adapted == is_enough


def test_a_crash_leaves_no_half_of_a_run(run, site, tmp_path, monkeypatch):
    def crash(*_: object) -> None:
        raise OSError("the disk is full")

    before = files(run)
    monkeypatch.setattr("flows.jobs.adapt.write_manifest", crash)
    with pytest.raises(OSError, match="the disk is full"):
        adapt(AdaptJob((site,), run, tmp_path / "run2"))
    assert not (tmp_path / "run2").exists()
    assert not list(tmp_path.glob("*.staging"))
    assert files(run) == before


def test_one_persons_sessions_count_as_one_person(model):
    account = np.full(80, "one", object)
    (found,) = adapt_model(model, walks(80, 1, SITE, account_id=account)).recorders
    assert found.n_people == 1
    assert found.is_adapted  # a higher threshold spares people: it needs no others
    nobody = np.full(80, None, object)
    (found,) = adapt_model(model, walks(80, 1, SITE, account_id=nobody)).recorders
    assert found.n_people == 80


def test_what_cannot_be_adapted_is_refused_with_what_to_do(model, run, site, tmp_path):
    with pytest.raises(ConfigError, match="is the model itself"):
        AdaptJob((site,), run, run)
    with pytest.raises(DataError, match="train it again"):
        adapt_model(replace(model, level_reference=None), walks(60, 1, SITE))
    with pytest.raises(DataError, match="no session is of such a recorder"):
        adapt(AdaptJob((site,), run, tmp_path / "run2", recorders=("nobody's",)))
    assert not (tmp_path / "run2").exists()


def test_the_owner_task_is_refused(models, site, tmp_path):
    config = replace(TINY, task="owner")
    population = PopulationData(config, people(0, 6)).population()
    owner = untrained_with(OwnerScorer(config, Profiles.empty(population)))
    save_model(owner, tmp_path / "owner")
    (tmp_path / "owner" / "_SUCCESS").touch()
    with pytest.raises(ConfigError, match="task is owner, whose level is that of each account"):
        adapt(AdaptJob((site,), tmp_path / "owner", tmp_path / "run2"))
    add_run(models, tmp_path / "owner", owner.model_id)
    promote(models, owner.model_id, "owners")
    found = adapt_champion(AdaptChampionJob((site,), models))
    assert found.why == "it is of the owner task: its level is each account's"


def command(*words: object) -> int:
    """Run a command, and return its exit code."""
    try:
        main([str(word) for word in words])
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def test_the_command_prints_what_came_of_each_recorder(run, site, tmp_path, capsys):
    assert command("adapt", site, "--model", run, "--to", tmp_path / "run2") == 0
    table, path = capsys.readouterr().out.strip().rsplit("\n", 1)
    assert path == str(tmp_path / "run2")
    assert "our shop" in table
    assert "adapted" in table
    rare = stored(tmp_path / "rare", walks(12, 2, RARE))
    assert command("adapt", rare, "--model", run, "--to", tmp_path / "run3") == 1
    assert "error: adapt: the level stays as it was (a kiosk: too few" in capsys.readouterr().err
    assert command("adapt", site, "--model", run, "--to", tmp_path / "run4", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["is_adapted"]
    assert command("adapt", "--model", run, "--to", tmp_path / "run5") == 2


@pytest.fixture
def models(run: Path, model: TrainedModel, tmp_path: Path) -> Path:
    add_run(tmp_path / "models", run, model.model_id)
    promote(tmp_path / "models", model.model_id, "begun")
    return tmp_path / "models"


def test_the_champion_is_adapted_once_and_rolled_back_in_one_step(models, model, site):
    job = AdaptChampionJob((site,), models, config=AdaptConfig(min_sessions=100))
    found = adapt_champion(job)

    assert found.run == models / found.champion
    assert read_champion(models).model_id == found.champion != model.model_id
    assert found.why == f"adapted {model.model_id} to sessions of {SITE} (120)"
    assert load_model(models).recorders == {LAB: 200, SITE: 120}
    again = adapt_champion(job)
    assert again.run is None
    assert again.why == "100 sessions of a recorder are needed, there are a kiosk: 12"
    assert rollback(models).model_id == model.model_id
    assert not models.with_name("models.staging").exists()


def test_the_champion_stays_and_it_is_said_why(models, model, site, tmp_path, caplog, monkeypatch):
    def why(*stores: Path, least: int = 200) -> str:
        found = adapt_champion(
            AdaptChampionJob(stores, models, config=AdaptConfig(min_sessions=least))
        )
        assert (found.run, found.champion) == (None, model.model_id)
        assert f"stays as it is: {found.why}" in caplog.text
        return found.why

    assert why() == "no session of a known recorder came in"
    assert why(stored(tmp_path / "lab", walks(5, 1, LAB))) == (
        "it was set for every recorder of these sessions"
    )
    assert why(site) == (
        "200 sessions of a recorder are needed, there are our shop: 120, a kiosk: 12"
    )
    # Sessions that have no logit don't count: there are enough, but not of those.
    still = walks(60, 1, SITE)
    still = replace(still, x_px=np.zeros_like(still.x_px), y_px=np.zeros_like(still.y_px))
    assert "too few sessions" in why(stored(tmp_path / "still", still), least=50)
    assert read_champion(models).model_id == model.model_id
    monkeypatch.setattr("model.registry.STARTER", tmp_path / "none")  # nor a starter
    with pytest.raises(NotFoundError, match="no champion to adapt"):
        adapt_champion(AdaptChampionJob((site,), tmp_path / "nothing"))


def test_the_sessions_of_the_last_days_count(models, tmp_path):
    store = stored(tmp_path / "store", walks(60, 1, SITE), day="2026-10-20")
    stored(store, walks(60, 2, SITE), day="2026-10-31")
    stored(store, walks(60, 3, SITE), day="2026-11-09")

    def adapted(day: str, days: int):
        settings = Settings(
            logs=(tmp_path,), store=store, scores=tmp_path / "scores", models=models,
            adapt=AdaptConfig(days, 100),
        )  # fmt: skip
        return adapt_to_days(settings, day)

    assert adapted("2026-11-01", 10).run is None  # 60 sessions
    assert len(load_sessions([store])) == 180
    found = adapted("2026-11-01", 30)
    assert found.adaptation.adapted[0].n_sessions == 120


def test_without_a_champion_the_starter_is_adapted_and_a_rollback_brings_it_back(
    run, model, site, tmp_path, monkeypatch
):
    monkeypatch.setattr("model.registry.STARTER", run)
    models = tmp_path / "models"
    found = adapt_champion(AdaptChampionJob((site,), models, config=AdaptConfig(min_sessions=100)))
    assert read_champion(models).model_id == found.champion != model.model_id
    assert rollback(models).model_id == model.model_id
