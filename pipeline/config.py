"""Settings of what comes before and behind the network, with defaults that work.

Neither NumPy nor pandas is imported here: `--help` shows every setting and need not wait.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from pipeline.errors import ConfigError

Task = Literal["fraud", "owner"]
"""Is a session a script or a known fraud? Is it of the account's owner?"""

AbstainIs = Literal["review", "pass"]
Pooling = Literal["mean", "max", "top_mean", "logmeanexp"]

GroupKind = Literal["person", "generator", "account", "session", "source_file", "recorder", "time"]


@dataclass(frozen=True)
class ResampleConfig:
    """How a session is reduced to what every recorder records.

    Attributes:
        period_ms: At most one event in each period; 0 keeps every event.
        grid_px: Positions are rounded to multiples of this; 0 keeps them as recorded.
        longest_rest_ms: A longer time between two events counts as this, but across a jump
            (`pipeline.features.quantities.is_jump`); 0 keeps it.
        changes_only: Leave out an event in the position of the one before.
        buttons: Keep presses and releases; otherwise every event is a move.
    """

    period_ms: float = 16.0
    grid_px: float = 1.0
    longest_rest_ms: float = 125.0
    changes_only: bool = True
    buttons: bool = False

    def __post_init__(self) -> None:
        """Check that the values are in range."""
        if min(self.period_ms, self.grid_px, self.longest_rest_ms) < 0:
            raise ConfigError("resample", f"{self} has a size below 0", "0 turns a step off")


AS_RECORDED = ResampleConfig(
    period_ms=0.0, grid_px=0.0, longest_rest_ms=0.0, changes_only=False, buttons=True
)
"""Nothing is taken away."""


@dataclass(frozen=True)
class WindowConfig:
    """How a session is cut. docs/decisions/0002-windows.md has the comparison.

    Attributes:
        rule: Which events a window is made of, and what ends it.
        max_events: Longest window, in events.
        gap_ms: With `gap` and `both`: a longer rest ends a window.
        min_events: A shorter window is not scored.
    """

    rule: Literal["moves", "gap", "both"] = "moves"
    max_events: int = 256
    gap_ms: int = 1000
    min_events: int = 8

    def __post_init__(self) -> None:
        """Check that the values are in range."""
        if not 2 <= self.min_events <= self.max_events:
            raise ConfigError(
                "window",
                f"min_events {self.min_events} and max_events {self.max_events} don't fit",
                "2 <= min_events <= max_events",
            )


@dataclass(frozen=True)
class SplitConfig:
    """How sessions are assigned to train, valid, calib and test.

    Attributes:
        by: What is kept within one part.
        shares: Shares of groups, in the order train, valid, calib, test.
        task: `owner` needs no labels.
        seed: Seed of the split; the run's own seed replaces it.
    """

    by: tuple[GroupKind, ...] = ("person", "generator")
    shares: tuple[float, float, float, float] = (0.5, 0.15, 0.15, 0.2)
    task: Task = "fraud"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check that the values are in range."""
        if min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise ConfigError(
                "split.shares", f"{self.shares} are not shares", "at least 0, together 1"
            )
        if not self.by:
            raise ConfigError("split.by", "empty", f"keep apart {', '.join(get_args(GroupKind))}")


@dataclass(frozen=True)
class DriftConfig:
    """Which changes of a day raise an alarm.

    Attributes:
        some_psi: Population stability index from which a change is some.
        strong_psi: Population stability index from which a change is strong.
        some_ks: Kolmogorov-Smirnov distance from which a change is some.
        strong_ks: Kolmogorov-Smirnov distance from which a change is strong.
        chance: Probability that a day like the reference raises any alarm at all.
        min_sessions: A day of fewer sessions is not tested.
        alarm_when_empty: A day without sessions is a strong change.
    """

    some_psi: float = 0.1
    strong_psi: float = 0.25
    some_ks: float = 0.15
    strong_ks: float = 0.3
    chance: float = 0.01
    min_sessions: int = 30
    alarm_when_empty: bool = True

    def __post_init__(self) -> None:
        """Check that the values are in range."""
        if not (0 < self.some_psi <= self.strong_psi and 0 < self.some_ks <= self.strong_ks):
            raise ConfigError(
                "alarm",
                f"psi {self.some_psi} and {self.strong_psi}, ks {self.some_ks} and "
                f"{self.strong_ks}",
                "above 0, and strong at least some",
            )
        if not 0 < self.chance < 1 or self.min_sessions < 2:
            raise ConfigError(
                "alarm",
                f"chance {self.chance}, min_sessions {self.min_sessions}",
                "chance 0 to 1, min_sessions at least 2",
            )


@dataclass(frozen=True)
class AdaptConfig:
    """When the champion's level is set to recorders that it was not set for.

    Attributes:
        days: Sessions of so many days, up to the day of the run, count.
        min_sessions: A recorder of fewer sessions waits.
    """

    days: int = 30
    min_sessions: int = 200

    def __post_init__(self) -> None:
        """Check that the values are in range."""
        if self.days < 1 or self.min_sessions < 50:
            raise ConfigError(
                "adapt",
                f"days {self.days}, min_sessions {self.min_sessions}",
                "at least 1 day and 50 sessions",
            )
