"""The enrolment job: add legitimate sessions to the profiles of their accounts in a RUN."""

from collections.abc import Sequence

import pandas as pd

from model.owner.scorer import OwnerScorer
from model.registry import resolve_run
from model.run import load_model
from pipeline.errors import ConfigError, DataError
from pipeline.sessions.feedback import latest_labels, relabelled
from pipeline.storage.paths import StoragePath
from pipeline.storage.publish import lock
from pipeline.storage.store import read_sessions


def enroll(stores: Sequence[StoragePath], run: StoragePath, device: str = "") -> pd.DataFrame:
    """Add the legitimate sessions of `stores` to the profiles in `run`; give all profiles.

    A session that is enrolled already is replaced, so the same store may be enrolled again.
    """
    run = resolve_run(run)
    _owner_scorer(run)  # refuse another task before waiting for the lock
    with lock(run):
        scorer = _owner_scorer(run)  # others may have enrolled meanwhile
        for store in stores:
            latest = latest_labels([store])
            for found in read_sessions(store):
                scorer = scorer.enroll(relabelled(found, latest), device)
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


def _owner_scorer(run: StoragePath) -> OwnerScorer:
    """Return the scorer of a RUN, whose task must be the owner's."""
    model = load_model(run)
    if not isinstance(model.scorer, OwnerScorer):
        raise ConfigError(
            run,
            f"its task is {model.config.task}, which has no profiles",
            "`pointerprint train STORE --task owner --to RUN` makes one that has",
        )
    return model.scorer
