"""Scores and labels in; the labelled sessions out, with the groups they belong to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64, Shaped

from pipeline.errors import DataError, SchemaError
from pipeline.schemas import LABELS, SCORES
from pipeline.splits.groups import group_sessions, parse_synthetic

UNNAMED = "(no name)"
"""The family of frauds whose label names no maker."""

_SCORE_COLUMNS = (
    "session_id", "account_id", "fraud_score", "is_flagged", "threshold", "abstain_reason",
    "model_id", "scored_at",
)  # fmt: skip


@dataclass(frozen=True)
class ScoredSessions:
    """Scored sessions with a label, and whom they come from."""

    score: Float64[np.ndarray, " sessions"]
    label: Int64[np.ndarray, " sessions"]
    is_flagged: Bool[np.ndarray, " sessions"]
    threshold: float
    person: Shaped[np.ndarray, " sessions"]
    family: Shaped[np.ndarray, " sessions"]  # None: legitimate

    def clusters(self) -> Shaped[np.ndarray, " sessions"]:
        """Return what to draw anew for a number over all frauds: families, and people.

        A family named like a person is that person impersonated: one group, both classes.
        """
        return np.where(self.label == 1, self.family, self.person)


def read_scores(scores: pa.Table | pd.DataFrame) -> pd.DataFrame:
    """Return the last row of each session, by day of the run, then by time."""
    frame = _frame(scores, SCORES, _SCORE_COLUMNS).reset_index(drop=True)
    order = frame[["scored_at"]].assign(
        run_date=frame["run_date"].astype(str) if "run_date" in frame.columns else ""
    )
    order = order.sort_values(["run_date", "scored_at"], kind="stable").index
    return frame.loc[order].drop_duplicates("session_id", keep="last")


def read_labels(labels: pa.Table | pd.DataFrame) -> pd.DataFrame:
    """Return the last label of each session."""
    frame = _frame(labels, LABELS, ["session_id", "label"])
    wrong = frame["label"][~frame["label"].isin([0, 1])].tolist()
    if wrong:
        raise DataError(
            "labels", f"{len(wrong)} are not 0 or 1, such as {wrong[0]!r}", "1 fraud, 0 legitimate"
        )
    return frame.drop_duplicates("session_id", keep="last")


def label_scores(scored: pd.DataFrame) -> ScoredSessions:
    """Return the arrays of rows that have both a score and a label."""
    label = scored["label"].to_numpy(np.int64)
    session_id, account = (scored[name].to_numpy(object) for name in ("session_id", "account_id"))
    named = "account_id_of_label" if "account_id_of_label" in scored.columns else "account_id"
    maker = scored[named].to_numpy(object)  # of a fraud: who made it
    groups = group_sessions(session_id, _first(account, maker), label == 1)
    _, generator = parse_synthetic(session_id)
    family = _first(generator, maker, account, np.full(len(scored), UNNAMED, object))
    return ScoredSessions(
        score=scored["fraud_score"].to_numpy(np.float64),
        label=label,
        is_flagged=scored["is_flagged"].to_numpy(bool),
        threshold=float(scored["threshold"].iloc[-1]),
        person=_first(groups.person, session_id),
        family=_only(family, label == 1),
    )


def _only(
    words: Shaped[np.ndarray, " sessions"], where: Bool[np.ndarray, " sessions"]
) -> Shaped[np.ndarray, " sessions"]:
    """Return `words` there, None elsewhere."""
    chosen = np.full(len(words), None, object)
    chosen[where] = words[where]
    return chosen


def _first(*columns: Shaped[np.ndarray, " sessions"]) -> Shaped[np.ndarray, " sessions"]:
    """Return the first of `columns` that says something, None where none does."""
    words = np.full(len(columns[0]), None, object)
    for column in reversed(columns):
        said = pd.notna(column)
        words[said] = column[said]
    return words


def _frame(
    table: pa.Table | pd.DataFrame, schema: pa.Schema, needed: Sequence[str]
) -> pd.DataFrame:
    """Return a table as a frame that has the `needed` columns of `schema`."""
    frame = table.to_pandas() if isinstance(table, pa.Table) else table
    if missing := [name for name in needed if name not in frame.columns]:
        raise SchemaError(
            "evaluate",
            f"the {schema.metadata[b'schema'].decode()} table lacks {', '.join(missing)}",
            f"it has {', '.join(schema.names)}",
        )
    return frame
