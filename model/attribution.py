"""Attribute a session's score to cells of its print and to events.

Weights of cells are integrated gradients (Sundararajan, Taly and Yan 2017, "Axiomatic attribution
for deep networks", arXiv:1703.01365) of the logit along the straight line from the print of the
people trained on (owner task: of the account itself) to the window's own. They add up to the
difference of the two logits. An event weighs what the logit would change, to first order, if it
counted for nothing. docs/benchmarks.md measures whether deleting what weighs most lowers a score.
"""

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Array, Float32, Float64, Int64

from model.batches import map_windows
from model.prints import input_windows, session_prints
from model.run import TrainedModel
from pipeline.sessions.resample import Resampled
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import Windows
from rasterize.motion import Paths
from rasterize.panels import PANELS
from rasterize.words import difference_in_words


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
    owner = sessions.session_of_event
    next_seen = np.searchsorted(resampled.event, np.arange(len(owner)))
    is_led_up = next_seen < len(resampled.event)
    next_seen = np.minimum(next_seen, max(len(resampled.event) - 1, 0))
    is_led_up &= owner[resampled.event[next_seen]] == owner
    n_sharing = np.bincount(next_seen[is_led_up], minlength=len(seen))
    return np.where(is_led_up, (seen / np.maximum(n_sharing, 1))[next_seen], 0).astype(np.float32)


PRINT_CODE: Final = "print_"
"""A reason code is this and a panel's name."""

_AT_MOST: Final = 2  # panels named for a session
_ENOUGH: Final = 0.5  # of the strongest panel's weight: a weaker one isn't named


class PrintReason(NamedTuple):
    """One panel of a session's print that raised its score."""

    code: str
    words: str  # what was measured, and what the reference shows


def print_reasons(model: TrainedModel, sessions: Sessions) -> list[list[PrintReason]]:
    """Return for each session one or two panels, the strongest first; none without a window.

    The owner task holds a session against its account's print, the fraud task against that of the
    people it was trained on.
    """
    if not len(sessions):
        return []
    inputs = model.scorer.inputs
    weight = attribute(model, sessions).cells
    own = session_prints(inputs, sessions)
    names = inputs.panels.names
    found = []
    for i in range(len(sessions)):
        reference, whose = model.scorer.reference_print(sessions.account_id[i], model.people)
        if reference is None or not own.n_windows[i]:
            found.append([])
            continue
        by_panel = weight[i].sum(axis=(0, 1))
        strongest = np.argsort(-by_panel, kind="stable")[:_AT_MOST]
        is_named = by_panel[strongest] >= _ENOUGH * by_panel[strongest[0]]
        is_named[0] = True  # the score may lie below the reference's, and be flagged all the same
        found.append(
            [
                PrintReason(
                    PRINT_CODE + names[p],
                    difference_in_words(
                        PANELS[names[p]],
                        own.counts[i, ..., p],
                        reference.counts[0, ..., p],
                        weight[i, ..., p],
                        whose,
                    ),
                )
                for p in strongest[is_named]
            ]
        )
    return found


def panel_words() -> dict[str, dict[str, str]]:
    """Return by reason code what it says, and when it misleads."""
    return {
        PRINT_CODE + name: {
            "words": f"Unlike the reference in {panel.words}.",
            "misleads": "another kind of device, recorder or task than the reference's",
        }
        for name, panel in PANELS.items()
    }
