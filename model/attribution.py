"""What raised a session's score: the weight of each cell of its print, and of each event.

Weights of cells are integrated gradients (Sundararajan, Taly and Yan 2017, "Axiomatic attribution
for deep networks", arXiv:1703.01365) of the logit along the straight line from the print of the
people trained on (owner task: of the account itself) to the window's own. They add up to the
difference of the two logits. An event weighs what the logit would change, to first order, if it
counted for nothing. docs/benchmarks.md measures whether deleting what weighs most lowers a score.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float32, Float64, Int64

from model.batches import map_windows
from model.config import PanelsConfig
from model.owner.population import Population, Posterior
from model.prints import session_prints, task_windows
from model.run import TrainedModel
from pipeline.sessions.resample import Resampled
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import Windows
from rasterize.draw import density, draw_counts
from rasterize.motion import Paths

STEPS: Final = 8
"""Points on the line at which gradients are taken; of the owner's ratio one would do."""


class Attribution(NamedTuple):
    """By how much cells and events raised the logit of each session; below 0: lowered it."""

    cells: Float32[np.ndarray, "sessions cells cells panels"]
    events: Float32[np.ndarray, " events"]  # as recorded


def attribute(model: TrainedModel, sessions: Sessions) -> Attribution:
    """Return what raised the logit of each session; without a score everything weighs 0."""
    standard, _, cells, weight = attribute_seen(model, sessions)
    return Attribution(cells, _onto_recorded(weight, standard, sessions))


def attribute_seen(
    model: TrainedModel, sessions: Sessions
) -> tuple[
    Resampled,
    Windows,
    Float32[np.ndarray, "sessions cells cells panels"],
    Float64[np.ndarray, " seen"],
]:
    """Return sessions and windows as the model sees them, and what cells and seen events weigh."""
    config = model.config
    standard, windows = task_windows(config, sessions)
    cells = np.zeros((len(sessions), *config.task_panels.shape), np.float32)
    weight = np.zeros(len(standard.event))
    explain = _of_owner(model, sessions) if model.profiles is not None else _of_fraud(model)
    n_windows = np.bincount(windows.session, minlength=len(sessions))
    n_points = config.task_window.max_events

    def compute(paths: Paths, chosen: Int64[np.ndarray, " batch"]) -> tuple[Array, Array]:
        return explain(paths, windows.session[chosen])

    for chosen, (of_cells, of_events) in map_windows(compute, standard.sessions, windows, n_points):
        session = windows.session[chosen]
        share = (1 / n_windows[session]).astype(np.float32)
        np.add.at(cells, session, of_cells * share[:, None, None, None])
        length = np.minimum(windows.stop[chosen] - windows.start[chosen], n_points)
        for row, begin, n, part in zip(
            of_events, windows.start[chosen], length, share, strict=True
        ):
            weight[begin : begin + n] = row[:n] * part
    return standard, windows, cells, weight


def _of_fraud(model: TrainedModel):
    """Return what explains windows of the fraud task."""
    graph, params = nnx.split(model.fraud_network)
    shape = model.config.task_panels.shape
    people = np.zeros(shape, np.float32) if model.people is None else model.people.mean_images[0]
    return lambda paths, _: _network_weights(graph, params, paths, people)


def _of_owner(model: TrainedModel, sessions: Sessions):
    """Return what explains windows of the owner task, each by the gradient of its session."""
    config, profiles = model.config, model.owner_profiles
    shape = config.task_panels.shape
    prints = session_prints(config, sessions)
    own, n_windows = prints.mean_images, prints.n_windows
    reference, gradient = np.zeros((2, len(sessions), *shape), np.float32)
    places = profiles.of_account(config.owner.min_confidence)
    for i, account in enumerate(sessions.account_id):
        found = profiles.print_of(account, shape) if places.get(account) else None
        if found is not None and n_windows[i]:
            reference[i] = found.mean_images[0]
            ends = profiles.population.embed(np.stack([reference[i], own[i]]))
            slope = _ratio_slope(
                profiles.population, places[account], ends.mean(axis=0), int(n_windows[i])
            )
            gradient[i] = -(slope @ profiles.population.axes).reshape(shape)  # of "not the owner"
    panels = config.task_panels
    return lambda paths, of: _linear_weights(panels, paths, reference[of], gradient[of])


def _ratio_slope(
    population: Population,
    places: list[Posterior],
    at: Float32[np.ndarray, " dimensions"],
    n_windows: int,
) -> Float32[np.ndarray, " dimensions"]:
    """Return the gradient of the log ratio along the axes, by the profile that fits best.

    The ratio is quadratic, so the gradient halfway is the mean along the whole line.
    """
    noise = population.between_sessions + population.between_windows / n_windows

    def distance(place: Posterior) -> float:
        return float(((at - place.mean) ** 2 / (place.variance + noise)).sum())

    best = min(places, key=distance)
    slope = at / (population.between_people + noise) - (at - best.mean) / (best.variance + noise)
    return slope.astype(np.float32)


@partial(jax.jit, static_argnums=0)
def _network_weights(
    graph: nnx.GraphDef,
    params: nnx.State,
    paths: Paths,
    reference: Float[Array, "cells cells panels"],
) -> tuple[Float[Array, "batch cells cells panels"], Float[Array, "batch points"]]:
    """Return the integrated gradients of the network's logits, by cells and by events."""
    network = nnx.merge(graph, params)
    images, to_events = _drawn(paths, network.panels)
    shares = (jnp.arange(STEPS) + 0.5) / STEPS
    line = reference + shares[:, None, None, None, None] * (images - reference)
    slopes = jax.grad(lambda images: network(images).sum())(line.reshape(-1, *reference.shape))
    slope = slopes.reshape(line.shape).mean(axis=0)
    return (images - reference) * slope, to_events(slope)[0]


@partial(jax.jit, static_argnums=0)
def _linear_weights(
    panels: PanelsConfig,
    paths: Paths,
    reference: Float[Array, "batch cells cells panels"],
    slope: Float[Array, "batch cells cells panels"],
) -> tuple[Float[Array, "batch cells cells panels"], Float[Array, "batch points"]]:
    """Return the weights where the slope is known, by cells and by events."""
    images, to_events = _drawn(paths, panels)
    return (images - reference) * slope, to_events(slope)[0]


def _drawn(
    paths: Paths, panels: PanelsConfig
) -> tuple[
    Float[Array, "batch cells cells panels"],
    Callable[[Float[Array, "batch cells cells panels"]], tuple[Float[Array, "batch points"]]],
]:
    """Return the print of each window, and what takes a slope by its cells to one by its events."""
    return jax.vjp(
        lambda weight: density(draw_counts(paths, panels.panels, panels.cells, weight)),
        jnp.ones(paths.t_ms.shape, jnp.float32),
    )


def _onto_recorded(
    seen: Float64[np.ndarray, " seen"], standard: Resampled, sessions: Sessions
) -> Float32[np.ndarray, " events"]:
    """Give events that the plain recorder left out an equal share of the next one's weight."""
    owner = np.repeat(np.arange(len(sessions)), sessions.n_events)
    next_seen = np.searchsorted(standard.event, np.arange(len(owner)))
    is_led_up = next_seen < len(standard.event)
    next_seen = np.minimum(next_seen, max(len(standard.event) - 1, 0))
    is_led_up &= owner[standard.event[next_seen]] == owner
    n_sharing = np.bincount(next_seen[is_led_up], minlength=len(seen))
    return np.where(is_led_up, (seen / np.maximum(n_sharing, 1))[next_seen], 0).astype(np.float32)
