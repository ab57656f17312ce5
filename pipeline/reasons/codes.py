"""Every reason there is: what it measures, which side of usual is odd, and in plain words.

A reason is given where a session is both unusual among legitimate people (beyond the
reference's limit) and odd by itself (beyond `floor`): people of a uniform population differ
little, and being the one percent farthest from them is no reason yet.
"""

from dataclasses import dataclass
from typing import Final, Literal

from pipeline.replay.search import REPEATED, REPLAY

Side = Literal["low", "high"]


@dataclass(frozen=True)
class Code:
    """A reason code. `measure` is a name of `pipeline.reasons.measures.MEASURES`."""

    name: str
    measure: str  # empty: it comes from elsewhere
    side: Side
    floor: float  # never a reason before this, whatever the people in training do
    words: str  # for an analyst
    misleads: str  # when not to believe it


_ALL = (
    Code(
        "straight_path",
        "stray_share",
        "low",
        0.02,
        "The pointer goes from place to place in straight lines.",
        "drags along a ruler, a slider or a scroll bar; very short sessions",
    ),
    Code(
        "constant_speed",
        "speed_variation",
        "low",
        0.45,
        "The pointer moves at one speed, where hands speed up and slow down.",
        "a recorder of few events a second; a trackball rolled evenly",
    ),
    Code(
        "sudden_start",
        "start_share",
        "high",
        0.7,
        "Movements begin at full speed, where hands need time to get going.",
        "a recorder that writes a movement's first events late, or of few events a second",
    ),
    Code(
        "no_corrections",
        "speed_peaks_per_s",
        "low",
        3.0,
        "Each movement is one smooth push, without the small corrections of a hand near its aim.",
        "smoothing by a driver or an accessibility device; remote desktops",
    ),
    Code(
        "jittery_speed",
        "speed_peaks_per_s",
        "high",
        12.0,
        "The speed goes up and down more often than a hand's.",
        "tremor; a worn or dusty mouse sensor; a recorder whose clock is uneven",
    ),
    Code(
        "jagged_path",
        "turn_mean_rad",
        "high",
        0.25,
        "The path zigzags from event to event.",
        "tremor; touchpads and touch screens; a recorder of few events a second",
    ),
    Code(
        "no_tremor",
        "roughness",
        "low",
        0.06,
        "The path is smoother than a hand draws it: the small shaking is missing.",
        "smoothing by a driver, an accessibility device or a remote desktop; pen tablets",
    ),
    Code(
        "same_speed_profile",
        "profile_likeness",
        "high",
        0.6,
        "Every movement speeds up and slows down in the same way.",
        "one task repeated many times at the same distance",
    ),
    Code(
        "impossible_acceleration",
        "acceleration_px_s2",
        "high",
        400_000.0,
        "The pointer's speed changes faster than a hand can change it.",
        "a high pointer speed setting on a large screen; a page that drops events under load",
    ),
    Code(
        "teleports",
        "jump_share",
        "high",
        0.1,
        "The pointer is at another place without having moved there.",
        "leaving the page at one edge and coming back at another; touch screens; lost events",
    ),
    Code(
        "axis_aligned",
        "axis_share",
        "high",
        0.5,
        "The pointer moves exactly sideways or exactly up and down.",
        "drags of sliders and scroll bars; a driver that locks an axis; arrow-key pointers",
    ),
    Code(
        "equal_steps",
        "equal_step_share",
        "high",
        0.1,
        "The pointer moves in steps of exactly the same size.",
        "arrow-key pointers; a recorder that rounds positions coarsely",
    ),
    Code(
        "no_pauses",
        "nonstop_s",
        "high",
        8.0,
        "The pointer keeps moving, without the rests in which people read and decide.",
        "games and drawing",
    ),
    Code(
        "regular_intervals",
        "modal_interval_share",
        "high",
        0.95,
        "Events come at exactly equal intervals.",
        "a recorder that samples by a timer: then it is so for everybody, and the training "
        "data must hold sessions of that recorder",
    ),
    Code(
        "regular_clicks",
        "click_variation",
        "low",
        0.15,
        "Clicks come at equal intervals.",
        "games; counting up or down by a button; an accessibility device that clicks by a timer",
    ),
    Code(
        "clicks_without_approach",
        "far_click_share",
        "high",
        0.3,
        "The pointer clicks where it has not moved to.",
        "touch screens and pens logged as a mouse; keyboards that press buttons; lost events",
    ),
)

UNLIKE_PROFILE: Final = "unlike_profile"

_FROM_ELSEWHERE = (
    Code(
        UNLIKE_PROFILE,
        "",
        "high",
        0.0,
        "Two measures of the motion are far from this account's own.",
        "another mouse, another computer, another task, an injury: enrol sessions of each",
    ),
    Code(
        REPLAY,
        "",
        "high",
        0.0,
        "The movements repeat those of one other session.",
        "the same log read twice under two names",
    ),
    Code(
        REPEATED,
        "",
        "high",
        0.0,
        "Single movements repeat those of other sessions.",
        "the same log read twice, in parts",
    ),
)

CODES: Final[dict[str, Code]] = {code.name: code for code in (*_ALL, *_FROM_ELSEWHERE)}
MEASURED: Final[tuple[Code, ...]] = _ALL
"""The codes that a measure decides, in the order of docs/reasons.md."""
