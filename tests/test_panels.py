"""The table of panels: where values lie on an axis, and what each panel is about."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.schemas import Kind
from rasterize.motion import Paths, motion_of
from rasterize.panels import PANELS, Axis, Scale, find_panels

AXES = {f"{name} {side}": getattr(panel, side) for name, panel in PANELS.items() for side in "xy"}


def axis(scale: Scale, low: float, high: float) -> Axis:
    return Axis("what", "px", scale, low, high, ())


@pytest.mark.parametrize(
    ("one", "values", "positions"),
    [
        (axis("log", 10.0, 1000.0), [0, 10, 100, 1000, 9999], [0, 0, 0.5, 1, 1]),
        (axis("log1p", 1.0, 99.0), [-5, 0, 9, 99, 999], [0, 0, 0.5, 1, 1]),
        (axis("signed log", 1.0, 99.0), [-999, -9, 0, 9, 99], [0, 0.25, 0.5, 0.75, 1]),
        (axis("signed root", 0.0, 180.0), [-180, -45, 0, 45, 180], [0, 0.25, 0.5, 0.75, 1]),
        (axis("category", 0.0, 3.0), [0, 1, 3], [0.125, 0.375, 0.875]),
    ],
    ids=lambda part: part.scale if isinstance(part, Axis) else "",
)
def test_values_lie_where_the_scale_says(one, values, positions):
    np.testing.assert_allclose(one.position(np.array(values, np.float64)), positions, atol=1e-6)


@pytest.mark.parametrize("one", AXES.values(), ids=AXES)
@given(position=st.floats(0.01, 0.99))
def test_the_value_at_a_position_lies_there(one, position):
    at = one.position(np.float64(one.value(position)))
    np.testing.assert_allclose(at, position, atol=1e-5)


@pytest.mark.parametrize("one", AXES.values(), ids=AXES)
def test_ticks_rise_and_lie_on_their_axis(one):
    positions = one.position(np.array([value for value, _ in one.ticks], np.float64))
    assert (np.diff(positions) > 0.02).all()
    assert positions.min() >= 0
    assert positions.max() <= 1
    assert all(text for _, text in one.ticks)


@pytest.mark.parametrize("one", AXES.values(), ids=AXES)
def test_numpy_and_jax_agree_on_a_position(one):
    values = np.linspace(one.low - 1, one.high + 1, 9, dtype=np.float32)
    with jax.numpy_dtype_promotion("strict"):
        on_device = one.position(jnp.asarray(values))
    np.testing.assert_allclose(on_device, one.position(values), atol=1e-5)


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_every_event_that_counts_lies_on_its_panel(panel):
    rng = np.random.default_rng(0)
    shape = (4, 200)
    absurd = 10.0 ** rng.uniform(-3, 7, shape)  # px: from a hair to beyond any screen
    paths = Paths(
        jnp.asarray(np.cumsum(rng.integers(0, 500, shape), axis=1), jnp.float32),
        jnp.asarray(absurd * rng.choice([-1, 0, 1], shape), jnp.float32),
        jnp.asarray(absurd * rng.choice([-1, 0, 1], shape), jnp.float32),
        jnp.asarray(rng.choice(list(Kind), shape), jnp.int8),
        jnp.asarray(np.cumsum(rng.random(shape) < 0.1, axis=1), jnp.int32),
        jnp.full(4, 150, jnp.int32),
    )
    *positions, counted = (np.asarray(part) for part in panel.positions(motion_of(paths)))
    assert counted.any()
    assert not counted[:, 150:].any()
    assert not counted[:, 0].any() or panel is PANELS["hold_drag"]  # a press needs no segment
    for position in positions:
        assert np.isfinite(position).all()
        assert position[counted].min() >= 0
        assert position[counted].max() <= 1


def test_panels_are_found_by_name_in_the_order_asked_for():
    assert find_panels(("step", "hodograph")) == (PANELS["step"], PANELS["hodograph"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("hodografh",), "unknown panel 'hodografh'.*use hodograph"),
        (("step", "step"), "one named twice"),
        ((), "none"),
    ],
)
def test_panels_that_there_are_not_are_refused(names, message):
    with pytest.raises(ConfigError, match=message):
        find_panels(names)


def test_each_panel_says_what_it_shows():
    for panel in PANELS.values():
        assert panel.title[0].isupper()
        assert panel.words[0].islower()
        assert panel.words.isascii(), "the font of the pictures has no other letters"
        assert panel.x.words
        assert panel.y.words
