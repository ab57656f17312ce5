"""The flows' parameters, as Prefect's form shows them: help, limits, choices.

Each may be left empty: then the installation's settings say it (flows/settings.py), read by the run
itself, so that a change of the file counts from the next run on.
"""

import datetime
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_type_hints

from prefect import get_client
from prefect.concurrency.sync import concurrency
from prefect.runtime import flow_run
from pydantic import Field, WithJsonSchema
from pydantic.fields import FieldInfo

from flows.logs import set_levels
from flows.settings import Settings, load_settings
from model.config import Device
from model.device import prepare_jax
from pipeline.errors import PointerprintError, PublishError, WorkerError

RETRIES: Final = 2
RETRY_DELAY_S: Final = 30


def may_pass(task: Any, run: Any, state: Any) -> bool:
    """Say whether a failure may be gone the next time: not if the input or a setting is wrong."""
    try:
        state.result()
    except (PublishError, WorkerError):
        return True
    except PointerprintError:
        return False
    except Exception:
        return True
    return False


_DATE = r"^\d{4}-\d{2}-\d{2}$"
F = TypeVar("F", bound=Callable[..., Any])


def described(function: F) -> F:
    """Add to a flow's docstring what each parameter is: Prefect's form takes it from there."""
    lines = []
    for name, hint in get_type_hints(function, include_extras=True).items():
        for about in getattr(hint, "__metadata__", ()):
            if isinstance(about, FieldInfo) and about.description:
                lines.append(f"    {name}: {about.description}")
    function.__doc__ = "\n".join([function.__doc__ or "", "", "Args:", *lines])
    return function


SettingsFile = Annotated[
    Path | None,
    Field(description="The installation's TOML. Empty: pointerprint.toml."),
]
# Prefect's server doesn't check formats: without a pattern it would take any word for a day.
_Date = Annotated[
    datetime.date, WithJsonSchema({"type": "string", "format": "date", "pattern": _DATE})
]
Day = Annotated[
    _Date | None,
    Field(description="Empty: the day that the run was scheduled for."),
]
Logs = Annotated[
    list[Path] | None,
    Field(description="Files or folders. Empty: the settings' logs.", min_length=1),
]
Store = Annotated[Path | None, Field(description="Of sessions. Empty: the settings' store.")]
Scores = Annotated[Path | None, Field(description="The table. Empty: the settings' scores.")]
Models = Annotated[
    Path | None,
    Field(
        description="A folder of models (its champion scores) or one. Empty: the settings'.",
    ),
]
Drift = Annotated[Path | None, Field(description="The table. Empty: the settings' drift.")]
Budget = Annotated[
    float | None,
    Field(
        description="Share of legitimate sessions flagged, one the model knows. Empty: its own.",
        gt=0,
        lt=1,
    ),
]
HistoryDays = Annotated[
    int | None,
    Field(
        description="Sessions of so many days before may have been replayed. Empty: the settings'.",
        ge=0,
        le=366,
    ),
]
Workers = Annotated[
    int | None,
    Field(description="Processes. Empty: the settings'.", ge=1, le=256),
]
Scheduler = Annotated[
    str | None,
    Field(description="Of a Dask cluster, tcp://HOST:PORT. Empty: the settings', or none."),
]
Where = Annotated[Device | None, Field(description="Empty: the settings', or what there is.")]
Simulate = Annotated[
    bool | None,
    Field(description="Add bots in the sessions' likeness. Empty: settings'."),
]


def run_site(settings: Path | None, **given: object) -> Settings:
    """Return the installation's settings with those that the run was `given` in their place."""
    said = {name: value for name, value in given.items() if value is not None}
    site = replace(load_settings(settings), **said)
    # Prefect gives our loggers its handlers, but not a level: they would tell warnings only.
    set_levels(site.log.level)
    prepare_jax(site.device)
    return site


def run_day(date: datetime.date | None, site: Settings) -> str:
    """Return `date`, or the day the run was scheduled for: one that starts late keeps its day."""
    if date is not None:
        return date.isoformat()
    scheduled = flow_run.scheduled_start_time or datetime.datetime.now(datetime.UTC)
    return scheduled.astimezone(site.schedule.zone).date().isoformat()


def flow_run_name() -> str:
    """Name a run after its flow and day; a template would show the day as `None`."""
    date, settings = (flow_run.parameters.get(name) for name in ("date", "settings"))
    day = str(date) if date else run_day(None, load_settings(settings))
    return f"{flow_run.flow_name}-{day}"


@contextmanager
def alone_with(table: Path) -> Iterator[None]:
    """Hold a limit of one run a table, on Prefect's server: others wait, and its page says so.

    On one machine the tables' own locks keep writers apart. This holds across machines, and for
    the ad hoc deployments together with the scheduled ones.
    """
    path = str(table.absolute())
    name = f"pointerprint-{table.name}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, 1)
    with concurrency(name, occupy=1):
        yield
