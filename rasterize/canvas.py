"""What is drawn on: how big, at which scale, and which channels. (No JAX here.)"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from pipeline.errors import ConfigError

Channel = Literal[
    "ink", "speed", "direction_x", "direction_y", "press", "pause", "click", "velocity_x",
    "velocity_y",
]  # fmt: skip

CHANNELS: Final[dict[str, str]] = {
    "ink": "how much of the path lies in the cell, 0 to 1",
    "speed": "ink x speed, on a logarithmic scale from slow_px_s to fast_px_s",
    "direction_x": "ink x cosine of the direction of motion, -1 (left) to 1 (right)",
    "direction_y": "ink x sine of the direction of motion, -1 (up) to 1 (down)",
    "press": "ink x share of it drawn with a button held down",
    "pause": "rests of pause_ms and more where they happened, growing with their length",
    "click": "buttons going down, clicks and touches where they happened",
    "velocity_x": "ink x speed x cosine of the direction: speed's scale, with a sign",
    "velocity_y": "ink x speed x sine of the direction",
}

LARGEST_SIZE: Final = 4096


@dataclass(frozen=True)
class Canvas:
    """A square of `size` x `size` cells, `cell_px` screen pixels to a cell."""

    size: int = 64  # cells a side
    cell_px: float = 12.0  # 64 x 12 = 768 px: most movements fit, and speed keeps its meaning
    placement: Literal["centred", "absolute", "box"] = "centred"  # box: scaled to fill, too
    channels: tuple[Channel, ...] = ("ink", "speed", "direction_x", "direction_y", "press", "pause")
    resample_ms: float = 0.0  # 0: as recorded; else the path as a recorder of this period saw it
    slow_px_s: float = 30.0  # and slower: the colour scale's lower end
    fast_px_s: float = 10_000.0  # and faster: its upper end
    pause_ms: float = 100.0  # a rest of this length shows
    n_samples: int = 256  # spots of ink along a path

    def __post_init__(self) -> None:
        """Refuse what can't be drawn."""
        if not 4 <= self.size <= LARGEST_SIZE:
            raise ConfigError("canvas", f"size {self.size}", f"4 to {LARGEST_SIZE} cells")
        if self.cell_px <= 0 or self.resample_ms < 0 or self.n_samples < 2:
            raise ConfigError(
                "canvas",
                f"cell_px {self.cell_px}, resample_ms {self.resample_ms}, "
                f"n_samples {self.n_samples}",
                "cell_px > 0, resample_ms >= 0, n_samples >= 2",
            )
        if not 0 < self.slow_px_s < self.fast_px_s:
            raise ConfigError(
                "canvas",
                f"slow_px_s {self.slow_px_s} and fast_px_s {self.fast_px_s}",
                "0 < slow_px_s < fast_px_s",
            )
        unknown = set(self.channels) - set(get_args(Channel))
        if unknown or not self.channels:
            raise ConfigError(
                "canvas", f"channels {self.channels}", f"one or more of {', '.join(CHANNELS)}"
            )

    def enlarged(self, times: int) -> "Canvas":
        """Return the same view with `times` as many cells a side, for people to look at."""
        return Canvas(
            size=self.size * times,
            cell_px=self.cell_px / times,
            placement=self.placement,
            channels=self.channels,
            resample_ms=self.resample_ms,
            slow_px_s=self.slow_px_s,
            fast_px_s=self.fast_px_s,
            pause_ms=self.pause_ms,
            n_samples=self.n_samples * times,
        )
