"""Every setting of a trained run, with defaults that work. (No JAX or NumPy here.)"""

from dataclasses import dataclass, field
from typing import Literal

from pipeline.config import AS_RECORDED, Pooling, SplitConfig, StandardConfig, WindowConfig
from pipeline.errors import ConfigError
from rasterize.canvas import Canvas

Task = Literal["fraud", "owner"]


@dataclass(frozen=True)
class CNNConfig:
    """Sizes of the network: a stem that cuts the image in patches, then stages."""

    patch: int = 8  # cells a side of a patch; the first stage sees size/patch places a side
    widths: tuple[int, ...] = (64, 128)  # channels of each stage; each halves the side; none: blind
    blocks: int = 1  # residual blocks a stage; 0: the stem and the halvings alone
    dropout: float = 0.3  # share of pooled features dropped in training

    def __post_init__(self) -> None:
        """Refuse what can't be built."""
        if not 0 <= self.dropout <= 0.5:
            raise ConfigError("cnn", f"dropout {self.dropout}", "0 to 0.5")
        if self.patch < 1 or min(self.widths, default=1) < 1 or self.blocks < 0:
            raise ConfigError(
                "cnn",
                f"patch {self.patch}, widths {self.widths}, blocks {self.blocks}",
                "patch and widths above 0, blocks 0 or more",
            )


@dataclass(frozen=True)
class TraceConfig:
    """Sizes of the network's second branch, which sees the path step by step."""

    widths: tuple[int, ...] = (64, 64, 64)  # channels of each convolution; none: no such branch
    kernel: int = 5  # segments


@dataclass(frozen=True)
class HabitsConfig:
    """Size of the network's third branch, which sees how often the hand does what."""

    width: int = 256  # hidden units; 0: no such branch
    summaries: bool = True  # of the motion beside them, in the fraud task


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
    shortest_stretch: float = 0.08  # of a window's events that are looked at, at least
    fewest_events: int = 12  # and at least so many, if the window has them

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        random = (self.throttled_share, self.ticking_share, self.dropped_share)
        shares = (*random, self.same_recorder_share)
        if not all(0 <= share <= 1 for share in shares) or not 0 < self.shortest_stretch <= 1:
            raise ConfigError(
                "augment",
                "throttled_share, ticking_share, dropped_share and same_recorder_share are "
                f"{shares}, shortest_stretch {self.shortest_stretch}",
                "0 to 1, and shortest_stretch above 0",
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
class TwinsConfig:
    """Which bots `train --simulate` adds."""

    bots: tuple[str, ...] = ()  # names of pipeline.simulate; none named: all
    per_session: int = 8  # twins of each legitimate session
    hard_rounds: int = 0  # of training on with those new twins that pass for human
    candidates: int = 12  # twins of each session that a round tries
    passing: float = 0.9  # twins below this quantile of the people's own logits pass for human
    round_epochs: int = 4

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if min(self.per_session, self.candidates, self.round_epochs) < 1 or self.hard_rounds < 0:
            raise ConfigError(
                "twins",
                f"per_session {self.per_session}, candidates {self.candidates}, round_epochs "
                f"{self.round_epochs}, hard_rounds {self.hard_rounds}",
                "at least 1 each, hard_rounds at least 0",
            )
        if not 0 < self.passing < 1:
            raise ConfigError("twins.passing", f"{self.passing}", "a share between 0 and 1")


@dataclass(frozen=True)
class OwnerConfig:
    """What the owner task has of its own: an embedding of each window, profiles of accounts."""

    window: WindowConfig = field(default_factory=lambda: WindowConfig(max_events=128))
    standard: StandardConfig = AS_RECORDED  # what is taken away from sessions before they are cut
    learns: Literal["auto", "always", "never"] = "auto"  # an embedding; auto: with few accounts
    embedding: int = 64  # numbers a window
    habits: bool = True  # join the embedding as they are, beside what is learnt
    mirrored: bool = True  # how people differ is learnt from made-up siblings, too: who swap sides,
    paces: tuple[float, ...] = (0.8, 1.25)  # and who take so many times as long
    picture: bool = False  # whether the network draws and looks at the picture, too
    dimensions: int = 100  # of the embedding: the axes along which people are compared
    epochs: int = 20  # all of them: nothing is stopped early
    windows_per_session: int = 256  # at most, spread evenly
    label_smoothing: float = 0.1
    hold_out: Literal["auto", "people", "sessions"] = "auto"  # what is kept from training
    enough_people: int = 20  # "auto": with fewer, sessions are held out, an embedding is learnt
    folds: int = 5  # of people, where nothing is learnt: each is judged by what the others teach
    refit: bool = True  # train once more on everything after the figures are taken
    min_maturity: float = 0.3  # a profile that knows less of its hand abstains

    def __post_init__(self) -> None:
        """Refuse sizes that can't be."""
        sizes = (self.embedding, self.epochs, self.windows_per_session)
        if min(sizes) < 1 or self.dimensions < 1 or min(self.paces, default=1.0) <= 0:
            raise ConfigError(
                "owner",
                f"embedding {self.embedding}, epochs {self.epochs}, "
                f"windows_per_session {self.windows_per_session}, dimensions {self.dimensions}, "
                f"paces {self.paces}",
                "at least 1 each, and paces above 0",
            )
        if self.learns == "never" and not self.habits:
            raise ConfigError(
                "owner", "learns is never and habits are off", "a profile needs one of them"
            )
        if self.folds < 2:
            raise ConfigError("owner.folds", f"{self.folds}", "2 or more")
        if not 0 <= self.min_maturity < 1:
            raise ConfigError("owner", f"min_maturity {self.min_maturity}", "0 to below 1")


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
    standard: StandardConfig = field(default_factory=StandardConfig)
    window: WindowConfig = field(default_factory=WindowConfig)
    canvas: Canvas = field(default_factory=Canvas)
    cnn: CNNConfig = field(default_factory=CNNConfig)
    trace: TraceConfig = field(default_factory=TraceConfig)
    habits: HabitsConfig = field(default_factory=HabitsConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    twins: TwinsConfig = field(default_factory=TwinsConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    owner: OwnerConfig = field(default_factory=OwnerConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)

    @property
    def task_window(self) -> WindowConfig:
        """Return how the task in hand cuts sessions."""
        return self.owner.window if self.task == "owner" else self.window

    def __post_init__(self) -> None:
        """Refuse parts that don't fit together."""
        if not (self.cnn.widths or self.trace.widths or self.habits.width):
            raise ConfigError("config", "cnn, trace and habits have no width", "give one of them")
        smallest = self.cnn.patch * 2 ** max(len(self.cnn.widths) - 1, 0)
        if self.canvas.size % smallest:
            raise ConfigError(
                "config",
                f"canvas.size {self.canvas.size} can't be halved as often as cnn asks",
                f"a multiple of {smallest} (cnn.patch x 2 for each further stage)",
            )
