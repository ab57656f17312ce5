"""Groups of sessions, and that none of them is ever in two parts."""

import json

import numpy as np
import pytest
from conftest import make_sessions
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, DataError
from pipeline.groups import group_sessions, parse_twins
from pipeline.sessions import Sessions
from pipeline.splits import LEFT_OUT, PARTS, SplitConfig, assert_no_crossing, split_sessions

BOTS = ("pyclick", "teleport", "wind-mouse", "bezier", "replay")


def words(*values: str | None) -> np.ndarray:
    return np.array(values, object)


def name_sessions(names, accounts, labels, sources=None) -> Sessions:
    """Return sessions of which only names and labels count."""
    columns = {} if sources is None else {"source": words(*sources)}
    return make_sessions(
        *[[(0, 0, 0)]] * len(names),
        session_id=words(*names),
        account_id=words(*accounts),
        label=np.array(labels, np.int8),
        **columns,
    )


def make_people(n_people: int, n_each: int, bots: tuple[str, ...] = BOTS) -> Sessions:
    """Return `n_each` sessions of each person, and a twin by every bot of each session."""
    people = [f"p{i}" for i in range(n_people) for _ in range(n_each)]
    names = [f"s{i}" for i in range(len(people))]
    twins = [f"{name}~{bot}-0" for name in names for bot in bots]
    return name_sessions(
        names + twins,
        people + list(np.repeat(people, len(bots))),
        [0] * len(names) + [1] * len(twins),
        ["csv"] * len(names) + [f"simulated:{bot}" for _ in names for bot in bots],
    )


def test_a_twin_names_its_parent_and_its_generator():
    parent, generator = parse_twins(words("s1~pyclick-3", "a~b~wind-mouse-0", "s1", "s1~", "x-1"))
    assert parent.tolist() == ["s1", "a~b", None, None, None]
    assert generator.tolist() == ["pyclick", "wind-mouse", None, None, None]


def test_a_person_is_an_account_or_a_recording():
    groups = group_sessions(words("s1", "s2"), words("ann", None), np.array([False, False]))
    assert groups.person.tolist() == ["ann", "s2"]
    assert groups.generator.tolist() == [None, None]


def test_a_twin_is_its_parents_persons_and_its_generators():
    names = words("s1", "s1~pyclick-0", "s2", "s2~pyclick-0", "lost~pyclick-0")
    accounts = words("ann", "pyclick", None, None, None)
    groups = group_sessions(names, accounts, np.array([False, True, False, True, True]))
    assert groups.person.tolist() == ["ann", "ann", "s2", "s2", "lost"]
    assert groups.generator.tolist() == [None, "pyclick", None, "pyclick", "pyclick"]


def test_another_fraud_impersonates_an_account_or_made_it():
    groups = group_sessions(
        words("s1", "f1", "f2", "f3"),
        words("ann", "ann", "gang", None),
        np.array([False, True, True, True]),
    )
    assert groups.person.tolist() == ["ann", "ann", None, None]
    assert groups.generator.tolist() == [None, None, "gang", None]


def test_a_source_names_a_generator_too():
    groups = group_sessions(
        words("s1", "bot-7"),
        words(None, None),
        np.array([False, True]),
        words("csv", "simulated:x"),
    )
    assert groups.generator.tolist() == [None, "x"]


def test_shares_are_cut_by_rank():
    split = split_sessions(make_people(20, 1), SplitConfig(by=("person",)))
    people = split.to_json()["parts"]
    assert [people[name]["n_people"] for name in PARTS] == [10, 3, 3, 4]
    assert [people[name]["n_fraud"] for name in PARTS] == [50, 15, 15, 20]


def test_four_groups_fill_four_parts():
    split = split_sessions(make_people(4, 2, BOTS[:4]), SplitConfig())
    for name in PARTS:
        described = split.to_json()["parts"][name]
        assert (described["n_legitimate"], described["n_fraud"]) == (2, 2)
        assert len(described["generators"]) == 1


def test_sessions_whose_groups_disagree_are_left_out_and_counted():
    split = split_sessions(make_people(4, 2, BOTS[:4]))
    # 8 sessions with 4 twins each: one in four is where both person and bot are.
    assert split.left_out["person and generator are for different parts"] == 24
    assert (split.part == LEFT_OUT).sum() == 24


def test_a_label_that_is_not_known_is_left_out():
    sessions = make_people(8, 1)
    label = sessions.label.copy()
    label[0] = -1
    split = split_sessions(
        Sessions(**vars(sessions) | {"label": label}), SplitConfig(by=("person",))
    )
    assert split.part[0] == LEFT_OUT
    assert split.left_out["unlabelled"] == 1


