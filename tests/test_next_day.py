"""The next day of the owner task: trials, levels and thresholds, and a site of several days."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_owner import OWNER, exit_code, hands, store_of

from benchmarks.next_day import Recordings, as_others, by_order, make_trial, scored
from flows.jobs.progress import finish
from flows.jobs.train import TrainJob, train
from model.calibrate import LengthCalibration
from model.owner.figures import flagged_trials, next_day
from model.owner.levels import NEXT_DAY, OwnerLevels, account_hashes, fit_owner_levels
from model.owner.trials import Trials
from model.policy import PRIOR_PEOPLE, Policy, Threshold, fit_policy
from model.run import load_model
from pipeline.sessions.sessions import Sessions

DAY = np.timedelta64(1, "D")


def days(n_accounts: int, n_days: int, a_day: int = 2) -> Sessions:
    """Return sessions of hands on several days, `a_day` each."""
    sessions = hands(n_accounts, n_days * a_day)
    number = np.arange(len(sessions)) % (n_days * a_day)
    begin = np.datetime64("2026-11-01T09", "us") + number // a_day * DAY
    return replace(sessions, started_at=begin + number % a_day * np.timedelta64(1, "h"))


# --- levels


def test_levels_are_by_windows_and_by_whether_an_account_is_learnt():
    learnt = LengthCalibration((1.0, 16.0), (0.0, -40.0), (2.0, 10.0))
    new = LengthCalibration((1.0, 16.0), (-5.0, -60.0), (4.0, 20.0))
    levels = OwnerLevels(learnt, new, account_hashes(np.array(["a", "b", "a"], object)))
    known = levels.knows(np.array(["a", "c", None], object))
    assert known.tolist() == [True, False, False]
    n = np.array([1, 16, 16])
    ratio = np.array([-2.0, 40.0, np.nan])
    found = levels.adjust(ratio, n, known)
    np.testing.assert_allclose(found, [1.0, 1.0, np.nan])  # one spread above the median each
    np.testing.assert_allclose(levels.slope(n, known), [1 / 2, 1 / 20, 1 / 20])
    assert levels.accounts == account_hashes(np.array(["b", "a"], object))
    assert not any(name in "".join(levels.accounts) for name in "xyz")


def test_owners_lie_at_the_same_logits_whatever_was_compared():
    rng = np.random.default_rng(0)
    n_windows = np.repeat([1, 4, 16, 64], 400)
    is_learnt = np.arange(len(n_windows)) % 2 == 0
    ratio = n_windows * rng.normal(np.where(is_learnt, 1.0, 2.0), 1.0)
    levels = fit_owner_levels(ratio, n_windows, n_windows > 16, is_learnt)
    logits = levels.adjust(ratio, n_windows, is_learnt)
    for n in (1, 4, 16, 64):
        for kind in (is_learnt, ~is_learnt):
            chosen = logits[(n_windows == n) & kind]
            assert abs(np.median(chosen)) < 0.25
            assert 0.002 < (chosen > 1).mean() < 0.12


def test_without_trials_of_a_kind_its_level_is_the_others():
    ratio, ones = np.linspace(-1, 1, 50), np.ones(50, np.int64)
    levels = fit_owner_levels(ratio, ones, ones == 1, ones == 1)
    assert levels.learnt == levels.new


# --- thresholds


def test_few_accounts_are_drawn_towards_what_owners_elsewhere_reach():
    people = np.arange(20)
    scores = np.linspace(0.1, 0.5, 20)
    reference = {0.05: 0.9, 0.01: 0.95, 0.001: 0.99}
    little, much = (
        fit_policy(scores, people, reference=reference, prior_people=n)
        for n in (PRIOR_PEOPLE, 20 * PRIOR_PEOPLE)
    )
    of = [[row.threshold for row in policy.thresholds] for policy in (little, much)]
    assert of[0][2] < of[1][2] < 0.9  # at 5 % the twenty can show something
    assert of[0][:2] == of[1][:2] == pytest.approx([0.99, 0.95])  # at 1 and 0.1 % they can't
    assert list(NEXT_DAY.values()) == sorted(NEXT_DAY.values())


# --- figures


def test_the_next_day_is_counted_by_kind_and_by_sessions_enrolled():
    n = 8
    trials = Trials(
        session=np.arange(n),
        account=np.array(["a"] * n, object),
        length=np.zeros(n, np.int64),
        n_windows=np.ones(n, np.int64),
        ratio=np.zeros(n),
        label=np.array([0, 0, 0, 1, 0, 0, 1, 1], np.int8),
        n_enrolled=np.array([1, 1, 5, 5, 1, 1, 1, 1]),
        is_learnt=np.array([True] * 4 + [False] * 4),
    )
    thresholds = tuple(Threshold(b, t, 0.0, 0.0, True, "") for b, t in ((0.01, 0.9), (0.05, 0.5)))
    score = np.array([0.2, 0.6, 0.95, 0.99, 0.1, 0.2, 0.6, 0.95], np.float32)
    rows = flagged_trials(trials, np.array(list("aabbccdd")), score, Policy(0.01, thresholds, 4, 8))
    found = next_day(rows).set_index(["account", "enrolled", "budget"])
    learnt = found.loc["learnt", "any number", 0.05]
    assert (learnt["sessions"], learnt["flagged"], learnt["recall"]) == (3, 2, 1.0)
    assert found.loc["new", "1", 0.01]["recall"] == 0.5
    assert found.loc["new", "1", 0.05]["flagged"] == 0
    assert ("learnt", "1", 0.01) not in found.index  # no impostor is known there
    assert ("learnt", "4 or more", 0.01) in found.index


# --- a site


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> tuple[Path, Sessions]:
    """Return a RUN of three days of 24 accounts, all enrolled, and the sessions of a fourth."""
    folder = tmp_path_factory.mktemp("site")
    everything = days(24, 4)
    is_last = everything.started_at >= everything.started_at.max() - np.timedelta64(2, "h")
    store = store_of(everything.take(~is_last), folder / "store")
    config = replace(OWNER, owner=replace(OWNER.owner, hold_out="auto"))
    finish(train(TrainJob((store,), folder / "run", config)))
    assert exit_code("enroll", store, "--model", folder / "run") == 0
    return folder / "run", everything.take(is_last)


def test_the_card_says_what_the_next_day_brings(site):
    run, later = site
    rows = pd.DataFrame(json.loads((run / "metrics.json").read_text())["next_day"])
    assert set(rows["account"]) == {"learnt", "new"}
    whole = rows[(rows["enrolled"] == "any number") & (rows["budget"] == 0.05)]
    assert (whole["sessions"] == 24 * 2).all()  # the latest day of each account, and no other
    card = (run / "MODEL_CARD.md").read_text()
    assert "What to expect of the next day" in card
    promised = whole[whole["account"] == "learnt"].iloc[0]
    assert f"| learnt | any number | 5.0% | {promised['flagged']} of 48: " in card

    model = load_model(run)
    found = model.scorer.predict(later)
    score = model.calibration.apply(found.of_session)
    flagged = (score >= model.policy.with_budget(0.05).threshold).mean()
    assert flagged <= promised["fpr_high"]
    names = later.account_id
    others = replace(later, account_id=np.roll(names, 6))
    is_other = others.account_id != names
    logits = model.scorer.predict(others).of_session[is_other]
    assert np.median(model.calibration.apply(logits)) > np.median(score) + 0.3


def test_accounts_that_were_learnt_are_known_by_their_hashes_alone(site):
    run, later = site
    levels = load_model(run).scorer.levels
    assert levels.knows(later.account_id).all()
    assert not levels.knows(np.array(["somebody else"], object)).any()
    assert "account1" not in (run / "profiles" / "levels.json").read_text()


def test_a_run_without_levels_scores_by_the_ratio_itself(site):
    run, later = site
    scorer = load_model(run).scorer
    plain = replace(scorer, levels=None).predict(later).of_session
    n_windows = np.bincount(scorer.predict(later).windows.session, minlength=len(later))
    adjusted = scorer.levels.adjust(-plain, n_windows, np.ones(len(later), bool))
    np.testing.assert_allclose(adjusted, scorer.predict(later).of_session)


# --- the benchmark


def test_the_benchmark_scores_a_later_day_under_its_own_account_and_others(tmp_path):
    found = by_order(5, hands(8, 7))
    trial = make_trial("site", found, seed=0)
    assert trial.enrolled is None
    assert not set(trial.trained.session_id) & set(trial.later.session_id)
    assert trial.trained.started_at.max() < trial.later.started_at.min()
    others = as_others(trial.later, 2, seed=0)
    assert len(others) == 2 * len(trial.later)
    assert (others.label == 1).all()
    scores, promise = scored(trial, 1, 0, tmp_path)
    assert sorted(scores["label"].value_counts()) == [16, 16]
    assert set(promise) == {0.001, 0.01, 0.05}
    assert (scores["n_enrolled"] == 5).all()


def test_strangers_are_not_trained_on():
    found = by_order(1, hands(8, 2))
    assert isinstance(found, Recordings)
    trial = make_trial("strangers", found, seed=0)
    assert not set(trial.trained.account_id) & set(trial.later.account_id)
    assert set(trial.enrolled.account_id) == set(trial.later.account_id)
