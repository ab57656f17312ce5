"""Every kind of simulated bot, by name. A new bot is one entry and its function."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Complex128

from pipeline.errors import ConfigError, did_you_mean
from pipeline.simulate import composed, motor, recorded, shapes
from pipeline.simulate.plan import Plan


@dataclass(frozen=True)
class Generator:
    """A way of moving. It draws its parameters once a session, so none of them is a constant."""

    name: str
    generate: Callable[[np.random.Generator, Plan], Complex128[np.ndarray, " points"]]
    craft: Literal["crude", "fair", "careful"]  # how much its author knows of how people move
    summary: str
    source: str


_ALL = (
    Generator(
        "constant_line", shapes.constant_line, "crude", "straight, one speed", "common practice"
    ),
    Generator(
        "eased_line", shapes.eased_line, "crude", "straight, by one to three easings", "Penner 2002"
    ),
    Generator(
        "step_quantised",
        shapes.step_quantised,
        "crude",
        "equal steps at a steady tick; straight or axis by axis",
        "operating systems' automation",
    ),
    Generator("teleport", shapes.teleport, "crude", "stands and jumps", "scripted clicks"),
    Generator("bezier", shapes.bezier, "fair", "eased cubic Bezier, bow or S", "Bezier 1968"),
    Generator(
        "spline_through_waypoints",
        shapes.spline_through_waypoints,
        "fair",
        "eased spline through one to five drawn points",
        "Catmull and Rom 1974",
    ),
    Generator(
        "perlin_noise_line",
        shapes.perlin_noise_line,
        "fair",
        "eased line and coherent noise in octaves",
        "Perlin 2002",
    ),
    Generator(
        "gaussian_random_walk_bridge",
        shapes.gaussian_random_walk_bridge,
        "fair",
        "eased line and a Brownian bridge",
        "Brownian bridge",
    ),
    Generator("windmouse", motor.windmouse, "fair", "gravity and wind", "Land 2005"),
    Generator(
        "lagged_pid",
        motor.lagged_pid,
        "fair",
        "second-order controller after a sliding target",
        "Astrom and Murray 2008",
    ),
    Generator(
        "minimum_jerk",
        motor.minimum_jerk,
        "fair",
        "smoothest reach, slightly bowed",
        "Flash and Hogan 1985",
    ),
    Generator(
        "tremor_minimum_jerk",
        motor.tremor_minimum_jerk,
        "careful",
        "minimum jerk, tremor of 8 to 12 Hz, noise that grows with speed",
        "Harris and Wolpert 1998; Elble and Koller 1990",
    ),
    Generator(
        "spline_overshoot",
        shapes.spline_overshoot,
        "careful",
        "bowed reach past the target, a wait, a correction",
        "Woodworth 1899",
    ),
    Generator(
        "sigma_lognormal",
        motor.sigma_lognormal,
        "careful",
        "one to four overlapping arcs with lognormal speed",
        "Plamondon 1995; O'Reilly and Plamondon 2009",
    ),
    Generator(
        "jittered_replay",
        recorded.jittered_replay,
        "careful",
        "the person's own path with white or smooth jitter",
        "replay attack",
    ),
    Generator(
        "warped_replay",
        recorded.warped_replay,
        "careful",
        "the person's own path, retimed, bent, stretched or mirrored",
        "replay attack",
    ),
    Generator(
        "morphed_moves",
        composed.morphed_moves,
        "careful",
        "other recorded movements of the person, turned and scaled to fit",
        "replay attack",
    ),
    Generator(
        "shuffled_steps",
        recorded.shuffled_steps,
        "careful",
        "the person's own steps in another order",
        "Theiler et al. 1992",
    ),
    Generator(
        "uneven_replay",
        recorded.uneven_replay,
        "careful",
        "the person's own path at a speed that varies from step to step",
        "replay attack",
    ),
    Generator(
        "random_phases",
        recorded.random_phases,
        "careful",
        "the person's own movements with the phases of their velocity drawn anew",
        "Theiler et al. 1992",
    ),
    Generator(
        "composed",
        composed.composed,
        "careful",
        "a drawn shape, a drawn timing and layers of noise, of each session others",
        "the sources of all others",
    ),
)

GENERATORS: Final[dict[str, Generator]] = {generator.name: generator for generator in _ALL}
BOT_NAMES: Final[tuple[str, ...]] = tuple(GENERATORS)


def known_bots(names: Iterable[str]) -> tuple[str, ...]:
    """Return `names`, each once, in the registry's order; refuse one that isn't there."""
    names = set(names)
    choices = f"use some of {', '.join(GENERATORS)}"
    for name in sorted(names - GENERATORS.keys()):
        near = did_you_mean(name, GENERATORS)
        hint = f"did you mean {near[0]}?" if near else choices
        raise ConfigError("simulate", f"unknown bot {name!r}", hint)
    if not names:
        raise ConfigError("simulate", "no bot is named", choices)
    return tuple(name for name in GENERATORS if name in names)
