"""Trained models side by side, and which of them scores. (No JAX here.)

    MODELS/<model_id>/       a RUN each, under the id it had when it came in
    MODELS/champion.json     which one scores, who scored before, and why it changed
    model/starter/           the RUN that ships with the project, for who has no model yet

The pointer is one small file that is replaced whole: a reader sees one champion or the other,
never none.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pipeline.errors import ConfigError, DataError, NotFoundError, did_you_mean
from pipeline.storage.paths import RemotePath, StoragePath, as_path, local_copy
from pipeline.storage.publish import SUCCESS, lock, publish_partition, staging
from pipeline.storage.records import read_json, read_record, write_record

CHAMPION: Final = "champion.json"
STARTER: Final = Path(__file__).parent / "starter"
STARTER_MARK: Final = "starter.json"
"""The file of a RUN that says it is the starter model."""

LEVELS: Final = "levels.json"
"""The file of a RUN with the levels of recorders that it was adapted to."""

STARTER_NAME: Final = "starter"
"""What a command line calls the model that ships, where no folder has that name."""
_AGAIN: Final = "train the model again"


@dataclass(frozen=True)
class ChampionChange:
    """When a model became champion, and why."""

    model_id: str
    at: str  # ISO 8601, UTC
    why: str


@dataclass(frozen=True)
class Champion:
    """The model in force, those before it (the last one last), and all changes."""

    model_id: str
    before: tuple[str, ...]
    changes: tuple[ChampionChange, ...]


@dataclass(frozen=True)
class ModelEntry:
    """A model in a list of them."""

    model_id: str
    is_champion: bool
    task: str
    trained_at: str  # ISO 8601, UTC
    roc_auc: float | None  # on the sessions held out when it was trained
    roc_auc_low: float | None
    roc_auc_high: float | None


def is_registry(path: StoragePath) -> bool:
    """Return whether a folder holds models beside each other, not one."""
    return not (path / "config.json").is_file() and (
        (path / CHAMPION).is_file() or any(path.glob("*/config.json"))
    )


def resolve_run(path: StoragePath) -> StoragePath:
    """Return the RUN that is meant: `path` itself, the champion of a registry, or the starter."""
    path = as_path(path)
    if str(path) == STARTER_NAME and not path.exists():
        return starter_run()
    if not is_registry(path):
        return path
    champion = read_champion(path)
    if champion is None:
        raise NotFoundError(
            path, "no model is champion yet", f"`pointerprint models promote ID --models {path}`"
        )
    run = path / champion.model_id
    # A name, not a path: the pointer must not lead to another folder.
    if run.name != champion.model_id or not (run / "config.json").is_file():
        raise NotFoundError(
            path / CHAMPION,
            f"the champion {champion.model_id!r} is not there",
            "`pointerprint models rollback`, or promote one that is",
        )
    return run


def has_starter() -> bool:
    """Return whether this version ships a starter model."""
    return (STARTER / "config.json").is_file()


def is_starter(run: StoragePath) -> bool:
    """Return whether a RUN is the starter model: also where it was copied, or its level set."""
    return (as_path(run) / STARTER_MARK).is_file()


def is_adapted(run: StoragePath) -> bool:
    """Return whether a RUN's level was set to a site: its reference is that site's, then."""
    return (as_path(run) / LEVELS).is_file()


def starter_run() -> StoragePath:
    """Return the RUN of the model that ships."""
    if not has_starter():
        raise NotFoundError(
            STARTER_NAME,
            "no starter model ships with this version",
            "`pointerprint train STORE --simulate --to RUN` makes a model",
        )
    return STARTER


def champion_or_starter(models: StoragePath) -> StoragePath | None:
    """Return the folder of models if it has a champion, else the starter; None: there is none."""
    if read_champion(models) is not None:
        return as_path(models)
    return STARTER if has_starter() else None


def read_champion(models: StoragePath) -> Champion | None:
    """Return who is champion of a registry, None before the first."""
    path = as_path(models) / CHAMPION
    return read_record(Champion, path, "`models promote ID` sets it") if path.is_file() else None


def add_run(models: StoragePath, run: StoragePath, model_id: str) -> StoragePath:
    """Copy a finished RUN into the registry under its id; one that is there is left alone."""
    models, run = as_path(models), as_path(run)
    if not (run / SUCCESS).is_file():
        raise NotFoundError(run, "there is no finished training here", "`train` makes a RUN")
    target = models / model_id
    with lock(models), staging(target, models) as staged:
        if not _is_whole(target):
            with local_copy(run) as files:
                shutil.copytree(files, staged, dirs_exist_ok=True)
            publish_partition(staged, target)
    return target


def _is_whole(run: StoragePath) -> bool:
    """Return whether a model is there: in an object store its files come one by one, this last."""
    return (run / SUCCESS).is_file() if isinstance(run, RemotePath) else run.exists()


def promote(models: StoragePath, model_id: str, why: str) -> Champion:
    """Make a model of the registry its champion."""
    models = as_path(models)
    with lock(models):
        _require(models, model_id)
        now = read_champion(models)
        if now is None:
            return _write(models, model_id, (), None, why)
        if now.model_id == model_id:
            return now
        return _write(models, model_id, (*now.before, now.model_id), now, why)


def require_task(models: StoragePath, run: StoragePath, task: str) -> None:
    """Raise `ConfigError` if a model is of another task than what it would score.

    That is the champion's, or before the first one `task`, the settings'.
    """
    champion, own = read_champion(models), _task(run)
    if champion is not None:
        run_before = as_path(models) / champion.model_id
        task = _task(run_before) if (run_before / "config.json").is_file() else task
    if own != task:
        of = "the champion's" if champion else "the settings' (`run.task`)"
        raise ConfigError(
            run,
            f"its task is {own}, {of} is {task}: its scores mean something else",
            f'set `task = "{own}"` below [run] in pointerprint.toml for an installation of its '
            "own, or promote it with --force",
        )


def _task(run: StoragePath) -> str:
    return str(read_json(run / "config.json", _AGAIN).get("task", ""))


def rollback(models: StoragePath, why: str = "rolled back") -> Champion:
    """Make the champion's predecessor champion again; twice goes two back."""
    models = as_path(models)
    with lock(models):
        now = read_champion(models)
        if now is None or not now.before:
            raise DataError(models, "there is no earlier champion", "`models list` shows them all")
        _require(models, now.before[-1])
        return _write(models, now.before[-1], now.before[:-1], now, why)


