"""Replays: what a signature keeps, what chance repeats, and who is said to have copied whom."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import make_sessions
from tiny import TINY, score_now, untrained

from flows.jobs import replays
from model.run import load_model, save_model
from pipeline.errors import SchemaError
from pipeline.features.movements import find_movements
from pipeline.replay import signature
from pipeline.replay.codes import REPEATED, REPLAY
from pipeline.replay.null_model import ViewNullModel, fit_null_model, fit_view_null_model
from pipeline.replay.search import (
    FEWEST,
    MAX_LOG_RATIO,
    _log_ratio,
    find_replays,
    with_replays,
)
from pipeline.replay.signature import VIEWS, concatenate_recordings, record, sign
from pipeline.schemas import QUARANTINE, SCORES, check_schema
from pipeline.sessions.jumps import find_jumps
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from pipeline.storage.store import Part, write_part

N_EVENTS = 32
DAY = "2026-11-01"
QUICK = replace(TINY, network=replace(TINY.network, widths=(4,), hidden=4))


def human(rng: np.random.Generator, n_movements: int = 20, bow: float = 1) -> np.ndarray:
    """Return movements as rows of complex px: reaches with bows of their own, at their own pace."""
    tau = np.linspace(0, 1, N_EVENTS)
    waves = np.sin(np.pi * np.outer(np.arange(1, 7), tau)) / np.arange(1, 7)[:, None] ** 1.5
    across, pace = rng.normal(0, 1, (2, n_movements, 6)) @ waves
    progress = np.sort(tau + 0.15 * pace, axis=1)
    shape = progress + 1j * bow * rng.uniform(0.02, 0.12, (n_movements, 1)) * across
    chord = rng.uniform(150, 700, n_movements) * np.exp(2j * np.pi * rng.random(n_movements))
    return (shape - shape[:, :1]) * chord[:, None]


def session(movements: np.ndarray, period_ms: float = 10, rest_ms: float = 400) -> list[tuple]:
    """Return rows of movements one after the other, with rests in between, on whole px."""
    last = np.append(0, movements[:-1, -1] - movements[:-1, 0]).cumsum()
    path = np.rint(movements - movements[:, :1] + last[:, None]).ravel()
    start = np.arange(len(movements)) * (N_EVENTS * period_ms + rest_ms)
    t_ms = (start[:, None] + np.arange(N_EVENTS) * period_ms).ravel()
    return list(zip(t_ms, path.real, path.imag, strict=True))


def named(sessions: Sessions, name: str, day: int | None = None) -> Sessions:
    """Return sessions under other names, begun on a day of November."""
    date = np.datetime64("NaT" if day is None else f"2026-11-{day:02}", "us")
    ids = np.array([f"{name}{i}" for i in range(len(sessions))], object)
    return replace(
        sessions,
        session_id=ids,
        account_id=ids,
        started_at=np.full(len(sessions), date, "datetime64[us]"),
    )


def people(n: int, seed: int, name: str = "human", day: int | None = None) -> Sessions:
    """Return sessions of as many people."""
    rng = np.random.default_rng(seed)
    return named(make_sessions(*(session(human(rng)) for _ in range(n))), name, day)


@pytest.fixture(scope="module")
def chance():
    """Return what chance repeats among 120 people."""
    return fit_null_model(people(120, seed=1, name="train"))


@pytest.fixture(scope="module")
def movements():
    """Return the movements of one person."""
    return human(np.random.default_rng(3))


def vectors(movements: np.ndarray, view: str = "same", **clock: float) -> np.ndarray:
    """Return the signatures of the movements of a session."""
    return sign(make_sessions(session(movements, **clock)))[view].vector


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.linalg.norm(one - other, axis=1)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "change",
    [lambda z: z + (300 - 40j), lambda z: 1.7 * z, lambda z: z * np.exp(0.7j), np.conj],
    ids=["shifted", "scaled", "turned", "mirrored"],
)
def test_place_size_direction_and_handedness_leave_no_trace(movements, view, change):
    as_it_was = vectors(movements, view)
    changed = vectors(change(movements), view)

    between = distances(as_it_was[:-1], as_it_was[1:])
    assert np.median(distances(as_it_was, changed)) < np.quantile(between, 0.05) / 10
    # Whole px move every point by up to half a px; the less wide a path is, the more that is.
    assert np.mean(distances(as_it_was, changed) < 0.1) > 0.9


def test_the_clock_of_a_session_leaves_no_trace(movements):
    slow = vectors(movements, period_ms=14)
    np.testing.assert_allclose(vectors(movements), slow, atol=1e-4)


def test_width_and_height_scaled_apart_leave_a_trace_in_one_view_only(movements):
    large = 4 * movements  # so that whole px matter little
    squeezed = large.real + 0.5j * large.imag
    same, skewed = (
        np.median(distances(vectors(large, view), vectors(squeezed, view)))
        for view in ("same", "skewed")
    )
    assert 2 * skewed < same


def test_a_pair_knows_how_two_movements_hang_together(movements):
    turned = movements.copy()
    turned[1::2] *= 1j
    assert np.median(distances(vectors(movements), vectors(turned))) < 0.01
    assert np.min(distances(vectors(movements, "pair"), vectors(turned, "pair"))) > 0.1


def test_small_jitter_stays_nearer_than_other_movements(movements):
    rng = np.random.default_rng(0)
    shaken = movements + rng.normal(0, 1, movements.shape) + 1j * rng.normal(0, 1, movements.shape)
    same, other = vectors(movements), vectors(shaken)
    between = np.linalg.norm(same[:, None] - same[None], axis=2)
    np.fill_diagonal(between, np.inf)
    assert np.mean(distances(same, other) < between.min(axis=1)) > 0.9


def test_what_has_no_shape_has_no_signature():
    few = [(10 * i, 100 * i, 0) for i in range(4)]  # events
    small = [(10 * i, i, 0) for i in range(20)]  # px
    still = [(10 * i, 5, 5) for i in range(20)]
    for paths in ([], [[]], [few, small, still]):
        found = sign(make_sessions(*paths))
        assert [len(found[view]) for view in VIEWS] == [0, 0, 0]


def test_blocks_of_movements_are_not_seen_in_the_signatures(monkeypatch):
    sessions = people(20, seed=1)
    at_once = sign(sessions)
    monkeypatch.setattr(signature, "_BLOCK", 64)
    for view, found in sign(sessions).items():
        np.testing.assert_array_equal(found.session, at_once[view].session)
        np.testing.assert_allclose(found.vector, at_once[view].vector, atol=1e-6)


def test_no_movement_that_is_wide_enough_is_left_out_beforehand(monkeypatch):
    rng = np.random.default_rng(1)
    sessions = make_sessions(*(session(scale * human(rng)) for scale in np.geomspace(0.02, 1, 30)))
    left_out = ~signature._may_be_wide(sessions, find_movements(sessions))
    assert left_out.any()
    quick = sign(sessions)
    monkeypatch.setattr(
        signature, "_may_be_wide", lambda sessions, movements: np.ones(len(movements), bool)
    )
    for view, found in sign(sessions).items():
        np.testing.assert_array_equal(found.session, quick[view].session)
        np.testing.assert_allclose(found.vector, quick[view].vector, atol=1e-6)


def test_only_so_many_movements_of_a_session_are_compared(monkeypatch, movements):
    all_of_them = vectors(movements)
    monkeypatch.setattr(signature, "MOST_A_SESSION", 7)
    np.testing.assert_allclose(vectors(movements), all_of_them[:7], atol=1e-6)


def test_accidents_are_as_frequent_as_they_are_said_to_be(chance):
    others = record(people(80, seed=2))
    for view, of_view in chance.items():
        found = others.signatures[view]
        distance = np.linalg.norm(found.vector[:, None] - found.vector[None], axis=2)
        distance[found.session[:, None] == found.session[None]] = np.inf
        ratio = distance.min(axis=1) / of_view.radius(found.vector)
        limit = of_view.limit(0.05, np.array([len(found)]), 1.0)
        assert 0.02 < np.mean(ratio <= limit) < 0.08
        assert 0.3 < of_view.excess < 4
        assert of_view.probability(limit, np.array([len(found)])) == pytest.approx(0.05)


def test_more_movements_to_compare_with_ask_for_a_nearer_match():
    of_view = ViewNullModel(np.zeros((1000, 12), np.float32))
    limits = of_view.limit(0.01, np.array([1, 100, 10_000]), 0.7)
    assert limits[0] == 0.7  # the largest allowed
    assert 0.7 > limits[1] > limits[2] > 0


def test_too_few_movements_tell_nothing_about_chance(caplog):
    assert fit_null_model(people(20, seed=1)) is None
    assert "too few" in caplog.text
    assert fit_null_model(make_sessions()) is None


def test_people_are_not_taken_for_replays_of_each_other(chance):
    result = find_replays(record(people(150, seed=5)), chance)
    assert (result.log_ratio == 0).all()
    assert set(result.replay_of) == {None}


def test_a_session_by_itself_repeats_nothing(chance):
    for sessions in (people(1, seed=5), people(1, seed=5).take(np.zeros(0, np.int64))):
        result = find_replays(record(sessions), chance)
        assert (result.log_ratio == 0).all()


def shaken(sessions: Sessions, sd_px: float) -> Sessions:
    rng = np.random.default_rng(9)
    x, y = rng.normal([sessions.x_px, sessions.y_px], sd_px)
    return replace(sessions, x_px=np.rint(x, dtype=np.float32), y_px=np.rint(y, dtype=np.float32))


CHANGES = {
    "exact": lambda sessions: sessions,
    "jitter": lambda sessions: shaken(sessions, 1.0),
    "speed": lambda sessions: replace(sessions, t_us=(sessions.t_us * 1.4).astype(np.int64)),
    "turned": lambda sessions: replace(
        sessions, x_px=-sessions.y_px + 700, y_px=sessions.x_px + 30
    ),
    "scaled": lambda sessions: replace(
        sessions, x_px=np.rint(0.7 * sessions.x_px), y_px=np.rint(0.7 * sessions.y_px)
    ),
    "squeezed": lambda sessions: replace(sessions, y_px=np.rint(0.4 * sessions.y_px)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_replay_is_found_and_its_original_named(chance, change):
    originals = people(30, seed=6, day=1)
    copies = named(change(originals).take(np.arange(5)), "copy", day=2)
    result = find_replays(record(concatenate_sessions([copies, originals])), chance)

    assert (result.log_ratio[:5] > 8).all()
    assert result.replay_of[:5].tolist() == originals.session_id[:5].tolist()
    assert result.is_whole[:5].all()
    assert (result.n_matched[:5] >= result.n_movements[:5] / 2).all()
    assert (result.log_ratio[5:] == 0).all()  # whoever was first has copied nobody


def test_moves_taken_from_many_recordings_are_found_too(chance):
    originals = people(100, seed=7, day=1)
    rng = np.random.default_rng(7)
    library = np.concatenate([human(rng) for _ in range(100)])
    chosen = np.random.default_rng(0).permutation(len(library))[:60].reshape(5, 12)
    turned = library[chosen] * np.exp(2j * np.pi * np.random.default_rng(1).random((5, 12, 1)))
    mixed = named(make_sessions(*(session(moves) for moves in turned)), "mixed", day=2)
    result = find_replays(record(concatenate_sessions([originals, mixed])), chance)

    assert (result.log_ratio[100:] > 8).all()
    assert not result.is_whole[100:].any()
    assert (result.log_ratio[:100] == 0).all()


def test_of_a_long_session_a_small_share_that_comes_back_is_habit():
    k, n = np.array([3, 30, 60, 60]), np.array([10, 400, 400, 150])
    p = np.full(4, 0.01)
    anyhow, at_least = (_log_ratio(k, n, p, 0.003, least) for least in (0.0, 0.15))
    assert (anyhow > 2).all()
    np.testing.assert_allclose(at_least[[0, 3]], anyhow[[0, 3]], atol=0.2)  # 30 and 40 %
    assert at_least[1] < 0  # 7.5 %


def test_three_movements_are_the_least_that_can_tell(chance):
    originals = people(30, seed=6, day=1)
    for n, is_told in ((FEWEST - 1, False), (FEWEST, True)):
        start = [session(human(np.random.default_rng(6))[:n])]
        result = find_replays(
            record(concatenate_sessions([originals, named(make_sessions(*start), "copy", day=2)])),
            chance,
        )
        assert (result.log_ratio[-1] > 0) == is_told


def test_without_dates_the_one_that_looks_worse_is_the_copy(chance):
    one, other = people(30, seed=6), named(people(1, seed=6), "twin")
    both = record(concatenate_sessions([one, other]))

    def is_found(suspicion_of_first: float, suspicion_of_twin: float) -> list[bool]:
        suspicion = np.zeros(31)
        suspicion[[0, 30]] = suspicion_of_first, suspicion_of_twin
        return (find_replays(both, chance, suspicion).log_ratio > 8)[[0, 30]].tolist()

    assert is_found(-2, 2) == [False, True]
    assert is_found(2, -2) == [True, False]
    assert is_found(0.5, 0) == [True, True]  # nothing tells which of them it is
    assert is_found(np.nan, 0) == [True, True]
    assert is_found(np.inf, np.inf) == [True, True]


def test_earlier_sessions_are_only_searched_in(chance):
    earlier = record(people(30, seed=6, day=9), is_earlier=True)
    copies = record(named(people(3, seed=6), "copy", day=1))  # a date that a forger may choose
    result = find_replays(concatenate_recordings([copies, earlier]), chance)

    assert result.replay_of.tolist() == ["human0", "human1", "human2"]
    assert len(result.log_ratio) == 3


def test_a_session_is_no_replay_of_itself(chance):
    again = people(30, seed=6)
    earlier = record(again, is_earlier=True)
    result = find_replays(concatenate_recordings([record(again), earlier]), chance)
    assert (result.log_ratio == 0).all()


def test_neither_the_order_of_sessions_nor_their_batches_change_what_is_found(chance):
    sessions = concatenate_sessions(
        [people(90, seed=6, day=1), named(people(9, seed=6), "copy", day=2)]
    )
    shuffled = np.random.default_rng(0).permutation(len(sessions))
    there = find_replays(record(sessions), chance)
    parts = [record(sessions.take(shuffled[:40])), record(sessions.take(shuffled[40:]))]
    back = find_replays(concatenate_recordings(parts), chance)

    np.testing.assert_array_equal(back.log_ratio, there.log_ratio[shuffled])
    assert back.replay_of.tolist() == there.replay_of[shuffled].tolist()


def test_a_crowd_of_other_habits_is_no_crowd_of_replays(chance):
    """People who move straighter are nearer to each other than those of the reference are."""
    rng = np.random.default_rng(0)
    narrow = make_sessions(*(session(human(rng, bow=0.4)) for _ in range(60)))
    result = find_replays(record(named(narrow, "narrow")), chance)
    assert np.mean(result.log_ratio > 3) < 0.02


def scored(score: list[float | None], reasons: list[list[str]] | None = None) -> pa.Table:
    """Return a scores table with these scores."""
    n = len(score)
    columns = {
        "session_id": [f"s{i}" for i in range(n)],
        "account_id": [None] * n,
        "started_at": [None] * n,
        "fraud_score": score,
        "band": pa.array(["low"] * n).dictionary_encode(),
        "is_flagged": [False] * n,
        "needs_review": [None] * n,
        "threshold": [0.9] * n,
        "abstain_reason": [None if value is not None else "no_profile" for value in score],
        "reasons": reasons or [[]] * n,
        "replay_of": [None] * n,
        "recorder": [None] * n,
        "recorder_known": [None] * n,
        "n_events": [50] * n,
        "n_windows": [1] * n,
        "worst_window_ms": [0] * n,
        "model_id": ["m"] * n,
        "run_id": ["r"] * n,
        "scored_at": [datetime.now(UTC)] * n,
    }
    arrays = [pa.array(columns[name], SCORES.field(name).type) for name in SCORES.names]
    return pa.table(arrays, schema=SCORES)


def result_of(log_ratio: list[float], is_whole: bool = True):
    from pipeline.replay.search import ReplayResult

    n = len(log_ratio)
    return ReplayResult(
        np.array(log_ratio, np.float64),
        np.array(["original"] * n, object),
        np.full(n, is_whole),
        np.full(n, 9),
        np.full(n, 9),
    )


def test_a_replay_is_flagged_however_human_it_looks():
    table = with_replays(scored([0.0001]), result_of([MAX_LOG_RATIO]), 0.5, 0.5)
    row = table.to_pylist()[0]

    assert row["fraud_score"] > 0.999
    assert (row["is_flagged"], row["band"]) == (True, "high")
    assert (row["reasons"], row["replay_of"]) == ([REPLAY], "original")
    assert table.schema.equals(SCORES, check_metadata=True)


def test_weak_result_changes_nothing_and_none_lowers_a_score():
    before = scored([0.2, 0.2, 0.97, 1.0, 0.0])
    after = with_replays(before, result_of([0, 2.9, 3.5, 5, 2]), 0.5, 0.5)

    np.testing.assert_array_equal(
        after["fraud_score"].to_numpy()[[0, 1, 4]], np.float32([0.2, 0.2, 0])
    )
    assert (after["fraud_score"].to_numpy() >= before["fraud_score"].to_numpy()).all()
    assert [bool(of) for of in after["replay_of"].to_pylist()] == [False, False, True, True, False]


def test_where_frauds_are_rare_it_takes_more_result():
    after = with_replays(scored([0.01]), result_of([5.0]), 0.001, 0.5)
    assert after["fraud_score"].to_pylist() == pytest.approx([0.01])
    assert after["reasons"].to_pylist() == [[]]


def test_reasons_stand_in_order_of_strength():
    before = scored([0.99, 0.1], [["other"], ["other"]])
    after = with_replays(before, result_of([3.5, 20], is_whole=False), 0.5, 0.5)
    assert after["reasons"].to_pylist() == [["other", REPEATED], [REPEATED, "other"]]


def test_who_abstains_gets_the_reason_and_no_score():
    row = with_replays(scored([None]), result_of([20]), 0.5, 0.5).to_pylist()[0]
    assert (row["fraud_score"], row["is_flagged"], row["band"]) == (None, False, "abstained")
    assert (row["reasons"], row["replay_of"]) == ([REPLAY], "original")


def test_no_rows_stay_no_rows():
    empty = SCORES.empty_table()
    assert with_replays(empty, result_of([]), 0.5, 0.5).equals(empty)


def test_scores_of_the_version_before_can_still_be_read():
    old = pa.schema([field for field in SCORES if field.name != "replay_of"])
    check_schema(old.with_metadata({"schema": "scores", "version": "1"}), SCORES, "old")
    with pytest.raises(SchemaError, match=r"missing column.* replay_of"):
        check_schema(old.with_metadata(SCORES.metadata), SCORES, "new")


@pytest.fixture(scope="module")
def run(chance, tmp_path_factory):
    """Return a RUN that nobody trained, which knows what chance repeats."""
    folder = tmp_path_factory.mktemp("replay") / "run"
    save_model(replace(untrained(QUICK), null_model=chance), folder)
    return folder


def test_a_run_keeps_what_chance_repeats(run, chance):
    loaded = load_model(run)

    assert loaded.null_model.keys() == chance.keys()
    for view in VIEWS:
        np.testing.assert_array_equal(loaded.null_model[view].reference, chance[view].reference)
        assert loaded.null_model[view].excess == chance[view].excess
    assert loaded.model_id == replace(untrained(QUICK), null_model=chance).model_id
    assert loaded.model_id != untrained(QUICK).model_id


def test_a_run_without_its_reference_is_refused(run, tmp_path):
    import shutil

    broken = shutil.copytree(run, tmp_path / "run")
    (broken / "replay" / "reference.parquet").unlink()
    with pytest.raises(SchemaError, match="missing"):
        load_model(broken)


def store(folder, sessions):
    write_part(Part(folder, DAY, "part"), [sessions], QUARANTINE.empty_table(), {"files": []})
    return folder


def test_scoring_names_replays_and_counts_them(run, tmp_path):
    originals, copies = people(8, seed=6, day=1), named(people(3, seed=6), "copy", day=2)
    both = store(tmp_path / "both", concatenate_sessions([originals, copies]))
    alone = store(tmp_path / "alone", copies)
    earlier = store(tmp_path / "earlier", originals)

    def rows(name, *args, **kwargs):
        partition = score_now([*args], run, tmp_path / name, DAY, **kwargs)
        manifest = json.loads((partition / "_manifest.json").read_text())
        found = pd.read_parquet(partition).set_index("session_id")
        assert manifest["n_replays"] == found["replay_of"].notna().sum()
        assert manifest["n_flagged"] == found["is_flagged"].sum()
        (part,) = partition.glob("*.parquet")
        assert pq.read_schema(part).equals(SCORES)
        return found

    together = rows("together", both)
    copied = together.loc[copies.session_id]
    assert copied["replay_of"].tolist() == ["human0", "human1", "human2"]
    assert [list(codes) for codes in copied["reasons"]] == [[REPLAY]] * 3
    assert copied["is_flagged"].all()
    assert together.loc[originals.session_id, "replay_of"].isna().all()

    with_history = rows("history", alone, history=[earlier])
    assert with_history["replay_of"].tolist() == ["human0", "human1", "human2"]
    assert rows("alone", alone)["replay_of"].isna().all()

    off = rows("off", both, replays=False)
    assert off["replay_of"].isna().all()
    others = originals.session_id
    pd.testing.assert_series_equal(
        off.loc[others, "fraud_score"], together.loc[others, "fraud_score"]
    )


def test_beyond_the_limit_a_replay_is_found_beside_its_original_or_in_the_history(
    run, tmp_path, monkeypatch, caplog
):
    """Three stores are three shards: originals, copies of them, and the originals' own day."""
    originals, copies = people(8, seed=6, day=1), named(people(3, seed=6), "copy", day=2)
    paths = [store(tmp_path / "a", originals), store(tmp_path / "b", copies)]
    earlier = [store(tmp_path / "c", named(originals, "earlier", day=1))]

    def replays_of(name, **kwargs):
        partition = score_now(paths, run, tmp_path / name, DAY, **kwargs)
        found = pd.read_parquet(partition).set_index("session_id")["replay_of"]
        return found.loc[copies.session_id].tolist()

    assert replays_of("together") == ["human0", "human1", "human2"]
    assert "blocks" not in caplog.text
    monkeypatch.setattr(replays, "MOST_MOVEMENTS", 100)
    assert pd.isna(replays_of("apart")).all()
    assert "2 blocks" in caplog.text
    assert replays_of("with history", history=earlier) == ["earlier0", "earlier1", "earlier2"]


