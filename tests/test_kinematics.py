"""Features are what their descriptions say, on paths that can be checked by eye."""

import numpy as np
import pytest
from conftest import make_sessions
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.features.best_feature import feature_aucs
from pipeline.features.kinematics import (
    CLOCK_FEATURES,
    FEATURES,
    KINEMATIC_FEATURES,
    MOTION_FEATURES,
    SCREEN_FEATURES,
    kinematic_features,
    session_features,
)
from pipeline.features.motion import jump_share, measure_motion
from pipeline.features.movements import find_movements
from pipeline.sessions.jumps import find_jumps
from pipeline.sessions.ragged import Grouping
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import Windows


def whole_sessions(sessions: Sessions) -> Windows:
    """Return a window around each session."""
    return Windows(np.arange(len(sessions)), sessions.offsets[:-1], sessions.offsets[1:])


def features_of(*path: tuple) -> dict[str, float]:
    """Return the features of one path of (t_ms, x, y)."""
    sessions = make_sessions(list(path))
    values = kinematic_features(sessions, whole_sessions(sessions))
    return dict(zip(KINEMATIC_FEATURES, values[0].tolist(), strict=True))


def test_a_line_at_one_speed():
    # 30 px right and 40 px down each 100 ms: 50 px, 500 px/s.
    path = features_of((0, 0, 0), (100, 30, 40), (200, 60, 80), (300, 90, 120))

    assert path["straightness"] == pytest.approx(1)
    assert path["deviation"] == pytest.approx(0)
    for name in ("mean", "median", "max"):
        assert path[f"speed_{name}_px_s"] == pytest.approx(500)
    for name in ("speed_cv", "acceleration_mean_px_s2", "turn_mean_rad", "axis_aligned_share"):
        assert path[name] == pytest.approx(0, abs=1e-3)
    assert path["no_turn_share"] == 1
    assert path["direction_down_right"] == pytest.approx(1)
    assert path["direction_entropy_bits"] == pytest.approx(0)
    assert path["interval_median_ms"] == pytest.approx(100)
    assert path["interval_modal_share"] == 1
    assert (path["x_max_px"], path["y_max_px"]) == (90, 120)


def test_three_sides_of_a_square():
    # Right, down, left, 10 px each in 10, 10 and 20 ms.
    path = features_of((0, 0, 0), (10, 10, 0), (20, 10, 10), (40, 0, 10))

    assert path["straightness"] == pytest.approx(10 / 30)
    assert path["deviation"] == pytest.approx(10 / 30)
    assert path["speed_mean_px_s"] == pytest.approx(750)
    assert path["speed_median_px_s"] == pytest.approx(1000)
    assert path["acceleration_mean_px_s2"] == pytest.approx((0 + 500 / 0.015) / 2)
    assert path["turn_mean_rad"] == pytest.approx(np.pi / 2)
    assert path["turn_std_rad"] == pytest.approx(0, abs=1e-6)
    assert path["curvature_mean_rad_px"] == pytest.approx(np.pi / 30)
    assert path["axis_aligned_share"] == 1
    assert [path[f"direction_{to}"] for to in ("right", "down", "left", "up")] == pytest.approx(
        [1 / 3, 1 / 3, 1 / 3, 0]
    )
    assert path["direction_entropy_bits"] == pytest.approx(np.log2(3))
    assert path["interval_modal_share"] == pytest.approx(2 / 3)


def test_one_submovement_with_its_peak_in_the_middle():
    # Steps of 1, 3, 8, 3 and 1 px.
    path = features_of(*[(20 * i, x, 0) for i, x in enumerate([0, 1, 4, 12, 15, 16])])

    assert path["speed_peak_position"] == pytest.approx(0.5)
    assert path["speed_peaks_per_s"] == pytest.approx(1 / 0.1)
    assert path["speed_max_px_s"] == pytest.approx(400)
    assert path["step_median_px"] == 3


def test_going_to_and_fro_is_all_reversals():
    path = features_of((0, 0, 0), (10, 5, 0), (20, 0, 0), (30, 5, 0), (40, 0, 0))

    assert path["straightness"] == 0
    assert path["deviation"] == pytest.approx(5 / 20)  # from the place where it starts and ends
    assert path["reversal_share"] == 1
    assert path["turn_mean_rad"] == pytest.approx(np.pi)


