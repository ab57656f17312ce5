"""Why a session was flagged, by the panels of its print that raised the score most."""

from typing import Final, NamedTuple

import numpy as np

from model.attribution import attribute
from model.prints import session_prints
from model.run import TrainedModel
from pipeline.sessions.sessions import Sessions
from rasterize.panels import PANELS
from rasterize.words import difference_in_words

PREFIX: Final = "print_"
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
                    PREFIX + names[p],
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
        PREFIX + name: {
            "words": f"Unlike the reference in {panel.words}.",
            "misleads": "another kind of device, recorder or task than the reference's",
        }
        for name, panel in PANELS.items()
    }
