"""Summaries inside the network are those of `pipeline.kinematics`, and finite for any window."""

import jax
import numpy as np
import pytest
from conftest import make_sessions

from model.config import HabitsConfig, RunConfig
from model.habits import N_HABITS
from model.kinematics import _SCALES, N_SUMMARIES, summaries
from model.network import Network
from pipeline.kinematics import KINEMATIC_FEATURES, kinematic_features
from pipeline.sessions import Sessions
from pipeline.windows import Windows, pad_windows
from rasterize.draw import to_device

SAME = {
    "root of straightness": ("straightness", np.sqrt),
    "root of deviation": ("deviation", np.sqrt),
    "log of mean speed": ("speed_mean_px_s", np.log1p),
    "log of the speeds' spread": ("speed_std_px_s", np.log1p),
    "log of the highest speed": ("speed_max_px_s", np.log1p),
    "log of the speeds' relative spread": ("speed_cv", np.log1p),
    "log of the peaks of speed a second": ("speed_peaks_per_s", np.log1p),
    "log of acceleration": ("acceleration_mean_px_s2", np.log1p),
    "log of jerk": ("jerk_mean_px_s3", np.log1p),
    "root of the share along an axis": ("axis_aligned_share", np.sqrt),
    "log of the steps' spread": ("step_std_px", np.log1p),
    "root of the share of time at rest": ("pause_share", np.sqrt),
    "log of the intervals' spread": ("interval_std_ms", np.log1p),
}


def whole(sessions: Sessions) -> Windows:
    return Windows(np.arange(len(sessions)), sessions.offsets[:-1], sessions.offsets[1:])


def summaries_of(sessions: Sessions, n_points: int) -> dict[str, np.ndarray]:
    """Return each summary of whole sessions, as it is before it is brought to scale."""
    found = np.asarray(
        jax.jit(summaries)(to_device(pad_windows(sessions, whole(sessions), n_points)))
    )
    centre, spread = np.array(list(_SCALES.values()), np.float32).T
    return dict(zip(_SCALES, (found * spread + centre).T, strict=True))


def wandering(n: int, seed: int) -> list[tuple]:
    """Return a smooth random walk of whole px that always moves, with uneven intervals."""
    rng = np.random.default_rng(seed)
    t_ms = np.cumsum(rng.choice([8, 16, 17, 150], n, p=[0.2, 0.4, 0.35, 0.05]))
    step = np.cumsum(rng.normal(0, 3, (2, n)), axis=1)
    step = np.rint(step)
    step[0, (step == 0).all(axis=0)] = 1
    x, y = np.cumsum(step, axis=1) + 500
    return list(zip(t_ms.tolist(), x.tolist(), y.tolist(), strict=True))


def test_they_are_the_features_of_the_same_name():
    sessions = make_sessions(*(wandering(n, n) for n in (20, 60, 100)))
    features = dict(
        zip(KINEMATIC_FEATURES, kinematic_features(sessions, whole(sessions)).T, strict=True)
    )

    found = summaries_of(sessions, 128)

    for name, (feature, change) in SAME.items():
        np.testing.assert_allclose(
            found[name], change(features[feature]), rtol=2e-3, atol=2e-3, err_msg=name
        )


def test_filling_changes_nothing():
    sessions = make_sessions(wandering(40, 1))

    short, long = summaries_of(sessions, 40), summaries_of(sessions, 200)

    for name in _SCALES:
        np.testing.assert_allclose(short[name], long[name], rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    "path",
    [
        [(0, 5, 5)],
        [(0, 5, 5), (16, 5, 5)],
        [(0, 5, 5), (0, 9, 5), (0, 5, 5)],
        [(16 * i, 7, 7) for i in range(20)],
        [(16 * i, 10 * i, 0) for i in range(20)],
        [(0, 0, 0), (16, 1e6, -1e6), (32, 0, 0)],
    ],
    ids=["one", "still", "at one time", "never moves", "a line", "far"],
)
def test_what_can_not_be_said_is_no_nan(path):
    assert np.isfinite(list(summaries_of(make_sessions(path), 64).values())).all()


@pytest.mark.parametrize(
    ("task", "summarises", "n_seen"),
    [
        ("fraud", True, N_HABITS + N_SUMMARIES),
        ("fraud", False, N_HABITS),
        ("owner", True, N_HABITS),
    ],
)
def test_the_fraud_network_sees_them_beside_habits(task, summarises, n_seen):
    config = RunConfig(task=task, habits=HabitsConfig(summaries=summarises))

    network = Network(config)

    assert network.habits is not None
    assert network.habits.weights[...].shape[0] == n_seen
