"""Benchmarks: what they make of recordings before anything is measured."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_sessions
from people import people
from tiny import TINY, untrained

from benchmarks import devices, owners, sampling, starter
from benchmarks.attribution import (
    WithCells,
    deleted,
    highest_cells,
    highest_events,
    logits_of,
)
from benchmarks.delbot import rows_of
from benchmarks.matching import find_moves
from benchmarks.owners import STRETCHES_A_SESSION, time_stretches
from benchmarks.replay_attacks import ATTACKS, stitch
from benchmarks.sapimouse import claims_of
from benchmarks.sources import read_all, recordings_folder, with_settings
from benchmarks.speed.peers_print import naive_print
from benchmarks.speed.recordings import make_sessions as make_timed_sessions
from model.config import PanelsConfig, RunConfig
from model.drawing import draw_print
from model.owner.train import PopulationData
from model.prints import session_prints
from model.run import input_config
from pipeline.features.best_feature import roc_auc
from pipeline.schemas import Kind
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import cut_windows, pad_windows
from rasterize.motion import to_device


@pytest.fixture
def recorded() -> Sessions:
    """Return four sessions of three reaches each, with rests in between."""
    paths = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        t_ms, at, path = 0.0, np.array([500.0, 400.0]), []
        for _ in range(3):
            to = at + rng.uniform(100, 300, 2) * rng.choice([-1, 1], 2)
            for share in np.linspace(0, 1, 40) ** 2:
                path.append((t_ms, *np.rint(at + share * (to - at))))
                t_ms += 10
            at, t_ms = to, t_ms + 600
        paths.append(path)
    return make_sessions(*paths, account_id=np.array(["a", "a", "b", "b"], object))


def test_without_recordings_a_benchmark_says_so_and_stops(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("POINTERPRINT_DATA", str(tmp_path))
    assert recordings_folder() == tmp_path
    with pytest.raises(SystemExit) as stopped:
        recordings_folder("balabit")
    assert stopped.value.code == 0
    assert "skipped: no recordings with balabit" in capsys.readouterr().out


def test_settings_are_literals_or_words():
    config = with_settings(
        RunConfig(), ["train.epochs=3", "network.widths=(8,)", "owner.hold_out=people"]
    )
    assert (config.train.epochs, config.network.widths) == (3, (8,))
    assert config.owner.hold_out == "people"


def test_settings_reach_as_deep_as_they_say():
    config = with_settings(RunConfig(), ["owner.window.max_events=64", "seed=3"])
    assert (config.owner.window.max_events, config.seed) == (64, 3)
    for wrong in ("owner.shrinkige=1", "seed.x=1"):
        with pytest.raises(ValueError, match="unknown setting"):
            with_settings(RunConfig(), [wrong])


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_keeps_the_sessions_and_whole_pixels(recorded, name):
    played = ATTACKS[name](np.random.default_rng(0), recorded)
    assert played.session_id.tolist() == recorded.session_id.tolist()
    np.testing.assert_array_equal(played.x_px, np.rint(played.x_px))
    for start, stop in zip(played.offsets[:-1], played.offsets[1:], strict=True):
        assert stop - start > 20
        assert (np.diff(played.t_us[start:stop]) >= 0).all()


def test_another_clock_ticks_evenly_and_is_silent_at_rest(recorded):
    played = ATTACKS["another clock, 20 Hz"](np.random.default_rng(0), recorded)
    assert (played.t_us % 50_000 == 0).all()
    first = played.t_us[: played.offsets[1]]
    assert np.diff(first).max() > 400_000  # the rest between two reaches


def test_a_turn_keeps_distances(recorded):
    played = ATTACKS["turned"](np.random.default_rng(0), recorded)
    for start, stop in zip(recorded.offsets[:-1], recorded.offsets[1:] - 1, strict=True):
        before, after = (
            np.hypot(of.x_px[stop] - of.x_px[start], of.y_px[stop] - of.y_px[start])
            for of in (recorded, played)
        )
        assert after == pytest.approx(before, abs=2)


def test_stitched_sessions_are_ten_moves_of_the_library(recorded):
    made = stitch(np.random.default_rng(0), recorded, 5, 2, ATTACKS["exact copy"])
    assert len(made) == 5
    moves = find_moves(made)
    assert np.bincount(moves.session).tolist() == [10] * 5
    assert len(np.unique(np.rint(moves.distance_px))) <= 2


def test_delbot_shares_of_a_screen_become_pixels(tmp_path):
    path = tmp_path / "circles_bot_x" / "circleHide_1.txt"
    path.parent.mkdir()
    path.write_text("resolution:1536,864\n5.5,Pressed,0.5,0.25\n9,Move,1,1\n")
    assert rows_of(path) == [
        ("circles_bot_x/circleHide_1", "circles_bot_x", "5.5", "pressed", 768.0, 216.0, 1536, 864),
        ("circles_bot_x/circleHide_1", "circles_bot_x", "9", "move", 1536.0, 864.0, 1536, 864),
    ]
    path.write_text("resolution:1536,864\n5,Move,693,333\n")
    assert rows_of(path)[0][4:] == (693.0, 333.0, 1536, 864)


def test_a_session_is_cut_in_stretches_of_a_length():
    def ticks(seconds: float) -> list[tuple]:
        return [(100.0 * i, i, 0) for i in range(round(10 * seconds) + 1)]

    sessions = make_sessions(ticks(4.6), ticks(2.95), ticks(0.5), ticks(40))
    cut, whose = time_stretches(sessions, 2.0)
    assert whose.tolist() == [0, 0, 1] + [3] * STRETCHES_A_SESSION
    assert cut.n_events.tolist() == [20] * len(cut)
    assert (cut.t_us[cut.offsets[:-1]] == 0).all()
    # Stretches of the long one are spread over it, not its first ones.
    assert cut.x_px[cut.offsets[3:-1]].tolist() == [0, 100, 200, 300]
    assert len(time_stretches(make_sessions(), 2.0)[0]) == 0


def test_claims_are_every_session_as_every_account(recorded):
    claims = claims_of(recorded, np.array(["a", "b"]))
    assert claims.account_id.tolist() == ["a"] * 4 + ["b"] * 4
    assert claims.label.tolist() == [0, 0, 1, 1, 1, 1, 0, 0]
    assert len(set(claims.session_id)) == 8
    np.testing.assert_array_equal(claims.t_us, np.tile(recorded.t_us, 2))


def test_profiles_know_their_accounts_by_prints_and_by_features():
    everyone = people(0, 6, n_sessions=4)
    is_known = np.arange(len(everyone)) % 4 < 2
    enrolled, own = everyone.take(is_known), everyone.take(~is_known)
    config = with_settings(
        RunConfig(task="owner"),
        ["owner.panels.cells=8", "owner.components=40", "owner.dimensions=8", "owner.paces=()"],
    )
    claimed = np.roll(own.account_id, 2)  # two sessions each: somebody else's account
    label = np.repeat([0, 1], len(own))
    by_print = owners.Verifier.of(
        PopulationData(config, enrolled).population(),
        owners.print_means(enrolled, config),
        enrolled.account_id,
    )
    prints = owners.print_means(own, config)
    scores = [by_print.scores(prints, account) for account in (own.account_id, claimed)]
    assert roc_auc(np.concatenate(scores), label) > 0.95
    assert np.isnan(by_print.scores(prints, np.full(len(own), "nobody"))).all()

    by_features = owners.FeatureVerifier(enrolled, enrolled, config)
    of_other = replace(own, account_id=claimed)
    scores = [by_features.scores(claims) for claims in (own, of_other)]
    assert roc_auc(np.concatenate(scores), label) > 0.9


def test_of_deleted_events_the_segments_are_gone_and_the_path_goes_on():
    sessions = make_sessions(
        [(0, 5, 5), (10, 6, 5), (30, 8, 9), (60, 8, 10)], [(0, 50, 50), (7, 51, 50)]
    )
    without = deleted(sessions, np.array([True, False, True, False, False, True]))
    assert without.n_events.tolist() == [3, 1]  # a session's first event stays
    assert without.t_us.tolist() == [0, 10_000, 40_000, 0]
    assert without.x_px.tolist() == [5, 6, 6, 50]
    assert without.y_px.tolist() == [5, 5, 6, 50]
    np.testing.assert_array_equal(deleted(sessions, np.zeros(6, bool)).x_px, sessions.x_px)


def test_what_weighs_most_is_marked_within_each_session():
    sessions = make_sessions([(i, 0, 0) for i in range(10)], [(i, 0, 0) for i in range(5)])
    weight = np.r_[np.arange(10.0), 100 - np.arange(5.0)]
    marked = highest_events(weight, sessions, 0.2)
    assert np.flatnonzero(marked).tolist() == [8, 9, 10]
    cells = np.arange(2 * 4 * 4 * 2.0).reshape(2, 4, 4, 2)
    of_cells = highest_cells(cells, 0.25)
    assert of_cells.sum(axis=(1, 2, 3)).tolist() == [8, 8]
    assert of_cells[:, 3].all()


def test_cells_are_put_in_place_of_the_references():
    sessions = people(0, 2, n_sessions=2)
    model = replace(
        untrained(), people=session_prints(input_config(TINY), sessions).summed(np.zeros(4, int), 1)
    )
    with_cells, masks = WithCells(model, sessions), np.zeros((4, *TINY.panels.shape), bool)
    before = logits_of(model, sessions)
    np.testing.assert_allclose(with_cells(masks), before, rtol=1e-4, atol=1e-5)
    masks[:2] = True  # all of two sessions
    after = with_cells(masks)
    assert after[0] == pytest.approx(after[1], abs=1e-5)
    np.testing.assert_allclose(after[2:], before[2:], rtol=1e-4, atol=1e-5)
    assert len(set(np.round(before, 3))) > 1


def test_a_print_by_histograms_is_the_same_print():
    panels, sessions = PanelsConfig(), make_timed_sessions(4)
    points = pad_windows(sessions, cut_windows(sessions), 200)
    ours = np.asarray(draw_print(to_device(points), panels))
    paths = zip(points.t_ms, points.x_px, points.y_px, strict=True)
    theirs = np.stack([naive_print(*path, panels.panels, panels.cells) for path in paths])
    for p in range(len(panels.names)):
        correlation = np.corrcoef(ours[..., p].ravel(), theirs[..., p].ravel())[0, 1]
        assert correlation > 0.85


def test_benchmarks_on_recordings_are_run_by_make_figures():
    root = Path(__file__).resolve().parent.parent
    named = (root / "Makefile").read_text()
    for name in ("replays", "sapimouse", "balabit", "delbot"):
        assert f"-m benchmarks.{name}" in named


def test_a_recording_is_cut_into_pieces_that_begin_at_0_and_have_names_of_their_own():
    path = [(8 * i, i, 2 * i) for i in range(1200)]
    cut = starter.pieces(make_sessions(path, path[:30], session_id=np.array(["a", "b"], object)))
    assert cut.session_id.tolist() == ["a/0", "a/400", "a/800", "b/1200"]
    assert cut.n_events.tolist() == [400, 400, 400, 30]
    assert cut.t_us[cut.offsets[:-1]].tolist() == [0, 0, 0, 0]
    assert cut.x_px[cut.offsets[1]] == 400


def test_the_starters_figures_are_by_recorder_over_people_and_by_family():
    people_ = make_sessions(
        *[[(0, 0, 0)]] * 5, account_id=np.array(["a", "a", "b", "b", "b"], object)
    )
    score = np.array([0.1, 0.2, 0.3, 0.9, np.nan])
    bots = {"low": np.array([0.5, 0.95]), "high": np.array([0.99, 0.98]), "silent": [np.nan]}
    bots = {name: np.array(of, np.float64) for name, of in bots.items()}
    (row,) = starter.check_recorders({"lab": (people_, score)}, bots, 0.8)
    assert (row.n_people, row.n_sessions, row.fpr.value) == (2, 4, 0.25)
    assert row.auc == pytest.approx(15 / 16)
    assert 0.88 < row.own_threshold < 0.9
    text = starter.check_text([row], bots, 0.8)
    assert "mean of the recorders 25.0%, worst 25.0%" in text
    assert "| low | 2 | 50.0% [" in text
    assert "| silent | 0 | all abstain |" in text


def written_by_rrweb(t_ms, period_ms, kind=None):
    """Return (time written, position) of moves that are at their own number."""
    rows = [(t, i, 0, *(() if kind is None else (kind[i],))) for i, t in enumerate(t_ms)]
    found = sampling.as_rrweb_records(make_sessions(rows), period_ms)
    return list(zip((found.t_us // 1000).tolist(), found.x_px.astype(int).tolist(), strict=True))


def test_rrweb_writes_a_move_at_once_or_the_first_that_waits_when_the_period_is_over():
    # 17 waits until 50; 34 comes while it waits and is lost; 51 waits until 100.
    assert written_by_rrweb([0, 17, 34, 51, 68, 300, 310], 50) == [
        *((0, 0), (50, 1), (100, 3), (300, 5), (350, 6)),
    ]
    assert written_by_rrweb([0, 17, 34, 51], 16) == [(0, 0), (17, 1), (34, 2), (51, 3)]


def test_rrweb_writes_presses_as_they_come():
    moves_and_press = [Kind.MOVE, Kind.MOVE, Kind.DOWN, Kind.MOVE]
    assert written_by_rrweb([0, 10, 20, 30], 50, moves_and_press) == [(0, 0), (20, 2), (50, 1)]


def test_moves_written_as_rrweb_are_read_back_by_its_reader(tmp_path):
    path = [(16 * i, 3 * i, 0.5 * i) for i in range(90)]
    sessions = make_sessions(path)
    (tmp_path / "log.jsonl").write_bytes(b"".join(sampling.rrweb_lines(sessions)))
    back = read_all(tmp_path / "log.jsonl")
    assert back.t_us.tolist() == sessions.t_us.tolist()
    assert back.x_px.tolist() == sessions.x_px.tolist()
    assert back.y_px.tolist() == sessions.y_px.tolist()


def test_as_many_bytes_as_rrweb_itself_writes(sample_dir):
    events = json.loads((sample_dir / "formats" / "rrweb_array.json").read_text())
    moves = [event for event in events if event["type"] == 3 and event["data"]["source"] == 1]
    n = sum(len(event["data"]["positions"]) for event in moves)
    own = sum(len(json.dumps(event, separators=(",", ":"))) + 1 for event in moves) / n
    spaced = make_sessions([(500 * i // 7, 300 + i, 400) for i in range(700)])
    ours = sum(map(len, sampling.rrweb_lines(spaced))) / 700
    assert ours == pytest.approx(own, rel=0.1)


def test_beginnings_of_sessions_and_who_abstains_is_not_flagged():
    sessions = make_sessions([(0, 0, 0), (900, 1, 1), (1100, 2, 2)], [(0, 5, 5)])
    begun = sampling.first_seconds(sessions, 1)
    assert begun.n_events.tolist() == [2, 1]
    assert begun.x_px.tolist() == [0, 1, 5]
    assert sampling.flagged(np.array([0.9, 0.4, np.nan]), 0.5).tolist() == [True, False, False]


def test_the_threshold_of_sampled_people_counts_sets_alike():
    many, few = np.arange(1000) / 1000, np.full(10, 0.1)
    persons = {"many": np.arange(1000).astype(str), "few": np.arange(10).astype(str)}
    row = sampling.Sampled({"many": many, "few": few}, persons, {"bot": np.array([0.99, 0.97])})
    threshold = row.threshold_of_people()
    assert (many >= threshold).mean() / 2 <= 0.01
    assert threshold == pytest.approx(0.98, abs=0.002)
    assert row.recalls(threshold) == {"bot": 0.5}


def test_rates_are_given_for_each_group_of_people_and_those_beside_it():
    person = np.array([*devices.TRACKPAD[:2], "negation-0517-00", "negation-0517-00"], object)
    score = np.array([0.9, 0.4, 0.1, np.nan])
    rows = devices.device_rows(score, person, 0.5)
    assert rows[0].startswith("| trackpad | 2 | 2 | 50.0% [")
    assert rows[0].endswith("| 0.650 | 1.00 [1.00, 1.00] |")
    assert rows[1].startswith("| mouse | 1 | 1 | 0.0% [0.0%,")
    assert rows[2] == "| left hand | 0 | 0 | - | - |"


def test_a_group_of_people_names_accounts_once():
    for members in devices.GROUPS.values():
        assert len(set(members)) == len(members)
