"""The benchmark of bots: who is held out, and what is counted."""

import numpy as np
import pytest
from conftest import make_sessions

from benchmarks.bots.detectors import Detector
from benchmarks.bots.figures import alarm_row, caught_at_budget, family_row
from benchmarks.bots.folds import deal
from benchmarks.bots.text import to_text
from benchmarks.bots.thresholds import RULES, Looked, _quantile, threshold_rows
from pipeline.sessions.sessions import concatenate_sessions

FAMILIES = np.array(["wind_js", "wind_py", "curve", "tween_a", "tween_b", "line"], object)


def detector(logit_of_x, threshold: float = 0.5) -> Detector:
    """Return a detector that judges by the first x of a session alone."""
    return Detector(
        lambda sessions: logit_of_x(sessions.x_px[sessions.offsets[:-1]].astype(np.float64)),
        0.5,
        threshold,
        None,
    )


def standing(x_px, label: int, account: str, n_events: int = 3, every_ms: int = 16):
    """Return sessions that stand still at these places."""
    return make_sessions(
        *[[(every_ms * i, x, 0) for i in range(n_events)] for x in x_px],
        account_id=np.full(len(x_px), account, object),
        label=np.full(len(x_px), label, np.int8),
        session_id=np.array([f"{account}-{i}" for i in range(len(x_px))], object),
    )


def test_every_family_is_held_out_once_and_kin_together():
    held = [deal(FAMILIES, 3, fold, seed=0, by_kin=True) for fold in range(3)]
    assert sorted(name for fold in held for name in fold) == sorted(FAMILIES)
    for fold in held:
        assert ("wind_js" in fold) == ("wind_py" in fold)
        assert ("tween_a" in fold) == ("tween_b" in fold)


def test_caught_at_the_budget_is_counted_by_hand():
    # Of 200 people's sessions two may be flagged: the threshold lies below 198, above 197.
    scores = np.r_[np.arange(200.0), 150, 197.5, 198.5, 300]
    labels = np.r_[np.zeros(200, int), np.ones(4, int)]
    assert caught_at_budget(scores, labels, np.ones(204)) == 0.75


def test_a_family_of_few_sessions_has_no_figures():
    sessions = concatenate_sessions([standing([1.0] * 29, 1, "bot"), standing([0.0] * 40, 0, "a")])
    assert family_row(sessions, {"network": detector(lambda x: x)}) == {
        "n_people": 1,
        "n_legitimate": 40,
        "n_fraud": 29,
    }


def test_false_alarms_are_a_mean_over_people_and_name_the_worst():
    people = concatenate_sessions([standing([1.0] * 4, 0, "a"), standing([-1.0] * 36, 0, "b")])
    row = alarm_row(people, {"network": detector(lambda x: x)})
    assert row["n_people"] == 2
    told = row["network"]
    assert (told["rate"], told["worst"], told["over_5"]) == (0.5, 1.0, 1)
    assert told["low"] <= 0.1 <= told["high"]


@pytest.mark.parametrize("n_folds", [2, 3])
def test_the_same_seed_deals_alike(n_folds):
    assert deal(FAMILIES, n_folds, 0, 5) == deal(FAMILIES[::-1], n_folds, 0, 5)


def test_a_report_is_told_as_tables_and_what_few_sessions_cannot_show_is_refused():
    fraud = standing([2.0] * 40, 1, "bot", n_events=12)
    few = concatenate_sessions([fraud, standing(np.linspace(-3, 1, 40), 0, "a", n_events=12)])
    enough = concatenate_sessions([fraud, standing(np.linspace(-3, 1, 150), 0, "b", n_events=12)])
    both = {name: detector(lambda x: x) for name in ("network", "features")}
    rows = {"scarce": family_row(few, both), "plenty": family_row(enough, both)}
    alarms = {"people": alarm_row(enough.take(enough.label == 0), both)}
    fold = {"fold": 0, "matched": rows, "twins": rows, "as they come": rows, "alarms": alarms}
    told = to_text({"folds": [{**fold, "rules": {}}]})

    assert rows["scarce"]["network"]["caught"] is None
    assert rows["plenty"]["network"]["caught"]["value"] == 1.0
    scarce = next(line for line in told.splitlines() if line.startswith("| scarce |"))
    assert scarce.count("refused") == 2
    assert "| network, matched | 2 | " in told
    assert "people (1 people, 150)" in told
    seeds = to_text({"folds": [{**fold, "rules": {}, "seed": seed} for seed in (0, 1)]})
    assert seeds == told  # seeds that agree are one figure


def people_of(n_people: int, n_each: int, seed: int) -> Looked:
    """Return people whose windows are sessions, standard normal within and between."""
    rng = np.random.default_rng(seed)
    person = np.repeat([f"p{i}" for i in range(n_people)], n_each)
    logits = rng.normal(size=n_people * n_each) + 0.2 * np.repeat(rng.normal(size=n_people), n_each)
    return Looked(logits, person, logits, person)


def test_rules_for_a_threshold_keep_their_budget_where_people_are_alike():
    rows = threshold_rows(people_of(60, 100, 0), {"far off": people_of(5, 40, 1)})
    assert set(rows) == set(RULES)
    for name, row in rows.items():
        assert 0.003 < row["rate"] < 0.02, name
        assert row["rate"] <= row["worst"]
        assert 0 <= row["near"] <= 1
        assert "far off" in row
    assert rows["policy, 75 %"]["rate"] < rows["policy, 50 %"]["rate"]


def test_a_quantile_is_counted_by_hand_and_people_count_once():
    logits = np.r_[np.arange(100.0), np.full(10, -1.0)]
    person = np.r_[np.full(100, "a"), np.full(10, "b")]
    # b is half of the people and lies below: 2 % of a's windows are 1 % of both.
    assert np.mean(logits[:100] >= _quantile(logits, person)) == 0.02
