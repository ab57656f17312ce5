"""Batches: every window once, in order, and all of one shape."""

import numpy as np
import pytest
from conftest import make_sessions

import model.batches
from model.batches import map_windows
from pipeline.sessions.windows import Windows


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(model.batches, "BATCH", 4)


def windows_of(n: int) -> tuple:
    """Return a session of n windows, of which the first has two events and each one more."""
    length = np.arange(2, n + 2)
    stop = np.cumsum(length)
    sessions = make_sessions([(i, i, 0) for i in range(length.sum())])
    return sessions, Windows(np.zeros(n, np.int64), stop - length, stop)


@pytest.mark.parametrize("n", [0, 1, 4, 5, 11])
def test_every_window_comes_once_and_in_order_in_one_shape(n):
    shapes = []

    def compute(paths, which):
        shapes.append((paths.t_ms.shape, which.shape))
        return paths.n_points, which

    found = list(map_windows(compute, *windows_of(n), 16))
    assert set(shapes) <= {((4, 16), (4,))}
    assert len(found) == len(shapes) == -(-n // 4)
    for chosen, (n_points, which) in found:
        np.testing.assert_array_equal(which, chosen)
        np.testing.assert_array_equal(n_points, chosen + 2)
    assert [i for chosen, _ in found for i in chosen] == list(range(n))


def test_the_last_batch_is_filled_up_with_its_first_window():
    seen = []
    list(map_windows(lambda paths, which: seen.append(which.tolist()), *windows_of(6), 16))
    assert sorted(seen) == [[0, 1, 2, 3], [4, 5, 4, 4]]


def test_an_error_in_a_batch_is_the_callers():
    def compute(paths, which):
        if which[0] == 8:
            raise ZeroDivisionError
        return paths.n_points

    with pytest.raises(ZeroDivisionError):
        list(map_windows(compute, *windows_of(11), 16))
