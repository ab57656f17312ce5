"""Every setting of a trained run, with defaults that work. (No JAX or NumPy here.)"""

from dataclasses import dataclass, field
from typing import Literal

from pipeline.config import (
    AS_RECORDED,
    Pooling,
    ResampleConfig,
    SplitConfig,
    Task,
    WindowConfig,
)
from pipeline.errors import ConfigError
from rasterize.canvas import Canvas
from rasterize.panels import PANELS, Panel, find_panels

Device = Literal["auto", "cpu", "gpu"]


@dataclass(frozen=True)
class PanelsConfig:
    """Which panels a print has, and how fine they are.

    Attributes:
        names: Panels, by their names in `rasterize.panels.PANELS`.
        cells: Cells a side.
    """

    names: tuple[str, ...] = (
        "hodograph", "step", "speed_turn", "speed_change", "speed_return", "step_return",
        "change_return", "turn_return",
    )  # fmt: skip # of rasterize.panels.PANELS
    cells: int = 24

    def __post_init__(self) -> None:
        """Check the panels' names."""
        find_panels(self.names)
        if not 8 <= self.cells <= 128:
            raise ConfigError("panels.cells", f"{self.cells}", "8 to 128")

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Return the panels by their names."""
        return find_panels(self.names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape of a print: rows, columns, panels."""
        return self.cells, self.cells, len(self.names)


