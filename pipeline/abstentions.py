"""Scores in; who isn't judged, why, and who avoids it, out.

Whoever sends too little to be judged is never flagged. So abstentions are counted by reason, an
account that abstains more often than chance and others explain is named, and each such session
is for review unless somebody decided otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import betainc

from pipeline.config import AbstainIs
from pipeline.schemas import SCORES

AVOIDING: Final = ("too_few_events", "no_moves")
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
    p_value: float  # of so many by chance, for all accounts of the day together


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


def tally(scores: pa.Table) -> pa.Table:
    """Return for each account how many sessions it has, and in how many it avoids judgement."""
    avoids = pc.is_in(scores["abstain_reason"], pa.array(AVOIDING))
    return _summed(
        pa.table(
            {
                "account_id": scores["account_id"],
                "n": pa.repeat(pa.scalar(1, pa.int64()), scores.num_rows),
                "k": avoids.cast(pa.int64()),
            }
        )
    )


def abstaining_accounts(tallies: Sequence[pa.Table]) -> list[AbstainingAccount]:
    """Return the accounts that abstain unusually often, the least likely first.

    Each is compared with all others of the day, so that it doesn't hide in its own rate: by a
    binomial test, made stricter by the number of accounts.
    """
    if not tallies:
        return []
    table = _summed(pa.concat_tables(tallies))
    n, k = (table[name].to_numpy().astype(np.float64) for name in ("n", "k"))
    others_n, others_k = n.sum() - n, k.sum() - k
    rate = (others_k + 1) / (others_n + 2)  # one more of each kind: none seen isn't none ever
    named = table["account_id"].is_valid().to_numpy(zero_copy_only=False)
    chance = betainc(np.maximum(k, 1), n - k + 1, rate)  # P(k or more of n)
    p_value = np.minimum(chance * max(named.sum(), 1), 1)
    is_odd = named & (k >= _FEWEST) & (k / n >= _TIMES * rate) & (p_value <= _CHANCE)
    found = np.flatnonzero(is_odd & (others_n > 0))
    order = found[np.lexsort((-k[found], p_value[found]))].tolist()
    names = table["account_id"].take(pa.array(order, pa.int64())).to_pylist()
    return [
        AbstainingAccount(
            name, int(n[i]), int(k[i]), float(others_k[i] / others_n[i]), float(p_value[i])
        )
        for name, i in zip(names, order, strict=True)
    ]


def _summed(counts: pa.Table) -> pa.Table:
    """Return the sums of `n` and `k` for each account."""
    summed = counts.group_by("account_id").aggregate([("n", "sum"), ("k", "sum")])
    return summed.rename_columns({"n_sum": "n", "k_sum": "k"})
