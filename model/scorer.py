"""What a model of any task can do: the interface between the two scorers and all that uses them.

`model.fraud.FraudScorer` looks for scripts and frauds labelled before, `model.owner.scorer.
OwnerScorer` compares a session with its account. What differs by task is in these two alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Array, Float32, Float64, Int64, Shaped

from model.config import InputConfig, RunConfig
from model.prints import Prints
from pipeline.reasons.account import AccountRanges
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import Windows
from rasterize.motion import Paths

Explain: TypeAlias = Callable[[Paths, Int64[np.ndarray, " batch"]], tuple[Array, Array]]
"""From the paths of windows, and which session each is of, to the weights of cells and events."""

Whose = Literal["people", "this account"]


@dataclass(frozen=True)
class Predictions:
    """The logits of sessions, window by window and altogether."""

    windows: Windows  # of the events as recorded
    of_window: Float32[np.ndarray, " windows"]  # 0 where there is nothing to compare with
    of_session: Float64[np.ndarray, " sessions"]  # NaN: no window, or nothing to compare with
    events_of_window: Int64[np.ndarray, " windows"]  # resampled ones: what the model was given
    abstain: Shaped[np.ndarray, " sessions"]  # why there is no logit; None: there is, or no window

    @property
    def events_of_session(self) -> Int64[np.ndarray, " sessions"]:
        """Return how many events each session's logit rests on."""
        n_events = np.bincount(self.windows.session, self.events_of_window, len(self.of_session))
        return n_events.astype(np.int64)


@runtime_checkable
class Scorer(Protocol):
    """A model of one task."""

    can_be_compared: ClassVar[bool]
    """Whether sessions are held out from training, on which two models can be compared."""

    @staticmethod
    def inputs_of(config: RunConfig) -> InputConfig:
        """Return what models of this task take as input."""
        ...

    @property
    def inputs(self) -> InputConfig:
        """Return what this model takes as input."""
        ...

    @property
    def ranges(self) -> AccountRanges | None:
        """Return the ranges of each enrolled account's measures, for reasons; None: no accounts."""
        ...

    def predict(self, sessions: Sessions) -> Predictions:
        """Return the logits of sessions; above 0 the model leans to fraud."""
        ...

    def explain(self, sessions: Sessions, people: Prints | None) -> Explain:
        """Return what tells how much cells and events of windows raised their logit."""
        ...

    def reference_print(
        self, account: str | None, people: Prints | None
    ) -> tuple[Prints | None, Whose]:
        """Return the print that a session is compared with, and whose it is; None: nobody's."""
        ...

    def deciding_bytes(self) -> Iterator[bytes]:
        """Give all that decides this scorer's logits, beside the settings."""
        ...

    def save(self, folder: Path) -> None:
        """Write its files to a RUN."""
        ...

    @classmethod
    def load(cls, folder: Path, config: RunConfig) -> "Scorer":
        """Return the scorer whose files are in a RUN."""
        ...