@dataclass(frozen=True)
class InputConfig:
    """What a model takes as input: how sessions are resampled, cut into windows and drawn."""

    resample: ResampleConfig
    window: WindowConfig
    panels: PanelsConfig


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the CNN: convolutions that each halve the side, a hidden layer, a logit.

    Attributes:
        widths: Channels of each convolution.
        hidden: Units of the layer after the last convolution.
        dropout: Share of that layer's inputs and outputs dropped in training.
    """

    widths: tuple[int, ...] = (32, 64, 64)
    hidden: int = 128
    dropout: float = 0.3

    def __post_init__(self) -> None:
        """Check that the values are in range."""
        if not 0 <= self.dropout <= 0.5:
            raise ConfigError("network", f"dropout {self.dropout}", "0 to 0.5")
        if not self.widths or min(*self.widths, self.hidden) < 1:
            raise ConfigError(
                "network",
                f"widths {self.widths}, hidden {self.hidden}",
                "one width or more, all above 0",
            )


@dataclass(frozen=True)
class AugmentConfig:
    """How a path is changed in training before it is drawn, so that no recorder is learnt.

    Attributes:
        scale: Screen size: multiplied or divided by up to this.
        speed: Speed: multiplied or divided by up to this.
        turn_deg: Rotation by up to this, either way.
        mirror: Swap left and right in half of the paths.
        stretch: In half of the paths, one axis is multiplied by up to exp(this), or divided.
        gain: In half of the paths, the pointer's gain is a power of speed of up to this, either
            way.
        smoothing: In half of the paths, up to this share of each step comes later.
        put_back_share: Share of paths in which a program keeps putting the pointer back.
        coarse_share: Share of paths whose positions are rounded to a coarser grid.
        coarse_grid_px: The coarsest such grid.
        same_recorder_share: Share of paths that keep their clock and all their events.
        slowest_recorder_ms: Paths are throttled to a period of up to this.
        throttled_share: Share of paths that are throttled.
        slower_copies: Copies of each session that are throttled whole: windows of a slow recorder
            are long.
        clock_jitter_ms: Half-width of the noise on time stamps.
        ticks_ms: Clock ticks that recorders have.
        ticking_share: Share of paths whose time stamps are rounded to such a tick.
        dropped_share: Largest share of events dropped.
        shortest_crop: Smallest share of a window's events that a crop keeps.
        fewest_events: Fewest events that a crop keeps, if the window has them.
    """

    scale: float = 1.5
    speed: float = 2.0
    turn_deg: float = 15.0
    mirror: bool = True
    stretch: float = 0.4
    gain: float = 0.35
    smoothing: float = 0.6
    put_back_share: float = 0.15
    coarse_share: float = 0.25
    coarse_grid_px: float = 3.0
    same_recorder_share: float = 0.3
    slowest_recorder_ms: float = 110.0
    throttled_share: float = 0.5
    slower_copies: int = 1
    clock_jitter_ms: float = 2.0
    ticks_ms: tuple[float, ...] = (1.0, 8.0, 10.0, 15.625, 16.667)
    ticking_share: float = 0.5
    dropped_share: float = 0.3
    shortest_crop: float = 0.08
    fewest_events: int = 12

    def __post_init__(self) -> None:
        """Check that the values are in range."""
        names = ("throttled", "ticking", "dropped", "same_recorder", "put_back", "coarse")
        shares = {f"{name}_share": getattr(self, f"{name}_share") for name in names}
        shares |= {"smoothing": self.smoothing}
        if not all(0 <= share <= 1 for share in shares.values()) or not 0 < self.shortest_crop <= 1:
            raise ConfigError(
                "augment",
                ", ".join(f"{name} {share}" for name, share in shares.items())
                + f", shortest_crop {self.shortest_crop}",
                "0 to 1, and shortest_crop above 0",
            )
        if min(self.stretch, self.gain) < 0 or self.coarse_grid_px <= 0:
            raise ConfigError(
                "augment",
                f"stretch {self.stretch}, gain {self.gain}, coarse_grid_px {self.coarse_grid_px}",
                "stretch and gain 0 or more, coarse_grid_px above 0",
            )
        if min(self.scale, self.speed) < 1 or min(self.clock_jitter_ms, self.slower_copies) < 0:
            raise ConfigError(
                "augment",
                f"scale {self.scale}, speed {self.speed}, clock_jitter_ms "
                f"{self.clock_jitter_ms}, slower_copies {self.slower_copies}",
                "scale >= 1, speed >= 1, clock_jitter_ms >= 0, slower_copies >= 0",
            )
        if not self.ticks_ms or min(self.ticks_ms) <= 0:
            raise ConfigError("augment", f"ticks_ms {self.ticks_ms}", "one or more, above 0")


@dataclass(frozen=True)
class TrainConfig:
    """How the network is trained.

    Attributes:
        epochs: At most; early stopping commonly ends before.
        steps_per_epoch: Steps of the optimiser in each epoch.
        batch_size: Windows a step.
        learning_rate: The peak, after warm-up.
        warmup_share: Share of all steps in which the learning rate rises.
        weight_decay: AdamW's weight decay.
        patience: Stop after so many epochs of the second half without a better validation loss.
        windows_per_session: At most, spread evenly over a long session: limits memory.
        label_smoothing: How far labels are moved towards one half.
    """

    epochs: int = 12
    steps_per_epoch: int = 100
    batch_size: int = 128
    learning_rate: float = 2e-3
    warmup_share: float = 0.1
    weight_decay: float = 1e-3
    patience: int = 4
    windows_per_session: int = 64
    label_smoothing: float = 0.02

    def __post_init__(self) -> None:
        """Check that the values are in range."""
        sizes = (self.epochs, self.steps_per_epoch, self.batch_size, self.windows_per_session)
        if min(sizes) < 1:
            raise ConfigError(
                "train",
                "epochs, steps_per_epoch, batch_size and windows_per_session are "
                f"{', '.join(map(str, sizes))}",
                "at least 1 each",
            )


@dataclass(frozen=True)
class SimulateConfig:
    """Which bots `train --simulate` adds.

    Attributes:
        bots: Generators, by their names in `pipeline.simulate`; empty: all.
        per_session: Synthetic sessions for each legitimate one.
    """

    bots: tuple[str, ...] = ()
    per_session: int = 8

    def __post_init__(self) -> None:
        """Check that the values are in range."""
        if self.per_session < 1:
            raise ConfigError("simulate.per_session", f"{self.per_session}", "at least 1")


_OWNER_PANELS = tuple(n for n in PANELS if n not in ("interval_speed", "kind_interval"))


@dataclass(frozen=True)
class OwnerConfig:
    """What only the owner task needs: how prints of people are compared.

    Attributes:
        window: How the owner task cuts sessions.
        resample: How sessions are resampled before they are cut.
        panels: All but those that show the recorder's clock, which tell devices apart rather than
            people.
        components: Principal components of a print's pixels.
        dimensions: Dimensions of these in which people are compared.
        shrinkage: Of the covariance within people, towards a sphere.
        mirrored: Add pseudo-speakers: the same people with left and right swapped.
        paces: Add pseudo-speakers: the same people taking so many times as long.
        windows_per_session: At most, spread evenly over a long session.
        hold_out: What each fold holds out: people, or days of sessions (single sessions of who has
            only one day); `auto` takes people where there are enough.
        enough_people: With `auto`: fewer people than this, and sessions are held out.
        folds: Folds of people or sessions: each is scored by a model of the others.
        min_confidence: A profile of less confidence abstains.
        threshold_confidence: `policy.confidence` of this task.
    """

    window: WindowConfig = field(default_factory=lambda: WindowConfig(max_events=128))
    resample: ResampleConfig = AS_RECORDED
    # All but those that draw the recorder's clock, which tell devices apart rather than people.
    panels: PanelsConfig = field(default_factory=lambda: PanelsConfig(names=_OWNER_PANELS))
    components: int = 300
    dimensions: int = 100
    shrinkage: float = 1.0
    mirrored: bool = True
    paces: tuple[float, ...] = (0.8, 1.25)
    windows_per_session: int = 256
    hold_out: Literal["auto", "people", "sessions"] = "auto"
    enough_people: int = 20
    folds: int = 5
    min_confidence: float = 0.3
    threshold_confidence: float = 0.5

    def __post_init__(self) -> None:
        """Check that the values are in range."""
        sizes = (self.components, self.dimensions, self.windows_per_session)
        if min(sizes) < 1 or min(self.paces, default=1.0) <= 0 or self.shrinkage < 0:
            raise ConfigError(
                "owner",
                f"components {self.components}, dimensions {self.dimensions}, "
                f"windows_per_session {self.windows_per_session}, paces {self.paces}, "
                f"shrinkage {self.shrinkage}",
                "at least 1 each, paces above 0, and shrinkage 0 or more",
            )
        if self.folds < 2:
            raise ConfigError("owner.folds", f"{self.folds}", "2 or more")
        if not 0 <= self.min_confidence < 1:
            raise ConfigError("owner", f"min_confidence {self.min_confidence}", "0 to below 1")


@dataclass(frozen=True)
class ScoreConfig:
    """How windows become a session's score.

    Attributes:
        pooling: How the windows' logits become the session's.
        min_events: A session of fewer events abstains.
    """

    pooling: Pooling = "mean"
    min_events: int = 8


@dataclass(frozen=True)
class PolicyConfig:
    """Which false-positive rates thresholds are calibrated for.

    Attributes:
        budgets: Target FPRs to calibrate thresholds for: shares of legitimate sessions flagged.
        budget: The target FPR in force: decides `is_flagged` and band `high`.
        confidence: Probability that a threshold keeps its target FPR for people not in the data;
            one half aims at it.
        n_resamples: Bootstrap resamples of people.
        seed: Seed of the resamples.
    """

    budgets: tuple[float, ...] = (0.001, 0.01, 0.05)
    budget: float = 0.01
    confidence: float = 0.5
    n_resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Check that the values are in range."""
        if self.budget not in self.budgets:
            raise ConfigError("policy.budget", f"{self.budget} is not one of {self.budgets}")
        if not all(0 < budget < 1 for budget in self.budgets):
            raise ConfigError("policy.budgets", f"{self.budgets}", "shares between 0 and 1")


