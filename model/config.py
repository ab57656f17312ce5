"""Every setting of a trained run, with defaults that work. (No JAX here.)"""

from dataclasses import dataclass, field
from typing import Literal

from model.policy import PolicyConfig
from pipeline.errors import ConfigError
from pipeline.scores import Pooling
from pipeline.splits import SplitConfig
from pipeline.windows import WindowConfig
from rasterize.canvas import Canvas

Task = Literal["fraud", "owner"]


@dataclass(frozen=True)
class CNNConfig:
    """Sizes of the network: a stem that cuts the image in patches, then stages."""

    patch: int = 4  # cells a side of a patch; the first stage sees size/patch places a side
    widths: tuple[int, ...] = (64, 128)  # channels of each stage; each halves the side
    blocks: int = 1  # residual blocks a stage
    dropout: float = 0.3  # share of pooled features dropped in training

    def __post_init__(self) -> None:
        """Refuse what can't be built."""
        if not 0 <= self.dropout <= 0.5:
            raise ConfigError("cnn", f"dropout {self.dropout}", "0 to 0.5")
        if self.patch < 1 or not self.widths or min(self.widths) < 1 or self.blocks < 1:
            raise ConfigError(
                "cnn",
                f"patch {self.patch}, widths {self.widths}, blocks {self.blocks}",
                "whole numbers above 0, and at least one width",
            )


@dataclass(frozen=True)
class TraceConfig:
    """Sizes of the network's second branch, which sees the path step by step."""

    widths: tuple[int, ...] = (64, 64, 64)  # channels of each convolution; none: no such branch
    kernel: int = 5  # segments


@dataclass(frozen=True)
class AugmentConfig:
    """How far a path is changed before it is drawn, so that no recorder is what is learnt."""

    scale: float = 1.25  # the screen: times or divided by up to this
    slowest_recorder_ms: float = 50.0  # throttled to a period of up to this (rrweb: 50 ms)
    throttled_share: float = 0.5  # of paths
    clock_jitter_ms: float = 2.0  # half-width of the noise on time stamps
    mirror: bool = True  # left and right swapped, in half of the paths

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.scale < 1 or not 0 <= self.throttled_share <= 1 or self.clock_jitter_ms < 0:
            raise ConfigError(
                "augment",
                f"scale {self.scale}, throttled_share {self.throttled_share}, "
                f"clock_jitter_ms {self.clock_jitter_ms}",
                "scale >= 1, 0 <= throttled_share <= 1, clock_jitter_ms >= 0",
            )


@dataclass(frozen=True)
class TrainConfig:
    """How the network is trained."""

    epochs: int = 30  # at most; early stopping commonly ends before
    steps_per_epoch: int = 100
    batch_size: int = 128  # windows a step
    learning_rate: float = 2e-3  # the peak, after warm-up
    warmup_share: float = 0.1  # of all steps
    weight_decay: float = 1e-3
    patience: int = 8  # epochs without a better validation loss before stopping
    windows_per_session: int = 64  # at most, spread evenly: memory, and long sessions
    label_smoothing: float = 0.02

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        sizes = (self.epochs, self.steps_per_epoch, self.batch_size, self.windows_per_session)
        if min(sizes) < 1:
            raise ConfigError(
                "train",
                "epochs, steps_per_epoch, batch_size and windows_per_session are "
                f"{', '.join(map(str, sizes))}",
                "at least 1 each",
            )


@dataclass(frozen=True)
class TwinsConfig:
    """Which bots `train --simulate` adds."""

    bots: tuple[str, ...] = ()  # names of pipeline.simulate; none named: all
    per_session: int = 2  # twins of each legitimate session


@dataclass(frozen=True)
class ScoreConfig:
    """How windows become a session's score."""

    pooling: Pooling = "mean"
    min_events: int = 8  # fewer: abstain


@dataclass(frozen=True)
class RunConfig:
    """All of it; saved as `config.json` with every run."""

    task: Task = "fraud"
    seed: int = 0
    window: WindowConfig = field(default_factory=WindowConfig)
    canvas: Canvas = field(default_factory=Canvas)
    cnn: CNNConfig = field(default_factory=CNNConfig)
    trace: TraceConfig = field(default_factory=TraceConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    twins: TwinsConfig = field(default_factory=TwinsConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)

    def __post_init__(self) -> None:
        """Refuse parts that don't fit together."""
        smallest = self.cnn.patch * 2 ** (len(self.cnn.widths) - 1)
        if self.canvas.size % smallest:
            raise ConfigError(
                "config",
                f"canvas.size {self.canvas.size} can't be halved as often as cnn asks",
                f"a multiple of {smallest} (cnn.patch x 2 for each further stage)",
            )
