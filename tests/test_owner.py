"""The owner task: embeddings, the population they are compared in, profiles, and the jobs."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import make_sessions
from people import people
from tiny import TINY, easy_store, untrained

from flows.cli import main
from flows.jobs.enroll import enroll
from flows.jobs.owner_trials import deal_folds
from flows.jobs.train import train
from flows.jobs.train_owner import owned_sessions, settled, split_owners
from model.config import HabitsConfig, OwnerConfig, RunConfig
from model.habits import N_HABITS, habits
from model.network import Network, predict
from model.owner.population import Evidence, Population, fit_population, session_means
from model.owner.profiles import Profiles
from model.owner.score import embed
from model.owner.score import enroll as enroll_sessions
from model.owner.siblings import with_siblings
from model.owner.trials import WHOLE, Trials, join_trials, make_trials, split_enrolment
from model.run import load_model, save_model
from model.score import score_sessions
from pipeline.errors import ConfigError, DataError
from pipeline.manifest import write_manifest
from pipeline.reasons.codes import PROFILE
from pipeline.reasons.constancy import measure_constancy
from pipeline.schemas import QUARANTINE, Kind
from pipeline.sessions import Sessions
from pipeline.store import Part, write_part
from pipeline.windows import cut_windows, pad_windows
from rasterize.draw import to_device

OWNER = replace(
    TINY,
    task="owner",
    habits=HabitsConfig(width=32),
    owner=OwnerConfig(
        window=TINY.window, embedding=16, dimensions=8, epochs=3, hold_out="sessions"
    ),
)


def hands(n_accounts: int = 8, n_sessions: int = 5, first: int = 0) -> Sessions:
    """Return sessions of hands that differ in speed and in how much they turn."""
    rng = np.random.default_rng(first)
    paths, accounts = [], []
    for account in range(first, first + n_accounts):
        for _ in range(n_sessions):
            turn = rng.normal(0, 0.05 + 0.12 * (account % 5), 160).cumsum()
            step = (2 + 4 * (account % 7)) * rng.lognormal(0, 0.3, 160)
            x, y = (step * np.cos(turn)).cumsum(), (step * np.sin(turn)).cumsum()
            paths.append(list(zip(16 * np.arange(160), x, y, strict=True)))
            accounts.append(f"account{account}")
    ids = [f"{account}-{i % n_sessions}" for i, account in enumerate(accounts)]
    return make_sessions(
        *paths, account_id=np.array(accounts, object), session_id=np.array(ids, object)
    )


def store_of(sessions: Sessions, store: Path) -> Path:
    write_part(
        Part(store, "2026-11-01", store.name), [sessions], QUARANTINE.empty_table(), {"files": []}
    )
    return store


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("owner")
    train([store_of(hands(), folder / "store")], folder / "run", OWNER)
    enroll([folder / "store"], folder / "run")
    return folder / "run"


def scores(run: Path, sessions: Sessions):
    model = load_model(run)
    table = score_sessions(model, model.model_id, sessions, "r", datetime(2026, 11, 1, tzinfo=UTC))
    return table.to_pandas()


def exit_code(*words: object) -> int:
    try:
        main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


# --- the population


def embeddings_of(n_people=30, n_sessions=4, n_windows=6, seed=0):
    """Return Gaussian embeddings of which the first axis tells people apart, the second doesn't."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n_people), n_sessions)
    place = rng.normal(0, [3.0, 0.01], (n_people, 2))
    session = place[person] + rng.normal(0, [0.3, 2.0], (len(person), 2))
    of_window = np.repeat(np.arange(len(person)), n_windows)
    return session[of_window] + rng.normal(0, 1, (len(of_window), 2)), of_window, person


def test_the_axis_that_tells_people_apart_comes_first():
    embeddings, of_window, person = embeddings_of()
    population = fit_population(embeddings, of_window, person, 2)
    first = np.abs(population.axes[0])
    assert first[0] > 5 * first[1]
    assert population.between_people[0] > 20 * population.between_people[1]


