"""An audit finds what leaks, finds nothing where nothing leaks, and learns from no own group."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from conftest import make_sessions
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from flows.cli import main
from model.audit import MODEL, audit_case
from model.text import audit_text
from pipeline.audit.case import find_case
from pipeline.audit.device import (
    DISTANCES,
    DeviceRule,
    device_features,
    device_fit,
    distance_to_account,
)
from pipeline.audit.shortcuts import find_shortcuts
from pipeline.errors import ConfigError, DataError
from pipeline.features.best_feature import away_from_account, best_feature, roc_auc
from pipeline.features.intervals import Intervals
from pipeline.ingest.parse import parse_logs
from pipeline.schemas import QUARANTINE, SCORES
from pipeline.sessions.labels import read_labels
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from pipeline.splits.assign import Folds, make_folds
from pipeline.splits.groups import Groups
from pipeline.storage.store import Part, write_part

N_EVENTS = 40


def path(interval_ms: float = 10, reach_px: float = 100, n: int = N_EVENTS) -> list[tuple]:
    """Return a path along the diagonal at one speed and with one clock."""
    return [(interval_ms * i, reach_px * i / (n - 1), reach_px * i / (n - 1)) for i in range(n)]


def words(*names: str | None) -> np.ndarray:
    return np.array(names, object)


def labels(*values: int) -> np.ndarray:
    return np.array(values, np.int8)


def lines(rng: np.random.Generator, interval_ms: np.ndarray, shift_px: np.ndarray) -> Sessions:
    """Return straight lines, whose steps say nothing of the clock or of where they begin."""
    steps = rng.integers(1, 10, (len(interval_ms), 2))
    event = np.arange(N_EVENTS)
    return make_sessions(
        *(
            list(zip(ms * event, px + dx * event, px + dy * event, strict=True))
            for ms, px, (dx, dy) in zip(interval_ms, shift_px, steps, strict=True)
        )
    )


def drawn(leak: str, task: str, n_groups: int = 8, per_group: int = 10) -> Sessions:
    """Return as many frauds as legitimate sessions, that differ in `leak` alone.

    `owner`: each account has references, own sessions and impostors. `fraud`: people and bots.
    """
    rng = np.random.default_rng(0)
    label = np.tile([-1, 0, 1] if task == "owner" else [0, 1], n_groups * per_group)
    group = np.repeat(np.arange(n_groups), len(label) // n_groups)
    interval_ms = np.where((label == 1) & (leak == "clock"), 16, 8)
    shift_px = np.where((label == 1) & (leak == "screen"), 1000, 0)
    kind = np.where((label == 1) & (task == "fraud"), "bot", "person")
    accounts = [f"{k}_{g}" for k, g in zip(kind, group, strict=True)]
    sessions = lines(rng, interval_ms, shift_px)
    return replace(sessions, label=label.astype(np.int8), account_id=words(*accounts))


def aucs(sessions: Sessions) -> dict[str, float]:
    """Return the AUC of each row."""
    case = find_case(sessions)
    found = audit_case(case, find_shortcuts(case), n_resamples=2)
    return {row.name: row.auc.value for row in found.rows}


def write_store(store, sessions):
    write_part(Part(store, "2026-11-01", "made"), [sessions], QUARANTINE.empty_table(), {})
    return store


def make_scores(session_id, score) -> pd.DataFrame:
    """Return a SCORES table; a score of NaN abstains."""
    known = {
        "session_id": session_id,
        "fraud_score": score,
        "account_id": None,
        "band": "low",
        "is_flagged": False,
        "threshold": 0.5,
        "abstain_reason": None,
        "reasons": None,
        "n_events": 9,
        "n_windows": 1,
        "model_id": "m",
        "run_id": "r",
        "scored_at": datetime(2026, 11, 2, tzinfo=UTC),
    }
    return pd.DataFrame({name: known.get(name) for name in SCORES.names}, range(len(session_id)))


# The device rule.


def test_a_clock_between_two_bins_is_one_clock():
    shares = Intervals.of_sessions(make_sessions(path(15.9), path(16.1), path(110))).clock_shares()
    distance = np.abs(shares[:, None] - shares[None]).sum(axis=2) / 2

    assert shares.sum(axis=1) == pytest.approx([1, 1, 1])
    assert distance[0, 1] < 0.05
    assert distance[0, 2] == pytest.approx(1)


def test_events_with_one_time_stamp_have_a_bin_of_their_own():
    burst = make_sessions([(0, 0, 0), (0, 1, 1), (0, 2, 2), (1, 3, 3), (10**6, 4, 4)])

    (shares,) = Intervals.of_sessions(burst).clock_shares()

    # Two of no time, one of 1 ms in the next bin, one longer than all in the last.
    assert shares[[0, 1, -1]] == pytest.approx([0.5, 0.25, 0.25])


def test_the_time_across_a_jump_is_no_interval():
    steps = [(8 * i, 5 * i, 0) for i in range(20)]
    away = [(3000 + 8 * i, 900 + 5 * i, 400) for i in range(20)]
    jumped, stayed = make_sessions([*steps, *away]), make_sessions([*steps])

    assert Intervals.of_sessions(jumped).n.tolist() == [38]
    assert Intervals.of_sessions(jumped).clock_shares() == pytest.approx(
        Intervals.of_sessions(stayed).clock_shares()
    )


def test_the_screen_is_as_far_as_positions_reach():
    sessions = make_sessions([(0, 5, 90), (9, 70, 8)], path(reach_px=30))
    reach_px = device_features(sessions).reach_px
    assert reach_px.tolist() == [[70, 90], [30, 30]]


def test_a_session_fits_if_its_clock_and_its_screen_fit_a_reference_of_its_account():
    references = make_sessions(path(16, 100), path(110, 90), path(8, 500))
    references = replace(references, account_id=words("ann", "ann", "bob"))
    claims = make_sessions(
        path(16, 100), path(110, 50), path(8, 50), path(16, 110), path(8, 110), path(8, 110)
    )
    claims = replace(
        claims,
        session_id=words(*"abcdef"),
        account_id=words("ann", "ann", "ann", "ann", "bob", "eve"),
    )

    fit = device_fit(claims, references)

    assert fit.other_clock.tolist() == [False, False, True, False, False, False]
    assert fit.other_screen.tolist() == [False, False, False, True, False, False]
    assert fit.clock_overlap[:2] == pytest.approx([1, 1])
    assert fit.beyond_px[:5].tolist() == [0, 0, 0, 10, 0]
    assert np.isnan([fit.clock_overlap[5], fit.beyond_px[5]]).all()  # eve has no reference
    assert fit.is_decided.tolist() == [False, False, True, True, False, False]


def test_a_session_is_no_reference_of_itself():
    same = replace(make_sessions(path(16), path(110)), account_id=words("ann", "ann"))
    assert device_fit(same, same).is_decided.all()
    assert not device_fit(replace(same, session_id=words("x", "y")), same).is_decided.any()


def test_what_counts_as_another_device_can_be_set():
    references = replace(make_sessions(path(16, 100)), account_id=words("ann"))
    claims = replace(references, session_id=words("x"), x_px=references.x_px + 5)

    assert device_fit(claims, references).is_decided.all()
    assert not device_fit(claims, references, DeviceRule(tolerance_px=5.0)).is_decided.any()
    short = replace(make_sessions(path(110, 100, n=8)), account_id=words("ann"))
    assert not device_fit(replace(short, session_id=words("x")), references).is_decided.any()
    with pytest.raises(ConfigError, match="not a share"):
        DeviceRule(min_overlap=1.5)


# What is asked, and of whom.


def test_unlabelled_sessions_are_references_else_the_accounts_other_legitimate_ones():
    sessions = replace(
        make_sessions(*(path() for _ in range(8))),
        account_id=words("ann", "ann", "ann", "bob", "bob", "bob", "eve", None),
        label=labels(-1, 0, 1, 0, 0, 1, 1, 0),
    )

    case = find_case(sessions)

    assert case.task == "owner"
    assert case.references.session_id.tolist() == ["s0", "s3", "s4"]
    assert case.sessions.session_id.tolist() == ["s1", "s2", "s3", "s4", "s5"]
    assert case.left_out == {
        "labelled, without an account": 1,
        "labelled, with no reference of the account": 1,
    }


def test_a_legitimate_session_alone_in_its_account_is_not_its_own_reference():
    sessions = replace(
        make_sessions(*(path() for _ in range(4))),
        account_id=words("ann", "bob", "bob", "bob"),
        label=labels(0, 0, 0, 1),
    )
    assert find_case(sessions).sessions.session_id.tolist() == ["s1", "s2", "s3"]


def test_bots_and_synthetic_sessions_are_asked_for_their_class():
    bots = replace(
        make_sessions(path(), path(), path()),
        account_id=words("ann", "bob", "pyclick"),
        label=labels(0, 0, 1),
    )
    synthetic = replace(
        bots, account_id=words("ann", "bob", "bob"), source=words("csv", "csv", "simulated:hop")
    )

    assert find_case(bots).task == find_case(synthetic).task == "fraud"
    assert find_case(bots).clusters().tolist() == ["ann", "bob", "pyclick"]
    assert find_case(synthetic).clusters().tolist() == ["ann", "bob", "hop"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": labels(0, 0, -1)}, "0 sessions of label 1"),
        ({"session_id": words("a", "a", "b")}, "occur twice, such as 'a'"),
    ],
)
def test_what_cannot_be_audited_is_refused(change, message):
    sessions = replace(make_sessions(path(), path(), path()), label=labels(0, 0, 1))
    with pytest.raises(DataError, match=message):
        find_case(replace(sessions, **change))


def test_the_owner_question_needs_other_sessions_of_the_account():
    sessions = replace(
        make_sessions(path(), path()), label=labels(0, 1), account_id=words("ann", "bob")
    )
    with pytest.raises(DataError, match="other sessions to compare with"):
        find_case(sessions, "owner")


# Folds.

NAMES = st.sampled_from([None, "a", "b", "c", "d", "e", "f"])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(NAMES, NAMES, st.booleans()), min_size=1), st.integers(0, 3))
def test_groups_never_cross_folds(rows, seed):
    rows += [("p1", None, False), ("p2", None, False), (None, "g1", True), (None, "g2", True)]
    rows = [row for row in rows if row[0] or row[1]]
    person, generator = (words(*column) for column in list(zip(*rows, strict=True))[:2])
    is_fraud = np.array([row[2] for row in rows])

    folds = make_folds(Groups(person, generator), is_fraud, seed)

    n_scored = np.zeros(len(rows), int)
    for fold in range(folds.n):
        scored, known = folds.scored(fold), folds.learnt_from(fold)
        n_scored += scored
        for names in (person, generator):
            assert not (set(names[scored]) - {None}) & (set(names[known]) - {None})
    assert n_scored.max() <= 1
    has_both = pd.notna(person) & pd.notna(generator)
    assert ((n_scored == 1) == folds.is_scored()).all()
    assert folds.is_scored()[~has_both].all()


def test_one_group_of_a_class_cannot_be_split():
    groups = Groups(words("a", "b", None), words(None, None, "bot"))
    with pytest.raises(DataError, match=r"2 group\(s\) of legitimate sessions, 1 of frauds"):
        make_folds(groups, np.array([False, False, True]))


# Rows.


@pytest.mark.parametrize("task", ["owner", "fraud"])
def test_where_nothing_leaks_every_row_is_near_chance(task):
    for name, auc in aucs(drawn("nothing", task)).items():
        assert 0.35 < auc < 0.65, name


@pytest.mark.parametrize("task", ["owner", "fraud"])
@pytest.mark.parametrize("leak", ["clock", "screen"])
def test_what_leaks_is_found_and_not_blamed_on_the_rest(leak, task):
    found = aucs(drawn(leak, task))

    assert found[leak] > 0.97
    assert found["clock and screen"] > 0.9
    # A slower clock takes longer and makes the same steps slower; another place changes neither.
    for name in {"clock", "screen", "best motion feature", "events and duration"} - {leak}:
        if leak == "screen" or name == "screen":
            assert 0.35 < found[name] < 0.65, name


def test_a_leak_of_the_clock_leaves_the_shape_alone():
    sessions = drawn("clock", "fraud")
    steps = np.concatenate([np.diff(sessions.x_px), [0]])
    case = find_case(sessions)
    folds = make_folds(case.groups, case.is_fraud)
    step_px = steps[sessions.offsets[:-1]].astype(np.float64)[:, None]

    score, names = best_feature(step_px, ("step_px",), case.sessions.label, folds)

    assert 0.35 < roc_auc(score, case.sessions.label.astype(np.int64)) < 0.65
    assert names == "step_px (5 of 5 folds)"


def test_the_feature_is_picked_on_other_groups():
    # The first feature knows fold 0 and misleads in fold 1; the second the other way round.
    label = labels(0, 1, 0, 1)
    features = np.array([[0.0, 1], [1, 0], [1, 0], [0, 1]])
    folds = Folds(2, np.array([0, 0, 1, 1]), np.full(4, -1))

    score, names = best_feature(features, ("one", "two"), label, folds, high_is_fraud=True)

    assert roc_auc(score, label.astype(np.int64)) == 0
    assert names == "two (1 of 2 folds), one (1 of 2 folds)"


def test_a_session_is_far_from_the_mean_of_its_accounts_other_references():
    reference = pd.DataFrame(
        [[1.0], [3.0], [10.0]],
        index=pd.MultiIndex.from_tuples(
            [("ann", "s0"), ("ann", "s1"), ("bob", "s2")], names=["account_id", "session_id"]
        ),
    )

    away = away_from_account(
        np.array([[5.0], [1.0], [10.0]]),
        words("ann", "ann", "bob"),
        words("new", "s0", "s2"),
        reference,
    )

    assert away[:2].ravel().tolist() == [3, 2]
    assert np.isnan(away[2, 0])  # bob has no other


def test_the_device_rule_is_of_all_other_people_where_nobody_is_claimed():
    case = find_case(drawn("screen", "fraud"))
    found = audit_case(case, find_shortcuts(case), n_resamples=2)

    assert (found.fraud.n_sessions, found.fraud.n_other_screen) == (80, 80)
    assert found.fraud.n_other_clock == found.legitimate.n_other_clock == 0
    assert found.legitimate.n_decided <= 4  # who happens to reach furthest
    assert len(found.decided) == found.fraud.n_decided + found.legitimate.n_decided
    assert found.rows[0].auc_matched is None


# The model beside them.


def test_the_model_is_measured_on_all_and_on_the_device_matched():
    sessions = drawn("nothing", "owner")
    far = (sessions.label == 1) & (np.arange(len(sessions)) % 2 == 0)
    shift_px = np.repeat(np.where(far, 1000, 0), sessions.n_events).astype(np.float32)
    sessions = replace(sessions, x_px=sessions.x_px + shift_px)
    case = find_case(sessions)
    # It knows the frauds by their place on the screen, and nothing else; the first is not scored.
    score = np.where(far, 0.9, 0.1)
    score[np.flatnonzero(sessions.label == 0)[0]] = np.nan

    found = audit_case(
        case, find_shortcuts(case), make_scores(sessions.session_id, score), n_resamples=2
    )

    row = found.rows[-1]
    assert row.name == MODEL
    assert row.auc.value == pytest.approx(0.75)
    assert row.auc_matched
    assert row.auc_matched.value == 0.5
    assert row.n_sessions == len(case.sessions) - 1
    assert found.notes == ("1 sessions have no score and are not in its row",)
    assert "the model" in audit_text(found)


def test_scores_of_other_sessions_are_an_error():
    case = find_case(drawn("nothing", "owner", n_groups=2, per_group=3))
    with pytest.raises(DataError, match="none of the sessions is in the scores"):
        audit_case(case, find_shortcuts(case), make_scores(["other"], [0.5]), n_resamples=2)


# The command.


@pytest.fixture
def run(capsys):
    """Return a function that gives the exit code, stdout and stderr of a command line."""

    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            main(list(map(str, arguments)))
        return stop.value.code, *capsys.readouterr()

    return call


def test_the_command_prints_a_table_and_writes_figures(run, tmp_path):
    sessions = drawn("screen", "owner", n_groups=3, per_group=4)
    store = write_store(tmp_path / "store", sessions)

    code, text, _ = run("audit", store, "--to", tmp_path / "found")

    assert code == 0
    assert "12 legitimate and 12 fraud sessions of 3 groups, against 12 references" in text
    assert "frauds flagged         12 of 12" in text
    assert max(map(len, text.splitlines())) <= 100
    found = json.loads((tmp_path / "found" / "audit.json").read_text())
    decided = pd.read_csv(tmp_path / "found" / "device_decided.csv")
    assert sorted(decided["session_id"]) == sorted(row["session_id"] for row in found["decided"])
    assert decided["other_screen"].all()
    image = Image.open(tmp_path / "found" / "audit.png")
    assert min(image.size) >= 400
    assert len(np.unique(np.asarray(image.convert("L")))) > 10


def test_a_labels_file_counts_before_the_stores_own_labels(run, tmp_path):
    sessions = drawn("nothing", "owner", n_groups=3, per_group=4)
    store = write_store(tmp_path / "store", sessions)
    first = sessions.session_id[sessions.label == 0][0]
    (tmp_path / "labels.csv").write_text(f"session_id,label\n{first},1\n")

    code, text, _ = run("audit", store, "--labels", tmp_path / "labels.csv", "--json")

    assert code == 0
    found = json.loads(text)
    assert (found["fraud"]["n_sessions"], found["legitimate"]["n_sessions"]) == (13, 11)

    (tmp_path / "labels.csv").write_text("session_id,label\nnobody,1\n")
    code, _, said = run("audit", store, "--labels", tmp_path / "labels.csv")

    assert code == 1
    assert "none of its sessions is in the stores" in said


def test_balabit_is_decided_by_its_devices(data_dir):
    folder = data_dir / "balabit"
    if not folder.is_dir():
        pytest.skip(f"no Balabit recordings in {data_dir}")
    known = read_labels(folder / "labels.csv").to_pandas().set_index("session_id")["label"]
    sessions = concatenate_sessions(list(parse_logs([folder])))
    is_test = pd.Series(sessions.source_file).str.contains("test_files").to_numpy()
    label = pd.Series(sessions.session_id).map(known).where(is_test).fillna(-1)
    case = find_case(replace(sessions, label=label.to_numpy(np.int8)))

    fit = device_fit(case.sessions, case.references)
    found = {
        name: roc_auc(
            distance_to_account(case.sessions, case.references, distance),
            case.is_fraud.astype(np.int64),
        )
        for name, distance in DISTANCES.items()
    }

    assert (len(case.sessions), len(case.references), case.is_fraud.sum()) == (422, 65, 218)
    assert found["clock"] == pytest.approx(0.853, abs=0.03)
    assert found["screen"] == pytest.approx(0.761, abs=0.03)
    assert found["clock and screen"] == pytest.approx(0.910, abs=0.03)
    assert (fit.is_decided & ~case.is_fraud).sum() == 0
    assert (fit.is_decided & case.is_fraud).sum() == pytest.approx(103, abs=3)
