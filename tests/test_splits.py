"""Groups of sessions, and that none of them is ever in two partitions."""

import json
from typing import get_args
from unittest.mock import patch

import numpy as np
import pytest
from conftest import make_sessions
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import GroupKind, SplitConfig
from pipeline.errors import ConfigError, DataError
from pipeline.sessions.sessions import Sessions
from pipeline.splits.assign import LEFT_OUT, assign_by_time, cut_shares, lies_within
from pipeline.splits.groups import group_sessions, parse_synthetic
from pipeline.splits.split import (
    PARTITIONS,
    assert_no_crossing,
    split_sessions,
)

BOTS = ("pyclick", "teleport", "wind-mouse", "bezier", "replay")
THREE_PARTITIONS = (0.6, 0.0, 0.2, 0.2)


def words(*values: str | None) -> np.ndarray:
    return np.array(values, object)


def name_sessions(names, accounts, labels, sources=None, **columns) -> Sessions:
    """Return sessions of which only names and labels count."""
    if sources is not None:
        columns["source"] = words(*sources)
    return make_sessions(
        *[[(0, 0, 0)]] * len(names),
        session_id=words(*names),
        account_id=words(*accounts),
        label=np.array(labels, np.int8),
        **columns,
    )


def make_people(n_people: int, n_each: int, bots: tuple[str, ...] = BOTS) -> Sessions:
    """Return `n_each` sessions of each person, and a synthetic one by every bot of each session."""
    people = [f"p{i}" for i in range(n_people) for _ in range(n_each)]
    names = [f"s{i}" for i in range(len(people))]
    synthetic = [f"{name}~{bot}-0" for name in names for bot in bots]
    return name_sessions(
        names + synthetic,
        people + list(np.repeat(people, len(bots))),
        [0] * len(names) + [1] * len(synthetic),
        ["csv"] * len(names) + [f"simulated:{bot}" for _ in names for bot in bots],
    )


def days(*values: int) -> np.ndarray:
    """Return noon of so many days of 2026."""
    return np.datetime64("2026-01-01T12:00", "us") + np.array(values, "timedelta64[D]")


