"""Reason codes: what they measure, on sessions simple enough to know, and where there is none."""

import json

import numpy as np
import pyarrow as pa
import pytest
from conftest import make_sessions
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SchemaError
from pipeline.features.motion import measure_motion
from pipeline.reasons.account import cut_sub_sessions
from pipeline.reasons.find import find_reasons, reason_lists
from pipeline.reasons.reference import (
    LENGTHS,
    QUANTILES,
    REFERENCE_RANGES_FILE,
    ReferenceRanges,
    fit_reference_ranges,
    read_reference_ranges,
)
from pipeline.reasons.registry import (
    ACCOUNT_MEASURES,
    CODES,
    MEASURED,
    MEASURES,
    measure_sessions,
)
from pipeline.reasons.words import OF_PEOPLE, measured_in_words
from pipeline.schemas import REASONS, Kind
from pipeline.sessions.sessions import concatenate_sessions

TICK_MS = 16
N_STEPS = 20


def reach(start: complex, end: complex, share: np.ndarray, bow_px: float = 0.0) -> np.ndarray:
    """Return a movement that has covered `share` of its way at each event."""
    across = 1j * (end - start) / abs(end - start)
    return start + share * (end - start) + bow_px * np.sin(np.pi * share) * across


def walk(shares: list[np.ndarray], bow_px: float = 0.0, jitter_px: float = 0.0, rest_ms: int = 400):
    """Return rows (t_ms, x, y) of movements between places far apart, a rest after each."""
    rng = np.random.default_rng(0)
    rows, t_ms, at = [], 0, 100 + 100j
    for i, share in enumerate(shares):
        to = complex(*rng.uniform(100, 900, 2))
        while abs(to - at) < 300:
            to = complex(*rng.uniform(100, 900, 2))
        path = reach(at, to, share, bow_px * (-1) ** i)
        path[1:-1] += jitter_px * (
            rng.normal(size=len(path) - 2) + 1j * rng.normal(size=len(path) - 2)
        )
        rows += [(t_ms + TICK_MS * j, p.real, p.imag) for j, p in enumerate(path)]
        t_ms += TICK_MS * (len(path) - 1) + rest_ms
        at = path[-1]
    return rows


EVEN = np.linspace(0, 1, N_STEPS + 1)
EASED = (1 - np.cos(np.pi * EVEN)) / 2


def measured(rows: list[tuple], name: str) -> float:
    return float(measure_sessions(make_sessions(rows))[0][name][0])


def ranges_of(levels: dict[str, tuple], interval_ms=(8.0, 32.0)) -> ReferenceRanges:
    """Return reference ranges in which every measure but those of `levels` is never odd."""
    never = dict.fromkeys(MEASURES, (-np.inf, 0.0, 0.5, 1.0, np.inf))
    return ReferenceRanges(
        {name: np.tile(row, (len(LENGTHS), 1)) for name, row in (never | levels).items()},
        interval_ms,
    )


def test_a_straight_even_walk_is_measured_as_one():
    rows = walk([EVEN] * 6)

    assert measured(rows, "stray_share") < 0.005  # whole pixels
    assert measured(rows, "speed_variation") < 0.06
    assert measured(rows, "start_share") > 0.9
    assert measured(rows, "turn_mean_rad") < 0.05
    assert measured(rows, "nonstop_s") == pytest.approx(N_STEPS * TICK_MS / 1000, rel=0.05)


def test_a_bow_strays_by_its_height_over_the_chord():
    low, high = (measured(walk([EVEN] * 6, bow_px=px), "stray_share") for px in (20, 60))

    assert high == pytest.approx(3 * low, rel=0.05)
    assert 60 / 1200 < high < 60 / 300  # chords are 300 to 1200 px


def test_movements_of_one_course_are_alike_and_others_are_not():
    late, early = EVEN**3, 1 - (1 - EVEN) ** 3

    assert measured(walk([EASED] * 8), "profile_likeness") > 0.95
    assert measured(walk([late, early] * 4), "profile_likeness") < 0.1


def test_jitter_makes_a_path_jagged_and_rough_and_its_speed_uneven():
    smooth, shaky = walk([EASED] * 6, bow_px=30), walk([EASED] * 6, bow_px=30, jitter_px=4)

    for name in ("turn_mean_rad", "roughness", "speed_peaks_per_s"):
        assert measured(shaky, name) > 2 * measured(smooth, name)


