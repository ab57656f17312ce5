"""Recordings and `Chance` in, evidence out: how surely a session is a replay, and of which.

Two questions are asked in each view. Do more of its movements come back, in whatever sessions,
than would by accident? That finds moves taken from many recordings. And do more come back in one
session? That finds a recording played as a whole, even if it was changed so much that most of
its movements are no longer recognised: accidents don't gather in one session.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float64, Int64, Shaped
from scipy.spatial import cKDTree
from scipy.special import betaincc, betaln, gammaln

from pipeline.replay.chance import Chance, ViewChance
from pipeline.replay.matches import Matches, find_matches
from pipeline.replay.recordings import Recordings
from pipeline.replay.signature import Signatures

MOST_EVIDENCE: Final = 20.0  # natural log of a likelihood ratio; no sample of people backs more
FEWEST: Final = 3  # movements that come back; fewer say nothing
_LEAST_SHARE: Final = 0.15  # of a session, of moves drawn from many: less is habit, not a library
_CLEARLY: Final = np.log(3.0)  # of the odds by which one session looks more like fraud
_RING: Final = (0.5, 1.0)  # ratios between which it is counted how densely movements lie
_POOL: Final = 1_024  # of which, at most
_ACCIDENT: Final = 0.01  # probability of a match that is one, for a movement
_ROUNDING_PX: Final = 0.25  # a copy's points are off by that much after rounding to whole px


@dataclass(frozen=True)
class Evidence:
    """What the search says of each session that is judged."""

    log_ratio: Float64[np.ndarray, " sessions"]  # P(found | replay) / P(found | accident); >= 0
    replay_of: Shaped[np.ndarray, " sessions"]  # the session that it shares most with; None: none
    is_whole: Bool[np.ndarray, " sessions"]  # what comes from that one would do by itself
    n_movements: Int64[np.ndarray, " sessions"]  # that are distinctive, in the view that says most
    n_matched: Int64[np.ndarray, " sessions"]  # of these, found in other sessions

    def take(self, chosen: slice) -> "Evidence":
        """Return the evidence on some of the sessions."""
        return Evidence(*(getattr(self, field.name)[chosen] for field in fields(self)))


def find_replays(
    recordings: Recordings,
    chance: Chance,
    suspicion: Float[np.ndarray, " judged"] | None = None,
) -> Evidence:
    """Return the evidence on every session that is judged: those that aren't earlier, in order.

    Of two that are alike, the later one is the replay. Where it isn't known which is later,
    it is the one with clearly the higher `suspicion` (log odds of fraud by other evidence),
    and if neither is, each may be.
    """
    known = np.full(len(recordings), np.nan)
    if suspicion is not None:
        known[~recordings.is_earlier] = suspicion
    order = _Order(recordings, known)
    identity = np.unique(recordings.session_id.astype(str), return_inverse=True)[1]
    findings = []
    for view, of_view in chance.items():
        found = recordings.signatures[view]
        matches = find_matches(found, identity, ~recordings.is_earlier, of_view)
        findings += _count(found, order.of_originals(found, matches), of_view, len(recordings))
    return _strongest(recordings, findings)


@dataclass(frozen=True)
class _Order:
    """Which of two sessions was there first."""

    recordings: Recordings
    suspicion: Float[np.ndarray, " sessions"]

    def of_originals(self, found: Signatures, matches: Matches) -> Matches:
        """Return the matches with what may be the original."""
        copy, original = found.session[matches.mine], found.session[matches.other]
        started = self.recordings.started_at
        is_dated = ~np.isnat(started[copy]) & ~np.isnat(started[original])
        is_dated &= started[copy] != started[original]
        is_original = np.where(
            is_dated,
            started[original] < started[copy],
            ~(self.suspicion[original] > self.suspicion[copy] + _CLEARLY),  # NaN: not clearly
        )
        is_original |= self.recordings.is_earlier[original]
        return matches.take(is_original)


@dataclass(frozen=True)
class _Finding:
    """The answer to one question in one view."""

    log_ratio: Float64[np.ndarray, " sessions"]
    is_whole: bool  # of matches in one session, not in whatever sessions
    original: Int64[np.ndarray, " sessions"]  # -1: none
    n: Int64[np.ndarray, " sessions"]
    k: Int64[np.ndarray, " sessions"]


def _count(
    found: Signatures, matches: Matches, chance: ViewChance, n_sessions: int
) -> tuple[_Finding, _Finding]:
    """Return what matches in whatever sessions say, and what those in one session say."""
    n_own = np.bincount(found.session, minlength=n_sessions)
    crowding = _crowding(found, matches.radius, chance, n_sessions)
    n_others = (len(found) - n_own) * crowding
    limit = chance.limit(_ACCIDENT, n_others, matches.largest_ratio)
    # Where even a copy, rounded to whole px, would be too far, a match can't be told.
    is_distinctive = limit[found.session] * matches.radius >= _ROUNDING_PX / found.spread_px
    n = np.bincount(found.session[is_distinctive], minlength=n_sessions)
    matches = matches.take(is_distinctive[matches.mine])

    copy, original = found.session[matches.mine], found.session[matches.other]
    matched = np.unique(matches.mine[matches.ratio <= limit[copy]])
    k = np.bincount(found.session[matched], minlength=n_sessions)
    anywhere = _log_ratio(k, n, chance.probability(limit, n_others), chance.spread, _LEAST_SHARE)

    n_in_one = crowding[copy] * n_own[original]
    is_near = matches.ratio <= chance.limit(_ACCIDENT, n_in_one, matches.largest_ratio)
    pair, k_pair = _pairs(matches.take(is_near), found.session, n_sessions)
    copy, original = pair // n_sessions, pair % n_sessions
    n_in_one = crowding[copy] * n_own[original]
    p_pair = chance.probability(chance.limit(_ACCIDENT, n_in_one, matches.largest_ratio), n_in_one)
    in_one = _log_ratio(k_pair, n[copy], p_pair, chance.spread) - np.log(max(n_sessions - 1, 1))
    by_strength = np.lexsort((k_pair, in_one, copy))
    strongest = by_strength[np.flatnonzero(np.diff(copy[by_strength], append=-1))]

    best = _Finding(
        log_ratio=np.full(n_sessions, -np.inf),
        is_whole=True,
        original=np.full(n_sessions, -1, np.int64),
        n=n,
        k=np.zeros(n_sessions, np.int64),
    )
    best.log_ratio[copy[strongest]] = in_one[strongest]
    best.original[copy[strongest]] = original[strongest]
    best.k[copy[strongest]] = k_pair[strongest]
    return _Finding(anywhere, False, best.original, n, k), best


def _crowding(
    found: Signatures,
    radius: Float64[np.ndarray, " signatures"],
    chance: ViewChance,
    n_sessions: int,
) -> Float64[np.ndarray, " sessions"]:
    """Return how many times as densely others lie around a session's movements as expected.

    The reference may be of other people, or of another recorder. Copies are too near to be
    counted: it is those at a moderate distance that tell.
    """
    # Every so many of them, in an order that is not that of the sessions.
    pool = found.vector[np.argsort(found.vector[:, 0])[:: len(found) // _POOL + 1]]
    wanted = np.flatnonzero(np.isfinite(radius))
    counts = np.zeros((2, n_sessions))
    if len(wanted):
        tree = cKDTree(pool)
        n_near = [
            tree.query_ball_point(
                found.vector[wanted], share * radius[wanted], return_length=True, workers=-1
            )
            for share in _RING
        ]
        counts[0] = np.bincount(found.session[wanted], n_near[1] - n_near[0], n_sessions)
    n = np.bincount(found.session[wanted], minlength=n_sessions)
    near, far = chance.expected(np.array(_RING), np.array(len(pool)))
    counts[1] = n * (far - near)
    return np.maximum((counts[0] + 1) / (counts[1] + 1), 1)


def _pairs(
    matches: Matches, session: Int64[np.ndarray, " signatures"], n_sessions: int
) -> tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " pairs"]]:
    """Return the pairs of sessions, copy times `n_sessions` plus original, and what they share.

    Movements of the one and of the other are counted, and the fewer taken: a session full of one
    habit matches a single movement many times.
    """
    mine, original = divmod(
        pd.unique(session[matches.other] + matches.mine * n_sessions), n_sessions
    )
    other, copy = divmod(pd.unique(session[matches.mine] + matches.other * n_sessions), n_sessions)
    pair, of_mine = np.unique(session[mine] * n_sessions + original, return_counts=True)
    _, of_other = np.unique(copy * n_sessions + session[other], return_counts=True)
    return pair, np.minimum(of_mine, of_other)


def _log_ratio(
    k: Int64[np.ndarray, "*shape"],
    n: Int64[np.ndarray, "*shape"],
    p: Float64[np.ndarray, "*shape"],
    spread: float,
    least_share: float = 0.0,
) -> Float64[np.ndarray, "*shape"]:
    """Return log P(k of n | some share is copied) / P(k of n | by accident, with probability p).

    Any share from the least on is as likely as any other. Accidents are beta-binomial: sessions
    differ in how often they have one.
    """
    p = np.maximum(p, 1e-12)  # of a session that is alone it is 0
    a, b = p * (1 / spread - 1), (1 - p) * (1 / spread - 1)
    ways = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    is_so_much = np.maximum(betaincc(k + 1.0, n - k + 1.0, least_share), 1e-300)
    copied = np.log(is_so_much / (1 - least_share)) - np.log(n + 1)
    log_ratio = copied - ways - betaln(k + a, n - k + b) + betaln(a, b)
    return np.where(k < FEWEST, -np.inf, log_ratio)


def _strongest(recordings: Recordings, findings: Sequence[_Finding]) -> Evidence:
    """Return for each session the finding that says most, made less by how many were asked."""
    in_one = _best([finding for finding in findings if finding.is_whole])
    best = _best(findings)
    n_asked = np.log(len(findings))
    log_ratio = np.clip(best.log_ratio - n_asked, 0, MOST_EVIDENCE)
    is_known = (in_one.original >= 0) & (log_ratio > 0)
    replay_of = np.full(len(recordings), None, object)
    replay_of[is_known] = recordings.session_id[in_one.original[is_known]]
    columns = (
        log_ratio,
        replay_of,
        in_one.log_ratio > n_asked,
        best.n,
        best.k,
    )
    return Evidence(*(column[~recordings.is_earlier] for column in columns))


def _best(findings: Sequence[_Finding]) -> _Finding:
    """Return for each session the finding with the most evidence, then with the most matches."""
    strength = [(finding.k, finding.log_ratio) for finding in findings]
    last = np.lexsort(np.moveaxis(np.array(strength), 0, -1), axis=-1)[:, -1]
    rows = np.arange(len(last))

    def chosen(name: str) -> np.ndarray:
        return np.stack([getattr(finding, name) for finding in findings])[last, rows]

    whole = findings[0].is_whole
    return _Finding(chosen("log_ratio"), whole, chosen("original"), chosen("n"), chosen("k"))