def test_of_a_long_history_the_last_sessions_are_kept(monkeypatch, caplog):
    first, second = people(4, seed=1, name="first"), people(4, seed=2, name="second")
    monkeypatch.setattr(replays, "MOST_MOVEMENTS", record(second).n_movements)
    (kept,) = replays._recorded([first, second])
    assert kept.session_id.tolist() == second.session_id.tolist()
    assert "the first 4 sessions" in caplog.text


def test_fit_chance_counts_no_one_against_themselves(chance):
    """Everybody once more in another session of theirs: no accident, as the halves are people."""
    sessions = people(120, seed=1, name="train")
    twice = concatenate_sessions([sessions, named(sessions, "again")])
    who = np.tile(sessions.session_id, 2)
    again = fit_view_null_model(sign(twice), who)
    assert again is not None
    # Copies within a person's own sessions are accidents by this count: it says so.
    assert again["same"].excess > chance["same"].excess


def test_no_signature_spans_a_jump():
    """Wherever the pointer comes back, the movements before and after it are signed alike."""
    rng = np.random.default_rng(3)
    for period_ms, rest_ms in ((10, 900), (100, 280)):  # the second is no rest for that recorder
        rows = session(0.5 * human(rng, 6), period_ms, rest_ms)
        place = np.repeat(np.arange(6), N_EVENTS)
        first, second = (
            make_sessions([(t, x + far * i, y) for (t, x, y), i in zip(rows, place, strict=True)])
            for far in (2000, -3000)
        )
        assert find_jumps(first).sum() == find_jumps(second).sum() == 5
        one, other = sign(first), sign(second)
        for view in VIEWS:
            assert len(one[view]) >= 5
            np.testing.assert_allclose(one[view].vector, other[view].vector, atol=1e-3)
