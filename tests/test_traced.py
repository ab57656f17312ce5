"""Traced programs are kept for the next process, only where nothing has changed since."""

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import make_sessions
from jax import export
from tiny import untrained

from model.run import load_model, save_model
from model.saved_network import SavedNetwork, _program_of
from model.traced import traced_once
from pipeline.sessions.sessions import Sessions


@pytest.fixture
def cache(tmp_path) -> Iterator[Path]:
    """Return an empty cache of compiled programs that is in force."""
    folder, before = tmp_path / "cache", jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(folder))
    _program_of.cache_clear()
    yield folder
    jax.config.update("jax_compilation_cache_dir", before)
    _program_of.cache_clear()


def kept(cache: Path) -> list[Path]:
    return sorted(cache.glob("traced-*"))


class Trace:
    """Traces a sum, and counts how often."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self) -> export.Exported:
        self.n += 1
        return export.export(jax.jit(lambda x: x.sum()))(np.zeros(3, np.float32))


def total(program: export.Exported) -> float:
    return float(program.call(np.arange(3, dtype=np.float32)))


def test_a_program_is_traced_once(cache):
    trace = Trace()
    assert [total(traced_once(trace, "sum")) for _ in range(3)] == [3.0] * 3
    assert trace.n == 1
    assert len(kept(cache)) == 1


def test_it_is_traced_again_where_anything_is_different(cache, monkeypatch):
    trace = Trace()
    traced_once(trace, "sum")
    traced_once(trace, "sum", 24)
    assert trace.n == 2
    monkeypatch.setattr("model.traced._source_digest", lambda: "of another version")
    traced_once(trace, "sum")
    assert trace.n == 3
    monkeypatch.setattr("jax.default_backend", lambda: "cuda")
    traced_once(trace, "sum")
    assert trace.n == 4
    assert len(kept(cache)) == 4


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-9], lambda b: b"", lambda b: b[:99] + b"x" + b[100:]]
)
def test_a_damaged_one_is_replaced(cache, damage, caplog):
    caplog.set_level("INFO")
    trace = Trace()
    traced_once(trace, "sum")
    (path,) = kept(cache)
    path.write_bytes(damage(path.read_bytes()))
    assert total(traced_once(trace, "sum")) == 3.0
    assert trace.n == 2
    assert "is damaged" in caplog.text
    traced_once(trace, "sum")
    assert trace.n == 2


def test_without_a_cache_or_a_place_for_it_all_works_as_well(cache, caplog):
    caplog.set_level("INFO")
    cache.write_text("a file is in the way")
    trace = Trace()
    assert [total(traced_once(trace, "sum")) for _ in range(2)] == [3.0] * 2
    assert trace.n == 2
    assert "isn't kept" in caplog.text
    jax.config.update("jax_compilation_cache_dir", None)
    assert total(traced_once(trace, "sum")) == 3.0
    assert trace.n == 3


def walks() -> Sessions:
    rng = np.random.default_rng(0)
    steps = rng.normal(0, 9, (40, 2, 50)).cumsum(axis=2)
    return make_sessions(*(list(zip(np.arange(50) * 16, x, y, strict=True)) for x, y in steps))


def test_a_saved_network_gives_the_logits_of_the_network_it_was(cache, tmp_path):
    model = untrained()
    save_model(model, tmp_path / "run")
    again = load_model(tmp_path / "run")
    assert isinstance(again.scorer.trained, SavedNetwork)
    np.testing.assert_array_equal(
        again.scorer.predict(walks()).of_window, model.scorer.predict(walks()).of_window
    )
    assert again.model_id == model.model_id
    assert len(kept(cache)) == 1


def test_scores_by_a_kept_program_need_no_flax(cache, tmp_path):
    save_model(untrained(), tmp_path / "run")
    expected = load_model(tmp_path / "run").scorer.predict(walks()).of_window
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from model.run import load_model\n"
        "import numpy as np\n"
        "from conftest import make_sessions\n"
        "from pipeline.sessions.sessions import Sessions\n"
        f"{inspect.getsource(walks)}\n"
        f"scorer = load_model(Path({str(tmp_path / 'run')!r})).scorer\n"
        "print(scorer.predict(walks()).of_window.tolist())\n"
        "print(*(name.partition('.')[0] for name in sys.modules))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent,
        env=os.environ
        | {"JAX_COMPILATION_CACHE_DIR": str(cache), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    logits, loaded = found.stdout.splitlines()
    np.testing.assert_array_equal(np.array(json.loads(logits), np.float32), expected)
    assert "jax" in loaded.split()
    assert {"flax", "optax"} & set(loaded.split()) == set()