def test_a_jump_that_nothing_leads_up_to_is_one():
    stand = [(0, 100, 100), (16, 103, 100), (32, 106, 100), (48, 109, 100)]
    jump = [(64, 609, 100), (80, 612, 100), (96, 615, 100), (112, 618, 100), (128, 621, 100)]

    assert measured(stand + jump, "jump_share") == pytest.approx(500 / 521)
    fling = [(16 * i, 200 * i, 100) for i in range(9)]  # each step leads up to the next
    assert measured(fling, "jump_share") == 0


def test_steps_along_an_axis_and_equal_steps_are_counted():
    staircase = [(16 * i, 10 * (i - i // 2), 10 * (i // 2)) for i in range(60)]
    straight = [(16 * i, 10 * i, 5 * i) for i in range(60)]

    assert measured(staircase, "axis_share") == 1
    assert measured(staircase, "equal_step_share") == 0
    assert measured(straight, "axis_share") == 0
    assert measured(straight, "equal_step_share") == pytest.approx(58 / 58)


def test_the_commonest_interval_is_counted_in_whole_ms():
    t_ms = np.cumsum([16] * 30 + [17] * 10)
    rows = [(t, 5 * i, i) for i, t in enumerate(t_ms)]

    assert measured(rows, "modal_interval_share") == pytest.approx(29 / 39)


def test_clicks_are_compared_with_where_the_pointer_was():
    def row(i, x, kind):
        return (500 * i, x, 100, kind)

    near = [row(i, 100 * (i // 2), Kind.MOVE if i % 2 == 0 else Kind.DOWN) for i in range(12)]
    far = [row(i, 100 * i, Kind.DOWN) for i in range(6)]
    twice = [row(i, 100, Kind.DOWN) for i in range(6)]
    values = measure_sessions(make_sessions(near, far, twice))[0]

    assert values["far_click_share"].tolist() == [0, 1, 0]
    assert values["click_variation"].tolist() == [0, 0, 0]


def test_touches_need_no_approach():
    rows = [(500 * i, 100 * i, 100, Kind.TOUCH if i == 0 else Kind.DOWN) for i in range(8)]

    values = measure_sessions(make_sessions(rows))[0]
    assert np.isnan([values["far_click_share"][0], values["click_variation"][0]]).all()


def test_too_little_says_nothing():
    values, interval_ms = measure_sessions(make_sessions([(0, 1, 1)], [], [(0, 1, 1), (20, 2, 2)]))

    assert all(np.isnan(value).all() for value in values.values())
    np.testing.assert_array_equal(interval_ms, [np.nan, np.nan, 20])


def test_no_sessions_have_no_reasons():
    nothing = make_sessions()

    assert find_reasons(nothing, ranges_of({})).num_rows == 0
    assert len(reason_lists(nothing, ranges_of({}))) == 0


def test_a_session_is_measured_alike_alone_and_among_others():
    rows = [walk([EASED] * 5, 20, 1), walk([EVEN] * 7), [(0, 1, 1)], walk([EASED] * 4, 5, 3)]
    together = measure_sessions(make_sessions(*rows))[0]

    for i, one in enumerate(rows):
        alone = measure_sessions(make_sessions(one))[0]
        for name in MEASURES:
            np.testing.assert_allclose(together[name][i], alone[name][0], rtol=1e-9)


def test_a_reason_is_unusual_and_odd_by_itself():
    sessions = make_sessions(walk([EVEN] * 6))
    far_out = ranges_of({"stray_share": (0.01, 0.03, 0.1, 0.5, 1.0)})
    all_are = ranges_of({"stray_share": (0.0001, 0.0002, 0.002, 0.5, 1.0)})

    found = find_reasons(sessions, far_out)
    assert found.schema.equals(REASONS, check_metadata=True)
    assert found["code"].to_pylist() == ["straight_path"]
    (row,) = found.to_pylist()
    assert (row["usual_low"], row["usual_high"]) == pytest.approx((0.03, 0.5))
    assert row["value"] < 0.005
    assert row["strength"] > 1
    assert find_reasons(sessions, all_are).num_rows == 0


def test_the_floor_holds_whatever_people_do():
    bowed = make_sessions(walk([EVEN] * 6, bow_px=30))
    crooked = ranges_of({"stray_share": (0.4, 0.5, 0.6, 0.7, 1.0)})

    assert find_reasons(bowed, crooked).num_rows == 0  # the limit is 0.4, the floor 0.02


def test_the_strongest_reason_comes_first():
    sessions = make_sessions(walk([EASED] * 3), walk([EVEN] * 6))
    levels = {
        "stray_share": (0.01, 0.03, 0.1, 0.5, 1.0),
        "speed_variation": (0.4, 0.5, 1.0, 1.5, 2.0),
        "start_share": (0.0, 0.0, 0.1, 0.5, 0.6),
    }
    found = find_reasons(sessions, ranges_of(levels)).to_pandas()
    of_last = found[found.session_id == "s1"]

    assert set(of_last.measure) == set(levels)
    assert set(of_last.code) == {"straight_path", "constant_speed", "sudden_start"}
    assert of_last.strength.is_monotonic_decreasing
    assert found.session_id.is_monotonic_increasing
    lists = reason_lists(sessions, ranges_of(levels)).to_pylist()
    assert lists == [["straight_path"], of_last.code.tolist()]


def test_a_recorder_nobody_knows_is_not_compared_in_what_it_decides():
    sessions = make_sessions(walk([EVEN] * 6))
    levels = {"speed_variation": (0.4, 0.5, 1.0, 1.5, 2.0), "stray_share": (0.01, 0.03, 0.1, 1, 2)}

    known, unknown = (
        find_reasons(sessions, ranges_of(levels, ms))["code"].to_pylist()
        for ms in ((8.0, 17.0), (90.0, 120.0))
    )
    assert set(known) == {"straight_path", "constant_speed"}
    assert unknown == ["straight_path"]


def people(n: int, n_movements: int = 24):
    """Return sessions of people whose movements are all a little different."""
    rng = np.random.default_rng(1)
    shares = [[EVEN ** rng.uniform(0.8, 2.5) for _ in range(n_movements)] for _ in range(n)]
    rows = [walk(share, rng.uniform(20, 40), rng.uniform(1, 2)) for share in shares]
    names = np.array([f"person_{i % 6}" for i in range(n)], object)
    return make_sessions(*rows, account_id=names)


def test_the_reference_ranges_hold_for_people_and_not_for_a_script():
    sessions = people(24)
    reference = fit_reference_ranges(sessions, sessions.account_id)
    again = find_reasons(sessions, reference)

    assert len(set(again["session_id"].to_pylist())) <= 2
    bot = find_reasons(make_sessions(walk([EVEN] * 24)), reference)["code"].to_pylist()
    assert "straight_path" in bot


def test_each_person_counts_alike():
    one = make_sessions(walk([EASED] * 40, 40, 2))
    many = concatenate_sessions([one] * 9)
    other = make_sessions(walk([EASED] * 40, 90, 2))
    sessions = concatenate_sessions([many, other])
    person = np.array(["a"] * 9 + ["b"], object)

    middle = fit_reference_ranges(sessions, person).levels["stray_share"][1][QUANTILES.index(0.5)]
    alone = fit_reference_ranges(one, person[:1]).levels["stray_share"][1][QUANTILES.index(0.5)]
    assert middle > alone or np.isnan(alone)


def test_of_too_few_sub_sessions_no_limit_is_known():
    sessions = people(2, n_movements=3)
    reference = fit_reference_ranges(sessions, sessions.account_id)

    assert all(np.isnan(levels).all() for levels in reference.levels.values())
    assert find_reasons(make_sessions(walk([EVEN] * 6)), reference).num_rows == 0


def test_reference_ranges_survive_the_disk(tmp_path):
    sessions = people(12)
    reference = fit_reference_ranges(sessions, sessions.account_id)
    (tmp_path / "reasons.json").write_text(json.dumps(reference.to_json(), allow_nan=False))
    again = read_reference_ranges(tmp_path)

    assert again.interval_ms == reference.interval_ms
    for name in MEASURES:
        np.testing.assert_array_equal(again.levels[name], reference.levels[name])
    assert read_reference_ranges(tmp_path / "elsewhere") is None


@pytest.mark.parametrize("text", ["{}", "[", '{"lengths": [1], "levels": {}, "interval_ms": [1]}'])
def test_a_broken_file_is_named(tmp_path, text):
    (tmp_path / "reasons.json").write_text(text)
    with pytest.raises(SchemaError, match=r"reasons\.json"):
        read_reference_ranges(tmp_path)


def test_sub_sessions_are_spread_over_the_session():
    rows = [(10 * i, i, 0) for i in range(100)]
    parts, of_session = cut_sub_sessions(make_sessions(rows, rows[:20]), 32)

    assert of_session.tolist() == [0, 0, 0]
    assert parts.n_events.tolist() == [32, 32, 32]
    assert parts.t_us[parts.offsets[:-1]].tolist() == [0, 0, 0]
    assert len(set(parts.session_id)) == 3


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.integers(0, 3000), st.integers(-50, 3000), st.integers(-50, 3000),
                st.sampled_from([int(kind) for kind in Kind]),
            ),
            max_size=60,
        ),
        min_size=1,
        max_size=3,
    )
)  # fmt: skip
def test_no_measure_is_ever_infinite(paths):
    rows = [
        [(int(t), *row[1:]) for t, row in zip(np.cumsum([r[0] for r in path]), path, strict=True)]
        for path in paths
    ]
    values, _ = measure_sessions(make_sessions(*rows))
    for name, value in values.items():
        assert not np.isinf(value).any(), name


def test_movements_are_those_of_their_session():
    motion = measure_motion(make_sessions(walk([EVEN] * 3), walk([EVEN] * 5)))

    assert np.bincount(motion.session_of_movement).tolist() == [3, 5]
    n_steps = np.bincount(motion.movement.of)
    assert set(n_steps) <= {N_STEPS, N_STEPS - 1}  # two events may share a tick of 16 ms
    assert len(n_steps) == 8


def test_every_code_has_a_measure_and_words():
    assert {reason.measure.name for reason in MEASURED} == set(MEASURES)
    for code in CODES.values():
        assert code.words.endswith(".")
        assert code.misleads
    assert isinstance(find_reasons(make_sessions(), ranges_of({})), pa.Table)


def test_every_measure_names_its_quantity_and_its_unit():
    for measure in (MEASURES | ACCOUNT_MEASURES).values():
        assert measure.words
        assert not (measure.unit and measure.share_of)
        said = measured_in_words(measure, 0.0, 0.02, 0.2, OF_PEOPLE)
        quantity, _, value = said.partition("; ")[0].rpartition(": ")
        assert quantity.lower() == measure.words.lower()
        is_named = measure.unit or measure.share_of or "1: all the same" in quantity
        assert is_named, f"{measure.name}: 0 of what?"
        assert value.startswith("0")


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("speed_px_s", (1234.0, 301.0, 600.0),
         "Speed while moving: 1,200 px/s; legitimate sessions: 300 to 600 px/s"),
        ("stray_share", (0.0, 0.021, 0.2),
         "Farthest stray from a straight line: 0 % of the distance between its ends; "
         "legitimate sessions: 2.1 to 20 %"),
        ("speed_peaks_per_s", (0.042, 3.26, 12.0),
         "Ups and downs of speed: 0.042 per second; legitimate sessions: 3.3 to 12 per second"),
        ("profile_likeness", (0.996, 0.1, 0.3),
         "Likeness of the movements' courses of speed (1: all the same): 1.00; "
         "legitimate sessions: 0.10 to 0.30"),
    ],
)  # fmt: skip
def test_what_was_measured_is_said_with_quantity_unit_and_range(name, values, said):
    measure = (MEASURES | ACCOUNT_MEASURES)[name]
    assert measured_in_words(measure, *values, OF_PEOPLE) == said


