"""The owner task: how people differ, profiles, held-out trials, and the jobs."""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import make_sessions
from people import people
from tiny import TINY, easy_store, untrained

from flows.cli import main
from flows.jobs.progress import finish
from flows.jobs.sessions import EnrollJob, enroll
from flows.jobs.train import TrainJob, train
from model.attribution import print_reasons
from model.config import OwnerConfig, RunConfig
from model.manifest import write_manifest
from model.owner import train as owner_train
from model.owner.population import Population, SessionEmbeddings, fit_population, session_means
from model.owner.profiles import Profiles
from model.owner.scorer import OwnerScorer, embed
from model.owner.train import CrossFit, PopulationData, assign_folds, owned_sessions, with_hold_out
from model.owner.trials import (
    WHOLE,
    Trials,
    days_of_accounts,
    join_trials,
    make_trials,
    split_enrolment,
    with_pseudo_speakers,
)
from model.prints import session_prints
from model.run import input_config, load_model, save_model
from model.score import score_sessions
from pipeline.errors import ConfigError, DataError, SchemaError
from pipeline.reasons.account import measure_constancy
from pipeline.reasons.registry import UNLIKE_PROFILE
from pipeline.schemas import QUARANTINE
from pipeline.sessions.sessions import Sessions
from pipeline.storage.store import Part, write_part

OWNER = replace(TINY, task="owner")
SHAPE = OWNER.owner.panels.shape


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
def enrolled_run(tmp_path_factory) -> Path:
    """Return the RUN of 8 accounts, all of them enrolled: tests read it and leave it as it is."""
    folder = tmp_path_factory.mktemp("owner")
    finish(train(TrainJob((store_of(hands(), folder / "store"),), folder / "run", OWNER)))
    enroll(EnrollJob([folder / "store"], folder / "run"))
    return folder / "run"


@pytest.fixture
def run(enrolled_run, tmp_path) -> Path:
    """Return a copy of that RUN, which a test may change."""
    return shutil.copytree(enrolled_run, tmp_path / "run")


@pytest.fixture(scope="module")
def model(enrolled_run):
    return load_model(enrolled_run)


def scores(run: Path, sessions: Sessions):
    model = load_model(run)
    table = score_sessions(model, model.model_id, sessions, "r", datetime(2026, 11, 1, tzinfo=UTC))
    return table.to_pandas()


def enroll_sessions(
    config: RunConfig, profiles: Profiles, sessions: Sessions, device: str = ""
) -> Profiles:
    return OwnerScorer(config, profiles).enroll(sessions, device).profiles


def exit_code(*words: object) -> int:
    try:
        main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


# --- the population


def pixels_of(n_people=30, n_sessions=4, n_windows=6, people=(3.0, 0.01), sessions=(0.3, 2.0)):
    """Return Gaussian prints whose first pixel tells people apart; the second doesn't.

    `people` and `sessions` are deviations along each pixel; that of windows is 1.
    """
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(n_people), n_sessions)
    place = rng.normal(0, people, (n_people, len(people)))
    session = place[person] + rng.normal(0, sessions, (len(person), len(sessions)))
    of_window = np.repeat(np.arange(len(person)), n_windows)
    return session[of_window] + rng.normal(0, 1, (len(of_window), len(people))), of_window, person


PLAIN = OwnerConfig(components=5, dimensions=5, shrinkage=0.0)


def evidence_of(population: Population, pixels, of_window) -> SessionEmbeddings:
    embeddings = population.embed(pixels[:, None, None].astype(np.float32))
    return session_means(embeddings, of_window, int(of_window[-1]) + 1)


def test_variances_along_each_axis_are_those_that_the_prints_were_made_with():
    of_people, of_sessions = (3.0, 2.0, 1.5), (0.5, 1.0, 1.5)
    pixels, of_window, person = pixels_of(600, 5, 24, of_people, of_sessions)
    population = fit_population(pixels, of_window, person, PLAIN)

    # Each axis is one pixel, to a scale at which what differs within people is 1.
    size = np.abs(population.axes)
    assert size.argmax(axis=1).tolist() == [0, 1, 2]
    np.testing.assert_allclose(np.sort(size)[:, :2], 0, atol=0.1)
    scale = size.max(axis=1) ** 2
    np.testing.assert_allclose(population.between_people / scale, np.square(of_people), rtol=0.1)
    np.testing.assert_allclose(
        population.between_sessions / scale, np.square(of_sessions), rtol=0.1
    )
    np.testing.assert_allclose(population.between_windows / scale, 1, rtol=0.1)
    within = np.square(of_sessions) + 1 / 8  # windows of a typical session
    np.testing.assert_allclose(scale * within, 1, rtol=0.15)


