"""Prints as a page reads them: bytes by panel and cell, and axes in words."""

import base64
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.errors import ConfigError
from rasterize.draw import density
from rasterize.panels import PANELS
from rasterize.print_json import ROOT_STEPS, cells_json, panels_json, print_json, raised_json

CELLS = 24


def read(text: str, kind: str) -> np.ndarray:
    """Return what base64 stands for."""
    return np.frombuffer(base64.b64decode(text), kind)


def axes(name: str) -> tuple[dict, dict]:
    """Return the two axes of a panel."""
    (panel,) = panels_json((name,))
    return panel["x"], panel["y"]


def test_a_print_is_the_roots_of_shares_panel_by_panel():
    counts = np.zeros((2, 2, 2))
    counts[0, 1, 0] = 13  # and 3 spread evenly: 13.75 of 16, and three of 0.75 of 16
    steps = read(print_json(density(counts)), "u1").reshape(2, 2, 2)

    assert steps[0].tolist() == [[110, 255], [110, 110]]
    assert (steps[1] == 255).all()  # nothing counts: even shares of a quarter each


def test_a_print_holds_the_same_shares_as_the_networks_images():
    counts = np.random.default_rng(0).poisson(0.05, (CELLS, CELLS, 3)).astype(np.float64)
    images = np.asarray(density(jnp.asarray(counts, jnp.float32)))
    steps = read(print_json(images), "u1").reshape(3, CELLS, CELLS)
    expected = (images + 1) / CELLS * ROOT_STEPS

    np.testing.assert_allclose(np.moveaxis(steps, 0, 2), expected, atol=0.501)


def test_the_largest_weight_is_127_whatever_its_sign():
    weights = np.zeros((2, 2, 1))
    weights[0, 0], weights[1, 0] = -0.2, 0.1

    assert read(raised_json(weights), "i1").tolist() == [-127, 0, 64, 0]


def test_weights_of_nothing_are_zeros():
    assert not read(raised_json(np.zeros((2, 2, 3))), "i1").any()


def test_cells_are_two_bytes_and_65535_where_an_event_does_not_count():
    text = cells_json(np.array([[-1, 0, 575], [257, -1, 3]]))

    assert base64.b64decode(text)[:6] == b"\xff\xff\x00\x00\x3f\x02"
    assert read(text, "<u2").tolist() == [65535, 0, 575, 257, 65535, 3]


def test_every_panel_has_words_and_a_value_for_each_cell():
    panels = panels_json(tuple(PANELS))

    assert [panel["name"] for panel in panels] == list(PANELS)
    for panel in panels:
        assert panel["title"]
        assert panel["words"]
        for axis in (panel["x"], panel["y"]):
            assert axis["words"]
            assert len(axis["values"]) == CELLS
            positions = [position for position, _ in axis["ticks"]]
            assert positions == sorted(positions)
            assert min(positions) >= 0
            assert max(positions) <= 1


def test_ticks_lie_where_the_kernel_draws_their_values():
    speed, turn = axes("speed_turn")

    assert (speed["words"], speed["unit"]) == ("speed", "px/s")
    assert [text for _, text in speed["ticks"]] == ["0", "100", "500", "2,000", "7,000"]
    assert speed["ticks"][0][0] == 0
    assert speed["ticks"][-1][0] == 1
    assert turn["ticks"][2] == [0.5, "0"]


def test_the_words_for_a_cell_are_the_value_of_its_centre():
    speed, turn = axes("speed_turn")

    assert speed["values"][0] == "0 px/s"
    assert speed["values"][11] == "530 px/s"  # 60 * (e^(11/23 * log(1 + 7000/60)) - 1)
    assert turn["values"][18] == "58 degrees"  # 180 * (36/23 - 1)^2


def test_cells_at_the_edge_say_that_they_hold_what_lies_beyond():
    speed, turn = axes("speed_turn")
    interval, _ = axes("interval_speed")
    step, _ = axes("step")

    assert speed["values"][-1] == "7,000 px/s or more"
    assert interval["values"][0] == "60 ms or less"
    assert step["values"][0] == "-150 px or less"
    assert turn["values"][-1] == "180 degrees"  # no turn is sharper


def test_changes_of_speed_are_ratios():
    _, change = axes("speed_change")

    assert change["values"][0] == "0.11 times or less"
    assert change["values"][18] == "3.5 times"  # 9^(36/23 - 1)


def test_kinds_of_events_are_named():
    kind, _ = axes("kind_interval")

    assert list(dict.fromkeys(kind["values"])) == [text for _, text in kind["ticks"]]


def test_a_polar_panel_has_speeds_from_the_middle_and_directions_around_it():
    speed, direction = axes("hodograph")

    assert speed["ticks"][0] == [0.5, "0"]
    assert speed["ticks"][-1] == [1, "7,000"]
    assert direction["values"][:3] == ["right", "right", "lower right"]
    assert [direction["values"][i] for i in (6, 12, 18)] == ["down", "left", "up"]


def test_an_unknown_panel_is_an_error():
    with pytest.raises(ConfigError, match="unknown panel"):
        panels_json(("speed_trun",))


def test_writing_a_print_loads_no_jax():
    code = "import sys, rasterize.print_json; sys.exit('jax' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
