"""Save and load a RUN: all that decides a score, and how it came about.

RUN/config.json  calibration.json  policy.json                decide a score
RUN/checkpoint/  or  profiles/                                too: the scorer's own files
RUN/replay/                                                   too: what repeats by accident
RUN/reasons.json  prints/people.npz                           reference distributions: no score
RUN/levels.json                                               decides scores of some recorders
RUN/recorders.json  level_reference.json                      whose level it is: no score
RUN/starter.json                                              it is the starter model: no score
RUN/manifest.json                                             hashes of all these
RUN/metrics.json  split.json  history.json  MODEL_CARD.md  *.png   say how it came about
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from model.calibrate import NO_LEVELS, Calibration, RecorderLevel
from model.config import InputConfig, RunConfig, Task
from model.fraud import FraudScorer
from model.level import LevelReference
from model.manifest import check_manifest, write_manifest
from model.owner.scorer import OwnerScorer
from model.policy import Policy
from model.prints import Prints
from model.registry import LEVELS, STARTER_MARK, is_starter, resolve_run
from model.scorer import Scorer
from pipeline.errors import NotFoundError, SchemaError
from pipeline.reasons.reference import REFERENCE_RANGES_FILE, ReferenceRanges, read_reference_ranges
from pipeline.replay.null_model import NullModel, null_model_from, null_model_json, reference_table
from pipeline.storage.paths import RemotePath, StoragePath, local_copy
from pipeline.storage.publish import write_json, write_parquet
from pipeline.storage.records import read_json, read_record, record_json, write_record

SCORERS: Final[Mapping[Task, type[Scorer]]] = {"fraud": FraudScorer, "owner": OwnerScorer}
CONFIG: Final = "config.json"
CALIBRATION: Final = "calibration.json"
POLICY: Final = "policy.json"
NULL_MODEL: Final = Path("replay", "chance.json")
NULL_REFERENCE: Final = Path("replay", "reference.parquet")
PEOPLE_PRINT: Final = Path("prints", "people.npz")
RECORDERS: Final = "recorders.json"
LEVEL_REFERENCE: Final = "level_reference.json"
_AGAIN: Final = "train the model again"
_OTHER_VERSION: Final = (
    "it was written by another version of pointerprint: train again with this one "
    "(`pointerprint train STORE --to RUN`), or score with the version that made it"
)


@dataclass(frozen=True)
class LevelRecorders:
    """What `recorders.json` holds: for which recorders a model's level was set."""

    recorders: Mapping[str, int]  # recorder -> sessions


@dataclass(frozen=True)
class RecorderLevels:
    """What `levels.json` holds: the levels of recorders that a model was adapted to."""

    levels: Mapping[str, RecorderLevel]


@dataclass(frozen=True)
class StarterMark:
    """What `starter.json` holds: what the starter model was trained on, with each one's licence."""

    trained_on: Mapping[str, str]  # recordings -> origin and licence


@dataclass(frozen=True)
class TrainedModel:
    """What scoring needs."""

    config: RunConfig
    scorer: Scorer
    calibration: Calibration
    policy: Policy
    null_model: NullModel | None = None  # None: replays are not searched for
    reference_ranges: ReferenceRanges | None = None  # None: no reasons. It decides no score
    people: Prints | None = None  # one row: those trained on, each alike. It decides no score
    recorders: Mapping[str, int] = field(default_factory=dict)
    """Recorders that calibration and thresholds were set for, with the number of their legitimate
    sessions; empty: not known. It decides no score."""
    starter: StarterMark | None = None
    """What the starter model was trained on; None: it is another model. It decides no score."""
    levels: Mapping[str, RecorderLevel] = field(default_factory=dict)
    """Of the recorders that it was adapted to."""
    level_reference: LevelReference | None = None
    """What adapting compares with; None: it can't be adapted. It decides no score."""

    @cached_property
    def model_id(self) -> str:
        """Return a hash of all that decides a score, from the settings to the profiles."""
        digest = hashlib.sha256()
        parts = [record_json(self.config), record_json(self.calibration), record_json(self.policy)]
        if self.null_model is not None:
            parts.append(null_model_json(self.null_model))
            for of_view in self.null_model.values():
                digest.update(of_view.reference.tobytes())
        if self.levels:
            parts.append(record_json(RecorderLevels(self.levels)))
        for part in parts:
            digest.update(json.dumps(part, sort_keys=True).encode())
        for deciding in self.scorer.deciding_bytes():
            digest.update(deciding)
        return digest.hexdigest()[:16]


