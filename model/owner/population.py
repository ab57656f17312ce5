"""Embeddings of many people in; out comes how surely a session and a profile are one hand.

Probabilistic linear discriminant analysis (Prince and Elder 2007, "Probabilistic linear
discriminant analysis for inferences about identity", ICCV; with the two covariances of Brümmer
and de Villiers 2010, "The speaker partitioning problem", Odyssey, section 2): an embedding is
its person's place, plus what differs from session to session, plus what differs from window to
window, each Gaussian. So evidence is counted for what it is worth: many windows of one session
say less than as many of several.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64, Shaped

from pipeline.errors import DataError, SchemaError

TYPICAL_WINDOWS = 8.0  # of a session that is compared: the axes are chosen for such
SHRINKAGE = 0.3  # of the covariance within people, towards a sphere
_LEAST_NOISE = 0.01  # between windows, where all noise together is 1
_LEAST_STRENGTH = 1e-9  # of the strongest axis
_LEAST_SHARE = 0.02  # of the variance between windows: sessions never agree entirely


class Evidence(NamedTuple):
    """Mean embeddings of sessions, and of how many windows each is the mean."""

    mean: Float[np.ndarray, "sessions features"]
    n_windows: Int64[np.ndarray, " sessions"]


class Place(NamedTuple):
    """Where a person's embeddings lie, as far as their sessions tell."""

    mean: Float64[np.ndarray, " dimensions"]
    variance: Float64[np.ndarray, " dimensions"]  # of that mean: what is not known yet


@dataclass(frozen=True)
class Population:
    """How people differ, and how one person does from session to session and in one."""

    mean: Float64[np.ndarray, " features"]
    axes: Float64[np.ndarray, "dimensions features"]
    between_people: Float64[np.ndarray, " dimensions"]  # variances along each axis
    between_sessions: Float64[np.ndarray, " dimensions"]
    between_windows: Float64[np.ndarray, " dimensions"]

    def to_json(self) -> dict[str, Any]:
        """Return it as a plain dict."""
        return {name: np.asarray(values).tolist() for name, values in asdict(self).items()}

    @staticmethod
    def from_json(json: dict[str, Any]) -> "Population":
        """Return the population that `to_json` wrote."""
        names = [field.name for field in fields(Population)]
        if missing := [name for name in names if name not in json]:
            raise SchemaError(
                "population", f"missing {', '.join(missing)}; found {', '.join(json)}"
            )
        return Population(*(np.array(json[name], np.float64) for name in names))

    def place(self, evidence: Evidence) -> Place:
        """Return where the person of these sessions lies; without any, anywhere."""
        weight = 1 / self._noise(evidence.n_windows)
        precision = 1 / self.between_people + weight.sum(axis=0)
        mean = (weight * self._project(evidence.mean)).sum(axis=0) / precision
        return Place(mean, 1 / precision)

    def maturity(self, place: Place) -> float:
        """Return which share of what one could know about a person's place is known, 0 to 1."""
        return float(1 - place.variance.sum() / self.between_people.sum())

    def log_ratio(self, evidence: Evidence, places: Place) -> Float64[np.ndarray, " sessions"]:
        """Return log P(session | this person) / P(session | anyone), each session by itself.

        `places` hold a row for each session, or one for all.
        """
        at, noise = self._project(evidence.mean), self._noise(evidence.n_windows)
        return _log_normal(at, places.mean, places.variance + noise) - _log_normal(
            at, np.zeros(len(self.axes)), self.between_people + noise
        )

    def _project(
        self, mean: Float[np.ndarray, "sessions features"]
    ) -> Float64[np.ndarray, "sessions dimensions"]:
        return (mean.astype(np.float64) - self.mean) @ self.axes.T

    def _noise(
        self, n_windows: Int64[np.ndarray, " sessions"]
    ) -> Float64[np.ndarray, "sessions dimensions"]:
        return self.between_sessions + self.between_windows / np.maximum(n_windows, 1)[:, None]


def session_means(
    embeddings: Float[np.ndarray, "windows features"],
    session_of_window: Int64[np.ndarray, " windows"],
    n_sessions: int,
) -> Evidence:
    """Return the mean embedding of each session, 0 for one without windows."""
    n = np.bincount(session_of_window, minlength=n_sessions)
    total = np.zeros((n_sessions, embeddings.shape[1]))
    np.add.at(total, session_of_window, embeddings)
    return Evidence(total / np.maximum(n, 1)[:, None], n)


def fit_population(
    embeddings: Float[np.ndarray, "windows features"],
    session_of_window: Int64[np.ndarray, " windows"],
    person: Shaped[np.ndarray, " sessions"],
    n_dimensions: int,
) -> Population:
    """Estimate by moments how the people of these windows differ.

    Raises `DataError` where nobody has two sessions: what differs from one to the next is
    then not known.
    """
    means, n_windows = session_means(embeddings, session_of_window, len(person))
    seen = np.flatnonzero(n_windows)
    means, n_windows = means[seen], n_windows[seen]
    names, whose = np.unique(person[seen].astype(str), return_inverse=True)
    n_sessions = np.bincount(whose)
    if n_sessions.max(initial=0) < 2 or len(names) < 2:
        raise DataError(
            "owner",
            f"{len(names)} people, and {(n_sessions > 1).sum()} of them with two sessions",
            "profiles need two people or more, and some with several sessions",
        )
    rank = np.full(len(person), -1)
    rank[seen] = np.arange(len(seen))
    within_session = np.cov((embeddings - means[rank[session_of_window]]).T)
    of_person, _ = session_means(means, whose, len(names))
    apart = (means - of_person[whose])[n_sessions[whose] > 1]
    degrees = (n_sessions[n_sessions > 1] - 1).sum()
    within_person = apart.T @ apart / degrees
    between = np.cov(of_person.T)
    noise = within_person + within_session / TYPICAL_WINDOWS
    noise += SHRINKAGE * np.trace(noise) / len(noise) * np.eye(len(noise))
    whitening = np.linalg.inv(np.linalg.cholesky(noise))
    strength, directions = np.linalg.eigh(whitening @ between @ whitening.T)
    # Along what is alike in everybody, such as presses where no recorder wrote any, is nothing.
    n_dimensions = min(n_dimensions, int((strength > _LEAST_STRENGTH * strength[-1]).sum()))
    axes = directions[:, ::-1][:, :n_dimensions].T @ whitening

    def along(covariance: np.ndarray) -> np.ndarray:
        return np.einsum("df,fg,dg->d", axes, covariance, axes)

    windows = np.maximum(along(within_session), _LEAST_NOISE)
    sessions = along(within_person) - windows * np.mean(1 / n_windows)
    people = along(between) - along(within_person) / np.mean(n_sessions)
    return Population(
        mean=embeddings.mean(axis=0, dtype=np.float64),
        axes=axes,
        between_people=np.maximum(people, 1e-3),
        between_sessions=np.maximum(sessions, _LEAST_SHARE * windows),
        between_windows=windows,
    )


def _log_normal(
    at: Float64[np.ndarray, "sessions dimensions"],
    mean: Float64[np.ndarray, "..."],
    variance: Float64[np.ndarray, "sessions dimensions"],
) -> Float64[np.ndarray, " sessions"]:
    """Return the log density, less what cancels."""
    return -0.5 * (np.log(variance) + (at - mean) ** 2 / variance).sum(axis=1)
