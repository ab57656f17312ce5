"""Profiles: the print of each account's enrolled sessions, and where it lies among people.

A print is enrolled by adding counts. An account may have several profiles, one a device: people
move otherwise on a touchpad.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float32, Float64, Shaped

from model.manifest import write_manifest
from model.owner.population import Population, Posterior, SessionEmbeddings
from model.prints import Prints
from pipeline.reasons.account import AccountRanges, account_ranges, sub_sessions_column
from pipeline.schemas import PRINTS, PROFILES, check_schema
from pipeline.sessions.sessions import Sessions
from pipeline.storage.paths import StoragePath
from pipeline.storage.publish import replacing, write_parquet

_KEYS = ("account_id", "device")
_FOLDER: Final = Path("profiles")  # of a RUN
_POPULATION: Final = "population.npz"
_FILES: Final = {"profiles.parquet": PROFILES, "prints.parquet": PRINTS}


@dataclass(frozen=True)
class Profiles:
    """Enrolled sessions, their accounts' prints, and the population they are compared against."""

    table: pa.Table  # PROFILES: a row a session
    prints: pa.Table  # PRINTS: a row an account and device
    population: Population

    @staticmethod
    def empty(population: Population) -> "Profiles":
        """Return profiles of nobody."""
        return Profiles(PROFILES.empty_table(), PRINTS.empty_table(), population)

    @staticmethod
    def load(run: Path) -> "Profiles":
        """Return the profiles in a RUN, and the population; of no account if nobody is enrolled."""
        folder = run / _FOLDER
        table, prints = (_read(folder / name, schema) for name, schema in _FILES.items())
        return Profiles(table, prints, Population.load(folder / _POPULATION))

    def save(self, run: Path) -> None:
        """Write the profiles and the population to a RUN in the making."""
        (run / _FOLDER).mkdir(parents=True, exist_ok=True)
        self.population.save(run / _FOLDER / _POPULATION)
        for name, table in self._tables().items():
            write_parquet(table, run / _FOLDER / name)

    def replace_in(self, run: StoragePath) -> None:
        """Replace the profiles in a published RUN, which can be loaded at any moment meanwhile."""
        for name, table in self._tables().items():
            path = _FOLDER / name
            with replacing(run / path) as unfinished:
                write_parquet(table, unfinished)
                write_manifest(run, {path.as_posix(): unfinished})
        write_manifest(run)

    def _tables(self) -> dict[str, pa.Table]:
        return dict(zip(_FILES, (self.table, self.prints), strict=True))

    def deciding_rows(self) -> list[dict[str, Any]]:
        """Return what of the enrolled sessions decides scores; the rest is for reasons alone."""
        return self.table.drop_columns(["stretches"]).to_pylist()

    def extended(self, sessions: Sessions, prints: Prints, device: str = "") -> "Profiles":
        """Return these with the prints of `sessions`; one that is enrolled already is replaced.

        Its print stays in its account's: what was added isn't taken away.
        """
        embeddings = self.population.embed(prints.mean_images)
        new = pa.table(
            [
                pa.array(sessions.account_id, pa.string()),
                pa.array(np.full(len(sessions), device, object), pa.string()),
                pa.array(sessions.session_id, pa.string()),
                pa.array(sessions.n_events, pa.int32()),
                pa.array(prints.n_windows, pa.int32()),
                pa.array(list(embeddings), pa.list_(pa.float32())),
                sub_sessions_column(sessions),
            ],
            schema=PROFILES,
        )
        ids = sessions.session_id.astype(str)
        is_kept = ~np.isin(self.table["session_id"].to_numpy().astype(str), ids)
        both = pa.concat_tables([self.table.filter(is_kept), new])
        keys = [(name, "ascending") for name in (*_KEYS, "session_id")]
        is_new = ~np.isin(ids, self._added)
        added = self._with_prints(sessions.take(is_new), prints.take(is_new), device)
        return Profiles(both.sort_by(keys).combine_chunks(), added, self.population)

    @property
    def _added(self) -> Shaped[np.ndarray, " sessions"]:
        """Return the sessions whose prints are in their accounts'."""
        ids = self.prints["session_ids"].combine_chunks().flatten()
        return np.array(ids.to_pylist(), str)

    def _with_prints(self, sessions: Sessions, prints: Prints, device: str) -> pa.Table:
        """Return the table of prints with those of `sessions` added."""
        if not len(sessions):
            return self.prints
        names, whose = np.unique(sessions.account_id.astype(str), return_inverse=True)
        of_account = prints.summed(whose, len(names))
        before = list(zip(*(self.prints[key].to_pylist() for key in _KEYS), strict=True))
        added = [(str(name), device) for name in names]
        keys = sorted({*before, *added})
        row = {key: i for i, key in enumerate(keys)}
        old, new = (np.array([row[key] for key in some], np.int64) for some in (before, added))
        ids: list[list[str]] = [[] for _ in keys]
        for i, enrolled in zip(old, self.prints["session_ids"].to_pylist(), strict=True):
            ids[i] += enrolled
        for i, name in zip(new[whose], sessions.session_id, strict=True):
            ids[i].append(str(name))
        n_windows = np.zeros(len(keys), np.int64)
        n_windows[old] = self.prints["n_windows"].to_numpy()
        n_windows[new] += of_account.n_windows

        def total(column: str) -> pa.ListArray:
            of_added = getattr(of_account, column).reshape(len(names), -1)
            pixels = np.zeros((len(keys), of_added.shape[1]), np.float32)
            pixels[old] = _pixels(self.prints[column], of_added.shape[1])
            pixels[new] += of_added
            return _as_lists(pixels)

        accounts, devices = (pa.array(column, pa.string()) for column in zip(*keys, strict=True))
        session_ids = pa.array(ids, pa.list_(pa.string()))
        columns = [accounts, devices, session_ids, pa.array(n_windows, pa.int32())]
        return pa.table([*columns, total("counts"), total("images")], schema=PRINTS)

    def print_of(self, account: str, shape: tuple[int, int, int]) -> Prints | None:
        """Return the print of an account, on all its devices; None: it is not enrolled."""
        rows = self.prints.filter(pc.field("account_id") == account)
        if not rows.num_rows:
            return None
        counts, images = (
            _pixels(rows[name], math.prod(shape)).reshape(-1, *shape)
            for name in ("counts", "images")
        )
        of_devices = Prints(counts, images, rows["n_windows"].to_numpy().astype(np.int64))
        return of_devices.summed(np.zeros(rows.num_rows, np.int64), 1)

    @cached_property
    def posteriors(self) -> dict[tuple[str, str], Posterior]:
        """Return where each account's embeddings lie, by account and device."""
        keys = self.table.select(list(_KEYS)).to_pandas()
        if keys.empty:
            return {}
        embeddings = np.array(self.table["embedding"].to_pylist(), np.float64)
        n_windows = self.table["n_windows"].to_numpy().astype(np.int64)
        rows = keys.groupby(["account_id", "device"], sort=True).indices
        return {
            key: self.population.posterior(SessionEmbeddings(embeddings[chosen], n_windows[chosen]))
            for key, chosen in rows.items()
        }

    @cached_property
    def confidence(self) -> dict[tuple[str, str], float]:
        """Return how much is known of each account and device, 0 to 1."""
        return {key: self.population.confidence(found) for key, found in self.posteriors.items()}

    @cached_property
    def ranges(self) -> AccountRanges:
        """Return between what the measures of each account and device range, for reasons."""
        return account_ranges(self.table)

    def summary(self) -> pd.DataFrame:
        """Return a row for each account and device: sessions, windows, events, confidence."""
        frame = self.table.drop_columns(["embedding", "stretches"]).to_pandas()
        keys = ["account_id", "device"]
        summed = frame.groupby(keys).agg(
            n_sessions=("session_id", "size"),
            n_windows=("n_windows", "sum"),
            n_events=("n_events", "sum"),
        )
        summed["maturity"] = pd.Series(self.confidence, dtype=float)
        return summed.reset_index()

    def confident(self, min_confidence: float) -> dict[str, list[Posterior]]:
        """Return by account its profiles of enough confidence, which may be none of them."""
        found: dict[str, list[Posterior]] = {}
        for (account, device), posterior in self.posteriors.items():
            enough = found.setdefault(account, [])
            if self.confidence[account, device] >= min_confidence:
                enough.append(posterior)
        return found


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    """Return a table of `schema`, empty if there is no such file."""
    if not path.is_file():
        return schema.empty_table()
    check_schema(pq.read_schema(path), schema, path)
    return pq.read_table(path, schema=schema)


