"""When a challenger takes the champion's place."""

from dataclasses import dataclass
from typing import Literal

from pipeline.errors import ConfigError

Promote = Literal["if better", "never", "always"]
"""Whether a challenger takes the champion's place."""


@dataclass(frozen=True)
class PromotionConfig:
    """What a clear gain is."""

    min_gain: float = 0.0  # of ROC AUC: the interval of the difference must lie above it
    level: float = 0.95  # of that interval
    min_each: int = 30  # legitimate sessions, and frauds, to compare on, at least
    max_false_alarms: float = 2.0  # times the budget: more, and surely more, is refused
    max_abstained_more: float = 0.05  # share of sessions the challenger may abstain on beyond
    n_resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if not (0.5 <= self.level < 1 and 0 <= self.min_gain < 1):
            raise ConfigError(
                "promote",
                f"level {self.level}, min_gain {self.min_gain}",
                "level 0.5 to below 1, min_gain 0 to below 1",
            )
        if self.min_each < 1 or self.n_resamples < 1 or self.max_false_alarms <= 0:
            raise ConfigError(
                "promote",
                f"min_each {self.min_each}, n_resamples {self.n_resamples}, "
                f"max_false_alarms {self.max_false_alarms}",
                "at least 1 each, max_false_alarms above 0",
            )
