"""Say which sessions come from recorders that the model's level was not set for."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Shaped

from pipeline.errors import printable

_NAMED: Final = 3  # recorders


def knows_recorders(
    recorder: Shaped[np.ndarray, " sessions"], recorders: Mapping[str, int]
) -> Shaped[np.ndarray, " sessions"]:
    """Return whether each session's recorder is among those that a level was set for.

    None: the session's recorder isn't known, or those of the level are not.
    """
    known = np.full(len(recorder), None, object)
    if recorders:
        is_named = pd.notna(recorder)
        known[is_named] = [name in recorders for name in recorder[is_named]]
    return known


def unknown_recorders(scores: pa.Table) -> dict[str, int]:
    """Return how many sessions have a score, by each recorder that no level was set for."""
    is_unknown = pc.equal(scores["recorder_known"], pa.scalar(False))
    is_unknown = pc.and_(is_unknown, scores["fraud_score"].is_valid())
    names = scores["recorder"].filter(is_unknown.fill_null(False))
    return {row["values"]: row["counts"] for row in pc.value_counts(names).to_pylist()}


def unknown_recorders_text(unknown: Mapping[str, int], n_sessions: int) -> str:
    """Return what to think of these sessions and what to do, nothing if there are none."""
    if not unknown:
        return ""
    commonest = sorted(unknown.items(), key=lambda found: (-found[1], found[0]))
    named = ", ".join(f"{printable(name)}: {n:,}" for name, n in commonest[:_NAMED])
    if len(commonest) > _NAMED:
        named += f", and {len(commonest) - _NAMED:,} more"
    return (
        f"{sum(unknown.values()):,} of {n_sessions:,} sessions come from recorders that the "
        f"model's level was not set for ({named}): their scores may all be too high or too low; "
        "`pointerprint adapt STORE --model RUN --to RUN2` sets the level to such sessions"
    )