def test_the_axis_that_tells_people_apart_comes_first():
    pixels, of_window, person = pixels_of()
    population = fit_population(pixels, of_window, person, PLAIN)
    first = np.abs(population.axes[0])
    assert first[0] > 5 * first[1]
    assert population.between_people[0] > 20 * population.between_people[1]


def test_own_sessions_are_likelier_than_others():
    pixels, of_window, person = pixels_of()
    population = fit_population(pixels, of_window, person, PLAIN)
    means, n = evidence_of(population, pixels, of_window)
    place = population.posterior(SessionEmbeddings(means[:2], n[:2]))
    own = population.log_ratio(SessionEmbeddings(means[2:4], n[2:4]), place)
    others = population.log_ratio(SessionEmbeddings(means[4:], n[4:]), place)
    assert own.min() > 0
    assert np.mean(others < own.min()) > 0.85


def test_more_sessions_make_a_profile_more_mature_than_more_windows_do():
    pixels, of_window, person = pixels_of()
    population = fit_population(pixels, of_window, person, PLAIN)
    means, _ = evidence_of(population, pixels, of_window)

    def maturity(n_sessions, n_windows):
        evidence = SessionEmbeddings(means[:n_sessions], np.full(n_sessions, n_windows))
        return population.confidence(population.posterior(evidence))

    assert 0 < maturity(1, 1) < maturity(1, 100) < maturity(4, 25) < 1
    assert maturity(1, 10**9) < maturity(4, 25)
    nobody = SessionEmbeddings(means[:0], np.zeros(0, np.int64))
    assert population.confidence(population.posterior(nobody)) == pytest.approx(0)


def test_what_is_alike_in_everybody_is_no_evidence():
    pixels, of_window, person = pixels_of()
    padded = np.concatenate([pixels, np.full((len(pixels), 3), 7.0)], axis=1)
    population = fit_population(padded, of_window, person, replace(PLAIN, shrinkage=1.0))
    assert len(population.axes) == 2
    means, n = evidence_of(population, padded, of_window)
    place = population.posterior(SessionEmbeddings(means[:2], n[:2]))
    assert np.isfinite(population.log_ratio(SessionEmbeddings(means, n), place)).all()


def test_what_never_changes_in_a_person_is_no_division_by_zero():
    pixels, of_window, person = pixels_of()
    fixed = person[of_window][:, None].astype(float)
    both = np.concatenate([pixels, fixed], axis=1)
    population = fit_population(both, of_window, person, replace(PLAIN, shrinkage=0.1))
    assert population.between_windows.min() > 0
    assert population.between_sessions.min() > 0


def test_few_components_are_those_along_which_prints_differ_most():
    pixels, of_window, person = pixels_of(people=(3.0, 0.5, 0.5), sessions=(0.3, 0.3, 0.3))
    one = fit_population(pixels, of_window, person, replace(PLAIN, components=1))
    assert one.axes.shape == (1, 3)
    assert abs(one.axes[0, 0]) > 5 * np.abs(one.axes[0, 1:]).max()


def test_people_of_one_session_each_say_nothing_of_sessions():
    pixels, of_window, person = pixels_of(n_sessions=1)
    with pytest.raises(DataError, match="0 of them with two sessions"):
        fit_population(pixels, of_window, person, PLAIN)


def test_a_population_survives_the_disk(tmp_path):
    population = fit_population(*pixels_of(), PLAIN)
    population.save(tmp_path / "population.npz")
    again = Population.load(tmp_path / "population.npz")
    for name, array in population.arrays().items():
        assert again.arrays()[name].dtype == array.dtype
        np.testing.assert_array_equal(again.arrays()[name], array)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": np.zeros((2, 3), np.float32)}, "don't fit together"),
        ({"between_windows": np.ones(3)}, "don't fit together"),
        ({"between_people": np.array([1.0, np.nan])}, "between_people is not finite"),
        ({"mean": np.array(["a", "b"])}, "mean is not finite"),
        ({"mean": np.array([{}, {}], object)}, "can't be read"),
    ],
)
def test_a_population_that_makes_no_sense_is_refused(tmp_path, changes, message):
    path = tmp_path / "population.npz"
    np.savez(path, **fit_population(*pixels_of(), PLAIN).arrays() | changes)
    with pytest.raises(SchemaError, match=message):
        Population.load(path)