def _pixels(column: pa.ChunkedArray, size: int) -> Float32[np.ndarray, "rows pixels"]:
    """Return a column of lists of `size` numbers as an array."""
    return column.combine_chunks().flatten().to_numpy().reshape(len(column), size)


def _as_lists(pixels: Float32[np.ndarray, "rows pixels"]) -> pa.ListArray:
    """Return an array as a column of lists; as Python's own numbers it would be far larger."""
    offsets = np.arange(len(pixels) + 1, dtype=np.int32) * np.int32(pixels.shape[1])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(pixels.ravel()))


def compare_with_profiles(
    embeddings: SessionEmbeddings,
    account: Shaped[np.ndarray, " sessions"],
    profiles: dict[str, list[Posterior]],
    population: Population,
) -> Float64[np.ndarray, " sessions"]:
    """Return log P(session | its account's owner) / P(session | anyone); NaN: no profile.

    Each profile of an account is as likely as the others: it may be any of its devices.
    """
    ratio = np.full(len(account), np.nan)
    codes, names = pd.factorize(account)
    for code, name in enumerate(names):
        rows = np.flatnonzero(codes == code)
        of_devices = [
            population.log_ratio(
                SessionEmbeddings(embeddings.mean[rows], embeddings.n_windows[rows]), posterior
            )
            for posterior in profiles.get(name, [])
        ]
        if of_devices:
            ratio[rows] = np.logaddexp.reduce(of_devices) - np.log(len(of_devices))
    return ratio
