"""The networks compared: what each is, as settings of a run."""

from dataclasses import dataclass

from benchmarks.ablation.rows import with_settings
from model.cnn import count_macs
from model.config import RunConfig

ALONE = (
    "trace.widths=()",
    "habits.width=0",
    "owner.habits=False",
    "owner.picture=True",
    "canvas.channels=('ink', 'speed', 'direction_x', 'direction_y')",
)
SIDE_PX = 768  # what a canvas shows, whatever its cells


@dataclass(frozen=True)
class Candidate:
    """One network that looks at pictures."""

    name: str
    cells: int  # a side
    patch: int
    widths: tuple[int, ...]  # none: linear in the picture's cells
    blocks: int = 1

    @property
    def settings(self) -> tuple[str, ...]:
        """Return it as `section.field=value`."""
        return (
            *ALONE,
            f"cnn.widths={self.widths or (8,)}",
            f"cnn.blocks={self.blocks}",
            f"cnn.patch={self.patch}",
            f"canvas.size={self.cells}",
            f"canvas.cell_px={SIDE_PX / self.cells}",
        )

    def config(self, task: str) -> RunConfig:
        """Return it as the settings of a run."""
        return with_settings(RunConfig(task=task), self.settings)

    @property
    def macs(self) -> int:
        """Return its multiply-accumulates for one picture."""
        config = self.config("fraud")
        channels = len(config.canvas.channels)
        if not self.widths:
            return self.cells**2 * channels
        return count_macs(config.cnn, self.cells, channels)


CANDIDATES = (
    Candidate("linear, 32 cells", 32, 32, ()),
    Candidate("one hidden layer of 64, 32 cells", 32, 32, (64,), 0),
    Candidate("no blocks, 32-64, 32 cells", 32, 4, (32, 64), 0),
    Candidate("24-48, 32 cells", 32, 4, (24, 48)),
    Candidate("24-48, 64 cells", 64, 4, (24, 48)),
    Candidate("64-128, patches of 8, 64 cells", 64, 8, (64, 128)),
    Candidate("64-128, 32 cells", 32, 4, (64, 128)),
    Candidate("64-128, 64 cells", 64, 4, (64, 128)),
    Candidate("64-128, two blocks, 64 cells", 64, 4, (64, 128), 2),
    Candidate("64-128, 96 cells", 96, 4, (64, 128)),
    Candidate("32-64-128, patches of 2, 64 cells", 64, 2, (32, 64, 128)),
)
