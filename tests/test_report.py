"""The report without a browser: what is in the page, and what becomes of a log's names."""

import base64
import re
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from conftest import make_sessions
from report_day import DAY, EARLIER, HOSTILE, a_day, a_store, block, owners_day, scores_of
from tiny import TINY, score_now, untrained

import flows.jobs.report as job
from flows.jobs.progress import finish
from flows.jobs.report import ReportJob, report
from model.attribution import Attribution
from model.case_views import case_prints, highest_windows, raised_by_session
from model.config import OwnerConfig
from model.metrics import curves_json
from model.policy import Policy, Threshold
from model.prints import print_of_people, session_prints
from model.run import input_config, save_model
from pipeline.config import AS_RECORDED, WindowConfig
from pipeline.errors import ConfigError, NotFoundError
from pipeline.reasons.registry import MEASURED
from pipeline.report.cases import N_REFERENCE_SESSIONS, gather
from pipeline.report.page import day_json, page_html, path_json, score_drift
from pipeline.sessions.feedback import add_feedback
from rasterize.print_json import print_json

THRESHOLD = Threshold(0.01, 0.0, 0.0, None, False, "flags everybody")
NAMES = [*HOSTILE, *(f"s{i}" for i in range(9))]


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """Return two days of scores of sessions whose names mean harm."""
    return a_day(tmp_path_factory.mktemp("day"), NAMES)


@pytest.fixture(scope="module")
def page(scores):
    """Return the report of the last day."""
    (path,) = finish(report(ReportJob(scores, scores.parent / "report.html")))
    return path.read_text()


def decoded(differences: list[int], step: float) -> np.ndarray:
    return np.cumsum(differences) * step


def test_a_path_comes_back_from_its_differences():
    sessions = make_sessions([(0, 10, 5), (7.5, 12, 5), (20, 12, 4, 1)])
    path = path_json(sessions, 0)

    assert (path["t"], path["step_ms"]) == ([0, 75, 125], 0.1)
    assert (path["x"], path["y"], path["step_px"]) == ([10, 2, 0], [5, 0, -1], 1.0)
    assert path["kind"] == "001"
    assert (path["n_before"], path["n_after"], path["duration_ms"]) == (0, 0, 20)


def test_a_long_path_is_shown_around_its_highest_window():
    sessions = make_sessions([(i, i % 7 + 0.5, i) for i in range(100)])
    path = path_json(sessions, 0, around_ms=50, longest=30)

    assert (path["n_before"], path["n_after"]) == (40, 30)
    np.testing.assert_allclose(decoded(path["t"], path["step_ms"]), np.arange(40, 70))
    np.testing.assert_allclose(
        decoded(path["x"], path["step_px"]), np.arange(40, 70) % 7 + 0.5, atol=1e-9
    )
    last = path_json(sessions, 0, around_ms=99, longest=30)
    assert (last["n_before"], last["n_after"]) == (70, 0)


def test_psi_is_what_its_formula_says():
    # Of ten equal bins of the earlier scores the new day fills the upper five.
    earlier, now = np.arange(100) / 100, np.arange(50, 100) / 100
    found = score_drift(now, earlier)

    # Each bin counts half a session more: 10.5 of 105 before, 0.5 or 10.5 of 55 on this day.
    before, empty, full = 0.1, 0.5 / 55, 10.5 / 55
    expected = 5 * (empty - before) * np.log(empty / before)
    expected += 5 * (full - before) * np.log(full / before)
    assert found["psi"] == pytest.approx(expected)
    assert found["by_chance"] == pytest.approx(9 * (1 / 50 + 1 / 100))
    assert score_drift(now, now[:0]) is None


def test_chance_makes_as_much_psi_as_is_said():
    rng = np.random.default_rng(0)
    found = [score_drift(rng.random(200), rng.random(400)) for _ in range(300)]
    mean = np.mean([one["psi"] for one in found])
    assert mean == pytest.approx(found[0]["by_chance"], rel=0.15)


