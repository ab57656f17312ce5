"""Find what labelled sessions can be asked: whose they are, or of which class.

`owner`: is this the account's owner? Scored are the labelled sessions that claim an account.
They are compared with the account's unlabelled sessions; where it has none, with its
legitimate ones, except the session in question itself.

`fraud`: is this a script, or a fraud like known ones? Scored are all labelled sessions. They are
compared with those of other people and other generators.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Shaped

from pipeline.config import Task
from pipeline.errors import DataError
from pipeline.sessions.sessions import Sessions
from pipeline.splits.groups import Groups, group_sessions


@dataclass(frozen=True)
class Case:
    """The sessions to score, their references, and the groups that resemble each other."""

    task: Task
    sessions: Sessions  # to score
    references: Sessions  # of the owner task; the fraud task has none
    groups: Groups
    left_out: dict[str, int]  # reason -> sessions

    @property
    def is_fraud(self) -> Bool[np.ndarray, " sessions"]:
        """Mark the sessions of label 1."""
        return self.sessions.is_fraud

    def clusters(self) -> Shaped[np.ndarray, " sessions"]:
        """Return what an interval draws anew: accounts; of a fraud without one, who made it."""
        generator, person = self.groups.generator, self.groups.person
        return np.where(pd.notna(generator), generator, person)


def find_case(sessions: Sessions, task: Task | None = None) -> Case:
    """Return the case for a task; without one, the task decided by most of the frauds.

    A fraud that claims an account of which the store has other sessions asks whether it is
    the owner. A simulated one, or one whose account is its fraudster, asks what class it is.
    """
    is_fraud = sessions.is_fraud
    if not is_fraud.any() or not sessions.is_legitimate.any():
        raise DataError(
            "audit",
            f"{is_fraud.sum():,} sessions of label 1 and "
            f"{sessions.is_legitimate.sum():,} of 0 have an event",
            "both are needed: 1 is fraud, 0 is legitimate; --labels FILE gives them",
        )
    twice = pd.Series(sessions.session_id, dtype=object).duplicated()
    if twice.any():
        raise DataError(
            "audit",
            f"{twice.sum():,} sessions occur twice, such as {sessions.session_id[twice][0]!r}",
            "name each store once, and no store that holds another's sessions",
        )
    groups = group_sessions(sessions.session_id, sessions.account_id, is_fraud, sessions.source)
    claims = is_fraud & pd.isna(groups.generator) & pd.notna(groups.person)
    task = task or ("owner" if 2 * claims.sum() > is_fraud.sum() else "fraud")
    return _owner_case(sessions) if task == "owner" else _fraud_case(sessions, groups)


def _owner_case(sessions: Sessions) -> Case:
    account, is_labelled = sessions.account_id, sessions.label >= 0
    names = pd.Series(account, dtype=object)
    is_named = names.notna().to_numpy()
    enrolled = set(names[is_named & ~is_labelled])
    is_reference = is_named & np.where(
        names.isin(enrolled).to_numpy(), ~is_labelled, sessions.is_legitimate
    )
    n_references = names.map(names[is_reference].value_counts()).fillna(0).to_numpy()
    n_others = n_references - (is_reference & is_labelled)  # no session is a reference of itself
    is_scored = is_labelled & (n_others > 0)
    scored = sessions.take(is_scored)
    if not (scored.label == 1).any() or not (scored.label == 0).any():
        raise DataError(
            "audit",
            f"{(scored.label == 1).sum():,} frauds and {(scored.label == 0).sum():,} legitimate "
            "sessions claim an account that has other sessions to compare with",
            "add the store of the accounts' own sessions, or ask --task fraud",
        )
    nobody = np.full(len(scored), None, object)
    return Case(
        task="owner",
        sessions=scored,
        references=sessions.take(is_reference),
        groups=Groups(person=scored.account_id, generator=nobody),
        left_out=_counts(
            {
                "labelled, without an account": is_labelled & ~is_named,
                "labelled, with no reference of the account": is_labelled & is_named & ~is_scored,
                "unlabelled, without an account": ~is_labelled & ~is_named,
            }
        ),
    )


def _fraud_case(sessions: Sessions, groups: Groups) -> Case:
    is_labelled = sessions.label >= 0
    scored = sessions.take(is_labelled)
    person, generator = groups.person[is_labelled], groups.generator[is_labelled]
    nameless = pd.isna(person) & pd.isna(generator)  # a fraud by nobody known stands for itself
    return Case(
        task="fraud",
        sessions=scored,
        references=sessions.take(np.zeros(len(sessions), bool)),
        groups=Groups(person, np.where(nameless, scored.session_id, generator)),
        left_out=_counts({"unlabelled": ~is_labelled}),
    )


def _counts(reasons: dict[str, Bool[np.ndarray, " sessions"]]) -> dict[str, int]:
    return {reason: int(found.sum()) for reason, found in reasons.items() if found.any()}