@pytest.mark.parametrize("length", [0, 30, 400])
def test_a_population_cut_short_is_refused(tmp_path, length):
    path = tmp_path / "population.npz"
    fit_population(*pixels_of(), PLAIN).save(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(SchemaError, match="can't be read"):
        Population.load(path)


# --- pseudo-speakers


def test_pseudo_speakers_are_other_people_who_swap_sides_or_take_their_time():
    sessions = hands(2, 1)
    everyone = with_pseudo_speakers(sessions, OwnerConfig(paces=(0.5,)))
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


def test_pseudo_speakers_can_be_turned_off():
    sessions = hands(2, 1)
    nobody = OwnerConfig(mirrored=False, paces=())
    assert len(with_pseudo_speakers(sessions, nobody)) == len(sessions)


# --- profiles


def test_an_accounts_print_is_the_sum_of_its_sessions_prints(model):
    sessions = hands(2, 3)
    profiles = enroll_sessions(OWNER, Profiles.empty(model.scorer.profiles.population), sessions)
    of_sessions = session_prints(input_config(OWNER), sessions)
    for i, account in enumerate(("account0", "account1")):
        found = profiles.print_of(account, SHAPE)
        own = slice(3 * i, 3 * i + 3)
        assert found.n_windows.tolist() == [of_sessions.n_windows[own].sum()] == [15]
        for name in ("counts", "images"):
            expected = getattr(of_sessions, name)[own].sum(axis=0)
            np.testing.assert_allclose(getattr(found, name)[0], expected, rtol=1e-5, atol=1e-5)
    assert profiles.print_of("account2", SHAPE) is None


def test_enrolling_session_by_session_is_enrolling_them_at_once(model):
    sessions = hands(2, 3)
    at_once = one_by_one = Profiles.empty(model.scorer.profiles.population)
    at_once = enroll_sessions(OWNER, at_once, sessions)
    for i in np.random.default_rng(0).permutation(len(sessions)):
        one_by_one = enroll_sessions(OWNER, one_by_one, sessions.take(np.array([i])))
    embeddings = [np.array(p.table["embedding"].to_pylist()) for p in (at_once, one_by_one)]
    np.testing.assert_allclose(*embeddings, rtol=1e-5, atol=1e-5)
    tables = [p.table.drop_columns(["embedding"]) for p in (at_once, one_by_one)]
    assert tables[0].equals(tables[1])
    rows, again = at_once.prints.to_pylist(), one_by_one.prints.to_pylist()
    for row, other in zip(rows, again, strict=True):
        assert sorted(other["session_ids"]) == sorted(row["session_ids"])
        assert other["n_windows"] == row["n_windows"]
        np.testing.assert_allclose(other["counts"], row["counts"], rtol=1e-5, atol=1e-5)


def test_a_session_enrolled_again_is_replaced_and_its_print_not_added_twice(model):
    profiles, sessions = model.scorer.profiles, hands()
    again = enroll_sessions(OWNER, profiles, sessions.take(np.array([3, 7])))
    assert again.table.equals(profiles.table)
    assert again.prints.equals(profiles.prints)
    # The session of another day under the same name: it counts, and what was added stays.
    other = replace(hands(1, 1, first=50), session_id=sessions.session_id[:1])
    other = replace(other, account_id=sessions.account_id[:1])
    changed = enroll_sessions(OWNER, profiles, other)
    assert changed.table.num_rows == profiles.table.num_rows
    assert not changed.table.equals(profiles.table)
    assert changed.prints.equals(profiles.prints)


def test_confidence_grows_with_each_session(model):
    profiles, sessions = Profiles.empty(model.scorer.profiles.population), hands(1, 5)
    confidence = []
    for i in range(5):
        profiles = enroll_sessions(OWNER, profiles, sessions.take(np.array([i])))
        confidence.append(profiles.confidence["account0", ""])
    assert (np.diff([0, *confidence, 1]) > 0).all()


def test_an_account_may_have_a_profile_for_each_device(model):
    other = replace(hands(1, 1, first=50), session_id=np.array(["other"], object))
    other = replace(other, account_id=np.array(["account0"], object))
    both = enroll_sessions(OWNER, model.scorer.profiles, other, "touchpad")
    assert {device for account, device in both.posteriors if account == "account0"} == {
        "",
        "touchpad",
    }
    assert len(both.confident(0.0)["account0"]) == 2
    assert both.summary()["n_sessions"].sum() == model.scorer.profiles.table.num_rows + 1
    before, after = (p.print_of("account0", SHAPE) for p in (model.scorer.profiles, both))
    added = session_prints(input_config(OWNER), other)
    assert after.n_windows == before.n_windows + added.n_windows
    np.testing.assert_allclose(after.images, before.images + added.images, rtol=1e-5, atol=1e-4)


def test_a_session_is_compared_with_each_of_an_accounts_devices(model):
    sessions, slow = hands(1, 2), hands(1, 2, first=4)
    slow = replace(slow, account_id=sessions.account_id, session_id=np.array(["a", "b"], object))
    mouse = enroll_sessions(OWNER, Profiles.empty(model.scorer.profiles.population), sessions)
    both = enroll_sessions(OWNER, mouse, slow, "touchpad")
    config = replace(OWNER, owner=replace(OWNER.owner, min_confidence=0.0))
    of_mouse, of_both = (OwnerScorer(config, p).predict(slow).of_session for p in (mouse, both))
    assert (of_both < of_mouse).all()
    own = OwnerScorer(config, mouse).predict(sessions).of_session
    # Either device is as likely: at most half of the likelihood is lost.
    assert (OwnerScorer(config, both).predict(sessions).of_session <= own + np.log(2) + 1e-9).all()


def test_profiles_are_of_nobody_at_first(tmp_path):
    population = fit_population(*pixels_of(), PLAIN)
    Profiles.empty(population).save(tmp_path)
    for name in ("profiles.parquet", "prints.parquet"):
        (tmp_path / "profiles" / name).unlink()
    for profiles in (Profiles.empty(population), Profiles.load(tmp_path)):
        assert profiles.posteriors == {}
        assert profiles.confident(0.0) == {}
        assert profiles.print_of("anybody", SHAPE) is None


def test_frauds_short_sessions_and_those_of_nobody_are_not_enrolled(model):
    sessions = hands(1, 4)
    account, label = sessions.account_id.copy(), np.array([0, 1, -1, -1], np.int8)
    account[3] = None
    short = make_sessions([(0, 1, 1), (9, 2, 2)], account_id=account[:1])
    short = replace(short, session_id=np.array(["short"], object))
    profiles = Profiles.empty(model.scorer.profiles.population)
    profiles = enroll_sessions(OWNER, profiles, replace(sessions, account_id=account, label=label))
    profiles = enroll_sessions(OWNER, profiles, short)  # nothing at all is added
    assert profiles.table["session_id"].to_pylist() == ["account0-0", "account0-2"]
    assert profiles.prints["session_ids"].to_pylist() == [["account0-0", "account0-2"]]


# --- trials


def at_times(*started_at: str | None, accounts: str, lengths: Sequence[int] = ()) -> Sessions:
    """Return sessions that began then; None: not known."""
    lengths = lengths or [10] * len(started_at)
    return make_sessions(
        *([(16 * i, i, 0) for i in range(n)] for n in lengths),
        account_id=np.array(list(accounts), object),
        started_at=np.array([time or "NaT" for time in started_at], "datetime64[us]"),
    )


def test_what_was_before_an_accounts_latest_day_makes_its_profile():
    days = ("2026-11-03T09", "2026-11-01T09", "2026-11-03T08", "2026-11-02T23")
    assert split_enrolment(at_times(*days, accounts="aaaa")).tolist() == [False, True, False, True]
    # Of one day the latest session is tested; one session is no profile.
    hours = ("2026-11-01T09", "2026-11-01T11", "2026-11-01T10", "2026-11-01T10")
    assert split_enrolment(at_times(*hours, accounts="aaab")).tolist() == [True, False, True, False]


def test_where_times_are_not_known_all_but_the_shortest_session_make_the_profile():
    sessions = at_times(*[None] * 5, accounts="aabba", lengths=(10, 30, 20, 40, 12))
    assert split_enrolment(sessions).tolist() == [False, True, False, True, True]
    some = at_times(None, "2026-11-02", "2026-11-01", accounts="aaa", lengths=(30, 20, 10))
    assert split_enrolment(some).tolist() == [True, True, False]


def test_days_are_held_out_whole_where_an_account_has_several():
    days = ("2026-11-01T09", "2026-11-01T11", "2026-11-02T10", "2026-11-01T10", None)
    sessions = at_times(*days, accounts="aaabb")
    found = days_of_accounts(sessions)
    assert found[0] == found[1] != found[2]
    assert found[3:].tolist() == sessions.session_id[3:].tolist()


def test_trials_compare_each_part_with_its_own_account_and_others(model):
    sessions = hands()
    windows, embeddings = embed(model.scorer.profiles.population, model.scorer.inputs, sessions)
    trials = make_trials(embeddings, windows.session, sessions, model.scorer.profiles, n_others=2)
    own = sessions.account_id[trials.session] == trials.account
    np.testing.assert_array_equal(trials.label, np.where(own, 0, 1))
    assert own.mean() == pytest.approx(1 / 3)
    whole = trials.length == WHOLE
    per_session = np.bincount(windows.session, minlength=len(sessions))
    np.testing.assert_array_equal(trials.n_windows[whole], per_session[trials.session[whole]])
    np.testing.assert_array_equal(trials.n_windows[~whole], trials.length[~whole])


def test_trials_of_several_sets_are_joined_with_their_sessions():
    ones = np.ones(2, np.int64)
    ratio, label, learnt = np.zeros(2), np.zeros(2, np.int8), np.ones(2, bool)
    accounts = np.array(["a", "b"])
    trials = Trials(np.array([0, 1]), accounts, ones, ones, ratio, label, ones, learnt)
    joined = join_trials([(np.array([4, 7]), trials), (np.array([5, 2]), trials)])
    assert joined.session.tolist() == [4, 7, 5, 2]
    assert joined.account.tolist() == ["a", "b", "a", "b"]


# --- folds


def test_auto_is_decided_by_how_many_accounts_there_are():
    assert with_hold_out(RunConfig(task="owner"), 19).owner.hold_out == "sessions"
    assert with_hold_out(RunConfig(task="owner"), 20).owner.hold_out == "people"
    assert with_hold_out(OWNER, 1000) == OWNER


def test_folds_are_of_whole_people_and_alike_in_size():
    person = np.repeat([f"p{i}" for i in range(23)], 3)
    fold = assign_folds(person, 5, seed=1)
    assert all(len(set(fold[person == name])) == 1 for name in person)
    assert np.bincount(fold).max() - np.bincount(fold).min() <= 3
    assert len(set(assign_folds(person[:9], 5, seed=1))) == 3
    np.testing.assert_array_equal(assign_folds(person, 5, seed=1), fold)
    assert (assign_folds(person, 5, seed=2) != fold).any()


@pytest.fixture
def learnt_from(monkeypatch) -> list[dict[str, set[str]]]:
    """Record, fold by fold, whose sessions teach, make the profiles, and are tried."""
    seen = []
    fit, compared = owner_train.fit_population, owner_train._fold_trials

    def fit_and_record(images, session, person, config, seed):
        seen.append({"person": set(person[session]), "n_sessions": len(np.unique(session))})
        return fit(images, session, person, config, seed)

    def compare_and_record(config, population, enrolled, held, is_learnt):
        seen[-1] |= {"enrolled": enrolled, "held": held, "is_learnt": is_learnt}
        return compared(config, population, enrolled, held, is_learnt)

    monkeypatch.setattr(owner_train, "fit_population", fit_and_record)
    monkeypatch.setattr(owner_train, "_fold_trials", compare_and_record)
    return seen


def test_no_person_crosses_folds_of_people(learnt_from):
    sessions = hands(6, 4)
    config = replace(OWNER, owner=replace(OWNER.owner, hold_out="people", folds=3))
    found = CrossFit(config, sessions, PopulationData(config, sessions))
    assert [fold["is_learnt"] for fold in learnt_from] == [False, True] * 3
    n_held = 0
    for fold in learnt_from:
        n_held += len(fold["held"])
        if fold["is_learnt"]:  # their earlier sessions teach, those that are tested don't
            assert fold["n_sessions"] == 4 * (24 - len(fold["held"]))
            continue
        # Pseudo-speakers are named after whom they were made from.
        teachers = {name.split(" ")[0] for name in fold["person"]}
        assert len(teachers) == 4
        assert len(fold["person"]) == 4 * 4
        people = set(fold["held"].account_id)
        assert people == set(fold["enrolled"].account_id)
        assert not people & teachers
        assert not set(fold["held"].session_id) & set(fold["enrolled"].session_id)
    assert n_held == 2 * 6
    held = np.concatenate([fold["held"].session_id for fold in learnt_from[::2]])
    assert sorted(held) == sorted(found.held.session_id)
    assert len(held) == 6  # of each person the last
    own = found.trials.label == 0
    tried = found.held.account_id[found.trials.session[own]]
    np.testing.assert_array_equal(found.trials.account[own], tried)


def test_no_session_crosses_folds_of_sessions(learnt_from):
    sessions = hands(4, 5)
    config = replace(OWNER, owner=replace(OWNER.owner, folds=4))
    found = CrossFit(config, sessions, PopulationData(config, sessions))
    assert len(learnt_from) == 4
    for fold in learnt_from:
        held, enrolled = set(fold["held"].session_id), set(fold["enrolled"].session_id)
        assert len(held) == 5
        assert enrolled == set(sessions.session_id) - held
        assert fold["n_sessions"] == 4 * len(enrolled)  # and three pseudo-speakers of each
    held = np.concatenate([fold["held"].session_id for fold in learnt_from])
    assert sorted(held) == sorted(sessions.session_id)
    assert found.held.session_id.tolist() == sessions.session_id.tolist()
    np.testing.assert_array_equal(found.fold_of_trial, found.fold[found.trials.session])


def test_the_same_sessions_and_seed_teach_the_same(model):
    population = PopulationData(OWNER, hands()).population()
    for name, array in model.scorer.profiles.population.arrays().items():
        np.testing.assert_array_equal(population.arrays()[name], array)


# --- the jobs


@pytest.fixture(scope="module")
def crowd_run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("crowd")
    config = replace(OWNER, owner=replace(OWNER.owner, hold_out="auto"))
    finish(train(TrainJob((store_of(hands(24), folder / "store"),), folder / "run", config)))
    return folder / "run"


def test_many_people_are_each_tested_by_what_the_others_teach(crowd_run):
    figures = json.loads((crowd_run / "metrics.json").read_text())
    assert figures["overall"]["roc_auc"]["value"] > 0.9
    split = json.loads((crowd_run / "split.json").read_text())
    assert split["parts"]["test"]["n_people"] == 24
    assert split["notes"] == ["5 folds of people, each tested by what the others teach"]
    assert split["config"]["by"] == ["person"]
    assert load_model(crowd_run).policy.n_people == 24
    assert load_model(crowd_run).config.owner.hold_out == "people"


def test_a_run_of_the_owner_task_has_no_network(crowd_run):
    assert isinstance(load_model(crowd_run).scorer, OwnerScorer)
    assert not (crowd_run / "checkpoint").exists()
    assert {path.name for path in (crowd_run / "profiles").iterdir()} == {
        "population.npz", "profiles.parquet", "prints.parquet", "levels.json",
    }  # fmt: skip


def test_a_population_of_other_panels_than_the_settings_is_refused(run):
    found = json.loads((run / "config.json").read_text())
    found["owner"]["panels"]["cells"] = 20
    (run / "config.json").write_text(json.dumps(found))
    write_manifest(run)
    with pytest.raises(SchemaError, match=r"profiles don't fit config\.json"):
        load_model(run)


def test_people_never_seen_are_enrolled_and_told_from_impostors(crowd_run, tmp_path):
    shutil.copytree(crowd_run, tmp_path / "run")
    new = hands(4, first=300)
    enrolled = np.arange(len(new)) % 5 < 3
    enroll(EnrollJob([store_of(new.take(enrolled), tmp_path / "store")], tmp_path / "run"))
    tried = new.take(~enrolled)
    own = scores(tmp_path / "run", tried)["fraud_score"]
    other = replace(tried, account_id=np.roll(tried.account_id, 2))
    impostors = scores(tmp_path / "run", other)["fraud_score"]
    assert own.median() < 0.5 < impostors.median()
    higher = impostors.to_numpy()[:, None] > own.to_numpy()
    assert higher.mean() > 0.8


def test_a_strangers_session_scores_higher_than_the_owners(enrolled_run):
    sessions = hands()
    claimed = sessions.account_id.copy()
    claimed[::5] = np.roll(claimed[::5], 2)  # one session of each account claims another one
    table = scores(enrolled_run, replace(sessions, account_id=claimed))
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
    model_id = load_model(run).model_id
    summary = enroll(EnrollJob([store_of(new, tmp_path / "store")], run))
    assert set(summary["account_id"]) > {"account100", "account101"}
    assert summary.loc[summary["account_id"] == "account100", "n_sessions"].item() == 5
    after = scores(run, new)
    assert after["fraud_score"].notna().all()
    assert load_model(run).model_id != model_id


def test_enrolling_again_changes_nothing(run, tmp_path):
    before = load_model(run)
    enroll(EnrollJob([store_of(hands(), tmp_path / "store")], run))
    after = load_model(run)
    assert after.model_id == before.model_id
    assert after.scorer.profiles.prints.equals(before.scorer.profiles.prints)


def test_prints_decide_no_score(model):
    profiles = model.scorer.profiles
    without = Profiles(profiles.table, profiles.prints.slice(0, 0), profiles.population)
    bare = replace(model, scorer=OwnerScorer(model.config, without, model.scorer.levels))
    assert bare.model_id == model.model_id
    found = [score_sessions(each, "m", hands(2), "r", datetime.now(UTC)) for each in (model, bare)]
    assert found[0]["fraud_score"].equals(found[1]["fraud_score"])


def test_a_print_that_was_not_written_is_added_by_the_next_enrolment(run, tmp_path):
    before = load_model(run).scorer.profiles
    (run / "profiles" / "prints.parquet").unlink()
    write_manifest(run)
    assert load_model(run).scorer.profiles.print_of("account0", SHAPE) is None
    enroll(EnrollJob([store_of(hands(), tmp_path / "store")], run))
    after = load_model(run).scorer.profiles
    assert after.table.equals(before.table)
    assert after.prints.equals(before.prints)


def test_a_session_without_account_has_no_profile(enrolled_run):
    sessions = hands(1, 1)
    table = scores(enrolled_run, replace(sessions, account_id=np.array([None], object)))
    assert table["abstain_reason"].tolist() == ["no_profile"]
    assert table["band"].tolist() == ["abstained"]
    assert not table["is_flagged"].any()


def test_an_immature_profile_abstains(model):
    strict = replace(model.config.owner, min_confidence=0.9999)
    config = replace(model.config, owner=strict)
    model = replace(model, scorer=OwnerScorer(config, model.scorer.profiles))
    table = score_sessions(model, "m", hands(2), "r", datetime(2026, 11, 1, tzinfo=UTC))
    assert set(table["abstain_reason"].to_pylist()) == {"immature_profile"}


def test_a_session_scores_alike_alone_and_among_others(model):
    sessions = hands(3)
    now = datetime(2026, 11, 1, tzinfo=UTC)
    together = score_sessions(model, "m", sessions, "r", now)["fraud_score"].to_numpy()
    backwards = sessions.take(np.arange(len(sessions))[::-1])
    turned = score_sessions(model, "m", backwards, "r", now)["fraud_score"].to_numpy()
    np.testing.assert_allclose(turned[::-1], together, rtol=1e-5, atol=1e-6)
    alone = score_sessions(model, "m", sessions.take(np.array([6])), "r", now)
    assert alone["fraud_score"][0].as_py() == pytest.approx(together[6], abs=1e-6)


def test_what_is_unlike_its_account_is_so_whatever_the_score_says(model):
    known = people(100, 4)
    is_enrolled = np.arange(len(known)) % 3 > 0
    own, stranger = known.take(~is_enrolled), people(100, 4, 1, slower=3.0)
    scorer = model.scorer.enroll(known.take(is_enrolled))
    usual = replace(model.reference_ranges, own=measure_constancy(people(0, 12)))
    for intercept, is_flagged in ((-1e6, False), (1e6, True)):
        calibration = replace(model.calibration, intercept=intercept)
        changed = replace(model, scorer=scorer, reference_ranges=usual, calibration=calibration)
        for sessions, is_unlike in ((own, False), (stranger, True)):
            table = score_sessions(changed, "m", sessions, "r", datetime(2026, 11, 1, tzinfo=UTC))
            assert table["is_flagged"].to_pylist() == [is_flagged] * 4
            said = [UNLIKE_PROFILE in reasons for reasons in table["reasons"].to_pylist()]
            assert said == [is_unlike] * 4


def test_who_is_flagged_is_held_against_the_accounts_print_in_words(model):
    sessions = hands()
    claimed = replace(sessions, account_id=np.roll(sessions.account_id, 15))
    calibration = replace(model.calibration, intercept=1e6)
    everybody = replace(model, reference_ranges=None, calibration=calibration)
    table = score_sessions(everybody, "m", claimed, "r", datetime.now(UTC)).to_pandas()
    assert table["is_flagged"].all()
    said = print_reasons(everybody, claimed)
    assert table["reasons"].map(list).tolist() == [[one.code for one in of] for of in said]
    for reasons in said:
        assert 1 <= len(reasons) <= 2
        for reason in reasons:
            assert re.search(r"\d (px|px/s)", reason.words)
            assert "; this account " in reason.words


def test_training_measures_how_constant_hands_are_and_enrolment_their_habits(model):
    assert model.reference_ranges.own is not None
    assert model.scorer.profiles.table["stretches"].null_count == 0
    assert len(model.scorer.ranges.account) == len(set(hands().account_id))


def test_profiles_of_an_earlier_version_are_refused(run):
    path = run / "profiles" / "profiles.parquet"
    table = pq.read_table(path).drop_columns(["stretches"])
    metadata = {b"schema": b"profiles", b"version": b"1"}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    write_manifest(run)
    with pytest.raises(SchemaError, match=r"missing column\(s\) stretches"):
        load_model(run)


def test_frauds_and_sessions_of_nobody_are_not_learnt():
    sessions = hands(2, 2)
    account = sessions.account_id.copy()
    account[0] = None
    label = np.array([0, 1, -1, 0], np.int8)
    owned = owned_sessions(replace(sessions, account_id=account, label=label))
    assert owned.session_id.tolist() == ["account1-0", "account1-1"]
    with pytest.raises(DataError, match="0 with an account_id"):
        owned_sessions(replace(sessions, account_id=np.full(4, None, object)))


def test_a_model_of_the_fraud_task_enrols_nobody(tmp_path):
    save_model(untrained(), tmp_path / "run")
    with pytest.raises(ConfigError, match="its task is fraud"):
        enroll(EnrollJob([easy_store(tmp_path / "store", 4)], tmp_path / "run"))


def test_the_commands_say_what_was_enrolled(run, tmp_path, capsys):
    store = store_of(hands(), tmp_path / "store")
    assert exit_code("enroll", store, "--model", run, "--json") == 0
    assert '"account_id": "account0"' in capsys.readouterr().out
    to = tmp_path / "x"
    assert exit_code("train", store, "--to", to, "--task", "owner", "--simulate") == 1
    assert "learns no bots" in capsys.readouterr().err


def test_the_card_says_what_was_held_out(enrolled_run, crowd_run):
    of_sessions, of_people = (
        (run / "MODEL_CARD.md").read_text() for run in (enrolled_run, crowd_run)
    )
    assert "Sessions were held out" in of_sessions
    assert "People were held out" in of_people
    for card in (of_sessions, of_people):
        assert "3 panels of 16 x 16 cells (hodograph, step, speed_return)" in card
        assert "| windows compared | trials | AUC | EER |" in card


@pytest.mark.parametrize(
    "settings",
    [
        {"components": 0},
        {"dimensions": 0},
        {"paces": (0.0,)},
        {"shrinkage": -0.1},
        {"folds": 1},
        {"min_confidence": 1.0},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ConfigError, match="owner"):
        OwnerConfig(**settings)
