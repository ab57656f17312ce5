"""Sessions in, `Recordings` out: their signatures, and when and by whom they were made."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Shaped

from pipeline.replay.signature import VIEWS, Signatures, View, concatenate_signatures, sign
from pipeline.sessions.sessions import Sessions
from pipeline.storage.paths import StoragePath
from pipeline.storage.publish import replacing


@dataclass(frozen=True)
class Recordings:
    """What is kept of sessions to search in; their events are not."""

    session_id: Shaped[np.ndarray, " sessions"]
    account_id: Shaped[np.ndarray, " sessions"]
    started_at: Shaped[np.ndarray, " sessions"]  # NaT: not known
    is_earlier: Bool[np.ndarray, " sessions"]  # searched in, and not judged
    signatures: dict[View, Signatures]

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self.session_id)

    @property
    def n_movements(self) -> int:
        """Return the number of movements that have a signature."""
        return len(self.signatures["same"])


def record(sessions: Sessions, is_earlier: bool = False) -> Recordings:
    """Return the recordings of sessions."""
    return Recordings(
        session_id=sessions.session_id,
        account_id=sessions.account_id,
        started_at=sessions.started_at,
        is_earlier=np.full(len(sessions), is_earlier),
        signatures=sign(sessions),
    )


def concatenate_recordings(parts: Sequence[Recordings]) -> Recordings:
    """Put several `Recordings` end to end."""
    starts = np.cumsum([0, *map(len, parts)])
    return Recordings(
        session_id=np.concatenate([part.session_id for part in parts]),
        account_id=np.concatenate([part.account_id for part in parts]),
        started_at=np.concatenate([part.started_at for part in parts]),
        is_earlier=np.concatenate([part.is_earlier for part in parts]),
        signatures={
            view: _end_to_end([part.signatures[view] for part in parts], starts) for view in VIEWS
        },
    )


def _end_to_end(parts: Sequence[Signatures], starts: np.ndarray) -> Signatures:
    return concatenate_signatures(
        [
            replace(part, session=part.session + start)
            for part, start in zip(parts, starts, strict=False)
        ]
    )


def write_recordings(recordings: Recordings, path: StoragePath) -> StoragePath:
    """Write the signatures to a `.npz` of plain numbers; who they are of is in the scores."""
    columns = {
        f"{view}.{field.name}": getattr(signatures, field.name)
        for view, signatures in recordings.signatures.items()
        for field in fields(Signatures)
    }
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, **columns)
    return path


def read_recordings(path: StoragePath, scores: pa.Table) -> Recordings:
    """Return what `write_recordings` wrote, of the sessions in the rows of `scores`."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as columns:
        signatures: dict[View, Signatures] = {
            view: Signatures(*(columns[f"{view}.{field.name}"] for field in fields(Signatures)))
            for view in VIEWS
        }
    started_at = scores["started_at"].cast(pa.timestamp("us")).to_numpy()
    return Recordings(
        session_id=np.array(scores["session_id"].to_pylist(), object),
        account_id=np.array(scores["account_id"].to_pylist(), object),
        started_at=started_at.astype("datetime64[us]"),
        is_earlier=np.zeros(scores.num_rows, bool),
        signatures=signatures,
    )
