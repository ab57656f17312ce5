"""The network: neighbours never show, one compiled shape, it learns, it comes back from disk."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from conftest import make_sessions
from flax import nnx

from model.checkpoint import load_parameters, load_training, save_parameters
from model.cnn import Conv, count_macs
from model.config import CNNConfig, RunConfig, TraceConfig, TrainConfig
from model.folded import FoldedCNN
from model.network import Network, features, predict
from model.train import Epoch, fit, window_weights
from pipeline.errors import ConfigError, NotFoundError
from pipeline.windows import WindowConfig, Windows, cut_windows, thin_windows
from rasterize.canvas import Canvas

SMALL = RunConfig(
    window=WindowConfig(max_events=16),
    canvas=Canvas(size=16, cell_px=16.0, n_samples=32),
    cnn=CNNConfig(patch=4, widths=(8, 16), dropout=0.1),
    trace=TraceConfig(widths=(8,)),
    train=TrainConfig(epochs=3, steps_per_epoch=20, batch_size=16, learning_rate=1e-2),
)


def straight_and_crooked(n: int):
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


def test_standardised_weights_have_mean_zero_and_variance_one_over_fan_in():
    weights = np.asarray(Conv((3, 3), 5, 7, rng=np.random.default_rng(0)).weights())
    np.testing.assert_allclose(weights.mean(axis=(0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(weights.var(axis=(0, 1, 2)) * 45, 1, rtol=1e-3)


def test_a_patch_stem_is_the_strided_convolution_it_stands_for():
    conv = Conv((2, 2), 3, 4, stride=(2, 2), rng=np.random.default_rng(0))
    x = jax.random.normal(jax.random.key(0), (1, 6, 6, 3))
    expected = jax.lax.conv_general_dilated(
        x, conv.weights(), (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(conv(x), expected, atol=1e-5)


def test_multiply_accumulates_are_counted_as_by_hand():
    # Stem 4x4x2 -> 3 at 2x2 places, two 3x3 convolutions of 3 channels there.
    assert count_macs(CNNConfig(patch=4, widths=(3,)), 8, 2) == 4 * 32 * 3 + 2 * 4 * 9 * 9


def test_a_sessions_logit_depends_on_nothing_but_the_session():
    sessions = straight_and_crooked(10)
    network = Network(SMALL)
    network.head[...] = jax.random.normal(jax.random.key(0), network.head.shape)
    windows = cut_windows(sessions, SMALL.window)
    together = predict(network, sessions, windows, 16, batch_size=8)
    order = np.random.default_rng(3).permutation(len(windows))
    shuffled = predict(network, sessions, windows.take(order), 16, batch_size=8)
    np.testing.assert_allclose(shuffled, together[order], rtol=1e-5, atol=1e-6)
    alone = predict(network, sessions, windows.take(np.array([3])), 16, batch_size=8)
    np.testing.assert_allclose(alone, together[3:4], rtol=1e-5, atol=1e-6)


def test_the_head_makes_logits_of_the_features_that_a_probe_is_given():
    sessions = straight_and_crooked(3)
    network = Network(SMALL)
    network.head[...] = jax.random.normal(jax.random.key(0), network.head.shape)
    windows = cut_windows(sessions, SMALL.window)
    seen = features(network, sessions, windows, 16, batch_size=8)
    assert seen.shape == (len(windows), len(network.head[...]))
    logits = seen @ np.asarray(network.head[...]) + np.asarray(network.bias[...])
    np.testing.assert_allclose(
        logits, predict(network, sessions, windows, 16, batch_size=8), rtol=1e-4, atol=1e-5
    )


def test_scoring_compiles_once(monkeypatch):
    traces = []
    look = FoldedCNN.__call__
    monkeypatch.setattr(
        FoldedCNN, "__call__", lambda self, x: traces.append(x.shape) or look(self, x)
    )
    sessions = straight_and_crooked(11)
    windows = cut_windows(sessions, SMALL.window)
    network = Network(replace(SMALL, canvas=Canvas(size=16, cell_px=9.0)))  # none compiled yet
    for n in (3, 8, 21):
        assert predict(network, sessions, windows.take(np.arange(n)), 16, 8).shape == (n, 1)
    assert traces == [(8, 16, 16, 6)]


def test_no_windows_give_no_logits():
    sessions = straight_and_crooked(1)
    none = cut_windows(sessions, SMALL.window).take(np.zeros(0, np.int64))
    assert predict(Network(SMALL), sessions, none, 16).shape == (0, 1)


def halves(sessions):
    is_train = np.arange(len(sessions)) % 2 == 0
    return sessions.session_id, is_train, ~is_train


def test_training_learns_is_repeatable_and_goes_on_where_it_was_cut_short(tmp_path):
    sessions = straight_and_crooked(16)
    windows = cut_windows(sessions, SMALL.window)
    whole, history = fit(sessions, windows, *halves(sessions), SMALL, tmp_path / "whole")
    assert history[-1].train_loss < history[0].train_loss / 2
    assert history[-1].valid_auc == 1.0
    # Cut short after the second of three epochs, then gone on with.
    seen = []

    def stop_after_two(epoch: Epoch) -> None:
        seen.append(epoch)
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(sessions, windows, *halves(sessions), SMALL, tmp_path / "cut", progress=stop_after_two)
    resumed, again = fit(sessions, windows, *halves(sessions), SMALL, tmp_path / "cut", resume=True)
    assert [epoch.epoch for epoch in again] == [1, 2, 3]
    np.testing.assert_allclose(
        predict(resumed, sessions, windows, 16),
        predict(whole, sessions, windows, 16),
        rtol=1e-4,
        atol=1e-5,
    )


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

    monkeypatch.setattr("model.train._validate", validated)
    train = TrainConfig(epochs=len(losses), steps_per_epoch=2, batch_size=8, patience=3)

    config = replace(SMALL, train=train)

    network, history = fit(sessions, windows, *halves(sessions), config, tmp_path)

    assert len(history) == n_epochs
    chosen = [epoch.valid_loss for epoch in history].index(kept)
    np.testing.assert_array_equal(network.head[...], weights[chosen])


def test_parameters_come_back_from_disk(tmp_path):
    network = Network(replace(SMALL, seed=1))
    save_parameters(network, tmp_path / "checkpoint")
    again = load_parameters(Network(replace(SMALL, seed=2)), tmp_path / "checkpoint")
    for kept, found in zip(
        jax.tree.leaves(nnx.state(network)), jax.tree.leaves(nnx.state(again)), strict=True
    ):
        np.testing.assert_array_equal(kept, found)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(NotFoundError, match="no checkpoint"):
        load_parameters(Network(SMALL), tmp_path / "nothing")
    with pytest.raises(NotFoundError, match="no interrupted training"):
        load_training(tmp_path, ({},))


def test_classes_then_groups_then_sessions_weigh_the_same():
    # Fraud: one session of two windows. Legitimate: person a with two sessions, b with one.
    session_of_window = np.array([0, 0, 1, 2, 3])
    weights = window_weights(
        session_of_window, np.array([1, 0, 0, 0], np.int8), np.array(["bot", "a", "a", "b"], object)
    )
    np.testing.assert_allclose(weights, [0.25, 0.25, 0.125, 0.125, 0.25])


def test_thinning_keeps_windows_spread_over_the_session():
    n = np.arange(10)
    windows = Windows(np.zeros(10, np.int64), n, n + 1)
    assert thin_windows(windows, 5).start.tolist() == [0, 2, 4, 6, 8]
    assert thin_windows(windows, 20).start.tolist() == n.tolist()


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="multiple of 8"):
        replace(SMALL, canvas=Canvas(size=20))
    with pytest.raises(ConfigError, match="dropout"):
        CNNConfig(dropout=0.6)
