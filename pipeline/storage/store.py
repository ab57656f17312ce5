"""The STORE: sessions on disk, a row a session.

    STORE/ingest_date=2026-11-01/part-<hash>.parquet              SESSIONS
    STORE.quarantine/ingest_date=2026-11-01/part-<hash>.parquet   QUARANTINE, if rows were rejected
    STORE.quarantine/ingest_date=2026-11-01/_manifest-<hash>.json what came of each file
    STORE.quarantine/ingest_date=2026-11-01/_ingested.json        when it was last ingested into

A part holds whole files, and its hash is made of theirs. It is written in the order
quarantine, manifest, sessions: a part whose manifest promises sessions that aren't there
was interrupted, and is removed before the next is written.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int64

from pipeline.errors import ConfigError, NotFoundError
from pipeline.schemas import QUARANTINE, SESSIONS, check_schema
from pipeline.sessions.recorder import name_recorders
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from pipeline.sessions.tables import sessions_from_table, sessions_table
from pipeline.storage.paths import StoragePath, as_path, open_parquet
from pipeline.storage.publish import parquet_writer, write_json, write_parquet
from pipeline.storage.version import program_version

GROUP_SESSIONS: Final = 4096  # of a row group, at most
GROUP_EVENTS: Final = 2_000_000
_DAY = "ingest_date="
_INGESTED: Final = "_ingested.json"


@dataclass(frozen=True)
class Part:
    """Where the three files of a part of the store lie."""

    store: StoragePath
    ingest_date: str
    hash: str

    @property
    def sessions(self) -> StoragePath:
        """Return the path of its sessions."""
        return self.store / f"ingest_date={self.ingest_date}" / f"part-{self.hash}.parquet"

    @property
    def quarantine(self) -> StoragePath:
        """Return the path of its rejected rows."""
        folder = quarantine_folder(self.store) / f"ingest_date={self.ingest_date}"
        return folder / f"part-{self.hash}.parquet"

    @property
    def manifest(self) -> StoragePath:
        """Return the path of its manifest."""
        return self.quarantine.with_name(f"_manifest-{self.hash}.json")


def quarantine_folder(store: StoragePath) -> StoragePath:
    """Return the folder of rejected rows, beside the store."""
    return store.with_name(f"{store.name}.quarantine")


def part_hash(source_sha256: Iterable[str]) -> str:
    """Return the name of a part with these files, in whatever order."""
    return hashlib.sha256("".join(sorted(source_sha256)).encode()).hexdigest()[:16]


def check_date(day: str) -> str:
    """Return a date as it is, or raise `ConfigError` if it is not like 2026-11-01."""
    try:
        if date.fromisoformat(day).isoformat() == day:
            return day
    except ValueError:
        pass  # reported below, as for 20261101, which Python reads and the folders don't
    raise ConfigError("date", f"{day!r} is not a date", "YYYY-MM-DD, such as 2026-11-01")


def write_part(
    part: Part, sessions: Sequence[Sessions], rejected: pa.Table, manifest: Mapping[str, object]
) -> None:
    """Write a part. Its sessions come last: with them it is there."""
    if rejected.num_rows:
        write_parquet(rejected, part.quarantine)
    all_sessions = concatenate_sessions(sessions)
    write_json(_described(len(all_sessions), manifest), part.manifest)
    if len(all_sessions):
        write_parquet(_row_groups(all_sessions), part.sessions)


def write_large_part(
    part: Part,
    pieces: Iterable[tuple[Sessions, pa.Table]],
    manifest: Callable[[], Mapping[str, object]],
) -> None:
    """Write a part a piece at a time: sessions, and rows that were rejected.

    Its files appear in the same order as those of `write_part`; `manifest` is asked at the end.
    """
    n_sessions = n_rejected = 0
    with parquet_writer(part.sessions, SESSIONS) as kept:
        with parquet_writer(part.quarantine, QUARANTINE) as quarantine:
            for sessions, rejected in pieces:
                for table in _row_groups(sessions) if len(sessions) else ():
                    kept.write_table(table)
                if rejected.num_rows:
                    quarantine.write_table(rejected)
                n_sessions += len(sessions)
                n_rejected += rejected.num_rows
        if not n_rejected:
            part.quarantine.unlink()
        write_json(_described(n_sessions, manifest()), part.manifest)
    if not n_sessions:
        part.sessions.unlink()


def _described(n_sessions: int, manifest: Mapping[str, object]) -> dict[str, object]:
    return {"n_sessions": n_sessions, "pointerprint": program_version(), **manifest}


def _row_groups(sessions: Sessions) -> Iterator[pa.Table]:
    """Cut sessions into tables small enough to be read one at a time."""
    table = sessions_table(sessions)
    bounds = group_bounds(sessions.offsets)
    for start, stop in pairwise(bounds):
        yield table.slice(start, stop - start)


def group_bounds(offsets: Int64[np.ndarray, " bounds"]) -> list[int]:
    """Return where row groups begin, and the end: by sessions or by events, whichever is first."""
    bounds, n_sessions = [0], len(offsets) - 1
    while bounds[-1] < n_sessions:
        start = bounds[-1]
        by_events = int(np.searchsorted(offsets, offsets[start] + GROUP_EVENTS, side="right")) - 1
        bounds.append(min(max(by_events, start + 1), start + GROUP_SESSIONS, n_sessions))
    return bounds


def drop_unfinished(store: StoragePath) -> None:
    """Remove what is left of interrupted parts."""
    folder = quarantine_folder(store)
    for path in folder.glob("ingest_date=*/part-*.parquet"):
        if not _part_beside(store, path).manifest.exists():
            path.unlink()
    for path in folder.glob("ingest_date=*/_manifest-*.json"):
        part = _part_beside(store, path)
        if json.loads(path.read_text())["n_sessions"] and not part.sessions.exists():
            part.quarantine.unlink(missing_ok=True)
            path.unlink()


def _part_beside(store: StoragePath, path: StoragePath) -> Part:
    """Return the part to which a file in the quarantine belongs."""
    return Part(store, path.parent.name.partition("=")[2], path.stem.rpartition("-")[2])


def note_ingested(store: StoragePath, ingest_date: str, n_files: int) -> None:
    """Write down that a day was ingested into: that nothing new came is known from then on."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    path = quarantine_folder(store) / f"{_DAY}{ingest_date}" / _INGESTED
    noted = {"ingested_at": at, "n_files": n_files, "pointerprint": program_version()}
    write_json(noted, path)


