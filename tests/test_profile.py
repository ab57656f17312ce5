"""A profile: a folder with a list of functions and a trace that tools can open."""

import gzip
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model.device import profiled
from pipeline.errors import NotFoundError


def test_a_profile_lists_functions_and_holds_a_trace(tmp_path):
    product = jax.jit(lambda a: a @ a)

    def add_up() -> int:
        return sum(i % 7 for i in range(300_000))

    with profiled(tmp_path / "profile"):
        add_up()
        np.testing.assert_allclose(product(jnp.eye(64)), np.eye(64))

    functions = (tmp_path / "profile" / "functions.txt").read_text()
    assert "Ordered by: cumulative time" in functions
    assert "(add_up)" in functions
    (trace,) = (tmp_path / "profile").rglob("perfetto_trace.json.gz")
    assert json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]


def test_without_a_folder_nothing_is_profiled(tmp_path):
    with profiled(None):
        pass
    assert not list(tmp_path.iterdir())


def test_an_error_inside_comes_out_and_the_profile_is_kept(tmp_path):
    with pytest.raises(ZeroDivisionError), profiled(tmp_path):
        1 / 0  # noqa: B018
    assert (tmp_path / "functions.txt").is_file()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(NotFoundError, match="it is a file"), profiled(tmp_path / "taken"):
        pass
