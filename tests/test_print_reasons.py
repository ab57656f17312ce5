"""Reasons from the print: every flagged session has one, with numbers and units."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conftest import make_sessions
from tiny import TINY, easy_store, untrained

import model.attribution
import model.score as model_score
from model.attribution import PRINT_CODE, Attribution, panel_words, print_reasons
from model.prints import print_of_people, session_prints
from model.run import input_config, load_model
from model.score import score_sessions, score_without_reasons, with_reasons
from pipeline.sessions.sessions import Sessions
from pipeline.storage.store import load_sessions
from rasterize.panels import PANELS, Axis, Panel
from rasterize.words import difference_in_words

NOW = datetime(2026, 11, 1, tzinfo=UTC)
UNITS = ("px/s", "px", "degrees", "times", "ms")


def squared(*columns: str, polar: bool = False) -> Panel:
    """Return a panel of two axes on which the edge of cell k of eight lies at 2 to the k."""
    x, y = (Axis(words, unit, "log", 1.0, 256.0, ()) for words, unit in map(str.split, columns))
    return Panel("A panel", "something", x, y, lambda motion: (), polar)


PLANE = squared("speed px/s", "interval ms")


def at(*cells: tuple[int, int], n: int = 8) -> np.ndarray:
    """Return counts with one event in each of some cells (row, column)."""
    counts = np.zeros((n, n), np.float32)
    for cell in cells:
        counts[cell] += 1
    return counts


EVEN = np.ones((8, 8), np.float32)


# --- words


def test_a_narrow_range_is_given_beside_the_reference_s():
    own = at(*((row, 3) for row in range(8)))  # all of them in one column
    said = difference_in_words(PLANE, own, EVEN, EVEN, "people")
    assert said == "speed: mostly 8 to 16 px/s; people 1 to 260 px/s"
    said = difference_in_words(PLANE, own.T, EVEN, EVEN, "this account")
    assert said == "interval: mostly 8 to 16 ms; this account 1 to 260 ms"


def test_a_wide_range_is_given_too():
    said = difference_in_words(PLANE, EVEN, at(*((row, 3) for row in range(8))), EVEN, "people")
    assert said == "speed: mostly 1 to 260 px/s; people 8 to 16 px/s"


def test_a_twentieth_at_either_end_does_not_count():
    own = 20 * at(*((row, 3) for row in range(8)))
    own[0, 0] = own[0, 7] = 7
    said = difference_in_words(PLANE, own, EVEN, EVEN, "people")
    assert said.startswith("speed: mostly 8 to 16 px/s")
    own[0, 0] = 10  # 6 % of them
    assert not difference_in_words(PLANE, own, EVEN, EVEN, "people").startswith("speed: mostly 8")


DIAGONAL = at(*((i, i) for i in range(8)))


def test_where_ranges_are_alike_the_place_that_weighs_most_is_given():
    other = DIAGONAL[::-1]
    weight = 9 * at((2, 2)) + 10 * at((2, 5)) + at((6, 6))  # at (2, 5) people have more
    said = difference_in_words(PLANE, DIAGONAL, other, weight, "people")
    assert said == "speed 2 to 16 px/s and interval 2 to 16 ms: 38% of the events; people 0%"


@pytest.mark.parametrize(
    ("cell", "where"),
    [
        ((4, 8), "speed 32 to 260 px/s rightwards"),
        ((8, 4), "speed 32 to 260 px/s downwards"),
        ((4, 4), "speed 1 to 8 px/s rightwards"),
        ((1, 7), "speed 32 to 260 px/s upper rightwards"),
    ],
)
def test_a_place_in_the_plane_of_velocities_is_a_speed_and_a_direction(cell, where):
    panel = squared("speed px/s", "speed px/s", polar=True)
    own, reference = at(cell, (4, 0), n=9), at((4, 0), n=9)
    said = difference_in_words(panel, own, reference, at(cell, n=9), "people")
    assert said == f"{where}: 50% of the events; people 0%"


def test_a_kind_of_event_is_called_by_its_name():
    panel = PANELS["kind_interval"]
    counts = at((12, 5), (12, 20), n=24)
    said = difference_in_words(panel, counts, at((12, 20), n=24), at((12, 5), n=24), "people")
    assert said.startswith("event down and interval ")
    assert said.endswith("ms: 50% of the events; people 0%")


def test_of_what_did_not_happen_there_are_words_too():
    nothing = np.zeros((8, 8), np.float32)
    said = difference_in_words(PLANE, nothing, DIAGONAL, at((2, 2)), "this account")
    assert said == "speed 2 to 16 px/s and interval 2 to 16 ms: 0% of the events; this account 38%"
    said = difference_in_words(PLANE, DIAGONAL, nothing, at((2, 2)), "this account")
    assert said == "speed 2 to 16 px/s and interval 2 to 16 ms: 38% of the events; this account 0%"
    assert "0%" in difference_in_words(PLANE, nothing, nothing, nothing, "people")


@pytest.mark.parametrize("name", PANELS)
def test_every_panel_has_words_with_numbers_and_units(name):
    rng = np.random.default_rng(0)
    for concentration in (0.02, 1.0):
        own, reference = (
            rng.gamma(concentration, 1, (24, 24)).astype(np.float32) for _ in range(2)
        )
        weight = rng.normal(size=(24, 24)).astype(np.float32)
        assert_numbers_and_units(
            difference_in_words(PANELS[name], own, reference, weight, "people")
        )


def assert_numbers_and_units(said: str) -> None:
    assert re.search(r"\d", said)
    assert re.search(rf"\d ({'|'.join(UNITS)})\b", said), said
    assert "people" in said
    assert "nan" not in said
    assert "e+" not in said


# --- reasons


@pytest.fixture(scope="module")
def fraud_model(trained_run):
    return load_model(trained_run)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory) -> Sessions:
    return load_sessions([easy_store(tmp_path_factory.mktemp("easy") / "store")])


def test_every_flagged_session_has_a_reason(fraud_model, sessions):
    table = score_sessions(fraud_model, "m", sessions, "r", NOW).to_pandas()
    assert table["is_flagged"].sum() > 20
    assert (table.loc[table["is_flagged"], "reasons"].map(len) > 0).all()


def test_where_no_measure_is_unusual_panels_are_the_reason(fraud_model, sessions):
    table = score_sessions(
        replace(fraud_model, reference_ranges=None), "m", sessions, "r", NOW
    ).to_pandas()
    assert table["is_flagged"].sum() > 20
    codes = table.loc[table["is_flagged"], "reasons"]
    assert codes.map(len).between(1, 2).all()
    assert set(codes.explode()) <= {PRINT_CODE + name for name in TINY.panels.names}
    # Who isn't flagged needs no reason.
    assert (table.loc[~table["is_flagged"], "reasons"].map(len) == 0).all()


def test_scores_without_reasons_are_the_same_scores(fraud_model, sessions):
    whole = score_sessions(fraud_model, "m", sessions, "r", NOW).to_pandas()
    bare = score_without_reasons(fraud_model, "m", sessions, "r", NOW).to_pandas()
    assert (bare["reasons"].map(len) == 0).all()
    assert (whole["reasons"].map(len) > 0).any()
    pd.testing.assert_frame_equal(whole.drop(columns="reasons"), bare.drop(columns="reasons"))


def test_measures_that_are_unusual_stay_the_reasons(fraud_model, sessions, monkeypatch):
    bots = sessions.take(np.flatnonzero(sessions.label == 1)[:3])
    table = score_sessions(fraud_model, "m", bots, "r", NOW)
    assert table["is_flagged"].to_pylist() == [True] * 3
    given = pa.array([["straight_lines"], [], ["even_clock"]], pa.list_(pa.string()))
    monkeypatch.setattr(model_score, "reason_lists", lambda *_: given)
    found = with_reasons(fraud_model, bots, table)["reasons"].to_pylist()
    assert (found[0], found[2]) == (["straight_lines"], ["even_clock"])
    assert found[1][0].startswith(PRINT_CODE)


def test_reasons_are_in_words_with_what_was_measured(fraud_model, sessions):
    found = print_reasons(fraud_model, sessions)
    assert len(found) == len(sessions)
    for reasons in found:
        assert 1 <= len(reasons) <= 2
        for reason in reasons:
            assert reason.code.removeprefix(PRINT_CODE) in TINY.panels.names
            assert_numbers_and_units(reason.words)


def test_straight_lines_of_one_speed_are_called_so(fraud_model):
    line = make_sessions([(16 * i, 16 * i, 0) for i in range(40)])  # 1,000 px/s to the right
    own, people = session_prints(input_config(TINY), line), fraud_model.people
    said = difference_in_words(
        PANELS["speed_turn"], own.counts[0, ..., 2], people.counts[0, ..., 2],
        np.ones((16, 16), np.float32), "people",
    )  # fmt: skip
    low, high = (float(number.replace(",", "")) for number in re.findall(r"[\d,]+", said)[:2])
    assert low < 1000 < high < 3000
    assert said.startswith("speed: mostly ")


def with_weights(monkeypatch, *by_panel: float) -> list[str]:
    """Return the panels named where the panels of a session weigh so much."""
    cells = np.zeros((1, 16, 16, 3), np.float32)
    cells[0, 3, 4] = by_panel
    attribution = Attribution(cells, np.zeros(40, np.float32))
    monkeypatch.setattr(model.attribution, "attribute", lambda *of: attribution)
    session = make_sessions([(16 * i, i * i, 9 * i) for i in range(40)])
    known = replace(
        untrained(), people=print_of_people(input_config(TINY), session, session.session_id)
    )
    (reasons,) = print_reasons(known, session)
    return [reason.code.removeprefix(PRINT_CODE) for reason in reasons]


@pytest.mark.parametrize(
    ("weights", "named"),
    [
        ((1.0, 5.0, 3.0), ["step", "speed_turn"]),
        ((1.0, 5.0, 2.4), ["step"]),  # not half of the strongest
        ((4.0, 5.0, 4.5), ["step", "speed_turn"]),  # two at most
        ((-1.0, 5.0, -9.0), ["step"]),
        ((-3.0, -4.0, -1.0), ["speed_turn"]),
        ((0.0, 0.0, 0.0), ["hodograph", "step"]),
    ],
)
def test_the_panels_that_raised_the_score_most_are_named(monkeypatch, weights, named):
    assert with_weights(monkeypatch, *weights) == named


def test_without_a_window_or_a_reference_there_is_no_reason(fraud_model):
    short, empty = [(0, 1, 1), (9, 2, 2)], []
    assert print_reasons(fraud_model, make_sessions(short, empty)) == [[], []]
    assert print_reasons(fraud_model, make_sessions()) == []
    path = [(16 * i, i * i, 9 * i) for i in range(40)]
    assert print_reasons(replace(fraud_model, people=None), make_sessions(path)) == [[]]


def test_the_fraud_task_holds_against_people(fraud_model):
    assert fraud_model.scorer.reference_print(None, fraud_model.people) == (
        fraud_model.people,
        "people",
    )
    assert fraud_model.scorer.reference_print("somebody", fraud_model.people) == (
        fraud_model.people,
        "people",
    )


def test_every_code_has_words_and_says_when_it_misleads():
    assert set(panel_words()) == {PRINT_CODE + name for name in PANELS}
    for words in panel_words().values():
        assert words["words"].startswith("Unlike the reference in ")
        assert words["misleads"]
