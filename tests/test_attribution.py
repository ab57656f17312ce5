"""Attribution: weights are what the score falls without a stretch, and lie on the right events."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_sessions
from flax import nnx
from tiny import TINY, untrained

import model.attribution
from model.attribution import Cuts, attribute, cut_each, without
from model.network import Network, predict, predict_points
from model.owner.population import Population
from model.owner.profiles import Profiles
from model.owner.score import compare_sessions, enroll
from pipeline.standard import StandardConfig
from pipeline.windows import Windows, cut_windows, pad_windows

PLAIN = replace(TINY, standard=StandardConfig(0.0, 0.0, 0.0, False, True))


def model_of(config=PLAIN, seed: int = 3):
    """Return a model whose head says something."""
    found = untrained(config)
    head = found.network.head[...]
    found.network.head = nnx.Param(
        np.random.default_rng(seed).normal(size=head.shape).astype(np.float32)
    )
    return found


def wander(n: int, seed: int = 0) -> list[tuple]:
    steps = np.random.default_rng(seed).normal(0, 12, (2, n)).cumsum(axis=1)
    return [(16 * i, *steps[:, i] + 400) for i in range(n)]


def test_without_a_stretch_the_path_goes_on_where_it_began():
    rows = [(0, 0, 0), (10, 1, 0), (20, 2, 0, 1), (30, 2, 5, 2), (40, 3, 5), (55, 4, 6)]
    sessions = make_sessions([(*row, 0) if len(row) == 3 else row for row in rows])
    points = pad_windows(sessions, Windows(*np.array([[0], [0], [6]])), 8)
    cut = without(points, Cuts(*np.array([[0], [1], [3]])))

    assert cut.n_points.tolist() == [4]
    assert cut.t_ms[0].tolist() == [0, 10, 20, 35, 35, 35, 35, 35]
    assert cut.x_px[0, :4].tolist() == [0, 1, 2, 3]
    assert cut.y_px[0, :4].tolist() == [0, 0, 0, 1]
    assert cut.kind[0, :4].tolist() == [0, 0, 0, 0]


def test_the_cuts_of_a_window_are_all_of_it_once():
    windows = Windows(*np.array([[0, 0, 1], [0, 33, 60], [33, 41, 100]]))
    cuts = cut_each(windows, 4)

    assert np.bincount(cuts.window).tolist() == [4, 2, 4]
    for w in range(3):
        mine = cuts.window == w
        assert cuts.start[mine][0] == 0
        assert cuts.start[mine][1:].tolist() == cuts.stop[mine][:-1].tolist()
        assert cuts.stop[mine][-1] == windows.stop[w] - windows.start[w] - 1


def test_weights_add_up_to_what_the_logit_falls_without_the_stretch():
    found = model_of()
    sessions = make_sessions(wander(30))  # one window
    weight = attribute(found, sessions, stretches=2)
    windows = cut_windows(sessions, PLAIN.window)
    (cut, _) = (Cuts(*(column[i : i + 1] for column in cut_each(windows, 2))) for i in (0, 1))
    points = pad_windows(sessions, windows, PLAIN.window.max_events)
    before, after = (predict_points(found.network, p)[0, 0] for p in (points, without(points, cut)))

    assert weight.dtype == np.float32
    assert weight[cut.start[0] + 1 : cut.stop[0] + 1].sum() == pytest.approx(
        before - after, rel=1e-4
    )
    assert weight[0] == 0
    assert len(set(weight[1:].tolist())) == 2


def test_a_session_weighs_alike_alone_and_among_others():
    found = model_of()
    rows = [wander(40, 1), [(0, 1, 1)], wander(75, 2), []]
    sessions = make_sessions(*rows)
    together = attribute(found, sessions)

    assert len(together) == len(sessions.t_us)
    for i, one in enumerate(rows):
        begin, end = sessions.offsets[i], sessions.offsets[i + 1]
        alone = attribute(found, make_sessions(one))
        np.testing.assert_allclose(together[begin:end], alone, atol=1e-5)


def test_what_nobody_looks_at_weighs_nothing():
    assert attribute(model_of(), make_sessions()).tolist() == []
    assert attribute(model_of(), make_sessions([(0, 1, 1), (9, 2, 2)])).tolist() == [0, 0]


def test_windows_are_looked_at_in_parts(monkeypatch):
    sessions = make_sessions(wander(90))
    whole = attribute(model_of(), sessions)
    monkeypatch.setattr(model.attribution, "_AT_ONCE", 5)

    np.testing.assert_allclose(attribute(model_of(), sessions), whole, atol=1e-6)


def test_events_that_the_plain_recorder_left_out_share_the_next_ones_weight():
    config = replace(TINY, standard=StandardConfig(longest_rest_ms=0.0))
    rows = [(4 * i, 10 * i + (i % 5) ** 2, 7 * i) for i in range(160)]  # four a tick of 16 ms
    sessions = make_sessions(rows)
    weight = attribute(model_of(config), sessions, stretches=3)

    assert len(weight) == 160
    ticks = weight[: 4 * 39].reshape(39, 4)
    np.testing.assert_allclose(ticks, np.repeat(ticks[:, :1], 4, axis=1))
    standard, seen = model.attribution.as_seen(model_of(config), sessions)
    assert len(standard.event) == pytest.approx(40, abs=1)
    assert seen == config.window


def test_predicting_points_is_predicting_windows():
    found, sessions = model_of(), make_sessions(wander(200))
    windows = cut_windows(sessions, PLAIN.window)
    points = pad_windows(sessions, windows, PLAIN.window.max_events)

    np.testing.assert_allclose(
        predict_points(found.network, points, 4),
        predict(found.network, sessions, windows, PLAIN.window.max_events),
        rtol=1e-5,  # batches of another size round otherwise
        atol=1e-5,
    )
    nothing = points.take(np.zeros(0, int))
    assert predict_points(found.network, nothing).shape == (0, 1)


def test_weights_do_not_depend_on_where_the_path_lies():
    rows = wander(70, 4)
    weight = attribute(model_of(), make_sessions(rows))
    elsewhere = make_sessions([(t, x + 512, y + 256) for t, x, y in rows])

    np.testing.assert_allclose(attribute(model_of(), elsewhere), weight, atol=1e-3)
    assert np.abs(weight).max() > 0


def test_the_owner_task_weighs_by_the_claimed_accounts_profile():
    config = replace(
        TINY, task="owner", owner=replace(TINY.owner, embedding=8, dimensions=4, habits=False)
    )
    rng = np.random.default_rng(0)
    population = Population(
        mean=np.zeros(8),
        axes=rng.normal(size=(4, 8)),
        between_people=np.ones(4),
        between_sessions=np.full(4, 0.1),
        between_windows=np.full(4, 0.1),
    )
    rows = [wander(200, 1), wander(200, 2), wander(150, 3), wander(150, 4)]
    accounts = np.array(["ann", "ben", "ann", "who"], object)
    sessions = make_sessions(*rows, account_id=accounts)
    network = Network(config)
    profiles = enroll(network, config, Profiles.empty(population), sessions.take(np.array([0, 1])))
    found = replace(untrained(config), network=network, profiles=profiles)
    weight = attribute(found, sessions)

    of_session = np.split(weight, sessions.offsets[1:-1])
    assert np.abs(of_session[2]).max() > 0
    assert not of_session[3].any()  # no profile
    as_ben = replace(sessions, account_id=np.array(["ann", "ben", "ben", "who"], object))
    other = np.split(attribute(found, as_ben), sessions.offsets[1:-1])
    assert not np.allclose(other[2], of_session[2])
    assert np.isfinite(compare_sessions(network, config, profiles, sessions).of_session[:3]).all()
