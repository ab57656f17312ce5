"""What training is given: synthetic sessions beside labelled frauds, and alone."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_sessions

from model.config import RunConfig, SimulateConfig
from model.training_data import ENOUGH_GENERATORS, training_sessions
from pipeline.errors import DataError
from pipeline.sessions.sessions import Sessions
from pipeline.simulate.generators import BOT_NAMES
from pipeline.splits.assign import LEFT_OUT
from pipeline.splits.groups import SIMULATED
from pipeline.splits.split import PARTITIONS

CONFIG = RunConfig(simulate=SimulateConfig(per_session=3))


def people_and_fraudsters(n_people: int, n_fraudsters: int, label: int = 0) -> Sessions:
    """Return two sessions of each person, and two frauds of each fraudster."""
    rng = np.random.default_rng(0)
    t_ms = np.arange(40) * 16
    names = [f"person-{i}" for i in range(n_people)] + [
        f"fraudster-{i}" for i in range(n_fraudsters)
    ]
    paths = [
        list(zip(t_ms, *rng.normal(2, 3, (2, 40)).cumsum(axis=1) + 400, strict=True))
        for _ in range(2 * len(names))
    ]
    return make_sessions(
        *paths,
        account_id=np.repeat(np.array(names, object), 2),
        label=np.repeat([label, 1], [2 * n_people, 2 * n_fraudsters]).astype(np.int8),
    )


def is_synthetic(sessions: Sessions) -> np.ndarray:
    return np.char.startswith(sessions.source.astype(str), SIMULATED)


def test_beside_many_generators_synthetic_sessions_are_of_and_for_the_train_part():
    given = people_and_fraudsters(20, ENOUGH_GENERATORS)
    sessions, split = training_sessions(given, CONFIG, simulate=True)
    synthetic = is_synthetic(sessions)
    trained_on = split.indices("train")
    legitimate = trained_on[sessions.label[trained_on] == 0]

    np.testing.assert_array_equal(sessions.session_id[~synthetic], given.session_id)
    assert (split.partition[synthetic] == PARTITIONS.index("train")).all()
    assert synthetic.sum() == 3 * len(legitimate)
    assert set(sessions.account_id[synthetic]) == set(sessions.account_id[legitimate])
    assert len(set(sessions.source[synthetic])) > 10  # of 16: none is kept back
    split.check_no_crossing()


def test_other_parts_are_split_as_without_synthetic_sessions():
    given = people_and_fraudsters(20, ENOUGH_GENERATORS)
    _, without = training_sessions(given, CONFIG, simulate=False)
    _, split = training_sessions(given, CONFIG, simulate=True)
    np.testing.assert_array_equal(split.partition[: len(given)], without.partition)
    assert split.to_json()["parts"]["test"] == without.to_json()["parts"]["test"]


def test_a_generator_that_labels_name_is_not_simulated_too():
    given = people_and_fraudsters(20, ENOUGH_GENERATORS)
    account = given.account_id.copy()
    account[account == "fraudster-0"] = "windmouse"
    sessions, _ = training_sessions(replace(given, account_id=account), CONFIG, simulate=True)
    assert f"{SIMULATED}windmouse" not in set(sessions.source)


def test_without_other_frauds_synthetic_sessions_are_split_person_and_generator_apart():
    sessions, split = training_sessions(people_and_fraudsters(80, 0, -1), CONFIG, simulate=True)
    synthetic = is_synthetic(sessions)
    assert (sessions.label[~synthetic] == 0).all()  # no label counts as legitimate
    assert synthetic.sum() == 3 * 160
    for part in range(len(PARTITIONS)):
        assert (synthetic & (split.partition == part)).any()
    assert (split.partition[synthetic] == LEFT_OUT).any()
    split.check_no_crossing()


def test_bots_that_are_named_are_the_only_ones():
    config = replace(
        CONFIG, simulate=SimulateConfig(bots=(BOT_NAMES[0], BOT_NAMES[3]), per_session=2)
    )
    given = people_and_fraudsters(20, ENOUGH_GENERATORS)
    sessions, _ = training_sessions(given, config, simulate=True)
    named = {f"{SIMULATED}{name}" for name in (BOT_NAMES[0], BOT_NAMES[3])}
    assert set(sessions.source[is_synthetic(sessions)]) == named


def test_no_sessions_are_an_error():
    nothing = people_and_fraudsters(2, 0).take(np.zeros(0, np.int64))
    with pytest.raises(DataError, match="no session with an event"):
        training_sessions(nothing, CONFIG, simulate=True)
