"""Hard-negative rounds: whose twins are drawn, which are kept, and that training goes on."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from conftest import make_sessions
from flax import nnx

from flows.jobs import rounds
from flows.jobs.rounds import fit_in_rounds, passing_twins
from flows.jobs.train import training_sessions
from model.config import CNNConfig, HabitsConfig, RunConfig, TraceConfig, TrainConfig, TwinsConfig
from model.network import Network
from pipeline.errors import ConfigError
from pipeline.sessions import Sessions
from pipeline.splits import PARTS
from pipeline.windows import WindowConfig

BOTS = ("constant_line", "composed", "windmouse", "bezier", "eased_line", "minimum_jerk")
CONFIG = RunConfig(
    window=WindowConfig(max_events=32),
    cnn=CNNConfig(widths=()),
    trace=TraceConfig(widths=(4,)),
    habits=HabitsConfig(width=0),
    train=TrainConfig(epochs=2, steps_per_epoch=2, batch_size=8),
    twins=TwinsConfig(bots=BOTS, per_session=6, hard_rounds=1, candidates=4, round_epochs=2),
)


def people(n: int = 24) -> Sessions:
    """Return a session of each of `n` people: reaches with rests between them."""
    rng = np.random.default_rng(0)
    paths = []
    for _ in range(n):
        way = rng.normal(0, 6, (60, 2)).cumsum(axis=0) + 400
        t_ms = np.arange(60) * 16 + 400 * (np.arange(60) // 20)
        paths.append([(t, x, y) for t, (x, y) in zip(t_ms, way, strict=True)])
    accounts = np.array([f"person-{i}" for i in range(n)], object)
    return make_sessions(*paths, account_id=accounts, label=np.zeros(n, np.int8))


@pytest.fixture(scope="module")
def given():
    return training_sessions(people(), CONFIG, simulate=True)


def test_twins_that_pass_are_of_the_people_trained_on_and_look_less_like_bots(given, monkeypatch):
    sessions, split = given
    is_train = split.part == PARTS.index("train")
    looked = []

    def look(network, config, seen):
        """Judge by the number of the session alone; the people lie between -1 and 0."""
        own = len(seen) == (is_train & (sessions.label == 0)).sum()
        logits = np.linspace(-1, 0, len(seen)) if own else np.linspace(-2, 2, len(seen))
        looked.append(seen)
        return SimpleNamespace(of_session=logits)

    monkeypatch.setattr(rounds, "look", look)
    bots = ("constant_line", "windmouse")
    twins, parent = passing_twins(None, CONFIG, sessions, is_train, bots, 1)

    drawn, own = looked
    assert set(own.session_id) == set(sessions.session_id[is_train & (sessions.label == 0)])
    assert (is_train[parent] & (sessions.label[parent] == 0)).all()
    for i, of in zip(twins.session_id, parent, strict=True):
        assert i.startswith(f"{sessions.session_id[of]}~")
    assert not set(twins.session_id) & set(sessions.session_id)
    kept = np.isin([f"{i}r1" for i in drawn.session_id], twins.session_id)
    logits = np.linspace(-2, 2, len(drawn))
    assert kept[logits < -0.1].all()
    for bot in bots:  # what is seen through is not forgotten
        assert kept[drawn.source == f"simulated:{bot}"].sum() >= 0.1 * len(drawn) / 2
    assert not kept[logits > 0.5].any()


def test_rounds_go_on_from_the_first_training_and_their_epochs_are_counted_on(given, tmp_path):
    sessions, split = given
    told = []
    network, history = fit_in_rounds(sessions, split, CONFIG, tmp_path / "a", progress=told.append)
    assert [epoch.epoch for epoch in history] == [1, 2, 3, 4]
    assert told == history

    once = replace(CONFIG, twins=replace(CONFIG.twins, hard_rounds=0))
    first, of_first = fit_in_rounds(sessions, split, once, tmp_path / "b")
    assert of_first == history[:2]
    changed = [
        np.abs(np.asarray(a) - np.asarray(b)).max()
        for a, b in zip(*(jax.tree.leaves(nnx.state(n)) for n in (first, network)), strict=True)
    ]
    assert max(changed) > 0


def test_a_training_cut_short_in_a_round_comes_to_the_same_end(given, tmp_path):
    sessions, split = given
    whole, history = fit_in_rounds(sessions, split, CONFIG, tmp_path / "whole")

    def stop(epoch):
        if epoch.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_in_rounds(sessions, split, CONFIG, tmp_path / "cut", progress=stop)
    resumed, again = fit_in_rounds(sessions, split, CONFIG, tmp_path / "cut", resume=True)
    assert again == history
    for a, b in zip(*(jax.tree.leaves(nnx.state(n)) for n in (whole, resumed)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_without_simulated_bots_there_is_no_round(tmp_path, given):
    sessions, split = given
    renamed = replace(sessions, source=np.full(len(sessions), "csv", object))
    _, history = fit_in_rounds(renamed, split, CONFIG, tmp_path / "state")
    assert len(history) == CONFIG.train.epochs


def test_a_network_that_is_trained_on_is_left_as_it_was(given, tmp_path):
    sessions, split = given
    start = Network(CONFIG)
    before = [np.array(leaf) for leaf in jax.tree.leaves(nnx.state(start))]
    rounds._fit(sessions, split, CONFIG, tmp_path / "s", False, lambda epoch: None, start)
    for was, leaf in zip(before, jax.tree.leaves(nnx.state(start)), strict=True):
        np.testing.assert_array_equal(was, np.asarray(leaf))


@pytest.mark.parametrize(
    "field", [{"per_session": 0}, {"candidates": 0}, {"hard_rounds": -1}, {"passing": 1.0}]
)
def test_rounds_of_nothing_are_refused(field):
    with pytest.raises(ConfigError, match="twins"):
        TwinsConfig(**field)
