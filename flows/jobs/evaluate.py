"""Compare with labels: scores, and what one gets without looking at the path (the audit)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from model.audit import Audit, audit_case
from model.evaluate import Evaluation, evaluate_scores, rates_by
from pipeline.audit.case import find_case
from pipeline.audit.shortcuts import find_shortcuts
from pipeline.config import Task, WindowConfig
from pipeline.errors import DataError
from pipeline.features.kinematics import session_feature_frame
from pipeline.scores.partitions import for_spreadsheets, read_scores
from pipeline.scores.starter import starter_notes
from pipeline.sessions.labels import read_group_column, read_labels
from pipeline.sessions.sessions import Sessions
from pipeline.storage.paths import StoragePath, as_path, local_folder
from pipeline.storage.publish import replacing, write_json
from pipeline.storage.store import load_sessions

NOT_SAID: Final = "(not said)"
"""What a session's group is called where its cell is empty."""


@dataclass(frozen=True)
class EvaluateJob:
    """Which scores to compare with which labels.

    Attributes:
        scores: The SCORES, or a partition.
        labels: session_id,label[,account_id].
        stores: Stores of these sessions: adds the best single feature beside each figure.
        to: A folder for the figures and plots.
        by: A column of the labels, such as `device`: adds the rates of each of its values.
    """

    scores: StoragePath
    labels: StoragePath
    stores: Sequence[StoragePath] = ()
    to: StoragePath | None = None
    by: str | None = None


def evaluate(job: EvaluateJob) -> Evaluation:
    """Compare scores with labels; write the figures into a folder if the job names one."""
    features = None
    if job.stores:
        features = session_feature_frame(load_sessions(job.stores).with_events(), WindowConfig())
    evaluation = evaluate_scores(read_scores(job.scores), read_labels(job.labels), features)
    evaluation = replace(evaluation, notes=(*starter_notes(job.scores), *evaluation.notes))
    if job.by is not None:
        named = read_group_column(job.labels, job.by)
        group = np.array([named[name] or NOT_SAID for name in evaluation.scored.session_id], object)
        evaluation = replace(evaluation, groups=rates_by(evaluation.scored, group))
    if job.to is not None:
        from model.plots import plot_evaluation  # matplotlib takes a second to import

        with local_folder(as_path(job.to)) as folder:
            write_json(evaluation.to_json(), folder / "evaluation.json")
            plot_evaluation(evaluation, folder)
    return evaluation


@dataclass(frozen=True)
class AuditJob:
    """Which labelled sessions to audit.

    Attributes:
        stores: Stores of the sessions.
        labels: session_id,label; they count before the stores' own.
        scores: SCORES of these sessions: adds the model's row.
        task: Default: decided by most of the frauds.
        to: A folder for figures, plot and the sessions decided.
        seed: Seed of everything random.
    """

    stores: Sequence[StoragePath]
    labels: StoragePath | None = None
    scores: StoragePath | None = None
    task: Task | None = None
    to: StoragePath | None = None
    seed: int = 0


def audit(job: AuditJob) -> Audit:
    """Audit the labelled sessions of stores; write the figures into a folder if one is named."""
    sessions = load_sessions(job.stores)
    if job.labels is not None:
        sessions = _relabel(sessions, job.labels)
    case = find_case(sessions.with_events(), job.task)
    shortcuts = find_shortcuts(case, seed=job.seed)
    scores = read_scores(job.scores) if job.scores else None
    found = audit_case(case, shortcuts, scores, seed=job.seed)
    if job.scores:
        found = replace(found, notes=(*starter_notes(job.scores), *found.notes))
    if job.to is not None:
        from model.plots import plot_audit

        to = as_path(job.to)
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