def ingested_days(store: StoragePath) -> dict[str, str]:
    """Return when each day was last ingested into, ISO 8601, UTC.

    For days of versions that didn't write it down: when their last part was written.
    """
    store = as_path(store)
    days: dict[str, str] = {}
    for path in part_paths(store):
        at = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
        day = path.parent.name.removeprefix(_DAY)
        days[day] = max(days.get(day, ""), at)
    for path in quarantine_folder(store).glob(f"{_DAY}*/{_INGESTED}"):
        days[path.parent.name.removeprefix(_DAY)] = json.loads(path.read_text())["ingested_at"]
    return days


def require_ingested(store: StoragePath, ingest_date: str) -> None:
    """Raise `NotFoundError` if there is no store, or nobody ingested into it on that day.

    A day without sessions is empty only if somebody looked for them.
    """
    store, day = as_path(store), f"{_DAY}{check_date(ingest_date)}"
    noted = quarantine_folder(store) / day
    if part_paths(store, ingest_date):
        return
    is_noted = (noted / _INGESTED).is_file()
    manifests = [json.loads(path.read_text()) for path in noted.glob("_manifest-*.json")]
    if any("n_pruned" in manifest for manifest in manifests):
        raise NotFoundError(
            store, f"the sessions of {ingest_date} were deleted by `prune`", "choose a later day"
        )
    if is_noted or manifests:
        return
    way_out = f"`pointerprint ingest LOG --to {store} --date {ingest_date}`"
    if not is_store(store) and not quarantine_folder(store).is_dir():
        raise NotFoundError(
            store, "there is no store here", f"is the setting `store` right? {way_out} makes one"
        )
    raise NotFoundError(
        store,
        f"nothing was ingested on {ingest_date}, so whether the day is empty isn't known",
        f"{way_out} first; it may find nothing new",
    )


