"""The forms of the flows: which settings a run may override, on which day it is, and who waits.

A form's fields are those of `Settings`: type, limits and description are written there, once. A
field may be left empty: then the installation's settings hold. The run itself reads them, so that
a change of the file counts from the next run on.
"""

import datetime
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

from prefect import get_client
from prefect.concurrency.sync import concurrency
from prefect.runtime import flow_run
from pydantic import Field, WithJsonSchema

from flows.console import set_levels
from flows.prefect.recover import noted_as_alive
from flows.settings import Settings, descriptions, load_settings
from model.device import prepare_jax
from model.registry import STARTER_NAME
from pipeline.errors import NotFoundError, PointerprintError, PublishError, WorkerError
from pipeline.storage.paths import StoragePath, as_path

RETRIES: Final = 2
RETRY_DELAY_S: Final = 30
_LEASE_S: Final = 60  # of a table's slot after its holder was killed; Prefect's shortest


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


# Prefect's server doesn't check formats: without a pattern it would take any word for a day.
_DATE: Final = {"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
_Day = Annotated[datetime.date, WithJsonSchema(_DATE)]


def form(*names: str, **renamed: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a flow a form: the settings' file, the date, and the settings of these names.

    The function takes the settings that hold for the run, the `day` if it has such a parameter,
    and what else it has, which is on the form too.

    Args:
        names: Settings that a run may override.
        renamed: More of them, as the form calls them: `model="models"`.
    """
    settings_by_field = {name: name for name in names} | renamed

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        own = dict(signature(function).parameters)
        has_day = own.pop("settings") and own.pop("day", None) is not None

        @wraps(function)
        def run(settings: Path | None = None, date: datetime.date | None = None, **given: Any):
            overrides = {
                setting: given[name]
                for name, setting in settings_by_field.items()
                if given[name] is not None
            }
            _require_model(given.get("model"))
            loaded = replace(load_settings(settings), **overrides)
            # Prefect gives our loggers its handlers, but no level: they would log warnings only.
            set_levels(loaded.log.level)
            with noted_as_alive(loaded.server.home):
                prepare_jax(loaded.device)
                more = {name: given[name] for name in own}
                if has_day:
                    more["day"] = run_day(date, loaded)
                return function(loaded, **more)

        hints, about = get_type_hints(Settings, include_extras=True), descriptions(Settings)
        file = "The installation's TOML. Default: pointerprint.toml."
        fields = [_field("settings", Path, file)]
        if has_day:
            fields.append(_field("date", _Day, "Default: the day that the run was scheduled for."))
        fields += [
            _field(name, hints[setting], f"{about[setting]} Default: the settings'.")
            for name, setting in settings_by_field.items()
        ]
        fields += [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in own.values()]
        run.__signature__ = Signature(fields)  # pyright: ignore[reportAttributeAccessIssue]
        run.__annotations__ = {one.name: one.annotation for one in fields}
        # Prefect takes the descriptions from the docstring.
        args = [f"    {one.name}: {_description(one)}" for one in fields]
        run.__doc__ = "\n".join([function.__doc__ or "", "", "Args:", *args])
        return run

    return decorate


def _require_model(path: StoragePath | None) -> None:
    """Raise if a model that is named isn't there: the starter would score in its place."""
    if path is not None and str(path) != STARTER_NAME and not as_path(path).exists():
        raise NotFoundError(path, "there is no such model", "name a RUN, or leave it empty")


def _field(name: str, hint: Any, description: str) -> Parameter:
    kind = Annotated[hint | None, Field(description=description)]
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kind)


def _description(parameter: Parameter) -> str:
    (about,) = parameter.annotation.__metadata__
    return about.description


def run_day(date: datetime.date | None, settings: Settings) -> str:
    """Return `date`, or the day the run was scheduled for: one that starts late keeps its day."""
    if date is not None:
        return date.isoformat()
    scheduled = flow_run.scheduled_start_time or datetime.datetime.now(datetime.UTC)
    return scheduled.astimezone(settings.schedule.zone).date().isoformat()


def flow_run_name() -> str:
    """Name a run after its flow and day; a template would show the day as `None`."""
    date, settings = (flow_run.parameters.get(name) for name in ("date", "settings"))
    day = str(date) if date else run_day(None, load_settings(settings))
    return f"{flow_run.flow_name}-{day}"


@contextmanager
def alone_with_table(table: StoragePath) -> Iterator[None]:
    """Hold a limit of one run a table, on Prefect's server: others wait, and its page says so.

    On one machine the tables' own locks keep writers apart. This holds across machines, and for
    the ad hoc deployments together with the scheduled ones. A run that is killed keeps the slot no
    longer than its lease.
    """
    path = str(table.absolute())
    name = f"pointerprint-table-{table.name}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, 1)
    with concurrency(name, occupy=1, lease_duration=_LEASE_S):
        yield
