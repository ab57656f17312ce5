"""A training step on eight devices is the step on one."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from tiny import TINY

# In a process of its own: the number of devices is fixed when JAX starts.
PROGRAM = """
import json, sys
import jax, numpy as np
sys.path.insert(0, "tests")
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from tiny import TINY, easy_store, one_recorder
from flows.jobs.progress import finish
from model.batches import device_mesh
from model.train import fit
from pipeline.storage.store import load_sessions
from pipeline.sessions.windows import cut_windows
from flax import nnx

short = replace(TINY, train=replace(TINY.train, epochs=1, steps_per_epoch=3))
with TemporaryDirectory() as folder:
    sessions = load_sessions([easy_store(Path(folder) / "store")])
    is_train = np.arange(len(sessions)) % 4 > 0
    network, history = finish(fit(
        sessions, cut_windows(sessions, short.window), one_recorder(sessions.session_id),
        is_train, ~is_train, short, Path(folder) / "state",
    ))
leaves = jax.tree.leaves(nnx.state(network, nnx.Param))
print(json.dumps({
    "devices": len(jax.devices()),
    "shared_by": 1 if device_mesh(32) is None else device_mesh(32).size,
    "odd_batch": 1 if device_mesh(36) is None else device_mesh(36).size,
    "loss": [history[0].train_loss, history[0].valid_loss],
    "params": [float(x) for leaf in leaves for x in np.asarray(leaf).ravel()],
}))
"""


def trained_on(n_devices: int) -> dict:
    flags = f"--xla_force_host_platform_device_count={n_devices}"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_eight_devices_train_as_one_does():
    one, eight = trained_on(1), trained_on(8)

    assert (one["devices"], one["shared_by"]) == (1, 1)
    assert (eight["devices"], eight["shared_by"], eight["odd_batch"]) == (8, 8, 6)
    assert len(one["params"]) > 1000
    # Adam makes a step of a gradient that is nothing but rounding: of those few, steps differ.
    of_one, of_eight = np.array(one["params"]), np.array(eight["params"])
    assert np.isclose(of_eight, of_one, rtol=1e-4, atol=2e-5).mean() > 0.999
    np.testing.assert_allclose(of_eight, of_one, atol=TINY.train.learning_rate / 10, rtol=0)
    assert eight["loss"] == pytest.approx(one["loss"], rel=1e-4)
