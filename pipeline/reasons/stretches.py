"""Sessions in, stretches of them out: what is usual is measured on as much as is looked at."""

from typing import Final

import numpy as np
from jaxtyping import Int64

from pipeline.sessions import EVENT_COLUMNS, Sessions

MOST_STRETCHES: Final = 32  # of one session: who was recorded for hours counts no more


def cut_stretches(
    sessions: Sessions, length: int
) -> tuple[Sessions, Int64[np.ndarray, " stretches"]]:
    """Return stretches of `length` events, spread over each session, and which it is of."""
    n_all = sessions.n_events // length
    n = np.minimum(n_all, MOST_STRETCHES)
    of_session = np.repeat(np.arange(len(sessions)), n)
    place = np.arange(len(of_session)) - np.repeat(np.cumsum(n) - n, n)
    spread = place * n_all[of_session] // np.maximum(n, 1)[of_session]
    start = sessions.offsets[of_session] + spread * length
    event = (start[:, None] + np.arange(length)).ravel()
    columns = {name: getattr(sessions, name)[event] for name in EVENT_COLUMNS}
    columns["t_us"] = columns["t_us"] - np.repeat(sessions.t_us[start], length)
    ids = [f"{sessions.session_id[i]}@{j}" for i, j in zip(of_session, place, strict=True)]
    columns |= {
        name: getattr(sessions, name)[of_session]
        for name in Sessions.__dataclass_fields__
        if name not in (*EVENT_COLUMNS, "offsets", "session_id")
    }
    offsets = np.arange(len(of_session) + 1, dtype=np.int64) * length
    rows = Sessions(**columns, session_id=np.array(ids, object), offsets=offsets)
    return rows, of_session