def _write(
    models: StoragePath, model_id: str, before: tuple[str, ...], now: Champion | None, why: str
) -> Champion:
    changes = now.changes if now else ()
    at = datetime.now(UTC).isoformat(timespec="seconds")
    champion = Champion(model_id, before, (*changes, ChampionChange(model_id, at, why)))
    write_record(champion, models / CHAMPION)
    return champion


def _require(models: StoragePath, model_id: str) -> None:
    known = model_ids(models)
    if model_id not in known:
        near = did_you_mean(model_id, known)
        raise NotFoundError(
            models,
            f"unknown model {model_id!r}; there are {len(known)}",
            f"did you mean {near[0]}?" if near else "`models list` shows them",
        )


def model_ids(models: StoragePath) -> list[str]:
    """Return the models of a registry, the oldest first."""
    runs = [path.parent for path in as_path(models).glob("*/config.json")]
    runs = [run for run in runs if _is_whole(run)]
    return [run.name for run in sorted(runs, key=lambda run: (_trained_at(run), run.name))]


def list_models(models: StoragePath) -> Iterator[ModelEntry]:
    """Give an entry for each model, the oldest first."""
    models = as_path(models)
    champion = read_champion(models)
    for model_id in model_ids(models):
        run = models / model_id
        auc = _auc(run / "metrics.json")
        yield ModelEntry(
            model_id=model_id,
            is_champion=champion is not None and champion.model_id == model_id,
            task=_task(run),
            trained_at=_trained_at(run).isoformat(timespec="seconds"),
            roc_auc=auc.get("value"),
            roc_auc_low=auc.get("low"),
            roc_auc_high=auc.get("high"),
        )


def _auc(metrics: StoragePath) -> dict[str, Any]:
    overall = (read_json(metrics, _AGAIN) if metrics.is_file() else {}).get("overall") or {}
    return overall.get("roc_auc") or {}


def _trained_at(run: StoragePath) -> datetime:
    """Return when a model was finished; copying keeps it, but to an object store: when it came."""
    return datetime.fromtimestamp((run / "config.json").stat().st_mtime, UTC)