@given(st.integers(4, 30), st.integers(1, 3), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_nothing_crosses(n_people, n_each, seed):
    split = split_sessions(make_people(n_people, n_each), SplitConfig(seed=seed))
    assert list(split.kept_apart()) == ["person", "generator"]
    assert_no_crossing(split.kept_apart(), split.part)
    parts = [set(split.groups.person[split.indices(name)]) for name in PARTS]
    assert sum(map(len, parts)) == len(set().union(*parts))


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_the_order_of_the_sessions_does_not_count(seed):
    sessions = make_people(10, 2)
    order = np.random.default_rng(seed).permutation(len(sessions))
    split, shuffled = split_sessions(sessions), split_sessions(sessions.take(order))
    np.testing.assert_array_equal(shuffled.part, split.part[order])
    assert shuffled.to_json() == split.to_json()


def test_the_seed_decides():
    sessions = make_people(10, 2)
    first, second = (split_sessions(sessions, SplitConfig(seed=seed)).part for seed in (0, 1))
    assert (first != second).any()


def test_a_split_does_not_change_between_versions():
    # A run keeps only a hash of its split: a change here makes old test parts training data.
    config = SplitConfig(by=("person",), task="owner", shares=(0.5, 0.0, 0.0, 0.5))
    split = split_sessions(make_people(6, 1, ()), config)
    people = [str(name) for name in split.groups.person[split.indices("train")]]
    assert people == ["p0", "p3", "p5"]


def test_one_kind_kept_apart_leaves_nothing_out():
    for kind in ("person", "generator"):
        split = split_sessions(make_people(8, 2), SplitConfig(by=(kind,)))
        assert not (split.part == LEFT_OUT).any()
        assert list(split.kept_apart()) == [kind]
        assert_no_crossing(split.kept_apart(), split.part)


def test_recordings_without_an_account_are_kept_apart_and_it_is_said():
    names = [f"s{i}" for i in range(8)] + [f"s{i}~bot{i % 4}-0" for i in range(8)]
    sessions = name_sessions(names, [None] * 16, [0] * 8 + [1] * 8)
    split = split_sessions(sessions, SplitConfig(by=("person",)))
    assert "8 of 8 legitimate sessions have no account_id" in split.notes[0]
    np.testing.assert_array_equal(split.part[:8], split.part[8:])


def test_a_part_without_frauds_is_refused_and_the_way_out_said():
    with pytest.raises(DataError, match=r"20 people .* and 1 generators for 4 parts") as caught:
        split_sessions(make_people(20, 1, BOTS[:1]))
    assert "no fraud sessions" in caught.value.what
    assert "by=person" in caught.value.hint


def test_a_part_without_legitimate_sessions_is_refused():
    with pytest.raises(DataError, match="no legitimate sessions"):
        split_sessions(make_people(2, 5), SplitConfig(by=("person",)))


def test_a_part_without_share_may_be_empty():
    split = split_sessions(make_people(6, 1, BOTS[:2]), SplitConfig(shares=(0.5, 0.0, 0.0, 0.5)))
    assert len(split.indices("valid")) == 0
    assert len(split.indices("test")) > 0


def test_the_owner_task_needs_people_not_labels():
    sessions = make_people(12, 2, ())
    unlabelled = Sessions(**vars(sessions) | {"label": np.full(24, -1, np.int8)})
    split = split_sessions(unlabelled, SplitConfig(task="owner"))
    assert [len(split.indices(name)) for name in PARTS] == [12, 4, 4, 4]
    with pytest.raises(DataError, match="fewer than 2 people"):
        split_sessions(make_people(5, 2, ()), SplitConfig(task="owner"))


def test_a_crossing_group_is_named():
    groups = {"person": words("ann", "bob", "ann", None, None)}
    with pytest.raises(DataError, match=r"person 'ann' is in train and test \(1 in all\)"):
        assert_no_crossing(groups, np.array([0, 1, 3, 0, 1], np.int8))
    assert_no_crossing(groups, np.array([0, 1, LEFT_OUT, 0, 1], np.int8))


def test_the_description_is_json():
    described = json.loads(json.dumps(split_sessions(make_people(8, 2)).to_json()))
    assert len(described["assignment_sha256"]) == 64
    assert sorted(g for part in described["parts"].values() for g in part["generators"]) == sorted(
        BOTS
    )


@pytest.mark.parametrize("config", [{"shares": (0.5, 0.5, 0.5, 0.5)}, {"by": ()}])
def test_shares_that_are_none_are_refused(config):
    with pytest.raises(ConfigError, match=r"split\."):
        SplitConfig(**config)
