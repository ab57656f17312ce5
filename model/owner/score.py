"""Sessions and profiles in; out comes how far each session speaks against its account's hand."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Shaped

from model.config import RunConfig
from model.network import Network, predict
from model.owner.population import Evidence, session_means
from model.owner.profiles import Profiles, compare
from pipeline.sessions import Sessions
from pipeline.standard import standardise
from pipeline.windows import Windows, cut_windows, thin_windows


class OwnerLogits(NamedTuple):
    """Logits of "not the owner"; NaN where there is nothing to compare."""

    windows: Windows
    of_window: Float32[np.ndarray, " windows"]  # 0 where there is nothing to compare
    of_session: Float64[np.ndarray, " sessions"]
    abstain: Shaped[np.ndarray, " sessions"]  # why there is nothing; None: there is


def embed(
    network: Network, config: RunConfig, sessions: Sessions, at_most: int | None = None
) -> tuple[Windows, Float32[np.ndarray, "windows features"]]:
    """Return the windows of `sessions`, as events recorded, and the embedding of each.

    With `at_most`, so many of each session, spread evenly.
    """
    standard = standardise(sessions, config.owner.standard)
    windows = cut_windows(standard.sessions, config.owner.window)
    windows = windows if at_most is None else thin_windows(windows, at_most)
    embeddings = predict(network, standard.sessions, windows, config.owner.window.max_events)
    return standard.recorded(windows), embeddings


def compare_sessions(
    network: Network, config: RunConfig, profiles: Profiles, sessions: Sessions
) -> OwnerLogits:
    """Compare each session with the profiles of the account that it claims.

    Evidence adds up in the comparison itself: a session of one window says little either way.
    """
    windows, embeddings = embed(network, config, sessions)
    evidence = session_means(embeddings, windows.session, len(sessions))
    places = profiles.of_account(config.owner.min_maturity)
    account = sessions.account_id
    ratio = compare(evidence, account, places, profiles.population)
    ratio[evidence.n_windows == 0] = np.nan
    one = Evidence(embeddings, np.ones(len(windows), np.int64))
    of_window = compare(one, account[windows.session], places, profiles.population)
    known = np.array([name in places for name in account], bool)
    mature = np.array([bool(places.get(name)) for name in account], bool)
    words = [np.array("no_profile", object), np.array("immature_profile", object)]
    abstain = np.select([~known, ~mature], words, np.full(len(sessions), None, object))
    return OwnerLogits(windows, -np.nan_to_num(of_window).astype(np.float32), -ratio, abstain)


def enroll(
    network: Network, config: RunConfig, profiles: Profiles, sessions: Sessions, device: str = ""
) -> Profiles:
    """Return `profiles` with what legitimate `sessions` show of their accounts' hands.

    Frauds, sessions without an account and those too short for a window are passed over.
    """
    usable = (sessions.label != 1) & np.array([a is not None for a in sessions.account_id], bool)
    sessions = sessions.take(np.flatnonzero(usable))
    windows, embeddings = embed(network, config, sessions)
    evidence = session_means(embeddings, windows.session, len(sessions))
    seen = np.flatnonzero(evidence.n_windows)
    return profiles.extended(sessions.take(seen), Evidence(*(x[seen] for x in evidence)), device)
