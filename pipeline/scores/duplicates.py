"""Sessions that are there twice, found in bounded memory: 8 bytes a session."""

import hashlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Int64, UInt64

Rows = Int64[np.ndarray, " rows"]


def short_hashes(session_ids: Iterable[str]) -> UInt64[np.ndarray, " sessions"]:
    """Return a number for each id, the same for the same id and hardly ever for two."""
    joined = b"".join(
        hashlib.blake2b(session_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for session_id in session_ids
    )
    return np.frombuffer(joined, np.uint64)


def find_duplicates(
    hashes: UInt64[np.ndarray, " sessions"], names: Callable[[Rows], Sequence[str]]
) -> tuple[Int64[np.ndarray, " doubles"], Int64[np.ndarray, " doubles"]]:
    """Return the rows whose session was there before, and the row where it was first.

    `names` gives the ids in some rows. It is asked only for those that share a hash, so whoever
    makes two ids share one makes nobody take them for the same.
    """
    ordered = np.sort(hashes)
    shared = ordered[1:][ordered[1:] == ordered[:-1]]
    rows = np.flatnonzero(np.isin(hashes, shared)) if len(shared) else np.zeros(0, np.int64)
    first_of: dict[str, int] = {}
    found = [
        (row, first)
        for row, name in zip(rows.tolist(), names(rows), strict=True)
        if (first := first_of.setdefault(name, row)) != row
    ]
    later, first = np.array(found, np.int64).reshape(-1, 2).T
    return later, first
