"""Sessions against profiles: how far each session speaks against its account's owner."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Shaped

from model.config import RunConfig
from model.owner.population import Population, SessionEmbeddings, session_means
from model.owner.profiles import Profiles, compare
from model.prints import session_prints, task_windows, window_counts
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import Windows
from rasterize.draw import density


class OwnerLogits(NamedTuple):
    """Logits of "not the owner"; NaN where there is nothing to compare."""

    windows: Windows
    of_window: Float32[np.ndarray, " windows"]  # 0 where there is nothing to compare
    of_session: Float64[np.ndarray, " sessions"]
    abstain: Shaped[np.ndarray, " sessions"]  # why there is nothing; None: there is


def embed(
    population: Population, config: RunConfig, sessions: Sessions
) -> tuple[Windows, Float32[np.ndarray, "windows dimensions"]]:
    """Return the windows of `sessions`, as events recorded, and the embedding of each."""
    seen, windows = task_windows(config, sessions)
    counts = window_counts(config, seen.sessions, windows)
    parts = [population.embed(density(of_batch)) for _, of_batch in counts]
    empty = np.zeros((0, len(population.axes)), np.float32)
    return seen.recorded(windows), np.concatenate([*parts, empty])


def compare_sessions(config: RunConfig, profiles: Profiles, sessions: Sessions) -> OwnerLogits:
    """Compare each session with the profiles of the account that it claims.

    What windows say adds up in the comparison itself: one window says little either way.
    """
    windows, embeddings = embed(profiles.population, config, sessions)
    evidence = session_means(embeddings, windows.session, len(sessions))
    places = profiles.of_account(config.owner.min_confidence)
    account = sessions.account_id
    ratio = compare(evidence, account, places, profiles.population)
    ratio[evidence.n_windows == 0] = np.nan
    one = SessionEmbeddings(embeddings, np.ones(len(windows), np.int64))
    of_window = compare(one, account[windows.session], places, profiles.population)
    known = np.array([name in places for name in account], bool)
    mature = np.array([bool(places.get(name)) for name in account], bool)
    words = [np.array("no_profile", object), np.array("immature_profile", object)]
    abstain = np.select([~known, ~mature], words, np.full(len(sessions), None, object))
    return OwnerLogits(windows, -np.nan_to_num(of_window).astype(np.float32), -ratio, abstain)


def enroll(config: RunConfig, profiles: Profiles, sessions: Sessions, device: str = "") -> Profiles:
    """Return `profiles` with the prints of legitimate `sessions` added to their accounts'.

    Frauds, sessions without an account and those too short for a window are passed over.
    """
    usable = (sessions.label != 1) & np.array([a is not None for a in sessions.account_id], bool)
    sessions = sessions.take(np.flatnonzero(usable))
    prints = session_prints(config, sessions)
    has_any = np.flatnonzero(prints.n_windows)
    return profiles.extended(sessions.take(has_any), prints.take(has_any), device)
