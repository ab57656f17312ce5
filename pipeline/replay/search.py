"""Search recordings for replays: how surely a session is one, and of which session.

Two questions are asked in each view. Do more of its movements come back, in whatever sessions,
than would by accident? That finds moves taken from many recordings. And do more come back in one
session? That finds a recording played as a whole, even if it was changed so much that most of
its movements are no longer recognised: accidents don't gather in one session.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Float, Float64, Int64, Shaped
from scipy.spatial import cKDTree
from scipy.special import betaincc, betaln, expit, gammaln, logit

from pipeline.replay.codes import REPEATED, REPLAY
from pipeline.replay.null_model import NullModel, ViewNullModel
from pipeline.replay.signature import Recordings, Signatures
from pipeline.schemas import SCORES
from pipeline.scores.table import bands_of

LARGEST_RATIO: Final = 0.7  # beyond it a neighbour is no match, however few there are
_N_ACCIDENTS: Final = 2.0  # for each movement: where more are expected, the search is nearer
_N_NEAREST: Final = 16  # neighbours of each movement, at most
_BLOCK: Final = 4_096  # movements at once


@dataclass(frozen=True)
class Matches:
    """Movement `mine[i]` is like `other[i]`, of another session: numbers of signatures."""

    mine: Int64[np.ndarray, " matches"]
    other: Int64[np.ndarray, " matches"]
    ratio: Float64[np.ndarray, " matches"]
    radius: Float64[np.ndarray, " signatures"]  # the distance of ratio 1; NaN: not searched for
    largest_ratio: float  # that was looked for

    def __len__(self) -> int:
        """Return the number of matches."""
        return len(self.mine)

    def take(self, chosen: Bool[np.ndarray, " matches"]) -> "Matches":
        """Return the matches that are chosen."""
        return replace(
            self, mine=self.mine[chosen], other=self.other[chosen], ratio=self.ratio[chosen]
        )


def find_matches(
    found: Signatures,
    identity: Int64[np.ndarray, " sessions"],
    is_searched: Bool[np.ndarray, " sessions"],
    null_model: ViewNullModel,
) -> Matches:
    """Return the matches of the sessions in `is_searched`.

    Sessions of the same `identity` are one session that occurs twice.
    """
    wanted = np.flatnonzero(is_searched[found.session])
    radius = np.full(len(found), np.nan)
    radius[wanted] = null_model.radius(found.vector[wanted])
    largest = float(null_model.ratio(_N_ACCIDENTS, np.array([len(found)]), LARGEST_RATIO)[0])
    tree = cKDTree(found.vector)
    mine, other, ratio = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    by_radius = wanted[np.argsort(radius[wanted], kind="stable")]
    for start in range(0, len(wanted), _BLOCK):
        block = by_radius[start : start + _BLOCK]
        # One limit a call: movements of like radius go together, or most would look too far.
        limit = largest * radius[block[-1]]
        distance, near = tree.query(
            found.vector[block],
            k=np.arange(1, _N_NEAREST + 1),
            distance_upper_bound=np.nextafter(limit, np.inf),
            workers=-1,
        )
        is_there = np.isfinite(distance)  # else no more lie within the limit
        near = np.where(is_there, near, block[:, None])
        share = distance / np.maximum(radius[block], 1e-9)[:, None]
        is_other = identity[found.session[near]] != identity[found.session[block]][:, None]
        row, column = np.nonzero(is_there & is_other & (share <= largest))
        mine.append(block[row])
        other.append(near[row, column])
        ratio.append(share[row, column])
    return Matches(
        np.concatenate(mine), np.concatenate(other), np.concatenate(ratio), radius, largest
    )


MAX_LOG_RATIO: Final = 20.0  # natural log of a likelihood ratio; no sample of people backs more
FEWEST: Final = 3  # movements that come back; fewer say nothing
_LEAST_SHARE: Final = 0.15  # of a session, of moves from many others: fewer are common moves
_CLEARLY: Final = np.log(3.0)  # of the odds by which one session is more likely a fraud
_RING: Final = (0.5, 1.0)  # ratios between which it is counted how densely movements lie
_POOL: Final = 1_024  # of which, at most
_ACCIDENT: Final = 0.01  # probability of a match that is one, for a movement
_ROUNDING_PX: Final = 0.25  # a copy's points are off by that much after rounding to whole px


@dataclass(frozen=True)
class ReplayResult:
    """What the search found about each session that was searched for."""

    log_ratio: Float64[np.ndarray, " sessions"]  # P(found | replay) / P(found | accident); >= 0
    replay_of: Shaped[np.ndarray, " sessions"]  # the session that it shares most with; None: none
    is_whole: Bool[np.ndarray, " sessions"]  # what comes from that one would do by itself
    n_movements: Int64[np.ndarray, " sessions"]  # that are distinctive, in the view that says most
    n_matched: Int64[np.ndarray, " sessions"]  # of these, found in other sessions

    def take(self, chosen: slice) -> "ReplayResult":
        """Return the result for some of the sessions."""
        return ReplayResult(*(getattr(self, field.name)[chosen] for field in fields(self)))


def find_replays(
    recordings: Recordings,
    null_model: NullModel,
    suspicion: Float[np.ndarray, " sessions"] | None = None,
) -> ReplayResult:
    """Return the result for every session that isn't earlier, in order.

    Of two that are alike, the later one is the replay. Where it isn't known which is later,
    it is the one with clearly the higher `suspicion` (log odds of fraud by its score),
    and if neither is, each may be.
    """
    known = np.full(len(recordings), np.nan)
    if suspicion is not None:
        known[~recordings.is_earlier] = suspicion
    order = _Order(recordings, known)
    identity = np.unique(recordings.session_id.astype(str), return_inverse=True)[1]
    findings = []
    for view, of_view in null_model.items():
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
    found: Signatures, matches: Matches, null_model: ViewNullModel, n_sessions: int
) -> tuple[_Finding, _Finding]:
    """Return what matches in whatever sessions say, and what those in one session say."""
    n_own = np.bincount(found.session, minlength=n_sessions)
    crowding = _crowding(found, matches.radius, null_model, n_sessions)
    n_others = (len(found) - n_own) * crowding
    limit = null_model.limit(_ACCIDENT, n_others, matches.largest_ratio)
    # Where even a copy, rounded to whole px, would be too far, no match is certain.
    is_distinctive = limit[found.session] * matches.radius >= _ROUNDING_PX / found.spread_px
    n = np.bincount(found.session[is_distinctive], minlength=n_sessions)
    matches = matches.take(is_distinctive[matches.mine])

    copy, original = found.session[matches.mine], found.session[matches.other]
    matched = np.unique(matches.mine[matches.ratio <= limit[copy]])
    k = np.bincount(found.session[matched], minlength=n_sessions)
    anywhere = _log_ratio(
        k, n, null_model.probability(limit, n_others), null_model.spread, _LEAST_SHARE
    )

    n_in_one = crowding[copy] * n_own[original]
    is_near = matches.ratio <= null_model.limit(_ACCIDENT, n_in_one, matches.largest_ratio)
    pair, k_pair = _pairs(matches.take(is_near), found.session, n_sessions)
    copy, original = pair // n_sessions, pair % n_sessions
    n_in_one = crowding[copy] * n_own[original]
    p_pair = null_model.probability(
        null_model.limit(_ACCIDENT, n_in_one, matches.largest_ratio), n_in_one
    )
    in_one = _log_ratio(k_pair, n[copy], p_pair, null_model.spread) - np.log(max(n_sessions - 1, 1))
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
    null_model: ViewNullModel,
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
    near, far = null_model.expected(np.array(_RING), np.array(len(pool)))
    counts[1] = n * (far - near)
    return np.maximum((counts[0] + 1) / (counts[1] + 1), 1)


def _pairs(
    matches: Matches, session: Int64[np.ndarray, " signatures"], n_sessions: int
) -> tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " pairs"]]:
    """Return the pairs of sessions, copy times `n_sessions` plus original, and what they share.

    Movements of the one and of the other are counted, and the fewer taken: a session full of one
    move matches a single movement many times.
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


