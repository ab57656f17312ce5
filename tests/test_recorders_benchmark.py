"""Leave one recorder out: who is left out is never trained on, and the tables are right."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_sessions
from people import people
from tiny import TINY

from benchmarks import recorders
from benchmarks.recorders import (
    RATES,
    Family,
    cut_parts,
    left_out_names,
    make_recorder,
    measure,
    people_apart,
    prints_of,
    to_text,
)
from pipeline.sessions.sessions import concatenate_sessions


def walk(n: int) -> list[tuple[float, float, float]]:
    return [(10 * i, i % 300, 2 * i % 500) for i in range(n)]


def test_parts_are_spread_over_people_and_begin_at_zero():
    sessions = make_sessions(
        *(walk(n) for n in (1000, 1000, 30)), account_id=np.array(["a", "a", "b"], object)
    )
    parts = cut_parts(sessions, 100, 4, np.random.default_rng(0))
    assert sorted(parts.account_id) == ["a", "a", "a", "b"]  # b has one part alone
    assert set(parts.n_events) == {100, 30}
    assert (parts.t_us[parts.offsets[:-1]] == 0).all()
    assert len(set(parts.session_id)) == 4


def test_people_are_apart_and_one_persons_sessions_are():
    many, one = people(0, 5), people(0, 1, n_sessions=4)
    for sessions, column in ((many, "account_id"), (one, "session_id")):
        first, others = people_apart(sessions, 0.6, np.random.default_rng(0))
        assert len(first) + len(others) == len(sessions)
        assert not set(getattr(first, column)) & set(getattr(others, column))
        assert len(first)
        assert len(others)


def test_every_name_is_left_out_once_and_kin_stay_together():
    names = ["wind_js", "wind_py", "bezier", "line", "noise", "ghost_a", "ghost_b"]
    thirds = [left_out_names(names, number, 7) for number in range(3)]
    assert sorted(name for third in thirds for name in third) == sorted(names)
    assert [left_out_names(names, number, 7) for number in range(3, 6)] == thirds
    for third in thirds:
        assert ("wind_js" in third) == ("wind_py" in third)


@pytest.fixture
def small(monkeypatch):
    """Draw less than a measurement needs."""
    for name, value in {"N_PRINTS": 64, "N_CALIB": 64, "BATCH": 32, "N_RESAMPLES": 20}.items():
        monkeypatch.setattr(recorders, name, value)


def test_a_recorder_is_left_out_and_measured(small):
    config = replace(TINY, train=replace(TINY.train, epochs=1, steps_per_epoch=10))
    found = {
        name: make_recorder(people(10 * i, 3, slower=1 + i / 2), config, i)
        for i, name in enumerate(("one", "two", "three"))
    }
    assert all(recorder.people.shape == (64, *config.panels.shape) for recorder in found.values())
    straight = make_sessions(*[[(16 * i, 9 * i, 5 * i) for i in range(40)]] * 4)
    prints = prints_of(straight, straight.session_id, config)
    family = Family(prints.images, dict.fromkeys(RATES, prints))
    row = measure(found, {"line_a": family, "line_b": family}, "two", [], config)
    assert (row["out"], row["n_people"]) == ("two", 3)
    for rate in RATES:
        assert 0 <= row[rate]["fpr"]["low"] <= row[rate]["fpr"]["value"] <= 1
        assert row[rate]["recall"].keys() == row[rate]["recall_knowing_the_people"].keys()
        assert row[rate]["recall"]
    text = to_text([row])
    assert text.count("| two | 3 |") == 2
    assert "(two)" in text


def test_throttling_leaves_fewer_windows():
    sessions = concatenate_sessions([people(0, 2)])
    config = TINY
    as_recorded, slow = (
        prints_of(sessions, sessions.account_id, config, period_ms) for period_ms in (0.0, 50.0)
    )
    assert slow.n_events.sum() < as_recorded.n_events.sum()