def test_a_day_stands_among_the_earlier_ones(tmp_path):
    _, sessions = a_store(tmp_path, NAMES)
    days = []
    for seed, day in enumerate((DAY, EARLIER)):
        run_date = pa.repeat(day, len(NAMES))
        days.append(scores_of(sessions, seed).append_column("run_date", run_date))
    table = pa.concat_tables(days).to_pandas()
    found = day_json(table, DAY)

    assert [day["date"] for day in found["days"]] == [EARLIER, DAY]
    assert all(sum(day["bands"].values()) == day["n"] == len(NAMES) for day in found["days"])
    assert found["days"][1]["bands"]["abstained"] == 1
    assert sum(found["histogram"]["now"]) == len(NAMES) - 1
    assert day_json(table, EARLIER)["drift"] is None  # nothing is earlier


def test_agreement_needs_ten_of_each_kind():
    score, label = np.arange(22) / 22, np.repeat([0, 1], [12, 10])
    found = curves_json(score, label)

    assert (found["n_fraud"], found["n_legitimate"], found["auc"]) == (10, 12, 1.0)
    assert (found["fpr"][0], found["tpr"][0], found["fpr"][-1], found["tpr"][-1]) == (0, 0, 1, 1)
    too_few = curves_json(score[:-1], label[:-1])
    assert too_few == {"n_fraud": 9, "n_legitimate": 12, "min_each": 10}
    assert "auc" not in curves_json(score, 1 - np.zeros(22, int))


def test_the_queue_is_every_session_highest_first(page):
    queue = block(page, "report")["queue"]
    scored = [row["score"] for row in queue if row["score"] is not None]

    assert sorted(row["id"] for row in queue) == sorted(NAMES)
    assert scored == sorted(scored, reverse=True)
    assert [row["abstained"] for row in queue if row["score"] is None] == ["no_moves"]
    assert queue[-1]["score"] is None


def test_no_name_of_a_log_is_markup(page):
    without_data = re.sub(
        r'<script type="application/json" id="[a-z0-9-]+">[^<>]*</script>', "", page
    )

    assert len(re.findall("<script", without_data)) == 1
    for name in HOSTILE:
        if "<" in name and name != "<!--":
            assert name not in page
    assert "hacked" not in without_data
    assert "acc</b>" not in page


def test_the_page_may_load_nothing_and_runs_one_script(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]

    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    assert {address.partition("/steal")[0] for address in re.findall(r"\w+://[^\"' ]+", page)} == {
        "http://www.w3.org/2000/svg",  # a name, not an address: nothing is fetched from there
        "http://127.0.0.1:9",  # part of a session's name
    }


def test_what_looks_like_a_slot_of_the_page_stays_text():
    page = page_html({"name": "{{script}}"}, {"case-0": {"id": "{{style}}"}})
    assert block(page, "report") == {"name": "{{script}}"}
    assert block(page, "case-0") == {"id": "{{style}}"}


def test_each_case_has_its_path_and_the_accounts_other_sessions(page):
    rows = block(page, "report")["queue"]
    for i, row in enumerate(rows):
        case = block(page, f"case-{i}")
        assert len(case["path"]["t"]) == row["n_events"] == 60
        assert case["picture"].startswith("data:image/png;base64,")
        assert 0 <= case["window"][0] < case["window"][1] <= case["path"]["duration_ms"]
    replay = next(i for i, row in enumerate(rows) if row["reasons"])
    assert block(page, f"case-{replay}")["original"]["id"] == HOSTILE[1]


def test_reference_sessions_are_the_latest_that_nobody_suspects():
    n = N_REFERENCE_SESSIONS + 4
    sessions = make_sessions(
        *([(0, i, 0), (9, 5, 5)] for i in range(n)),
        account_id=np.full(n, "a", object),
        started_at=np.datetime64("2026-11-01", "us") + np.arange(n) * np.timedelta64(1, "D"),
        label=np.array([-1] * (n - 1) + [1], np.int8),
    )
    cases = scores_of(sessions).slice(0, 1)
    found = gather([sessions], cases, suspected={f"s{n - 2}"})

    assert [one["id"] for one in found.reference["a"]] == [
        f"s{i}" for i in range(n - 3, n - 4 - N_REFERENCE_SESSIONS, -1)
    ]
    assert found.sessions().session_id.tolist() == ["s0"]
    assert found.labels == {f"s{n - 1}": 1}


def test_the_picture_is_that_of_the_highest_window():
    slow, fast = 40, 2
    steps = [(slow, 1)] * 32 + [(fast, 30)] * 32
    t_ms, x = np.cumsum([(0, 0), *steps], axis=0).T
    sessions = make_sessions([(t, x, 0) for t, x in zip(t_ms, x, strict=True)])
    first = finish(highest_windows(sessions, np.array([0.0]), input_config(TINY), TINY.canvas))[
        "s0"
    ]
    other = finish(highest_windows(sessions, np.array([1280.0]), input_config(TINY), TINY.canvas))[
        "s0"
    ]

    assert first["window"][0] == 0
    assert other["window"][0] > 600
    assert first["picture"] != other["picture"]