def test_own_sessions_are_likelier_than_others():
    embeddings, of_window, person = embeddings_of()
    population = fit_population(embeddings, of_window, person, 2)
    means, n = session_means(embeddings, of_window, len(person))
    place = population.place(Evidence(means[:2], n[:2]))
    own = population.log_ratio(Evidence(means[2:4], n[2:4]), place)
    others = population.log_ratio(Evidence(means[4:], n[4:]), place)
    assert own.min() > 0
    assert np.mean(others < own.min()) > 0.85


def test_more_sessions_make_a_profile_more_mature_than_more_windows_do():
    embeddings, of_window, person = embeddings_of()
    population = fit_population(embeddings, of_window, person, 2)
    means, _ = session_means(embeddings, of_window, len(person))

    def maturity(n_sessions, n_windows):
        evidence = Evidence(means[:n_sessions], np.full(n_sessions, n_windows))
        return population.maturity(population.place(evidence))

    assert 0 < maturity(1, 1) < maturity(1, 100) < maturity(4, 25) < 1
    assert maturity(1, 10**9) < maturity(4, 25)
    nobody = Evidence(means[:0], np.zeros(0, np.int64))
    assert population.maturity(population.place(nobody)) == pytest.approx(0)


def test_what_is_alike_in_everybody_is_no_evidence():
    embeddings, of_window, person = embeddings_of()
    padded = np.concatenate([embeddings, np.full((len(embeddings), 3), 7.0)], axis=1)
    population = fit_population(padded, of_window, person, 5)
    assert len(population.axes) == 2
    means, n = session_means(padded, of_window, len(person))
    place = population.place(Evidence(means[:2], n[:2]))
    assert np.isfinite(population.log_ratio(Evidence(means, n), place)).all()


def test_what_never_changes_in_a_person_is_no_division_by_zero():
    embeddings, of_window, person = embeddings_of()
    fixed = person[of_window][:, None].astype(float)
    population = fit_population(np.concatenate([embeddings, fixed], axis=1), of_window, person, 3)
    assert population.between_windows.min() > 0
    assert population.between_sessions.min() > 0


def test_a_population_survives_json():
    embeddings, of_window, person = embeddings_of()
    population = fit_population(embeddings, of_window, person, 2)
    again = Population.from_json(population.to_json())
    np.testing.assert_array_equal(again.axes, population.axes)
    with pytest.raises(ValueError, match="missing mean, axes"):
        Population.from_json({})


def test_people_of_one_session_each_say_nothing_of_sessions():
    embeddings, of_window, person = embeddings_of(n_sessions=1)
    with pytest.raises(DataError, match="0 of them with two sessions"):
        fit_population(embeddings, of_window, person, 2)


# --- folds of people, nothing learnt


def test_auto_is_decided_by_how_many_accounts_there_are():
    few, many = (settled(RunConfig(task="owner"), n).owner for n in (10, 30))
    assert (few.hold_out, few.learns) == ("sessions", "always")
    assert (many.hold_out, many.learns) == ("people", "never")
    without = RunConfig(task="owner", owner=OwnerConfig(habits=False))
    assert settled(without, 30).owner.learns == "always"
    with pytest.raises(ConfigError, match="a profile needs one of them"):
        OwnerConfig(habits=False, learns="never")


def test_folds_are_of_whole_people_and_alike_in_size():
    person = np.repeat([f"p{i}" for i in range(23)], 3)
    fold = deal_folds(person, 5, seed=1)
    assert all(len(set(fold[person == name])) == 1 for name in person)
    assert np.bincount(fold).max() - np.bincount(fold).min() <= 3
    assert len(set(deal_folds(person[:9], 5, seed=1))) == 3


