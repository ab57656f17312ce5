"""Fit how people differ, and compare a session with a profile (PLDA).

Probabilistic linear discriminant analysis (Prince and Elder 2007, "Probabilistic linear
discriminant analysis for inferences about identity", ICCV; with the two covariances of Brümmer and
de Villiers 2010, "The speaker partitioning problem", Odyssey, section 2) on the pixels of prints:
the print of a window is its person's, plus what differs from session to session, plus what differs
from window to window, each Gaussian. So many windows of one session say less than as many of
several.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64, Shaped

from model.config import OwnerConfig
from pipeline.errors import DataError, SchemaError
from pipeline.storage.records import load_arrays

TYPICAL_WINDOWS = 8.0  # of a session that is compared: the axes are chosen for such
_LEAST_NOISE = 0.01  # between windows, where all noise together is 1
_LEAST_STRENGTH = 1e-9  # of the strongest axis
_LEAST_SHARE = 0.02  # of the variance between windows: sessions never agree entirely
_WINDOWS_A_MEAN: Final = 4  # components are those of means of so many windows: one alone is noise
_AT_ONCE: Final = 2048  # windows multiplied together: bounds the memory
_POWER_ITERATIONS: Final = 2  # of the randomised SVD


class SessionEmbeddings(NamedTuple):
    """Mean embeddings of sessions, and of how many windows each is the mean."""

    mean: Float[np.ndarray, "sessions dimensions"]
    n_windows: Int64[np.ndarray, " sessions"]


class Posterior(NamedTuple):
    """Where a person's embeddings lie, as far as their sessions show."""

    mean: Float64[np.ndarray, " dimensions"]
    variance: Float64[np.ndarray, " dimensions"]  # of that mean: what is not known yet


