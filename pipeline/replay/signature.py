"""Sign movements, and keep signatures as recordings that can be searched.

A signature is what remains of a movement that is shifted, turned, scaled, mirrored, slowed down
or shaken a little.

A signature is a path of few points without place, size and direction, one unit long as a
vector, so that the distance of two of them is a plain Euclidean one. There are three views:

    same     a movement as it is
    skewed   a movement whose width and height may have been scaled by different factors
    pair     two movements in a row: how moves are strung together

The points of a path are spread by its length, and a little by its time: another pace on the
same path changes little, and yet a pause in its middle shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Final, Literal, get_args

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Complex64, Float32, Float64, Int64, Shaped

from pipeline.features.movements import Movements, find_movements
from pipeline.sessions.sessions import Sessions
from pipeline.storage.paths import StoragePath
from pipeline.storage.publish import replacing

View = Literal["same", "skewed", "pair"]

VIEWS: Final[tuple[View, ...]] = get_args(View)
MOST_A_SESSION: Final = 4_096  # movements; what comes after them isn't compared
MIN_EVENTS: Final = 5  # a movement of fewer has hardly a shape
MIN_SPREAD_PX: Final = 15.0  # root mean square distance from its middle; less is all rounding
_GRID: Final = 64  # points at even times, before they are spread by length
_SMOOTH: Final = 5  # of them averaged: jitter makes a path longer than it is
_TIME_SHARE: Final = 0.25  # of the spread that goes by time
_NARROW_PX: Final = 2.0  # a path as narrow as this isn't widened to a shape of noise
_N_POINTS: Final = 16
_N_WAVES: Final = 6  # slowest parts of a discrete cosine transform: the rest is mostly noise
_BLOCK: Final = 2_048  # movements at once, about: their paths fit the cache
_WHOLE: Final = np.float32(2**31)  # a share of a length in whole numbers

_WAVES: Final = (
    np.sqrt(2 / _N_POINTS)
    * np.cos(np.pi / _N_POINTS * np.outer(np.arange(_N_POINTS) + 0.5, np.arange(1, _N_WAVES + 1)))
).astype(np.float32)


@dataclass(frozen=True)
class Signatures:
    """Signatures of one view; number `i` is of session `session[i]`, in order of sessions."""

    session: Int64[np.ndarray, " signatures"]
    spread_px: Float32[np.ndarray, " signatures"]  # its size on the screen
    vector: Float32[np.ndarray, "signatures dimensions"]

    def __len__(self) -> int:
        """Return the number of signatures."""
        return len(self.session)

    def take(self, chosen: Shaped[np.ndarray, " chosen"]) -> "Signatures":
        """Return the signatures at these indices, or where a mask is true."""
        return Signatures(self.session[chosen], self.spread_px[chosen], self.vector[chosen])


def sign(sessions: Sessions) -> dict[View, Signatures]:
    """Return the signatures of every movement that is long enough to have a shape.

    Of a session with more than `MOST_A_SESSION` of them the first ones are taken.
    """
    movements = find_movements(sessions)
    is_long = movements.last - movements.first + 1 >= MIN_EVENTS
    first, last = movements.first[is_long], movements.last[is_long]
    session = np.searchsorted(sessions.offsets, first, side="right") - 1
    kept = np.arange(len(first)) - np.searchsorted(session, session) < MOST_A_SESSION
    kept &= _may_be_wide(sessions, Movements(first, last))
    first, last, session = first[kept], last[kept], session[kept]
    parts = [
        _sign_block(sessions, Movements(first[i:j], last[i:j]), session[i:j])
        for i, j in _blocks(session)
    ]
    return {view: concatenate_signatures([part[view] for part in parts]) for view in VIEWS}


def _may_be_wide(sessions: Sessions, movements: Movements) -> Bool[np.ndarray, " movements"]:
    """Mark movements whose box is so large that their spread may be `MIN_SPREAD_PX`.

    No points in a box are spread by more than half its diagonal.
    """
    if not len(movements):
        return np.zeros(0, bool)
    bounds = np.stack([movements.first, movements.last], axis=1).ravel()
    square = 0.0
    for column in (sessions.x_px, sessions.y_px):
        lowest, highest = (
            extreme(extreme.reduceat(column, bounds)[::2], column[movements.last])
            for extreme in (np.minimum, np.maximum)
        )
        square = square + (highest - lowest) ** 2
    return square > 0.99 * (2 * MIN_SPREAD_PX) ** 2  # a little less: rounding


def concatenate_signatures(parts: Sequence[Signatures]) -> Signatures:
    """Put the signatures of several blocks end to end."""
    return Signatures(
        np.concatenate([part.session for part in parts]),
        np.concatenate([part.spread_px for part in parts]),
        np.concatenate([part.vector for part in parts]),
    )


def _blocks(session: Int64[np.ndarray, " movements"]) -> list[tuple[int, int]]:
    """Return blocks of whole sessions, about `_BLOCK` movements each; at least one, maybe empty."""
    starts = np.searchsorted(session, session[::_BLOCK])
    bounds = np.unique(np.append(starts, len(session)))
    return list(pairwise(bounds.tolist())) or [(0, 0)]


def _sign_block(
    sessions: Sessions, movements: Movements, session: Int64[np.ndarray, " movements"]
) -> dict[View, Signatures]:
    """Return the signatures of some movements: those of whole sessions."""
    path = _even_times(sessions, movements)
    spread_px = _spread(path)
    is_wide = spread_px >= MIN_SPREAD_PX
    path, spread_px, session = path[is_wide], spread_px[is_wide], session[is_wide]
    in_a_row = np.flatnonzero(session[1:] == session[:-1])
    then = path[in_a_row + 1, ::2] + path[in_a_row, -1:]  # what lies between is left out
    both = np.concatenate([path[in_a_row, ::2], then], axis=1)
    return {
        "same": Signatures(session, spread_px, _vectors(path)),
        "skewed": Signatures(session, spread_px, _vectors(_unskewed(path))),
        "pair": Signatures(session[in_a_row], _spread(both), _vectors(both)),
    }


def _even_times(
    sessions: Sessions, movements: Movements
) -> Complex64[np.ndarray, "movements points"]:
    """Return where each movement was at even times of its own, smoothed, from its start on."""
    n_events = movements.last - movements.first + 1
    movement = np.repeat(np.arange(len(movements)), n_events)
    place = np.arange(len(movement)) - np.repeat(np.cumsum(n_events) - n_events, n_events)
    event = movements.first[movement] + place
    elapsed_us = sessions.t_us[event] - sessions.t_us[movements.first][movement]
    duration_us = (sessions.t_us[movements.last] - sessions.t_us[movements.first])[movement]
    by_place = place / (n_events - 1)[movement]  # all events at one time: the order has to do
    tau = np.where(duration_us > 0, elapsed_us / np.maximum(duration_us, 1), by_place)
    x = sessions.x_px[event] - sessions.x_px[movements.first][movement]
    y = sessions.y_px[event] - sessions.y_px[movements.first][movement]
    return _smoothed(_at(2.0 * movement + tau, x + 1j * y, len(movements), _GRID))


def _at(
    place: np.ndarray, values: np.ndarray, n_rows: int, n_points: int
) -> Complex64[np.ndarray, "rows points"]:
    """Return `values` at `n_points` even places of each row; row `i` goes from 2i to 2i + 1."""
    if not n_rows:
        return np.zeros((0, n_points), np.complex64)
    wanted = (2.0 * np.arange(n_rows))[:, None] + np.linspace(0, 1, n_points)
    found = np.interp(wanted.ravel(), place, values)  # rows end to end: one call does
    return found.astype(np.complex64).reshape(n_rows, n_points)


def _smoothed(
    path: Complex64[np.ndarray, "rows points"],
) -> Complex64[np.ndarray, "rows points"]:
    """Return the mean of each point and its neighbours; the ends stand for those beyond."""
    wide = np.pad(path, ((0, 0), (_SMOOTH // 2, _SMOOTH // 2)), mode="edge")
    n_points = path.shape[1]
    total = np.zeros_like(path)
    for i in range(_SMOOTH):
        total += wide[:, i : i + n_points]
    return total * np.float32(1 / _SMOOTH)


def _spread(path: Complex64[np.ndarray, "rows points"]) -> Float32[np.ndarray, " rows"]:
    """Return the root mean square distance of each path's points from their middle."""
    return np.sqrt(np.mean(np.abs(_centred(path)) ** 2, axis=1))


