"""One installation's settings: where things lie, how often what runs, what counts as better.

A TOML file says them (`pointerprint.toml`, or what POINTERPRINT_SETTINGS or --settings names);
the environment overrides it (POINTERPRINT_STORE, POINTERPRINT_PROMOTE_MIN_GAIN), and
`--set store=...` both. Neither JAX nor Prefect here: flows/settings.py reads it.
"""

import json
import os
import tomllib
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo, available_timezones

from pydantic import TypeAdapter, ValidationError

from model.config import Device, PromotionConfig, RunConfig
from pipeline.config import AbstainIs, DriftConfig
from pipeline.errors import ConfigError, NotFoundError, PointerprintError, did_you_mean
from pipeline.storage.paths import RemotePath, as_path, require_local

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
        require_local(self.home, "server.home")
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
class Settings:
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
            object.__setattr__(self, name, as_path(getattr(self, name)))  # once, as it is made
        object.__setattr__(self, "logs", tuple(map(as_path, self.logs)))
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


PREFIX: Final = "POINTERPRINT_"
FILE: Final = "pointerprint.toml"
FILE_VARIABLE: Final = "POINTERPRINT_SETTINGS"
NOT_SETTINGS: Final = (FILE_VARIABLE, "POINTERPRINT_DATA")
"""Variables with our prefix that mean something else."""

Origin = Literal["default", "file", "environment", "flag"]


@dataclass(frozen=True)
class Setting:
    """A setting's value, and who set it."""

    value: Any
    origin: Origin
    said_by: str  # for errors: the file and name, the variable, or the flag


Found = dict[str, Setting]  # by dotted name


