"""What is known of each account's hand: embeddings of its enrolled sessions, and their habits.

An account may have several profiles, one a device: a hand moves otherwise on a touchpad.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64, Shaped

from model.owner.population import Evidence, Place, Population
from pipeline.publish import write_parquet
from pipeline.reasons.own import OwnRanges, own_ranges, stretches_column
from pipeline.schemas import PROFILES, check_schema
from pipeline.sessions import Sessions


@dataclass(frozen=True)
class Profiles:
    """Enrolled sessions, and the population they are seen against."""

    table: pa.Table  # PROFILES
    population: Population

    @staticmethod
    def empty(population: Population) -> "Profiles":
        """Return profiles of nobody."""
        return Profiles(PROFILES.empty_table(), population)

    @staticmethod
    def read(path: Path, population: Population) -> "Profiles":
        """Return the profiles in a file; none, if there is no such file."""
        if not path.is_file():
            return Profiles.empty(population)
        check_schema(pq.read_schema(path), PROFILES, path)
        return Profiles(pq.read_table(path, schema=PROFILES), population)

    def write(self, path: Path) -> None:
        """Write them to `path`, whole or not at all."""
        write_parquet(self.table, path)

    def extended(self, sessions: Sessions, evidence: Evidence, device: str = "") -> "Profiles":
        """Return these and what `sessions` show; a session known already is replaced."""
        new = pa.table(
            [
                pa.array(sessions.account_id, pa.string()),
                pa.array(np.full(len(sessions), device, object), pa.string()),
                pa.array(sessions.session_id, pa.string()),
                pa.array(sessions.n_events, pa.int32()),
                pa.array(evidence.n_windows, pa.int32()),
                pa.array(list(evidence.mean.astype(np.float32)), pa.list_(pa.float32())),
                stretches_column(sessions),
            ],
            schema=PROFILES,
        )
        known = ~np.isin(
            self.table["session_id"].to_numpy().astype(str), sessions.session_id.astype(str)
        )
        both = pa.concat_tables([self.table.filter(known), new])
        keys = [(name, "ascending") for name in ("account_id", "device", "session_id")]
        return Profiles(both.sort_by(keys).combine_chunks(), self.population)

    @cached_property
    def places(self) -> dict[tuple[str, str], Place]:
        """Return where each account lies, by account and device."""
        keys = self.table.select(["account_id", "device"]).to_pandas()
        if keys.empty:
            return {}
        embeddings = np.array(self.table["embedding"].to_pylist(), np.float64)
        n_windows = self.table["n_windows"].to_numpy().astype(np.int64)
        rows = keys.groupby(["account_id", "device"], sort=True).indices
        return {
            key: self.population.place(Evidence(embeddings[chosen], n_windows[chosen]))
            for key, chosen in rows.items()
        }

    @cached_property
    def maturity(self) -> dict[tuple[str, str], float]:
        """Return how much is known of each account and device, 0 to 1."""
        return {key: self.population.maturity(place) for key, place in self.places.items()}

    @cached_property
    def ranges(self) -> OwnRanges:
        """Return between what the habits of each account and device range, for reasons."""
        return own_ranges(self.table)

    def summary(self) -> pd.DataFrame:
        """Return a row for each account and device: sessions, windows, events, maturity."""
        frame = self.table.drop_columns(["embedding", "stretches"]).to_pandas()
        keys = ["account_id", "device"]
        summed = frame.groupby(keys).agg(
            n_sessions=("session_id", "size"),
            n_windows=("n_windows", "sum"),
            n_events=("n_events", "sum"),
        )
        summed["maturity"] = pd.Series(self.maturity, dtype=float)
        return summed.reset_index()

    def of_account(self, min_maturity: float) -> dict[str, list[Place]]:
        """Return the places of each account's profiles that are mature, maybe none of them."""
        found: dict[str, list[Place]] = {}
        for (account, device), place in self.places.items():
            mature = found.setdefault(account, [])
            if self.maturity[account, device] >= min_maturity:
                mature.append(place)
        return found


def compare(
    evidence: Evidence,
    account: Shaped[np.ndarray, " sessions"],
    places: dict[str, list[Place]],
    population: Population,
) -> Float64[np.ndarray, " sessions"]:
    """Return log P(session | its account's hand) / P(session | anyone's); NaN: no profile.

    Each profile of an account is as likely as the others: it may be any of its devices.
    """
    ratio = np.full(len(account), np.nan)
    codes, names = pd.factorize(account)
    for code, name in enumerate(names):
        rows = np.flatnonzero(codes == code)
        of_devices = [
            population.log_ratio(Evidence(evidence.mean[rows], evidence.n_windows[rows]), place)
            for place in places.get(name, [])
        ]
        if of_devices:
            ratio[rows] = np.logaddexp.reduce(of_devices) - np.log(len(of_devices))
    return ratio
