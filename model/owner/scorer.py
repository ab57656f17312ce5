"""Score sessions for the owner task: does this session move as its account's owner does?"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

import jax
import numpy as np
from jaxtyping import Array, Float, Float32, Float64, Int64, Shaped

from model.config import InputConfig, PanelsConfig, RunConfig
from model.drawing import differentiable_print
from model.owner.levels import OwnerLevels
from model.owner.population import Population, Posterior, SessionEmbeddings, session_means
from model.owner.profiles import Profiles, compare_with_profiles
from model.prints import Prints, input_windows, session_prints, window_counts
from model.scorer import Explain, Predictions, Whose
from pipeline.errors import SchemaError
from pipeline.reasons.account import AccountRanges
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import Windows
from pipeline.storage.records import read_record, record_json, write_record
from rasterize.draw import density
from rasterize.motion import Paths

OWNER_LEVELS: Final = Path("profiles", "levels.json")
"""The file of a RUN that holds the levels; RUNs of earlier versions have none."""


@dataclass(frozen=True)
class OwnerScorer:
    """Profiles of accounts, and the population that they are compared against."""

    config: RunConfig
    profiles: Profiles
    levels: OwnerLevels | None = None  # None: logits are the log ratios as they are
    can_be_compared: ClassVar[bool] = False  # it is fitted to all sessions it is measured on

    @staticmethod
    def inputs_of(config: RunConfig) -> InputConfig:
        """Return what is embedded."""
        return InputConfig(config.owner.resample, config.owner.window, config.owner.panels)

    @property
    def inputs(self) -> InputConfig:
        """Return what is embedded."""
        return self.inputs_of(self.config)

    @property
    def ranges(self) -> AccountRanges:
        """Return the ranges of each enrolled account's measures."""
        return self.profiles.ranges

    def predict(self, sessions: Sessions) -> Predictions:
        """Return logits of "not the owner" of the account that each session claims.

        The windows of a session add up in the comparison itself: one window says little.
        """
        population = self.profiles.population
        windows, embeddings = embed(population, self.inputs, sessions)
        of_sessions = session_means(embeddings, windows.session, len(sessions))
        profiles = self.profiles.confident(self.config.owner.min_confidence)
        account = sessions.account_id
        ratio = compare_with_profiles(of_sessions, account, profiles, population)
        ratio[of_sessions.n_windows == 0] = np.nan
        logits = self.logits_of_ratios(ratio, of_sessions.n_windows, account)
        of_windows = SessionEmbeddings(embeddings, np.ones(len(windows), np.int64))
        each = compare_with_profiles(of_windows, account[windows.session], profiles, population)
        logits_of_windows = self.logits_of_ratios(
            each, of_windows.n_windows, account[windows.session]
        )
        is_known = np.array([name in profiles for name in account], bool)
        is_confident = np.array([bool(profiles.get(name)) for name in account], bool)
        words = [np.array("no_profile", object), np.array("immature_profile", object)]
        nothing = np.full(len(sessions), None, object)
        return Predictions(
            windows=windows,
            of_window=np.nan_to_num(logits_of_windows).astype(np.float32),
            of_session=logits,
            events_of_window=windows.stop - windows.start,
            abstain=np.select([~is_known, ~is_confident], words, nothing),
        )

    def logits_of_ratios(
        self,
        ratio: Float64[np.ndarray, " rows"],
        n_windows: Int64[np.ndarray, " rows"],
        account: Shaped[np.ndarray, " rows"],
    ) -> Float64[np.ndarray, " rows"]:
        """Return the logits of log ratios from so many windows each, of the claims on `account`."""
        if self.levels is None:
            return -ratio
        return self.levels.adjust(ratio, n_windows, self.levels.knows(account))

    def explain(self, sessions: Sessions, people: Prints | None) -> Explain:
        """Return what weighs windows by the gradient of their session's log ratio."""
        shape, population = self.inputs.panels.shape, self.profiles.population
        prints = session_prints(self.inputs, sessions)
        own, n_windows = prints.mean_images, prints.n_windows
        reference, gradient = np.zeros((2, len(sessions), *shape), np.float32)
        profiles = self.profiles.confident(self.config.owner.min_confidence)
        scale = np.ones(len(sessions))
        if self.levels is not None:
            scale = self.levels.slope(n_windows, self.levels.knows(sessions.account_id))
        for i, account in enumerate(sessions.account_id):
            found = self.profiles.print_of(account, shape) if profiles.get(account) else None
            if found is not None and n_windows[i]:
                reference[i] = found.mean_images[0]
                ends = population.embed(np.stack([reference[i], own[i]]))
                slope = _ratio_slope(
                    population, profiles[account], ends.mean(axis=0), int(n_windows[i])
                )
                of_ratio = (slope @ population.axes).reshape(shape)
                gradient[i] = -scale[i] * of_ratio  # of "not the owner"
        panels = self.inputs.panels
        return lambda paths, of: linear_weights(panels, paths, reference[of], gradient[of])

    def reference_print(
        self, account: str | None, people: Prints | None
    ) -> tuple[Prints | None, Whose]:
        """Return the account's print; that of the people trained on if none is claimed."""
        if account is None:
            return people, "people"
        return self.profiles.print_of(account, self.inputs.panels.shape), "this account"

    def deciding_bytes(self) -> Iterator[bytes]:
        """Give the population, and of enrolled sessions all but what is there for reasons alone."""
        for array in self.profiles.population.arrays().values():
            yield array.tobytes()
        if self.levels is not None:
            yield json.dumps(record_json(self.levels), sort_keys=True).encode()
        for row in self.profiles.deciding_rows():
            yield json.dumps(row, sort_keys=True).encode()

    def save(self, folder: Path) -> None:
        """Write the profiles, the population and the levels."""
        self.profiles.save(folder)
        if self.levels is not None:
            write_record(self.levels, folder / OWNER_LEVELS)

    @classmethod
    def load(cls, folder: Path, config: RunConfig) -> "OwnerScorer":
        """Return the scorer whose profiles are in a RUN."""
        profiles = Profiles.load(folder)
        if profiles.population.mean.size != math.prod(config.owner.panels.shape):
            raise SchemaError(
                folder, "its profiles don't fit config.json beside them", "train the model again"
            )
        path = folder / OWNER_LEVELS
        levels = None
        if path.is_file():
            levels = read_record(OwnerLevels, path, "train the model again")
        return cls(config, profiles, levels)

    def enroll(self, sessions: Sessions, device: str = "") -> "OwnerScorer":
        """Return the scorer with the prints of legitimate `sessions` in their accounts' profiles.

        Frauds, sessions without an account and those too short for a window are left out.
        """
        usable = ~sessions.is_fraud
        usable &= np.array([account is not None for account in sessions.account_id], bool)
        sessions = sessions.take(np.flatnonzero(usable))
        prints = session_prints(self.inputs, sessions)
        has_any = np.flatnonzero(prints.n_windows)
        added = self.profiles.extended(sessions.take(has_any), prints.take(has_any), device)
        return OwnerScorer(self.config, added, self.levels)