def make_anything(seed: int, n: int = 160) -> Sessions:
    """Return sessions whose groups have nothing to do with each other, as no log has them."""
    rng = np.random.default_rng(seed)
    names = [f"s{i}" if i < n // 2 else f"s{rng.integers(n)}~{BOTS[i % 5]}-{i}" for i in range(n)]
    return name_sessions(
        names,
        rng.choice(words(*(f"a{i}" for i in range(20)), None), n),
        rng.choice([0, 0, 0, 1, 1, -1], n),
        rng.choice(["csv", "csv", "simulated:x", "simulated:y"], n),
        source_sha256=rng.choice(words(*"0123456789abcdef"), n),
        started_at=days(*rng.integers(0, 99, n)),
    )


def make_accounts(**n_sessions: int) -> Sessions:
    """Return so many sessions of each account."""
    accounts = [name for name, n in n_sessions.items() for _ in range(n)]
    return name_sessions(
        [f"s{i}" for i in range(len(accounts))], accounts, np.full(len(accounts), -1)
    )


def parts_of(split, account: str) -> list[int]:
    """Return how many sessions of an account each part has."""
    return np.bincount(split.partition[split.groups.person == account], minlength=4).tolist()


def test_a_synthetic_session_names_its_parent_and_its_generator():
    parent, generator = parse_synthetic(
        words("s1~pyclick-3", "a~b~wind-mouse-0", "s1", "s1~", "x-1")
    )
    assert parent.tolist() == ["s1", "a~b", None, None, None]
    assert generator.tolist() == ["pyclick", "wind-mouse", None, None, None]


def test_a_person_is_an_account_or_a_recording():
    groups = group_sessions(words("s1", "s2"), words("ann", None), np.array([False, False]))
    assert groups.person.tolist() == ["ann", "s2"]
    assert groups.generator.tolist() == [None, None]


def test_a_synthetic_session_is_its_parents_persons_and_its_generators():
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
    assert [people[name]["n_people"] for name in PARTITIONS] == [10, 3, 3, 4]
    assert [people[name]["n_fraud"] for name in PARTITIONS] == [50, 15, 15, 20]


def test_four_groups_fill_four_partitions():
    split = split_sessions(make_people(4, 2, BOTS[:4]), SplitConfig())
    for name in PARTITIONS:
        described = split.to_json()["parts"][name]
        assert (described["n_legitimate"], described["n_fraud"]) == (2, 2)
        assert len(described["generators"]) == 1


def test_sessions_whose_groups_disagree_are_left_out_and_counted():
    split = split_sessions(make_people(4, 2, BOTS[:4]))
    # 8 sessions with 4 synthetic ones each: one in four is where both person and bot are.
    assert split.left_out["person and generator are in different partitions"] == 24
    assert (split.partition == LEFT_OUT).sum() == 24


def test_a_label_that_is_not_known_is_left_out():
    sessions = make_people(8, 1)
    label = sessions.label.copy()
    label[0] = -1
    split = split_sessions(
        Sessions(**vars(sessions) | {"label": label}), SplitConfig(by=("person",))
    )
    assert split.partition[0] == LEFT_OUT
    assert split.left_out["unlabelled"] == 1


@given(
    st.lists(st.sampled_from(get_args(GroupKind)), min_size=1, unique=True),
    st.sampled_from(["fraud", "owner"]),
    st.sampled_from([(0.5, 0.15, 0.15, 0.2), THREE_PARTITIONS, (0.5, 0.0, 0.0, 0.5)]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_nothing_crosses_and_every_session_is_counted(by, task, shares, seed):
    sessions = make_anything(seed)
    config = SplitConfig(by=tuple(by), task=task, shares=shares, seed=seed)
    with patch("pipeline.splits.split._check_partitions"):  # too small ones are refused
        split = split_sessions(sessions, config)
    assert list(split.kept) == by
    for kind, names in split.kept.items():
        homes = [set(names[split.indices(part)]) - {None} for part in PARTITIONS]
        assert sum(map(len, homes)) == len(set().union(*homes)), kind
    assert sum(split.left_out.values()) == (split.partition == LEFT_OUT).sum()
    for part, share in zip(PARTITIONS, shares, strict=True):
        assert share or not len(split.indices(part))


@given(
    st.sampled_from([("person", "generator"), ("session",), ("time",), ("account", "time")]),
    st.sampled_from(["fraud", "owner"]),
    st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_sessions_does_not_count(by, task, seed):
    sessions = make_anything(seed)
    order = np.random.default_rng(seed).permutation(len(sessions))
    with patch("pipeline.splits.split._check_partitions"):
        config = SplitConfig(by=by, task=task)
        split, shuffled = (split_sessions(s, config) for s in (sessions, sessions.take(order)))
    np.testing.assert_array_equal(shuffled.partition, split.partition[order])
    assert shuffled.to_json() == split.to_json()


def test_the_seed_decides():
    sessions = make_people(10, 2)
    first, second = (split_sessions(sessions, SplitConfig(seed=seed)).partition for seed in (0, 1))
    assert (first != second).any()


def test_a_split_does_not_change_between_versions():
    # A change here makes the test partitions of old runs training data.
    config = SplitConfig(by=("person",), task="owner", shares=(0.5, 0.0, 0.0, 0.5))
    split = split_sessions(make_people(6, 1, ()), config)
    people = [str(name) for name in split.groups.person[split.indices("train")]]
    assert people == ["p0", "p3", "p5"]
    config = SplitConfig(by=("session",), task="owner", shares=THREE_PARTITIONS)
    split = split_sessions(make_accounts(ann=6, bob=6), config)
    assert split.partition.tolist() == [0, 0, 0, 3, 0, 2, 0, 3, 2, 0, 2, 0]


def test_an_accounts_sessions_are_in_every_part_it_can_fill():
    split = split_sessions(
        make_accounts(ann=10, bob=5, cid=3, dan=2, eve=1),
        SplitConfig(by=("session",), task="owner", shares=THREE_PARTITIONS),
    )
    # In the order of PARTITIONS: train, valid, calib, test.
    assert [parts_of(split, name) for name in ("ann", "bob", "cid", "dan", "eve")] == [
        [6, 0, 2, 2],
        [3, 0, 1, 1],
        [1, 0, 1, 1],
        [1, 0, 0, 1],
        [1, 0, 0, 0],
    ]
    assert split.notes == (
        "4 of 5 people are in several partitions, since the split is by session: "
        "figures do not hold for new people",
    )


def test_what_rounding_denies_a_part_it_gets_from_the_next_account():
    # Ten accounts of 6: by themselves each would give 4, 0, 1, 1.
    accounts = {f"a{i}": 6 for i in range(10)}
    config = SplitConfig(by=("session",), task="owner", shares=THREE_PARTITIONS)
    split = split_sessions(make_accounts(**accounts), config)
    assert [len(split.indices(name)) for name in PARTITIONS] == [36, 0, 12, 12]
    assert {min(parts_of(split, name)[i] for name in accounts) for i in (0, 2, 3)} <= {1, 3}


def test_an_accounts_frauds_do_not_take_its_place():
    # The owner's one session trains, whatever impostors did under the name.
    sessions = name_sessions(
        [f"s{i}" for i in range(12)], ["ann"] * 6 + ["bob"] * 6, [0] + [1] * 5 + [0] * 6
    )
    config = SplitConfig(by=("session",), task="owner", shares=(1.0, 0.0, 0.0, 0.0))
    assert split_sessions(sessions, config).partition.tolist() == [0] * 12
    config = SplitConfig(by=("session",), task="owner", shares=(0.5, 0.0, 0.0, 0.5))
    with patch("pipeline.splits.split._check_partitions"):
        assert split_sessions(sessions, config).partition[0] == PARTITIONS.index("train")


def test_too_few_accounts_to_keep_apart_can_be_split_by_session():
    sessions = make_accounts(**{f"a{i}": 5 for i in range(3)})
    with pytest.raises(DataError, match="fewer than 2 people") as caught:
        split_sessions(sessions, SplitConfig(by=("account",), task="owner"))
    assert "--split.by session" in caught.value.hint
    split = split_sessions(sessions, SplitConfig(by=("session",), task="owner"))
    assert [part["n_people"] for part in split.to_json()["parts"].values()] == [3, 3, 3, 3]
    with pytest.raises(DataError, match="fewer than 2 people") as caught:
        split_sessions(make_accounts(ann=9), SplitConfig(by=("session",), task="owner"))
    assert "2 accounts with sessions in every part" in caught.value.hint


def test_a_synthetic_session_goes_with_the_session_it_was_made_from():
    split = split_sessions(make_people(3, 8), SplitConfig(by=("session",)))
    np.testing.assert_array_equal(split.partition[24:], np.repeat(split.partition[:24], len(BOTS)))
    assert "3 of 3 people are in several partitions" in split.notes[0]
    assert "5 of 5 generators are in several partitions" in split.notes[1]


def test_synthetic_sessions_made_after_the_split_go_with_their_parents():
    sessions = make_people(8, 1, BOTS[:4])
    split = split_sessions(sessions)
    parent = np.flatnonzero((split.partition == 0) & ~split.is_fraud)
    names = [*sessions.session_id, *(f"{sessions.session_id[i]}~new-0" for i in parent)]
    accounts = [*sessions.account_id, *sessions.account_id[parent]]
    with_synthetic = name_sessions(names, accounts, [*sessions.label, *[1] * len(parent)])
    extended = split.extended(with_synthetic, parent)
    assert extended.partition.tolist() == [*split.partition, *[0] * len(parent)]
    extended.check_no_crossing()
    assert "new" in extended.to_json()["parts"]["train"]["generators"]
    # A generator that is tested on must not be trained on through synthetic sessions.
    tested = split.groups.generator[split.indices("test")]
    bot = next(name for name in tested if name is not None)
    renamed = words(*(name.replace("~new-0", f"~{bot}-1") for name in names))
    extended = split.extended(Sessions(**vars(with_synthetic) | {"session_id": renamed}), parent)
    with pytest.raises(DataError, match=f"generator '{bot}' is in train and test"):
        extended.check_no_crossing()


def test_an_account_is_what_the_log_names():
    names = [f"s{i}" for i in range(8)] + [f"s{i}~bot-0" for i in range(8)]
    sessions = name_sessions(names, [None] * 8 + ["bot"] * 8, [0] * 8 + [1] * 8)
    with patch("pipeline.splits.split._check_partitions"):
        split = split_sessions(sessions, SplitConfig(by=("account",)))
    # The bot is one account; its synthetic sessions' people are eight, and each is a recording.
    assert len(set(split.partition[8:])) == 1
    assert np.bincount(split.partition[:8]).tolist() == [4, 1, 1, 2]


def test_a_file_is_its_content():
    sessions = name_sessions(
        [f"s{i}" for i in range(16)],
        [None] * 16,
        [0] * 8 + [1] * 8,
        source_file=words(*(f"{i}.csv" for i in range(16))),
        source_sha256=words(*"aabbccddeeffgghh"),
    )
    split = split_sessions(sessions, SplitConfig(by=("source_file",)))
    np.testing.assert_array_equal(split.partition[::2], split.partition[1::2])
    assert [part["n_groups"] for part in split.to_json()["parts"].values()] == [
        {"source_file": 2}
    ] * 4


def test_time_cuts_old_from_new():
    day = np.array([3, 1, 4, 0, 5, 9, 2, 6, 8, 7])
    started_at = days(*day, *day)  # each session and its synthetic one
    names = [f"s{i}" for i in range(10)] + [f"s{i}~bot-0" for i in range(10)]
    sessions = name_sessions(names, ["ann"] * 20, [0] * 10 + [1] * 10, started_at=started_at)
    split = split_sessions(sessions, SplitConfig(by=("time",)))
    # 10, 3, 3 and 4 of 20; the 11th to 13th are day 5's two and one of day 6, which stay together.
    assert [sorted(day[split.partition[:10] == i]) for i in range(4)] == [
        [0, 1, 2, 3, 4],
        [5, 6],
        [7],
        [8, 9],
    ]
    np.testing.assert_array_equal(split.partition[:10], split.partition[10:])
    assert split.to_json()["parts"]["valid"]["started_at"] == [
        "2026-01-06T12:00:00.000000",
        "2026-01-07T12:00:00.000000",
    ]


def test_a_session_that_has_no_label_moves_no_cut():
    started_at = days(*range(8))
    is_used = np.array([True] * 4 + [False] * 4)
    part = assign_by_time(started_at, is_used, (0.5, 0.0, 0.0, 0.5))
    assert part.tolist() == [0, 0, 3, 3, -1, -1, -1, -1]


def test_time_that_is_not_known_is_refused():
    sessions = make_people(4, 2)
    with pytest.raises(DataError, match="48 of 48 sessions have no started_at, such as 's0'") as e:
        split_sessions(sessions, SplitConfig(by=("time",)))
    assert "--split.by session" in e.value.hint


def test_time_and_people_have_to_agree():
    # Eight people, a session in each of two months: half agree, where shares are halves.
    names = [f"s{i}" for i in range(32)]
    people = [f"p{i % 8}" for i in range(32)]
    labels = [0] * 16 + [1] * 16
    started_at = days(*(np.arange(32) % 16 // 8 * 30 + np.arange(32) % 8))
    sessions = name_sessions(names, people, labels, started_at=started_at)
    split = split_sessions(
        sessions, SplitConfig(by=("person", "time"), shares=(0.5, 0.0, 0.0, 0.5))
    )
    assert split.left_out["person and time are in different partitions"] == 16
    assert np.bincount(split.partition[split.partition >= 0], minlength=4).tolist() == [8, 0, 0, 8]


@pytest.mark.parametrize("task", ["fraud", "owner"])
def test_groups_within_wider_ones_cost_nothing(task):
    sessions = make_people(20, 3, ())
    sessions = name_sessions(
        sessions.session_id,
        sessions.account_id,
        np.arange(60) % 3 == 0,
        source_sha256=sessions.session_id,
        started_at=days(*range(60)),
    )
    by = ("session", "source_file", "account", "person")
    split = split_sessions(sessions, SplitConfig(by=by, task=task))
    assert not (split.partition == LEFT_OUT).any()
    alone = split_sessions(sessions, SplitConfig(by=("person",), task=task))
    np.testing.assert_array_equal(split.partition, alone.partition)


def test_within_is_one_wider_group_that_is_known():
    narrow = words("a", "a", "b", "b", "c", None)
    wider = words("x", "x", "x", "y", None, "x")
    assert lies_within(narrow, wider).tolist() == [True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("n", "sizes"), [(0, "0000"), (1, "1000"), (2, "1001"), (3, "1011"), (4, "1111"), (9, "5112")]
)
def test_too_few_groups_go_where_they_are_needed_most(n, sizes):
    assert "".join(map(str, cut_shares(n, (0.5, 0.15, 0.15, 0.2)))) == sizes


@given(st.integers(0, 200), st.lists(st.integers(0, 9), min_size=4, max_size=4).filter(any))
def test_shares_are_cut_whole(n, weights):
    sizes = cut_shares(n, [weight / sum(weights) for weight in weights])
    has_share = np.array(weights) > 0
    assert sizes.sum() == n
    assert not sizes[~has_share].any()
    assert sizes[has_share].all() or n < has_share.sum()


def test_frauds_that_nobody_is_named_for_are_assigned_with_a_message():
    sessions = name_sessions(
        [f"s{i}" for i in range(16)],
        [f"p{i}" for i in range(8)] + [None] * 8,
        [0] * 8 + [1] * 8,
    )
    split = split_sessions(sessions)
    assert np.bincount(split.partition[8:]).tolist() == [4, 1, 1, 2]
    assert "8 of 8 fraud sessions name neither account nor generator" in split.notes[0]


def test_a_split_that_would_let_a_group_cross_is_never_given():
    by_row = lambda names, *_: (np.arange(len(names)) % 4).astype(np.int8)  # noqa: E731
    with (
        patch("pipeline.splits.split.assign_by_hash", by_row),
        pytest.raises(DataError, match=r"person 'p0' is in train and .* \(10 in all\)"),
    ):
        split_sessions(make_people(10, 2), SplitConfig(by=("person",)))


def test_one_kind_kept_apart_leaves_nothing_out():
    for kind in ("person", "generator"):
        split = split_sessions(make_people(8, 2), SplitConfig(by=(kind,)))
        assert not (split.partition == LEFT_OUT).any()
        assert list(split.kept) == [kind]
        split.check_no_crossing()


def test_recordings_without_an_account_are_kept_apart_with_a_message():
    names = [f"s{i}" for i in range(8)] + [f"s{i}~bot{i % 4}-0" for i in range(8)]
    sessions = name_sessions(names, [None] * 16, [0] * 8 + [1] * 8)
    split = split_sessions(sessions, SplitConfig(by=("person",)))
    assert "8 of 8 legitimate sessions have no account_id" in split.notes[0]
    np.testing.assert_array_equal(split.partition[:8], split.partition[8:])


def test_a_partition_without_frauds_is_refused_with_a_way_out():
    with pytest.raises(
        DataError, match=r"20 people .* and 1 generators for 4 partitions"
    ) as caught:
        split_sessions(make_people(20, 1, BOTS[:1]))
    assert "no fraud sessions" in caught.value.what
    assert "--split.by person" in caught.value.hint


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
    assert [len(split.indices(name)) for name in PARTITIONS] == [12, 4, 4, 4]
    with pytest.raises(DataError, match="fewer than 2 people"):
        split_sessions(make_people(5, 2, ()), SplitConfig(task="owner"))


def test_a_crossing_group_is_named():
    groups = {"person": words("ann", "bob", "ann", None, None)}
    with pytest.raises(DataError, match=r"person 'ann' is in train and test \(1 in all\)"):
        assert_no_crossing(groups, np.array([0, 1, 3, 0, 1], np.int8))
    assert_no_crossing(groups, np.array([0, 1, LEFT_OUT, 0, 1], np.int8))


@pytest.mark.parametrize("part", [[0, 3, 0, 3], [3, 3, 0, 0]])
def test_parts_that_overlap_in_time_are_named(part):
    with pytest.raises(DataError, match=r"time: train lasts to 2026-01-0.*, test begins at 2026"):
        assert_no_crossing({"time": days(0, 1, 2, 3)}, np.array(part, np.int8))
    assert_no_crossing({"time": days(0, 1, 2, 3)}, np.array([0, 0, 2, 3], np.int8))


def test_time_that_is_not_known_may_overlap():
    started_at = days(0, 1)
    started_at[1] = "NaT"
    with pytest.raises(DataError, match="begins at NaT"):
        assert_no_crossing({"time": started_at}, np.array([0, 3], np.int8))


def test_a_run_keeps_who_went_where():
    split = split_sessions(make_people(8, 2))
    kept = split.to_json()["sessions"]
    assert list(kept) == [*PARTITIONS, "left_out"]
    assert kept["test"] == sorted(split.session_id[split.indices("test")])
    assert sorted(i for ids in kept.values() for i in ids) == sorted(split.session_id)


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
