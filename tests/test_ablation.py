"""The ablation: its rows are settings that exist, it goes on where it was, its tables are right."""

import json
from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from people import people

from benchmarks.ablation import bots, owners
from benchmarks.ablation.__main__ import append, measured, read, spread, to_text
from benchmarks.macs import count_macs
from benchmarks.sources import with_settings
from model.config import NetworkConfig, PanelsConfig, RunConfig

SMALL = ("owner.panels.cells=8", "owner.components=20", "owner.dimensions=8", "owner.paces=()")


def config_of(row: owners.Row, settings: tuple[str, ...] = ()) -> RunConfig:
    return with_settings(RunConfig(task="owner"), (*settings, *row.settings))


def test_every_row_is_a_change_of_its_own():
    of_owners = [(config_of(row), row.of_sessions) for row in owners.ROWS]
    of_bots = [(row.config(), row.network, row.print_share) for row in bots.ROWS]
    for rows, found in ((owners.ROWS, of_owners), (bots.ROWS, of_bots)):
        assert len({row.name for row in rows}) == len(rows)
        assert len(set(found)) == len(found)
    assert of_owners[0] == (RunConfig(task="owner"), False)


def test_rows_that_draw_alike_share_a_drawing_and_stand_together():
    drawn = [owners.drawn_by(config_of(row)) for row in owners.ROWS]
    changes = sum(a != b for a, b in pairwise(drawn))
    assert len(set(drawn)) == changes + 1
    assert len(set(drawn)) < 8


def test_multiply_accumulates_are_counted_by_hand():
    panels = PanelsConfig(names=("hodograph", "step"), cells=8)
    macs = count_macs(panels, NetworkConfig(widths=(3, 5), hidden=7), n_events=10)
    assert macs.drawing == 2 * 10 * 4 + 2 * (2 * 8 * 8 * 8)
    assert macs.convolutions == (4 * 4) * 3 * (5 * 5 * 2) + (2 * 2) * 5 * (3 * 3 * 3)
    assert macs.hidden == (2 * 2 * 5) * 7 + 7
    assert macs.linear == 8 * 8 * 2
    assert macs.network == macs.convolutions + macs.hidden + macs.linear


def test_the_two_halves_of_the_network_add_up_to_it():
    config = with_settings(RunConfig(), ("panels.cells=8", "network.widths=(4,)"))
    whole, rest, linear = (
        network(config.network, config.panels, 0)
        for network in (bots.Network, bots.NoLinear, bots.LinearAlone)
    )
    images = jax.random.normal(jax.random.key(0), (3, *config.panels.shape))
    np.testing.assert_allclose(whole(images), rest(images) + linear(images), atol=1e-5)
    slope = jax.grad(lambda images: linear(images).sum())(images)
    np.testing.assert_allclose(slope, jnp.broadcast_to(linear.pixels[...], slope.shape), atol=1e-6)


def test_training_builds_the_network_of_the_row():
    import model.train

    with bots.building(bots.LinearAlone):
        assert isinstance(model.train.new_network(RunConfig()), bots.LinearAlone)
    assert type(model.train.new_network(RunConfig())) is bots.Network


@pytest.fixture(scope="module")
def recordings() -> owners.Recordings:
    """Return people in the place of SapiMouse's, and five of them in that of Balabit's."""
    everyone = people(0, 10, n_sessions=2)
    names = [f"{a}_{'3min' if i % 2 else '1min'}" for i, a in enumerate(everyone.account_id)]
    everyone = replace(everyone, session_id=np.array(names, object))
    parts = everyone.take(np.arange(len(everyone)) % 2 == 0)
    known, claims = people(50, 5, n_sessions=2), people(50, 5, n_sessions=2)
    other = np.arange(len(claims)) % 2 == 1
    claims = replace(
        claims,
        account_id=np.where(other, np.roll(claims.account_id, 2), claims.account_id),
        label=other.astype(np.int8),
    )
    return owners.Recordings(
        people=everyone,
        parts=parts,
        known=known,
        claims=claims,
        cut=claims,
        is_matched=np.arange(len(claims)) < 8,
        whose=np.arange(len(claims)),
    )


def test_a_row_of_owners_has_all_figures_and_a_panel_less_changes_them(recordings):
    rows = {row.name: row for row in owners.ROWS}
    drawing = owners.Drawing(recordings, owners.drawn_by(config_of(rows["default"], SMALL)))
    found = {
        name: owners.measure(drawing, rows[name], config_of(rows[name], SMALL))
        for name in ("default", "hold_drag alone", "session print")
    }
    for figures in found.values():
        assert list(figures) == list(owners.COLUMNS)
        assert all(0 <= value <= 1 for value in figures.values())
    assert found["default"]["balabit"] > 0.9
    assert len({tuple(figures.values()) for figures in found.values()}) == 3


def line(row: str, seed: int, auc: float, fold: int = 0) -> dict:
    families = {f"bot{fold}": {"auc": auc, "recall": auc}, f"x{fold}": {"auc": 1.0, "recall": None}}
    rates = dict.fromkeys(("sapimouse, stretches", *bots.OTHERS), 0.01)
    figures = {"families": families, "false_positives": rates}
    return {"task": "bots", "settings": [], "row": row, "seed": seed, "fold": fold} | {
        "figures": figures
    }


def test_lines_are_written_as_they_come_and_none_begins_too_late(tmp_path):
    path = tmp_path / "lines.jsonl"
    asked = []

    def lines():
        for seed in range(3):
            asked.append(seed)
            yield line("default", seed, 0.5)

    append(lines(), path, until=0.0)
    assert asked == [0]
    append(lines(), path, until=float("inf"))
    assert [row["seed"] for row in read(path)] == [0, 0, 1, 2]
    assert all("seconds" in json.loads(text) for text in path.read_text().splitlines())


@pytest.mark.parametrize("task", ["owners", "bots"])
def test_what_is_done_is_not_measured_again(tmp_path, task):
    class Options:
        json, set, seeds, folds, rows = tmp_path / "f", [], 1, [0], ["default"]

    done = {"task": task, "settings": [], "row": "default", "seed": 0, "fold": 0}
    Options.json.write_text(json.dumps(done if task == "bots" else done | {"fold": None}) + "\n")
    assert list(measured(task, Options)) == []


def test_tables_show_means_over_seeds_and_families_of_all_folds():
    lines = [
        line("default", seed, auc, fold)
        for seed, fold, auc in ((0, 0, 0.92), (0, 1, 0.5), (1, 0, 0.96), (1, 1, 0.7), (2, 0, 0.1))
    ]
    row = next(text for text in to_text("bots", lines).splitlines() if "| default |" in text)
    macs = bots.ROWS[0].macs() / 1e6
    assert row.startswith(f"| default | 0, 1 | 2 | {macs:.2f} | 0.885 (0.855 to 0.915) | 0.600 (")
    assert "| 1 (1 to 1) of 2 |" in row
    assert "1.0% (1.0% to 1.0%)" in row
    figures = dict.fromkeys(owners.COLUMNS, 0.25)
    found = [{"task": "owners", "row": "session print", "seed": 0, "figures": figures}]
    assert "| session print | 1 | 0.250 |" in to_text("owners", found)
    assert "default" not in to_text("owners", found)


def test_one_value_has_no_spread():
    assert spread([0.5], ".2f") == "0.50"
    assert spread([0.25, 0.75], ".2f") == "0.50 (0.25 to 0.75)"
