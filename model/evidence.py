"""Logits and how many events they rest on in, logits that mean alike whatever the length out.

A network that has seen twenty events says little, and what it says of people scatters widely; of
three hundred events it says more, more narrowly. One threshold for both flags people for being
short, and lets bots pass that no person of their length is like. docs/decisions/0012-evidence.md.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Float64, Int, Shaped

from pipeline.errors import SchemaError

_SD_OF_MEAN_DEVIATION = np.sqrt(np.pi / 2)  # of a normal distribution
_NARROWEST = 0.25  # of the spread over all lengths: fewer people may agree by chance


@dataclass(frozen=True)
class Evidence:
    """How logits of people lie at the fewest events and at the most; between, by the logarithm."""

    fewest: int
    most: int
    mean_of_fewest: float
    mean_of_most: float
    spread_of_fewest: float
    spread_of_most: float

    def adjust(
        self, logits: Float[np.ndarray, " sessions"], n_events: Int[np.ndarray, " sessions"]
    ) -> Float64[np.ndarray, " sessions"]:
        """Return by how many spreads of people's logits each lies above people's mean; NaN stays.

        Mean and spread are halfway between those at the session's length and those at the most
        events. All the way, every length would have its own 1 % of false alarms; no way, all of
        them would be short sessions, which also is where bots are hardest to tell.
        """
        share = _share(n_events, self.fewest, self.most)
        mean = self.mean_of_fewest + share * (self.mean_of_most - self.mean_of_fewest)
        spread = self.spread_of_fewest + share * (self.spread_of_most - self.spread_of_fewest)
        centred = logits.astype(np.float64) - (mean + self.mean_of_most) / 2
        return centred / np.sqrt(spread * self.spread_of_most)

    def to_json(self) -> dict[str, Any]:
        """Return it as a plain dict."""
        return asdict(self)

    @staticmethod
    def from_json(json: dict[str, Any]) -> "Evidence":
        """Return what `to_json` wrote."""
        names = [field.name for field in fields(Evidence)]
        if missing := [name for name in names if name not in json]:
            raise SchemaError("evidence", f"missing {', '.join(missing)}", "train the model again")
        numbers = {name: float(json[name]) for name in names[2:]}
        return Evidence(int(json["fewest"]), int(json["most"]), **numbers)


def fit_evidence(
    logits: Float[np.ndarray, " sessions"],
    n_events: Int[np.ndarray, " sessions"],
    people: Shaped[np.ndarray, " sessions"],
    fewest: int,
    most: int,
) -> Evidence:
    """Return how the logits of legitimate sessions lie; each person counts alike.

    Two straight lines over the logarithm of the length, one through the logits, one through their
    distances from the first: few people have few sessions of each length.
    """
    code, _ = pd.factorize(people)
    weight = np.sqrt(1 / np.bincount(code)[code])
    share = _share(n_events, fewest, most)
    mean = _line(share, logits.astype(np.float64), weight)
    off = np.abs(logits - np.interp(share, (0, 1), mean)) * _SD_OF_MEAN_DEVIATION
    overall = float(np.average(off, weights=weight**2)) or 1.0
    spread = np.maximum(_line(share, off, weight), _NARROWEST * overall)
    return Evidence(fewest, most, *map(float, mean), *map(float, spread))


def _share(
    n_events: Int[np.ndarray, " sessions"], fewest: int, most: int
) -> Float64[np.ndarray, " sessions"]:
    """Return how far on the way from `fewest` to `most` events each is, by the logarithm."""
    if most <= fewest:
        return np.ones(len(n_events))
    return np.clip(np.log(np.maximum(n_events, 1) / fewest) / np.log(most / fewest), 0, 1)


def _line(
    share: Float64[np.ndarray, " sessions"],
    values: Float64[np.ndarray, " sessions"],
    weight: Float64[np.ndarray, " sessions"],
) -> Float64[np.ndarray, "2"]:
    """Return a line's values at 0 and 1; where all lengths are alike it is level."""
    middle = np.average(share, weights=weight**2)
    inputs = np.stack([weight, weight * (share - middle)], axis=1)
    level, slope = np.linalg.lstsq(inputs, weight * values, rcond=1e-6)[0]
    return level + slope * (np.array([0.0, 1.0]) - middle)
