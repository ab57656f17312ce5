"""Find duplicate session ids in bounded memory: 8 bytes a session."""

import hashlib
from collections.abc import Iterable

import numpy as np
from jaxtyping import UInt64


def short_hashes(session_ids: Iterable[str]) -> UInt64[np.ndarray, " sessions"]:
    """Return a number for each id, the same for the same id and hardly ever for two."""
    joined = b"".join(
        hashlib.blake2b(session_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for session_id in session_ids
    )
    return np.frombuffer(joined, np.uint64)


def repeated_hashes(hashes: UInt64[np.ndarray, " sessions"]) -> UInt64[np.ndarray, " repeated"]:
    """Return the hashes that occur more than once.

    Their ids must be compared: whoever makes two ids share a hash makes nobody drop a session.
    """
    ordered = np.sort(hashes)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