@pytest.fixture(scope="module")
def crowd_run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("crowd")
    config = replace(OWNER, owner=replace(OWNER.owner, hold_out="people", learns="never"))
    train([store_of(hands(24), folder / "store")], folder / "run", config)
    return folder / "run"


def test_where_nothing_is_learnt_everybody_is_tested_by_what_the_others_teach(crowd_run):
    figures = json.loads((crowd_run / "metrics.json").read_text())
    assert figures["overall"]["roc_auc"]["value"] > 0.9
    split = json.loads((crowd_run / "split.json").read_text())
    assert split["parts"]["test"]["n_people"] == 24
    assert split["notes"] == ["5 folds of people, each tested by what the others teach"]
    assert json.loads((crowd_run / "history.json").read_text()) == {"epochs": []}
    assert load_model(crowd_run).policy.n_people == 24


def test_a_model_that_has_learnt_nothing_enrols_and_tells_owner_from_impostor(crowd_run, tmp_path):
    shutil.copytree(crowd_run, tmp_path / "run")
    new = hands(4, first=300)
    enrolled = np.arange(len(new)) % 5 < 3
    enroll([store_of(new.take(enrolled), tmp_path / "store")], tmp_path / "run")
    tried = new.take(~enrolled)
    own = scores(tmp_path / "run", tried)["fraud_score"]
    other = replace(tried, account_id=np.roll(tried.account_id, 2))
    assert own.median() < 0.5 < scores(tmp_path / "run", other)["fraud_score"].median()


def test_trials_of_several_sets_are_joined_with_their_sessions():
    ones = np.ones(2, np.int64)
    trials = Trials(
        np.array([0, 1]), np.array(["a", "b"]), ones, ones, np.zeros(2), np.zeros(2, np.int8)
    )
    joined = join_trials([(np.array([4, 7]), trials), (np.array([5, 2]), trials)])
    assert joined.session.tolist() == [4, 7, 5, 2]
    assert joined.account.tolist() == ["a", "b", "a", "b"]


# --- siblings


def test_siblings_are_other_people_who_swap_sides_or_take_their_time():
    sessions = hands(2, 1)
    everyone = with_siblings(sessions, OwnerConfig(paces=(0.5,)))
    assert everyone.account_id.tolist() == [
        "account0", "account1", "account0 mirrored", "account1 mirrored", "account0 x0.5",
        "account1 x0.5",
    ]  # fmt: skip
    _, _, mirrored, other, quick, _ = (everyone.take(np.array([i])) for i in range(6))
    own = sessions.take(np.array([0]))
    np.testing.assert_allclose(np.diff(mirrored.x_px), -np.diff(own.x_px), atol=1e-3)
    assert mirrored.x_px.min() == pytest.approx(own.x_px.min(), abs=1e-3)
    np.testing.assert_array_equal(mirrored.y_px, own.y_px)
    np.testing.assert_array_equal(quick.t_us, np.rint(own.t_us / 2))
    assert not np.array_equal(other.x_px, mirrored.x_px)


def test_siblings_can_be_turned_off():
    sessions = hands(2, 1)
    assert len(with_siblings(sessions, OwnerConfig(mirrored=False, paces=()))) == len(sessions)


def test_habits_join_what_is_learnt_and_the_accounts_are_named_by_the_rest():
    network, plain = (
        Network(OWNER),
        Network(replace(OWNER, owner=replace(OWNER.owner, habits=False))),
    )
    sessions = hands(1, 1)
    windows = cut_windows(sessions, TINY.window)
    both, learnt = (predict(n, sessions, windows, 32) for n in (network, plain))
    assert both.shape[1] == network.n_outputs == OWNER.owner.embedding + N_HABITS
    np.testing.assert_allclose(both[:, : OWNER.owner.embedding], learnt, rtol=1e-5)
    points = to_device(pad_windows(sessions, windows, 32))
    np.testing.assert_allclose(both[:, OWNER.owner.embedding :], habits(points), atol=1e-4)


# --- habits


