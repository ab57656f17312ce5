"""Attribution: weights add up to the logit, and lie on the right cells and events."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_sessions
from tiny import TINY, untrained, untrained_with

import model.attribution
import model.batches
from benchmarks.attribution import WithCells
from model.attribution import attribute, attribute_seen
from model.calibrate import LengthCalibration
from model.config import PanelsConfig
from model.owner.levels import OwnerLevels, account_hashes
from model.owner.population import Population, SessionEmbeddings
from model.owner.profiles import Profiles, compare_with_profiles
from model.owner.scorer import OwnerScorer, linear_weights
from model.owner.train import PopulationData
from model.prints import print_of_people, session_prints
from model.run import TrainedModel, input_config, load_model
from pipeline.sessions.resample import ResampleConfig
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import Windows, pad_windows
from rasterize.draw import density, draw_counts
from rasterize.motion import to_device
from rasterize.panels import PANELS

PLAIN = replace(TINY, resample=ResampleConfig(0.0, 0.0, 0.0, False, True))


def wander(n: int, seed: int = 0, size: float = 12) -> list[tuple]:
    steps = np.random.default_rng(seed).normal(0, size, (2, n)).cumsum(axis=1)
    return [(16 * i, *steps[:, i] + 400) for i in range(n)]


def one_window(rows: list[tuple]) -> tuple[Sessions, Windows]:
    ends = (np.array([0]), np.array([0]), np.array([len(rows)]))
    return make_sessions(rows), Windows(*ends)


def model_of(config=PLAIN) -> TrainedModel:
    """Return a model that nobody trained, with a print of people who move otherwise."""
    found = untrained(config)
    people = make_sessions(*(wander(60, 100 + i, 3 + 3 * i) for i in range(4)))
    return replace(found, people=print_of_people(input_config(config), people, people.session_id))


def logit_of_people(found: TrainedModel) -> float:
    return float(found.scorer.network(jnp.asarray(found.people.mean_images))[0])


@pytest.fixture(scope="module")
def random_model() -> TrainedModel:
    return model_of()


# --- cells


def test_cells_add_up_to_the_logit_less_that_of_the_people(random_model):
    sessions = make_sessions(*(wander(20 + 9 * i, i) for i in range(9)))  # one window to three
    cells = attribute(random_model, sessions).cells
    logits = random_model.scorer.predict(sessions).of_session
    difference = logits - logit_of_people(random_model)

    assert cells.shape == (9, 16, 16, 3)
    assert np.abs(difference).min() > 0.05
    error = np.abs(cells.sum(axis=(1, 2, 3)) - difference)
    assert error.max() < 0.01 * np.abs(difference).max()


def test_of_a_trained_model_they_add_up_too(trained_run):
    found = load_model(trained_run)
    rng = np.random.default_rng(5)
    lines = [
        [(16 * i, 9 * i * np.cos(angle), 9 * i * np.sin(angle)) for i in range(40)]
        for angle in rng.uniform(0, 6, 4)
    ]
    sessions = make_sessions(*lines, *(wander(40, i) for i in range(4)))
    cells = attribute(found, sessions).cells
    logits = found.scorer.predict(sessions).of_session
    difference = logits - logit_of_people(found)

    error = np.abs(cells.sum(axis=(1, 2, 3)) - difference)
    assert error.max() < 0.01 * np.abs(difference).max()
    assert difference[:4].min() > 1  # straight lines: what raised the score is a lot


def test_without_a_print_of_people_the_even_print_is_what_is_held_against(random_model):
    alone = replace(random_model, people=None)
    sessions = make_sessions(wander(30))
    logit = alone.scorer.predict(sessions).of_session[0]
    even = float(alone.scorer.network(jnp.zeros((1, 16, 16, 3)))[0])
    assert attribute(alone, sessions).cells.sum() == pytest.approx(logit - even, rel=0.01)


def test_what_is_like_the_people_weighs_nothing(random_model):
    sessions = make_sessions(wander(30))
    own = session_prints(input_config(PLAIN), sessions)
    cells = attribute(replace(random_model, people=own), sessions).cells
    np.testing.assert_allclose(cells, 0, atol=1e-6)


# --- events


def only_fast_cells() -> TrainedModel:
    """Return a model whose logit is the sum of the velocity panel's outer, fast cells."""
    config = replace(PLAIN, panels=PanelsConfig(names=("hodograph",), cells=24))
    found = untrained(config)
    row, column = np.mgrid[:24, :24] / 23 * 2 - 1
    speed = PANELS["hodograph"].x.position(np.float64(1000))
    network = found.scorer.network
    for weights in (network.head, network.bias):
        weights[...] = np.zeros_like(weights[...])
    network.pixels[...] = (np.hypot(row, column) > speed)[..., None].astype(np.float32)
    return found


