"""Every setting of a trained run, with defaults that work. (No JAX or NumPy here.)"""

from dataclasses import dataclass, field
from typing import Literal

from pipeline.config import AS_RECORDED, Pooling, ResampleConfig, SplitConfig, WindowConfig
from pipeline.errors import ConfigError
from rasterize.canvas import Canvas
from rasterize.panels import PANELS, Panel, find_panels

Task = Literal["fraud", "owner"]


@dataclass(frozen=True)
class PanelsConfig:
    """Which panels a print has, and how fine they are."""

    names: tuple[str, ...] = (
        "hodograph", "step", "speed_turn", "speed_change", "speed_return", "step_return",
        "change_return", "turn_return",
    )  # fmt: skip # of rasterize.panels.PANELS
    cells: int = 24  # a side

    def __post_init__(self) -> None:
        """Refuse panels that there are not."""
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
class NetworkConfig:
    """Sizes of the CNN: convolutions that each halve the side, a hidden layer, a logit."""

    widths: tuple[int, ...] = (32, 64, 64)  # channels of each convolution
    hidden: int = 128  # units of the layer behind the last convolution
    dropout: float = 0.3  # share of its inputs and outputs dropped in training

    def __post_init__(self) -> None:
        """Refuse sizes that can't be built."""
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
    """How far a path is changed before it is drawn, so that no recorder is what is learnt."""

    scale: float = 1.5  # the screen: times or divided by up to this
    speed: float = 2.0  # the hand, or the clock: times or divided by up to this
    turn_deg: float = 15.0  # turned by up to this, either way
    mirror: bool = True  # left and right swapped, in half of the paths
    same_recorder_share: float = 0.3  # of paths that keep their clock and all their events
    slowest_recorder_ms: float = 110.0  # throttled to a period of up to this
    throttled_share: float = 0.5  # of paths
    slower_copies: int = 1  # of each session, throttled whole: a slow recorder's window is long
    clock_jitter_ms: float = 2.0  # half-width of the noise on time stamps
    ticks_ms: tuple[float, ...] = (1.0, 8.0, 10.0, 15.625, 16.667)  # of clocks there are
    ticking_share: float = 0.5  # of paths whose time stamps are rounded to such ticks
    dropped_share: float = 0.3  # of events lost, at most
    shortest_crop: float = 0.08  # of a window's events that are looked at, at least
    fewest_events: int = 12  # and at least so many, if the window has them

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        random = (self.throttled_share, self.ticking_share, self.dropped_share)
        shares = (*random, self.same_recorder_share)
        if not all(0 <= share <= 1 for share in shares) or not 0 < self.shortest_crop <= 1:
            raise ConfigError(
                "augment",
                "throttled_share, ticking_share, dropped_share and same_recorder_share are "
                f"{shares}, shortest_crop {self.shortest_crop}",
                "0 to 1, and shortest_crop above 0",
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
    """How the network is trained."""

    epochs: int = 12  # at most; early stopping commonly ends before
    steps_per_epoch: int = 100
    batch_size: int = 128  # windows a step
    learning_rate: float = 2e-3  # the peak, after warm-up
    warmup_share: float = 0.1  # of all steps
    weight_decay: float = 1e-3
    patience: int = 4  # epochs of the second half without a better validation loss: stop
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
class SimulateConfig:
    """Which bots `train --simulate` adds."""

    bots: tuple[str, ...] = ()  # names of pipeline.simulate; none named: all
    per_session: int = 8  # synthetic sessions for each legitimate one

    def __post_init__(self) -> None:
        """Refuse a number below 1."""
        if self.per_session < 1:
            raise ConfigError("simulate.per_session", f"{self.per_session}", "at least 1")


_OWNER_PANELS = tuple(n for n in PANELS if n not in ("interval_speed", "kind_interval"))


@dataclass(frozen=True)
class OwnerConfig:
    """What the owner task has of its own: how prints of people are compared."""

    window: WindowConfig = field(default_factory=lambda: WindowConfig(max_events=128))
    resample: ResampleConfig = AS_RECORDED  # what is taken away from sessions before they are cut
    # All but those that draw the recorder's clock, which tell devices apart rather than people.
    panels: PanelsConfig = field(default_factory=lambda: PanelsConfig(names=_OWNER_PANELS))
    components: int = 300  # principal components of a print's pixels
    dimensions: int = 100  # of these: the axes along which people are compared
    shrinkage: float = 1.0  # of the covariance within people, towards a sphere
    mirrored: bool = True  # pseudo-speakers: people who swap left and right,
    paces: tuple[float, ...] = (0.8, 1.25)  # and who take so many times as long
    windows_per_session: int = 256  # at most, spread evenly
    hold_out: Literal["auto", "people", "sessions"] = "auto"  # what each fold keeps from the rest
    enough_people: int = 20  # "auto": with fewer, sessions are held out
    folds: int = 5  # of people or sessions: each is scored by what the others teach
    min_confidence: float = 0.3  # a profile of less confidence abstains

    def __post_init__(self) -> None:
        """Refuse sizes that can't be."""
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
    """How windows become a session's score."""

    pooling: Pooling = "mean"
    min_events: int = 8  # fewer: abstain


@dataclass(frozen=True)
class PolicyConfig:
    """How much suspicion of legitimate sessions is allowed."""

    budgets: tuple[float, ...] = (0.001, 0.01, 0.05)  # shares of legitimate sessions flagged
    budget: float = 0.01  # the one in force: `is_flagged` and band `high`
    confidence: float = 0.75  # that a budget holds for people who weren't there
    n_resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse budgets that are none."""
        if self.budget not in self.budgets:
            raise ConfigError("policy.budget", f"{self.budget} is not one of {self.budgets}")
        if not all(0 < budget < 1 for budget in self.budgets):
            raise ConfigError("policy.budgets", f"{self.budgets}", "shares between 0 and 1")


@dataclass(frozen=True)
class RunConfig:
    """All of it; saved as `config.json` with every run."""

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

    @property
    def task_window(self) -> WindowConfig:
        """Return how the task in hand cuts sessions."""
        return self.owner.window if self.task == "owner" else self.window

    @property
    def task_resample(self) -> ResampleConfig:
        """Return what the task in hand takes away from sessions."""
        return self.owner.resample if self.task == "owner" else self.resample

    @property
    def task_panels(self) -> PanelsConfig:
        """Return which panels the task in hand looks at."""
        return self.owner.panels if self.task == "owner" else self.panels


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
