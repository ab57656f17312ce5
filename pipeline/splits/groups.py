"""Who is behind a session: the person whose movement it is, and the generator that made it.

Sessions of one person, or of one generator, resemble each other. Whatever compares a model
with "new" sessions, or states how sure a number is, has to keep them together.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Shaped

from pipeline.schemas import SYNTHETIC_MARK

SIMULATED = "simulated:"
"""How the `source` of a simulated session starts; the generator's name follows."""

_TWIN = f"(?s)^(?P<parent>.+){SYNTHETIC_MARK}(?P<generator>.+)-[^-{SYNTHETIC_MARK}]*$"


@dataclass(frozen=True)
class Groups:
    """The two groups of every session, as names; None: it has none of that kind."""

    person: Shaped[np.ndarray, " sessions"]  # an account, or a recording nobody is named for
    generator: Shaped[np.ndarray, " sessions"]  # a bot family, or a fraudster


def parse_synthetic(
    session_id: Shaped[np.ndarray, " sessions"],
) -> tuple[Shaped[np.ndarray, " sessions"], Shaped[np.ndarray, " sessions"]]:
    """Return the parent and the generator that each id names, None where it names none.

    `sess-1~pyclick-3` is the third that `pyclick` made from `sess-1`.
    """
    parts = pd.Series(session_id, dtype="str").str.extract(_TWIN).astype(object)
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
    have that account, else whoever made the fraud.
    """
    parent, generator = parse_synthetic(session_id)
    is_twin = is_fraud & _said(parent)
    legitimate_accounts = account_id[~is_fraud & _said(account_id)]
    is_known = pd.Series(account_id, dtype=object).isin(legitimate_accounts).to_numpy()
    recording = _first(parent, session_id)
    # A labels file names a twin's generator as its account; its person is then its parent's.
    of_parent = _look_up(recording, session_id[~is_fraud], account_id[~is_fraud])
    own = _first(_only(account_id, ~is_fraud | is_known), _first(of_parent, recording))
    maker = _first(_only(generator, is_twin), _only(account_id, ~is_known))
    if source is not None:
        maker = _first(_simulator(source), maker)
    return Groups(_only(own, ~is_fraud | is_twin | is_known), _only(maker, is_fraud))


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


def _first(
    words: Shaped[np.ndarray, " sessions"], otherwise: Shaped[np.ndarray, " sessions"]
) -> Shaped[np.ndarray, " sessions"]:
    """Return `words`, and `otherwise` where they say nothing."""
    return np.where(_said(words), words, otherwise)


def _said(words: Shaped[np.ndarray, " sessions"]) -> Bool[np.ndarray, " sessions"]:
    return pd.notna(words)