def _centred(path: Complex64[np.ndarray, "rows points"]) -> Complex64[np.ndarray, "rows points"]:
    return path - path.mean(axis=1, keepdims=True)


def _vectors(
    path: Complex64[np.ndarray, "rows points"],
) -> Float32[np.ndarray, "rows dimensions"]:
    """Return signatures of paths at even times: first all along, then all across."""
    shape = _canonical(_at_places(path, _by_length(path), _N_POINTS))
    return np.concatenate([_product(shape.real, _WAVES), _product(shape.imag, _WAVES)], axis=1)


def _product(
    rows: Float32[np.ndarray, "rows points"], columns: Float32[np.ndarray, "points dimensions"]
) -> Float32[np.ndarray, "rows dimensions"]:
    """Return `rows @ columns`, by this thread alone.

    BLAS would share so small a product among threads of its own, which then wait for more at the
    cost of a core.
    """
    return np.einsum("rp,pd->rd", rows, columns)


def _by_length(
    path: Complex64[np.ndarray, "rows points"],
) -> Float64[np.ndarray, "rows points"]:
    """Return how far along its path each point is, 0 to 1, by length and a little by time."""
    step = np.abs(path[:, 1:] - path[:, :-1])
    length = np.maximum(step.sum(axis=1, keepdims=True), 1e-6)
    share = (1 - _TIME_SHARE) * step / length + _TIME_SHARE / step.shape[1]
    # Whole numbers are summed several times as fast, and no bit of a share is below 1.
    done = np.cumsum((share * _WHOLE).astype(np.int64), axis=1)
    place = np.zeros(path.shape)
    np.divide(done, done[:, -1:], out=place[:, 1:])
    return place


