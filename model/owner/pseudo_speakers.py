"""Sessions of few people to sessions of more: how people differ is learnt from pseudo-speakers too.

Forty people say little of what another forty will be like. A person who moved left where this one
moved right, or did all of it a quarter faster, would be another person of the same kind: "speaker
augmentation" by speed, as in Ko et al. 2015, "Audio augmentation for speech recognition", and
Yamamoto et al. 2019, "Speaker augmentation and bandwidth extension for deep speaker embedding"
(Interspeech). Only the population is fitted to them; none of them is enrolled.
"""

from dataclasses import replace

import numpy as np

from model.config import OwnerConfig
from pipeline.reductions import Grouping
from pipeline.sessions import Sessions, concatenate_sessions


def with_pseudo_speakers(sessions: Sessions, config: OwnerConfig) -> Sessions:
    """Return `sessions`, and behind them those of the pseudo-speakers made from each."""
    synthetic = [_named(_mirrored(sessions), "mirrored")] if config.mirrored else []
    synthetic += [_named(_at_pace(sessions, pace), f"x{pace:g}") for pace in config.paces]
    return concatenate_sessions([sessions, *synthetic])


def _mirrored(sessions: Sessions) -> Sessions:
    """Return sessions with left and right swapped, each within its own extent."""
    owner = np.repeat(np.arange(len(sessions)), sessions.n_events)
    of_session = Grouping(owner, len(sessions))
    x_px = sessions.x_px.astype(np.float64)
    middle = of_session.max(x_px) - of_session.max(-x_px)  # twice: right edge + left edge
    return replace(sessions, x_px=(middle[owner] - x_px).astype(np.float32))


def _at_pace(sessions: Sessions, times: float) -> Sessions:
    """Return sessions that take `times` as long."""
    return replace(sessions, t_us=np.rint(sessions.t_us * times).astype(np.int64))


def _named(sessions: Sessions, what: str) -> Sessions:
    """Return sessions of other accounts."""
    accounts = [f"{account} {what}" for account in sessions.account_id]
    return replace(sessions, account_id=np.array(accounts, object))
