"""Motion in, the shape of its movements out: straight, jagged, smooth, along an axis."""

import numpy as np

from pipeline.features.quantities import direction_rad, turn_rad
from pipeline.reasons.measured import Measured, measured
from pipeline.reasons.motion import REST_S, Motion
from pipeline.reductions import Grouping, ratio

LONG_STEP_PX = 4.0  # a shorter step's direction is that of the pixels
JUMP_PX = 150.0
JUMP_PX_S = 3000.0  # what a hand covers between two events of a slow recorder is no jump
JUMP_TIMES = 5.0  # as long as the segments before and after it


def stray_share(motion: Motion) -> Measured:
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


def turn_mean_rad(motion: Motion) -> Measured:
    """Return how far the path turns from one step to the next."""
    step_px = motion.step_px[motion.chosen]
    is_long = motion.moving_px >= LONG_STEP_PX
    chosen = motion.movement.neighbours() & is_long[1:] & is_long[:-1]
    direction = direction_rad(step_px.real, step_px.imag)
    size_rad = np.abs(turn_rad(direction[1:][chosen], direction[:-1][chosen]))
    of_session = Grouping(motion.moving_of.of[1:][chosen], len(motion))
    return measured(of_session.mean(size_rad), of_session.count())


def roughness(motion: Motion) -> Measured:
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


def axis_share(motion: Motion) -> Measured:
    """Return how many steps lead exactly along x or y."""
    step_px = motion.step_px[motion.chosen]
    is_long = motion.moving_px >= LONG_STEP_PX
    of_session = motion.moving_of.where(is_long)
    is_along = (step_px.real == 0) | (step_px.imag == 0)
    return measured(of_session.mean(is_along[is_long]), of_session.count())


def equal_step_share(motion: Motion) -> Measured:
    """Return how many steps are the very step before."""
    step_px = motion.step_px[motion.chosen]
    is_long = (motion.moving_px >= LONG_STEP_PX)[1:] & motion.movement.neighbours()
    of_session = Grouping(motion.moving_of.of[1:], len(motion)).where(is_long)
    return measured(of_session.mean((np.diff(step_px) == 0)[is_long]), of_session.count())


def jump_share(motion: Motion) -> Measured:
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
