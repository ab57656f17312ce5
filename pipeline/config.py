"""Settings of what comes before and behind the network, with defaults that work.

Neither NumPy nor pandas is imported here: `--help` shows every setting and need not wait.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from pipeline.errors import ConfigError

AbstainIs = Literal["review", "pass"]
Pooling = Literal["mean", "max", "top_mean", "logmeanexp"]

GroupKind = Literal["person", "generator", "account", "session", "source_file", "time"]


@dataclass(frozen=True)
class ResampleConfig:
    """The plain recorder."""

    period_ms: float = 16.0  # at most one event in each; 0: every event
    grid_px: float = 1.0  # positions are rounded to this; 0: as recorded
    longest_rest_ms: float = 125.0  # a longer time between two events counts as this; 0: as it was
    changes_only: bool = True  # an event in the place of the one before is left out
    buttons: bool = False  # False: every event is a move

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if min(self.period_ms, self.grid_px, self.longest_rest_ms) < 0:
            raise ConfigError("resample", f"{self} has a size below 0", "0 turns a step off")


AS_RECORDED = ResampleConfig(
    period_ms=0.0, grid_px=0.0, longest_rest_ms=0.0, changes_only=False, buttons=True
)
"""Nothing is taken away."""


@dataclass(frozen=True)
class WindowConfig:
    """How a session is cut. docs/decisions/0002-windows.md has the comparison."""

    rule: Literal["moves", "gap", "both"] = "moves"
    max_events: int = 256  # longest window, in events
    gap_ms: int = 1000  # with "gap" and "both": a longer rest ends a window
    min_events: int = 8  # a shorter window is no evidence and is not looked at

    def __post_init__(self) -> None:
        """Refuse sizes that can't be."""
        if not 2 <= self.min_events <= self.max_events:
            raise ConfigError(
                "window",
                f"min_events {self.min_events} and max_events {self.max_events} don't fit",
                "2 <= min_events <= max_events",
            )


@dataclass(frozen=True)
class SplitConfig:
    """How sessions are assigned to train, valid, calib and test."""

    by: tuple[GroupKind, ...] = ("person", "generator")  # what is kept apart
    shares: tuple[float, float, float, float] = (
        0.5,
        0.15,
        0.15,
        0.2,
    )  # of groups
    task: Literal["fraud", "owner"] = "fraud"  # "owner": labels are not needed
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        if min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise ConfigError(
                "split.shares", f"{self.shares} are not shares", "at least 0, together 1"
            )
        if not self.by:
            raise ConfigError("split.by", "empty", f"keep apart {', '.join(get_args(GroupKind))}")
