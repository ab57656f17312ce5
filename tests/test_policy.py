"""Thresholds keep their budget on other people, or say that nobody knows."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import norm

from model.policy import Policy, PolicyConfig, Threshold, fit_policy
from pipeline.errors import ConfigError, DataError, SchemaError
from pipeline.scores.table import bands_of
from pipeline.storage.records import parse_record, record_json


def draw_people(
    n_people: int, n_each: int, seed: int, spread: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores of legitimate people, some of whom look suspicious throughout."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n_people), n_each)
    logits = rng.normal(rng.normal(0, spread, n_people)[person], 1)
    return expit(logits), person.astype(str).astype(object)


def rate_on_everyone(threshold: float, spread: float = 0.5) -> float:
    """Return what share of the sessions of all such people a threshold flags."""
    logit = np.log(threshold / (1 - threshold))
    return float(norm.sf(logit / np.hypot(1, spread)))


def make_policy(*pairs: tuple[float, float], budget: float = 0.01) -> Policy:
    thresholds = (Threshold(b, t, b, b, True, "") for b, t in pairs)
    return Policy(budget, tuple(thresholds), n_people=10, n_sessions=1000)


def test_many_like_people_need_no_margin():
    # 10,000 people with a session each, scores evenly spread: 5 % is near 0.95, and safely so.
    scores = np.linspace(0, 1, 10_000)
    policy = fit_policy(scores, np.arange(10_000).astype(object), PolicyConfig((0.05,), 0.05))
    assert 0.95 < policy.threshold < 0.955
    assert policy.thresholds[0].resolved


def test_one_suspicious_person_among_ten_is_not_a_rule_for_all():
    # All sessions above 0.5 are one person's: flagging them is 10 % of people, or 26 % where
    # chance drew three such. So a budget of 15 % isn't kept, one of 40 % is.
    scores = np.concatenate([np.linspace(0, 0.5, 90), np.linspace(0.6, 0.9, 10)])
    person = np.repeat(np.arange(10), 10).astype(object)
    policy = fit_policy(scores, person, PolicyConfig((0.15, 0.4), 0.15, confidence=0.75))
    tight, loose = policy.thresholds
    assert tight.threshold > 0.6
    assert loose.threshold < 0.6


def test_a_budget_holds_for_people_who_were_not_there():
    config = PolicyConfig((0.05,), 0.05, confidence=0.9, n_resamples=300)
    fitted = [fit_policy(*draw_people(30, 20, seed), config) for seed in range(40)]
    rates = np.array([rate_on_everyone(policy.threshold) for policy in fitted])
    naive = [rate_on_everyone(np.quantile(draw_people(30, 20, s)[0], 0.95)) for s in range(40)]

    assert (rates > 0.05).mean() <= 0.25  # a threshold cut at the quantile: about half
    assert (np.array(naive) > 0.05).mean() >= 0.35
    assert rates.mean() > 0.02  # and not by giving the budget away


def test_the_real_rate_is_near_the_budget():
    config = PolicyConfig((0.05,), 0.05, n_resamples=300)
    fitted = [fit_policy(*draw_people(30, 20, seed), config) for seed in range(40)]
    times_budget = np.array([rate_on_everyone(policy.threshold) for policy in fitted]) / 0.05

    assert (times_budget > 1.5).mean() <= 0.1
    assert (times_budget < 0.5).mean() <= 0.1
    assert 0.85 < times_budget.mean() < 1.15


def test_weights_say_how_much_a_session_counts():
    scores, person = draw_people(50, 40, 0)
    few = person.astype(int) < 10
    alone = fit_policy(scores[few], person[few], PolicyConfig((0.05,), 0.05))
    weighted = fit_policy(
        scores, person, PolicyConfig((0.05,), 0.05), weights=np.where(few, 1.0, 1e-9)
    )
    assert weighted.threshold == pytest.approx(alone.threshold, abs=0.02)


def test_few_people_are_drawn_towards_what_people_elsewhere_reach():
    reference = {0.05: 0.9, 0.01: 0.95, 0.001: 0.99}
    alone = fit_policy(*draw_people(1, 150, 0))
    drawn = fit_policy(*draw_people(1, 150, 0), reference=reference)
    many = fit_policy(*draw_people(400, 10, 0), reference=reference)
    own = fit_policy(*draw_people(400, 10, 0))
    tight, middle, _ = drawn.thresholds
    assert tight.threshold == pytest.approx(0.99)  # 150 sessions can't show one in 1,000
    assert min(alone.threshold, 0.95) < middle.threshold < max(alone.threshold, 0.95)
    assert many.threshold == pytest.approx(own.threshold, abs=0.01)
    assert "where people of other recorders reach it" in tight.note


def test_a_reference_gives_targets_between_its_own_too():
    config = PolicyConfig((0.003, 0.05), 0.05)
    found = fit_policy(*draw_people(2, 20, 0), config, reference={0.01: 0.9, 0.001: 0.99})
    assert 0.9 < found.thresholds[0].threshold < 0.99


def test_too_few_sessions_leave_a_budget_unresolved():
    policy = fit_policy(*draw_people(20, 20, 0))
    tightest = policy.thresholds[0]

    assert tightest.budget == 0.001
    assert not tightest.resolved
    assert "400 legitimate sessions can't show a rate of 1 in 1000" in tightest.note
    assert tightest.calib_rate == 0
    assert tightest.threshold > draw_people(20, 20, 0)[0].max()


def test_people_who_differ_too_much_leave_a_budget_unresolved():
    policy = fit_policy(*draw_people(6, 20, 0), PolicyConfig(confidence=0.75))
    assert "6 people differ too much" in policy.thresholds[1].note
    assert policy.thresholds[2].resolved
    assert (policy.n_people, policy.n_sessions) == (6, 120)


def test_two_people_set_a_threshold_that_is_not_trusted():
    loosest = fit_policy(*draw_people(2, 100, 0)).thresholds[-1]
    assert 0 < loosest.calib_rate <= 0.05
    assert not loosest.resolved
    assert "set on 2 people" in loosest.note


def test_one_person_has_no_unseen_rate():
    policy = fit_policy(np.linspace(0, 1, 200), np.full(200, "me", object))
    assert policy.thresholds[-1].unseen_rate is None
    json.dumps(record_json(policy), allow_nan=False)


def test_the_unseen_rate_is_of_people_left_out():
    policy = fit_policy(*draw_people(100, 20, 1))
    loosest = policy.thresholds[-1]
    assert 0 < loosest.calib_rate <= 0.05
    assert loosest.unseen_rate is not None
    assert 0.02 < loosest.unseen_rate < 0.07


def test_a_threshold_never_flags_more_than_its_budget_where_it_was_set():
    scores, person = draw_people(50, 30, 2)
    for found in fit_policy(scores, person).thresholds:
        assert found.calib_rate <= found.budget


@given(st.integers(2, 30), st.integers(1, 30), st.integers(0, 1000), st.integers(1, 100))
@settings(max_examples=25, deadline=None)
def test_a_looser_budget_never_has_a_higher_threshold(n_people, n_each, seed, steps):
    scores, person = draw_people(n_people, n_each, seed)
    scores = np.round(scores * steps) / steps  # ties
    policy = fit_policy(scores, person, PolicyConfig(n_resamples=50))
    assert (np.diff([found.threshold for found in policy.thresholds]) <= 0).all()


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_the_order_of_the_rows_does_not_count(seed):
    scores, person = draw_people(15, 10, seed)
    order = np.random.default_rng(seed).permutation(len(scores))
    config = PolicyConfig(n_resamples=50)
    first = [found.threshold for found in fit_policy(scores, person, config).thresholds]
    again = fit_policy(scores[order], person[order], config).thresholds
    assert [found.threshold for found in again] == first


def test_a_threshold_stays_itself_in_32_bits():
    for found in fit_policy(*draw_people(50, 30, 3)).thresholds:
        assert np.float32(found.threshold) == found.threshold


def bands(policy: Policy, *scores: float) -> list[str]:
    return bands_of(np.array(scores), policy.medium_threshold, policy.threshold).tolist()


def test_bands_go_by_the_loosest_budget_and_the_one_in_force():
    policy = make_policy((0.001, 0.99), (0.01, 0.9), (0.05, 0.7))
    found = bands(policy, 0.0, 0.69, 0.7, 0.89, 0.9, 1.0, np.nan)
    assert found == ["low", "low", "medium", "medium", "high", "high", "abstained"]


def test_the_loosest_budget_in_force_leaves_no_medium():
    policy = make_policy((0.01, 0.9), (0.05, 0.7), budget=0.05)
    assert bands(policy, 0.69, 0.7) == ["low", "high"]


def test_json_gives_the_policy_back():
    policy = fit_policy(*draw_people(10, 20, 0))
    assert parse_record(Policy, record_json(policy), "policy") == policy


def test_another_file_is_not_a_policy():
    with pytest.raises(SchemaError, match="thresholds: Field required"):
        parse_record(Policy, {"budget": 0.01}, "policy")


@pytest.mark.parametrize("scores", [np.zeros(0), np.array([0.1, np.nan])])
def test_a_policy_needs_scores(scores):
    with pytest.raises(DataError, match="scores are usable"):
        fit_policy(scores, np.full(len(scores), "a", object))


@pytest.mark.parametrize("config", [{"budget": 0.02}, {"budgets": (0.01, 1.0)}])
def test_budgets_that_are_none_are_refused(config):
    with pytest.raises(ConfigError, match=r"policy\.budget"):
        PolicyConfig(**config)
