"""The enrolment job: legitimate sessions in, profiles of their accounts beside the model."""

from collections.abc import Sequence

import pandas as pd

from model.owner.score import enroll as enroll_sessions
from model.registry import resolve_run
from model.run import load_model, save_profiles
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
    model = load_model(run)
    if model.profiles is None:
        raise ConfigError(
            run,
            f"its task is {model.config.task}, which has no profiles",
            "`pointerprint train STORE --task owner --to RUN` makes one that has",
        )
    # Others may be enrolling: what is added to is read again when the lock is held.
    with lock(run):
        profiles = load_model(run).profiles or model.profiles
        for store in stores:
            latest = latest_labels([store])
            for found in read_sessions(store):
                sessions = relabelled(found, latest)
                profiles = enroll_sessions(model.config, profiles, sessions, device)
        if not profiles.table.num_rows:
            raise DataError(
                "enroll",
                "no session has an account_id, a window and no fraud label",
                "profiles come from the legitimate sessions of accounts",
            )
        save_profiles(profiles, run)
    summary = profiles.summary()
    summary["is_mature"] = summary["maturity"] >= model.config.owner.min_confidence
    return summary