def habits_of(*paths):
    sessions = make_sessions(*paths)
    return np.asarray(
        habits(to_device(pad_windows(sessions, cut_windows(sessions, TINY.window), 32)))
    )


def test_habits_have_the_size_that_is_promised_and_do_not_see_the_place():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 9, (2, 20)).cumsum(axis=1)
    path = [(16 * i, x[i], y[i]) for i in range(20)]
    moved = [(t, x + 64, y + 128) for t, x, y in path]
    seen = habits_of(path, moved)
    assert seen.shape == (2, N_HABITS)
    assert np.isfinite(seen).all()
    np.testing.assert_allclose(seen[0], seen[1], atol=0.2)  # float32 positions round


def test_a_share_of_few_events_says_less_than_the_same_share_of_many():
    few, many = ([(16 * i, 4.0 * i, 0.0) for i in range(n)] for n in (8, 32))
    of_few, of_many = habits_of(few, many)
    of_speed = slice(0, 11)
    assert of_few[of_speed].argmax() == of_many[of_speed].argmax()
    assert 0 < of_few[of_speed].max() < of_many[of_speed].max()


def test_habits_know_what_a_change_of_speed_follows():
    steps = {"alternating": [2, 20] * 12, "in pairs": [2, 2, 20, 20] * 6}
    paths = [
        [(16 * i, float(x), 0.0) for i, x in enumerate(np.cumsum(of))] for of in steps.values()
    ]
    seen = habits_of(*paths)
    begin = 11 + 11 + 13 + 9  # behind speeds, steps, turns and changes
    pairs = seen[:, begin : begin + 25]
    assert pairs[0].argmax() in (4, 20)  # up after down, down after up
    assert pairs[1][[4, 20]].max() < pairs[0].max()


def test_habits_tell_slow_from_fast_and_long_from_short_presses():
    slow = [(16 * i, i, 0.0) for i in range(20)]
    fast = [(16 * i, 20.0 * i, 0.0) for i in range(20)]

    def pressed(hold_ms):
        return [*slow, (400, 20, 0, Kind.DOWN), (400 + hold_ms, 20, 0, Kind.UP)]

    of_slow, of_fast, short, long = habits_of(slow, fast, pressed(50), pressed(200))
    assert np.abs(of_slow - of_fast).max() > 1
    assert np.abs(short - long).max() > 1
    np.testing.assert_array_equal(habits_of(slow)[0], of_slow)


def test_filling_is_no_habit():
    path = [(16 * i, 3.0 * i, 0.0) for i in range(10)]
    sessions = make_sessions(path)
    windows = cut_windows(sessions, TINY.window)
    few, many = (habits(to_device(pad_windows(sessions, windows, n))) for n in (10, 32))
    np.testing.assert_allclose(few, many, atol=1e-5)
    assert jnp.isfinite(many).all()


# --- trials


def test_the_longer_half_of_an_accounts_sessions_makes_its_profile():
    paths = [[(16 * i, i, 0) for i in range(n)] for n in (10, 30, 20, 40, 12)]
    sessions = make_sessions(*paths, account_id=np.array(["a", "a", "b", "b", "c"], object))
    assert split_enrolment(sessions).tolist() == [False, True, False, True, False]


def test_trials_try_each_stretch_against_its_own_account_and_others(run):
    model, sessions = load_model(run), hands()
    windows, embeddings = embed(model.network, model.config, sessions)
    trials = make_trials(embeddings, windows.session, sessions, model.profiles, others=2)
    own = sessions.account_id[trials.session] == trials.account
    np.testing.assert_array_equal(trials.label, np.where(own, 0, 1))
    assert own.mean() == pytest.approx(1 / 3)
    whole = trials.stretch == WHOLE
    per_session = np.bincount(windows.session, minlength=len(sessions))
    np.testing.assert_array_equal(trials.n_windows[whole], per_session[trials.session[whole]])
    np.testing.assert_array_equal(trials.n_windows[~whole], trials.stretch[~whole])


