"""A RUN on disk: everything that decides a score, and how it came about.

RUN/config.json  checkpoint/  calibration.json  policy.json     decide a score
RUN/profiles/                                                  too: of the owner task
RUN/replay/                                                    too: what chance alone repeats
RUN/reasons.json  prints/people.npz                            what is usual of people: no score
RUN/manifest.json                                              hashes of all these
RUN/metrics.json  split.json  history.json  MODEL_CARD.md  *.png   say how it came about
"""

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow.parquet as pq
from flax import nnx
from pydantic import TypeAdapter, ValidationError

from model.calibrate import Calibration
from model.checkpoint import load_parameters, save_parameters
from model.config import RunConfig
from model.manifest import check_manifest, write_manifest
from model.network import Network, new_network
from model.owner.population import Population
from model.owner.profiles import Profiles
from model.policy import Policy
from model.prints import Prints
from model.registry import resolve_run
from pipeline.errors import NotFoundError, SchemaError
from pipeline.reasons.account import AccountRanges
from pipeline.reasons.reference import REFERENCE_RANGES_FILE, ReferenceRanges, read_reference_ranges
from pipeline.replay.null_model import NullModel, null_model_from, null_model_json, reference_table
from pipeline.storage.paths import RemotePath, StoragePath, local_copy
from pipeline.storage.publish import replacing, write_json, write_parquet
from pipeline.storage.records import read_record, record_json, write_record

PROFILES = Path("profiles")
POPULATION = PROFILES / "population.npz"
CHANCE = Path("replay", "chance.json")
REFERENCE = Path("replay", "reference.parquet")
PEOPLE = Path("prints", "people.npz")


@dataclass(frozen=True)
class TrainedModel:
    """What scoring needs."""

    config: RunConfig
    network: Network | None  # of the fraud task
    calibration: Calibration
    policy: Policy
    profiles: Profiles | None = None  # of the owner task
    null_model: NullModel | None = None  # what chance repeats; None: replays are not looked for
    reference_ranges: ReferenceRanges | None = (
        None  # among people; None: no reasons. It decides no score
    )
    people: Prints | None = None  # one row: those trained on, each alike. It decides no score

    @property
    def fraud_network(self) -> Network:
        """Return the network of the fraud task; the owner task has none."""
        if self.network is None:
            raise TypeError("a model of the owner task has no network")
        return self.network

    @property
    def owner_profiles(self) -> Profiles:
        """Return the profiles of the owner task; the fraud task has none."""
        if self.profiles is None:
            raise TypeError("a model of the fraud task has no profiles")
        return self.profiles

    @property
    def ranges(self) -> AccountRanges | None:
        """Return between what the habits of enrolled accounts range; None: nobody enrols."""
        return None if self.profiles is None else self.profiles.ranges

    @property
    def model_id(self) -> str:
        """Return a hash of all that decides a score, from the settings to the profiles."""
        digest = hashlib.sha256()
        parts = [config_json(self.config), record_json(self.calibration), record_json(self.policy)]
        if self.profiles is not None:
            # What is measured and drawn of enrolled sessions is for reasons alone.
            parts += self.profiles.table.drop_columns(["stretches"]).to_pylist()
            for array in self.profiles.population.arrays().values():
                digest.update(array.tobytes())
        if self.null_model is not None:
            parts.append(null_model_json(self.null_model))
            for of_view in self.null_model.values():
                digest.update(of_view.reference.tobytes())
        for part in parts:
            digest.update(json.dumps(part, sort_keys=True).encode())
        if self.network is not None:
            parameters = nnx.state(self.network)
            for path, leaf in jax.tree_util.tree_leaves_with_path(parameters):
                digest.update(jax.tree_util.keystr(path).encode())
                digest.update(np.ascontiguousarray(leaf).tobytes())
        return digest.hexdigest()[:16]


def config_json(config: RunConfig) -> dict[str, object]:
    """Return the settings as JSON holds them."""
    return _settings().dump_python(config, mode="json")


@cache
def _settings() -> TypeAdapter:
    """Return what reads and writes settings; it takes 20 ms to make."""
    return TypeAdapter(RunConfig)


def training_folder(run: StoragePath, name: str = "training") -> Path:
    """Return the folder of an unfinished training: beside the RUN, on this machine's disk."""
    if isinstance(run, RemotePath):
        return Path(f"{run.name}.{name}")
    return run.with_name(f"{run.name}.{name}")


