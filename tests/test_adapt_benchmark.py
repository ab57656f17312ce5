"""The benchmark of adapting: half of the people to adapt with, the other half to count on."""

from dataclasses import asdict

import numpy as np
import pytest

from benchmarks.adapt import Site, adapt_often, adapt_once, to_text
from model.level import fit_level_reference

UNIT = 0.61  # the width of a normal whose 95th percentile is 1 above its median


def normal(n: int, middle: float, seed: int, width: float = UNIT) -> np.ndarray:
    return np.random.default_rng(seed).normal(middle, width, n)


REFERENCE = fit_level_reference(
    np.append(normal(2000, 0, 0), normal(500, 6, 1)),
    np.repeat([0, 1], [2000, 500]),
    np.full(2500, "r", object),
)
PEOPLE = np.repeat(np.arange(40), 10).astype(str).astype(object)
SITE = Site(
    people=normal(400, 2, 2),
    person=PEOPLE,
    bots=np.append(normal(200, 8, 3), normal(200, 2, 4)),
    made_by=np.repeat(np.array(["far", "alike"], object), 200),
)


def test_only_generators_that_the_order_separates_count():
    assert SITE.separated == {"far"}


def test_a_site_far_up_is_adapted_to_with_frauds_among_its_sessions():
    rng = np.random.default_rng(0)
    found = adapt_once(SITE, REFERENCE, 1.5, 0.01, 200, 0.1, ["far"], rng)
    assert found.is_adapted
    assert found.fpr_before > 0.6
    assert found.fpr_after < 0.05
    assert found.recall_before == 1
    assert found.recall_after > 0.9
    assert found.estimated_share == pytest.approx(0.05, abs=0.06)  # half of the bots are alike


def test_the_table_has_a_row_for_each_size_and_share():
    outcomes = adapt_often(SITE, REFERENCE, 1.5, 0.01, 1)
    where = {"seed": 0, "out": "lab", "rate": "as recorded"}
    lines = to_text([where | asdict(outcome) for outcome in outcomes]).splitlines()
    assert len([line for line in lines if line.startswith("| as recorded |")]) == 9
    assert lines[-1].startswith("| lab | ")
