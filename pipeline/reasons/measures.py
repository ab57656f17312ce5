"""Every measure, by name; sessions in, a number a session for each out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from pipeline.features.motion import REST_S, SessionMotion, measure_motion
from pipeline.features.quantities import direction_rad, turn_rad
from pipeline.schemas import Kind
from pipeline.sessions.ragged import Grouping, ratio
from pipeline.sessions.sessions import Sessions


class Measured(NamedTuple):
    """A measure of each session, and how many movements, clicks or segments it is taken from."""

    value: Float64[np.ndarray, " sessions"]
    n_items: Int64[np.ndarray, " sessions"]


def measured(
    value: Shaped[np.ndarray, " sessions"], n_items: Shaped[np.ndarray, " sessions"]
) -> Measured:
    """Return a measure in the types that all have."""
    return Measured(value.astype(np.float64), n_items.astype(np.int64))


FAR_PX = 50.0  # a throttled recorder's last move may be some way from the click


def click_variation(motion: SessionMotion) -> Measured:
    """Return how unequal the times between clicks are."""
    sessions = motion.recorded
    click, by_session = _clicks(sessions)
    inside = by_session.neighbours()
    between_s = np.diff(sessions.t_us[click])[inside] / 1e6
    pairs = Grouping(by_session.of[1:], len(sessions)).where(inside)
    return measured(ratio(pairs.std(between_s), pairs.mean(between_s)), pairs.count())


def far_click_share(motion: SessionMotion) -> Measured:
    """Return how many clicks are far from where the pointer was last seen.

    The click before counts as seen, too: a second click at the same place needs no move.
    """
    sessions = motion.recorded
    click, by_session = _clicks(sessions)
    has_before = click > sessions.offsets[:-1][by_session.of]
    click, of = click[has_before], by_session.where(has_before)
    jump_px = np.hypot(
        sessions.x_px[click] - sessions.x_px[click - 1],
        sessions.y_px[click] - sessions.y_px[click - 1],
    )
    return measured(of.mean(jump_px > FAR_PX), of.count())


def hold_ms(motion: SessionMotion) -> Measured:
    """Return how long a button is held, the middle time of all."""
    sessions = motion.recorded
    owner = np.repeat(np.arange(len(sessions)), sessions.n_events)
    press = np.flatnonzero(sessions.kind == Kind.DOWN)
    releases = np.flatnonzero(sessions.kind == Kind.UP)
    place = np.searchsorted(releases, press)
    press, place = press[place < len(releases)], place[place < len(releases)]
    release = releases[place]
    is_one = owner[press] == owner[release]
    of_session = Grouping(owner[press[is_one]], len(sessions))
    held_ms = (sessions.t_us[release] - sessions.t_us[press])[is_one] / 1000
    return measured(of_session.median(held_ms), of_session.count())


def _clicks(sessions: Sessions) -> tuple[Int64[np.ndarray, " clicks"], Grouping]:
    """Return the events that are clicks: presses, or what is called a click if nothing is.

    Touches need no approach: a session with touches has no clicks here.
    """
    owner = np.repeat(np.arange(len(sessions)), sessions.n_events)

    def has(kind: Kind) -> Bool[np.ndarray, " sessions"]:
        return np.bincount(owner[sessions.kind == kind], minlength=len(sessions)) > 0

    is_click = np.where(
        has(Kind.DOWN)[owner], sessions.kind == Kind.DOWN, sessions.kind == Kind.CLICK
    )
    click = np.flatnonzero(is_click & ~has(Kind.TOUCH)[owner])
    return click, Grouping(owner[click], len(sessions))


LONG_STEP_PX = 4.0  # a shorter step's direction is that of the pixels
JUMP_PX = 150.0
JUMP_PX_S = 3000.0  # what a hand covers between two events of a slow recorder is no jump
JUMP_TIMES = 5.0  # as long as the segments before and after it


def stray_share(motion: SessionMotion) -> Measured:
    """Return how far movements stray from the line between their ends."""
    groups, step_px = motion.movement, motion.step_px[motion.chosen]
    chord = groups.sum(step_px.real) + 1j * groups.sum(step_px.imag)
    length_px = np.maximum(np.abs(chord), 1.0)
    way = np.cumsum(step_px)
    n_before = np.cumsum(groups.count()) - groups.count()
    from_first = way - np.append(0, way)[n_before][groups.of]
    stray_px = np.abs(np.imag(np.conj(chord / length_px)[groups.of] * from_first))
    of_movement = groups.max(stray_px) / length_px
    return measured(motion.movements_of.median(of_movement), motion.movements_of.count())


def turn_mean_rad(motion: SessionMotion) -> Measured:
    """Return how far the path turns from one step to the next."""
    step_px = motion.step_px[motion.chosen]
    is_long = motion.moving_px >= LONG_STEP_PX
    chosen = motion.movement.neighbours() & is_long[1:] & is_long[:-1]
    direction = direction_rad(step_px.real, step_px.imag)
    size_rad = np.abs(turn_rad(direction[1:][chosen], direction[:-1][chosen]))
    of_session = Grouping(motion.moving_of.of[1:][chosen], len(motion))
    return measured(of_session.mean(size_rad), of_session.count())


def roughness(motion: SessionMotion) -> Measured:
    """Return how much steps change in an uneven way, as a share of their length.

    The second difference of steps is none where a path turns and speeds up evenly.
    """
    step_px, length_px = motion.step_px[motion.chosen], motion.moving_px
    inside = motion.movement.neighbours()
    is_long = length_px >= LONG_STEP_PX
    chosen = inside[1:] & inside[:-1] & is_long[2:] & is_long[1:-1] & is_long[:-2]
    uneven_px = np.abs(np.diff(step_px, 2)[chosen])
    around_px = (length_px[2:] + length_px[1:-1] + length_px[:-2])[chosen]
    of_session = Grouping(motion.moving_of.of[1:-1][chosen], len(motion))
    return measured(ratio(of_session.sum(uneven_px), of_session.sum(around_px)), of_session.count())


def axis_share(motion: SessionMotion) -> Measured:
    """Return how many steps lead exactly along x or y."""
    step_px = motion.step_px[motion.chosen]
    is_long = motion.moving_px >= LONG_STEP_PX
    of_session = motion.moving_of.where(is_long)
    is_along = (step_px.real == 0) | (step_px.imag == 0)
    return measured(of_session.mean(is_along[is_long]), of_session.count())


def equal_step_share(motion: SessionMotion) -> Measured:
    """Return how many steps are the very step before."""
    step_px = motion.step_px[motion.chosen]
    is_long = (motion.moving_px >= LONG_STEP_PX)[1:] & motion.movement.neighbours()
    of_session = Grouping(motion.moving_of.of[1:], len(motion)).where(is_long)
    return measured(of_session.mean((np.diff(step_px) == 0)[is_long]), of_session.count())


def jump_share(motion: SessionMotion) -> Measured:
    """Return how much of the path is covered in single steps that nothing leads up to."""
    length_px = motion.length_px
    leads_px = np.where(motion.elapsed_s <= REST_S, length_px, 0)
    inside = motion.of_session.neighbours()
    before_px = np.append(0, np.where(inside, leads_px[:-1], 0))[: len(length_px)]
    after_px = np.append(np.where(inside, leads_px[1:], 0), 0)[: len(length_px)]
    of_session = motion.of_session
    usual_s = np.minimum(motion.intervals.median_ms / 1000, REST_S)
    is_jump = length_px >= np.maximum(JUMP_PX, JUMP_PX_S * usual_s)[of_session.of]
    is_jump &= length_px >= JUMP_TIMES * np.maximum(before_px, after_px)
    jumped_px = of_session.sum(is_jump * length_px)
    return measured(ratio(jumped_px, of_session.sum(length_px)), of_session.count())


PROFILE_BINS = 12
PEAK_SHARE = 0.1  # of the movement's highest speed: a lower peak is noise of the pixels


def speed_px_s(motion: SessionMotion) -> Measured:
    """Return how fast the pointer commonly moves."""
    return measured(motion.moving_of.median(motion.speed_px_s), motion.movements_of.count())


def movement_s(motion: SessionMotion) -> Measured:
    """Return how long a movement takes, the middle one of all."""
    of_movement = motion.movement.sum(motion.moving_s)
    return measured(motion.movements_of.median(of_movement), motion.movements_of.count())


def speed_variation(motion: SessionMotion) -> Measured:
    """Return how unequal the speeds within a movement are."""
    groups, speed = motion.movement, motion.speed_px_s
    of_movement = ratio(groups.std(speed), groups.mean(speed))
    return measured(motion.movements_of.median(of_movement), motion.movements_of.count())


def start_share(motion: SessionMotion) -> Measured:
    """Return how fast movements begin, as a share of their highest speed."""
    first = np.flatnonzero(np.diff(motion.movement.of, prepend=-1))
    of_movement = ratio(motion.speed_px_s[first], motion.peak_px_s)
    return measured(motion.movements_of.median(of_movement), motion.movements_of.count())


def speed_peaks_per_s(motion: SessionMotion) -> Measured:
    """Return how often the speed goes up and down again."""
    groups, speed = motion.movement, motion.speed_px_s
    inside, rises = groups.neighbours(), np.diff(speed) > 0
    is_peak = np.zeros(len(speed), bool)
    is_peak[1:-1] = (rises[:-1] & ~rises[1:] & inside[:-1] & inside[1:])[: max(len(speed) - 2, 0)]
    is_peak &= speed > PEAK_SHARE * motion.peak_px_s[groups.of]
    moving_s = motion.moving_of.sum(motion.moving_s)
    per_s = ratio(motion.moving_of.sum(is_peak), moving_s)
    return measured(per_s, motion.movements_of.count())


def acceleration_px_s2(motion: SessionMotion) -> Measured:
    """Return the highest change of speed of a movement, in the middle movement of all."""
    groups, elapsed_s = motion.movement, motion.moving_s
    inside = groups.neighbours()
    change = np.abs(np.diff(motion.speed_px_s)) / ((elapsed_s[1:] + elapsed_s[:-1]) / 2)
    of_movement = Grouping(groups.of[1:], groups.n).where(inside).max(change[inside])
    return measured(motion.movements_of.median(of_movement), motion.movements_of.count())


def profile_likeness(motion: SessionMotion) -> Measured:
    """Return how alike the movements' courses of speed are: mean correlation of any two.

    A course is the way covered in each twelfth of the movement's time.
    """
    groups, elapsed_s = motion.movement, motion.moving_s
    ended_s = np.append(0, np.cumsum(elapsed_s))
    covered_px = np.append(0, np.cumsum(motion.moving_px))
    last = np.cumsum(groups.count())
    first = last - groups.count()
    shares = np.linspace(0, 1, PROFILE_BINS + 1)
    at_s = ended_s[first][:, None] + (ended_s[last] - ended_s[first])[:, None] * shares
    course = np.diff(np.interp(at_s.ravel(), ended_s, covered_px).reshape(at_s.shape), axis=1)
    course = course - course.mean(axis=1, keepdims=True)
    course /= np.maximum(np.linalg.norm(course, axis=1, keepdims=True), 1e-9)
    of_session = motion.movements_of
    n = of_session.count().astype(np.float64)
    square = np.sum([of_session.sum(column) ** 2 for column in course.T], axis=0)
    own = of_session.sum((course**2).sum(axis=1))  # 1 each; 0 at constant speed
    return measured(ratio(square - own, n * (n - 1)), n)


def nonstop_s(motion: SessionMotion) -> Measured:
    """Return how long the pointer moves between one rest and the next."""
    of_session = motion.of_session
    moving_s = of_session.sum(motion.elapsed_s * ~motion.is_rest)
    n_rests = of_session.sum(motion.is_rest)
    return measured(moving_s / (n_rests + 1), of_session.count())


def modal_interval_share(motion: SessionMotion) -> Measured:
    """Return how many intervals between events have the commonest length, in whole ms."""
    intervals = motion.intervals
    commonest = intervals.count.max(axis=1).astype(np.float64)
    return measured(ratio(commonest, intervals.n.astype(np.float64)), intervals.n)


@dataclass(frozen=True)
class Measure:
    """A measure. `scale` says how its distance from usual is counted: in octaves, or as it is."""

    name: str
    measure: Callable[[SessionMotion], Measured]
    unit: str  # empty: a share or a ratio
    scale: Literal["log", "linear"]
    fewest: int  # items: from fewer nothing is said
    of_recorder: bool  # a recorder of another rate shows another value
    summary: str
    words: str = ""  # of a habit, for an analyst


_ALL = (
    Measure(
        "stray_share", stray_share, "", "log", 3, False,
        "farthest distance from the line between a movement's ends / that line's length; median",
    ),
    Measure(
        "speed_variation", speed_variation, "", "log", 3, True,
        "standard deviation of the speeds within a movement / their mean; median of movements",
        "unevenness of speed within a movement",
    ),
    Measure(
        "start_share", start_share, "", "linear", 3, True,
        "speed of a movement's first step / its highest speed; median of movements",
        "speed a movement begins with, as a share of its highest",
    ),
    Measure(
        "speed_peaks_per_s", speed_peaks_per_s, "1/s", "log", 3, True,
        "local maxima of speed a second of movement",
        "ups and downs of speed",
    ),
    Measure(
        "turn_mean_rad", turn_mean_rad, "rad", "log", 30, True,
        "mean turn from one step of 4 px or more to the next",
    ),
    Measure(
        "roughness", roughness, "", "log", 30, True,
        "uneven change of three steps in a row / their length",
        "shaking",
    ),
    Measure(
        "profile_likeness", profile_likeness, "", "linear", 6, False,
        "mean correlation of two movements' courses of speed",
    ),
    Measure(
        "acceleration_px_s2", acceleration_px_s2, "px/s2", "log", 3, True,
        "highest change of speed within a movement; median of movements",
    ),
    Measure(
        "jump_share", jump_share, "", "linear", 8, False,
        "share of the path in steps of 150 px or more, 5 times as long as those around them",
    ),
    Measure(
        "axis_share", axis_share, "", "linear", 30, False,
        "share of the steps of 4 px or more exactly along x or y",
    ),
    Measure(
        "equal_step_share", equal_step_share, "", "linear", 30, True,
        "share of the steps of 4 px or more that equal the one before",
    ),
    Measure(
        "nonstop_s", nonstop_s, "s", "log", 30, False,
        "time in motion / stretches between rests of 120 ms or more",
    ),
    Measure(
        "modal_interval_share", modal_interval_share, "", "linear", 30, False,
        "share of the commonest interval between events, in whole ms",
    ),
    Measure(
        "click_variation", click_variation, "", "log", 5, False,
        "standard deviation of the times between clicks / their mean",
    ),
    Measure(
        "far_click_share", far_click_share, "", "linear", 4, False,
        "share of the clicks more than 50 px from the event before",
    ),
)  # fmt: skip

_HABITS_ALONE = (
    Measure(
        "speed_px_s", speed_px_s, "px/s", "log", 3, True,
        "median speed in movements", "typical speed",
    ),
    Measure(
        "movement_s", movement_s, "s", "log", 3, True,
        "duration of a movement; median", "duration of a movement",
    ),
    Measure(
        "hold_ms", hold_ms, "ms", "log", 5, False,
        "time from a button's press to its release; median", "how long a button is held",
    ),
)  # fmt: skip

MEASURES: Final[dict[str, Measure]] = {measure.name: measure for measure in _ALL}
"""What is compared with all people."""

_HABITS = ("speed_variation", "start_share", "speed_peaks_per_s", "roughness")
ACCOUNT_MEASURES: Final[dict[str, Measure]] = {
    **{measure.name: measure for measure in _HABITS_ALONE},
    **{name: MEASURES[name] for name in _HABITS},
}
"""What is compared with the account's own sessions: what people differ in, and their tasks less."""


def measure_sessions(
    sessions: Sessions, measures: Mapping[str, Measure] = MEASURES
) -> tuple[dict[str, Float64[np.ndarray, " sessions"]], Float64[np.ndarray, " sessions"]]:
    """Return each measure of each session, NaN from too few items; and their median interval."""
    motion = measure_motion(sessions)
    values = {}
    for measure in measures.values():
        found = measure.measure(motion)
        values[measure.name] = np.where(found.n_items >= measure.fewest, found.value, np.nan)
    interval_ms = motion.intervals.median_ms.astype(np.float64)
    return values, np.where(motion.intervals.n > 0, interval_ms, np.nan)
