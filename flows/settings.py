"""Load the settings of an installation: from one file, environment variables, and flags.

A TOML file holds them: `pointerprint.toml`, or the one that POINTERPRINT_SETTINGS or --settings
names; its table [run] holds what a training takes. An environment variable counts before the file
(POINTERPRINT_STORE, POINTERPRINT_SERVER__PORT), and a flag before both (--set server.port=4201).
"""

import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_type_hints
from zoneinfo import ZoneInfo, available_timezones

from docstring_parser import parse
from pydantic import Field, TypeAdapter, ValidationError, WithJsonSchema, create_model
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from model.config import Device, PromotionConfig, RunConfig
from pipeline.config import AbstainIs, AdaptConfig, DriftConfig
from pipeline.errors import ConfigError, NotFoundError, PointerprintError, did_you_mean
from pipeline.readers.common.limits import LIMIT_VARIABLES

if TYPE_CHECKING:
    from pipeline.storage.paths import StoragePath as Location
else:  # also one in an object store; `Settings` makes it, and importing its type loads Arrow
    Location = Annotated[Any, WithJsonSchema({"type": "string", "format": "path"})]

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True)
class LogsConfig:
    """What the program logs on stderr.

    Attributes:
        format: `json` writes a line of JSON a message, with counts as fields.
        level: Lowest level that is logged.
    """

    format: LogFormat = "text"
    level: LogLevel = "info"


@dataclass(frozen=True)
class ServerConfig:
    """Prefect's server, and the worker that runs what is due.

    Attributes:
        api_url: Address of a server that runs already; empty: `serve` starts one.
        host: Where the server that `serve` starts listens.
        port: Its port.
        home: Folder of its database and logs.
        database_url: Its database; empty: SQLite in `home`.
        pool: Name of the work pool.
        runs_at_once: Flow runs of the worker at the same time.
    """

    api_url: str = ""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(gt=0, lt=65536)] = 4200
    home: Path = Path("prefect")
    database_url: str = ""
    pool: str = "pointerprint"
    runs_at_once: Annotated[int, Field(ge=1)] = 2

    def __post_init__(self) -> None:
        """Check that the folder is on this machine."""
        _require_local(self.home, "server.home")


