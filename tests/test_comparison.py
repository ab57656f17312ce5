"""A challenger takes the champion's place on a clear gain, and not otherwise."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from model.comparison import Comparison, HeldOut, compare_models
from model.config import PromotionConfig
from model.model_card import comparison_section
from pipeline.errors import ConfigError
from pipeline.features.best_feature import roc_auc

N = 200
LABEL = np.repeat([0, 1], N).astype(np.int64)
CONFIG = PromotionConfig(n_resamples=300)


def table(score: np.ndarray, model_id: str, threshold: float = 0.9) -> pa.Table:
    """Return what is compared of a SCORES table; NaN: abstained."""
    return pa.table(
        {
            "fraud_score": pa.array(score, pa.float32(), mask=~np.isfinite(score)),
            "is_flagged": pa.array(np.nan_to_num(score) >= threshold),
            "model_id": [model_id] * len(score),
        }
    )


def scores(rng, apart: float) -> np.ndarray:
    """Return scores whose frauds lie `apart` standard deviations higher, all below 0.9."""
    z = rng.normal(0, 1, 2 * N) + apart * LABEL
    return 0.8 / (1 + np.exp(-z))


def held_out(group=None) -> HeldOut:
    each = np.array([f"g{i}" for i in range(2 * N)], object)
    return HeldOut(LABEL, LABEL == 1, each if group is None else group, "made up")


def compared(old, new, config=CONFIG, group=None) -> Comparison:
    return compare_models(table(old, "old"), table(new, "new"), held_out(group), 0.01, config)


def test_a_clear_gain_promotes():
    rng = np.random.default_rng(0)
    old, new = scores(rng, 0.5), scores(rng, 3.0)
    found = compared(old, new)

    assert found.is_better
    assert found.gain == pytest.approx(roc_auc(new, LABEL) - roc_auc(old, LABEL), abs=1e-6)
    assert 0 < found.gain_low < found.gain < found.gain_high
    assert (found.champion, found.challenger) == ("old", "new")
    assert "Promoted: a clear gain" in comparison_section(found, found.is_better, found.why)


def test_the_same_scores_and_worse_ones_do_not():
    rng = np.random.default_rng(1)
    old, worse = scores(rng, 2.0), scores(rng, 0.5)

    assert not compared(old, old).is_better
    assert compared(old, old).gain == 0
    assert "no clear gain" in compared(old, worse).why


def test_models_alike_are_seldom_taken_for_better():
    rng = np.random.default_rng(2)
    found = [compared(scores(rng, 1.0), scores(rng, 1.0)) for _ in range(40)]

    # The upper 2.5 % of the differences by chance: one of 40 on average.
    assert sum(one.is_better for one in found) <= 4


def test_the_difference_is_paired_so_what_both_find_hard_does_not_blur_it():
    rng = np.random.default_rng(3)
    old = scores(rng, 1.0)
    better = old + 0.02 * (LABEL - 0.5)
    unpaired_half_width = 1.96 * np.sqrt(2) * 0.02  # of an AUC of about 0.76 on 200 + 200

    found = compared(old, better)
    assert found.is_better
    assert found.gain_high - found.gain_low < unpaired_half_width


def test_a_smaller_gain_than_was_asked_for_is_none():
    rng = np.random.default_rng(4)
    old, new = scores(rng, 1.0), scores(rng, 1.6)
    assert compared(old, new).is_better
    assert not compared(old, new, replace(CONFIG, min_gain=0.5)).is_better


def test_too_few_sessions_or_groups_decide_nothing():
    rng = np.random.default_rng(5)
    old, new = scores(rng, 0.5), scores(rng, 3.0)
    few = compared(old, new, replace(CONFIG, min_each=500))
    one_generator = np.where(LABEL == 1, "generator", np.arange(2 * N).astype(str)).astype(object)

    assert "too few to compare" in few.why
    assert not few.is_better
    assert "1 group(s) of fraud" in compared(old, new, group=one_generator).why


def test_more_false_positives_or_abstentions_are_refused():
    rng = np.random.default_rng(6)
    old, new = scores(rng, 0.5), scores(rng, 3.0)
    loud = new.copy()
    loud[: N // 10] = 0.95  # 10 % of the legitimate ones, at a target of 1 %
    loud[N:] = np.maximum(loud[N:], 0.96)
    shy = new.copy()
    shy[::5] = np.nan

    assert "flags 10.0% of legitimate sessions" in compared(old, loud).why
    assert "abstains on 20.0% more" in compared(old, shy).why


def test_a_rule_that_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match=r"level 1\.0"):
        PromotionConfig(level=1.0)
