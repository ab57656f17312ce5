"""The null model of replays: how often movements of legitimate sessions are alike by accident.

How near a movement's nearest neighbour is means nothing by itself: everybody's straight reach
resembles everybody's. So a distance is given as a **ratio**, to the distance of the tenth
nearest movement of a reference, which are movements of legitimate sessions. How many movements
of others come within a ratio by accident is then nearly the same for common and for rare
movements: a power of the ratio.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float, Float32, Float64, Int64, Real, Shaped

from pipeline.errors import SchemaError
from pipeline.replay.signature import VIEWS, Signatures, View, sign
from pipeline.schemas import REFERENCE, check_schema
from pipeline.sessions.sessions import Sessions
from pipeline.storage.records import parse_record, record_json

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

log = logging.getLogger(__name__)

K_NEAREST: Final = 10  # the reference's k-th neighbour shows how sparse it is there
LARGEST_REFERENCE: Final = 10_000
SMALLEST_REFERENCE: Final = 1_000  # of fewer, the tenth neighbour isn't near
DIMENSION: Final = 6.5  # of the power; 6.5 to 8 were measured, and less is more cautious
_FIT_RATIO: Final = 0.5  # where accidents are counted: there are enough of them
_FIT_PROBABILITY: Final = 0.02  # of an accident, where it is measured how sessions differ
_LEAST_EXCESS: Final = 0.3
_LEAST_SPREAD: Final = 0.003
_HINT: Final = "train the model again"


@dataclass(frozen=True)
class ViewNullModel:
    """How often movements of one view are alike by accident."""

    reference: Float32[np.ndarray, "movements dimensions"]
    excess: float = 1.0  # accidents, over those among movements that lie around evenly
    spread: float = _LEAST_SPREAD  # how sessions differ in it: an intraclass correlation

    @cached_property
    def _tree(self) -> "cKDTree":
        return _tree_of(self.reference)

    def radius(
        self, vectors: Float32[np.ndarray, "movements dimensions"]
    ) -> Float64[np.ndarray, " movements"]:
        """Return the distance that has ratio 1 for each movement."""
        return self._tree.query(vectors, k=[K_NEAREST], workers=-1)[0][:, 0]

    def expected(
        self, ratio: Float[np.ndarray, "*#shape"], n_others: Real[np.ndarray, "*#shape"]
    ) -> Float64[np.ndarray, "*#shape"]:
        """Return how many of `n_others` movements come within `ratio` by accident."""
        return self._rate * ratio.astype(np.float64) ** DIMENSION * n_others

    def probability(
        self, ratio: Float[np.ndarray, "*#shape"], n_others: Real[np.ndarray, "*#shape"]
    ) -> Float64[np.ndarray, "*#shape"]:
        """Return how likely one of `n_others` movements comes within `ratio` by accident."""
        return -np.expm1(-self.expected(ratio, n_others))

    def limit(
        self, probability: float, n_others: Real[np.ndarray, "*shape"], largest: float
    ) -> Float64[np.ndarray, "*shape"]:
        """Return the ratio within which one of `n_others` comes by accident so probably."""
        return self.ratio(-np.log1p(-probability), n_others, largest)

    def ratio(
        self, expected: float, n_others: Real[np.ndarray, "*shape"], largest: float
    ) -> Float64[np.ndarray, "*shape"]:
        """Return the ratio within which so many of `n_others` are expected by accident."""
        each = expected / np.maximum(n_others, 1)
        return np.minimum((each / self._rate) ** (1 / DIMENSION), largest)

    @property
    def _rate(self) -> float:
        """Return the accidents within ratio 1, for each pair of movements."""
        return self.excess * K_NEAREST / len(self.reference)


def _tree_of(vectors: Float32[np.ndarray, "movements dimensions"]) -> "cKDTree":
    from scipy.spatial import cKDTree  # a tenth of a second that only replays need to wait for

    return cKDTree(vectors)


NullModel = Mapping[View, ViewNullModel]


@dataclass(frozen=True)
class _Accidents:
    """What a RUN keeps of a view beside its reference."""

    excess: float
    spread: float


def fit_null_model(sessions: Sessions) -> NullModel | None:
    """Return what legitimate sessions repeat by accident; None: there are too few movements."""
    is_named = np.array([account is not None for account in sessions.account_id], bool)
    who = np.where(is_named, sessions.account_id, sessions.session_id)
    signatures = sign(sessions)
    null_model = fit_view_null_model(signatures, who)
    if null_model is None:
        log.warning(
            "%d movements of legitimate sessions are too few to fit the null model of replays: "
            "scoring with this model won't look for replays", len(signatures["same"]),
        )  # fmt: skip
    return null_model


def fit_view_null_model(
    signatures: Mapping[View, Signatures], group: Shaped[np.ndarray, " sessions"], seed: int = 0
) -> NullModel | None:
    """Return how often accidents happen in legitimate sessions; None if those are too few.

    `group` says whose session each is. Accidents are counted in one half of the people, with
    the other half for reference.
    """
    rng = np.random.default_rng(seed)
    names, code = np.unique(group.astype(str), return_inverse=True)
    is_first = (rng.permutation(len(names)) % 2 == 0)[code]
    null_model: dict[View, ViewNullModel] = {}
    for view in VIEWS:
        found = signatures[view]
        first, second = (
            _sample(found.take(chosen[found.session]), rng) for chosen in (is_first, ~is_first)
        )
        if min(len(first), len(second)) < SMALLEST_REFERENCE // 2:
            return None
        excess, spread = _measure(ViewNullModel(first.vector), second)
        null_model[view] = ViewNullModel(_sample(found, rng).vector, excess, spread)
    return null_model


def _sample(signatures: Signatures, rng: np.random.Generator) -> Signatures:
    """Return at most `LARGEST_REFERENCE` of the signatures, in their order."""
    if len(signatures) <= LARGEST_REFERENCE:
        return signatures
    chosen = rng.choice(len(signatures), LARGEST_REFERENCE, replace=False)
    return signatures.take(np.sort(chosen))


def _measure(even: ViewNullModel, found: Signatures) -> tuple[float, float]:
    """Return excess and spread of the accidents among `found`, who are not in the reference."""
    radius = even.radius(found.vector)
    near = _tree_of(found.vector).query_ball_point(found.vector, _FIT_RATIO * radius)
    mine = np.repeat(np.arange(len(found)), [len(others) for others in near])
    other = np.concatenate([np.asarray(others, np.int64) for others in near])
    is_accident = found.session[mine] != found.session[other]
    mine, other = mine[is_accident], other[is_accident]
    n = np.bincount(found.session)
    n_others = len(found) - n[found.session]
    expected = even.expected(np.full(len(found), _FIT_RATIO), n_others).sum()
    excess = max(len(mine) / expected, _LEAST_EXCESS)

    measured = ViewNullModel(even.reference, excess)
    distance = np.linalg.norm(found.vector[mine] - found.vector[other], axis=1)
    is_near = (
        distance <= measured.limit(_FIT_PROBABILITY, n_others[mine], _FIT_RATIO) * radius[mine]
    )
    is_matched = np.bincount(mine[is_near], minlength=len(found)) > 0
    k = np.bincount(found.session[is_matched], minlength=len(n))
    return excess, max(_intraclass_correlation(k, n), _LEAST_SPREAD)


def _intraclass_correlation(
    k: Int64[np.ndarray, " sessions"], n: Int64[np.ndarray, " sessions"]
) -> float:
    """Return how alike the movements of one session fare: 0 if they are independent.

    By moments: `k` of `n` vary by `n p (1 - p) (1 + (n - 1) correlation)`.
    """
    p = k.sum() / n.sum()
    unexplained = ((k - n * p) ** 2 - n * p * (1 - p)).sum()
    return float(unexplained / max((n * (n - 1.0)).sum() * p * (1 - p), 1e-9))


def null_model_json(null_model: NullModel) -> dict[str, Any]:
    """Return what a RUN keeps of it as JSON; the reference is a table."""
    return {
        view: record_json(_Accidents(of_view.excess, of_view.spread))
        for view, of_view in null_model.items()
    }


def reference_table(null_model: NullModel) -> pa.Table:
    """Return the `REFERENCE` table."""
    views = [view for view, of_view in null_model.items() for _ in of_view.reference]
    vectors = [row for of_view in null_model.values() for row in of_view.reference]
    columns = [pa.array(views).dictionary_encode(), pa.array(vectors, pa.list_(pa.float32()))]
    return pa.table(columns, schema=REFERENCE)


def null_model_from(json: Mapping[str, Any], table: pa.Table, where: object) -> NullModel:
    """Return the null model that `null_model_json` and `reference_table` came from."""
    check_schema(table.schema, REFERENCE, where)
    if sorted(json) != sorted(VIEWS):
        found = ", ".join(json) or "none"
        raise SchemaError(where, f"found views {found}, expected {', '.join(VIEWS)}", _HINT)
    accidents: dict[View, _Accidents] = {
        view: parse_record(_Accidents, json[view], where, _HINT) for view in VIEWS
    }
    signature = table["signature"].combine_chunks()
    vectors = signature.flatten().to_numpy().reshape(len(signature), -1)
    of_view = {view: pc.equal(table["view"], view).to_numpy() for view in VIEWS}
    return {
        view: ViewNullModel(vectors[of_view[view]], found.excess, found.spread)
        for view, found in accidents.items()
    }
