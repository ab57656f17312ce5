"""Sessions in, how their clicks come about out."""

import numpy as np
from jaxtyping import Bool, Int64

from pipeline.reasons.measured import Measured, measured
from pipeline.reasons.motion import Motion
from pipeline.reductions import Grouping, ratio
from pipeline.schemas import Kind
from pipeline.sessions import Sessions

FAR_PX = 50.0  # a throttled recorder's last move may be some way from the click


def click_variation(motion: Motion) -> Measured:
    """Return how unequal the times between clicks are."""
    sessions = motion.recorded
    click, by_session = _clicks(sessions)
    inside = by_session.neighbours()
    between_s = np.diff(sessions.t_us[click])[inside] / 1e6
    pairs = Grouping(by_session.of[1:], len(sessions)).where(inside)
    return measured(ratio(pairs.std(between_s), pairs.mean(between_s)), pairs.count())


def far_click_share(motion: Motion) -> Measured:
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


def hold_ms(motion: Motion) -> Measured:
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
