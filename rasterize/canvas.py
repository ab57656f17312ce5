"""The canvas that a path is drawn on: its size and scale. (No JAX here.)"""

from dataclasses import dataclass, replace
from typing import Final, Literal

from pipeline.errors import ConfigError

LARGEST_SIZE: Final = 4096


@dataclass(frozen=True)
class Canvas:
    """A square of `size` x `size` cells, `cell_px` screen pixels to a cell.

    Attributes:
        size: Cells a side.
        cell_px: Screen pixels a cell; a fixed scale keeps the meaning of speed.
        placement: Where the path lies; `box` also scales it to fill the canvas.
        slow_px_s: Lower end of the colour scale: this speed and slower.
        fast_px_s: Upper end of the colour scale: this speed and faster.
        pause_ms: A rest of this length is drawn.
        n_samples: Spots of ink along a path.
    """

    size: int = 64
    cell_px: float = 12.0
    placement: Literal["centred", "absolute", "box"] = "centred"
    slow_px_s: float = 30.0
    fast_px_s: float = 10_000.0
    pause_ms: float = 100.0
    n_samples: int = 256

    def __post_init__(self) -> None:
        """Refuse a canvas that nothing can be drawn on."""
        if not 4 <= self.size <= LARGEST_SIZE:
            raise ConfigError("canvas", f"size {self.size}", f"4 to {LARGEST_SIZE} cells")
        if self.cell_px <= 0 or self.n_samples < 2:
            raise ConfigError(
                "canvas",
                f"cell_px {self.cell_px}, n_samples {self.n_samples}",
                "cell_px > 0, n_samples >= 2",
            )
        if not 0 < self.slow_px_s < self.fast_px_s:
            raise ConfigError(
                "canvas",
                f"slow_px_s {self.slow_px_s} and fast_px_s {self.fast_px_s}",
                "0 < slow_px_s < fast_px_s",
            )

    def enlarged(self, times: int) -> "Canvas":
        """Return the same view with `times` as many cells a side, for people to look at."""
        return replace(
            self,
            size=self.size * times,
            cell_px=self.cell_px / times,
            n_samples=self.n_samples * times,
        )