def _strongest(recordings: Recordings, findings: Sequence[_Finding]) -> ReplayResult:
    """Return for each session the finding that says most, made less by how many were asked."""
    in_one = _best([finding for finding in findings if finding.is_whole])
    best = _best(findings)
    n_asked = np.log(len(findings))
    log_ratio = np.clip(best.log_ratio - n_asked, 0, MAX_LOG_RATIO)
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
    return ReplayResult(*(column[~recordings.is_earlier] for column in columns))


def _best(findings: Sequence[_Finding]) -> _Finding:
    """Return for each session the finding with the highest ratio, then with the most matches."""
    strength = [(finding.k, finding.log_ratio) for finding in findings]
    last = np.lexsort(np.moveaxis(np.array(strength), 0, -1), axis=-1)[:, -1]
    rows = np.arange(len(last))

    def chosen(name: str) -> np.ndarray:
        return np.stack([getattr(finding, name) for finding in findings])[last, rows]

    whole = findings[0].is_whole
    return _Finding(chosen("log_ratio"), whole, chosen("original"), chosen("n"), chosen("k"))


REPLAY_SHARE: Final = 0.05  # of frauds, before anything is known: one in twenty is a replay


def log_odds(scores: pa.Table) -> Float64[np.ndarray, " sessions"]:
    """Return the log odds of fraud of each row; NaN where it abstains."""
    score = scores["fraud_score"].to_numpy(zero_copy_only=False).astype(np.float64)
    return logit(score)


def with_replays(
    scores: pa.Table, result: ReplayResult, base_rate: float, medium_threshold: float
) -> pa.Table:
    """Return `SCORES` rows raised by the replays that were found; none is ever lowered.

    `base_rate` is the share of frauds that the scores hold for. A replay counts from where a
    replay is likelier than not; such a session gets a reason, and the name of the session that
    it shares most with. One that abstains gets these too, and no score.
    """
    if not scores.num_rows:
        return scores
    by_score = log_odds(scores)
    replay = logit(base_rate) + np.log(REPLAY_SHARE) + result.log_ratio
    is_replay = replay >= 0
    score = scores["fraud_score"].to_numpy(zero_copy_only=False).copy()
    is_raised = is_replay & ~np.isnan(by_score)
    score[is_raised] = expit(np.logaddexp(by_score[is_raised], replay[is_raised]))
    threshold = float(scores["threshold"][0].as_py())
    code = np.where(result.is_whole, REPLAY, REPEATED)
    reasons = [
        ([new, *old] if is_first else [*old, new]) if is_new else old
        for old, new, is_new, is_first in zip(
            scores["reasons"].to_pylist(), code, is_replay, ~(by_score > replay), strict=True
        )
    ]
    columns = {
        "fraud_score": pa.array(score, mask=np.isnan(score)),
        "band": pa.array(bands_of(score, medium_threshold, threshold)).dictionary_encode(),
        "is_flagged": pa.array(score >= np.float32(threshold)),
        "reasons": pa.array(reasons, SCORES.field("reasons").type),
        "replay_of": pa.array(result.replay_of, pa.string(), mask=~is_replay),
    }
    changed = [columns.get(name, scores[name]) for name in SCORES.names]
    return pa.table(changed, schema=SCORES)
