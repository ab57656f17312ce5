"""The network: it sees the print alone, neighbours never show, it learns, it survives the disk."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_sessions
from flax import nnx
from tiny import one_recorder

from flows.jobs.progress import finish
from model.augment import augment
from model.batches import SCORED, predict
from model.checkpoint import load_training, save_parameters
from model.config import AugmentConfig, NetworkConfig, PanelsConfig, RunConfig, TrainConfig
from model.drawing import draw_print
from model.network import WINDOWS_AT_ONCE, Conv, Network, new_network
from model.saved_network import SavedNetwork
from model.step import Weights, draw_augmented, loss_fn, make_optimizer, train_step
from model.train import fit, training_batches
from model.training_data import window_weights
from pipeline.config import AS_RECORDED
from pipeline.errors import ConfigError, NotFoundError, SchemaError
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import (
    WindowConfig,
    Windows,
    cut_windows,
    pad_windows,
    subsample_windows,
)
from rasterize.motion import Paths, to_device

SMALL = RunConfig(
    window=WindowConfig(max_events=16),
    panels=PanelsConfig(names=("hodograph", "step", "speed_turn"), cells=16),
    network=NetworkConfig(widths=(8, 16), hidden=16, dropout=0.1),
    train=TrainConfig(epochs=3, steps_per_epoch=20, batch_size=16, learning_rate=1e-2),
)


NOTHING_CHANGES = AugmentConfig(
    scale=1.0, speed=1.0, turn_deg=0.0, mirror=False, same_recorder_share=1.0, slower_copies=0,
    dropped_share=0.0, shortest_crop=1.0,
    stretch=0.0, gain=0.0, smoothing=0.0, put_back_share=0.0, coarse_share=0.0,
)  # fmt: skip


def straight_and_crooked(n: int) -> Sessions:
    """Return n straight fast paths (label 1) and n crooked slow ones (label 0)."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(2 * n):
        t_ms = np.arange(16) * 16
        if i < n:
            angle = rng.uniform(0, 6)
            x, y = t_ms * np.cos(angle), t_ms * np.sin(angle)
        else:
            x, y = rng.normal(0, 6, (2, 16)).cumsum(axis=1)
        paths.append(list(zip(t_ms, x, y, strict=True)))
    return make_sessions(*paths, label=np.repeat([1, 0], n).astype(np.int8))


def paths_of(sessions: Sessions, n_points: int = 16) -> Paths:
    windows = cut_windows(sessions, WindowConfig(max_events=n_points, min_events=2))
    return to_device(pad_windows(sessions, windows, n_points))


draw = jax.jit(draw_print, static_argnums=1)


@partial(jax.jit, static_argnums=0)
def _of_images(graph: nnx.GraphDef, params: nnx.State, images: jax.Array, key: jax.Array | None):
    return nnx.merge(graph, params)(images, key)


@partial(jax.jit, static_argnums=0)
def _of_paths(graph: nnx.GraphDef, params: nnx.State, paths: Paths):
    return nnx.merge(graph, params).of_paths(paths)


def of_images(network: Network, images: jax.Array, key: jax.Array | None = None) -> np.ndarray:
    return np.asarray(_of_images(*nnx.split(network), images, key))


def of_paths(network: Network, paths: Paths) -> np.ndarray:
    return np.asarray(_of_paths(*nnx.split(network), paths))


# --- what it is made of


def normal_images(n: int = 40, n_panels: int = 8) -> jax.Array:
    shape = (n, 16, 16, n_panels)
    return jnp.asarray(np.random.default_rng(0).normal(2, 3, shape), jnp.float32)


def test_a_convolution_halves_the_side_and_gives_nothing_below_zero():
    conv = Conv(5, 8, 64, rng=np.random.default_rng(1))
    for is_training in (True, False):
        out = np.asarray(conv(normal_images(), is_training))
        assert out.shape == (40, 8, 8, 64)
        assert out.min() == 0


