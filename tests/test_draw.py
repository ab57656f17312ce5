"""The drawing kernel: small canvases that can be checked by eye, then what never changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.schemas import Kind
from rasterize.canvas import CHANNELS, Canvas
from rasterize.draw import (
    Paths,
    draw,
    is_pressed,
    segment_speed,
    speed_fraction,
    splat,
    throttle,
)

ABSOLUTE = Canvas(size=4, cell_px=1.0, placement="absolute", channels=("ink",), n_samples=64)


def paths(t_ms, x_px, y_px, kind=None, n_points=None) -> Paths:
    """Return one path as a batch."""
    n = len(t_ms)
    return Paths(
        jnp.array([t_ms], jnp.float32),
        jnp.array([x_px], jnp.float32),
        jnp.array([y_px], jnp.float32),
        jnp.array([kind or [0] * n], jnp.int8),
        jnp.array([n_points or n], jnp.int32),
    )


def test_a_spot_is_shared_by_its_four_nearest_cells():
    image = splat(jnp.array([[1.25]]), jnp.array([[2.0]]), jnp.ones((1, 1, 1)), 4)[0, :, :, 0]
    expected = np.zeros((4, 4))
    expected[2, 1], expected[2, 2] = 0.75, 0.25
    np.testing.assert_allclose(image, expected)


def test_what_lies_outside_is_not_drawn():
    assert splat(jnp.array([[-2.0]]), jnp.array([[1.0]]), jnp.ones((1, 1, 1)), 4).sum() == 0


def test_a_row_of_cells_has_the_line_and_no_other():
    image = draw(paths([0, 10], [0.5, 3.5], [1.5, 1.5]), ABSOLUTE)[0, :, :, 0]
    assert (np.asarray(image[1]) > 0.5).all()
    assert np.asarray(image)[[0, 2, 3]].sum() == 0


def test_speed_is_distance_over_time():
    # 50 px in 10 ms, then 5 px within one time stamp: a jump counts as 1 ms.
    speed = segment_speed(paths([0, 10, 10], [0, 30, 30], [0, 40, 45]))
    np.testing.assert_allclose(speed, [[5000.0, 5000.0]], rtol=1e-5)


def test_the_colour_scale_is_logarithmic():
    canvas = Canvas(slow_px_s=10.0, fast_px_s=1000.0)
    fraction = speed_fraction(jnp.array([0.0, 10.0, 100.0, 1000.0, 9999.0]), canvas)
    np.testing.assert_allclose(fraction, [0, 0, 0.5, 1, 1], atol=1e-6)


def test_a_button_is_held_from_press_to_release():
    kinds = [Kind.MOVE, Kind.DOWN, Kind.DRAG, Kind.UP, Kind.MOVE]
    assert is_pressed(jnp.array([kinds], jnp.int8)).tolist() == [[0, 1, 1, 0, 0]]


def test_direction_and_press_are_drawn_where_they_are():
    canvas = Canvas(
        size=8,
        cell_px=1.0,
        placement="absolute",
        channels=("ink", "direction_x", "direction_y", "press"),
    )
    right_then_down = paths([0, 10, 20], [1, 6, 6], [1, 1, 6], [Kind.MOVE, Kind.DOWN, Kind.UP])
    ink, dx, dy, press = np.moveaxis(np.asarray(draw(right_then_down, canvas)[0]), -1, 0)
    np.testing.assert_allclose(dx[0, 2] / ink[0, 2], 1, atol=1e-5)
    np.testing.assert_allclose(dy[3, 5] / ink[3, 5], 1, atol=1e-5)
    assert press[3, 5] > 0.1
    assert press[0, 2] == 0


def test_velocity_is_speed_with_a_sign():
    names = ("ink", "speed", "direction_x", "direction_y", "velocity_x", "velocity_y")
    canvas = Canvas(size=8, cell_px=1.0, placement="absolute", channels=names)
    left_then_down = paths([0, 40, 60], [6, 1, 1], [1, 1, 6])
    _, speed, _, _, vx, vy = np.moveaxis(np.asarray(draw(left_then_down, canvas)[0]), -1, 0)
    np.testing.assert_allclose(vx[0, 3], -speed[0, 3], atol=1e-6)
    np.testing.assert_allclose(vy[4, 0], speed[4, 0], rtol=1e-5)
    assert speed[4, 0] > speed[0, 3] > 0


def test_a_pause_leaves_a_mark_that_grows_and_a_click_another():
    canvas = Canvas(size=8, cell_px=1.0, placement="absolute", channels=("pause", "click"))
    short = draw(paths([0, 300, 310], [2, 3, 4], [2, 2, 2]), canvas)[0, ..., 0].sum()
    long = draw(paths([0, 3000, 3010], [2, 3, 4], [2, 2, 2]), canvas)[0, ..., 0].sum()
    none = draw(paths([0, 30, 60], [2, 3, 4], [2, 2, 2]), canvas)[0].sum()
    click = draw(paths([0, 10, 20], [2, 3, 4], [2, 2, 2], [0, Kind.DOWN, 0]), canvas)[0, ..., 1]
    assert long > short > 0 == none
    assert click.sum() > 0


def test_throttling_keeps_the_last_event_of_each_tick():
    seen = throttle(paths([0, 4, 9, 14, 20], [0, 1, 2, 3, 4], [0] * 5), jnp.array([10.0]))
    assert seen.n_points.tolist() == [3]
    assert seen.x_px[0].tolist() == [0, 2, 4, 4, 4]


def test_throttling_to_the_recorders_own_rate_changes_nothing():
    path = paths([0, 10, 20, 30], [0, 1, 5, 9], [3, 1, 4, 1])
    seen = throttle(path, jnp.array([10.0]))
    np.testing.assert_array_equal(seen.x_px, path.x_px)
    assert seen.n_points.tolist() == [4]


CENTRED = Canvas(size=16, cell_px=4.0, channels=tuple(CHANNELS))


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 400), st.integers(0, 60), st.integers(0, 60)),
        min_size=12,
        max_size=12,
    ),
    st.integers(-500, 500),
)
def test_where_on_the_page_and_filling_never_show(steps, shift):
    t_ms, x_px, y_px = (
        np.cumsum([s[0] for s in steps]),
        [s[1] for s in steps],
        [s[2] for s in steps],
    )
    path = paths(t_ms - t_ms[0], x_px, y_px)
    image = np.asarray(draw(path, CENTRED))
    moved = path._replace(x_px=path.x_px + shift, y_px=path.y_px - shift)
    np.testing.assert_allclose(draw(moved, CENTRED), image, atol=2e-3)
    filled = Paths(
        *(jnp.concatenate([c, c[:, -1:].repeat(5, 1)], 1) for c in path[:4]), path.n_points
    )
    np.testing.assert_allclose(draw(filled, CENTRED), image, atol=2e-3)
    assert np.isfinite(image).all()
    assert np.abs(image).max() <= 1.001


def test_box_scaling_fills_the_canvas():
    canvas = Canvas(size=16, placement="box", channels=("ink",))
    for side_px in (10, 1000):
        image = np.asarray(draw(paths([0, 10], [0, side_px], [0, side_px]), canvas))[0, ..., 0]
        assert image[1, 1] > 0
        assert image[14, 14] > 0


def test_resampling_hides_the_recorders_rate():
    canvas = Canvas(size=32, cell_px=4.0, channels=("ink", "speed"), resample_ms=50.0)
    t_ms = np.arange(0, 1001, 10)
    x_px = 100 * np.sin(t_ms / 300)
    slow = slice(None, None, 5)  # the same movement logged once in 50 ms
    fast_image = draw(paths(t_ms, x_px, t_ms / 20), canvas)
    slow_image = draw(paths(t_ms[slow], x_px[slow], t_ms[slow] / 20), canvas)
    np.testing.assert_allclose(fast_image, slow_image, atol=1e-3)


def test_the_image_has_a_gradient_with_respect_to_the_points():
    def ink(x):
        path = paths([0, 10, 20], [0, 0, 0], [0, 5, 9])._replace(x_px=x)
        return (draw(path, CENTRED)[..., 1] ** 2).sum()

    gradient = jax.grad(ink)(jnp.array([[1.0, 7.0, 3.0]]))
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 2},
        {"size": 10**6},
        {"cell_px": 0.0},
        {"slow_px_s": 5.0, "fast_px_s": 5.0},
        {"channels": ()},
    ],
)
def test_a_canvas_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError, match="canvas"):
        Canvas(**wrong)