LEVELS = {"stray_share": (0.01, 0.03, 0.1, 0.5, 1.0), "speed_variation": (0.4, 0.5, 1.0, 1.5, 2.0)}


def rewritten(tmp_path, change) -> ReferenceRanges | None:
    """Return the reference ranges of a RUN whose file was `change`d."""
    kept = ranges_of(dict.fromkeys(MEASURES, (-1e9, 0.0, 0.5, 1.0, 1e9)) | LEVELS).to_json()
    change(kept["levels"])
    (tmp_path / REFERENCE_RANGES_FILE).write_text(json.dumps(kept))
    return read_reference_ranges(tmp_path)


def test_a_run_older_than_a_reason_gives_no_such_reason(tmp_path):
    older = rewritten(tmp_path, lambda levels: levels.pop("speed_variation"))

    codes = find_reasons(make_sessions(walk([EVEN] * 6)), older)["code"].to_pylist()
    assert codes == ["straight_path"]


def test_a_run_with_a_measure_that_is_no_more_ignores_it(tmp_path):
    newer = rewritten(tmp_path, lambda levels: levels.update(gone=levels["stray_share"]))

    codes = find_reasons(make_sessions(walk([EVEN] * 6)), newer)["code"].to_pylist()
    assert set(codes) == {"straight_path", "constant_speed"}
