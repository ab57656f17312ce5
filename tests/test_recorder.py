"""Recorders: how they are named, kept, held out of training, and weighed."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import make_sessions

from model.config import RunConfig, SimulateConfig
from model.training_data import BALANCED, balance_groups, training_sessions, window_weights
from pipeline.config import SplitConfig
from pipeline.errors import ConfigError, DataError
from pipeline.features.best_feature import roc_auc
from pipeline.ingest.ingest import ingest_logs
from pipeline.schemas import Kind
from pipeline.sessions.recorder import NOT_KNOWN, name_recorders, recorder_counts
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from pipeline.simulate.synthetic import simulate_sessions
from pipeline.splits.groups import group_recorders
from pipeline.splits.split import PARTITIONS, split_sessions
from pipeline.storage.store import Part, load_sessions, write_part

DAY = "2026-11-01"


def path(period_ms, n=40, step_px=3.0, kinds=(), seed=0):
    """Return a path that moves at every tick of a clock; `kinds` are of its last events."""
    rng = np.random.default_rng(seed)
    x, y = np.rint(rng.normal(0, 1, (2, n)).cumsum(axis=1)) * step_px + 300
    kind = np.r_[np.zeros(n - len(kinds)), list(kinds)]
    return list(zip(np.arange(n) * period_ms, x, y, kind, strict=True))


def names(*paths, **columns):
    return name_recorders(make_sessions(*paths, **columns)).recorder.tolist()


@pytest.mark.parametrize(
    ("log", "name"),
    [
        (path(17), "17 ms whole px move"),
        (path(15.6), "17 ms whole px move"),
        (path(8, step_px=0.3), "8 ms fractional px move"),
        (path(50, kinds=[Kind.CLICK]), "50 ms whole px move+click"),
        (path(109, kinds=[Kind.DOWN, Kind.UP, Kind.SCROLL]), "100 ms whole px move+press"),
        ([(10 * i, i // 2, 0) for i in range(40)], "10 ms polled whole px move"),
    ],
)
def test_a_recorder_is_known_by_clock_resolution_and_events(log, name):
    assert names(log) == [name]


def test_a_format_that_only_one_recorder_writes_names_it():
    source = np.array(["balabit", "sapimouse", "rrweb", "posthog"], object)
    logs = [path(16), path(109), path(50), path(103)]
    assert names(*logs, source=source) == ["balabit", "sapimouse", "rrweb 50 ms", "posthog 100 ms"]


def test_a_file_has_one_recorder_whatever_the_mouse_or_however_short_the_session():
    logs = [path(17), path(17, seed=1), path(8, seed=2), [(0, 0, 0)], path(17, kinds=[Kind.CLICK])]
    assert names(*logs) == ["17 ms whole px move+click"] * 5


def test_a_person_who_was_recorded_for_hours_does_not_name_the_recorder():
    assert names(path(8, n=5000), path(17, n=300), path(17, n=300)) == ["17 ms whole px move"] * 3


def test_of_a_long_file_a_bounded_sample_is_looked_at(monkeypatch):
    taken = []
    take = Sessions.take
    monkeypatch.setattr(Sessions, "take", lambda *given: taken.append(take(*given)) or taken[-1])
    logs = [path(17, n=700, seed=i % 7) for i in range(301)] + [[]] * 3
    logs[-4] = path(17, n=700, kinds=[Kind.DOWN])  # seldom, and yet it is in the name
    assert set(names(*logs)) == {"17 ms whole px move+press"}
    (sample,) = taken
    assert 50 <= len(sample) <= 100
    assert 25_000 <= len(sample.t_us) <= 50_000
    assert sample.session_id.tolist() == [f"s{i}" for i in range(0, 301, 4)]


def test_of_few_events_no_recorder_is_known():
    assert names([(0, 0, 0), (17, 1, 0)], []) == [None, None]
    assert recorder_counts(name_recorders(make_sessions([(0, 0, 0)]))) == {NOT_KNOWN: 1}


def csv_log(folder, name="log.csv", period_ms=17):
    rows = [f"{name}-{i},{t},{x},{y}" for i in range(3) for t, x, y, _ in path(period_ms, seed=i)]
    (folder / name).write_text("\n".join(["session_id,t_ms,x,y", *rows]) + "\n")
    return folder / name


def test_ingest_finds_the_recorder_says_so_and_keeps_it(tmp_path):
    report = ingest_logs([csv_log(tmp_path)], tmp_path / "store", ingest_date=DAY)
    assert "recorder: 17 ms whole px move (3 sessions)" in report.summary()
    assert load_sessions([tmp_path / "store"]).recorder.tolist() == ["17 ms whole px move"] * 3


def test_whoever_knows_the_recorder_names_it(tmp_path):
    store = tmp_path / "store"
    report = ingest_logs([csv_log(tmp_path)], store, ingest_date=DAY, recorder=" our shop ")
    assert report.recorders == {"our shop": 3}
    assert set(load_sessions([store]).recorder) == {"our shop"}
    with pytest.raises(ConfigError, match="is no name"):
        ingest_logs([csv_log(tmp_path)], store, ingest_date=DAY, recorder="a\nb")


def test_many_recorders_are_counted_not_listed(tmp_path):
    for i, period in enumerate([1, 2, 4, 8, 10, 17, 33, 50, 100, 200, 500]):
        csv_log(tmp_path, f"{i}.csv", period)
    lines = ingest_logs([tmp_path], tmp_path / "store", ingest_date=DAY).summary()
    assert sum(line.startswith("recorder: ") for line in lines) == 10
    assert lines[-1] == "and 1 more recorders"


def test_a_store_without_recorders_is_read_with_them(tmp_path):
    part = Part(tmp_path / "store", DAY, "0" * 16)
    empty = pa.table({})
    write_part(part, [make_sessions(path(17), path(17, seed=1))], empty, {"files": []})
    table = pq.ParquetFile(part.sessions).read().drop_columns("recorder")
    version_1 = {b"schema": b"sessions", b"version": b"1"}
    pq.write_table(table.replace_schema_metadata(version_1), part.sessions)
    assert set(load_sessions([tmp_path / "store"]).recorder) == {"17 ms whole px move"}


def people_of(recorder: str | None, n_people: int, n_each: int = 2) -> Sessions:
    """Return `n_each` sessions of each of a recorder's people."""
    n = n_people * n_each
    return make_sessions(
        *[path(17, seed=i, n=60) for i in range(n)],
        session_id=np.array([f"{recorder}-{i}" for i in range(n)], object),
        account_id=np.array([f"{recorder}-p{i // n_each}" for i in range(n)], object),
        recorder=np.full(n, recorder, object),
        label=np.zeros(n, np.int8),
    )