def save_model(model: TrainedModel, folder: Path) -> None:
    """Write the parts that decide a score to `folder`."""
    if model.network is not None:
        save_parameters(model.network, folder / "checkpoint")
    write_json(config_json(model.config), folder / "config.json")
    write_record(model.calibration, folder / "calibration.json")
    write_record(model.policy, folder / "policy.json")
    if model.profiles is not None:
        (folder / PROFILES).mkdir(parents=True, exist_ok=True)
        model.profiles.population.save(folder / POPULATION)
        for name, table in model.profiles.tables().items():
            write_parquet(table, folder / PROFILES / name)
    if model.null_model is not None:
        write_json(null_model_json(model.null_model), folder / CHANCE)
        write_parquet(reference_table(model.null_model), folder / REFERENCE)
    if model.reference_ranges is not None:
        write_json(model.reference_ranges.to_json(), folder / REFERENCE_RANGES_FILE)
    if model.people is not None:
        (folder / PEOPLE).parent.mkdir(parents=True, exist_ok=True)
        model.people.save(folder / PEOPLE)
    write_manifest(folder)


def save_profiles(profiles: Profiles, folder: StoragePath) -> None:
    """Put profiles in the place of those in a RUN; at no moment is it one that isn't loaded."""
    for name, table in profiles.tables().items():
        path = PROFILES / name
        with replacing(folder / path) as to_come:
            write_parquet(table, to_come)
            write_manifest(folder, {path.as_posix(): to_come})
    write_manifest(folder)


def load_model(folder: StoragePath, budget: float | None = None) -> TrainedModel:
    """Return the trained model in a RUN, or the champion of a folder of models.

    It is what was saved, and nothing of it is executed. With `budget`, that budget of false
    alarms is in force instead of the one it was trained for.
    """
    run = resolve_run(folder)
    with local_copy(run) as files:
        return _load(files, run, budget)


def _load(folder: Path, where: StoragePath, budget: float | None) -> TrainedModel:
    """Return the trained model in a folder on this machine's disk, called `where`."""
    config = _config(folder, where)
    check_manifest(folder, where)
    is_owner = config.task == "owner"
    network = None if is_owner else load_parameters(new_network(config), folder / "checkpoint")
    policy = read_record(Policy, folder / "policy.json", "train the model again")
    return TrainedModel(
        config,
        network,
        read_record(Calibration, folder / "calibration.json", "train the model again"),
        policy if budget is None else policy.with_budget(budget),
        _load_profiles(folder, config) if is_owner else None,
        _load_chance(folder) if (folder / CHANCE).is_file() else None,
        read_reference_ranges(folder),
        Prints.load(folder / PEOPLE, config.task_panels.shape)
        if (folder / PEOPLE).is_file()
        else None,
    )


def load_config(folder: StoragePath) -> RunConfig:
    """Return the settings of a RUN, or of a folder of models' champion, without its network."""
    run = resolve_run(folder)
    return _config(run, run)


def _config(folder: StoragePath, where: StoragePath) -> RunConfig:
    if not (folder / "config.json").is_file():
        hint = "`pointerprint train STORE --to RUN` makes one"
        raise NotFoundError(where, "there is no trained model here", hint)
    return _parse(folder / "config.json")


def _load_profiles(folder: Path, config: RunConfig) -> Profiles:
    path = folder / POPULATION
    population = Population.load(path)
    if population.mean.size != math.prod(config.task_panels.shape):
        raise SchemaError(path, "it doesn't fit config.json beside it", "train the model again")
    return Profiles.read(folder / PROFILES, population)


def _load_chance(folder: Path) -> NullModel:
    path = folder / REFERENCE
    if not path.is_file():
        raise SchemaError(path, "it is missing", "train the model again")
    return null_model_from(_read(folder / CHANCE), pq.read_table(path), path)


def _parse(path: StoragePath) -> RunConfig:
    """Return the settings in `path`; one more, or one less, and it is another version's."""
    found = _read(path)
    hint = (
        "it was written by another version of pointerprint: train again with this one "
        "(`pointerprint train STORE --to RUN`), or score with the version that made it"
    )
    try:
        config = _settings().validate_python(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "config"
        raise SchemaError(path, f"{where}: {first['msg']}", hint) from error
    if config_json(config) != found:
        raise SchemaError(path, "its settings are not those of this version", hint)
    return config


def _read(path: StoragePath) -> dict[str, Any]:
    """Return a JSON object; NaN and infinity, which no standard of JSON knows, are refused."""
    try:
        found = json.loads(path.read_text(), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise SchemaError(path, f"it can't be read: {error}", "train the model again") from error
    if not isinstance(found, dict):
        raise SchemaError(path, "it holds no JSON object", "train the model again")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")
