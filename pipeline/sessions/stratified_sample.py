"""Sample the sessions of a store that is too large to learn from whole."""

import numpy as np
import pandas as pd
from jaxtyping import Bool


def stratified_sample(sessions: pd.DataFrame, max_events: int) -> Bool[np.ndarray, " sessions"]:
    """Mark a sample of sessions that have `max_events` together, or up to a session's more a label.

    `sessions` has `session_id`, `account_id`, `label` and `n_events`. The labels share the events
    evenly, as far as each has so many. Within a label every account gives one session at random,
    then a second, and so on; a session without account counts as an account of its own. So few
    frauds are all kept, and so are few people. The same sessions give the same sample.
    """
    chosen = np.zeros(len(sessions), bool)
    n_events, label = sessions["n_events"].to_numpy(), sessions["label"].to_numpy()
    group = sessions["account_id"].fillna(sessions["session_id"])
    left = max_events
    labels = sorted(set(label.tolist()), key=lambda one: n_events[label == one].sum())
    for n_before, one in enumerate(labels):
        rows = np.random.default_rng(0).permutation(np.flatnonzero(label == one))
        turn = group.iloc[rows].groupby(group.iloc[rows], sort=False).cumcount().to_numpy()
        rows = rows[np.argsort(turn, kind="stable")]
        before = np.cumsum(n_events[rows]) - n_events[rows]
        rows = rows[before < left / (len(labels) - n_before)]
        chosen[rows] = True
        left -= n_events[rows].sum()
    return chosen
