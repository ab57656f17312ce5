"""A RUN on disk: everything that decides a score, and how it came about.

RUN/config.json  checkpoint/  calibration.json  policy.json     decide a score
RUN/metrics.json  split.json  history.json  MODEL_CARD.md  *.png   say how it came about
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from pydantic import TypeAdapter, ValidationError

from model.calibrate import Calibration
from model.checkpoint import load_parameters, save_parameters
from model.config import RunConfig
from model.network import Network
from model.policy import Policy
from pipeline.errors import NotFoundError, SchemaError
from pipeline.publish import write_json


@dataclass(frozen=True)
class TrainedModel:
    """What scoring needs."""

    config: RunConfig
    network: Network
    calibration: Calibration
    policy: Policy

    @property
    def model_id(self) -> str:
        """Return a hash of all that decides a score: settings, parameters, calibration, policy."""
        digest = hashlib.sha256()
        for part in (config_json(self.config), self.calibration.to_json(), self.policy.to_json()):
            digest.update(json.dumps(part, sort_keys=True).encode())
        for path, leaf in jax.tree_util.tree_leaves_with_path(nnx.state(self.network, nnx.Param)):
            digest.update(jax.tree_util.keystr(path).encode())
            digest.update(np.ascontiguousarray(leaf).tobytes())
        return digest.hexdigest()[:16]


def config_json(config: RunConfig) -> dict[str, object]:
    """Return the settings as JSON holds them."""
    return TypeAdapter(RunConfig).dump_python(config, mode="json")


def save_model(model: TrainedModel, folder: Path) -> None:
    """Write the parts that decide a score to `folder`."""
    save_parameters(model.network, folder / "checkpoint")
    write_json(config_json(model.config), folder / "config.json")
    write_json(model.calibration.to_json(), folder / "calibration.json")
    write_json(model.policy.to_json(), folder / "policy.json")


def load_model(folder: Path) -> TrainedModel:
    """Return the trained model in a RUN."""
    if not (folder / "config.json").is_file():
        hint = "`pointerprint train STORE --to RUN` makes one"
        raise NotFoundError(folder, "there is no trained model here", hint)
    config = _parse(folder / "config.json", RunConfig)
    network = load_parameters(Network(config), folder / "checkpoint")
    return TrainedModel(
        config,
        network,
        Calibration.from_json(_read(folder / "calibration.json")),
        Policy.from_json(_read(folder / "policy.json")),
    )


def _parse(path: Path, kind: type[RunConfig]) -> RunConfig:
    """Return the settings in `path`; one more, or one less, and it is another version's."""
    found = _read(path)
    hint = "it was written by another version: train again"
    try:
        config = TypeAdapter(kind).validate_python(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "config"
        raise SchemaError(path, f"{where}: {first['msg']}", hint) from error
    if config_json(config) != found:
        raise SchemaError(path, "its settings are not those of this version", hint)
    return config


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise SchemaError(path, f"it can't be read: {error}", "train the model again") from error
