"""A challenger's split and what its champion was trained on in, sessions to compare them on out.

The rule. A session is in the challenger's test part, and

1. *new to both*: the champion never trained, stopped, calibrated or set a threshold on it, nor
   on any other of the same person or maker (of whatever kind the split keeps apart);
2. where that leaves too few of a class, *never trained on by either*: the champion may know the
   person or maker from other sessions. That favours the champion, so a gain is still a gain.
"""

import json
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Shaped

from model.comparison import HeldOut
from pipeline.errors import SchemaError
from pipeline.sessions import Sessions
from pipeline.splits import Split

NEW_TO_BOTH: Final = "new to both, with all sessions of the same person and maker"
UNTRAINED: Final = "never trained on by either; the champion may know the person or maker"
_USED = ("train", "valid", "calib")


def used_sessions(run: Path) -> set[str]:
    """Return the sessions that a RUN was trained, stopped, calibrated or tuned on."""
    path = run / "split.json"
    try:
        parts = json.loads(path.read_text())["sessions"]
        return {str(name) for part in _USED for name in parts[part]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SchemaError(
            path, f"it can't be read: {error}", "what the champion was trained on isn't known"
        ) from error


def choose_held_out(
    sessions: Sessions, split: Split, champion_used: set[str], min_each: int
) -> tuple[Sessions, HeldOut]:
    """Return the sessions to compare a champion and the challenger of `split` on."""
    ids = sessions.session_id.astype(str)
    used = np.isin(ids, sorted(champion_used))
    in_test = np.zeros(len(sessions), bool)
    in_test[split.indices("test")] = True
    untrained = in_test & ~used & (sessions.label >= 0)
    fresh = untrained & ~_known(split, used)
    n_each = [int((sessions.label[fresh] == kind).sum()) for kind in (0, 1)]
    chosen, rule = (fresh, NEW_TO_BOTH) if min(n_each) >= min_each else (untrained, UNTRAINED)
    maker = _first(split.groups.generator, split.groups.person, sessions.session_id)
    person = _first(split.groups.person, sessions.session_id)
    group = np.where(sessions.label == 1, maker, person)
    label = sessions.label[chosen].astype(np.int64)
    return sessions.take(chosen), HeldOut(label, group[chosen], rule)


def _known(split: Split, used: Bool[np.ndarray, " sessions"]) -> Bool[np.ndarray, " sessions"]:
    """Mark the sessions of which a group is also that of one that was used."""
    known = np.zeros(len(used), bool)
    for kind, names in split.kept.items():
        if kind != "time":
            seen = pd.unique(names[used & pd.notna(names)])
            known |= np.asarray(pd.Series(names, dtype=object).isin(seen), bool)
    return known


def _first(*columns: Shaped[np.ndarray, " sessions"]) -> Shaped[np.ndarray, " sessions"]:
    """Return the first of `columns` that says something, as a name with its kind."""
    words = columns[-1]
    for column in reversed(columns[:-1]):
        words = np.where(pd.notna(column), column, words)
    return words
