"""The benchmark of a whole training: its stages make up the whole."""

import time

import numpy as np
from tiny import TINY, easy_store

from benchmarks.speed.timed_training import EPOCHS, STAGES, Clock, timed_training
from benchmarks.speed.training_run import make_people
from flows.jobs.train import TrainJob


def test_a_stage_within_another_is_not_counted_twice(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def work(seconds: float) -> None:
        now[0] += seconds

    clock = Clock()
    with clock.timed("outer"):
        work(1)
        for _ in range(2):
            clock.wrap("inner", work)(4)
    assert clock.spent["inner"][0] == 8
    assert clock.spent["outer"][0] == 1


def test_stages_of_a_training_make_up_the_whole(tmp_path):
    store = easy_store(tmp_path / "store")
    begun = time.perf_counter()
    stages = timed_training(TrainJob((store,), tmp_path / "run", TINY))
    whole_s = time.perf_counter() - begun
    assert (tmp_path / "run" / "_SUCCESS").exists()
    of_owners = "how people differ, trials in folds"
    assert set(stages) == {EPOCHS, *STAGES} - {of_owners}
    assert min(wall for wall, _ in stages.values()) > 0
    assert sum(wall for wall, _ in stages.values()) <= whole_s


def test_people_are_legitimate_and_of_several_sessions_each():
    people = make_people(12)
    assert (people.label == 0).all()
    assert np.unique(people.account_id.astype(str), return_counts=True)[1].tolist() == [2] * 6
