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
    return Paths(t, x, y, kind.astype(jnp.int8), jnp.full(batch, n_points, jnp.int32))


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
    changed = augment(line(), jax.random.key(2), AugmentConfig())
    for x, y, n in zip(
        *map(np.asarray, (changed.x_px, changed.y_px, changed.n_points)), strict=True
    ):
        way = (x[:n] - x[0]) + 1j * (y[:n] - y[0])
        off = np.imag(way * np.conj(way[-1])) / max(abs(way[-1]), 1)
        assert np.abs(off).max() < 2  # px: rounding at both ends


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
