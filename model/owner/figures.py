"""What the next day brings: how many owners and impostors each threshold flags."""

from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float32, Shaped

from model.bootstrap import rate_interval
from model.owner.trials import Trials
from model.policy import Policy

ENROLLED: Final = {"1": (1, 1), "2 to 3": (2, 3), "4 or more": (4, np.inf)}
"""Numbers of sessions in a profile, as figures are grouped by them: from, to."""


def flagged_trials(
    trials: Trials,
    account: Shaped[np.ndarray, " sessions"],
    score: Float32[np.ndarray, " trials"],
    policy: Policy,
) -> pd.DataFrame:
    """Return a row for each trial and target FPR: whether it is flagged, and what was known."""
    columns = {
        "account": account[trials.session].astype(str),
        "is_impostor": trials.label == 1,
        "is_learnt": trials.is_learnt,
        "n_enrolled": trials.n_enrolled,
    }
    parts = [
        pd.DataFrame(
            columns | {"budget": row.budget, "is_flagged": score >= np.float32(row.threshold)}
        )
        for row in policy.thresholds
    ]
    return pd.concat(parts, ignore_index=True)


def next_day(flagged: pd.DataFrame) -> pd.DataFrame:
    """Return the share flagged of owners' and of others' sessions, by kind and sessions enrolled.

    Intervals are over accounts. Of a group without owners or without others there is no row.
    """
    groups = {"any number": (0, np.inf)} | ENROLLED
    rows = []
    for is_learnt in (True, False):
        for enrolled, (low, high) in groups.items():
            for budget in sorted(set(flagged["budget"])):
                chosen = flagged[
                    (flagged["is_learnt"] == is_learnt)
                    & flagged["n_enrolled"].between(low, high)
                    & (flagged["budget"] == budget)
                ]
                is_other, is_flagged, account = (
                    np.array(chosen[name]) for name in ("is_impostor", "is_flagged", "account")
                )
                if is_other.all() or not is_other.any():
                    continue
                fpr = rate_interval(is_flagged[~is_other], account[~is_other])
                rows.append(
                    {
                        "account": "learnt" if is_learnt else "new",
                        "enrolled": enrolled,
                        "budget": budget,
                        "sessions": int((~is_other).sum()),
                        "flagged": int(is_flagged[~is_other].sum()),
                        "fpr": fpr.value,
                        "fpr_low": fpr.low,
                        "fpr_high": fpr.high,
                        "impostors": int(is_other.sum()),
                        "recall": float(is_flagged[is_other].mean()),
                    }
                )
    return pd.DataFrame(rows)