def test_simulated_sessions_are_of_their_parents_recorder():
    assert set(simulate_sessions(people_of("lab", 2), per_session=3).recorder) == {"lab"}
    session_id = np.array(["a", "a~pyclick-0", "b", "c~pyclick-0"], object)
    known = group_recorders(session_id, np.array(["lab", "17 ms", None, "web"], object))
    assert known.tolist() == ["lab", "lab", NOT_KNOWN, "web"]


FOUR = [people_of("lab", 6), people_of("shop", 3, 4), people_of("one", 1), people_of(None, 2)]
BY_RECORDER = RunConfig(split=SplitConfig(by=("recorder",)), simulate=SimulateConfig(per_session=4))


def test_whole_recorders_are_held_out_with_the_bots_made_from_them():
    sessions, split = training_sessions(concatenate_sessions(FOUR), BY_RECORDER, simulate=True)
    of_partition = [set(split.recorder[split.partition == i]) for i in range(len(PARTITIONS))]
    assert sorted(map(len, of_partition)) == [1, 1, 1, 1]
    assert set.union(*of_partition) == {"lab", "shop", "one", NOT_KNOWN}
    for i in range(len(PARTITIONS)):
        assert set(sessions.label[split.partition == i]) == {0, 1}
    assert not any(split.left_out.values())


def test_bots_recorded_on_a_recorder_of_their_own_take_no_partition_from_people():
    bots = people_of("a bot farm", 9)
    bots = replace(bots, label=np.ones(len(bots), np.int8))
    everything = concatenate_sessions([*FOUR, bots])
    sessions, split = training_sessions(everything, BY_RECORDER, simulate=True)
    assert any(note.startswith("18 of ") and "of recorders without" in note for note in split.notes)
    for i in range(len(PARTITIONS)):
        assert set(sessions.label[split.partition == i]) == {0, 1}


