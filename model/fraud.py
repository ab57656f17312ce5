"""Score sessions for the fraud task: is this a script, or like a fraud that was labelled before?"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from model.batches import predict
from model.checkpoint import save_parameters
from model.config import InputConfig, RunConfig
from model.prints import Prints, input_windows
from model.saved_network import SavedNetwork
from model.scorer import Explain, Predictions, Whose
from pipeline.scores.table import pool_logits
from pipeline.sessions.sessions import Sessions

if TYPE_CHECKING:  # it loads Flax
    from model.network import Network

CHECKPOINT: Final = Path("checkpoint")


@dataclass(frozen=True)
class FraudScorer:
    """A network that takes the print of a window to a logit."""

    config: RunConfig
    trained: "Network | SavedNetwork"  # just trained, or as it lies in a RUN
    ranges = None
    can_be_compared: ClassVar[bool] = True

    @staticmethod
    def inputs_of(config: RunConfig) -> InputConfig:
        """Return what the network takes as input."""
        return InputConfig(config.resample, config.window, config.panels)

    @property
    def inputs(self) -> InputConfig:
        """Return what the network takes as input."""
        return self.inputs_of(self.config)

    @property
    def network(self) -> "Network":
        """Return the network; of one that was saved this loads Flax."""
        return self.trained.network if isinstance(self.trained, SavedNetwork) else self.trained

    def predict(self, sessions: Sessions) -> Predictions:
        """Return the logits of sessions; the network is given them resampled."""
        resampled, windows = input_windows(self.inputs, sessions)
        n_points = self.config.window.max_events
        logits = predict(self.trained.compiled(), resampled.sessions, windows, n_points)
        return Predictions(
            windows=resampled.recorded(windows),
            of_window=logits,
            of_session=pool_logits(
                logits, windows.session, len(sessions), self.config.score.pooling
            ),
            events_of_window=windows.stop - windows.start,
            abstain=np.full(len(sessions), None, object),
        )

    def explain(self, sessions: Sessions, people: Prints | None) -> Explain:
        """Return what takes windows to integrated gradients from the print of `people`."""
        from flax import nnx

        from model.network import integrated_gradients

        graph, params = nnx.split(self.network)
        shape = self.config.panels.shape
        reference = np.zeros(shape, np.float32) if people is None else people.mean_images[0]
        return lambda paths, _: integrated_gradients(graph, params, paths, reference)

    def reference_print(
        self, account: str | None, people: Prints | None
    ) -> tuple[Prints | None, Whose]:
        """Return the print of the people trained on, whatever the account."""
        return people, "people"

    def deciding_bytes(self) -> Iterator[bytes]:
        """Give the places and values of the network's parameters.

        A place is written as Flax writes it: a model keeps its id whatever reads it.
        """
        places = {
            tuple(int(part) if part.isdigit() else part for part in name.split("/")): array
            for name, array in self.trained.arrays().items()
        }
        for place in sorted(places):
            yield ("".join(f"[{part!r}]" for part in place) + ".value").encode()
            yield np.ascontiguousarray(places[place]).tobytes()

    def save(self, folder: Path) -> None:
        """Write the network's parameters."""
        save_parameters(self.trained.arrays(), folder / CHECKPOINT)

    @classmethod
    def load(cls, folder: Path, config: RunConfig) -> "FraudScorer":
        """Return the scorer whose parameters are in a RUN."""
        return cls(config, SavedNetwork.load(folder / CHECKPOINT, config))
