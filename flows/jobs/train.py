"""The training job: learn from the sessions of stores, and publish the model as a RUN."""

import shutil
from collections.abc import Generator
from dataclasses import asdict, dataclass, field

import pandas as pd

from model.config import RunConfig
from model.evaluate import Evaluation
from model.fraud_training import train_fraud
from model.owner.train import train_owner
from model.plots import plot_evaluation, plot_training
from model.run import save_model, training_folder
from model.train import Epoch
from model.training_result import TrainingResult
from pipeline.errors import ConfigError
from pipeline.monitoring.reference import write_reference
from pipeline.sessions.feedback import labelled_sessions
from pipeline.storage.paths import StoragePath, as_path, open_parquet
from pipeline.storage.publish import publish_partition, staging, write_json

TRAINERS = {"fraud": train_fraud, "owner": train_owner}


@dataclass(frozen=True)
class TrainJob:
    """What `train` does."""

    stores: tuple[StoragePath, ...]
    to: StoragePath  # the RUN
    config: RunConfig = field(default_factory=RunConfig)
    simulate: bool = False  # add synthetic bots: legitimate sessions suffice
    resume: bool = False  # go on with a training that was stopped
    feedback: tuple[StoragePath, ...] = ()  # SCORES beside which labels were fed back
    force: bool = False  # replace a RUN that is there, and the accounts enrolled in it


def train(job: TrainJob) -> Generator[Epoch, None, Evaluation]:
    """Train, publish the RUN, and return its figures on the sessions held out.

    The fraud task learns from labels, the owner task from accounts. Labels that were fed back
    beside the stores, or beside the SCORES in `feedback`, count before those of the logs.
    """
    run = as_path(job.to)
    if not job.resume:  # what can be resumed was allowed to begin
        _require_free(run, job.force)
    state_dir = training_folder(run)
    sessions = labelled_sessions(job.stores, job.feedback)
    trainer = TRAINERS[job.config.task]
    result = yield from trainer(sessions, job.config, job.simulate, state_dir, job.resume)
    publish_run(result, run)
    shutil.rmtree(state_dir, ignore_errors=True)
    return result.evaluation


def _require_free(run: StoragePath, force: bool) -> None:
    """Raise `ConfigError` if a training would replace something that nobody said to replace."""
    if not run.exists() or (run.is_dir() and not any(run.iterdir())):
        return
    if not (run / "config.json").is_file():
        raise ConfigError(run, "something else than a RUN is there", "name a new folder")
    if force:
        return
    enrolled = run / "profiles" / "prints.parquet"
    n_profiles = 0
    if enrolled.is_file():
        with open_parquet(enrolled) as parquet:
            n_profiles = parquet.metadata.num_rows
    lost = f", with {n_profiles:,} enrolled profiles, which would be lost" if n_profiles else ""
    raise ConfigError(
        run, f"a trained model is there{lost}", "name a new folder, or replace it with --force"
    )


def publish_run(result: TrainingResult, run: StoragePath) -> None:
    """Publish a trained model with its figures, plots and card, whole or not at all."""
    with staging(run, run) as staged:
        save_model(result.model, staged)
        write_reference(result.reference, staged)
        write_json(result.metrics, staged / "metrics.json")
        write_json(result.split.to_json(), staged / "split.json")
        if result.history:
            epochs = [asdict(epoch) for epoch in result.history]
            write_json({"epochs": epochs}, staged / "history.json")
            plot_training(pd.DataFrame(epochs), staged / "training.png")
        plot_evaluation(result.evaluation, staged)
        (staged / "MODEL_CARD.md").write_text(result.card)
        (staged / "_SUCCESS").touch()
        publish_partition(staged, run)
