"""A trained model comes back from disk as it was; what doesn't fit is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_sessions
from flax import nnx
from tiny import TINY, untrained

from model.calibrate import Calibration
from model.fraud import FraudScorer
from model.manifest import write_manifest
from model.run import load_model
from pipeline.errors import NotFoundError, SchemaError

GOLDEN = Path(__file__).resolve().parent / "golden"


def edit(path, **changes):
    """Change settings in a JSON file of a RUN, and its manifest with them."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    write_manifest(path.parent)


def test_a_model_comes_back_as_it_was(saved_run):
    model, again = untrained(), load_model(saved_run)
    crooked = make_sessions([(t * 16, t * t % 90, t * 7 % 50) for t in range(60)])

    assert again.model_id == model.model_id
    assert (again.config, again.policy) == (model.config, model.policy)
    assert again.calibration == model.calibration
    logits = [m.scorer.predict(crooked).of_window for m in (model, again)]
    assert len(logits[0]) == 2
    np.testing.assert_array_equal(*logits)


def test_a_model_id_is_16_hex_digits_and_the_seed_decides_it():
    assert int(untrained().model_id, 16) < 16**16
    assert untrained().model_id == untrained().model_id
    assert untrained().model_id != untrained(replace(TINY, seed=1)).model_id


def test_all_that_decides_a_score_changes_the_model_id():
    model = untrained()
    policy = replace(model.policy, n_people=2)
    others = [
        replace(model, config=replace(TINY, score=replace(TINY.score, pooling="max"))),
        replace(model, calibration=Calibration(1.0, 0.1, 0.5)),
        replace(model, policy=policy),
    ]
    assert len({model.model_id, *(other.model_id for other in others)}) == 4


def test_one_parameter_changes_the_model_id():
    model = untrained()
    graph, parameters = nnx.split(model.scorer.network)
    leaves, structure = jax.tree.flatten(parameters)
    leaves[-1] = jnp.asarray(leaves[-1]).ravel().at[0].add(1e-6).reshape(leaves[-1].shape)
    network = nnx.merge(graph, jax.tree.unflatten(structure, leaves))

    assert replace(model, scorer=FraudScorer(model.config, network)).model_id != model.model_id


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(NotFoundError, match="no trained model here"):
        load_model(tmp_path)


def test_a_missing_checkpoint_is_refused(run):
    shutil.rmtree(run / "checkpoint")
    write_manifest(run)
    with pytest.raises(NotFoundError, match="no checkpoint there"):
        load_model(run)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "weather"}, "task: Input should be 'fraud' or 'owner'"),
        ({"seed": "many"}, "seed: "),
        ({"colour": "blue"}, "colour: unknown field"),
        ({"network": {"widths": [8, 16]}}, "network.hidden: missing field"),
        ({"panels": {"names": ["hodograph", "trace"], "cells": 16}}, "unknown panel 'trace'"),
    ],
)
def test_settings_of_another_version_are_refused(run, changes, message):
    edit(run / "config.json", **changes)
    with pytest.raises(SchemaError, match=message):
        load_model(run)


def test_a_run_of_version_0_1_is_refused_with_what_to_do(run, tmp_path):
    shutil.copy(GOLDEN / "config-0.1.0.json", run / "config.json")
    write_manifest(run)
    with pytest.raises(SchemaError, match="resample: missing field") as refused:
        load_model(run)
    said = str(refused.value)
    assert said.startswith(f"{run / 'config.json'}: ")
    assert "it was written by another version of pointerprint: train again with this one" in said
    assert "`pointerprint train STORE --to RUN`" in said
    assert "or score with the version that made it" in said
    assert "\n" not in said


@pytest.mark.parametrize("part", ["network", "panels"])
def test_parameters_that_do_not_fit_the_settings_are_refused(run, part):
    found = json.loads((run / "config.json").read_text())[part]
    change = {"network": {"widths": [8, 24]}, "panels": {"cells": 24}}[part]
    edit(run / "config.json", **{part: found | change})
    with pytest.raises(SchemaError, match=r"doesn't fit config\.json"):
        load_model(run)


@pytest.mark.parametrize("name", ["config.json", "calibration.json", "policy.json"])
def test_a_file_cut_short_is_refused(run, name):
    path = run / name
    path.write_text(path.read_text()[:-9])
    write_manifest(run)
    with pytest.raises(SchemaError, match=f"{name}: it can't be read"):
        load_model(run)