def load_settings(
    file: Path | None = None,
    sets: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings of this installation, or raise `ConfigError` for the first that is wrong.

    Without `file`, the one that POINTERPRINT_SETTINGS names counts, or `pointerprint.toml` in
    the working folder if there is one.
    """
    return check_settings(find_settings(file, sets, environ))


def find_settings(
    file: Path | None = None,
    sets: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Found:
    """Return each setting that somebody has set, and each path, by its dotted name.

    Paths are absolute: a file's are seen from its folder, and so are those that nobody set.
    """
    environ = os.environ if environ is None else environ
    path = settings_file(file, environ)
    folder = path.parent if path else Path.cwd()
    found = {
        name: Setting(_absolute(default, hint, folder), "default", name)
        for name, hint, default in setting_types()
        if _is_path(hint)
    }
    return (
        found | (_from_file(path) if path else {}) | _from_environment(environ) | _from_flags(sets)
    )


def settings_file(file: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the settings' file, absolute; None: there is none, and none was named."""
    named = file or (Path(environ[FILE_VARIABLE]) if environ.get(FILE_VARIABLE) else None)
    if named and not require_local(named, "settings").is_file():
        raise NotFoundError(named, "there is no such file", "--settings takes a TOML")
    found = named or Path(FILE)
    return found.absolute() if found.is_file() else None


def check_settings(found: Found) -> Settings:
    """Return the settings as a `Settings`; what nobody set has its default."""
    nested: dict[str, Any] = {}
    for name, setting in found.items():
        *sections, last = name.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = setting.value
    try:
        return TypeAdapter(Settings).validate_python(nested)
    except ValidationError as error:
        raise _mendable(error, found) from error


def as_environment(found: Found) -> dict[str, str]:
    """Return variables by which a process elsewhere gets what this one was told beside a file.

    With no file at all the paths go along too: from another folder they would lead elsewhere.
    """
    has_file = any(setting.origin == "file" for setting in found.values())
    passed_on = {"environment", "flag"} | (set() if has_file else {"default"})
    return {
        variable(name): _as_text(setting.value)
        for name, setting in found.items()
        if setting.origin in passed_on
    }


def _as_text(value: Any) -> str:
    if isinstance(value, (str, Path)):
        return str(value)
    return "" if value is None else json.dumps(value, default=str)


def setting_types(kind: type = Settings, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Give the dotted name of each setting, its type, and its default."""
    hints = get_type_hints(kind)
    for entry in fields(kind):
        hint, name = hints[entry.name], f"{prefix}{entry.name}"
        if is_dataclass(hint) and isinstance(hint, type):
            yield from setting_types(hint, f"{name}.")
        else:
            factory = entry.default_factory
            yield name, hint, entry.default if factory is MISSING else factory()


def _types() -> dict[str, Any]:
    return {name: hint for name, hint, _ in setting_types()}


def variable(name: str) -> str:
    """Return the environment variable of a setting: POINTERPRINT_SERVER_PORT of server.port."""
    return PREFIX + name.upper().replace(".", "_")


def _from_file(path: Path) -> Found:
    try:
        content = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(path, f"it is not TOML: {error}", "name = value, a line each") from error
    known, found = _types(), {}
    for name, value in _leaves(content):
        if name not in known:
            raise _unknown(path, name, known)
        seen = _absolute(value, known[name], path.parent)
        found[name] = Setting(seen, "file", f"{path}: {name}")
    return found


def _leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _from_environment(environ: Mapping[str, str]) -> Found:
    """Return what variables say; one that looks like a setting misspelt is an error."""
    known = _types()
    by_variable = {variable(name): name for name in known}
    words = [key.removeprefix(PREFIX) for key in by_variable]
    found = {}
    for key, text in environ.items():
        if not key.startswith(PREFIX) or key in NOT_SETTINGS:
            continue
        if key in by_variable:
            name = by_variable[key]
            value = _absolute(_parse(text, known[name]), known[name], Path.cwd())
            found[name] = Setting(value, "environment", key)
        elif near := did_you_mean(key.removeprefix(PREFIX), words):
            raise ConfigError(key, "there is no such setting", f"did you mean {PREFIX}{near[0]}?")
    return found


def _from_flags(sets: Sequence[str]) -> Found:
    known, found = _types(), {}
    for text in sets:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise ConfigError("--set", f"{text!r} has no value", "such as --set store=/srv/store")
        if name not in known:
            raise _unknown("--set", name, known)
        seen = _absolute(_parse(value, known[name]), known[name], Path.cwd())
        found[name] = Setting(seen, "flag", f"--set {name}")
    return found


def _unknown(where: object, name: str, known: Mapping[str, Any]) -> ConfigError:
    near = did_you_mean(name, known)
    hint = f"did you mean {near[0]}?" if near else "`pointerprint site` lists them"
    return ConfigError(where, f"there is no setting {name!r}", hint)


def _parse(text: str, hint: Any) -> Any:
    """Return what a variable or flag says: a path or word as it stands, lists with commas."""
    choices = [choice for choice in _choices(hint) if choice is not type(None)]
    if text == "" and type(None) in _choices(hint):
        return None
    if get_origin(choices[0]) is tuple and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    if choices[0] in (str, Path) or get_origin(choices[0]) is Literal:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # said to be of the wrong type when it is checked


def _absolute(value: Any, hint: Any, folder: Path) -> Any:
    """Return a path, or each of several, as seen from `folder`; anything else as it is."""
    if hint is Path and isinstance(value, (str, Path)):
        return _seen_from(folder, value)
    if _is_path(hint) and isinstance(value, (list, tuple)):
        return tuple(
            _seen_from(folder, part) if isinstance(part, (str, Path)) else part for part in value
        )
    return value


def _seen_from(folder: Path, path: str | Path) -> str | Path:
    """Return a path as seen from `folder`; one of an object store is the same from everywhere."""
    return path if isinstance(as_path(path), RemotePath) else folder / path


def _is_path(hint: Any) -> bool:
    return hint is Path or (get_origin(hint) is tuple and get_args(hint)[0] is Path)


def _choices(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _mendable(error: ValidationError, found: Found) -> PointerprintError:
    """Return the first fault as an error that says who set what, and what was expected."""
    first = error.errors()[0]
    raised = first.get("ctx", {}).get("error")
    if isinstance(raised, PointerprintError):
        return raised
    path = [str(part) for part in first["loc"]]
    name = next((n for i in range(len(path), 0, -1) if (n := ".".join(path[:i])) in found), "")
    said_by = found[name].said_by if name else ".".join(path) or "settings"
    expected = first.get("ctx", {}).get("expected")
    near = did_you_mean(str(first["input"]), _words(_types().get(name)))
    hint = f"did you mean {near[0]!r}?" if near else ""
    if expected and not hint:
        hint = f"one of {expected}"
    return ConfigError(said_by, f"{first['input']!r}: {first['msg'].lower()}", hint)


def _words(hint: Any) -> tuple[str, ...]:
    return get_args(hint) if get_origin(hint) is Literal else ()


def as_json(site: Settings) -> dict[str, Any]:
    """Return all settings as JSON holds them."""
    return TypeAdapter(Settings).dump_python(site, mode="json")


def as_toml(site: Settings, found: Found) -> str:
    """Return all settings as TOML, with who set those that somebody set."""
    lines, section = [], ""
    for name, _, _ in sorted(setting_types(), key=lambda entry: entry[0].rpartition(".")[0]):
        in_section, _, last = name.rpartition(".")
        if in_section != section:
            section = in_section
            lines += ["", f"[{section}]"]
        value: Any = site
        for part in name.split("."):
            value = getattr(value, part)
        text = json.dumps(value, default=str)
        line = f"# {last} =" if value is None else f"{last} = {text}"
        setting = found.get(name)
        by = f"  # {setting.said_by}" if setting and setting.origin != "default" else ""
        lines.append(line + by)
    return "\n".join(lines).strip()