@dataclass(frozen=True)
class RunConfig:
    """All settings of a training; saved as `config.json` with every run.

    Attributes:
        task: `fraud`: is this session a bot or a known fraud? `owner`: is this the account's owner?
        seed: Seed of everything random.
        resample: How sessions are resampled before they are cut.
        window: How a session is cut into windows.
        canvas: What a path is drawn on.
        panels: Which panels a print has.
        network: Sizes of the network.
        augment: How paths are changed in training.
        train: How the network is trained.
        simulate: Which bots `train --simulate` adds.
        split: How sessions are split.
        score: How windows become a session's score.
        owner: Settings of the owner task.
        policy: Target FPRs and their thresholds.
    """

    task: Task = "fraud"
    seed: int = 0
    resample: ResampleConfig = field(default_factory=ResampleConfig)
    window: WindowConfig = field(default_factory=WindowConfig)
    canvas: Canvas = field(default_factory=Canvas)
    panels: PanelsConfig = field(default_factory=PanelsConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    simulate: SimulateConfig = field(default_factory=SimulateConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    owner: OwnerConfig = field(default_factory=OwnerConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)


Promote = Literal["if better", "never", "always"]
"""Whether a challenger takes the champion's place."""


@dataclass(frozen=True)
class PromotionConfig:
    """When a challenger replaces the champion.

    Attributes:
        min_gain: The interval of the gain in ROC AUC must lie above this.
        level: Confidence level of that interval.
        min_each: Fewest legitimate sessions, and fewest frauds, to compare on.
        max_false_alarms: Refuse a challenger whose FPR is surely more than this times the target
            FPR.
        max_abstained_more: Refuse a challenger that abstains on a larger share of sessions by more
            than this.
        n_resamples: Bootstrap resamples.
        seed: Seed of the resamples.
    """

    min_gain: float = 0.0
    level: float = 0.95
    min_each: int = 30
    max_false_alarms: float = 2.0
    max_abstained_more: float = 0.05
    n_resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Check that the values are in range."""
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