# --- the jobs


def test_a_strangers_session_scores_higher_than_the_owners(run):
    sessions = hands()
    claimed = sessions.account_id.copy()
    claimed[::5] = np.roll(claimed[::5], 2)  # one session of each account claims another one
    table = scores(run, replace(sessions, account_id=claimed))
    is_stranger = np.arange(len(sessions)) % 5 == 0
    assert table["fraud_score"].notna().all()
    higher = table["fraud_score"][is_stranger].to_numpy()[:, None] > (
        table["fraud_score"][~is_stranger].to_numpy()
    )
    assert higher.mean() > 0.9


def test_an_account_never_seen_is_enrolled_without_training(run, tmp_path):
    new = hands(2, first=100)
    before = scores(run, new)
    assert before["abstain_reason"].tolist() == ["no_profile"] * len(new)
    model = load_model(run)
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    summary = enroll([store_of(new, tmp_path / "store")], copy)
    assert set(summary["account_id"]) > {"account100", "account101"}
    assert summary.loc[summary["account_id"] == "account100", "n_sessions"].item() == 5
    after = scores(copy, new)
    assert after["fraud_score"].notna().all()
    assert load_model(copy).model_id != model.model_id


def test_enrolling_again_changes_nothing(run, tmp_path):
    before = load_model(run)
    enroll([store_of(hands(), tmp_path / "store")], run)
    assert load_model(run).model_id == before.model_id


def test_a_session_without_account_has_no_profile(run):
    sessions = hands(1, 1)
    table = scores(run, replace(sessions, account_id=np.array([None], object)))
    assert table["abstain_reason"].tolist() == ["no_profile"]
    assert table["band"].tolist() == ["abstained"]
    assert not table["is_flagged"].any()


def test_an_immature_profile_abstains(run):
    model = load_model(run)
    strict = replace(model.config.owner, min_maturity=0.9999)
    model = replace(model, config=replace(model.config, owner=strict))
    table = score_sessions(model, "m", hands(2), "r", datetime(2026, 11, 1, tzinfo=UTC))
    assert set(table["abstain_reason"].to_pylist()) == {"immature_profile"}


def test_what_is_unlike_its_account_is_so_whatever_the_network_says(run):
    trained, known = load_model(run), people(100, 4)
    is_enrolled = np.arange(len(known)) % 3 > 0
    own, stranger = known.take(~is_enrolled), people(100, 4, 1, slower=3.0)
    profiles = enroll_sessions(
        trained.network, trained.config, trained.profiles, known.take(is_enrolled)
    )
    usual = replace(trained.usual, own=measure_constancy(people(0, 12)))
    for intercept, is_flagged in ((-1e6, False), (1e6, True)):
        calibration = replace(trained.calibration, intercept=intercept)
        model = replace(trained, profiles=profiles, usual=usual, calibration=calibration)
        for sessions, is_unlike in ((own, False), (stranger, True)):
            table = score_sessions(model, "m", sessions, "r", datetime(2026, 11, 1, tzinfo=UTC))
            assert table["is_flagged"].to_pylist() == [is_flagged] * 4
            said = [PROFILE in reasons for reasons in table["reasons"].to_pylist()]
            assert said == [is_unlike] * 4


def test_training_measures_how_constant_hands_are_and_enrolment_their_habits(run):
    model = load_model(run)
    assert model.usual.own is not None
    assert model.profiles.table["stretches"].null_count == 0
    assert len(model.ranges.account) == len(set(hands().account_id))


