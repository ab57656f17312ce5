"""Sessions in, `Recordings` out: their signatures, and when and by whom they were made."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Shaped

from pipeline.replay.signature import VIEWS, Signatures, View, sign
from pipeline.sessions import Sessions


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
    session = [part.session + start for part, start in zip(parts, starts, strict=False)]
    return Signatures(
        session=np.concatenate(session),
        start_ms=np.concatenate([part.start_ms for part in parts]),
        spread_px=np.concatenate([part.spread_px for part in parts]),
        vector=np.concatenate([part.vector for part in parts]),
    )
