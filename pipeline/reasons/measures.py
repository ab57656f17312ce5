"""Every measure, by name; sessions in, a number a session for each out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float64

from pipeline.reasons import clicks, paths, speeds
from pipeline.reasons.measured import Measured
from pipeline.reasons.motion import Motion, find_motion
from pipeline.sessions import Sessions


@dataclass(frozen=True)
class Measure:
    """A measure. `scale` says how its distance from usual is counted: in octaves, or as it is."""

    name: str
    measure: Callable[[Motion], Measured]
    unit: str  # empty: a share or a ratio
    scale: Literal["log", "linear"]
    fewest: int  # items: from fewer nothing is said
    of_recorder: bool  # a recorder of another rate shows another value
    summary: str
    words: str = ""  # of a habit, for an analyst


_ALL = (
    Measure(
        "stray_share", paths.stray_share, "", "log", 3, False,
        "farthest distance from the line between a movement's ends / that line's length; median",
    ),
    Measure(
        "speed_variation", speeds.speed_variation, "", "log", 3, True,
        "standard deviation of the speeds within a movement / their mean; median of movements",
        "unevenness of speed within a movement",
    ),
    Measure(
        "start_share", speeds.start_share, "", "linear", 3, True,
        "speed of a movement's first step / its highest speed; median of movements",
        "speed a movement begins with, as a share of its highest",
    ),
    Measure(
        "speed_peaks_per_s", speeds.speed_peaks_per_s, "1/s", "log", 3, True,
        "local maxima of speed a second of movement",
        "ups and downs of speed",
    ),
    Measure(
        "turn_mean_rad", paths.turn_mean_rad, "rad", "log", 30, True,
        "mean turn from one step of 4 px or more to the next",
    ),
    Measure(
        "roughness", paths.roughness, "", "log", 30, True,
        "uneven change of three steps in a row / their length",
        "shaking",
    ),
    Measure(
        "profile_likeness", speeds.profile_likeness, "", "linear", 6, False,
        "mean correlation of two movements' courses of speed",
    ),
    Measure(
        "acceleration_px_s2", speeds.acceleration_px_s2, "px/s2", "log", 3, True,
        "highest change of speed within a movement; median of movements",
    ),
    Measure(
        "jump_share", paths.jump_share, "", "linear", 8, False,
        "share of the path in steps of 150 px or more, 5 times as long as those around them",
    ),
    Measure(
        "axis_share", paths.axis_share, "", "linear", 30, False,
        "share of the steps of 4 px or more exactly along x or y",
    ),
    Measure(
        "equal_step_share", paths.equal_step_share, "", "linear", 30, True,
        "share of the steps of 4 px or more that equal the one before",
    ),
    Measure(
        "nonstop_s", speeds.nonstop_s, "s", "log", 30, False,
        "time in motion / stretches between rests of 120 ms or more",
    ),
    Measure(
        "modal_interval_share", speeds.modal_interval_share, "", "linear", 30, False,
        "share of the commonest interval between events, in whole ms",
    ),
    Measure(
        "click_variation", clicks.click_variation, "", "log", 5, False,
        "standard deviation of the times between clicks / their mean",
    ),
    Measure(
        "far_click_share", clicks.far_click_share, "", "linear", 4, False,
        "share of the clicks more than 50 px from the event before",
    ),
)  # fmt: skip

_HABITS_ALONE = (
    Measure(
        "speed_px_s", speeds.speed_px_s, "px/s", "log", 3, True,
        "median speed in movements", "typical speed",
    ),
    Measure(
        "movement_s", speeds.movement_s, "s", "log", 3, True,
        "duration of a movement; median", "duration of a movement",
    ),
    Measure(
        "hold_ms", clicks.hold_ms, "ms", "log", 5, False,
        "time from a button's press to its release; median", "how long a button is held",
    ),
)  # fmt: skip

MEASURES: Final[dict[str, Measure]] = {measure.name: measure for measure in _ALL}
"""What is compared with all people."""

_HABITS = ("speed_variation", "start_share", "speed_peaks_per_s", "roughness")
HABITS: Final[dict[str, Measure]] = {
    **{measure.name: measure for measure in _HABITS_ALONE},
    **{name: MEASURES[name] for name in _HABITS},
}
"""What is compared with the account's own sessions: what people differ in, and their tasks less."""


def measure_sessions(
    sessions: Sessions, measures: Mapping[str, Measure] = MEASURES
) -> tuple[dict[str, Float64[np.ndarray, " sessions"]], Float64[np.ndarray, " sessions"]]:
    """Return each measure of each session, NaN from too few items; and their median interval."""
    motion = find_motion(sessions)
    values = {}
    for measure in measures.values():
        found = measure.measure(motion)
        values[measure.name] = np.where(found.n_items >= measure.fewest, found.value, np.nan)
    interval_ms = motion.intervals.median_ms.astype(np.float64)
    return values, np.where(motion.intervals.n > 0, interval_ms, np.nan)
