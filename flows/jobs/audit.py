"""The audit job: measure how well sessions of stores can be ranked without their path."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from model.audit import Audit, audit_case
from pipeline.audit.case import find_case
from pipeline.audit.shortcuts import find_shortcuts
from pipeline.config import Task
from pipeline.errors import DataError
from pipeline.scores.partitions import for_spreadsheets, read_scores
from pipeline.sessions.labels import read_labels
from pipeline.sessions.sessions import Sessions
from pipeline.storage.paths import StoragePath, as_path
from pipeline.storage.publish import replacing, write_json
from pipeline.storage.store import load_sessions


def audit(
    stores: Sequence[StoragePath],
    labels: StoragePath | None = None,
    scores: StoragePath | None = None,
    to: StoragePath | None = None,
    task: Task | None = None,
    seed: int = 0,
) -> Audit:
    """Audit the labelled sessions of stores; with `to`, write the figures into that folder."""
    sessions = load_sessions(stores)
    if labels is not None:
        sessions = _relabel(sessions, labels)
    case = find_case(sessions, task)
    found = audit_case(
        case, find_shortcuts(case, seed=seed), read_scores(scores) if scores else None, seed=seed
    )
    if to is not None:
        from model.plots import plot_audit  # matplotlib takes a second to import

        to = as_path(to)
        write_json(found.to_json(), to / "audit.json")
        with replacing(to / "audit.png") as path:
            plot_audit(found, path)
        with replacing(to / "device_decided.csv") as path:
            for_spreadsheets(found.decided).to_csv(path, index=False)
    return found


def _relabel(sessions: Sessions, labels: StoragePath) -> Sessions:
    """Return the sessions with the labels of a file; one that it doesn't name keeps its own."""
    known = read_labels(labels).to_pandas().set_index("session_id")["label"]
    found = pd.Series(sessions.session_id, dtype=object).map(known)
    if not found.notna().any():
        raise DataError(labels, "none of its sessions is in the stores", "labels go by session_id")
    return replace(sessions, label=found.fillna(pd.Series(sessions.label)).to_numpy(np.int8))