def test_weights_lie_on_the_events_that_lie_in_the_cells():
    x = np.cumsum([0, 1, 1, 1, 50, 1, 1, 60, 60, 1, 1, 1])  # px in 16 ms: 62 px/s, and over 3,000
    sessions = make_sessions([(16 * i, at, 0) for i, at in enumerate(x)])
    weight = attribute(only_fast_cells(), sessions).events

    assert sorted(np.argsort(-weight[1:])[:3] + 1) == [4, 7, 8]
    assert weight[1:].min() < 0  # slow events leave the fast ones a smaller share


def test_an_event_weighs_what_the_logit_changes_as_it_counts_for_less():
    panels, rng = PLAIN.panels, np.random.default_rng(0)
    points = pad_windows(*one_window(wander(30)), 32)
    paths, shape = to_device(points), (1, *panels.shape)
    slope = rng.normal(0, 1, shape).astype(np.float32)
    _, weight = linear_weights(panels, paths, np.zeros(shape, np.float32), slope)

    def logit(event: int, counts_for: float) -> float:
        each = jnp.ones(paths.t_ms.shape).at[0, event].set(counts_for)
        counts = draw_counts(paths, panels.panels, panels.cells, each)
        return float((density(counts) * slope).sum())

    for event in (1, 7, 29):
        change = (logit(event, 1.05) - logit(event, 0.95)) / 0.1
        assert float(weight[0, event]) == pytest.approx(change, rel=0.02, abs=2e-3)


