"""What raised a session's score: the weight of each cell of its print, and of each event.

Weights of cells are integrated gradients (Sundararajan, Taly and Yan 2017, "Axiomatic attribution
for deep networks", arXiv:1703.01365) of the logit along the straight line from the print of the
people trained on (owner task: of the account itself) to the window's own. They add up to the
difference of the two logits. An event weighs what the logit would change, to first order, if it
counted for nothing. docs/benchmarks.md measures whether deleting what weighs most lowers a score.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float32, Float64, Int64

from model.batches import map_windows
from model.prints import input_windows
from model.run import TrainedModel
from pipeline.sessions.resample import Resampled
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import Windows
from rasterize.motion import Paths


class Attribution(NamedTuple):
    """By how much cells and events raised the logit of each session; below 0: lowered it."""

    cells: Float32[np.ndarray, "sessions cells cells panels"]
    events: Float32[np.ndarray, " events"]  # as recorded


def attribute(model: TrainedModel, sessions: Sessions) -> Attribution:
    """Return what raised the logit of each session; without a score everything weighs 0."""
    resampled, _, cells, weight = attribute_seen(model, sessions)
    return Attribution(cells, _onto_recorded(weight, resampled, sessions))


def attribute_seen(
    model: TrainedModel, sessions: Sessions
) -> tuple[
    Resampled,
    Windows,
    Float32[np.ndarray, "sessions cells cells panels"],
    Float64[np.ndarray, " seen"],
]:
    """Return sessions and windows as the model sees them, and what cells and seen events weigh."""
    inputs = model.scorer.inputs
    resampled, windows = input_windows(inputs, sessions)
    cells = np.zeros((len(sessions), *inputs.panels.shape), np.float32)
    weight = np.zeros(len(resampled.event))
    explain = model.scorer.explain(sessions, model.people)
    n_windows = np.bincount(windows.session, minlength=len(sessions))
    n_points = inputs.window.max_events

    def compute(paths: Paths, chosen: Int64[np.ndarray, " batch"]) -> tuple[Array, Array]:
        return explain(paths, windows.session[chosen])

    for chosen, (of_cells, of_events) in map_windows(
        compute, resampled.sessions, windows, n_points
    ):
        session = windows.session[chosen]
        share = (1 / n_windows[session]).astype(np.float32)
        np.add.at(cells, session, of_cells * share[:, None, None, None])
        length = np.minimum(windows.stop[chosen] - windows.start[chosen], n_points)
        for row, begin, n, part in zip(
            of_events, windows.start[chosen], length, share, strict=True
        ):
            weight[begin : begin + n] = row[:n] * part
    return resampled, windows, cells, weight


def _onto_recorded(
    seen: Float64[np.ndarray, " seen"], resampled: Resampled, sessions: Sessions
) -> Float32[np.ndarray, " events"]:
    """Give events that the plain recorder left out an equal share of the next one's weight."""
    owner = np.repeat(np.arange(len(sessions)), sessions.n_events)
    next_seen = np.searchsorted(resampled.event, np.arange(len(owner)))
    is_led_up = next_seen < len(resampled.event)
    next_seen = np.minimum(next_seen, max(len(resampled.event) - 1, 0))
    is_led_up &= owner[resampled.event[next_seen]] == owner
    n_sharing = np.bincount(next_seen[is_led_up], minlength=len(seen))
    return np.where(is_led_up, (seen / np.maximum(n_sharing, 1))[next_seen], 0).astype(np.float32)
