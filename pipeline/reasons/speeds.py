"""Motion in, how its speed runs out: even, jerky, always the same, without a rest."""

import numpy as np

from pipeline.reasons.measured import Measured, measured
from pipeline.reasons.motion import Motion
from pipeline.reductions import Grouping, ratio

PROFILE_BINS = 12
PEAK_SHARE = 0.1  # of the movement's highest speed: a lower peak is noise of the pixels


def speed_px_s(motion: Motion) -> Measured:
    """Return how fast the pointer commonly moves."""
    return measured(motion.moving_of.median(motion.speed_px_s), motion.movements_of.count())


def movement_s(motion: Motion) -> Measured:
    """Return how long a movement takes, the middle one of all."""
    of_movement = motion.movement.sum(motion.moving_s)
    return measured(motion.movements_of.median(of_movement), motion.movements_of.count())


def speed_variation(motion: Motion) -> Measured:
    """Return how unequal the speeds within a movement are."""
    groups, speed = motion.movement, motion.speed_px_s
    of_movement = ratio(groups.std(speed), groups.mean(speed))
    return measured(motion.movements_of.median(of_movement), motion.movements_of.count())


def start_share(motion: Motion) -> Measured:
    """Return how fast movements begin, as a share of their highest speed."""
    first = np.flatnonzero(np.diff(motion.movement.of, prepend=-1))
    of_movement = ratio(motion.speed_px_s[first], motion.peak_px_s)
    return measured(motion.movements_of.median(of_movement), motion.movements_of.count())


def speed_peaks_per_s(motion: Motion) -> Measured:
    """Return how often the speed goes up and down again."""
    groups, speed = motion.movement, motion.speed_px_s
    inside, rises = groups.neighbours(), np.diff(speed) > 0
    is_peak = np.zeros(len(speed), bool)
    is_peak[1:-1] = (rises[:-1] & ~rises[1:] & inside[:-1] & inside[1:])[: max(len(speed) - 2, 0)]
    is_peak &= speed > PEAK_SHARE * motion.peak_px_s[groups.of]
    moving_s = motion.moving_of.sum(motion.moving_s)
    per_s = ratio(motion.moving_of.sum(is_peak), moving_s)
    return measured(per_s, motion.movements_of.count())


def acceleration_px_s2(motion: Motion) -> Measured:
    """Return the highest change of speed of a movement, in the middle movement of all."""
    groups, elapsed_s = motion.movement, motion.moving_s
    inside = groups.neighbours()
    change = np.abs(np.diff(motion.speed_px_s)) / ((elapsed_s[1:] + elapsed_s[:-1]) / 2)
    of_movement = Grouping(groups.of[1:], groups.n).where(inside).max(change[inside])
    return measured(motion.movements_of.median(of_movement), motion.movements_of.count())


def profile_likeness(motion: Motion) -> Measured:
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


def nonstop_s(motion: Motion) -> Measured:
    """Return how long the pointer moves between one rest and the next."""
    of_session = motion.of_session
    moving_s = of_session.sum(motion.elapsed_s * ~motion.is_rest)
    n_rests = of_session.sum(motion.is_rest)
    return measured(moving_s / (n_rests + 1), of_session.count())


def modal_interval_share(motion: Motion) -> Measured:
    """Return how many intervals between events have the commonest length, in whole ms."""
    intervals = motion.intervals
    commonest = intervals.count.max(axis=1).astype(np.float64)
    return measured(ratio(commonest, intervals.n.astype(np.float64)), intervals.n)