def test_an_event_that_counts_nowhere_weighs_nothing(random_model):
    rests = [(16 * i, 5 * (i // 2), 0) for i in range(24)]  # each second event stands still
    weight = attribute(random_model, make_sessions(rests)).events
    assert weight[::2].any()
    np.testing.assert_array_equal(weight[1::2], 0)


def test_events_that_the_plain_recorder_left_out_share_the_next_ones_weight():
    config = replace(TINY, resample=ResampleConfig(longest_rest_ms=0.0))
    found = model_of(config)
    rows = [(4 * i, 10 * i + (i % 5) ** 2, 7 * i) for i in range(160)]  # four a tick of 16 ms
    sessions = make_sessions(rows)
    weight = attribute(found, sessions).events

    assert len(weight) == 160
    ticks = weight[: 4 * 39].reshape(39, 4)
    np.testing.assert_allclose(ticks, np.repeat(ticks[:, :1], 4, axis=1))
    assert np.abs(ticks[:, 0]).max() > 0
    standard, windows, _, of_seen = attribute_seen(found, sessions)
    assert len(standard.event) == len(of_seen) == pytest.approx(40, abs=1)
    assert windows.stop.max() == len(of_seen)
    assert weight.sum() == pytest.approx(of_seen.sum(), rel=1e-3, abs=1e-4)


# --- sessions


def test_a_session_weighs_alike_alone_and_among_others(random_model):
    rows = [wander(40, 1), [(0, 1, 1)], wander(75, 2), []]
    sessions = make_sessions(*rows)
    together = attribute(random_model, sessions)

    assert len(together.events) == len(sessions.t_us)
    for i, one in enumerate(rows):
        begin, end = sessions.offsets[i], sessions.offsets[i + 1]
        alone = attribute(random_model, make_sessions(one))
        np.testing.assert_allclose(together.events[begin:end], alone.events, atol=1e-5)
        np.testing.assert_allclose(together.cells[i], alone.cells[0], atol=1e-5)


def test_what_nobody_scores_weighs_nothing(random_model):
    nothing = attribute(random_model, make_sessions())
    assert nothing.cells.shape == (0, 16, 16, 3)
    assert nothing.events.shape == (0,)
    short = attribute(random_model, make_sessions([(0, 1, 1), (9, 2, 2)]))
    assert short.events.tolist() == [0, 0]
    assert not short.cells.any()


def test_the_size_of_a_batch_does_not_count(random_model, monkeypatch):
    sessions = make_sessions(wander(90), wander(40, 1))
    whole = attribute(random_model, sessions)
    monkeypatch.setattr(model.batches, "BATCH", 2)
    parts = attribute(random_model, sessions)
    np.testing.assert_allclose(parts.events, whole.events, atol=1e-5)
    np.testing.assert_allclose(parts.cells, whole.cells, atol=1e-5)


def test_weights_do_not_depend_on_where_the_path_lies(random_model):
    rows = wander(70, 4)
    weight = attribute(random_model, make_sessions(rows)).events
    elsewhere = make_sessions([(t, x + 512, y + 256) for t, x, y in rows])

    np.testing.assert_allclose(attribute(random_model, elsewhere).events, weight, atol=1e-3)
    assert np.abs(weight).max() > 0.01


# --- the owner task

OWNER = replace(TINY, task="owner")
SHAPE = OWNER.owner.panels.shape


def of_accounts(*accounts: str, n: int = 200) -> Sessions:
    rows = [wander(n, i, 4 if account == "ann" else 15) for i, account in enumerate(accounts)]
    names = np.array([f"{account}{i}" for i, account in enumerate(accounts)], object)
    return make_sessions(*rows, account_id=np.array(accounts, object), session_id=names)


@pytest.fixture(scope="module")
def owner_model() -> TrainedModel:
    """Return a model that knows ann, who moves little, and ben."""
    population = PopulationData(OWNER, of_accounts(*["ann", "ben", "eve", "dan"] * 3)).population()
    scorer = OwnerScorer(OWNER, Profiles.empty(population))
    return untrained_with(scorer.enroll(of_accounts("ann", "ben", "ann", "ben")))


def at_reference(population: Population, profiles: Profiles, account: str, n: int) -> float:
    """Return the logit of a session whose print is the account's."""
    images = profiles.print_of(account, SHAPE).mean_images
    embedding = SessionEmbeddings(population.embed(images), np.array([n]))
    known = profiles.confident(OWNER.owner.min_confidence)
    ratio = compare_with_profiles(embedding, np.array([account], object), known, population)
    return -float(ratio[0])


def test_cells_add_up_to_the_logit_less_that_of_the_accounts_print(owner_model):
    sessions = replace(
        of_accounts("ann", "ben", "ben", "ann", n=150),
        account_id=np.array(["ann", "ben", "ann", "ben"], object),
    )
    profiles = owner_model.scorer.profiles
    cells = attribute(owner_model, sessions).cells
    logits = owner_model.scorer.predict(sessions).of_session
    for i, account in enumerate(sessions.account_id):
        reference = at_reference(profiles.population, profiles, account, 5)
        difference = logits[i] - reference
        assert cells[i].sum() == pytest.approx(difference, rel=0.01, abs=1e-3)
    assert (logits[2:] > logits[:2]).all()
    assert cells[2:].sum() > 1  # who is somebody else is told by something


def test_the_benchmark_scores_an_account_by_its_levels_too(owner_model):
    learnt, new = (
        LengthCalibration((1.0, 16.0), ends, (2.0, 10.0)) for ends in ((0.0, -40.0), (5.0, 9.0))
    )
    levels = OwnerLevels(learnt, new, account_hashes(np.array(["ann"], object)))
    found = replace(owner_model, scorer=replace(owner_model.scorer, levels=levels))
    sessions = of_accounts("ann", "ben", n=150)
    nothing = np.zeros((2, *SHAPE), bool)
    logits = found.scorer.predict(sessions).of_session
    np.testing.assert_allclose(WithCells(found, sessions)(nothing), logits, rtol=1e-4)
    assert not np.allclose(logits, owner_model.scorer.predict(sessions).of_session, rtol=0.1)


def test_deleting_what_weighs_most_speaks_less_against_the_owner(owner_model):
    sessions = replace(of_accounts("ben", n=128), account_id=np.array(["ann"], object))
    weight = attribute(owner_model, sessions).events
    whole = owner_model.scorer.predict(sessions).of_session[0]

    def without(events: np.ndarray) -> float:
        kept = np.setdiff1d(np.arange(128), events)
        some = sessions.gather(np.array([0]), kept, np.array([0, len(kept)]))
        return owner_model.scorer.predict(some).of_session[0]

    order = np.argsort(weight)
    assert without(order[-12:]) < min(whole, without(order[:12]))


def test_the_owner_task_weighs_by_the_claimed_accounts_profile(owner_model):
    sessions = of_accounts("ann", "ben", "who", n=150)
    found = attribute(owner_model, sessions)
    assert found.cells[:2].any(axis=(1, 2, 3)).all()
    assert not found.cells[2].any()  # no profile
    assert not found.events[sessions.offsets[2] :].any()
    turned = replace(sessions, account_id=np.array(["ben", "ann", "who"], object))
    assert not np.allclose(attribute(owner_model, turned).cells[:2], found.cells[:2])


def test_an_immature_profile_weighs_nothing(owner_model):
    strict = replace(OWNER, owner=replace(OWNER.owner, min_confidence=0.9999))
    scorer = replace(owner_model.scorer, config=strict)
    found = attribute(replace(owner_model, scorer=scorer), of_accounts("ann", n=150))
    assert not found.cells.any()


def test_of_several_devices_the_one_that_fits_best_is_held_against(owner_model):
    slow = replace(of_accounts("eve", n=150), account_id=np.array(["ann"], object))
    both = owner_model.scorer.enroll(slow, "touchpad")
    found = attribute(replace(owner_model, scorer=both), slow)
    assert np.isfinite(found.cells).all()
    assert found.cells.any()
