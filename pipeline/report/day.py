"""All days of SCORES in, what stands on top of a report out: one day among the earlier ones."""

from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float, Float64

from pipeline.drift import psi
from pipeline.scores import BANDS

N_BINS: Final = 10  # of the scores, equally full on the earlier days
N_BARS: Final = 20  # of the histogram, equally wide


def day_json(scores: pd.DataFrame, date: str) -> dict[str, Any]:
    """Return the counts of each day, and how `date`'s scores lie against the earlier days'.

    `scores` has `run_date`, `band`, `is_flagged` and `fraud_score` of every day.
    """
    is_now, is_earlier = scores["run_date"] == date, scores["run_date"] < date
    judged = scores["fraud_score"].notna()
    now = scores.loc[is_now & judged, "fraud_score"].to_numpy(np.float64)
    earlier = scores.loc[is_earlier & judged, "fraud_score"].to_numpy(np.float64)
    return {
        "date": date,
        "days": [_counts(str(name), part) for name, part in scores.groupby("run_date", sort=True)],
        "histogram": {"now": _bars(now), "earlier": _bars(earlier)},
        "drift": drift(now, earlier),
    }


def drift(
    now: Float[np.ndarray, " sessions"], earlier: Float[np.ndarray, " earlier"]
) -> dict[str, float] | None:
    """Return the population stability index, and what chance alone makes of it; None: no scores.

    A small day's 0.3 may be nothing: of two draws from one population it is about
    (bins - 1)(1/n + 1/m).
    """
    if not len(now) or not len(earlier):
        return None
    ranked = np.sort(earlier)
    edges = np.unique(ranked[np.arange(1, N_BINS) * len(ranked) // N_BINS])
    before, here = (
        np.bincount(np.searchsorted(edges, scores, side="right"), minlength=len(edges) + 1)
        for scores in (earlier.astype(np.float64), now.astype(np.float64))
    )
    value, by_chance, _ = psi(
        before.astype(np.float64), here.astype(np.float64), float(len(earlier)), float(len(now))
    )
    return {"psi": value, "by_chance": by_chance, "n_now": len(now), "n_earlier": len(earlier)}


def _counts(date: str, of_day: pd.DataFrame) -> dict[str, Any]:
    bands = of_day["band"].astype(str).value_counts().to_dict()
    return {
        "date": date,
        "n": len(of_day),
        "flagged": int(np.count_nonzero(of_day["is_flagged"])),
        "bands": {band: bands.get(band, 0) for band in BANDS},
    }


def _bars(scores: Float64[np.ndarray, " sessions"]) -> list[int]:
    """Return how many scores lie in each twentieth of 0 to 1."""
    return np.histogram(scores, N_BARS, (0, 1))[0].tolist()