def test_too_few_recorders_for_the_partitions_are_named():
    three = concatenate_sessions(FOUR[:3])
    with pytest.raises(DataError, match=r"of 3 recorders .* for 4 partitions") as caught:
        training_sessions(three, BY_RECORDER, simulate=True)
    assert "it takes 4 recorders" in caught.value.hint


def test_recorders_stay_together_beside_other_groups():
    people = concatenate_sessions([people_of("lab", 8), *FOUR[1:]])
    everything = concatenate_sessions([people, simulate_sessions(people, per_session=2)])
    split = split_sessions(
        everything, SplitConfig(by=("recorder", "person"), shares=(0.5, 0.0, 0.0, 0.5))
    )
    split.check_no_crossing()
    assert len(set(split.partition[split.recorder == "lab"])) == 1


def groups_of(*rows):
    """Return records of (recorder, group, is_synthetic)."""
    return np.array(list(rows), BALANCED)


def test_recorders_weigh_alike_and_one_of_a_single_person_half():
    # A session of each of six people of lab, of two of shop, and of one person alone.
    groups = groups_of(
        *[("lab", f"p{i}", False) for i in range(6)],
        *[("shop", f"q{i}", False) for i in range(2)],
        ("one", "r", False),
    )
    weights = window_weights(np.arange(9), np.zeros(9, np.int8), groups)
    np.testing.assert_allclose(weights, [0.4 / 6] * 6 + [0.2] * 2 + [0.2], rtol=1e-6)


def test_half_the_frauds_are_recorded_and_half_synthetic():
    groups = groups_of(
        ("lab", "p", False), ("lab", "q", False),
        ("farm", "bot-1", False), ("lab", "bezier", True), ("lab", "windmouse", True),
        ("lab", "windmouse", True),
    )  # fmt: skip
    label = np.array([0, 0, 1, 1, 1, 1], np.int8)
    weights = window_weights(np.arange(6), label, groups)
    np.testing.assert_allclose(weights, [0.25, 0.25, 0.25, 0.125, 0.0625, 0.0625], rtol=1e-6)


def test_every_recorder_gets_as_many_synthetic_sessions_as_its_people_can_give():
    sessions, split = training_sessions(
        concatenate_sessions([people_of("lab", 20), people_of("shop", 5), people_of("one", 1, 1)]),
        RunConfig(split=SplitConfig(by=("person",)), simulate=SimulateConfig(per_session=4)),
        simulate=True,
    )
    n = {
        name: int((split.recorder[sessions.is_fraud] == name).sum()) for name in set(split.recorder)
    }
    # 51 sessions with 4 each are 68 a recorder: 2 of each of 40, 7 of each of 10, 21 bots of one.
    assert n == {"lab": 80, "shop": 70, "one": 21}


@pytest.mark.parametrize("by", [("person", "generator"), ("session",)])
def test_the_recorder_does_not_tell_the_label_in_what_training_draws(by):
    everything = concatenate_sessions(
        [
            people_of("lab", 30),
            people_of("shop", 12, 1),
            people_of("page", 6, 8),
            people_of("one", 1),
        ]
    )
    config = RunConfig(split=SplitConfig(by=by), simulate=SimulateConfig(per_session=8))
    sessions, split = training_sessions(everything, config, simulate=True)
    train = split.indices("train")
    groups, label = balance_groups(split)[train], sessions.label[train]
    weights = window_weights(np.arange(len(train)), label, groups).astype(np.float64)
    share = {
        (name, of): weights[(groups["recorder"] == name) & (label == of)].sum()
        for name in set(groups["recorder"])
        for of in (0, 1)
    }
    # The best that the fingerprint alone can do: the share of frauds of each recorder.
    fraud_share = np.array(
        [share[name, 1] / (share[name, 0] + share[name, 1]) for name in groups["recorder"]]
    )
    drawn = np.random.default_rng(0).choice(len(train), 20_000, p=weights / weights.sum())
    assert abs(roc_auc(fraud_share[drawn], label[drawn]) - 0.5) < 0.02
    # Drawn session by session, without weights, it can.
    unweighted = np.array([label[groups["recorder"] == name].mean() for name in groups["recorder"]])
    assert roc_auc(unweighted, label) > 0.6
