"""How rare is `unlike_profile` on people's own sessions, and how common on somebody else's?

    python -m benchmarks.unlike

Needs the recordings in POINTERPRINT_DATA (default ../shared/data): SapiMouse, Balabit. No model
is needed. SapiMouse's people are split into four folds: how constant people are is measured on
three of them, the 3-minute sessions of the fourth are enrolled, and its 1-minute sessions claim
every account of it. Balabit's training files are enrolled, and its labelled test sessions measured
against how constant SapiMouse's people are. Prints Markdown: docs/benchmarks.md holds it.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from benchmarks.balabit import read_balabit
from benchmarks.sources import read_all, recordings_folder
from model.owner.train import assign_folds
from pipeline.reasons.account import (
    AccountRanges,
    Constancy,
    account_ranges,
    cut_sub_sessions,
    find_deviations,
    measure_constancy,
    sub_sessions_column,
)
from pipeline.reasons.registry import ACCOUNT_MEASURES, measure_sessions
from pipeline.sessions.sessions import Sessions

FOLDS = 4
LENGTHS = (128, 300, 512)  # events


@dataclass
class Claims:
    """Sessions under an account's name: which are unlike it, and whether it is their own."""

    is_unlike: list[np.ndarray] = field(default_factory=list)
    is_own: list[np.ndarray] = field(default_factory=list)
    measures: Counter[str] = field(default_factory=Counter)  # named in somebody else's sessions

    def add(
        self, claims: Sessions, is_own: np.ndarray, ranges: AccountRanges, constancy: Constancy
    ) -> None:
        """Measure claims and keep the result."""
        found = find_deviations(
            *measure_sessions(claims, ACCOUNT_MEASURES), claims, ranges, constancy
        )
        self.is_unlike.append(np.isin(np.arange(len(claims)), found.session))
        self.is_own.append(is_own)
        names = np.array(list(ACCOUNT_MEASURES), object)[found.measure[~is_own[found.session]]]
        self.measures.update(names.tolist())

    def row(self, name: str) -> str:
        """Return a row of the table."""
        is_unlike, is_own = np.concatenate(self.is_unlike), np.concatenate(self.is_own)
        cells = [
            f"{len(part):,} | {100 * part.mean():.1f}"
            for part in (is_unlike[is_own], is_unlike[~is_own])
        ]
        named = ", ".join(f"`{name}`" for name, _ in self.measures.most_common(3))
        return f"| {name} | {' | '.join(cells)} | {named} |"


def enrolled(sessions: Sessions) -> AccountRanges:
    """Return between what the habits of accounts range, as enrolment of `sessions` has it."""
    columns = {
        "account_id": pa.array(sessions.account_id, pa.string()),
        "device": pa.array(np.full(len(sessions), "", object), pa.string()),
        "stretches": sub_sessions_column(sessions),
    }
    return account_ranges(pa.table(columns))


def on_sapimouse(people: Sessions) -> dict[str, Claims]:
    """Return the claims of each length of evidence."""
    fold = assign_folds(people.account_id, FOLDS, seed=0)
    is_long = np.array(["3min" in name for name in people.session_id])
    claims = {f"SapiMouse, {size} events": Claims() for size in LENGTHS}
    claims["SapiMouse, the minute"] = Claims()
    for k in range(FOLDS):
        constancy = measure_constancy(people.take(fold != k))
        ranges = enrolled(people.take((fold == k) & is_long))
        tried = people.take((fold == k) & ~is_long)
        parts = [*(cut_sub_sessions(tried, size)[0] for size in LENGTHS), tried]
        for of_length, sessions in zip(claims.values(), parts, strict=True):
            for account in np.unique(tried.account_id.astype(str)):
                claimed = np.full(len(sessions), account, object)
                is_own = sessions.account_id == account
                of_length.add(replace(sessions, account_id=claimed), is_own, ranges, constancy)
    return claims


def main() -> None:
    """Print the table."""
    recordings = recordings_folder("sapimouse", "balabit")
    people = read_all(recordings / "sapimouse")
    claims = on_sapimouse(people)
    known, tested = read_balabit(recordings / "balabit")
    claims["Balabit"] = Claims()
    constancy = measure_constancy(people)
    claims["Balabit"].add(tested, tested.label == 0, enrolled(known), constancy)
    print("| claims | own | % unlike | somebody else's | % unlike | habits named most there |")
    print("|---|---|---|---|---|---|")
    for name, of_length in claims.items():
        print(of_length.row(name))
    limits = [round(float(limit), 1) for limit in constancy.limit]
    print(f"\nLimits with all of SapiMouse's people, in half ranges: {limits}")


if __name__ == "__main__":
    main()
