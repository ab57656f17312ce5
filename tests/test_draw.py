"""The drawing kernel: small examples that can be checked by eye, then what never changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.features.quantities import turn_rad
from pipeline.schemas import Kind
from pipeline.sessions.windows import Points
from rasterize.canvas import Canvas
from rasterize.draw import (
    PRIOR_EVENTS,
    density,
    draw_counts,
    draw_images,
    draw_path,
    nearest_cells,
    speed_fraction,
    splat,
)
from rasterize.motion import Paths, is_pressed, motion_of, pieces_of
from rasterize.panels import PANELS

ALL = tuple(PANELS.values())
OF_SEGMENTS = (PANELS["hodograph"], PANELS["step"], PANELS["interval_speed"])
CELLS = 24
ABSOLUTE = Canvas(size=4, cell_px=1.0, placement="absolute", n_samples=64)
CENTRED = Canvas(size=16, cell_px=4.0)

counts_of = jax.jit(draw_counts, static_argnums=(1, 2), static_argnames=("how",))
path_image = jax.jit(draw_path, static_argnums=1)
motion = jax.jit(motion_of)


def paths(t_ms, x_px, y_px, kind=None, n_points=None, piece=None) -> Paths:
    """Return one path as a batch."""
    n = len(t_ms)
    return Paths(
        jnp.array([t_ms], jnp.float32),
        jnp.array([x_px], jnp.float32),
        jnp.array([y_px], jnp.float32),
        jnp.array([kind or [0] * n], jnp.int8),
        jnp.array([piece or [0] * n], jnp.int32),
        jnp.array([n_points or n], jnp.int32),
    )


def filled(path: Paths, n: int = 5) -> Paths:
    """Return a path with `n` more columns that repeat its last event."""
    return Paths(*(jnp.concatenate([c, c[:, -1:].repeat(n, 1)], 1) for c in path[:-1]), path[-1])


def part_of(path: Paths, begin: int, end: int) -> Paths:
    """Return events `begin` to `end` of a path as a window of its own, filled to the same shape."""
    n = path.t_ms.shape[1]
    column = jnp.minimum(jnp.arange(begin, begin + n), end - 1)
    return Paths(*(c[:, column] for c in path[:-1]), jnp.array([end - begin], jnp.int32))


STEPS = st.lists(
    st.tuples(
        st.integers(0, 400), st.integers(-60, 60), st.integers(-60, 60), st.sampled_from(Kind)
    ),
    min_size=12,
    max_size=12,
)


def path_of(steps: list[tuple[int, int, int, Kind]]) -> Paths:
    """Return the path that such steps (ms, px right, px down, kind) make."""
    t_ms, x_px, y_px, _ = np.cumsum(steps, axis=0).T
    return paths(t_ms - t_ms[0], x_px, y_px, [int(kind) for *_, kind in steps])


# The quantities of a found.


def test_three_to_the_right_and_four_down_are_a_step_of_five():
    found = motion(paths([0, 10], [0, 3], [0, 4]))
    assert (found.dx_px[0, 1], found.dy_px[0, 1], found.step_px[0, 1]) == (3, 4, 5)
    assert found.speed_px_s[0, 1] == 500
    np.testing.assert_allclose(
        (found.heading_x[0, 1], found.heading_y[0, 1]), (0.6, 0.8), rtol=1e-6
    )
    assert found.is_moving.tolist() == [[False, True]]
    assert found.is_turning.tolist() == [[False, False]]


def test_a_jump_within_one_time_stamp_counts_as_one_ms():
    assert motion_of(paths([0, 0], [0, 5], [0, 0])).speed_px_s[0, 1] == 5000


def test_right_and_then_down_is_a_turn_of_90_degrees_and_twice_as_fast():
    found = motion(paths([0, 10, 20], [0, 5, 5], [0, 0, 10]))
    np.testing.assert_allclose(np.degrees(found.turn_rad[0, 2]), 90, rtol=1e-5)
    np.testing.assert_allclose(found.speed_change[0, 2], 2, rtol=2e-3)
    assert (found.speed_before_px_s[0, 2], found.step_before_px[0, 2]) == (500, 5)
    assert found.is_turning.tolist() == [[False, False, True]]


def test_a_turn_is_from_the_last_movement_whatever_rests_lie_between():
    found = motion(paths([0, 10, 500, 900, 910], [0, 5, 5, 5, 5], [0, 0, 0, 0, -5]))
    np.testing.assert_allclose(np.degrees(found.turn_rad[0, 4]), -90, rtol=1e-5)
    assert found.speed_before_px_s[0, 4] == 500
    assert found.is_moving[0].tolist() == [False, True, False, False, True]
    assert found.is_turning[0].tolist() == [False] * 4 + [True]


def test_a_turn_is_as_numpy_has_it_whichever_way_the_path_goes():
    dx, dy = np.random.default_rng(0).integers(-3, 4, (2, 5000)).astype(np.float64)
    dx, dy = dx[(dx != 0) | (dy != 0)], dy[(dx != 0) | (dy != 0)]
    x, y = (np.concatenate([[0], np.cumsum(steps)]) for steps in (dx, dy))
    found = motion(paths(np.arange(len(x)), x, y)).turn_rad[0, 2:]
    direction = np.arctan2(dy, dx)
    expected = turn_rad(direction[1:], direction[:-1])
    np.testing.assert_allclose(found, expected, atol=2e-6)
    is_about = (dx[1:] * dy[:-1] == dy[1:] * dx[:-1]) & (dx[1:] * dx[:-1] + dy[1:] * dy[:-1] < 0)
    assert is_about.sum() > 100
    np.testing.assert_allclose(found[is_about], -np.pi, atol=2e-6)
    of_complex = np.angle((dx + 1j * dy)[1:] / (dx + 1j * dy)[:-1])
    np.testing.assert_allclose(found[~is_about], of_complex[~is_about], atol=2e-6)


@pytest.mark.parametrize("step", [(3, 4), (4, 0), (0, -2), (-3, 1), (-1, -3)])
def test_a_turns_slope_is_that_of_the_arc_tangent(step):
    right = paths([0, 10, 20], [0, 5, 5], [0, 0, 0])

    def turn(step):
        moved = jnp.zeros((2, 1, 3)).at[:, 0, 2].set(step)
        path = right._replace(x_px=right.x_px + moved[0], y_px=right.y_px + moved[1])
        return motion_of(path).turn_rad[0, 2]

    at = jnp.array(step, jnp.float32)
    expected = jax.grad(lambda step: jnp.arctan2(step[1], step[0]))(at)
    np.testing.assert_allclose(jax.grad(turn)(at), expected, atol=1e-5)


def test_the_turn_before_the_last_is_known_from_the_third_movement_on():
    found = motion(paths([0, 10, 20, 30], [0, 5, 5, 0], [0, 0, 5, 5]))
    assert found.is_turning_again.tolist() == [[False, False, False, True]]
    np.testing.assert_allclose(np.degrees(found.turn_before_rad[0, 3]), 90, rtol=1e-5)


def test_a_press_is_held_until_its_release_and_dragged_so_far():
    kinds = [Kind.MOVE, Kind.DOWN, Kind.DRAG, Kind.UP, Kind.DOWN]
    found = motion(paths([0, 10, 60, 110, 400], [0, 0, 2, 3, 3], [0, 0, 2, 4, 4], kinds))
    assert found.is_held.tolist() == [[False, True, False, False, False]]  # the last one isn't over
    assert (found.hold_ms[0, 1], found.drag_px[0, 1]) == (100, 5)
    assert found.is_next_press.tolist() == [[False, False, False, False, True]]
    assert found.since_press_ms[0, 4] == 390


def test_a_button_is_held_from_press_to_release():
    kinds = [Kind.MOVE, Kind.DOWN, Kind.DRAG, Kind.UP, Kind.MOVE]
    assert is_pressed(jnp.array([kinds], jnp.int8)).tolist() == [[0, 1, 1, 0, 0]]


# Spots.


@pytest.mark.parametrize("how", ["scatter", "product"])
def test_a_spot_is_shared_by_its_four_nearest_cells(how):
    image = splat(jnp.array([[1.25]]), jnp.array([[2.0]]), jnp.ones((1, 1, 1)), 4, how)
    expected = np.zeros((4, 4))
    expected[2, 1], expected[2, 2] = 0.75, 0.25
    np.testing.assert_allclose(image[0, :, :, 0], expected)


@pytest.mark.parametrize("how", ["scatter", "product"])
def test_what_lies_outside_is_not_drawn(how):
    assert splat(jnp.array([[-2.0]]), jnp.array([[1.0]]), jnp.ones((1, 1, 1)), 4, how).sum() == 0


def test_a_scatter_and_a_product_of_matrices_draw_the_same():
    rng = np.random.default_rng(0)
    x, y = (jnp.asarray(rng.uniform(-1, 8, (3, 40)), jnp.float32) for _ in range(2))
    values = jnp.asarray(rng.normal(size=(3, 40, 2)), jnp.float32)
    np.testing.assert_allclose(
        splat(x, y, values, 8, "scatter"), splat(x, y, values, 8, "product"), atol=1e-5
    )


def test_spots_within_lose_nothing():
    rng = np.random.default_rng(0)
    x, y = (jnp.asarray(rng.uniform(0, 7, (1, 50)), jnp.float32) for _ in range(2))
    np.testing.assert_allclose(splat(x, y, jnp.ones((1, 50, 1)), 8).sum(), 50, rtol=1e-5)


# Panels.


def test_a_panels_sum_is_the_number_of_events_that_count():
    path = paths([0, 10, 20, 30, 40], [0, 3, 3, 9, 9], [0, 4, 4, 4, 0])
    counts = counts_of(path, (PANELS["step"], PANELS["speed_turn"], PANELS["hold_drag"]), CELLS)
    np.testing.assert_allclose(counts.sum(axis=(1, 2)), [[3, 2, 0]], rtol=1e-5)


def test_an_event_lies_where_its_axes_say_and_a_little_around():
    # 12 px to the right and nothing down: the tick at 12, and the middle.
    panel = PANELS["step"]
    counts = counts_of(paths([0, 10], [0, 12], [0, 0]), (panel,), 25)[0, :, :, 0]
    row, column = np.unravel_index(int(counts.argmax()), counts.shape)
    assert row == 12
    assert column == round(float(panel.x.position(np.float64(12))) * 24)
    assert float(counts[row - 1 : row + 2, column - 1 : column + 2].sum()) > 0.8
    assert nearest_cells(paths([0, 10], [0, 12], [0, 0]), (panel,), 25)[0, 0].tolist() == [
        -1,
        row * 25 + column,
    ]


def test_the_hodograph_has_right_at_the_right_and_down_below():
    for x, y, row, column in [(1, 0, 12, 24), (0, 1, 24, 12), (-1, 0, 12, 0), (0, -1, 0, 12)]:
        path = paths([0, 1], [0, 99 * x], [0, 99 * y])  # faster than the panel's edge
        counts = counts_of(path, (PANELS["hodograph"],), 25)[0, :, :, 0]
        assert np.unravel_index(int(counts.argmax()), counts.shape) == (row, column)


def test_events_count_for_their_weight():
    path = paths([0, 10, 20, 30], [0, 3, 9, 11], [0, 4, 4, 0])
    only_second = jnp.array([[0.0, 0.0, 2.0, 0.0]])
    counts = counts_of(path, OF_SEGMENTS, CELLS, only_second)
    alone = counts_of(paths([0, 10], [3, 9], [4, 4]), OF_SEGMENTS, CELLS)
    np.testing.assert_allclose(counts, 2 * alone, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(STEPS, st.integers(1, 10))
def test_counts_of_windows_add_up_to_those_of_the_session(steps, cut):
    whole = path_of(steps)
    parts = part_of(whole, 0, cut + 1), part_of(whole, cut, 12)
    added = sum(counts_of(part, OF_SEGMENTS, CELLS) for part in parts)
    np.testing.assert_allclose(added, counts_of(whole, OF_SEGMENTS, CELLS), atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(STEPS, st.integers(-500, 500))
def test_where_on_the_page_filling_and_how_it_is_drawn_never_show(steps, shift):
    path = path_of(steps)
    counts = np.asarray(counts_of(path, ALL, CELLS, how="scatter"))
    moved = path._replace(x_px=path.x_px + shift, y_px=path.y_px - shift)
    assert np.isfinite(counts).all()
    np.testing.assert_allclose(counts_of(moved, ALL, CELLS, how="scatter"), counts, atol=2e-3)
    np.testing.assert_allclose(counts_of(filled(path), ALL, CELLS), counts, atol=1e-4)
    np.testing.assert_allclose(counts_of(path, ALL, CELLS, how="product"), counts, atol=1e-4)


def test_a_window_that_rests_has_no_movement_and_no_nonsense():
    counts = np.asarray(counts_of(paths([0, 100, 200], [5, 5, 5], [5, 5, 5]), ALL, CELLS))
    by_panel = dict(zip(PANELS, counts.sum(axis=(0, 1, 2)), strict=True))
    assert {name for name, n in by_panel.items() if n > 0} == {"interval_speed", "kind_interval"}


def test_a_print_has_a_finite_gradient_with_respect_to_the_points():
    @jax.jit
    @jax.grad
    def slope(x):
        path = paths([0, 10, 20, 30], [0] * 4, [0, 5, 5, 9])._replace(x_px=x)
        return (density(counts_of(path, ALL, CELLS)) ** 2).sum()

    # It rests between the second and the third event, where a direction has no slope.
    gradient = slope(jnp.array([[1.0, 7.0, 7.0, 3.0]]))
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def random_paths(n_windows: int, n_points: int) -> Paths:
    """Return windows of all kinds of events, of unequal lengths, with rests, jumps and presses."""
    rng = np.random.default_rng(0)
    shape = (n_windows, n_points)
    step = rng.integers(-40, 41, (2, *shape)) * (rng.random(shape) < 0.8)
    x_px, y_px = np.cumsum(step, axis=2)
    return Paths(
        jnp.asarray(np.cumsum(rng.integers(0, 90, shape), axis=1), jnp.float32),
        jnp.asarray(x_px, jnp.float32),
        jnp.asarray(y_px, jnp.float32),
        jnp.asarray(rng.choice(list(Kind), shape), jnp.int8),
        jnp.asarray(np.cumsum(rng.random(shape) < 0.05, axis=1), jnp.int32),
        jnp.asarray(rng.integers(2, n_points + 1, n_windows), jnp.int32),
    )


def drawn_by_hand(path: Paths, n_cells: int) -> np.ndarray:
    """Return the counts of one window: spot by spot and cell by cell, in NumPy."""
    quantities, edge = motion(path), n_cells - 1
    counts = np.zeros((n_cells + 1, n_cells + 1, len(ALL)))
    for i, panel in enumerate(ALL):
        parts = (np.asarray(part, np.float64)[0] for part in panel.positions(quantities))
        for x, y, weight in zip(*parts, strict=True):
            column, row = int(x * edge // 1), int(y * edge // 1)
            right, down = x * edge - column, y * edge - row
            if weight:
                counts[row : row + 2, column : column + 2, i] += np.outer(
                    [1 - down, down], [1 - right, right]
                )
    counts = counts[:-1, :-1]  # nothing lies beyond the last cell
    for axis in (0, 1):
        wider = np.concatenate([counts.take([0], axis), counts, counts.take([-1], axis)], axis)
        before, after = wider.take(range(n_cells), axis), wider.take(range(2, n_cells + 2), axis)
        counts = (before + 2 * counts + after) / 4
    return counts


@pytest.mark.parametrize("how", ["scatter", "product"])
def test_a_batch_of_prints_is_what_a_loop_over_events_draws(how):
    batch = random_paths(3, 40)
    counts = counts_of(batch, ALL, CELLS, how=how)
    for i in range(3):
        alone = Paths(*(column[i : i + 1] for column in batch))
        np.testing.assert_allclose(counts[i], drawn_by_hand(alone, CELLS), atol=2e-5)


def test_images_in_one_pass_are_the_density_of_the_counts():
    batch = random_paths(3, 40)
    weight = jnp.asarray(np.random.default_rng(1).random((3, 40)), jnp.float32)
    for each in (None, weight):
        expected = density(draw_counts(batch, ALL, CELLS, each))
        np.testing.assert_allclose(draw_images(batch, ALL, CELLS, each), expected, atol=1e-5)


def test_an_even_share_is_0_and_so_is_nothing():
    counts = np.stack([np.full((4, 4), 7.0), np.zeros((4, 4))], axis=-1)
    np.testing.assert_allclose(density(counts), 0, atol=1e-12)


def test_a_density_is_the_root_of_a_share():
    counts = np.zeros((2, 2, 1))
    counts[0, 1] = 9  # and three more are spread evenly
    assert PRIOR_EVENTS == 3
    expected = np.sqrt(4 * np.array([[0.75, 9.75], [0.75, 0.75]]) / 12) - 1
    np.testing.assert_allclose(density(counts)[..., 0], expected)


def test_one_event_says_less_than_fifty_of_a_kind():
    counts = np.zeros((2, 4, 4, 1))
    counts[0, 1, 2], counts[1, 1, 2] = 1, 50
    few, many = density(counts)[:, 1, 2, 0]
    assert 0 < few < many < 3


# The picture of a path.


def test_a_row_of_cells_has_the_line_and_no_other():
    image = np.asarray(path_image(paths([0, 10], [0.5, 3.5], [1.5, 1.5]), ABSOLUTE))[0, :, :, 0]
    assert (image[1] > 0.5).all()
    assert image[[0, 2, 3]].sum() == 0


def test_the_colour_scale_is_logarithmic():
    canvas = Canvas(slow_px_s=10.0, fast_px_s=1000.0)
    fraction = speed_fraction(jnp.array([0.0, 10.0, 100.0, 1000.0, 9999.0]), canvas)
    np.testing.assert_allclose(fraction, [0, 0, 0.5, 1, 1], atol=1e-6)


def test_speed_and_a_held_button_are_drawn_where_they_are():
    canvas = Canvas(size=8, cell_px=1.0, placement="absolute")
    kinds = [Kind.MOVE, Kind.DOWN, Kind.UP]
    slow_then_fast = paths([0, 500, 510], [1, 6, 6], [1, 1, 6], kinds)
    ink, speed, pressed = np.moveaxis(np.asarray(path_image(slow_then_fast, canvas)[0]), -1, 0)
    assert ink[0, 2] > 0
    assert speed[3, 5] / ink[3, 5] > speed[0, 2] / ink[0, 2]
    assert pressed[3, 5] > 0.1
    assert pressed[0, 2] == 0


@settings(max_examples=20, deadline=None)
@given(STEPS, st.integers(-500, 500))
def test_a_centred_picture_shows_neither_where_on_the_page_nor_filling(steps, shift):
    path = path_of(steps)
    image = np.asarray(path_image(path, CENTRED))
    moved = path._replace(x_px=path.x_px + shift, y_px=path.y_px - shift)
    np.testing.assert_allclose(path_image(moved, CENTRED), image, atol=5e-3)
    np.testing.assert_allclose(path_image(filled(path), CENTRED), image, atol=5e-3)
    assert np.isfinite(image).all()
    assert 0 <= image.min() <= image.max() <= 1.001


def test_box_scaling_fills_the_canvas():
    canvas = Canvas(size=16, placement="box")
    for side_px in (10, 1000):
        image = np.asarray(path_image(paths([0, 10], [0, side_px], [0, side_px]), canvas))[
            0, ..., 0
        ]
        assert image[1, 1] > 0
        assert image[14, 14] > 0


@pytest.mark.parametrize(
    "wrong",
    [{"size": 2}, {"size": 10**6}, {"cell_px": 0.0}, {"slow_px_s": 5.0, "fast_px_s": 5.0}],
)
def test_a_canvas_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError, match="canvas"):
        Canvas(**wrong)


def test_a_jump_draws_nothing_in_any_panel_and_no_ink():
    t_ms = [0, 16, 32, 48, 1048, 1064, 1080, 1096]
    x_px = [10, 14, 20, 24, 600, 606, 610, 618]
    y_px = [10, 12, 18, 20, 300, 302, 309, 311]
    pieces = [0, 0, 0, 0, 1, 1, 1, 1]
    both = paths(t_ms, x_px, y_px, piece=pieces)
    halves = [paths(t_ms[part], x_px[part], y_px[part]) for part in (slice(4), slice(4, 8))]
    apart = sum(np.asarray(counts_of(half, ALL, CELLS)) for half in halves)
    np.testing.assert_allclose(counts_of(both, ALL, CELLS), apart, atol=1e-5)
    wide = Canvas(size=64, cell_px=10.0, placement="absolute", n_samples=256)
    ink = np.asarray(path_image(both, wide))[0, ..., 0]
    assert ink[:4, :4].sum() > 0.1
    assert ink[28:33, 58:64].sum() > 0.1
    assert ink[5:27, 5:57].sum() == 0


def test_pieces_begin_where_the_pointer_jumped():
    columns = ([0, 16, 300, 600, 616], [0, 4, 300, 340, 800], [0, 0, 0, 0, 0])
    teleports = ([0, 400, 800, 1200, 1216], [0, 300, 600, 0, 4], [0, 0, 0, 0, 0])
    both = zip(columns, teleports, strict=True)
    t_ms, x_px, y_px = (np.array(rows, np.float32) for rows in both)
    points = Points(t_ms, x_px, y_px, np.zeros((2, 5), np.int8), np.array([5, 5], np.int32))
    # Far after a long time; then near after a long time, and far at once: both are movements.
    # Nor does a pointer come back that goes from place to place.
    np.testing.assert_array_equal(pieces_of(points), [[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]])