def test_the_picture_is_of_a_window_as_the_task_cuts_it():
    sessions = make_sessions([(10 * i, 9 * i, i % 7) for i in range(64)])
    owner = replace(TINY, task="owner", owner=OwnerConfig(window=WindowConfig(max_events=16)))

    found = finish(highest_windows(sessions, np.array([0.0]), input_config(owner), owner.canvas))
    assert found["s0"]["window"] == [0, 150]  # 16 events


def weighing(*weights: float) -> Attribution:
    return Attribution(np.zeros((1, 16, 16, 3), np.float32), np.array(weights, np.float32))


def test_what_raised_a_score_is_runs_of_events():
    # Of 32 events, 10 ms apart, those of the second eight weigh 1 and of the fourth 3.
    sessions = make_sessions([(10 * i, i, 0) for i in range(32)])
    found = raised_by_session(weighing(*np.repeat([0, 1, -5, 3], 8)), sessions)
    assert found == {"s0": [[230.0, 310.0, 0.75], [70.0, 150.0, 0.25]]}


def test_only_what_raised_a_score_most_is_named():
    sessions = make_sessions([(10 * i, i, 0) for i in range(80)])
    (found,) = raised_by_session(weighing(*np.repeat(np.arange(10), 8)), sessions).values()
    assert [share for *_, share in found] == [0.2, 0.178, 0.156, 0.133, 0.111]  # of 45


def test_nothing_raised_a_score_that_only_fell():
    sessions = make_sessions([(10 * i, i, 0) for i in range(5)])
    assert raised_by_session(weighing(*[-1] * 5), sessions) == {"s0": []}


def test_a_case_has_its_print_and_each_shown_event_its_cells():
    plain = replace(TINY, resample=AS_RECORDED)
    sessions = make_sessions([(16 * i, 9 * i, 0) for i in range(40)], [(0, 1, 1)])
    found = case_prints(input_config(plain), sessions, None, {}, {"s0": (10, 20), "s1": (0, 1)})

    assert set(found) == {"s0"}  # the other has no window, and no print
    case = found["s0"]
    assert (case["account"], case["raised"]) == (None, None)
    own = session_prints(input_config(plain), sessions)
    assert case["own"] == print_json(own.mean_images[0])
    cells = np.frombuffer(base64.b64decode(case["cell_of"]), np.uint16).reshape(3, 20)
    # A line to the right at one speed: all in one cell of each panel, but the second window's
    # first event (the 21st) counts nowhere, and its first turn a step later.
    counts = [(row != 65535).sum() for row in cells]
    assert counts == [19, 19, 18]
    assert all(len(set(row[row != 65535])) == 1 for row in cells)


def test_a_models_own_scores_come_with_what_raised_them(tmp_path):
    # One that calls everybody high, so that something is to be explained.
    model = replace(untrained(), policy=Policy(0.01, (THRESHOLD,), 1, 1))
    still = make_sessions(*([(16 * i, 3 * i, 0) for i in range(40)] for _ in range(2)))
    model = replace(model, people=print_of_people(input_config(TINY), still, still.session_id))
    save_model(model, tmp_path / "run")
    store, _ = a_store(tmp_path, ["a", "b"])
    score_now([store], tmp_path / "run", tmp_path / "scores", DAY)
    (path,) = finish(report(ReportJob(tmp_path / "scores", tmp_path / "report.html")))
    page = path.read_text()

    for i, row in enumerate(block(page, "report")["queue"]):
        assert row["band"] == "high"
        case = block(page, f"case-{i}")
        shares = [share for _, _, share in case["weights"]]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 1.01
        last_ms = case["path"]["duration_ms"] + 1
        assert all(0 <= begin < end <= last_ms for begin, end, _ in case["weights"])
        assert case["print"]["own"]
        assert case["print"]["raised"]
        # No measure is unusual, nor its range known: panels are the reasons, in words.
        assert [reason["code"] for reason in case["reasons"]] == row["reasons"]
        assert all(reason["text"].count("people ") == 1 for reason in case["reasons"])
    assert block(page, "report")["reference_print"]