@dataclass(frozen=True)
class ScheduleConfig:
    """When each job is due, as cron writes it; empty: only when asked.

    Attributes:
        ingest: When new logs are ingested.
        score: When the day is scored.
        monitor: When the day is compared with the model's reference.
        adapt: When the champion's level is set to recorders that it was not set for.
        train: When a challenger is trained.
        timezone: Time zone of the schedules, and in which days begin and end.
    """

    ingest: str = "15 1 * * *"
    score: str = "0 2 * * *"
    monitor: str = "0 3 * * *"
    adapt: str = "30 3 * * *"
    train: str = "0 4 * * 0"
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        """Check schedules and time zone."""
        for name in ("ingest", "score", "monitor", "adapt", "train"):
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
class Settings:
    """All settings of an installation. Prefect's forms take theirs from these fields.

    Attributes:
        logs: Files or folders of logs; files that are in the store already are skipped.
        format: Format of the logs.
        columns: The logs' names of columns: session_id=sid,t_ms=ts.
        recorder: Name of what wrote the logs; empty: found or estimated.
        store: The store of sessions.
        scores: The SCORES table.
        models: The folder of models, whose champion scores; or one model.
        drift: The table of what monitoring finds.
        budget: Target FPR, a share of legitimate sessions flagged; one that the model is calibrated
            for. None: the model's own.
        abstain_is: Whether sessions that abstain are for review.
        history_days: Sessions of so many days before may have been recorded then and replayed.
        simulate: Add synthetic bots to training.
        device: What JAX computes on.
        workers: Processes that score at the same time.
        scheduler: Address of a Dask cluster that scores, tcp://HOST:PORT; empty: this machine.
        mlflow_uri: MLflow's address, such as sqlite:///mlflow.db; empty: MLflow isn't used.
        log: Logging.
        server: Prefect's server.
        schedule: Schedules.
        promote: When a challenger replaces the champion.
        adapt: When the champion's level is set to the site's recorders.
        alarm: Which changes of a day raise an alarm.
        run: What a training takes.
    """

    logs: tuple[Location, ...] = (Path("logs"),)
    format: str = "auto"
    columns: str = ""
    recorder: str = ""
    store: Location = Path("store")
    scores: Location = Path("scores")
    models: Location = Path("models")
    drift: Location = Path("drift")
    budget: Annotated[float, Field(gt=0, lt=1)] | None = None
    abstain_is: AbstainIs = "review"
    history_days: Annotated[int, Field(ge=0, le=366)] = 7
    simulate: bool = False
    device: Device = "auto"
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    scheduler: str = ""
    mlflow_uri: str = ""
    log: LogsConfig = field(default_factory=LogsConfig)
    server: ServerConfig = field(default_factory=ServerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    promote: PromotionConfig = field(default_factory=PromotionConfig)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    alarm: DriftConfig = field(default_factory=DriftConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        """Turn URLs into paths in an object store, once."""
        for name in ("store", "scores", "models", "drift"):
            object.__setattr__(self, name, _location(name, getattr(self, name)))
        object.__setattr__(self, "logs", tuple(_location("logs", path) for path in self.logs))
        if not self.logs:
            raise ConfigError("logs", "none is named", "files or folders with mouse logs")

    def check_logs(self) -> None:
        """Raise `NotFoundError` unless the logs are there: a scheduled run would find out late."""
        for path in self.logs:
            if not path.exists():
                raise NotFoundError(
                    "logs", f"{path} is not there", "make the folder, or name another: --set logs=."
                )


def _is_url(path: object) -> bool:
    return ":/" in str(path)


def _location(name: str, path: Any) -> Any:
    """Return a local path, or one in an object store: only that needs Arrow."""
    if _is_url(path):
        from pipeline.storage.paths import as_path

        return as_path(path)
    if not isinstance(path, (str, Path)):
        raise ConfigError(name, f"{path!r} is not a path", "a folder, or s3://bucket/folder")
    return Path(path)


def _require_local(path: Path, name: str) -> Path:
    if _is_url(path):
        from pipeline.storage.paths import require_local

        return require_local(path, name)
    return path


PREFIX: Final = "POINTERPRINT_"
DEFAULT_FILE: Final = "pointerprint.toml"
FILE_VARIABLE: Final = "POINTERPRINT_SETTINGS"
NOT_SETTINGS: Final = (FILE_VARIABLE, "POINTERPRINT_DATA", LIMIT_VARIABLES)
"""What variables with the prefix begin with that mean something else."""

Origin = Literal["default", "file", "variable", "flag"]


@dataclass(frozen=True)
class Setting:
    """The value of a setting, and where it came from.

    Attributes:
        value: What the source says, before it is checked.
        origin: The kind of source.
        source: The file, the variable or the flag.
    """

    value: Any
    origin: Origin
    source: str


FoundSettings = dict[str, Setting]
"""Settings by dotted name, such as server.port."""


def load_settings(file: Path | None = None, sets: Sequence[str] = ()) -> Settings:
    """Return the settings of this installation, or raise an error for the first that is wrong."""
    return check_settings(find_settings(file, sets))


def find_settings(file: Path | None = None, sets: Sequence[str] = ()) -> FoundSettings:
    """Return every setting by its dotted name, with its value and source.

    Args:
        file: The TOML. Without it, the one that POINTERPRINT_SETTINGS names counts, or
            `pointerprint.toml` in the working folder if there is one.
        sets: Flags such as `server.port=4201`.

    Paths are absolute: those of a file are seen from its folder, and so are the defaults.
    """
    path = settings_file(file)
    folder = path.parent if path else Path.cwd()
    found = {
        name: Setting(_absolute(name, default, folder), "default", "default")
        for name, (default, _) in known_settings().items()
    }
    return found | (_from_file(path) if path else {}) | _from_environment() | _from_flags(sets)


def find_run_settings(config: Path | None = None) -> FoundSettings:
    """Return what the file and the environment set of [run], by its names within [run].

    `config` is a settings file, whose [run] counts, or a TOML that holds only what is in [run].
    """
    path = settings_file(config, "--config")
    found = (_from_file(path, is_run=config is not None) if path else {}) | _from_environment()
    return {
        name.removeprefix("run."): setting
        for name, setting in found.items()
        if name.startswith("run.")
    }


def settings_file(file: Path | None, named_by: str = "settings") -> Path | None:
    """Return the absolute path of the settings' file; None: none is named, and none is here."""
    named = file or (Path(os.environ[FILE_VARIABLE]) if os.environ.get(FILE_VARIABLE) else None)
    if named and not _require_local(named, named_by).is_file():
        raise NotFoundError(named, "there is no such file", "name a TOML file with settings")
    path = named or Path(DEFAULT_FILE)
    return path.absolute() if path.is_file() else None


def check_settings(found: FoundSettings) -> Settings:
    """Return the settings as a `Settings`; what no source sets has its default."""
    try:
        return TypeAdapter(Settings).validate_python(
            nested({name: setting.value for name, setting in found.items()})
        )
    except ValidationError as error:
        raise _readable(error, found) from error


def as_environment(found: FoundSettings) -> dict[str, str]:
    """Return variables that give a process in another folder the settings that are in no file.

    Without a file the default paths go along too: from another folder they would lead elsewhere.
    """
    has_file = any(setting.origin == "file" for setting in found.values())
    return {
        variable(name): _as_text(setting.value)
        for name, setting in found.items()
        if setting.origin in ("variable", "flag") or (not has_file and _is_path(name))
    }


@cache
def known_settings() -> dict[str, tuple[Any, str]]:
    """Return the default and the description of each setting, by its dotted name."""
    return dict(_known(Settings(), ""))


def _known(section: Any, prefix: str) -> Iterator[tuple[str, tuple[Any, str]]]:
    about = descriptions(type(section))
    for entry in fields(section):
        default, name = getattr(section, entry.name), prefix + entry.name
        if is_dataclass(default):
            yield from _known(default, f"{name}.")
        else:
            yield name, (default, about[entry.name])


@cache
def descriptions(kind: type) -> dict[str, str]:
    """Return the description of each field of a dataclass, from its docstring."""
    found = parse(kind.__doc__ or "").params
    return {about.arg_name: " ".join((about.description or "").split()) for about in found}


def variable(name: str) -> str:
    """Return the environment variable of a setting: POINTERPRINT_SERVER__PORT of server.port."""
    return PREFIX + name.upper().replace(".", "__")


@cache
def _source_type() -> type[BaseSettings]:
    """Return the settings as pydantic-settings' sources want them; values stay text there."""
    hints = get_type_hints(Settings, include_extras=True)
    sections: Any = {entry.name: (hints[entry.name], ...) for entry in fields(Settings)}
    return create_model("SettingsSource", __base__=_SourceBase, **sections)


class _SourceBase(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", enable_decoding=False
    )


def _from_file(path: Path, is_run: bool = False) -> FoundSettings:
    """Return what a TOML sets; with `is_run`, one without a table [run] is a [run] itself."""
    try:
        content = TomlConfigSettingsSource(_source_type(), path).toml_data
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(path, f"it is not TOML: {error}", "name = value, a line each") from error
    if is_run and "run" not in content:
        content = {"run": content}
    found = {}
    for name, value in _leaves(content):
        _require_known(name, str(path), known_settings())
        found[name] = Setting(_absolute(name, value, path.parent), "file", f"{path}: {name}")
    return found


def _from_environment() -> FoundSettings:
    """Return what variables set; one that looks like a misspelt setting is an error."""
    known = {variable(name): name for name in known_settings()}
    before = {key.replace("__", "_"): key for key in known}  # how they were called in 0.1
    for key in os.environ:
        if key.startswith(PREFIX) and key not in known and not key.startswith(NOT_SETTINGS):
            near = [before[key]] if key in before else _near_variable(key, known)
            if near:
                raise ConfigError(key, "there is no such setting", f"did you mean {near[0]}?")
    content = EnvSettingsSource(_source_type())()
    return {
        name: Setting(_parse(name, text), "variable", variable(name))
        for name, text in _leaves(content)
        if name in known_settings()
    }


def _near_variable(key: str, known: Iterable[str]) -> list[str]:
    near = did_you_mean(key.removeprefix(PREFIX), [name.removeprefix(PREFIX) for name in known])
    return [PREFIX + name for name in near]


def _from_flags(sets: Sequence[str]) -> FoundSettings:
    found = {}
    for text in sets:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise ConfigError("--set", f"{text!r} has no value", "such as --set store=/srv/store")
        _require_known(name, "--set", known_settings())
        found[name] = Setting(_parse(name, value), "flag", f"--set {name}")
    return found


def _require_known(name: str, where: str, known: Iterable[str]) -> None:
    if name not in known:
        near = did_you_mean(name, known)
        hint = f"did you mean {near[0]}?" if near else "`pointerprint settings` lists them"
        raise ConfigError(where, f"there is no setting {name!r}", hint)


def _leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by dotted name as tables within tables."""
    tables: dict[str, Any] = {}
    for name, value in leaves.items():
        *sections, last = name.split(".")
        table = tables
        for section in sections:
            table = table.setdefault(section, {})
        table[last] = value
    return tables


def _parse(name: str, text: str) -> Any:
    """Return the value of a variable or flag; a list has commas, or is JSON."""
    default, _ = known_settings()[name]
    if text == "" and default is None:
        return None
    if not isinstance(default, tuple):
        return _absolute(name, text, Path.cwd())
    if text.lstrip().startswith("["):
        try:
            return _absolute(name, json.loads(text), Path.cwd())
        except json.JSONDecodeError:
            pass  # the check names it as a list that isn't one
    return _absolute(name, [part.strip() for part in text.split(",") if part.strip()], Path.cwd())


def _is_path(name: str) -> bool:
    """Say whether a setting is a path, or several: its default is."""
    default, _ = known_settings()[name]
    return isinstance(default, Path) or (
        isinstance(default, tuple) and any(isinstance(part, Path) for part in default)
    )


def _absolute(name: str, value: Any, folder: Path) -> Any:
    """Return a path, or each of several, as seen from `folder`; anything else as it is."""
    if not _is_path(name):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(_seen_from(folder, part) for part in value)
    is_list = isinstance(known_settings()[name][0], tuple)
    return value if is_list else _seen_from(folder, value)  # the check refuses one for a list


def _seen_from(folder: Path, path: Any) -> Any:
    """Return a path as seen from `folder`; one in an object store is the same from everywhere."""
    is_local = isinstance(path, (str, Path)) and not _is_url(path)
    return folder / path if is_local else path


def _as_text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return json.dumps([_plain(part) for part in value])
    return "" if value is None else str(_plain(value))


def _plain(value: Any) -> Any:
    """Return a value as JSON and TOML hold it."""
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value if isinstance(value, (bool, int, float, str)) or value is None else str(value)


def _readable(error: ValidationError, found: FoundSettings) -> PointerprintError:
    """Return the first fault as an error that names its source, and what was expected."""
    first = error.errors()[0]
    context = first.get("ctx", {})
    if isinstance(context.get("error"), PointerprintError):
        return context["error"]
    path = [str(part) for part in first["loc"]]
    name = next((n for i in range(len(path), 0, -1) if (n := ".".join(path[:i])) in found), "")
    source = found[name].source if name else ".".join(path)
    expected = context.get("expected", "")
    near = did_you_mean(str(first["input"]), re.findall(r"'([^']*)'", expected))
    hint = f"did you mean {near[0]!r}?" if near else f"one of {expected}" if expected else ""
    return ConfigError(source, f"{first['input']!r}: {first['msg'].lower()}", hint)


def settings_json(settings: Settings, found: FoundSettings) -> dict[str, dict[str, Any]]:
    """Return value, source and description of each setting, by its dotted name."""
    return {
        name: {
            "value": _plain(_value(settings, name)),
            "origin": found[name].origin,
            "source": found[name].source,
            "description": description,
        }
        for name, (_, description) in known_settings().items()
    }


def settings_toml(settings: Settings, found: FoundSettings) -> str:
    """Return each setting as TOML, with its description and source; it can be used again."""
    lines, section = [], ""
    for name in sorted(known_settings(), key=lambda name: name.rpartition(".")[0]):
        in_section, _, last = name.rpartition(".")
        if in_section != section:
            section = in_section
            about = (_value(settings, section).__doc__ or "").partition("\n")[0]
            lines += ["", f"[{section}]  # {about}"]
        value = _value(settings, name)
        text = f"# {last} =" if value is None else f"{last} = {json.dumps(_plain(value))}"
        lines.append(f"{text}  # {known_settings()[name][1]} ({found[name].source})")
    return "\n".join(lines)


def _value(settings: Settings, name: str) -> Any:
    """Return the setting, or the section, of that name."""
    return reduce(getattr, name.split("."), settings)
