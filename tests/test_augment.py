"""Changes of paths: what is promised to be random is, and what is not stays."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from model.augment import augment, compact
from model.config import AugmentConfig
from pipeline.sessions.resample import ResampleConfig
from rasterize.draw import Paths

NOTHING = AugmentConfig(
    same_recorder_share=0.0,
    scale=1.0,
    speed=1.0,
    turn_deg=0.0,
    mirror=False,
    stretch=0.0,
    gain=0.0,
    smoothing=0.0,
    put_back_share=0.0,
    coarse_share=0.0,
    throttled_share=0.0,
    clock_jitter_ms=0.0,
    ticking_share=0.0,
    dropped_share=0.0,
    shortest_crop=1.0,
)
AS_IS = ResampleConfig(longest_rest_ms=0.0)


def line(n_points: int = 40, n_places: int = 48, period_ms: float = 16.0, batch: int = 64) -> Paths:
    """Return a batch of one path: right by 10 px and down by 5 an event."""
    order = np.minimum(np.arange(n_places), n_points - 1).astype(np.float32)
    columns = (period_ms * order, 100 + 10 * order, 50 + 5 * order, 0 * order)
    t, x, y, kind = (jnp.asarray(np.tile(column, (batch, 1))) for column in columns)
    piece = jnp.zeros(t.shape, jnp.int32)
    return Paths(t, x, y, kind.astype(jnp.int8), piece, jnp.full(batch, n_points, jnp.int32))


def test_with_everything_off_a_path_only_moves_to_the_origin():
    paths = line()
    changed = augment(paths, jax.random.key(0), NOTHING, AS_IS)
    np.testing.assert_array_equal(changed.n_points, paths.n_points)
    np.testing.assert_allclose(changed.t_ms, paths.t_ms)
    steps = np.diff(np.asarray(changed.x_px), axis=1), np.diff(np.asarray(changed.y_px), axis=1)
    np.testing.assert_allclose(steps[0][:, :39], 10)
    np.testing.assert_allclose(steps[1][:, :39], 5)


def test_compact_moves_kept_events_together_and_repeats_the_last():
    paths = line(n_points=4, n_places=5, batch=2)
    kept = jnp.array([[True, False, True, False, True], [False] * 5])
    short = compact(paths, kept)
    # The fifth place is filling: it is never kept.
    np.testing.assert_array_equal(short.n_points, [2, 1])
    np.testing.assert_allclose(short.x_px[0], [100, 120, 120, 120, 120])
    np.testing.assert_allclose(short.x_px[1], [100] * 5)


def test_every_path_is_whole_pixels_of_rising_time_without_repeats():
    changed = augment(line(), jax.random.key(1), AugmentConfig())
    x, y, t = (np.asarray(column) for column in (changed.x_px, changed.y_px, changed.t_ms))
    np.testing.assert_array_equal(x, np.rint(x))
    np.testing.assert_array_equal(y, np.rint(y))
    assert (np.diff(t, axis=1) >= 0).all()
    assert (np.diff(t, axis=1) <= ResampleConfig().longest_rest_ms + 1e-3).all()
    for i, n in enumerate(np.asarray(changed.n_points)):
        moves = np.hypot(np.diff(x[i, :n]), np.diff(y[i, :n]))
        assert (moves > 0).all()
        assert (x[i, n:] == x[i, n - 1]).all()


def test_a_line_stays_a_line_however_it_is_turned():
    changed = augment(line(), jax.random.key(2), AugmentConfig(put_back_share=0.0))
    for x, y, n in zip(
        *map(np.asarray, (changed.x_px, changed.y_px, changed.n_points)), strict=True
    ):
        way = (x[:n] - x[0]) + 1j * (y[:n] - y[0])
        off = np.imag(way * np.conj(way[-1])) / max(abs(way[-1]), 1)
        assert np.abs(off).max() < 5  # px: rounding at both ends, to 3 px at the coarsest


def test_throttling_keeps_an_event_a_period_at_most():
    config = replace(NOTHING, throttled_share=1.0, slowest_recorder_ms=100.0)
    changed = augment(line(), jax.random.key(3), config, AS_IS)
    n = np.asarray(changed.n_points)
    assert n.min() <= 10  # a period of 100 ms: 7 of 40
    assert n.max() >= 39  # a period of 8 ms: all
    assert len(np.unique(n)) > 10


def test_a_clock_that_ticks_counts_in_whole_ticks():
    config = replace(NOTHING, ticking_share=1.0, ticks_ms=(10.0,))
    t_ms = np.asarray(augment(line(), jax.random.key(4), config, AS_IS).t_ms)
    np.testing.assert_allclose(t_ms / 10, np.rint(t_ms / 10), atol=1e-4)


def test_stretches_have_random_lengths_and_places():
    config = replace(NOTHING, shortest_crop=0.3, fewest_events=8)
    changed = augment(line(), jax.random.key(5), config, AS_IS)
    n = np.asarray(changed.n_points)
    assert n.min() >= 12
    assert len(np.unique(n)) > 10


def test_lost_events_are_lost_in_the_share_that_was_set():
    config = replace(NOTHING, dropped_share=0.3)
    n = np.asarray(augment(line(batch=256), jax.random.key(6), config, AS_IS).n_points)
    assert 0.02 < 1 - n.mean() / 40 < 0.2  # 0.3 x the mean of a uniform's square


def test_as_many_paths_as_were_set_keep_their_recorder():
    slow = replace(
        NOTHING, throttled_share=1.0, dropped_share=0.5, ticking_share=1.0, ticks_ms=(100.0,)
    )
    share = []
    for kept in (0.0, 0.3, 1.0):
        config = replace(slow, same_recorder_share=kept)
        changed = augment(line(batch=512), jax.random.key(7), config, AS_IS)
        is_same = np.asarray(changed.n_points) == 40
        np.testing.assert_allclose(np.diff(changed.t_ms, axis=1)[is_same][:, :39], 16)
        share.append(is_same.mean())
    assert share[0] < 0.02
    assert 0.22 < share[1] < 0.38
    assert share[2] == 1


def augmented(**changes: float) -> Paths:
    """Return lines at 16 ms after this change alone, without rounding."""
    as_recorded = replace(AS_IS, grid_px=0.0, changes_only=False)
    return augment(line(), jax.random.key(2), replace(NOTHING, **changes), as_recorded)


def steps_of(paths: Paths, n: int = 39) -> tuple[np.ndarray, np.ndarray]:
    x, y = (np.diff(np.asarray(column), axis=1)[:, :n] for column in (paths.x_px, paths.y_px))
    return x, y


def test_one_axis_is_stretched_in_half_of_the_paths():
    x, y = steps_of(augmented(stretch=0.4))
    factor = x[:, 0] / 10
    np.testing.assert_allclose(y, 5, rtol=1e-3)
    assert 0.3 < np.mean(np.abs(factor - 1) < 1e-3) < 0.7
    assert np.exp(-0.4) <= factor.min() < 0.8 < 1.25 < factor.max() <= np.exp(0.4)


def test_the_gain_is_a_power_of_speed_in_half_of_the_paths():
    x, y = steps_of(augmented(gain=0.35))
    np.testing.assert_allclose(x, 2 * y, rtol=1e-2)
    speed = 1000 * np.hypot(10, 5) / 16
    power = np.log(x[:, 0] / 10) / np.log(speed / 500)
    assert 0.3 < np.mean(np.abs(power) < 1e-2) < 0.7
    assert -0.36 < power.min() < -0.2 < 0.2 < power.max() < 0.36


def test_smoothing_delays_steps_and_an_even_line_stays_even():
    x, _ = steps_of(augmented(smoothing=0.6))
    late = x[:, 0] / 10  # of the first step, what is not kept back
    assert 0.3 < np.mean(late > 0.999) < 0.7
    assert 0.39 < late.min() < 0.6
    np.testing.assert_allclose(x[:, 10:], 10, rtol=0.03)


def test_no_change_reaches_across_a_jump():
    paths = line()
    jumped = jnp.arange(paths.x_px.shape[1])[None, :] >= 20
    paths = paths._replace(
        x_px=paths.x_px + 1000 * jumped,
        piece=jnp.broadcast_to(jumped, paths.x_px.shape).astype(jnp.int32),
    )
    off = replace(AS_IS, grid_px=0.0)
    changed = augment(paths, jax.random.key(3), replace(NOTHING, gain=0.35, smoothing=0.6), off)
    x = np.asarray(changed.x_px)
    np.testing.assert_allclose(x[:, 20] - x[:, 19], 1010, atol=15)  # the end of what was smoothed
    np.testing.assert_array_equal(changed.piece, paths.piece)


def test_a_coarse_grid_is_put_under_some_paths():
    x, _ = steps_of(augmented(coarse_share=1.0, coarse_grid_px=3.0))
    uneven = np.ptp(x, axis=1)  # a step of 10 px on a grid of 3 px is 9 or 12
    assert 0.4 < np.quantile(uneven, 0.1) < np.quantile(uneven, 0.9) <= 3.01


def test_a_program_puts_the_pointer_back_to_one_place():
    x, y = steps_of(augmented(put_back_share=1.0))
    np.testing.assert_allclose(x, 2 * y, rtol=1e-3)
    np.testing.assert_allclose(x[x > 0], 10, rtol=1e-3)
    place = np.cumsum(x, axis=1)
    np.testing.assert_allclose(place[x <= 0], 0, atol=1e-2)  # there again
    assert 0.03 < np.mean(x <= 0) < 0.3
