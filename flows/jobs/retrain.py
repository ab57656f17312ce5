"""Stores and a folder of models in, a challenger beside the champion out, promoted if better."""

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flows.jobs.train import train, training_sessions
from model.comparison import Comparison, choose_held_out, compare, used_sessions
from model.config import Promote, PromotionConfig, RunConfig
from model.registry import add_run, promote, read_champion
from model.run import load_model
from model.score import score_sessions
from model.train import Epoch
from pipeline.errors import DataError, PointerprintError
from pipeline.sessions.feedback import labelled_sessions
from pipeline.storage.paths import RemotePath, as_path
from pipeline.storage.publish import lock, remove_if_empty, staging, staging_folder, write_json

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retrained:
    """What came of a training."""

    model_id: str
    run: Path
    is_champion: bool
    why: str
    comparison: Comparison | None  # None: there was nothing to compare with, or no way to


def retrain(
    stores: Sequence[Path],
    models: Path,
    config: RunConfig,
    simulate: bool = False,
    feedback: Sequence[Path] = (),
    promotion: PromotionConfig = PromotionConfig(),
    promote_when: Promote = "if better",
    progress: Callable[[Epoch], None] = lambda epoch: None,
) -> Retrained:
    """Train a challenger, compare it with the champion of `models`, and promote it if better.

    The first model has nobody to beat. Models of the owner task aren't compared: each is fitted
    to all it was measured on, so no session is new to them.
    """
    models = as_path(models)
    with _challenger(models) as run:
        train(stores, run, config, simulate, progress=progress, feedback=feedback)
        model_id = load_model(run).model_id
        champion = read_champion(models)
        comparison, why = None, "the first model: there is no champion to beat"
        if champion is not None:
            comparison, why = _compare(
                models / champion.model_id, run, stores, config, simulate, feedback, promotion
            )
        is_better = champion is None or (comparison is not None and comparison.is_better)
        is_promoted = {"if better": is_better, "never": False, "always": True}[promote_when]
        if promote_when != "if better":
            why = f"promotion was set to {promote_when!r}; by comparison: {why}"
        _write_down(run, comparison, is_promoted, why)
        target = add_run(models, run, model_id)
    if is_promoted:
        promote(models, model_id, why)
    log.info(
        "trained %(model_id)s, %(outcome)s: %(why)s",
        {"model_id": model_id, "outcome": "promoted" if is_promoted else "kept aside", "why": why},
    )
    return Retrained(model_id, target, is_promoted, why, comparison)


@contextmanager
def _challenger(models: Path) -> Iterator[Path]:
    """Give where the challenger is made, alone: beside the models, or else on this disk.

    After a failure beside the models it stays, to be looked at, until the next one is made.
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
    champion: Path,
    challenger: Path,
    stores: Sequence[Path],
    config: RunConfig,
    simulate: bool,
    feedback: Sequence[Path],
    promotion: PromotionConfig,
) -> tuple[Comparison | None, str]:
    """Compare two models on the same sessions, held out from both; say so if it can't be done."""
    if config.task == "owner":
        return None, "models of the owner task aren't compared: promote by hand"
    try:
        old, new = load_model(champion), load_model(challenger)
        if old.config.task != config.task:
            return None, f"the champion's task is {old.config.task}"
        known = labelled_sessions(stores, feedback)
        sessions, split = training_sessions(known, config, simulate)
        used = used_sessions(champion)
        chosen, held_out = choose_held_out(sessions, split, used, promotion.min_each)
        if not len(chosen):
            raise DataError("compare", "no session is held out from both models")
    except PointerprintError as error:
        return None, f"they can't be compared: {error}"
    now = datetime.now(UTC)
    before, after = (
        score_sessions(model, model.model_id, chosen, "comparison", now) for model in (old, new)
    )
    found = compare(before, after, held_out, new.policy.budget, promotion)
    return found, found.why


def _write_down(run: Path, comparison: Comparison | None, is_promoted: bool, why: str) -> None:
    """Add to the RUN, and to its card, how it did beside the champion."""
    card = run / "MODEL_CARD.md"
    if comparison is not None:
        write_json(comparison.to_json() | {"is_promoted": is_promoted}, run / "comparison.json")
        text = comparison.to_markdown()
    else:
        outcome = "Promoted" if is_promoted else "Not promoted"
        text = f"## Beside the champion\n\n{outcome}: {why}.\n"
    card.write_text(f"{card.read_text().rstrip()}\n\n{text}")
