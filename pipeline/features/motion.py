"""Measure the motion of sessions, as one plain recorder would have written them.

Each measure is a function from `SessionMotion` to a number for each session; `pipeline.reasons`
compares them with the reference ranges of legitimate sessions.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Complex128, Float64, Int64, Shaped

from pipeline.features.intervals import REST_MS, Intervals, rest_limit_ms
from pipeline.features.movements import find_movements
from pipeline.features.quantities import (
    JUMP_PX,
    direction_rad,
    elapsed_ms,
    speed_px_s,
    turn_rad,
)
from pipeline.schemas import Kind
from pipeline.sessions.jumps import find_jumps
from pipeline.sessions.ragged import Grouping, ratio
from pipeline.sessions.resample import ResampleConfig, resample
from pipeline.sessions.sessions import Sessions

RECORDER = ResampleConfig(longest_rest_ms=0.0)  # one rate, whole pixels; rests as they were
_FEWEST_EVENTS = 6
_SHORTEST_PX = 40.0


@dataclass(frozen=True)
class SessionMotion:
    """The segments of sessions end to end, and which movement each belongs to.

    A movement of fewer than 6 events or 40 px shows too little of a motion and is left out.
    """

    recorded: Sessions
    intervals: Intervals  # as recorded
    session: Int64[np.ndarray, " segments"]
    step_px: Complex128[np.ndarray, " segments"]  # x + iy
    elapsed_s: Float64[np.ndarray, " segments"]
    is_rest: Bool[np.ndarray, " segments"]
    is_away: Bool[np.ndarray, " segments"]  # a jump; a rest, too
    chosen: Int64[np.ndarray, " moving"]  # the segments of movements
    movement: Grouping  # of the chosen
    session_of_movement: Int64[np.ndarray, " movements"]

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self.recorded)

    @cached_property
    def length_px(self) -> Float64[np.ndarray, " segments"]:
        """Return the length of each segment."""
        return np.abs(self.step_px)

    @cached_property
    def of_session(self) -> Grouping:
        """Return the segments grouped by session."""
        return Grouping(self.session, len(self))

    @cached_property
    def movements_of(self) -> Grouping:
        """Return the movements grouped by session."""
        return Grouping(self.session_of_movement, len(self))

    @cached_property
    def moving_of(self) -> Grouping:
        """Return the segments of movements grouped by session."""
        return Grouping(self.session_of_movement[self.movement.of], len(self))

    @cached_property
    def moving_px(self) -> Float64[np.ndarray, " moving"]:
        """Return the length of each segment of a movement."""
        return self.length_px[self.chosen]

    @cached_property
    def moving_s(self) -> Float64[np.ndarray, " moving"]:
        """Return the duration of each segment of a movement."""
        return self.elapsed_s[self.chosen]

    @cached_property
    def speed_px_s(self) -> Float64[np.ndarray, " moving"]:
        """Return the speed of each segment of a movement."""
        return speed_px_s(self.moving_px, 1000 * self.moving_s)

    @cached_property
    def peak_px_s(self) -> Float64[np.ndarray, " movements"]:
        """Return the highest speed of each movement."""
        return self.movement.max(self.speed_px_s)


def measure_motion(sessions: Sessions) -> SessionMotion:
    """Return the motion of `sessions`. A rest ends a movement, and so does a detour."""
    intervals = Intervals.of_sessions(sessions)
    seen = resample(sessions, RECORDER).sessions
    owner = seen.session_of_event
    first = np.flatnonzero(np.diff(owner) == 0)
    session = owner[first]
    position = seen.x_px.astype(np.float64) + 1j * seen.y_px
    interval_s = (seen.t_us[first + 1] - seen.t_us[first]) / 1e6
    is_away = find_jumps(seen)[first + 1]
    is_rest = is_away | (1000 * interval_s > rest_limit_ms(intervals.median_ms)[session])
    step_px = position[first + 1] - position[first]
    chosen, movement, session_of_movement = _movements(seen, first, session, np.abs(step_px))
    return SessionMotion(
        recorded=sessions,
        intervals=intervals,
        session=session,
        step_px=step_px,
        elapsed_s=elapsed_ms(1000 * interval_s) / 1000,
        is_rest=is_rest,
        is_away=is_away,
        chosen=chosen,
        movement=movement,
        session_of_movement=session_of_movement,
    )


def _movements(
    seen: Sessions,
    first: Int64[np.ndarray, " segments"],
    session: Int64[np.ndarray, " segments"],
    length_px: Float64[np.ndarray, " segments"],
) -> tuple[Int64[np.ndarray, " moving"], Grouping, Int64[np.ndarray, " movements"]]:
    """Return the segments of movements, which movement each is of, and whose they are."""
    found = find_movements(seen)
    begin = np.searchsorted(first, found.first)  # segment i starts at event first[i]
    n = found.last - found.first
    covered_px = np.append(0, np.cumsum(length_px))
    is_enough = n >= _FEWEST_EVENTS - 1
    is_enough &= covered_px[begin + n] - covered_px[begin] >= _SHORTEST_PX
    begin, n = begin[is_enough], n[is_enough]
    number = np.repeat(np.arange(len(n)), n)
    chosen = np.arange(len(number)) + np.repeat(begin - (np.cumsum(n) - n), n)
    return chosen, Grouping(number, len(n)), session[begin]


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
    owner = sessions.session_of_event
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
    owner = sessions.session_of_event

    def has(kind: Kind) -> Bool[np.ndarray, " sessions"]:
        return np.bincount(owner[sessions.kind == kind], minlength=len(sessions)) > 0

    is_click = np.where(
        has(Kind.DOWN)[owner], sessions.kind == Kind.DOWN, sessions.kind == Kind.CLICK
    )
    click = np.flatnonzero(is_click & ~has(Kind.TOUCH)[owner])
    return click, Grouping(owner[click], len(sessions))


LONG_STEP_PX = 4.0  # a shorter step's direction is that of the pixels
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
    """Return how much of the path is covered in single steps that nothing leads up to.

    Where the pointer was away meanwhile, no path was covered.
    """
    length_px = np.where(motion.is_away, 0, motion.length_px)
    leads_px = np.where(1000 * motion.elapsed_s <= REST_MS, length_px, 0)
    inside = motion.of_session.neighbours()
    before_px = np.append(0, np.where(inside, leads_px[:-1], 0))[: len(length_px)]
    after_px = np.append(np.where(inside, leads_px[1:], 0), 0)[: len(length_px)]
    of_session = motion.of_session
    median_ms = np.minimum(motion.intervals.median_ms, REST_MS)
    is_long = length_px >= np.maximum(JUMP_PX, JUMP_PX_S * median_ms / 1000)[of_session.of]
    is_long &= length_px >= JUMP_TIMES * np.maximum(before_px, after_px)
    jumped_px = of_session.sum(is_long * length_px)
    return measured(ratio(jumped_px, of_session.sum(length_px)), of_session.count())


PROFILE_BINS = 12
PEAK_SHARE = 0.1  # of the movement's highest speed: a lower peak is noise of the pixels


def typical_speed_px_s(motion: SessionMotion) -> Measured:
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
    return measured(motion.intervals.modal_share(), motion.intervals.n)