def embed(
    population: Population, inputs: InputConfig, sessions: Sessions
) -> tuple[Windows, Float32[np.ndarray, "windows dimensions"]]:
    """Return the windows of `sessions`, as events recorded, and the embedding of each."""
    resampled, windows = input_windows(inputs, sessions)
    counts = window_counts(inputs, resampled.sessions, windows)
    parts = [population.embed(density(of_batch)) for _, of_batch in counts]
    empty = np.zeros((0, len(population.axes)), np.float32)
    return resampled.recorded(windows), np.concatenate([*parts, empty])


@partial(jax.jit, static_argnums=0)
def linear_weights(
    panels: PanelsConfig,
    paths: Paths,
    reference: Float[Array, "batch cells cells panels"],
    slope: Float[Array, "batch cells cells panels"],
) -> tuple[Float[Array, "batch cells cells panels"], Float[Array, "batch points"]]:
    """Return by how much cells and events raise a logit whose slope is known."""
    images, to_events = differentiable_print(paths, panels)
    return (images - reference) * slope, to_events(slope)[0]


def _ratio_slope(
    population: Population,
    posteriors: list[Posterior],
    at: Float32[np.ndarray, " dimensions"],
    n_windows: int,
) -> Float32[np.ndarray, " dimensions"]:
    """Return the gradient of the log ratio along the axes, by the profile that fits best.

    The ratio is quadratic, so the gradient halfway is the mean along the whole line.
    """
    noise = population.between_sessions + population.between_windows / n_windows

    def distance(posterior: Posterior) -> float:
        return float(((at - posterior.mean) ** 2 / (posterior.variance + noise)).sum())

    best = min(posteriors, key=distance)
    slope = at / (population.between_people + noise) - (at - best.mean) / (best.variance + noise)
    return slope.astype(np.float32)
