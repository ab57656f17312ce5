"""The adapting job: set a model's level to a site from its unlabelled sessions, as a new RUN."""

import logging
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from model.adapt import Adaptation, adapt_model, check_adaptable
from model.manifest import write_manifest
from model.model_card import adaptation_section
from model.registry import (
    add_run,
    champion_or_starter,
    promote,
    read_champion,
    resolve_run,
)
from model.run import TrainedModel, load_config, load_model, save_levels
from pipeline.config import AdaptConfig
from pipeline.errors import ConfigError, DataError, NotFoundError, printable
from pipeline.monitoring.reference import write_reference
from pipeline.sessions.feedback import labelled_sessions
from pipeline.sessions.recorder import known_recorder_counts
from pipeline.storage.paths import StoragePath, as_path, local_copy
from pipeline.storage.publish import SUCCESS, publish_partition, staging, write_json
from pipeline.storage.store import load_sessions

log = logging.getLogger(__name__)

ADAPTATION: Final = "adaptation.json"


@dataclass(frozen=True)
class AdaptJob:
    """What `adapt` does."""

    stores: tuple[StoragePath, ...]
    model: StoragePath  # a RUN, or a folder of models: its champion. It stays as it is
    to: StoragePath  # the new RUN
    feedback: tuple[StoragePath, ...] = ()  # SCORES beside which labels were fed back
    recorders: tuple[str, ...] = ()  # to adapt to; empty: all that wrote enough sessions

    def __post_init__(self) -> None:
        """Refuse to write the new model over the one that it comes from."""
        model, to = as_path(self.model), as_path(self.to)
        if to.absolute() in (model.absolute(), resolve_run(model).absolute()):
            raise ConfigError("adapt", f"--to {to} is the model itself", "name a new folder")


def adapt(job: AdaptJob) -> Adaptation:
    """Publish the model with the site's level as a new RUN, and say what came of each recorder.

    Sessions known to be frauds, by their labels or those fed back, are left out. Nothing is
    published if no recorder's level passes its check.
    """
    run = resolve_run(as_path(job.model))
    model = load_model(run)
    found = _find(job, model)
    if not found.adapted:
        raise DataError(
            "adapt",
            f"the level stays as it was ({_outcomes(found)})",
            "more sessions of the site, of more people, may change that",
        )
    _publish(found, model.model_id, run, as_path(job.to))
    return found


def _find(job: AdaptJob, model: TrainedModel) -> Adaptation:
    check_adaptable(model)
    sessions = labelled_sessions(job.stores, job.feedback)
    if not len(sessions):
        raise DataError("adapt", "the stores hold no session with an event", "ingest some first")
    return adapt_model(model, sessions, job.recorders)


def _outcomes(found: Adaptation) -> str:
    outcomes = [f"{printable(one.recorder)}: {one.why}" for one in found.recorders]
    return "; ".join(outcomes) or "no session is of such a recorder"


def _publish(found: Adaptation, model_id: str, run: StoragePath, to: StoragePath) -> None:
    """Publish the RUN of `model_id` with what adapting changes, whole or not at all."""
    with staging(to, to) as staged:
        with local_copy(run) as files:
            shutil.copytree(files, staged, dirs_exist_ok=True)
        _write_changes(found, model_id, staged)
        publish_partition(staged, to)
    for one in found.adapted:
        log.info(
            "adapted to %(n_sessions)d sessions of %(recorder)s",
            {"n_sessions": one.n_sessions, "recorder": printable(one.recorder)},
        )


def _write_changes(found: Adaptation, model_id: str, staged: Path) -> None:
    """Write what adapting changes into a copy of the RUN of `model_id`."""
    save_levels(found.model, staged)
    write_reference(found.reference, staged)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"adapted_from": model_id, "at": at, "recorders": found.to_json()}
    write_json(content, staged / ADAPTATION)
    card = staged / "MODEL_CARD.md"
    text = card.read_text() if card.is_file() else ""
    text = text.replace(f"Model card: {model_id}", f"Model card: {found.model.model_id}", 1)
    card.write_text(f"{text.rstrip()}\n\n{adaptation_section(found, model_id)}")
    write_manifest(staged)
    (staged / SUCCESS).touch()


@dataclass(frozen=True)
class AdaptChampionJob:
    """What `adapt_champion` does."""

    stores: tuple[StoragePath, ...]  # of the last days
    models: StoragePath  # the registry
    feedback: tuple[StoragePath, ...] = ()  # SCORES beside which labels were fed back
    config: AdaptConfig = field(default_factory=AdaptConfig)


@dataclass(frozen=True)
class AdaptedChampion:
    """What came of looking whether the champion's level covers a site's recorders."""

    champion: str  # its id from now on
    run: StoragePath | None  # of the new champion; None: all stays as it was
    adaptation: Adaptation | None
    why: str


def adapt_champion(job: AdaptChampionJob) -> AdaptedChampion:
    """Adapt the champion to recorders that its level was not set for, if there are enough sessions.

    The adapted model is a new champion; `rollback` brings the one before back. Without a champion
    it is the starter model that is adapted, and that a rollback brings back.
    """
    models = as_path(job.models)
    scoring = champion_or_starter(models)
    if scoring is None:
        raise NotFoundError(models, "there is no champion to adapt", "`models promote ID` sets one")
    run = resolve_run(scoring)
    if load_config(run).task != "fraud":
        return _stays(run.name, "it is of the owner task: its level is each account's")
    model = load_model(run)
    champion = model.model_id
    counts = known_recorder_counts(load_sessions(job.stores).recorder) if job.stores else {}
    if not counts:
        return _stays(champion, "no session of a known recorder came in")
    missing = {name: n for name, n in counts.items() if name not in model.recorders}
    if not missing:
        return _stays(champion, "it was set for every recorder of these sessions")
    enough = tuple(name for name, n in missing.items() if n >= job.config.min_sessions)
    if not enough:
        named = ", ".join(f"{printable(name)}: {n:,}" for name, n in missing.items())
        why = f"{job.config.min_sessions:,} sessions of a recorder are needed, there are {named}"
        return _stays(champion, why)
    with staging(models / champion, models) as folder:
        adapted = folder / "adapted"
        found = _find(AdaptJob(job.stores, run, adapted, job.feedback, enough), model)
        if not found.adapted:
            return _stays(champion, _outcomes(found), found)
        _publish(found, model.model_id, run, adapted)
        if read_champion(models) is None:
            add_run(models, run, champion)
            promote(models, champion, "the starter model, to be adapted")
        target = add_run(models, adapted, found.model.model_id)
    names = ", ".join(f"{printable(one.recorder)} ({one.n_sessions:,})" for one in found.adapted)
    why = f"adapted {champion} to sessions of {names}"
    promote(models, found.model.model_id, why)
    return AdaptedChampion(found.model.model_id, target, found, why)


def _stays(champion: str, why: str, found: Adaptation | None = None) -> AdaptedChampion:
    log.warning("the champion's level stays as it is: %(why)s", {"why": why})
    return AdaptedChampion(champion, None, found, why)
