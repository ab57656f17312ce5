"""Short jobs on sessions that are there: feed labels back, enroll accounts, simulate bots."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pandas as pd

from flows.jobs.inputs import today
from pipeline.errors import ConfigError, DataError
from pipeline.schemas import QUARANTINE
from pipeline.sessions.feedback import FeedbackReport, add_feedback, latest_labels, relabelled
from pipeline.simulate.generators import BOT_NAMES
from pipeline.simulate.synthetic import simulate_sessions
from pipeline.storage.paths import StoragePath, as_path
from pipeline.storage.publish import lock
from pipeline.storage.store import Part, part_hash, read_sessions, write_part

if TYPE_CHECKING:  # it would load JAX
    from model.owner.scorer import OwnerScorer

log = logging.getLogger(__name__)


def label(table: StoragePath, file: StoragePath) -> FeedbackReport:
    """Add the labels in `file` to those fed back about the sessions of a STORE or SCORES."""
    report = add_feedback(table, file, datetime.now(UTC))
    log.info(
        "%(n_fraud)d fraud, %(n_legitimate)d legitimate, %(n_unsure)d unsure labels added, "
        "%(n_unknown)d sessions unknown",
        {
            "n_fraud": report.fraud,
            "n_legitimate": report.legitimate,
            "n_unsure": report.unsure,
            "n_unknown": len(report.unknown),
        },
    )
    return report


@dataclass(frozen=True)
class EnrollJob:
    """Whose profiles to make or extend, in which RUN.

    Attributes:
        stores: Stores of the accounts' sessions.
        model: A RUN of the owner task, or a folder of models.
        device: A name: an account may have a profile for each device.
    """

    stores: Sequence[StoragePath]
    model: StoragePath
    device: str = ""


def enroll(job: EnrollJob) -> pd.DataFrame:
    """Add the legitimate sessions of stores to the profiles in a RUN, and return all profiles.

    A session that is enrolled already is replaced, so the same store may be enrolled again.
    """
    from model.registry import resolve_run  # here: the other jobs need no JAX

    run = resolve_run(job.model)
    _owner_scorer(run)  # refuse another task before waiting for the lock
    with lock(run):
        scorer = _owner_scorer(run)  # others may have enrolled meanwhile
        for store in job.stores:
            latest = latest_labels([store])
            for found in read_sessions(store):
                scorer = scorer.enroll(relabelled(found.with_events(), latest), job.device)
        if not scorer.profiles.table.num_rows:
            raise DataError(
                "enroll",
                "no session has an account_id, a window and no fraud label",
                "profiles come from the legitimate sessions of accounts",
            )
        scorer.profiles.replace_in(run)
    summary = scorer.profiles.summary()
    summary["is_mature"] = summary["maturity"] >= scorer.config.owner.min_confidence
    return summary


def _owner_scorer(run: StoragePath) -> "OwnerScorer":
    """Return the scorer of a RUN, whose task must be the owner's."""
    from model.owner.scorer import OwnerScorer
    from model.run import load_model

    model = load_model(run)
    if not isinstance(model.scorer, OwnerScorer):
        raise ConfigError(
            run,
            f"its task is {model.config.task}, which has no profiles",
            "`pointerprint train STORE --task owner --to RUN` makes one that has",
        )
    return model.scorer


@dataclass(frozen=True)
class SimulateJob:
    """Which synthetic sessions to make, from which sessions.

    Attributes:
        store: The store of people's sessions.
        to: The store of synthetic sessions.
        bots: Names of generators; empty: all.
        per_session: Synthetic sessions for each session.
        seed: Seed of everything random.
    """

    store: StoragePath
    to: StoragePath
    bots: Sequence[str] = ()
    per_session: int = 1
    seed: int = 0


def simulate(job: SimulateJob) -> int:
    """Write synthetic sessions like every session that is not fraud, and return their number."""
    to, bots, n_synthetic = as_path(job.to), job.bots or BOT_NAMES, 0
    with lock(to):
        for number, sessions in enumerate(read_sessions(job.store)):
            legitimate = sessions.take(~sessions.is_fraud).with_events()
            if not len(legitimate):
                continue
            synthetic = simulate_sessions(legitimate, bots, job.per_session, job.seed)
            decides = f"{number} {job.seed} {job.per_session} {bots}"
            part = Part(to, today(), part_hash([*sessions.source_sha256, decides]))
            write_part(part, [synthetic], QUARANTINE.empty_table(), {"files": []})
            n_synthetic += len(synthetic)
    if not n_synthetic:
        raise DataError(
            job.store,
            "it holds no legitimate session with an event",
            "legitimate sessions are needed",
        )
    return n_synthetic
