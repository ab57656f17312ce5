"""The retraining job: train a challenger, compare it with the champion, promote it if better."""

import logging
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from flows.jobs.train import TrainJob, train
from model.comparison import Comparison, choose_held_out, compare_models, used_sessions
from model.config import Promote, PromotionConfig, RunConfig
from model.model_card import comparison_section
from model.registry import add_run, promote, read_champion
from model.run import SCORERS, load_model
from model.score import score_without_reasons
from model.train import Epoch
from model.training_data import training_sessions
from pipeline.errors import DataError, PointerprintError
from pipeline.sessions.feedback import labelled_sessions
from pipeline.storage.paths import RemotePath, StoragePath, as_path
from pipeline.storage.publish import lock, remove_if_empty, staging, staging_folder, write_json

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetrainJob:
    """What `retrain` does."""

    stores: tuple[StoragePath, ...]
    models: StoragePath  # the registry
    config: RunConfig = field(default_factory=RunConfig)
    simulate: bool = False  # add synthetic bots: legitimate sessions suffice
    feedback: tuple[StoragePath, ...] = ()  # SCORES beside which labels were fed back
    promotion: PromotionConfig = field(default_factory=PromotionConfig)
    promote_when: Promote = "if better"


@dataclass(frozen=True)
class Retrained:
    """The challenger, and whether it is champion now."""

    model_id: str
    run: StoragePath
    is_champion: bool
    why: str
    comparison: Comparison | None  # None: the models could not be compared


def retrain(job: RetrainJob) -> Generator[Epoch, None, Retrained]:
    """Train a challenger, compare it with the champion of `models`, and promote it if better.

    The first model becomes champion without a comparison. Models of the owner task aren't compared:
    each is fitted to all sessions it was measured on, so no session is new to them.
    """
    models = as_path(job.models)
    with _challenger(models) as run:
        yield from train(TrainJob(job.stores, run, job.config, job.simulate, feedback=job.feedback))
        model_id = load_model(run).model_id
        champion = read_champion(models)
        if champion is None:
            comparison, is_better = None, True
            why = "the first model: there is no champion to compare with"
        else:
            comparison, why = _compare(job, models / champion.model_id, run)
            is_better = comparison is not None and comparison.is_better
        is_promoted = {"if better": is_better, "never": False, "always": True}[job.promote_when]
        if job.promote_when != "if better":
            why = f"promotion was set to {job.promote_when!r}; by comparison: {why}"
        _add_to_run(run, comparison, is_promoted, why)
        target = add_run(models, run, model_id)
    if is_promoted:
        promote(models, model_id, why)
    log.info(
        "trained %(model_id)s, %(result)s: %(why)s",
        {"model_id": model_id, "result": "promoted" if is_promoted else "kept aside", "why": why},
    )
    return Retrained(model_id, target, is_promoted, why, comparison)


@contextmanager
def _challenger(models: StoragePath) -> Iterator[Path]:
    """Give the folder where the challenger is made, alone: beside the models, or on this disk.

    After a failure beside the models it stays, to be examined, until the next one is made.
    """
    run = staging_folder(models) / "challenger"
    with lock(run):
        if isinstance(run, RemotePath):
            with staging(run, models) as folder:
                yield folder / run.name
            return
        shutil.rmtree(run, ignore_errors=True)
        yield run
        shutil.rmtree(run)
    remove_if_empty(run.parent)


def _compare(
    job: RetrainJob, champion: StoragePath, challenger: StoragePath
) -> tuple[Comparison | None, str]:
    """Compare two models on sessions held out from both; None, and why, if it can't be done."""
    if not SCORERS[job.config.task].can_be_compared:
        return None, f"models of the {job.config.task} task aren't compared: promote one yourself"
    try:
        old, new = load_model(champion), load_model(challenger)
        if old.config.task != job.config.task:
            return None, f"the champion's task is {old.config.task}"
        labelled = labelled_sessions(job.stores, job.feedback)
        sessions, split = training_sessions(labelled, job.config, job.simulate)
        used = used_sessions(champion)
        chosen, held_out = choose_held_out(sessions, split, used, job.promotion.min_each)
        if not len(chosen):
            raise DataError("compare", "no session is held out from both models")
    except PointerprintError as error:
        return None, f"they can't be compared: {error}"
    now = datetime.now(UTC)
    before, after = (
        score_without_reasons(model, model.model_id, chosen, "comparison", now)
        for model in (old, new)
    )
    found = compare_models(before, after, held_out, new.policy.budget, job.promotion)
    return found, found.why


def _add_to_run(run: Path, comparison: Comparison | None, is_promoted: bool, why: str) -> None:
    """Add the comparison with the champion to the challenger's RUN, and to its card."""
    if comparison is not None:
        write_json(asdict(comparison) | {"is_promoted": is_promoted}, run / "comparison.json")
    card = run / "MODEL_CARD.md"
    section = comparison_section(comparison, is_promoted, why)
    card.write_text(f"{card.read_text().rstrip()}\n\n{section}")
