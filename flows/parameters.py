"""The flows' parameters, as Prefect's form shows them: help, limits, choices.

Each may be left empty: then the installation's settings say it (flows/site.py), read by the run
itself, so that a change of the file counts from the next run on.
"""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

from pydantic import Field, WithJsonSchema
from pydantic.fields import FieldInfo

from flows.site import Device

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


Settings = Annotated[
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
