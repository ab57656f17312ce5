"""Count abstentions by reason, and name accounts that abstain unusually often.

Whoever sends too little to be scored is never flagged. So abstentions are counted by reason, an
account that abstains more often than chance and others explain is named, and each such session
is for review unless somebody decided otherwise.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import AbstainIs
from pipeline.schemas import SCORES

AVOIDING: Final = ("no_events", "too_few_events", "no_moves")
"""Reasons that whoever moves the mouse brings about; a missing profile is none of them."""

_FEWEST: Final = 5  # abstentions of an account that is named
_TIMES: Final = 2.0  # as often as others, at least: a small excess, however sure, is no news
_CHANCE: Final = 0.01  # that an account is named on a day on which all are alike


@dataclass(frozen=True)
class AbstainingAccount:
    """An account that abstains unusually often."""

    account_id: str
    n_sessions: int
    n_abstained: int
    share_of_others: float  # of the other accounts' sessions that day, 0 to 1
    p_value: float  # of so many by accident, for all accounts of the day together


def with_review(scores: pa.Table, abstain_is: AbstainIs) -> pa.Table:
    """Return `SCORES` rows that say whether they need review."""
    needs = scores["is_flagged"]
    if abstain_is == "review":
        needs = pc.or_(needs, scores["fraud_score"].is_null())
    place = SCORES.get_field_index("needs_review")
    return scores.set_column(place, SCORES.field("needs_review"), needs)


def reasons_counted(scores: pa.Table) -> dict[str, int]:
    """Return how many sessions abstained for each reason."""
    counted = scores["abstain_reason"].drop_null().value_counts().to_pylist()
    return {row["values"]: row["counts"] for row in counted}


class Tally:
    """How many sessions each account has, and in how many it avoids judgement.

    It grows with the accounts of a day, not with its sessions.
    """

    def __init__(self) -> None:
        self.n_sessions: Counter[str | None] = Counter()
        self.n_avoided: Counter[str | None] = Counter()

    def add(self, scores: pa.Table) -> None:
        """Count `SCORES` rows too."""
        avoids = pc.is_in(scores["abstain_reason"], pa.array(AVOIDING))
        self.n_sessions.update(scores["account_id"].to_pylist())
        self.n_avoided.update(scores["account_id"].filter(avoids).to_pylist())


def abstaining_accounts(tally: Tally) -> list[AbstainingAccount]:
    """Return the accounts that abstain unusually often, the least likely first.

    Each is compared with all others of the day, so that it doesn't hide in its own rate: by a
    binomial test, made stricter by the number of accounts.
    """
    names = list(tally.n_sessions)
    n = np.array([tally.n_sessions[name] for name in names], np.float64)
    k = np.array([tally.n_avoided[name] for name in names], np.float64)
    others_n, others_k = n.sum() - n, k.sum() - k
    rate = (others_k + 1) / (others_n + 2)  # one more of each kind: none seen isn't none ever
    named = np.array([name is not None for name in names], bool)
    if not (named & (k >= _FEWEST)).any():
        return []
    from scipy.special import betainc  # a fifth of a second that most days need not wait for

    chance = betainc(np.maximum(k, 1), n - k + 1, rate)  # P(k or more of n)
    p_value = np.minimum(chance * max(named.sum(), 1), 1)
    is_odd = named & (k >= _FEWEST) & (k / n >= _TIMES * rate) & (p_value <= _CHANCE)
    found = np.flatnonzero(is_odd & (others_n > 0))
    order = found[np.lexsort((-k[found], p_value[found]))].tolist()
    return [
        AbstainingAccount(
            name, int(n[i]), int(k[i]), float(others_k[i] / others_n[i]), float(p_value[i])
        )
        for i in order
        if (name := names[i]) is not None
    ]
