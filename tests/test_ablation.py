"""The ablation: its rows are settings that exist, its cells are resumable, its table is right."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_sessions
from test_owner import hands

from benchmarks.ablation.measure import Budget, measure
from benchmarks.ablation.recordings import Recordings, cut_by_time, shortened
from benchmarks.ablation.rows import ROWS, Row, chosen_rows, with_settings
from benchmarks.ablation.table import BASES, Figures, to_text
from model.config import RunConfig
from pipeline.sessions import concatenate_sessions


def test_every_row_is_a_configuration_of_its_own():
    configs = [Budget().config(row, 0) for row in ROWS if row.kind == "network"]
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert len(set(configs)) == len(configs)
    for group, base in BASES.items():
        assert chosen_rows([group])
        assert chosen_rows([base])


def test_settings_reach_as_deep_as_they_say():
    config = with_settings(RunConfig(), ("owner.window.max_events=64", "canvas.size=32;seed=3"))
    assert (config.owner.window.max_events, config.canvas.size, config.seed) == (64, 32, 3)
    with pytest.raises(ValueError, match="seed has no x"):
        with_settings(RunConfig(), ("seed.x=1",))


def test_stretches_are_whole_and_begin_at_zero():
    path = [(t, t, 0) for t in range(0, 44_000, 100)]
    sessions = make_sessions(path, [(t, t, 0) for t in range(0, 3_000, 100)])
    stretches = cut_by_time(sessions, 15.0)
    names = [name.split("@")[1] for name in stretches.session_id]
    assert names == ["0", "1", "2", "0"]  # 44 s are three; 3 s are as much as there is
    assert (stretches.t_us[stretches.offsets[:-1]] == 0).all()
    assert stretches.n_events.tolist() == [150, 150, 140, 30]


def test_shortened_sessions_keep_their_first_events():
    sessions = hands(2, 1)
    short = shortened(sessions, 10)
    assert short.n_events.tolist() == [10, 10]
    np.testing.assert_array_equal(short.t_us[10:], sessions.t_us[sessions.offsets[1] :][:10])


def recordings() -> Recordings:
    known, people, held = hands(4), hands(6, first=50), hands(4, first=200)
    enrolled = held.take(np.arange(len(held)) % 5 < 3)
    tried = held.take(np.arange(len(held)) % 5 >= 3)
    other = np.roll(known.account_id, 5)
    claims = concatenate_sessions(
        [
            replace(known, label=np.zeros(len(known), np.int8)),
            replace(known, account_id=other, label=np.ones(len(known), np.int8)),
        ]
    )
    matched = np.ones(len(claims), bool)
    return Recordings(known, claims, matched, people, enrolled, tried, cut_by_time(tried, 1.0))


def test_a_cell_knows_hands_and_the_table_shows_it():
    found = recordings()
    row = next(row for row in ROWS if row.kind == "habits")
    cell = measure(row, 0, found, Budget())
    figures = Figures(found.claims.label, found.matched, found.claims.account_id.astype(str))
    values = figures.of(cell)
    assert values["matched"] > 0.95
    assert values["auc_60s"] > 0.8
    assert np.shape(cell["people_60s"]) == (len(found.tried), 4)
    siblings = replace(row, settings=("owner.mirrored=True",))
    assert measure(siblings, 0, found, Budget())["known"] != cell["known"]
    worse = cell | {"row": BASES["model"], "known": [-s for s in cell["known"]]}
    text = to_text([cell, worse | {"verdicts": {"1 windows": cell["known"]}}], figures)
    assert f"model: {row.name} | 1 | {values['all']:.3f}" in text
    assert f"{2 * values['matched'] - 1:+.3f}" in text
    assert "| 1 windows |" in text


def test_rows_are_chosen_by_name_or_group():
    assert [row.group for row in chosen_rows(["size"])] == ["size"] * 3
    assert chosen_rows(["box"]) == [row for row in ROWS if row.name == "box"]
    assert all(isinstance(row, Row) for row in chosen_rows())
