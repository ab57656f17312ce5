"""A model and sessions in, a weight an event out: which parts of a path raised the score.

A stretch weighs as much as the session's logit falls when the stretch is cut out and the path
goes on as if it had not happened: docs/attribution.md.
"""

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64

from model.network import predict, predict_points
from model.owner.population import Evidence, session_means
from model.owner.profiles import compare
from model.run import TrainedModel
from pipeline.sessions import Sessions
from pipeline.standard import Standardised, standardise
from pipeline.windows import Points, WindowConfig, Windows, cut_windows, pad_windows

STRETCHES: Final = 16  # of each window: finer says little, and each costs a look more
FEWEST_SEGMENTS: Final = 4  # of a stretch
_AT_ONCE: Final = 2048  # windows laid out together: bounds the memory


class Cuts(NamedTuple):
    """Cut `i` takes the segments between events `start[i]` and `stop[i]` out of `window[i]`.

    Events are counted from the window's first.
    """

    window: Int64[np.ndarray, " cuts"]
    start: Int64[np.ndarray, " cuts"]
    stop: Int64[np.ndarray, " cuts"]


def attribute(
    model: TrainedModel, sessions: Sessions, stretches: int = STRETCHES
) -> Float32[np.ndarray, " events"]:
    """Return by how much each recorded event raised its session's logit; below 0: lowered it.

    The events of a stretch weigh alike, and together as much as the logit falls without them.
    Events that the model doesn't see, and sessions without a score, weigh 0.
    """
    standard, _, weight = attribute_seen(model, sessions, stretches)
    return _onto_recorded(weight, standard, sessions)


def attribute_seen(
    model: TrainedModel, sessions: Sessions, stretches: int = STRETCHES
) -> tuple[Standardised, Windows, Float64[np.ndarray, " seen"]]:
    """Return sessions as the model sees them, its windows of them, and each seen event's weight."""
    standard, config = as_seen(model, sessions)
    windows = cut_windows(standard.sessions, config)
    weight = np.zeros(len(standard.event))
    if len(windows):
        cuts = cut_each(windows, stretches)
        fall = _falls(model, standard.sessions, windows, cuts, config.max_events)
        n_events = cuts.stop - cuts.start
        event = np.repeat(windows.start[cuts.window] + cuts.start + 1, n_events)
        event += np.arange(len(event)) - np.repeat(np.cumsum(n_events) - n_events, n_events)
        weight[event] = np.repeat(fall / n_events, n_events)
    return standard, windows, weight


def as_seen(model: TrainedModel, sessions: Sessions) -> tuple[Standardised, WindowConfig]:
    """Return sessions as the model's task looks at them, and how it cuts them."""
    config = model.config
    if model.profiles is not None:
        return standardise(sessions, config.owner.standard), config.owner.window
    return standardise(sessions, config.standard), config.window


def cut_each(windows: Windows, stretches: int) -> Cuts:
    """Return cuts that take one stretch after the other out of each window, two at least."""
    n_segments = windows.stop - windows.start - 1
    n = np.clip(n_segments // FEWEST_SEGMENTS, 2, stretches)
    window = np.repeat(np.arange(len(windows)), n)
    place = np.arange(len(window)) - np.repeat(np.cumsum(n) - n, n)
    segments, parts = n_segments[window], n[window]
    return Cuts(window, place * segments // parts, (place + 1) * segments // parts)


def without(points: Points, cuts: Cuts) -> Points:
    """Return windows without a stretch each (row `i` is cut `i`'s): what follows moves up.

    The path goes on from where the stretch began, in place and in time, so that neither a jump
    nor a rest stands in for it.
    """
    n_cut = (cuts.stop - cuts.start)[:, None]
    n_points = (points.n_points - n_cut[:, 0]).astype(np.int32)
    place = np.minimum(np.arange(points.t_ms.shape[1]), n_points[:, None] - 1)
    follows = place > cuts.start[:, None]
    source = place + follows * n_cut
    rows = np.arange(len(points))

    def closed(values: np.ndarray) -> np.ndarray:
        gap = values[rows, cuts.stop] - values[rows, cuts.start]
        return np.take_along_axis(values, source, 1) - follows * gap[:, None]

    return Points(
        t_ms=closed(points.t_ms),
        x_px=closed(points.x_px),
        y_px=closed(points.y_px),
        kind=np.take_along_axis(points.kind, source, 1),
        n_points=n_points,
    )


def _falls(
    model: TrainedModel, sessions: Sessions, windows: Windows, cuts: Cuts, n_points: int
) -> Float64[np.ndarray, " cuts"]:
    """Return how far each cut lets its session's logit fall; 0 where there is none."""
    whole = predict(model.network, sessions, windows, n_points)
    parts = []
    for begin in range(0, len(cuts.window), _AT_ONCE):
        some = Cuts(*(column[begin : begin + _AT_ONCE] for column in cuts))
        points = pad_windows(sessions, windows.take(some.window), n_points)
        parts.append(predict_points(model.network, without(points, some)))
    change = np.concatenate(parts).astype(np.float64) - whole[cuts.window]
    session = windows.session[cuts.window]
    n_windows = np.bincount(windows.session, minlength=len(sessions))
    if model.profiles is None:  # as if windows were averaged, however they are pooled
        return -change[:, 0] / n_windows[session]
    evidence = session_means(whole, windows.session, len(sessions))
    mean = evidence.mean[session] + change / n_windows[session][:, None]
    places = model.profiles.of_account(model.config.owner.min_maturity)
    population = model.profiles.population
    ratio = compare(evidence, sessions.account_id, places, population)[session]
    cut = Evidence(mean, n_windows[session])
    ratio_cut = compare(cut, sessions.account_id[session], places, population)
    return np.nan_to_num(ratio_cut - ratio)  # the logit is that of "not the owner"


def _onto_recorded(
    seen: Float64[np.ndarray, " seen"], standard: Standardised, sessions: Sessions
) -> Float32[np.ndarray, " events"]:
    """Give events that the plain recorder left out an equal share of the next one's weight."""
    owner = np.repeat(np.arange(len(sessions)), sessions.n_events)
    next_seen = np.searchsorted(standard.event, np.arange(len(owner)))
    is_led_up = next_seen < len(standard.event)
    next_seen = np.minimum(next_seen, max(len(standard.event) - 1, 0))
    is_led_up &= owner[standard.event[next_seen]] == owner
    n_sharing = np.bincount(next_seen[is_led_up], minlength=len(seen))
    return np.where(is_led_up, (seen / np.maximum(n_sharing, 1))[next_seen], 0).astype(np.float32)
