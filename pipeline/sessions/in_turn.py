"""Choose sessions of a store that is too large to learn from whole: of everybody as many."""

import numpy as np
import pandas as pd
from jaxtyping import Bool


def choose_in_turn(sessions: pd.DataFrame, max_events: int) -> Bool[np.ndarray, " sessions"]:
    """Mark sessions that together have `max_events`, or one more session's.

    `sessions` has `session_id`, `account_id`, `label` and `n_events`. Of each account, apart by
    label, one session is taken at random, then a second of each, and so on; a session without
    account counts as an account of its own. So few frauds are all kept, and so are few people.
    """
    group = sessions["account_id"].fillna(sessions["session_id"])
    shuffled = np.random.default_rng(0).permutation(len(sessions))
    turn = pd.DataFrame({"group": group, "label": sessions["label"]}).iloc[shuffled]
    turn = turn.groupby(["group", "label"], sort=False).cumcount().to_numpy()
    order = shuffled[np.argsort(turn, kind="stable")]
    n_events = sessions["n_events"].to_numpy()[order]
    chosen = np.zeros(len(sessions), bool)
    chosen[order] = np.cumsum(n_events) - n_events < max_events
    return chosen