@dataclass(frozen=True)
class Population:
    """How people differ, and how one person does from session to session and in one."""

    mean: Float32[np.ndarray, " pixels"]
    axes: Float32[np.ndarray, "dimensions pixels"]
    between_people: Float64[np.ndarray, " dimensions"]  # variances along each axis
    between_sessions: Float64[np.ndarray, " dimensions"]
    between_windows: Float64[np.ndarray, " dimensions"]

    def save(self, path: Path) -> None:
        """Write it as NumPy's npz."""
        np.savez(path, allow_pickle=False, **self.arrays())

    def arrays(self) -> dict[str, np.ndarray]:
        """Return its arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @staticmethod
    def load(path: Path) -> "Population":
        """Return the population that `save` wrote; nothing in the file is executed."""
        names = [field.name for field in fields(Population)]
        arrays = dict(zip(names, load_arrays(path, names), strict=True))
        n_dimensions = arrays["axes"].shape[:1]
        fits = arrays["axes"].shape[1:] == arrays["mean"].shape and all(
            arrays[name].shape == n_dimensions for name in names[2:]
        )
        if not fits:
            raise SchemaError(path, "its arrays don't fit together", "train the model again")
        return Population(**arrays)

    def embed(
        self, images: Float[np.ndarray, "windows cells cells panels"]
    ) -> Float32[np.ndarray, "windows dimensions"]:
        """Return where prints lie along the axes."""
        pixels = images.reshape(len(images), self.mean.size).astype(np.float32)
        return (pixels - self.mean) @ self.axes.T

    def posterior(self, sessions: SessionEmbeddings) -> Posterior:
        """Return where the person of these sessions lies; without any, anywhere."""
        weight = 1 / self._noise(sessions.n_windows)
        precision = 1 / self.between_people + weight.sum(axis=0)
        mean = (weight * sessions.mean.astype(np.float64)).sum(axis=0) / precision
        return Posterior(mean, 1 / precision)

    def confidence(self, posterior: Posterior) -> float:
        """Return which share of what one could know about where a person lies is known, 0 to 1."""
        return float(1 - posterior.variance.sum() / self.between_people.sum())

    def log_ratio(
        self, sessions: SessionEmbeddings, person: Posterior
    ) -> Float64[np.ndarray, " sessions"]:
        """Return log P(session | this person) / P(session | anyone), each session by itself.

        `person` holds a row for each session, or one for all.
        """
        at, noise = sessions.mean.astype(np.float64), self._noise(sessions.n_windows)
        return _log_normal(at, person.mean, person.variance + noise) - _log_normal(
            at, np.zeros(len(self.axes)), self.between_people + noise
        )

    def _noise(
        self, n_windows: Int64[np.ndarray, " sessions"]
    ) -> Float64[np.ndarray, "sessions dimensions"]:
        return self.between_sessions + self.between_windows / np.maximum(n_windows, 1)[:, None]


def session_means(
    embeddings: Float[np.ndarray, "windows dimensions"],
    session_of_window: Int64[np.ndarray, " windows"],
    n_sessions: int,
) -> SessionEmbeddings:
    """Return the mean embedding of each session, 0 for one without windows."""
    n = np.bincount(session_of_window, minlength=n_sessions)
    total = np.zeros((n_sessions, embeddings.shape[1]))
    np.add.at(total, session_of_window, embeddings)
    return SessionEmbeddings(total / np.maximum(n, 1)[:, None], n)


def fit_population(
    images: Float[np.ndarray, "windows pixels"],
    session_of_window: Int64[np.ndarray, " windows"],
    person: Shaped[np.ndarray, " sessions"],
    config: OwnerConfig,
    seed: int = 0,
) -> Population:
    """Estimate by moments how the people of these windows differ; windows lie in order of session.

    Raises `DataError` where nobody has two sessions: what differs from one to the next is then not
    known.
    """
    seen, n_windows = np.unique(session_of_window, return_counts=True)
    names, whose = np.unique(person[seen].astype(str), return_inverse=True)
    n_sessions = np.bincount(whose)
    if n_sessions.max(initial=0) < 2 or len(names) < 2:
        raise DataError(
            "owner",
            f"{len(names)} people, and {(n_sessions > 1).sum()} of them with two sessions",
            "profiles need two people or more, and some with several sessions",
        )
    centre, components = _principal_components(
        _means_of_runs(images, session_of_window), config.components, seed
    )
    batches = (images[begin : begin + _AT_ONCE] for begin in range(0, len(images), _AT_ONCE))
    features = np.concatenate(
        [(batch.astype(np.float32) - centre) @ components.T for batch in batches]
    ).astype(np.float64)
    rank = np.searchsorted(seen, session_of_window)
    means, _ = session_means(features, rank, len(seen))
    within_session = np.atleast_2d(np.cov((features - means[rank]).T))
    of_person, _ = session_means(means, whose, len(names))
    apart = (means - of_person[whose])[n_sessions[whose] > 1]
    degrees = (n_sessions[n_sessions > 1] - 1).sum()
    within_person = apart.T @ apart / degrees
    between = np.atleast_2d(np.cov(of_person.T))
    noise = within_person + within_session / TYPICAL_WINDOWS
    noise += config.shrinkage * np.trace(noise) / len(noise) * np.eye(len(noise))
    whitening = np.linalg.inv(np.linalg.cholesky(noise))
    strength, directions = np.linalg.eigh(whitening @ between @ whitening.T)
    # Along what is alike in everybody, such as presses where no recorder wrote any, is nothing.
    is_strong = strength > _LEAST_STRENGTH * strength[-1]
    n_dimensions = min(config.dimensions, int(is_strong.sum()))
    axes = directions[:, ::-1][:, :n_dimensions].T @ whitening

    def along(covariance: np.ndarray) -> np.ndarray:
        return np.einsum("df,fg,dg->d", axes, covariance, axes)

    windows = np.maximum(along(within_session), _LEAST_NOISE)
    sessions = along(within_person) - windows * np.mean(1 / n_windows)
    people = along(between) - along(within_person) / np.mean(n_sessions)
    mean = centre + features.mean(axis=0) @ components
    return Population(
        mean=mean.astype(np.float32),
        axes=(axes @ components).astype(np.float32),
        between_people=np.maximum(people, 1e-3),
        between_sessions=np.maximum(sessions, _LEAST_SHARE * windows),
        between_windows=windows,
    )


def _means_of_runs(
    images: Float[np.ndarray, "windows pixels"], session_of_window: Int64[np.ndarray, " windows"]
) -> Float32[np.ndarray, "runs pixels"]:
    """Return the means of up to `_WINDOWS_A_MEAN` successive windows of one session."""
    first = np.searchsorted(session_of_window, session_of_window)
    rank = np.arange(len(images)) - first
    begins = np.flatnonzero(rank % _WINDOWS_A_MEAN == 0)
    length = np.diff(np.append(begins, len(images)))
    means = np.zeros((len(begins), images.shape[1]), np.float32)
    for i in range(_WINDOWS_A_MEAN):
        has_one = length > i
        means[has_one] += images[begins[has_one] + i]
    return means / length[:, None].astype(np.float32)


def _principal_components(
    rows: Float32[np.ndarray, "rows pixels"], n: int, seed: int
) -> tuple[Float32[np.ndarray, " pixels"], Float32[np.ndarray, "components pixels"]]:
    """Return the mean and the first `n` principal components, or as many as there are rows.

    By a randomised singular value decomposition (Halko, Martinsson and Tropp 2011, "Finding
    structure with randomness", SIAM Review 53, algorithm 4.4).
    """
    mean = rows.mean(axis=0)
    rows = rows - mean
    rng = np.random.default_rng(seed)
    n = min(n, *rows.shape)
    sample = min(n + 20, *rows.shape)
    basis = rows @ rng.standard_normal((rows.shape[1], sample), np.float32)
    for _ in range(_POWER_ITERATIONS):
        basis = rows @ (rows.T @ _orthonormal(basis))
    basis = _orthonormal(basis)
    directions = np.linalg.svd(basis.T @ rows, full_matrices=False)[2]
    return mean, directions[:n]


def _orthonormal(
    columns: Float32[np.ndarray, "rows columns"],
) -> Float32[np.ndarray, "rows directions"]:
    """Return orthonormal columns that span the same space.

    By the eigenvectors of their products: LAPACK's QR takes many times as long where its threads
    wait for each other.
    """
    products = columns.T.astype(np.float64) @ columns
    strength, directions = np.linalg.eigh(products)
    kept = strength > 1e-10 * strength[-1]
    scaled = directions[:, kept] / np.sqrt(strength[kept])
    return columns @ scaled.astype(np.float32)


def _log_normal(
    at: Float64[np.ndarray, "sessions dimensions"],
    mean: Float64[np.ndarray, "..."],
    variance: Float64[np.ndarray, "sessions dimensions"],
) -> Float64[np.ndarray, " sessions"]:
    """Return the log density, less what cancels."""
    return -0.5 * (np.log(variance) + (at - mean) ** 2 / variance).sum(axis=1)
