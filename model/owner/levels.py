"""What a log ratio means: where owners' own later sessions lie, by what is compared with what.

More windows say more, so the ratios of long sessions lie farther apart. An account whose sessions
the population was fitted to is fitted better by those than by any later one, so its later sessions
lie lower than those of accounts that are new to the population. Adjusted, a number means the same
in all these cases: spreads from the median of owners, downwards.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from model.calibrate import LengthCalibration, fit_length_calibration

NEXT_DAY: Final = {0.05: 1.1, 0.01: 2.0, 0.001: 3.5}
"""Spreads beyond the median that this share of owners' later sessions reaches, on people and days
that nothing was fitted to (docs/decisions/0015-next-day.md)."""

PRIOR_ACCOUNTS: Final = 40
"""So many accounts count as much as `NEXT_DAY`."""

_LONGEST: Final = 0.9  # quantile of sessions' windows: of longer ones too few are known


@dataclass(frozen=True)
class OwnerLevels:
    """Median and spread of owners' negative log ratios by the number of windows compared."""

    learnt: LengthCalibration  # of accounts whose earlier sessions the population was fitted to
    new: LengthCalibration  # of all others
    accounts: tuple[str, ...] = ()  # the former, by their hashes

    def adjust(
        self,
        ratio: Float64[np.ndarray, " sessions"],
        n_windows: Int64[np.ndarray, " sessions"],
        is_learnt: Bool[np.ndarray, " sessions"],
    ) -> Float64[np.ndarray, " sessions"]:
        """Return logits of "not the owner", in spreads above the median of owners; NaN stays."""
        learnt, new = (of.adjust(-ratio, n_windows) for of in (self.learnt, self.new))
        return np.where(is_learnt, learnt, new)

    def slope(
        self, n_windows: Int64[np.ndarray, " sessions"], is_learnt: Bool[np.ndarray, " sessions"]
    ) -> Float64[np.ndarray, " sessions"]:
        """Return by how much a logit rises where the log ratio falls by 1."""
        zero = np.zeros(len(n_windows))
        return self.adjust(zero - 1, n_windows, is_learnt) - self.adjust(zero, n_windows, is_learnt)

    def knows(self, account: Shaped[np.ndarray, " sessions"]) -> Bool[np.ndarray, " sessions"]:
        """Mark the sessions of accounts that the population was fitted to."""
        learnt = set(self.accounts)
        return np.array([name is not None and _hash(name) in learnt for name in account], bool)


def fit_owner_levels(
    ratio: Float64[np.ndarray, " trials"],
    n_windows: Int64[np.ndarray, " trials"],
    is_whole: Bool[np.ndarray, " trials"],
    is_learnt: Bool[np.ndarray, " trials"],
) -> OwnerLevels:
    """Return the levels of owners' trials; of a kind without trials they are the other's."""
    most = max(float(np.quantile(n_windows[is_whole], _LONGEST)) if is_whole.any() else 1.0, 1.0)
    kinds = [kind if kind.any() else ~kind for kind in (is_learnt, ~is_learnt)]
    learnt, new = (
        fit_length_calibration(-ratio[kind], n_windows[kind], 1, int(most)) for kind in kinds
    )
    return OwnerLevels(learnt, new)


def account_hashes(account: Shaped[np.ndarray, " sessions"]) -> tuple[str, ...]:
    """Return the hashes of accounts, each once, as `OwnerLevels` keeps them."""
    return tuple(sorted({_hash(name) for name in account}))


def _hash(account: str) -> str:
    return hashlib.sha256(str(account).encode("utf-8", "surrogatepass")).hexdigest()[:16]
