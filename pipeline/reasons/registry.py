"""Every reason there is: what it measures, which side of the reference is odd, and its words.

A reason is given where a session is both unusual among legitimate people (beyond the
reference's limit) and odd by itself (beyond `floor`): people of a uniform population differ
little, and being the one percent farthest from them is no reason yet.

A new reason is one entry in `MEASURED`. A RUN that was trained before it was added has no
reference range for its measure, and gives no such reason until it is trained again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float64

from pipeline.features import motion
from pipeline.features.motion import Measured, SessionMotion, measure_motion
from pipeline.replay.codes import REPEATED, REPLAY
from pipeline.sessions.sessions import Sessions


@dataclass(frozen=True)
class Measure:
    """A number for each session, and how it is compared."""

    name: str
    measure: Callable[[SessionMotion], Measured]
    summary: str
    words: str  # for an analyst: which quantity it is
    scale: Literal["log", "linear"]  # its distance from the reference counts in octaves, or as is
    min_items: int  # from fewer movements, clicks or segments it isn't known
    unit: str = ""  # empty: a share or a ratio
    share_of: str = ""  # where it is a share or a ratio: of what; empty: it has a unit, or none
    of_recorder: bool = False  # a recorder of another rate shows another value


@dataclass(frozen=True)
class Reason:
    """A reason code: a measure that is far out on one side, or what another search found."""

    code: str
    words: str  # for an analyst
    misleads: str  # when not to believe it


@dataclass(frozen=True)
class MeasuredReason(Reason):
    """A reason that a measure decides."""

    measure: Measure
    side: Literal["low", "high"]
    floor: float  # never a reason before this, whatever the people in training do


_SPEED_VARIATION = Measure(
    "speed_variation",
    motion.speed_variation,
    "standard deviation of the speeds within a movement / their mean; median of movements",
    words="unevenness of speed within a movement",
    share_of="its mean speed",
    scale="log",
    min_items=3,
    of_recorder=True,
)
_START_SHARE = Measure(
    "start_share",
    motion.start_share,
    "speed of a movement's first step / its highest speed; median of movements",
    words="speed that a movement begins with",
    share_of="its highest speed",
    scale="linear",
    min_items=3,
    of_recorder=True,
)
_SPEED_PEAKS_PER_S = Measure(
    "speed_peaks_per_s",
    motion.speed_peaks_per_s,
    "local maxima of speed a second of movement",
    unit="1/s",
    words="ups and downs of speed",
    scale="log",
    min_items=3,
    of_recorder=True,
)
_ROUGHNESS = Measure(
    "roughness",
    motion.roughness,
    "uneven change of three steps in a row / their length",
    words="shaking",
    share_of="the length of the steps",
    scale="log",
    min_items=30,
    of_recorder=True,
)

MEASURED: Final[tuple[MeasuredReason, ...]] = (
    MeasuredReason(
        "straight_path",
        "The pointer goes from place to place in straight lines.",
        "drags along a ruler, a slider or a scroll bar; very short sessions",
        Measure(
            "stray_share",
            motion.stray_share,
            "farthest distance from the line between a movement's ends / that line's length; "
            "median",
            words="farthest stray from a straight line",
            share_of="the distance between its ends",
            scale="log",
            min_items=3,
        ),
        side="low",
        floor=0.02,
    ),
    MeasuredReason(
        "constant_speed",
        "The pointer moves at one speed, where hands speed up and slow down.",
        "a recorder of few events a second; a trackball rolled evenly",
        _SPEED_VARIATION,
        side="low",
        floor=0.45,
    ),
    MeasuredReason(
        "sudden_start",
        "Movements begin at full speed, where hands need time to get going.",
        "a recorder that writes a movement's first events late, or of few events a second",
        _START_SHARE,
        side="high",
        floor=0.7,
    ),
    MeasuredReason(
        "no_corrections",
        "Each movement is one smooth push, without the small corrections of a hand near its aim.",
        "smoothing by a driver or an accessibility device; remote desktops",
        _SPEED_PEAKS_PER_S,
        side="low",
        floor=3.0,
    ),
    MeasuredReason(
        "jittery_speed",
        "The speed goes up and down more often than a hand's.",
        "tremor; a worn or dusty mouse sensor; a recorder whose clock is uneven",
        _SPEED_PEAKS_PER_S,
        side="high",
        floor=12.0,
    ),
    MeasuredReason(
        "jagged_path",
        "The path zigzags from event to event.",
        "tremor; touchpads and touch screens; a recorder of few events a second",
        Measure(
            "turn_mean_rad",
            motion.turn_mean_rad,
            "mean turn from one step of 4 px or more to the next",
            unit="rad",
            words="turn from one step to the next",
            scale="log",
            min_items=30,
            of_recorder=True,
        ),
        side="high",
        floor=0.25,
    ),
    MeasuredReason(
        "no_tremor",
        "The path is smoother than a hand draws it: the small shaking is missing.",
        "smoothing by a driver, an accessibility device or a remote desktop; pen tablets",
        _ROUGHNESS,
        side="low",
        floor=0.06,
    ),
    MeasuredReason(
        "same_speed_profile",
        "Every movement speeds up and slows down in the same way.",
        "one task repeated many times at the same distance",
        Measure(
            "profile_likeness",
            motion.profile_likeness,
            "mean correlation of two movements' courses of speed",
            words="likeness of the movements' courses of speed (1: all the same)",
            scale="linear",
            min_items=6,
        ),
        side="high",
        floor=0.6,
    ),
    MeasuredReason(
        "impossible_acceleration",
        "The pointer's speed changes faster than a hand can change it.",
        "a high pointer speed setting on a large screen; a page that drops events under load",
        Measure(
            "acceleration_px_s2",
            motion.acceleration_px_s2,
            "highest change of speed within a movement; median of movements",
            unit="px/s2",
            words="highest acceleration",
            scale="log",
            min_items=3,
            of_recorder=True,
        ),
        side="high",
        floor=400_000.0,
    ),
    MeasuredReason(
        "teleports",
        "The pointer is at another place without having moved there.",
        "leaving the page at one edge and coming back at another; touch screens; lost events",
        Measure(
            "jump_share",
            motion.jump_share,
            "share of the path in steps of 150 px or more, 5 times as long as those around them",
            words="jumps of 150 px or more",
            share_of="the path",
            scale="linear",
            min_items=8,
        ),
        side="high",
        floor=0.1,
    ),
    MeasuredReason(
        "axis_aligned",
        "The pointer moves exactly sideways or exactly up and down.",
        "drags of sliders and scroll bars; a driver that locks an axis; arrow-key pointers",
        Measure(
            "axis_share",
            motion.axis_share,
            "share of the steps of 4 px or more exactly along x or y",
            words="steps exactly along one axis",
            share_of="all steps",
            scale="linear",
            min_items=30,
        ),
        side="high",
        floor=0.5,
    ),
    MeasuredReason(
        "equal_steps",
        "The pointer moves in steps of exactly the same size.",
        "arrow-key pointers; a recorder that rounds positions coarsely",
        Measure(
            "equal_step_share",
            motion.equal_step_share,
            "share of the steps of 4 px or more that equal the one before",
            words="steps that equal the one before",
            share_of="all steps",
            scale="linear",
            min_items=30,
            of_recorder=True,
        ),
        side="high",
        floor=0.1,
    ),
    MeasuredReason(
        "no_pauses",
        "The pointer keeps moving, without the rests in which people read and decide.",
        "games and drawing",
        Measure(
            "nonstop_s",
            motion.nonstop_s,
            "time in motion / movements between rests of 120 ms or more",
            unit="s",
            words="time in motion without a rest",
            scale="log",
            min_items=30,
        ),
        side="high",
        floor=8.0,
    ),
    MeasuredReason(
        "regular_intervals",
        "Events come at exactly equal intervals.",
        "a recorder that samples by a timer: then it is so for everybody, and the training "
        "data must hold sessions of that recorder",
        Measure(
            "modal_interval_share",
            motion.modal_interval_share,
            "share of the commonest interval between events, in whole ms",
            words="the commonest interval between events",
            share_of="all intervals",
            scale="linear",
            min_items=30,
        ),
        side="high",
        floor=0.95,
    ),
    MeasuredReason(
        "regular_clicks",
        "Clicks come at equal intervals.",
        "games; counting up or down by a button; an accessibility device that clicks by a timer",
        Measure(
            "click_variation",
            motion.click_variation,
            "standard deviation of the times between clicks / their mean",
            words="unevenness of the times between clicks",
            share_of="their mean",
            scale="log",
            min_items=5,
        ),
        side="low",
        floor=0.15,
    ),
    MeasuredReason(
        "clicks_without_approach",
        "The pointer clicks where it has not moved to.",
        "touch screens and pens logged as a mouse; keyboards that press buttons; lost events",
        Measure(
            "far_click_share",
            motion.far_click_share,
            "share of the clicks more than 50 px from the event before",
            words="clicks more than 50 px from the event before",
            share_of="all clicks",
            scale="linear",
            min_items=4,
        ),
        side="high",
        floor=0.3,
    ),
)
"""The reasons that a measure decides, in the order of docs/reasons.md."""

UNLIKE_PROFILE: Final = "unlike_profile"
DIFFERS: Final = "differs_from_profile"

_FROM_ELSEWHERE = (
    Reason(
        UNLIKE_PROFILE,
        "Two measures of the motion are far from this account's own.",
        "another mouse, another computer, another task, an injury: enrol sessions of each",
    ),
    Reason(
        DIFFERS,
        "What differs most from this account's enrolled sessions.",
        "it is said because the score is high: people differ as much from day to day",
    ),
    Reason(
        REPLAY,
        "The movements repeat those of one other session.",
        "the same log read twice under two names",
    ),
    Reason(
        REPEATED,
        "Single movements repeat those of other sessions.",
        "the same log read twice, in parts",
    ),
)

CODES: Final[dict[str, Reason]] = {reason.code: reason for reason in (*MEASURED, *_FROM_ELSEWHERE)}
MEASURES: Final[dict[str, Measure]] = {reason.measure.name: reason.measure for reason in MEASURED}
"""What is compared with all people."""

_OF_ACCOUNTS = (
    Measure(
        "speed_px_s",
        motion.typical_speed_px_s,
        "median speed in movements",
        unit="px/s",
        words="speed while moving",
        scale="log",
        min_items=3,
        of_recorder=True,
    ),
    Measure(
        "movement_s",
        motion.movement_s,
        "duration of a movement; median",
        unit="s",
        words="duration of a movement",
        scale="log",
        min_items=3,
        of_recorder=True,
    ),
    Measure(
        "hold_ms",
        motion.hold_ms,
        "time from a button's press to its release; median",
        unit="ms",
        words="how long a button is held",
        scale="log",
        min_items=5,
    ),
    _SPEED_VARIATION,
    _START_SHARE,
    _SPEED_PEAKS_PER_S,
    _ROUGHNESS,
)
ACCOUNT_MEASURES: Final[dict[str, Measure]] = {measure.name: measure for measure in _OF_ACCOUNTS}
"""What is compared with the account's own sessions: people differ in it, and tasks less."""


def measure_sessions(
    sessions: Sessions, measures: Mapping[str, Measure] = MEASURES
) -> tuple[dict[str, Float64[np.ndarray, " sessions"]], Float64[np.ndarray, " sessions"]]:
    """Return each measure of each session, NaN from too few items; and their median interval."""
    of_sessions = measure_motion(sessions)
    values = {}
    for measure in measures.values():
        found = measure.measure(of_sessions)
        values[measure.name] = np.where(found.n_items >= measure.min_items, found.value, np.nan)
    intervals = of_sessions.intervals
    return values, np.where(intervals.n > 0, intervals.median_ms, np.nan)
