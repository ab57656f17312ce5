"""The table of panels: what a print shows, on which axes, in which words. (No JAX here.)

A panel is a small image of how often two quantities of a motion occur together. To add one, add an
entry to `PANELS` with a function that picks its two quantities from a `Motion`: pictures, reports
and training take it from there.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from pipeline.errors import ConfigError, did_you_mean

Values = Any  # a NumPy or a JAX array
Scale = Literal["log", "log1p", "signed log", "signed root", "category"]


@dataclass(frozen=True)
class Axis:
    """Where the values of a quantity lie along one side of a panel, 0 to 1.

    `log` begins at `low`; smaller values lie at 0. `log1p` begins at 0 and is linear up to about
    `low`. `signed log` and `signed root` have 0 in the middle, -`high` at 0 and `high` at 1.
    `category` gives whole numbers from `low` to `high` equal shares. What lies beyond is drawn at
    the edge.
    """

    words: str
    unit: str
    scale: Scale
    low: float
    high: float
    ticks: tuple[tuple[float | int, str], ...]  # values, and how they are written

    def position(self, value: Values) -> Values:
        """Return where values lie, 0 to 1."""
        xp = value.__array_namespace__()
        if self.scale == "log":
            at = xp.log(xp.maximum(value, self.low) / self.low) / math.log(self.high / self.low)
        elif self.scale == "log1p":
            at = xp.log1p(xp.maximum(value, 0) / self.low) / math.log1p(self.high / self.low)
        elif self.scale == "signed log":
            size = xp.log1p(abs(value) / self.low) / math.log1p(self.high / self.low)
            at = 0.5 + 0.5 * xp.sign(value) * size
        elif self.scale == "signed root":
            # The square root's slope at 0 is infinite; a differentiable print needs a finite one.
            size = xp.sqrt(xp.maximum(abs(value) / self.high, 1e-12))
            at = 0.5 + 0.5 * xp.sign(value) * size
        else:
            at = (value - self.low + 0.5) / (self.high - self.low + 1)
        return xp.clip(at, 0, 1)

    def value(self, position: float) -> float:
        """Return the value that lies at a position: the inverse of `position`."""
        signed = 2 * position - 1
        if self.scale == "log":
            return self.low * (self.high / self.low) ** position
        if self.scale == "log1p":
            return self.low * math.expm1(position * math.log1p(self.high / self.low))
        if self.scale == "signed log":
            size = self.low * math.expm1(abs(signed) * math.log1p(self.high / self.low))
            return math.copysign(size, signed)
        if self.scale == "signed root":
            return math.copysign(signed * signed * self.high, signed)
        return self.low + position * (self.high - self.low + 1) - 0.5


class Motion(NamedTuple):
    """The quantities of a batch of windows, each an array of batch x points.

    Column `i` is about event `i`: the segment that leads to it, and its press where it is one.
    `..._before` is of the moving segment before. `is_...` says where a quantity is known.
    """

    kind: Values
    interval_ms: Values
    dx_px: Values
    dy_px: Values
    step_px: Values
    speed_px_s: Values
    heading_x: Values  # and heading_y: the direction as a step of length 1, 0 where none moves
    heading_y: Values
    turn_rad: Values
    speed_change: Values
    step_before_px: Values
    speed_before_px_s: Values
    turn_before_rad: Values
    speed_change_before: Values
    hold_ms: Values  # from a press to its release
    drag_px: Values  # how far the release is from its press
    since_press_ms: Values  # since the press before this one
    is_segment: Values
    is_moving: Values  # the segment has a length
    is_turning: Values  # and there is a moving segment before it
    is_turning_again: Values  # and another before that
    is_held: Values  # a press whose release is known
    is_next_press: Values  # a press that is not the first


@dataclass(frozen=True)
class Panel:
    """One image of a print: two quantities, their axes, and what it shows in a sentence.

    `pick` returns the values for `x` (to the right), `y` (downwards) and which of them count. Of a
    `polar` panel they are the radius and the direction (a pair: a step of length 1 to the right and
    downwards), and `y` is the axis of the radius too.
    """

    title: str
    words: str
    x: Axis
    y: Axis
    pick: Callable[[Motion], tuple[Values, Values, Values]]
    polar: bool = False

    def positions(self, motion: Motion) -> tuple[Values, Values, Values]:
        """Return where each event lies, to the right and downwards (0 to 1), and which count."""
        x, y, counted = self.pick(motion)
        if not self.polar:
            return self.x.position(x), self.y.position(y), counted
        radius, (right, down) = self.x.position(x) / 2, y
        return 0.5 + radius * right, 0.5 + radius * down, counted


_SPEED = Axis(
    "speed", "px/s", "log1p", 60.0, 7000.0,
    ((0, "0"), (100, "100"), (500, "500"), (2000, "2,000"), (7000, "7,000")),
)  # fmt: skip
_STEP = Axis(
    "step length", "px", "log1p", 1.0, 150.0,
    ((0, "0"), (3, "3"), (12, "12"), (40, "40"), (150, "150")),
)  # fmt: skip
_TURN = Axis(
    "turn", "degrees", "signed root", 0.0, 180.0,
    ((-180, "-180"), (-45, "-45"), (0, "0"), (45, "45"), (180, "180")),
)  # fmt: skip
_CHANGE = Axis(
    "change of speed", "times", "log", 1 / 9, 9.0,
    ((1 / 9, "1/9"), (1 / 3, "1/3"), (1, "1"), (3, "3"), (9, "9")),
)  # fmt: skip
_INTERVAL = Axis(
    "interval", "ms", "log", 60.0, 6000.0,
    ((60, "60 and less"), (300, "300"), (1500, "1,500"), (6000, "6,000")),
)  # fmt: skip

_HELD = Axis(
    "held for", "ms", "log", 20.0, 1500.0,
    ((20, "20"), (100, "100"), (400, "400"), (1500, "1,500")),
)  # fmt: skip
_DRAGGED = Axis(
    "dragged by", "px", "log1p", 1.0, 400.0, ((0, "0"), (5, "5"), (40, "40"), (400, "400"))
)
_REST = Axis(
    "rest before the press", "ms", "log", 20.0, 3000.0,
    ((20, "20"), (100, "100"), (600, "600"), (3000, "3,000")),
)  # fmt: skip
_SINCE_PRESS = Axis(
    "since the press before", "ms", "log", 100.0, 8000.0,
    ((100, "100"), (400, "400"), (2000, "2,000"), (8000, "8,000")),
)  # fmt: skip
_KINDS = ("move", "down", "up", "drag", "scroll", "click", "touch")
_KIND = Axis("event", "", "category", 0.0, 6.0, tuple(enumerate(_KINDS)))


def _side(words: str) -> Axis:
    """Return the axis of one component of a step."""
    ticks = ((-150, "-150"), (-12, "-12"), (0, "0"), (12, "12"), (150, "150"))
    return Axis(words, "px", "signed log", 1.0, 150.0, ticks)


def _earlier(axis: Axis) -> Axis:
    """Return the same axis for the moving segment before."""
    return Axis(f"{axis.words} before", axis.unit, axis.scale, axis.low, axis.high, axis.ticks)


def _degrees(radians: Values) -> Values:
    return radians * (180 / math.pi)


DIRECTIONS: Final = (
    *("right", "lower right", "down", "lower left"),
    *("left", "upper left", "up", "upper right"),
)  # eighths of a turn, clockwise, as angles are on a screen


def two_digits(value: float) -> str:
    """Return a number with two digits that count, without an exponent."""
    return "0" if abs(value) < 0.01 else f"{float(f'{value:.2g}'):,g}"


PANELS: Final[Mapping[str, Panel]] = {
    "hodograph": Panel(
        "Velocity",
        "how fast, and in which direction",
        _SPEED,
        _SPEED,
        lambda m: (m.speed_px_s, (m.heading_x, m.heading_y), m.is_moving),
        polar=True,
    ),
    "step": Panel(
        "Steps",
        "how far from one event to the next, sideways and up or down",
        _side("step to the right"),
        _side("step downwards"),
        lambda m: (m.dx_px, m.dy_px, m.is_moving),
    ),
    "speed_turn": Panel(
        "Speed and turn",
        "how sharply the path turns at which speed",
        _SPEED,
        _TURN,
        lambda m: (m.speed_px_s, _degrees(m.turn_rad), m.is_turning),
    ),
    "speed_change": Panel(
        "Speed and its change",
        "how much faster or slower from one segment to the next, at which speed",
        _SPEED,
        _CHANGE,
        lambda m: (m.speed_px_s, m.speed_change, m.is_turning),
    ),
    "speed_return": Panel(
        "Speed, and before",
        "each speed against the one before",
        _SPEED,
        _earlier(_SPEED),
        lambda m: (m.speed_px_s, m.speed_before_px_s, m.is_turning),
    ),
    "step_return": Panel(
        "Step length, and before",
        "each step's length against the one before",
        _STEP,
        _earlier(_STEP),
        lambda m: (m.step_px, m.step_before_px, m.is_turning),
    ),
    "change_return": Panel(
        "Change of speed, and before",
        "each change of speed against the one before",
        _CHANGE,
        _earlier(_CHANGE),
        lambda m: (m.speed_change, m.speed_change_before, m.is_turning_again),
    ),
    "turn_return": Panel(
        "Turn, and before",
        "each turn against the one before",
        _TURN,
        _earlier(_TURN),
        lambda m: (_degrees(m.turn_rad), _degrees(m.turn_before_rad), m.is_turning_again),
    ),
    "interval_speed": Panel(
        "Rest and speed",
        "how long between two events, and how fast the pointer moved meanwhile",
        _INTERVAL,
        _SPEED,
        lambda m: (m.interval_ms, m.speed_px_s, m.is_segment),
    ),
    "hold_drag": Panel(
        "Button held",
        "how long a button is held, and how far it is dragged",
        _HELD,
        _DRAGGED,
        lambda m: (m.hold_ms, m.drag_px, m.is_held),
    ),
    "press_rhythm": Panel(
        "Presses",
        "how long the pointer rests before a press, and how long since the press before",
        _REST,
        _SINCE_PRESS,
        lambda m: (m.interval_ms, m.since_press_ms, m.is_next_press),
    ),
    "kind_interval": Panel(
        "Kinds of events",
        "moves, presses, drags and scrolls, and how long before each",
        _KIND,
        _INTERVAL,
        lambda m: (m.kind, m.interval_ms, m.is_segment),
    ),
}  # fmt: skip
"""By name, in the order in which they are drawn, stored and shown."""


def find_panels(names: tuple[str, ...]) -> tuple[Panel, ...]:
    """Return panels by their names, or raise `ConfigError` with the nearest name."""
    unknown = [name for name in names if name not in PANELS]
    if unknown or not names or len(set(names)) < len(names):
        near = did_you_mean(unknown[0], list(PANELS), 1) if unknown else []
        raise ConfigError(
            "panels",
            f"unknown panel {unknown[0]!r}" if unknown else f"{names}: none, or one named twice",
            f"use {near[0] if near else 'each at most once of ' + ', '.join(PANELS)}",
        )
    return tuple(PANELS[name] for name in names)