def test_profiles_of_an_earlier_version_score_alike_and_know_no_habits(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    path = copy / "profiles" / "profiles.parquet"
    table = pq.read_table(path).drop_columns(["stretches"])
    metadata = {b"schema": b"profiles", b"version": b"1"}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    write_manifest(copy)

    earlier = load_model(copy)
    assert earlier.model_id == load_model(run).model_id
    assert earlier.profiles.table["stretches"].null_count == table.num_rows
    assert np.isnan(earlier.ranges.levels).all()
    enroll([store_of(hands(), tmp_path / "store")], copy)
    assert load_model(copy).profiles.table["stretches"].null_count == 0


def test_an_account_may_have_a_profile_for_each_device(run):
    model, sessions = load_model(run), hands()
    means = Evidence(np.zeros((1, model.network.n_outputs), np.float32), np.array([4]))
    both = model.profiles.extended(
        replace(sessions.take(np.array([0])), session_id=np.array(["other"], object)),
        means,
        "touchpad",
    )
    assert {device for account, device in both.places if account == "account0"} == {"", "touchpad"}
    assert len(both.of_account(0.0)["account0"]) == 2
    assert both.summary()["n_sessions"].sum() == model.profiles.table.num_rows + 1


def test_profiles_are_of_nobody_at_first():
    embeddings, of_window, person = embeddings_of()
    profiles = Profiles.empty(fit_population(embeddings, of_window, person, 2))
    assert profiles.places == {}
    assert profiles.of_account(0.0) == {}


def test_frauds_and_sessions_of_nobody_are_not_learnt():
    sessions = hands(2, 2)
    account = sessions.account_id.copy()
    account[0] = None
    label = np.array([0, 1, -1, 0], np.int8)
    owned = owned_sessions(replace(sessions, account_id=account, label=label))
    assert owned.session_id.tolist() == ["account1-0", "account1-1"]
    with pytest.raises(DataError, match="0 with an account_id"):
        owned_sessions(replace(sessions, account_id=np.full(4, None, object)))


@pytest.mark.parametrize(("n_accounts", "by"), [(8, ("session",)), (24, ("person",))])
def test_few_accounts_hold_out_sessions_many_hold_out_people(n_accounts, by):
    config = replace(OWNER, owner=OwnerConfig())
    split = split_owners(hands(n_accounts), config)
    assert split.config.by == by
    people = [set(split.groups.person[split.indices(part)]) for part in ("train", "test")]
    assert bool(people[0] & people[1]) == (by == ("session",))


def test_a_model_of_the_fraud_task_enrols_nobody(tmp_path):
    save_model(untrained(), tmp_path / "run")
    with pytest.raises(ConfigError, match="its task is fraud"):
        enroll([easy_store(tmp_path / "store", 4)], tmp_path / "run")


def test_the_commands_say_what_was_enrolled(run, tmp_path, capsys):
    store = store_of(hands(), tmp_path / "store")
    assert exit_code("enroll", store, "--model", run, "--json") == 0
    assert '"account_id": "account0"' in capsys.readouterr().out
    to = tmp_path / "x"
    assert exit_code("train", store, "--to", to, "--task", "owner", "--simulate") == 1
    assert "learns no bots" in capsys.readouterr().err


def test_the_card_says_what_was_held_out(run):
    card = (run / "MODEL_CARD.md").read_text()
    assert "Sessions were held out" in card
    assert "| windows of evidence | trials | AUC | EER |" in card


def test_training_goes_on_where_it_was_cut_short(run, tmp_path):
    store = store_of(hands(), tmp_path / "store")
    seen = []

    def cut_short(epoch):
        seen.append(epoch.epoch)
        if len(seen) == OWNER.owner.epochs + 1:  # in the second training, on all sessions
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train([store], tmp_path / "run", OWNER, progress=cut_short)
    assert not (tmp_path / "run").exists()
    resumed = []
    train([store], tmp_path / "run", OWNER, resume=True, progress=resumed.append)
    assert [epoch.epoch for epoch in resumed] == [2, 3]
    enroll([store], tmp_path / "run")
    assert load_model(tmp_path / "run").model_id == load_model(run).model_id
    assert [folder.name for folder in tmp_path.glob("run.*") if folder.is_dir()] == []