def input_config(config: RunConfig) -> InputConfig:
    """Return what models trained with these settings take as input."""
    return SCORERS[config.task].inputs_of(config)


def training_folder(run: StoragePath, name: str = "training") -> Path:
    """Return the folder of an unfinished training: beside the RUN, on this machine's disk."""
    if isinstance(run, RemotePath):
        return Path(f"{run.name}.{name}")
    return run.with_name(f"{run.name}.{name}")


def save_model(model: TrainedModel, folder: Path) -> None:
    """Write the parts that decide a score to `folder`."""
    model.scorer.save(folder)
    write_record(model.config, folder / CONFIG)
    write_record(model.calibration, folder / CALIBRATION)
    write_record(model.policy, folder / POLICY)
    if model.null_model is not None:
        write_json(null_model_json(model.null_model), folder / NULL_MODEL)
        write_parquet(reference_table(model.null_model), folder / NULL_REFERENCE)
    if model.reference_ranges is not None:
        write_json(model.reference_ranges.to_json(), folder / REFERENCE_RANGES_FILE)
    if model.people is not None:
        (folder / PEOPLE_PRINT).parent.mkdir(parents=True, exist_ok=True)
        model.people.save(folder / PEOPLE_PRINT)
    if model.starter is not None:
        write_record(model.starter, folder / STARTER_MARK)
    save_levels(model, folder)
    write_manifest(folder)


def save_levels(model: TrainedModel, folder: Path) -> None:
    """Write what adapting changes of the parts that decide a score, or whose level it is."""
    write_record(LevelRecorders(dict(model.recorders)), folder / RECORDERS)
    if model.levels:
        write_record(RecorderLevels(model.levels), folder / LEVELS)
    if model.level_reference is not None:
        write_record(model.level_reference, folder / LEVEL_REFERENCE)


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
    config = _read_config(folder, where)
    check_manifest(folder, where)
    scorer = SCORERS[config.task].load(folder, config)
    policy = read_record(Policy, folder / POLICY, _AGAIN)
    people = folder / PEOPLE_PRINT
    return TrainedModel(
        config,
        scorer,
        read_record(Calibration, folder / CALIBRATION, _AGAIN),
        policy if budget is None else policy.with_budget(budget),
        _load_null_model(folder) if (folder / NULL_MODEL).is_file() else None,
        read_reference_ranges(folder),
        Prints.load(people, scorer.inputs.panels.shape) if people.is_file() else None,
        _load_recorders(folder / RECORDERS),
        _load_starter(folder),
        _load_levels(folder / LEVELS),
        _load_level_reference(folder / LEVEL_REFERENCE),
    )


def load_config(folder: StoragePath) -> RunConfig:
    """Return the settings of a RUN, or of a folder of models' champion, without its network."""
    run = resolve_run(folder)
    return _read_config(run, run)


def _read_config(folder: StoragePath, where: StoragePath) -> RunConfig:
    if not (folder / CONFIG).is_file():
        hint = "`pointerprint train STORE --to RUN` makes one"
        raise NotFoundError(where, "there is no trained model here", hint)
    return read_record(RunConfig, folder / CONFIG, _OTHER_VERSION)


def _load_recorders(path: Path) -> Mapping[str, int]:
    """Return what `LevelRecorders` holds; RUNs of version 0.2 have none."""
    return read_record(LevelRecorders, path, _AGAIN).recorders if path.is_file() else {}


def _load_starter(folder: Path) -> StarterMark | None:
    return read_record(StarterMark, folder / STARTER_MARK, _AGAIN) if is_starter(folder) else None


def _load_levels(path: Path) -> Mapping[str, RecorderLevel]:
    return read_record(RecorderLevels, path, _AGAIN).levels if path.is_file() else NO_LEVELS


def _load_level_reference(path: Path) -> LevelReference | None:
    return read_record(LevelReference, path, _AGAIN) if path.is_file() else None


def _load_null_model(folder: Path) -> NullModel:
    path = folder / NULL_REFERENCE
    if not path.is_file():
        raise SchemaError(path, "it is missing", _AGAIN)
    return null_model_from(read_json(folder / NULL_MODEL, _AGAIN), pq.read_table(path), path)