def test_reasons_of_the_accounts_own_measures_name_two(tmp_path):
    (path,) = finish(report(ReportJob(owners_day(tmp_path), tmp_path / "report.html")))
    page = path.read_text()
    for i, row in enumerate(block(page, "report")["queue"]):
        reasons = block(page, f"case-{i}").get("reasons", [])
        own = [reason for reason in reasons if reason["code"] == "unlike_profile"]
        assert ("unlike_profile" in row["reasons"]) == row["id"].endswith("slow") == bool(own)
        assert len({reason["measure"] for reason in own}) == (2 if own else 0)
        assert not any(
            low <= reason["value"] <= high for reason in own for low, high in [reason["range"]]
        )


def test_who_is_flagged_as_not_the_owner_is_held_against_what_was_enrolled(tmp_path):
    (path,) = finish(report(ReportJob(owners_day(tmp_path), tmp_path / "report.html")))
    page = path.read_text()
    flagged = [i for i, row in enumerate(block(page, "report")["queue"]) if row["flagged"]]
    assert flagged
    for i in flagged:
        case, codes = block(page, f"case-{i}"), block(page, "report")["queue"][i]["reasons"]
        assert case["print"]["own"]
        assert case["print"]["account"]
        assert [reason["code"] for reason in case["reasons"] if "print_" in reason["code"]]
        assert list(dict.fromkeys(reason["code"] for reason in case["reasons"])) == codes
        for reason in case["reasons"]:
            is_of_people = reason["code"] in {one.code for one in MEASURED}
            assert ("; legitimate " if is_of_people else "; this account") in reason["text"]
            assert re.search(
                r"\d (px|px/s|s|ms|rad|per second|times|degrees)\b|\d %", reason["text"]
            )


def test_more_cases_than_a_page_holds_are_on_pages_beside_it(scores, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "PAGE_CASES", 10)
    pages = finish(report(ReportJob(scores, tmp_path / "report.html", limit=23)))

    assert [path.name for path in pages] == ["report.html", "report-2.html", "report-3.html"]
    found = [block(path.read_text(), "report") for path in pages]
    assert [len(one["queue"]) for one in found] == [10, 10, 3]
    assert {tuple(one["pages"]) for one in found} == {tuple(path.name for path in pages)}
    assert (found[0]["n_cases"], found[0]["n_scored"]) == (23, len(NAMES))


def test_labels_of_a_file_count_before_the_stores(scores, tmp_path):
    (tmp_path / "labels.csv").write_text("session_id,label,note\ns0,fraud,\ns1,unsure,?\ns2,0,\n")
    (path,) = finish(
        report(ReportJob(scores, tmp_path / "report.html", labels=tmp_path / "labels.csv"))
    )
    known = {row["id"]: row["label"] for row in block(path.read_text(), "report")["queue"]}
    assert (known["s0"], known["s2"]) == (1, 0)


def test_what_was_fed_back_counts_before_the_stores_labels(tmp_path):
    scores = a_day(tmp_path, ["a", "b", "c", "d"])
    (tmp_path / "labels.csv").write_text("session_id,label\na,legitimate\nb,fraud\nc,unsure\n")
    add_feedback(scores, tmp_path / "labels.csv", datetime(2026, 11, 3, tzinfo=UTC))
    (path,) = finish(report(ReportJob(scores, tmp_path / "report.html")))
    known = {row["id"]: row["label"] for row in block(path.read_text(), "report")["queue"]}

    assert known == {"a": 0, "b": 1, "c": None, "d": None}  # the store says a is 1 and c is 0