def _at_places(
    path: Complex64[np.ndarray, "rows points"],
    place: Float64[np.ndarray, "rows points"],
    n_points: int,
) -> Complex64[np.ndarray, "rows wanted"]:
    """Return `n_points` at even places of paths whose points are at `place`."""
    by_row = 2.0 * np.arange(len(path))[:, None] + place
    return _at(by_row.ravel(), path.ravel(), len(path), n_points)


def _unskewed(path: Complex64[np.ndarray, "rows points"]) -> Complex64[np.ndarray, "rows points"]:
    """Return paths as wide as they are long: one for all that scaling along two axes makes of it.

    How wide one is depends on where its points are, and how they are spread on how wide it is:
    once round is not enough, twice is.
    """
    shape = path
    for _ in range(2):
        shape = _at_places(path, _by_length(_as_wide_as_long(path, shape)), _GRID)
    return _as_wide_as_long(path, shape)


def _as_wide_as_long(
    path: Complex64[np.ndarray, "rows points"], shape: Complex64[np.ndarray, "rows points"]
) -> Complex64[np.ndarray, "rows points"]:
    """Return `path` times the inverse root of the 2 x 2 covariance matrix of `shape`."""
    centred = _centred(shape)
    xx = np.mean(centred.real**2, axis=1) + _NARROW_PX**2
    yy = np.mean(centred.imag**2, axis=1) + _NARROW_PX**2
    xy = np.mean(centred.real * centred.imag, axis=1)
    root = np.sqrt(xx * yy - xy**2)  # of the determinant; Cayley and Hamilton give the rest
    scale = (1 / (root * np.sqrt(xx + yy + 2 * root)))[:, None]
    xx, yy, xy = (yy + root)[:, None], (xx + root)[:, None], -xy[:, None]
    x, y = path.real, path.imag
    return (scale * ((xx * x + xy * y) + 1j * (xy * x + yy * y))).astype(np.complex64)


def _canonical(
    path: Complex64[np.ndarray, "rows points"],
) -> Complex64[np.ndarray, "rows points"]:
    """Return paths without place, size, direction and handedness."""
    centred = _centred(path)
    ramp = np.linspace(-1, 1, path.shape[1], dtype=np.float32)
    direction = np.conj(np.einsum("rp,p->r", centred, ramp))
    turned = centred * (direction / np.maximum(np.abs(direction), 1e-6))[:, None]
    unit = turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-6)
    # One bow or two, whichever is stronger, goes to the left: noise hardly turns that round.
    tau = np.linspace(0, 1, path.shape[1], dtype=np.float32)
    bows = _product(unit.imag, np.stack([np.sin(np.pi * tau), np.sin(2 * np.pi * tau)], axis=1))
    strongest = np.take_along_axis(bows, np.abs(bows).argmax(axis=1, keepdims=True), axis=1)
    return np.where(strongest < 0, np.conj(unit), unit)


@dataclass(frozen=True)
class Recordings:
    """What is kept of sessions to search in; their events are not."""

    session_id: Shaped[np.ndarray, " sessions"]
    account_id: Shaped[np.ndarray, " sessions"]
    started_at: Shaped[np.ndarray, " sessions"]  # NaT: not known
    is_earlier: Bool[np.ndarray, " sessions"]  # only searched in
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
    """Write the signatures to a `.npz` of plain numbers; who they are of is in the scores.

    Like all of a shard nobody waits until it is on the disk (`pipeline.storage.shards`).
    """
    columns = {
        f"{view}.{field.name}": getattr(signatures, field.name)
        for view, signatures in recordings.signatures.items()
        for field in fields(Signatures)
    }
    with replacing(path, flush=False) as unfinished, unfinished.open("wb") as file:
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
