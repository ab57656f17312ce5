"""One installation's settings: where things lie, how often what runs, what counts as better.

A TOML file says them (`pointerprint.toml`, or what POINTERPRINT_SETTINGS or --settings names);
the environment overrides it (POINTERPRINT_STORE, POINTERPRINT_PROMOTE_MIN_GAIN), and
`--set store=...` both. Neither JAX nor Prefect here: flows/site_reading.py reads it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from model.config import RunConfig
from model.device import Device
from pipeline.config import AbstainIs
from pipeline.drift import DriftConfig
from pipeline.errors import ConfigError, NotFoundError, did_you_mean
from pipeline.places import on_disk, place
from pipeline.promotion import PromotionConfig

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True)
class LogsConfig:
    """What the program says of what it does, on stderr."""

    format: LogFormat = "text"  # json: a line of JSON a message, with counts as fields
    level: LogLevel = "info"


@dataclass(frozen=True)
class ServerConfig:
    """Prefect's server, and what asks it for work."""

    api_url: str = ""  # of a server that runs already; empty: `serve` starts one
    host: str = "127.0.0.1"  # where the one that it starts listens
    port: int = 4200
    home: Path = Path("prefect")  # its database and logs
    database_url: str = ""  # empty: SQLite in `home`
    pool: str = "pointerprint"  # the work pool's name
    runs_at_once: int = 2  # flow runs of one worker

    def __post_init__(self) -> None:
        """Refuse what no server can do."""
        on_disk(self.home, "server.home")
        if not 0 < self.port < 65536 or self.runs_at_once < 1:
            raise ConfigError(
                "server",
                f"port {self.port}, runs_at_once {self.runs_at_once}",
                "a port is 1 to 65535, runs_at_once at least 1",
            )


@dataclass(frozen=True)
class ScheduleConfig:
    """When what runs, as cron has it; empty: never by itself."""

    ingest: str = "15 1 * * *"
    score: str = "0 2 * * *"
    monitor: str = "0 3 * * *"
    train: str = "0 4 * * 0"
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse what is no schedule."""
        for name in ("ingest", "score", "monitor", "train"):
            cron = getattr(self, name)
            if cron and len(cron.split()) != 5:
                raise ConfigError(
                    f"schedule.{name}",
                    f"{cron!r} is not a cron schedule",
                    "minute hour day month weekday, such as '0 2 * * *'",
                )
        known = available_timezones()
        if self.timezone not in known:
            near = did_you_mean(self.timezone, known)
            hint = f"did you mean {near[0]}?" if near else "such as UTC or Europe/Berlin"
            raise ConfigError("schedule.timezone", f"{self.timezone!r} is no time zone", hint)

    @property
    def zone(self) -> ZoneInfo:
        """Return the time zone in which days begin and end."""
        return ZoneInfo(self.timezone)


@dataclass(frozen=True)
class Site:
    """All of it. Paths in a file are from the file's folder, others from the working one."""

    logs: tuple[Path, ...] = (Path("logs"),)  # files or folders; files known are skipped
    format: str = "auto"  # of the logs
    columns: str = ""  # the logs' names for ours: session_id=sid,t_ms=ts
    store: Path = Path("store")
    scores: Path = Path("scores")
    models: Path = Path("models")  # the registry
    drift: Path = Path("drift")  # the table of what monitoring found
    budget: float | None = None  # of false alarms; None: the model's own
    abstain_is: AbstainIs = "review"  # whether sessions that can't be judged are for review
    history_days: int = 7  # before a day: its sessions may have been recorded then and replayed
    simulate: bool = False  # add simulated bots to training
    device: Device = "auto"
    workers: int = 1  # processes that score
    scheduler: str = ""  # of a Dask cluster that scores, tcp://HOST:PORT; empty: this machine
    mlflow_uri: str = ""  # such as sqlite:///mlflow.db; empty: MLflow isn't used
    log: LogsConfig = field(default_factory=LogsConfig)
    server: ServerConfig = field(default_factory=ServerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    promote: PromotionConfig = field(default_factory=PromotionConfig)
    alarm: DriftConfig = field(default_factory=DriftConfig)
    run: RunConfig = field(default_factory=RunConfig)  # what `train --config` takes

    def __post_init__(self) -> None:
        """Know places in an object store for what they are, and refuse what makes no sense."""
        for name in ("store", "scores", "models", "drift"):
            object.__setattr__(self, name, place(getattr(self, name)))  # once, as it is made
        object.__setattr__(self, "logs", tuple(map(place, self.logs)))
        if not self.logs:
            raise ConfigError("logs", "none is named", "files or folders with mouse logs")
        if self.budget is not None and not 0 < self.budget < 1:
            raise ConfigError("budget", f"{self.budget}", "a share between 0 and 1, such as 0.01")
        if self.workers < 1 or self.history_days < 0:
            raise ConfigError(
                "settings",
                f"workers {self.workers}, history_days {self.history_days}",
                "workers at least 1, history_days at least 0",
            )

    def check_logs(self) -> None:
        """Raise `NotFoundError` unless the logs are there: a scheduled run would find out late."""
        for path in self.logs:
            if not path.exists():
                raise NotFoundError(
                    "logs", f"{path} is not there", "make the folder, or name another: --set logs=."
                )