def test_what_was_fed_back_is_on_the_next_days_page(tmp_path):
    # Three sessions to an account: a to c are one's, d another's. Both days score them all.
    scores = a_day(tmp_path, ["a", "b", "c", "d"])
    (tmp_path / "labels.csv").write_text(
        "session_id,label,note\na,fraud,by phone\nb,unsure,\nc,undecided,ask Ann\n"
    )
    add_feedback(scores, tmp_path / "labels.csv", datetime(2026, 11, 1, 20, tzinfo=UTC))
    (path,) = finish(report(ReportJob(scores, tmp_path / "report.html")))
    page = path.read_text()
    summary = block(page, "report")
    rows = {row["id"]: row for row in summary["queue"]}

    assert summary["fed_back"] == {
        "counts": {"fraud": 1, "unsure": 1, "undecided": 1},
        "last": "2026-11-01",
    }
    given = {"verdict": "fraud", "note": "by phone", "at": "2026-11-01T20:00:00+00:00"}
    assert rows["a"]["fed_back"] == given
    assert rows["c"]["fed_back"]["verdict"] == "undecided"
    assert (rows["c"]["fed_back"]["note"], rows["d"]["fed_back"]) == ("ask Ann", None)
    # c is legitimate by its log: the note changed nothing. Of a's account a itself isn't counted.
    assert rows["b"]["account_known"] == {"fraud": 1, "legitimate": 1}
    assert rows["a"]["account_known"] == {"unsure": 1, "legitimate": 1}
    assert rows["d"]["account_known"] == {}


def test_an_accounts_history_is_its_scores_up_to_the_day(tmp_path):
    scores = a_day(tmp_path, ["a", "b", "c", "d"])
    (path,) = finish(report(ReportJob(scores, tmp_path / "report.html")))
    page = path.read_text()
    case = next(
        i for i, row in enumerate(block(page, "report")["queue"]) if row["account"].endswith("0")
    )
    history = block(page, f"account-{block(page, f'case-{case}')['account_block']}")["history"]

    assert history["n"] == 6
    assert [(one["date"], one["id"]) for one in history["rows"]] == [
        (day, name) for day in (DAY, EARLIER) for name in "cba"
    ]
    assert history["known"] == {"fraud": 1, "legitimate": 1}
    earlier = [one for one in history["rows"] if one["date"] == EARLIER]
    assert {one["band"] for one in earlier} <= {"high", "medium", "low", "abstained"}
    (path,) = finish(report(ReportJob(scores, tmp_path / "first.html", date=EARLIER)))
    page = path.read_text()
    found = [block(page, f"account-{i}")["history"]["n"] for i in range(2)]
    assert sorted(found) == [1, 3]  # what was scored later isn't there


def test_another_day_can_be_asked_for(scores, tmp_path):
    (path,) = finish(report(ReportJob(scores, tmp_path / "report.html", date=EARLIER)))
    assert block(path.read_text(), "report")["day"]["date"] == EARLIER
    with pytest.raises(NotFoundError, match=r"no scores of 2026-10-01.*2026-11-01, 2026-11-02"):
        finish(report(ReportJob(scores, tmp_path / "report.html", date="2026-10-01")))


def test_sessions_that_moved_are_asked_for(tmp_path):
    scores = a_day(tmp_path, ["a", "b", "c"])
    moved = (tmp_path / "store").rename(tmp_path / "elsewhere")

    with pytest.raises(NotFoundError, match=r"store isn't there.*--store STORE"):
        finish(report(ReportJob(scores, tmp_path / "report.html")))
    (path,) = finish(report(ReportJob(scores, tmp_path / "report.html", stores=[moved])))
    assert block(path.read_text(), "report")["n_missing"] == 0


def test_a_case_whose_session_is_not_found_is_shown_without_a_path(tmp_path):
    scores = a_day(tmp_path, ["a", "b", "c"])
    other, _ = a_store(tmp_path / "other", ["c", "d"])
    (path,) = finish(report(ReportJob(scores, tmp_path / "report.html", stores=[other])))
    page = path.read_text()

    summary = block(page, "report")
    paths = [block(page, f"case-{i}")["path"] is None for i in range(3)]
    assert summary["n_missing"] == 2
    assert [row["id"] for row in summary["queue"]][paths.index(False)] == "c"


def test_a_log_without_accounts_is_compared_with_anybody(tmp_path):
    scores = a_day(tmp_path, [f"s{i}" for i in range(20)], accounts=False)
    (path,) = finish(report(ReportJob(scores, tmp_path / "report.html")))
    page = path.read_text()

    bands = {row["id"]: row["band"] for row in block(page, "report")["queue"]}
    assert block(page, "case-0")["account_block"] == 0
    beside = block(page, "account-0")["reference"]
    assert len(beside) == N_REFERENCE_SESSIONS + 1
    assert {bands[one["id"]] for one in beside} <= {"low", "abstained"}


def test_no_cases_are_no_limit(scores, tmp_path):
    with pytest.raises(ConfigError, match="limit is 0"):
        finish(report(ReportJob(scores, tmp_path / "report.html", limit=0)))