def test_training_normalises_over_the_batch_and_scoring_by_what_training_kept():
    conv, images = Conv(5, 8, 4, rng=np.random.default_rng(1)), normal_images()
    conv.bias[...] = jnp.full(4, 9.0)  # nothing lies below zero, nothing is rectified
    conv.gain[...] = jnp.array([1.0, 2.0, 1.0, 1.0])
    training = np.asarray(conv(images, True))
    np.testing.assert_allclose(training.mean(axis=(0, 1, 2)), 9, atol=1e-4)
    np.testing.assert_allclose(training.std(axis=(0, 1, 2)), [1, 2, 1, 1], rtol=1e-4)
    # A twentieth of the first batch; the rest is still as it was made: mean 0, variance 1.
    plain = jax.lax.conv_general_dilated(
        images, conv.kernel[...], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    mean, variance = plain.mean(axis=(0, 1, 2)), plain.var(axis=(0, 1, 2))
    np.testing.assert_allclose(conv.mean[...], 0.05 * mean, rtol=1e-4)
    np.testing.assert_allclose(conv.variance[...], 0.95 + 0.05 * variance, rtol=1e-4)
    before = np.array(conv.mean[...])
    conv(images, False)
    np.testing.assert_array_equal(conv.mean[...], before)
    for _ in range(300):
        conv(images, True)
    np.testing.assert_allclose(conv(images, False), training, atol=1e-3)


def test_the_number_of_parameters_is_pinned():
    network = new_network(RunConfig())
    convolutions = sum(k * k * n * m + 2 * m for k, n, m in ((5, 8, 32), (3, 32, 64), (3, 64, 64)))
    hidden = 3 * 3 * 64 * 128 + 128  # 24 cells a side, halved three times
    linear = 24 * 24 * 8
    params, statistics = (
        sum(leaf.size for leaf in jax.tree.leaves(nnx.state(network, kind)))
        for kind in (nnx.Param, nnx.BatchStat)
    )
    assert params == convolutions + hidden + 128 + linear + 1 == 140_609
    assert statistics == 2 * (32 + 64 + 64)


def test_a_print_becomes_a_logit():
    images = draw(paths_of(straight_and_crooked(3)), SMALL.panels)
    assert images.shape == (6, *SMALL.panels.shape) == (6, 16, 16, 3)
    logits = of_images(new_network(SMALL), images)
    assert logits.shape == (6,)
    assert logits.std() > 0


def test_straight_from_pixel_to_logit_there_is_one_weight_each():
    network, images = new_network(SMALL), draw(paths_of(straight_and_crooked(3)), SMALL.panels)
    before = of_images(network, images)
    pixels = np.array(network.pixels[...])
    pixels[3, 5, 1] += 0.5
    network.pixels[...] = jnp.asarray(pixels)
    after = of_images(network, images)
    np.testing.assert_allclose(after - before, 0.5 * images[:, 3, 5, 1], atol=1e-5)


def test_the_seed_decides_the_first_parameters():
    same, again, other = (new_network(replace(SMALL, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(same.hidden[...], again.hidden[...])
    assert (np.asarray(same.hidden[...]) != np.asarray(other.hidden[...])).any()


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="dropout"):
        NetworkConfig(dropout=0.6)
    with pytest.raises(ConfigError, match="one width or more"):
        NetworkConfig(widths=())
    with pytest.raises(ConfigError, match="8 to 128"):
        PanelsConfig(cells=4)
    with pytest.raises(ConfigError, match=r"unknown panel 'speed_turns' .*use speed_turn"):
        PanelsConfig(names=("hodograph", "speed_turns"))


# --- what it sees


def test_a_path_says_no_more_than_its_print():
    network, paths = new_network(SMALL), paths_of(straight_and_crooked(8))
    np.testing.assert_allclose(
        of_paths(network, paths),
        of_images(network, draw(paths, SMALL.panels)),
        rtol=1e-5,
        atol=1e-6,
    )


def test_paths_of_one_print_have_one_logit():
    # Steps and velocities know no order, no place and no kind of event.
    config = replace(SMALL, panels=PanelsConfig(names=("hodograph", "step"), cells=16))
    rng = np.random.default_rng(0)
    steps, interval_ms = rng.integers(-9, 9, (15, 2)), rng.choice([8, 16, 24], 15)

    def path(order, begin, kind):
        x, y = np.cumsum(np.vstack([begin, steps[order]]), axis=0).T
        t_ms = np.cumsum([0, *interval_ms[order]])
        return [(*row, kind) for row in zip(t_ms, x, y, strict=True)]

    same = make_sessions(path(np.arange(15), (0, 0), 0), path(rng.permutation(15), (400, 300), 3))
    one, other = of_paths(new_network(config), paths_of(same))
    assert one == pytest.approx(float(other), abs=1e-5)
    of_order = of_paths(new_network(SMALL), paths_of(same))
    assert abs(of_order[0] - of_order[1]) > 1e-3  # turns do


def test_padding_never_shows():
    sessions = make_sessions(
        *([(16 * i, i * i, 40 * np.sin(i)) for i in range(n)] for n in (8, 11, 16))
    )
    network = new_network(SMALL)
    few, many = (of_paths(network, paths_of(sessions, n)) for n in (16, 64))
    np.testing.assert_allclose(few, many, rtol=1e-5, atol=1e-5)


def test_a_sessions_logit_depends_on_nothing_but_the_session():
    sessions = straight_and_crooked(SCORED // 2 + 3)
    network, windows = new_network(SMALL), cut_windows(sessions, SMALL.window)
    together = predict(network.compiled(), sessions, windows, 16)
    assert together.std() > 0.1
    order = np.random.default_rng(3).permutation(len(windows))
    shuffled = predict(network.compiled(), sessions, windows.take(order), 16)
    np.testing.assert_allclose(shuffled, together[order], rtol=1e-5, atol=1e-6)
    alone = predict(network.compiled(), sessions, windows.take(np.array([3])), 16)
    np.testing.assert_allclose(alone, together[3:4], rtol=1e-5, atol=1e-6)


def test_scoring_compiles_once(monkeypatch):
    traces = []
    call = Network.__call__
    monkeypatch.setattr(
        Network, "__call__", lambda self, x, *rest: traces.append(x.shape) or call(self, x, *rest)
    )
    sessions = straight_and_crooked(100)
    windows = cut_windows(sessions, SMALL.window)
    # No test has compiled a network of this size.
    network = new_network(replace(SMALL, network=replace(SMALL.network, hidden=11)))
    for n in (3, SCORED, 2 * SCORED + 5):
        some = windows.take(np.arange(n) % len(windows))
        assert predict(network.compiled(), sessions, some, 16).shape == (n,)
    assert traces == [(WINDOWS_AT_ONCE["cpu"], 16, 16, 3)]


@pytest.mark.parametrize("n", [1, 31, 32, 33, 40, 64, 70])
def test_logits_of_a_batch_are_those_of_its_windows_however_many_there_are(n):
    network, paths = new_network(SMALL), paths_of(straight_and_crooked(35))
    found = np.asarray(network.compiled()(paths, np.int32(n)))
    assert found.shape == (70,)
    np.testing.assert_allclose(found[:n], of_paths(network, paths)[:n], rtol=1e-5, atol=1e-6)


def test_no_windows_give_no_logits():
    sessions = straight_and_crooked(1)
    none = cut_windows(sessions, SMALL.window).take(np.zeros(0, np.int64))
    assert predict(new_network(SMALL).compiled(), sessions, none, 16).shape == (0,)


def test_the_logit_has_a_slope_by_every_event_and_it_is_finite():
    network = new_network(SMALL)
    rests_and_jumps = [(t, x, y) for t, x, y in zip(
        [0, 0, 16, 32, 32, 48, 64, 500, 9000, 9016],
        [5, 5, 5, 90, 90, 91, 91, 91, 4000, 0],
        [5, 5, 5, 5, 50, 50, 49, 49, 49, 0],
        strict=True,
    )]  # fmt: skip
    still = [(16 * i, 7, 7) for i in range(12)]
    paths = paths_of(make_sessions(rests_and_jumps, still, [(16 * i, i, i * i) for i in range(16)]))

    def total(t_ms, x_px, y_px):
        return network.of_paths(paths._replace(t_ms=t_ms, x_px=x_px, y_px=y_px)).sum()

    slopes = jax.jit(jax.grad(total, argnums=(0, 1, 2)))(*paths[:3])
    assert all(np.isfinite(slope).all() for slope in slopes)
    for slope in slopes:
        assert (np.asarray(slope)[2] != 0).all()  # of a path that moves and turns throughout
        assert (np.asarray(slope)[1] == 0).all()  # of one that never moves


# --- how it learns


def test_features_drop_out_in_training_alone():
    network = new_network(replace(SMALL, network=replace(SMALL.network, dropout=0.5)))
    images = draw(paths_of(straight_and_crooked(3)), SMALL.panels)
    np.testing.assert_array_equal(of_images(network, images), of_images(network, images))
    one, other = (of_images(network, images, jax.random.key(i)) for i in (1, 2))
    assert (one != other).all()
    np.testing.assert_array_equal(one, of_images(network, images, jax.random.key(1)))
    keeps_all = new_network(replace(SMALL, network=replace(SMALL.network, dropout=0.0)))
    one, other = (of_images(keeps_all, images, jax.random.key(i)) for i in (1, 2))
    np.testing.assert_array_equal(one, other)


def test_what_drops_out_is_made_up_for_by_the_rest():
    network = new_network(replace(SMALL, network=replace(SMALL.network, dropout=0.25)))
    ones = jnp.ones((200, 300))
    dropped = np.asarray(network._dropped(ones, jax.random.key(0)))
    assert set(np.unique(dropped)) == {0, np.float32(1 / 0.75)}
    assert dropped.mean() == pytest.approx(1, abs=0.01)


def test_sixteen_windows_are_learnt_by_heart():
    # Crooked paths alone, with labels that mean nothing: no rule fits them.
    sessions = straight_and_crooked(16)
    paths = paths_of(sessions.take(np.flatnonzero(sessions.label == 0)))
    labels = jnp.asarray(np.arange(16) % 2, jnp.float32)
    config = replace(
        SMALL,
        resample=AS_RECORDED,
        augment=NOTHING_CHANGES,
        train=TrainConfig(epochs=1, steps_per_epoch=40, learning_rate=1e-2, label_smoothing=0.0),
    )
    graph, *states = nnx.split(new_network(config), nnx.Param, nnx.BatchStat)
    weights = jax.tree.map(jnp.array, Weights(*states))
    optimizer_state = make_optimizer(config.train).init(weights.params)
    losses = []
    for i in range(40):
        key = jax.random.key(i)
        images = draw_augmented(config, paths, key)
        weights, optimizer_state, loss = train_step(
            graph, config, weights, optimizer_state, images, labels, key
        )
        losses.append(float(loss))
    assert losses[-1] < losses[0] / 2
    logits = of_paths(nnx.merge(graph, *weights), paths)
    assert ((logits > 0) == (labels == 1)).mean() > 0.9


def halves(sessions):
    is_train = np.arange(len(sessions)) % 2 == 0
    return one_recorder(sessions.session_id), is_train, ~is_train


def test_training_learns_is_repeatable_and_goes_on_where_it_was_cut_short(tmp_path):
    sessions = straight_and_crooked(16)
    windows = cut_windows(sessions, SMALL.window)
    whole, history = finish(fit(sessions, windows, *halves(sessions), SMALL, tmp_path / "whole"))
    assert history[-1].train_loss < 0.6 * history[0].train_loss
    assert history[-1].valid_auc == 1.0
    # Cut short after the second of three epochs, then gone on with.
    epochs = fit(sessions, windows, *halves(sessions), SMALL, tmp_path / "cut")
    assert [next(epochs).epoch for _ in range(2)] == [1, 2]
    epochs.close()
    resumed, again = finish(
        fit(sessions, windows, *halves(sessions), SMALL, tmp_path / "cut", resume=True)
    )
    assert [epoch.epoch for epoch in again] == [1, 2, 3]
    np.testing.assert_allclose(
        predict(resumed.compiled(), sessions, windows, 16),
        predict(whole.compiled(), sessions, windows, 16),
        rtol=1e-4,
        atol=1e-5,
    )


def test_more_windows_to_train_on_compile_neither_drawing_nor_step_again(tmp_path, monkeypatch):
    traced = []

    def counted(name, function):
        return lambda *arguments: traced.append(name) or function(*arguments)

    monkeypatch.setattr("model.step.augment", counted("drawing", augment))
    monkeypatch.setattr("model.step.loss_fn", counted("step", loss_fn))
    config = replace(SMALL, seed=123)  # no other test has compiled it
    for n in (8, 12):
        sessions = straight_and_crooked(n)
        windows = cut_windows(sessions, config.window)
        finish(fit(sessions, windows, *halves(sessions), config, tmp_path / str(n)))
    assert sorted(traced) == ["drawing", "step"]


def test_prints_drawn_ahead_are_those_of_their_own_step():
    sessions = straight_and_crooked(16)
    paths = paths_of(sessions)
    labels = jnp.asarray(sessions.label, jnp.float32)
    picks = np.random.default_rng(0).integers(0, len(sessions), (5, 8))
    batches = list(training_batches(paths, labels, picks, 2, SMALL, mesh=None))
    assert len(batches) == 5
    for step, (images, targets, key) in enumerate(batches):
        assert key == jax.random.fold_in(jax.random.key(SMALL.seed), 10 + step)
        picked = Paths(*(column[picks[step]] for column in paths))
        np.testing.assert_array_equal(images, draw_augmented(SMALL, picked, key))
        np.testing.assert_array_equal(targets, sessions.label[picks[step]])


@pytest.mark.parametrize(
    ("losses", "kept", "n_epochs"),
    [
        # The first is the lowest, by chance; of the second half it is the fifth.
        ((0.1, 0.5, 0.4, 0.3, 0.2, 0.25), 0.2, 6),
        # After the sixth nothing gets better: three more and that is it.
        ((0.1, 0.5, 0.4, 0.3, 0.3, 0.15, 0.2, 0.2, 0.2, 0.1), 0.15, 9),
    ],
)
def test_the_best_of_the_second_half_is_kept(tmp_path, monkeypatch, losses, kept, n_epochs):
    sessions = straight_and_crooked(16)
    windows = cut_windows(sessions, SMALL.window)
    weights = []

    def validated(network, *rest):
        weights.append(np.asarray(network.head[...]).copy())
        return losses[len(weights) - 1], 1.0

    def step(graph, config, before, optimizer_state, *rest):
        return jax.tree.map(lambda leaf: leaf + 1, before), optimizer_state, 0.5

    monkeypatch.setattr("model.train._validate", validated)
    monkeypatch.setattr("model.train.train_step", step)
    monkeypatch.setattr("model.train.save_training", lambda *state: None)
    train = TrainConfig(epochs=len(losses), steps_per_epoch=2, batch_size=8, patience=3)

    config = replace(SMALL, train=train)

    network, history = finish(fit(sessions, windows, *halves(sessions), config, tmp_path))

    assert len(history) == n_epochs
    chosen = [epoch.valid_loss for epoch in history].index(kept)
    np.testing.assert_array_equal(network.head[...], weights[chosen])


def test_parameters_come_back_from_disk(tmp_path):
    network = new_network(replace(SMALL, seed=1))
    network.convs[0].mean[...] = jnp.arange(8.0)  # what training keeps decides a score, too
    save_parameters(network.arrays(), tmp_path / "checkpoint")
    again = SavedNetwork.load(tmp_path / "checkpoint", replace(SMALL, seed=2)).network
    for kept, found in zip(
        jax.tree.leaves(nnx.state(network)), jax.tree.leaves(nnx.state(again)), strict=True
    ):
        np.testing.assert_array_equal(kept, found)


def test_parameters_of_another_network_are_refused(tmp_path):
    save_parameters(new_network(SMALL).arrays(), tmp_path / "checkpoint")
    wider = replace(SMALL, network=replace(SMALL.network, hidden=SMALL.network.hidden + 1))
    with pytest.raises(SchemaError, match="`head` of"):
        SavedNetwork.load(tmp_path / "checkpoint", wider)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(NotFoundError, match="no checkpoint"):
        SavedNetwork.load(tmp_path / "nothing", SMALL)
    with pytest.raises(NotFoundError, match="no interrupted training"):
        load_training(tmp_path, ({},))


def test_classes_then_groups_then_sessions_weigh_the_same():
    # Fraud: one session of two windows. Legitimate: person a with two sessions, b with one.
    session_of_window = np.array([0, 0, 1, 2, 3])
    groups = one_recorder(np.array(["bot", "a", "a", "b"], object))
    weights = window_weights(session_of_window, np.array([1, 0, 0, 0], np.int8), groups)
    np.testing.assert_allclose(weights, [0.25, 0.25, 0.125, 0.125, 0.25])


def test_thinning_keeps_windows_spread_over_the_session():
    n = np.arange(10)
    windows = Windows(np.zeros(10, np.int64), n, n + 1)
    assert subsample_windows(windows, 5).start.tolist() == [0, 2, 4, 6, 8]
    assert subsample_windows(windows, 20).start.tolist() == n.tolist()
