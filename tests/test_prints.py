"""Prints: counts and images of windows add up, people count alike, and nothing is nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_sessions
from tiny import TINY, untrained

import model.prints
from model.manifest import write_manifest
from model.prints import Prints, input_windows, print_of_people, session_prints, window_counts
from model.run import input_config, load_model, save_model
from pipeline.config import AS_RECORDED
from pipeline.errors import SchemaError
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from rasterize.draw import density

PLAIN = replace(TINY, resample=AS_RECORDED)
SHAPE = TINY.panels.shape


def wander(n: int, seed: int = 0, size: float = 12) -> list[tuple]:
    steps = np.random.default_rng(seed).normal(0, size, (2, n)).cumsum(axis=1)
    return [(16 * i, *steps[:, i] + 400) for i in range(n)]


def named(*rows: list[tuple], account: str) -> Sessions:
    return make_sessions(*rows, account_id=np.full(len(rows), account, object))


def assert_alike(one: Prints, other: Prints) -> None:
    np.testing.assert_array_equal(one.n_windows, other.n_windows)
    for name in ("counts", "images"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-5, atol=1e-4)


def test_a_sessions_print_is_the_sum_of_its_windows():
    sessions = make_sessions(wander(90), wander(40, 1))  # of 32 events at most: three and two
    found = session_prints(input_config(PLAIN), sessions)
    seen, windows = input_windows(input_config(PLAIN), sessions)
    (counts,) = (counts for _, counts in window_counts(input_config(PLAIN), seen.sessions, windows))

    assert found.n_windows.tolist() == [3, 2]
    assert found.counts.shape == found.images.shape == (2, *SHAPE)
    np.testing.assert_allclose(found.counts[0], counts[:3].sum(axis=0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.images[1], density(counts[3:]).sum(axis=0), rtol=1e-5)


def test_the_sum_over_a_panel_is_the_number_of_events_that_count():
    # 32 events, three of which rest: 28 steps (hodograph, step), 27 turns.
    x = np.cumsum([5] * 10 + [0, 0, 0] + [7] * 19)
    counts = session_prints(
        input_config(PLAIN), make_sessions([(16 * i, at, 0) for i, at in enumerate(x)])
    ).counts
    np.testing.assert_allclose(counts.sum(axis=(0, 1, 2)), [28, 28, 27], rtol=1e-5)


def test_an_image_is_the_mean_of_windows_not_that_of_their_sum():
    slow, fast = wander(32, 0, 3), [(t + 520, x, y) for t, x, y in wander(32, 1, 40)]
    both = session_prints(input_config(PLAIN), make_sessions(slow + fast))
    assert both.n_windows.tolist() == [2]
    apart = session_prints(input_config(PLAIN), make_sessions(slow, fast))
    np.testing.assert_allclose(
        both.mean_images[0], (apart.images[0] + apart.images[1]) / 2, atol=1e-5
    )
    assert np.abs(both.mean_images[0] - density(both.counts)[0]).max() > 0.1


def test_an_empty_session_is_all_zeros():
    found = session_prints(
        input_config(PLAIN), make_sessions([], [(0, 1, 1), (16, 2, 2)], wander(20))
    )
    assert found.n_windows.tolist() == [0, 0, 1]
    for name in ("counts", "images", "mean_images"):
        assert not getattr(found, name)[:2].any()
        assert getattr(found, name)[2].any()


def test_of_no_sessions_there_are_no_prints():
    found = session_prints(input_config(PLAIN), make_sessions())
    assert len(found) == 0
    assert found.mean_images.shape == (0, *SHAPE)


def test_prints_of_sessions_add_up_to_groups():
    sessions = make_sessions(*(wander(40, i) for i in range(5)))
    found = session_prints(input_config(PLAIN), sessions)
    groups = found.summed(np.array([0, 2, 0, 0, 2]), 4)
    assert groups.n_windows.tolist() == [6, 0, 4, 0]
    assert not groups.counts[1].any()
    assert_alike(
        groups.take(np.array([2])), found.take(np.array([1, 4])).summed(np.zeros(2, int), 1)
    )
    # In any order, and in any steps.
    order = np.array([4, 2, 0, 1, 3])
    assert_alike(found.take(order).summed(np.array([0, 2, 0, 0, 2])[order], 4), groups)
    assert_alike(groups.summed(np.zeros(4, int), 1), found.summed(np.zeros(5, int), 1))


def test_neighbours_never_show():
    rows = [wander(40, 1), [], wander(75, 2)]
    together = session_prints(input_config(PLAIN), make_sessions(*rows))
    for i, one in enumerate(rows):
        alone = session_prints(input_config(PLAIN), make_sessions(one))
        assert_alike(alone, together.take(np.array([i])))


def test_at_most_so_many_windows_are_spread_over_the_session():
    sessions = make_sessions([(16 * i, i * i / 50, 0) for i in range(320)])  # ever faster
    whole, some = (session_prints(input_config(PLAIN), sessions, at_most) for at_most in (None, 2))
    assert (whole.n_windows.item(), some.n_windows.item()) == (10, 2)
    _, windows = input_windows(input_config(PLAIN), sessions, 2)
    assert windows.start.tolist() == [0, 160]
    assert some.counts.sum() < whole.counts.sum() / 4


def test_each_task_has_panels_and_windows_of_its_own():
    owner = replace(PLAIN, task="owner", owner=replace(
        TINY.owner, panels=replace(TINY.owner.panels, names=("kind_interval",), cells=8)
    ))  # fmt: skip
    sessions = make_sessions(wander(60))
    assert session_prints(input_config(owner), sessions).counts.shape == (1, 8, 8, 1)
    assert session_prints(input_config(PLAIN), sessions).counts.shape == (1, *SHAPE)


# --- people


def test_people_count_alike_however_long_they_were_recorded():
    long = named(*(wander(96, i, 3) for i in range(4)), account="long")  # 12 windows
    short = named(wander(32, 9, 40), account="short")  # one
    everyone = concatenate_sessions([long, short])
    found = print_of_people(input_config(PLAIN), everyone, everyone.account_id)
    of_long, of_short = (
        print_of_people(input_config(PLAIN), s, s.account_id) for s in (long, short)
    )

    assert found.n_windows.tolist() == [13]
    np.testing.assert_allclose(
        found.mean_images, (of_long.mean_images + of_short.mean_images) / 2, rtol=1e-4, atol=1e-5
    )
    share = [p.counts / p.n_windows.sum() for p in (found, of_long, of_short)]
    np.testing.assert_allclose(share[0], (share[1] + share[2]) / 2, rtol=1e-4, atol=1e-5)


def test_of_one_person_it_is_the_sum_of_the_sessions():
    sessions = named(wander(40), wander(40, 1), account="one")
    found = print_of_people(input_config(PLAIN), sessions, sessions.account_id)
    assert_alike(found, session_prints(input_config(PLAIN), sessions).summed(np.zeros(2, int), 1))


def test_who_has_no_window_does_not_count():
    sessions = concatenate_sessions(
        [named(wander(40), account="a"), named([(0, 1, 1)], account="b")]
    )
    found = print_of_people(input_config(PLAIN), sessions, sessions.account_id)
    alone = sessions.take(np.array([0]))
    assert_alike(found, print_of_people(input_config(PLAIN), alone, alone.account_id))
    nobody = sessions.take(np.array([1]))
    empty = print_of_people(input_config(PLAIN), nobody, nobody.account_id)
    assert empty.n_windows.tolist() == [0]
    assert not empty.mean_images.any()


def test_of_very_many_sessions_some_are_drawn_spread_evenly(monkeypatch):
    monkeypatch.setattr(model.prints, "_MOST_SESSIONS", 3)
    sessions = make_sessions(*(wander(32, i) for i in range(9)))
    few = sessions.take(np.array([0, 4, 8]))
    found = print_of_people(input_config(PLAIN), sessions, sessions.session_id)
    assert_alike(found, print_of_people(input_config(PLAIN), few, few.session_id))


# --- on disk


@pytest.fixture(scope="module")
def people() -> Prints:
    sessions = make_sessions(wander(40), wander(60, 1))
    return print_of_people(input_config(PLAIN), sessions, sessions.session_id)


def test_prints_come_back_from_disk(people, tmp_path):
    people.save(tmp_path / "people.npz")
    again = Prints.load(tmp_path / "people.npz", SHAPE)
    for name in ("counts", "images", "n_windows"):
        assert getattr(again, name).dtype == getattr(people, name).dtype
        np.testing.assert_array_equal(getattr(again, name), getattr(people, name))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": np.zeros((1, 8, 8, 3), np.float32)}, "prints of shapes"),
        ({"n_windows": np.array([1, 2])}, "prints of shapes"),
        ({"n_windows": np.array(3)}, "prints of shapes"),
        ({"images": np.full((1, *SHAPE), np.nan, np.float32)}, "images is not finite"),
        ({"images": np.full((1, *SHAPE), "a")}, "images is not finite"),
        ({"images": np.full((1, *SHAPE), None)}, "can't be read"),
    ],
)
def test_prints_that_make_no_sense_are_refused(people, tmp_path, changes, message):
    path = tmp_path / "people.npz"
    arrays = {name: getattr(people, name) for name in ("counts", "images", "n_windows")}
    np.savez(path, **arrays | changes)
    with pytest.raises(SchemaError, match=message):
        Prints.load(path, SHAPE)


@pytest.mark.parametrize("length", [0, 40, 500])
def test_prints_cut_short_are_refused(people, tmp_path, length):
    path = tmp_path / "people.npz"
    people.save(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(SchemaError, match="can't be read"):
        Prints.load(path, SHAPE)


def test_a_run_keeps_the_print_of_its_people_and_it_decides_no_score(people, tmp_path):
    model = replace(untrained(), people=people)
    save_model(model, tmp_path / "run")
    again = load_model(tmp_path / "run")
    np.testing.assert_array_equal(again.people.images, people.images)
    assert again.model_id == untrained().model_id


def test_a_print_of_other_panels_than_the_settings_is_refused(people, tmp_path):
    run: Path = tmp_path / "run"
    save_model(replace(untrained(), people=people), run)
    other = Prints(people.counts[..., :2], people.images[..., :2], people.n_windows)
    other.save(run / "prints" / "people.npz")
    with pytest.raises(SchemaError, match=r"prints/people.npz is not what it was"):
        load_model(run)
    write_manifest(run)
    with pytest.raises(SchemaError, match="expected"):
        load_model(run)