def test_rests_count_by_events_and_by_time():
    path = features_of((0, 0, 0), (20, 10, 0), (40, 10, 0), (240, 20, 0), (260, 20, 0))

    assert path["repeated_share"] == pytest.approx(2 / 4)
    assert path["pause_share"] == pytest.approx(200 / 260)


def test_a_jump_within_one_time_stamp_takes_a_millisecond():
    path = features_of((0, 0, 0), (0, 3, 4))

    assert path["speed_max_px_s"] == pytest.approx(5000)


def test_a_window_that_stands_is_all_numbers():
    path = features_of((0, 5, 5), (10, 5, 5), (20, 5, 5))

    moved = [name for name in MOTION_FEATURES if path[name] != 0]
    assert moved == ["repeated_share"]


def test_every_feature_is_described_and_of_one_kind():
    assert tuple(FEATURES) == MOTION_FEATURES + CLOCK_FEATURES + SCREEN_FEATURES
    assert tuple(FEATURES) == KINEMATIC_FEATURES
    assert len(set(KINEMATIC_FEATURES)) == len(KINEMATIC_FEATURES)
    assert all(FEATURES.values())


rows = st.tuples(st.integers(0, 400), st.integers(-50, 3000), st.integers(0, 2000))
paths = st.lists(rows, min_size=1, max_size=30)


@settings(max_examples=50, deadline=None)
@given(st.lists(paths, min_size=1, max_size=4))
def test_a_windows_features_are_its_own_and_finite(rows_of_paths):
    timed = [
        [(t, *row[1:]) for t, row in zip(np.cumsum([r[0] for r in path]), path, strict=True)]
        for path in rows_of_paths
    ]
    together = make_sessions(*timed)

    values = kinematic_features(together, whole_sessions(together))

    assert np.isfinite(values).all()
    for i, path in enumerate(timed):
        alone = make_sessions(path)
        # A float64 sum over all windows rounds a little otherwise than one over a window.
        np.testing.assert_allclose(
            values[i], kinematic_features(alone, whole_sessions(alone))[0], rtol=1e-4, atol=1e-4
        )


def test_moving_the_path_changes_only_where_it_is():
    here = [(0, 0, 0), (10, 7, 1), (30, 9, 8), (40, 2, 2)]
    there = [(t, x + 100, y + 50) for t, x, y in here]

    one, other = features_of(*here), features_of(*there)

    changed = {name for name in FEATURES if one[name] != pytest.approx(other[name], abs=1e-5)}
    assert changed == set(SCREEN_FEATURES)


def test_no_windows_have_no_features():
    sessions = make_sessions([(0, 0, 0), (10, 1, 1)])
    none = whole_sessions(sessions).take(np.zeros(1, bool))

    assert kinematic_features(sessions, none).shape == (0, len(KINEMATIC_FEATURES))
    assert np.isnan(session_features(sessions, none)).all()


def test_a_session_is_the_mean_of_its_windows():
    sessions = make_sessions([(10 * i, i * i, 0) for i in range(6)], [(0, 0, 0), (9, 9, 9)])
    windows = Windows(np.array([0, 0]), np.array([0, 3]), np.array([3, 6]))

    of_sessions = session_features(sessions, windows)

    np.testing.assert_allclose(
        of_sessions[0], kinematic_features(sessions, windows).mean(axis=0), rtol=1e-6
    )
    assert np.isnan(of_sessions[1]).all()


def test_groups_are_reduced_each_by_itself():
    groups = Grouping(np.array([0, 0, 0, 2, 2]), 4)
    values = np.array([3.0, 1.0, 2.0, -7.0, -5.0])

    assert groups.count().tolist() == [3, 0, 2, 0]
    assert groups.sum(values).tolist() == [6, 0, -12, 0]
    assert groups.mean(values).tolist() == [2, 0, -6, 0]
    assert groups.max(values).tolist() == [3, 0, -5, 0]
    assert groups.median(values).tolist() == [2, 0, -6, 0]
    np.testing.assert_allclose(groups.std(values), [np.sqrt(2 / 3), 0, 1, 0])


