"""Embeddings in; out comes how well a straight line through them tells the recorders apart.

What a network has learnt of the recorder instead of the hand shows here. Recorders are told
apart on people that the line was not fitted on: to know a person is not to know a recorder.
The same probe on plain numbers of the clock (`clock_shares`, `window_clock_shares`) says what
there is to learn.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float64, Int64, Shaped

from model.bootstrap import Interval, cluster_bootstrap
from model.metrics import roc_auc
from pipeline.errors import DataError

MIN_PEOPLE = 2  # of a recorder: one to fit, another to be judged


@dataclass(frozen=True)
class ProbeConfig:
    """How the line is fitted."""

    penalty: float = 0.1  # on squared weights, against a mean squared error of standard numbers
    folds: int = 5  # of people
    seed: int = 0


@dataclass(frozen=True)
class ProbeRow:
    """How often a window (or session) of a recorder is ranked above one of another recorder."""

    recorder: str
    n_rows: int
    n_people: int
    auc: Interval  # 0.5: the embedding does not say; drawn anew are people


@dataclass(frozen=True)
class Probe:
    """How well each recorder is told from the others, best first."""

    rows: tuple[ProbeRow, ...]
    left_out: dict[str, int]  # recorder with too few people -> rows, which stay among the others

    def to_json(self) -> dict[str, Any]:
        """Return it as a plain dict."""
        return asdict(self)


def probe_recorders(
    numbers: Float[np.ndarray, "rows numbers"],
    recorder: Shaped[np.ndarray, " rows"],
    person: Shaped[np.ndarray, " rows"],
    config: ProbeConfig = ProbeConfig(),
    n_resamples: int = 1000,
) -> Probe:
    """Return the AUC of each recorder against all others, on people left out of the fit.

    A row is a window or a session; `person` keeps its rows together. Both sides weigh alike
    in the fit, however many rows they have.
    """
    if pd.isna(recorder).any() or pd.isna(person).any():
        raise DataError("probe", "a row has no recorder or no person", "leave such rows out")
    if not np.isfinite(numbers).all():
        raise DataError("probe", "a number is not finite", "leave such rows out")
    people = pd.DataFrame({"recorder": recorder, "person": person})
    n_people = people.drop_duplicates()["recorder"].value_counts().to_dict()
    enough = [name for name, n in n_people.items() if n >= MIN_PEOPLE]
    if len(n_people) < 2 or not enough:
        raise DataError(
            "probe",
            f"{len(n_people)} recorders, {len(enough)} of them with {MIN_PEOPLE} people or more",
            "it takes two recorders, and two people of one",
        )
    fold = _deal(people, config)
    rows = [
        _row(numbers, recorder == name, person, fold, str(name), config, n_resamples)
        for name in enough
    ]
    return Probe(
        rows=tuple(sorted(rows, key=lambda row: (-row.auc.value, row.recorder))),
        left_out={
            str(name): int((recorder == name).sum()) for name in n_people if name not in enough
        },
    )


def compare_probes(
    numbers: Mapping[str, Float[np.ndarray, "rows _"]],
    recorder: Shaped[np.ndarray, " rows"],
    person: Shaped[np.ndarray, " rows"],
    config: ProbeConfig = ProbeConfig(),
    n_resamples: int = 1000,
) -> dict[str, Probe]:
    """Return a probe for each set of numbers, on the same people: `embedding`, `clock`."""
    return {
        name: probe_recorders(values, recorder, person, config, n_resamples)
        for name, values in numbers.items()
    }


def _row(
    numbers: Float[np.ndarray, "rows numbers"],
    is_it: Bool[np.ndarray, " rows"],
    person: Shaped[np.ndarray, " rows"],
    fold: Int64[np.ndarray, " rows"],
    name: str,
    config: ProbeConfig,
    n_resamples: int,
) -> ProbeRow:
    score = np.full(len(numbers), np.nan)
    for judged in np.unique(fold):
        known = fold != judged
        if 0 < is_it[known].sum() < known.sum():
            score[~known] = _fit(numbers[known], is_it[known], config.penalty)(numbers[~known])
    chosen = np.isfinite(score)
    label = is_it.astype(np.int64)[chosen]
    if not 0 < label.sum() < len(label):
        raise DataError("probe", f"the others of {name!r} have one person only", "add people")
    auc = cluster_bootstrap(roc_auc, score[chosen], label, person[chosen], n_resamples, config.seed)
    return ProbeRow(name, int(is_it.sum()), len(pd.unique(person[is_it])), auc)


def _fit(
    numbers: Float[np.ndarray, "known numbers"], is_it: Bool[np.ndarray, " known"], penalty: float
):
    """Return a ridge regression on +1 and -1 (Hoerl and Kennard 1970), as a function."""
    numbers = numbers.astype(np.float64)
    weight = np.where(is_it, 0.5 / is_it.sum(), 0.5 / (~is_it).sum())
    mean = weight @ numbers
    std = np.sqrt(weight @ (numbers - mean) ** 2)
    scale = np.where(std > 1e-9 * (1 + np.abs(mean)), std, np.inf)  # a constant says nothing
    standard = (numbers - mean) / scale
    covariance = standard.T @ (standard * weight[:, None])
    slope = np.linalg.solve(
        covariance + penalty * np.eye(len(covariance)),
        standard.T @ (weight * np.where(is_it, 1.0, -1.0)),
    )

    def score(values: Float[np.ndarray, "rows numbers"]) -> Float64[np.ndarray, " rows"]:
        return ((values - mean) / scale) @ slope

    return score


def _deal(people: pd.DataFrame, config: ProbeConfig) -> Int64[np.ndarray, " rows"]:
    """Return the fold of each row: people in turn, those of one (first) recorder together."""
    firsts = people.drop_duplicates("person")
    shuffled = sorted(
        (str(recorder), hashlib.sha256(f"{config.seed}\t{person}".encode()).digest(), person)
        for recorder, person in firsts[["recorder", "person"]].itertuples(index=False)
    )
    folds = {person: i % config.folds for i, (*_, person) in enumerate(shuffled)}
    return np.array([folds[person] for person in people["person"]], np.int64)
