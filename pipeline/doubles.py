"""Sessions that are there twice, found in bounded memory: 16 bytes a session."""

import hashlib
from collections.abc import Iterable

import numpy as np
from jaxtyping import Int64, Shaped


def digests(session_ids: Iterable[str]) -> Shaped[np.ndarray, " sessions"]:
    """Return a hash of each id, long enough that nobody can make two ids share one."""
    joined = b"".join(
        hashlib.blake2b(session_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        for session_id in session_ids
    )
    return np.frombuffer(joined, "S16")


def find_doubles(
    digest: Shaped[np.ndarray, " sessions"],
) -> tuple[Int64[np.ndarray, " doubles"], Int64[np.ndarray, " doubles"]]:
    """Return the rows whose session was there before, and the row where it was first."""
    order = np.argsort(digest, kind="stable")
    is_same = digest[order][1:] == digest[order][:-1]
    place = np.arange(len(order))
    start = np.maximum.accumulate(np.where(np.append(True, ~is_same)[: len(order)], place, 0))
    later = np.flatnonzero(is_same) + 1
    by_row = np.argsort(order[later])
    return order[later][by_row], order[start[later]][by_row]