def known_files(store: StoragePath) -> set[str]:
    """Return the hashes of the files that were ingested, those without any session too."""
    known = {
        file["sha256"]
        for path in quarantine_folder(store).glob("ingest_date=*/_manifest-*.json")
        for file in json.loads(path.read_text())["files"]
    }
    return known.union(*(_column(path, "source_sha256") for path in part_paths(store)))


def known_sessions(store: StoragePath) -> set[str]:
    """Return the ids of the sessions in a store; none if there is no store yet."""
    return set().union(*(_column(path, "session_id") for path in part_paths(store)))


def _column(path: StoragePath, name: str) -> set[str]:
    """Return the different values of a column of a part."""
    parquet = open_parquet(path)
    check_schema(parquet.schema_arrow, SESSIONS, path)
    return set(parquet.read(columns=[name])[name].to_pylist())


def day_folder(store: StoragePath, ingest_date: str) -> StoragePath:
    """Return the partition of one day: wherever a store is read, it may stand for the store."""
    return store / f"{_DAY}{check_date(ingest_date)}"


def ingest_days(store: StoragePath) -> list[str]:
    """Return the days of which a store has sessions, in their order."""
    return sorted({path.parent.name.removeprefix(_DAY) for path in part_paths(store)})


def is_store(path: StoragePath) -> bool:
    """Say whether a folder is a store, by its partitions, or one of these."""
    path = as_path(path)
    is_day = path.name.startswith(_DAY) and any(path.glob("part-*.parquet"))
    return path.is_dir() and (is_day or any(path.glob(f"{_DAY}*")))


def part_paths(store: StoragePath, ingest_date: str | None = None) -> list[StoragePath]:
    """Return the parts of a store, or of one day of it, in a fixed order."""
    store = as_path(store)
    if store.name.startswith(_DAY):
        return sorted(store.glob("part-*.parquet"))
    return sorted(store.glob(f"{_DAY}{ingest_date or '*'}/part-*.parquet"))


def read_sessions(store: StoragePath, ingest_date: str | None = None) -> Iterator[Sessions]:
    """Give a store's sessions, or those of one day, a row group at a time, in a fixed order."""
    if not is_store(store):
        raise NotFoundError(
            store, "there is no store here", "`pointerprint ingest LOG --to STORE` makes one"
        )
    for path in part_paths(store, ingest_date):
        yield from read_row_groups(path)


def read_row_groups(path: StoragePath, groups: range | None = None) -> Iterator[Sessions]:
    """Give the sessions of a part, or of some of its row groups, a group at a time."""
    with open_parquet(path) as parquet:
        check_schema(parquet.schema_arrow, SESSIONS, path)
        for group in range(parquet.num_row_groups) if groups is None else groups:
            table = parquet.read_row_group(group, columns=SESSIONS.names)
            sessions = sessions_from_table(table, path)
            # Stores of version 1 have no recorder.
            yield sessions if "recorder" in table.column_names else name_recorders(sessions)


def load_sessions(
    stores: Sequence[StoragePath], chosen: Bool[np.ndarray, " sessions"] | None = None
) -> Sessions:
    """Return all sessions of several stores at once, in memory; with `chosen`, these of them."""
    groups, begin = [], 0
    for group in (group for store in stores for group in read_sessions(store)):
        these = slice(begin, begin + len(group))
        groups.append(group if chosen is None else group.take(chosen[these]))
        begin = these.stop
    return concatenate_sessions(groups or [sessions_from_table(SESSIONS.empty_table())])


def session_columns(stores: Sequence[StoragePath], names: Sequence[str]) -> pa.Table:
    """Return columns of all sessions of several stores, in the order of `load_sessions`."""
    wanted = pa.schema([SESSIONS.field(name) for name in names])
    tables = [wanted.empty_table()]
    for path in (path for store in stores for path in part_paths(store)):
        with open_parquet(path) as parquet:
            check_schema(parquet.schema_arrow, SESSIONS, path)
            tables.append(parquet.read(columns=list(names)).select(list(names)).cast(wanted))
    return pa.concat_tables(tables)