def test_auc_counts_pairs():
    labels = np.array([0, 0, 1, 1], np.int8)
    #       perfect, reversed, all tied, one of four pairs wrong
    values = np.array([[1, 4, 5, 1], [2, 3, 5, 3], [3, 2, 5, 2], [4, 1, 5, 4]], np.float32)

    assert feature_aucs(values, labels).tolist() == [1, 0, 0.5, 0.75]


def test_each_feature_is_ranked_by_itself_over_the_labelled_rows():
    labels = np.array([0, 0, 1, 1, -1], np.int8)
    values = np.zeros((5, len(KINEMATIC_FEATURES)), np.float32)
    values[:, KINEMATIC_FEATURES.index("speed_cv")] = [4, 3, 2, 1, 9]  # low is fraud
    values[:, KINEMATIC_FEATURES.index("interval_std_ms")] = [1, 3, 2, 4, 9]

    auc = dict(zip(KINEMATIC_FEATURES, feature_aucs(values, labels), strict=True))
    assert (auc["speed_cv"], auc["interval_std_ms"]) == (0.0, 0.75)
    assert set(auc.values()) == {0.0, 0.5, 0.75}


def test_an_auc_needs_both_classes():
    with pytest.raises(DataError, match="all 2 sessions are fraud"):
        feature_aucs(np.zeros((2, 1), np.float32), np.ones(2, np.int8))


def test_where_the_pointer_was_away_no_feature_counts_the_step():
    path = [(16 * i, 5 * i, 3 * i) for i in range(12)]
    away = [(t + 3000, x + 900, y + 400) for t, x, y in path]
    here, both = make_sessions(path), make_sessions([*path, *away])
    features = [
        dict(zip(KINEMATIC_FEATURES, kinematic_features(s, whole_sessions(s))[0], strict=True))
        for s in (here, both)
    ]
    for name in ("speed_max_px_s", "speed_mean_px_s", "step_median_px", "straightness"):
        assert features[0][name] == pytest.approx(features[1][name], rel=1e-3), name
    assert jump_share(measure_motion(both)).value.tolist() == [0.0]


def test_a_jump_is_a_rest_and_is_found_whatever_sessions_stand_beside():
    slow = [(100 * i, 9 * i, 0) for i in range(12)]
    away = [(t + 1400, x + 700, 500) for t, x, _ in slow]  # after 300 ms: for this clock no rest
    back = [(0, 0, 0), (900, 800, 0), *((900 + 100 * i, 800 + 9 * i, 0) for i in range(1, 9))]
    leaves = [*slow, (2000, 900, 0)]

    one = measure_motion(make_sessions([*slow, *away]))
    several = measure_motion(make_sessions(leaves, back, [*slow, *away]))

    assert one.is_away.sum() == one.is_rest.sum() == 1
    assert jump_share(one).value.tolist() == [0.0]
    assert jump_share(several).value.tolist() == [0.0] * 3
    assert find_jumps(make_sessions(leaves, [], back)).nonzero()[0].tolist() == [12, 14]


def test_a_jump_ends_a_movement_of_a_slow_recorder_too():
    slow = [(200 * i, 20 * i, 0) for i in range(8)]
    away = [(t + 1400 + 600, x + 700, 500) for t, x, _ in slow]
    found = find_movements(make_sessions([*slow, *away]))
    assert list(zip(found.first.tolist(), found.last.tolist(), strict=True)) == [(0, 7), (8, 15)]


def test_movements_of_a_session_depend_on_it_alone():
    rng = np.random.default_rng(0)
    paths = [
        [(16 * i, *rng.integers(0, 200, 2)) for i in range(n)] for n in (40, 0, 1, 2, 3, 25, 9)
    ]
    together = make_sessions(*paths)
    found = find_movements(together)
    apart = [find_movements(make_sessions(path)) for path in paths]
    starts = together.offsets[:-1]
    for name in ("first", "last"):
        expected = [getattr(of, name) + start for of, start in zip(apart, starts, strict=True)]
        np.testing.assert_array_equal(getattr(found, name), np.concatenate(expected))
    assert {39, together.offsets[-1] - 1} <= set(found.last)  # a last event ends its movement
