"""Score sessions for the fraud task: is this a script, or like a fraud that was labelled before?"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from model.checkpoint import load_parameters, save_parameters
from model.config import InputConfig, RunConfig
from model.network import Network, differentiable_print, new_network, predict
from model.prints import Prints, input_windows
from model.scorer import Explain, Predictions, Whose
from pipeline.scores.table import pool_logits
from pipeline.sessions.sessions import Sessions
from rasterize.motion import Paths

CHECKPOINT: Final = Path("checkpoint")
STEPS: Final = 8
"""Points on the line from the reference to a print at which gradients are taken."""


@dataclass(frozen=True)
class FraudScorer:
    """A network that takes the print of a window to a logit."""

    config: RunConfig
    network: Network
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

    def predict(self, sessions: Sessions) -> Predictions:
        """Return the logits of sessions; the network is given them resampled."""
        resampled, windows = input_windows(self.inputs, sessions)
        n_points = self.config.window.max_events
        logits = predict(self.network, resampled.sessions, windows, n_points)
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
        """Give the names and values of the network's parameters."""
        for path, leaf in jax.tree_util.tree_leaves_with_path(nnx.state(self.network)):
            yield jax.tree_util.keystr(path).encode()
            yield np.ascontiguousarray(leaf).tobytes()

    def save(self, folder: Path) -> None:
        """Write the network's parameters."""
        save_parameters(self.network, folder / CHECKPOINT)

    @classmethod
    def load(cls, folder: Path, config: RunConfig) -> "FraudScorer":
        """Return the scorer whose parameters are in a RUN."""
        return cls(config, load_parameters(new_network(config), folder / CHECKPOINT))


@partial(jax.jit, static_argnums=0)
def integrated_gradients(
    graph: nnx.GraphDef,
    params: nnx.State,
    paths: Paths,
    reference: Float[Array, "cells cells panels"],
) -> tuple[Float[Array, "batch cells cells panels"], Float[Array, "batch points"]]:
    """Return by how much cells and events raise the network's logit over that of `reference`."""
    network = nnx.merge(graph, params)
    images, to_events = differentiable_print(paths, network.panels)
    shares = (jnp.arange(STEPS) + 0.5) / STEPS
    line = reference + shares[:, None, None, None, None] * (images - reference)
    slopes = jax.grad(lambda images: network(images).sum())(line.reshape(-1, *reference.shape))
    slope = slopes.reshape(line.shape).mean(axis=0)
    return (images - reference) * slope, to_events(slope)[0]
