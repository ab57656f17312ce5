"""Group sessions by the person who moved and by the generator that made the path.

Sessions of one person, or of one generator, resemble each other. Whatever compares a model
with "new" sessions, or states how sure a number is, has to keep them together.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Shaped

from pipeline.schemas import SYNTHETIC_MARK
from pipeline.sessions.recorder import NOT_KNOWN

SIMULATED = "simulated:"
"""How the `source` of a simulated session starts; the generator's name follows."""

_SYNTHETIC = f"(?s)^(?P<parent>.+){SYNTHETIC_MARK}(?P<generator>.+)-[^-{SYNTHETIC_MARK}]*$"


@dataclass(frozen=True)
class Groups:
    """The two groups of every session, as names; None: it has none of that kind."""

    person: Shaped[np.ndarray, " sessions"]  # an account, or a recording nobody is named for
    generator: Shaped[np.ndarray, " sessions"]  # a bot family, or a fraudster


def first_known(*columns: Shaped[np.ndarray, " sessions"]) -> Shaped[np.ndarray, " sessions"]:
    """Return for each session the first of `columns` that isn't null."""
    names = columns[-1]
    for column in reversed(columns[:-1]):
        names = np.where(pd.notna(column), column, names)
    return names


def distinct_names(groups: Shaped[np.ndarray, " sessions"]) -> set[Any]:
    """Return the names of the groups, without null."""
    return set(pd.unique(groups[pd.notna(groups)]))


def parse_synthetic(
    session_id: Shaped[np.ndarray, " sessions"],
) -> tuple[Shaped[np.ndarray, " sessions"], Shaped[np.ndarray, " sessions"]]:
    """Return the parent and the generator that each id names, None where it names none.

    `sess-1~pyclick-3` is the third that `pyclick` made from `sess-1`.
    """
    parts = pd.Series(session_id, dtype="str").str.extract(_SYNTHETIC).astype(object)
    parts = parts.where(parts.notna(), None)
    return parts["parent"].to_numpy(object), parts["generator"].to_numpy(object)


def group_sessions(
    session_id: Shaped[np.ndarray, " sessions"],
    account_id: Shaped[np.ndarray, " sessions"],
    is_fraud: Bool[np.ndarray, " sessions"],
    source: Shaped[np.ndarray, " sessions"] | None = None,
) -> Groups:
    """Return the person and the generator of every session.

    A legitimate session is its account's, or stands for itself where the log names no
    account. A simulated one belongs to the person it was made from and to its generator.
    The account of another fraud is the person who was impersonated if legitimate sessions
    have that account, else the fraudster.
    """
    parent, generator = parse_synthetic(session_id)
    is_synthetic = is_fraud & pd.notna(parent)
    legitimate_accounts = account_id[~is_fraud & pd.notna(account_id)]
    is_known = pd.Series(account_id, dtype=object).isin(legitimate_accounts).to_numpy()
    recording = first_known(parent, session_id)
    # A labels file may name a synthetic session's generator as its account; the person is
    # then its parent's.
    of_parent = _look_up(recording, session_id[~is_fraud], account_id[~is_fraud])
    own = first_known(_only(account_id, ~is_fraud | is_known), of_parent, recording)
    made_by = first_known(_only(generator, is_synthetic), _only(account_id, ~is_known))
    if source is not None:
        made_by = first_known(_simulator(source), made_by)
    return Groups(_only(own, ~is_fraud | is_synthetic | is_known), _only(made_by, is_fraud))


def group_recorders(
    session_id: Shaped[np.ndarray, " sessions"], recorder: Shaped[np.ndarray, " sessions"]
) -> Shaped[np.ndarray, " sessions"]:
    """Return the recorder of every session, a simulated one's being that of its parent.

    Sessions whose recorder isn't known are together in one group.
    """
    parent, _ = parse_synthetic(session_id)
    of_parent = _look_up(parent, session_id, recorder)
    unknown = np.full(len(recorder), NOT_KNOWN, object)
    return first_known(of_parent, recorder, unknown)


def _simulator(source: Shaped[np.ndarray, " sessions"]) -> Shaped[np.ndarray, " sessions"]:
    """Return the generator that `source` names, None where it names a log format."""
    names = pd.Series(source, dtype=object)
    is_simulated = names.str.startswith(SIMULATED, na=False).to_numpy(bool)
    return _only(names.str.removeprefix(SIMULATED).to_numpy(object), is_simulated)


def _look_up(
    names: Shaped[np.ndarray, " sessions"],
    keys: Shaped[np.ndarray, " known"],
    values: Shaped[np.ndarray, " known"],
) -> Shaped[np.ndarray, " sessions"]:
    """Return the value of each name's last key, None where it has none."""
    return pd.Series(names, dtype=object).map(dict(zip(keys, values, strict=True))).to_numpy(object)


def _only(
    words: Shaped[np.ndarray, " sessions"], where: Bool[np.ndarray, " sessions"]
) -> Shaped[np.ndarray, " sessions"]:
    """Return `words` there, None elsewhere."""
    chosen = np.full(len(words), None, object)
    chosen[where] = words[where]
    return chosen
