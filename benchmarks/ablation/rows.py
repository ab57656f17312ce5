"""The rows of the ablation: one change each from a row that stays."""

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, Literal

from model.config import RunConfig

PICTURE = (
    "owner.picture=True",
    "trace.widths=()",
    "habits.width=0",
    "owner.habits=False",
    "cnn.widths=(16, 32)",
    "canvas.channels=('ink', 'speed', 'direction_x', 'direction_y')",
)
"""The picture alone: what encodings are compared on."""
SPEED, DIRECTION = "'ink', 'speed'", "'direction_x', 'direction_y'"


@dataclass(frozen=True)
class Row:
    """One network, or one table of features, and what it differs in."""

    name: str
    group: str
    settings: tuple[str, ...] = ()  # section.field=value, on top of the group's
    kind: Literal["network", "habits", "features", "fusion"] = "network"
    decisive: bool = False  # measured with every seed; others with the first alone


def _pictures(group: str, *rows: tuple[str, str]) -> list[Row]:
    return [
        Row(name, group, (*PICTURE, *([setting] if setting else [])), decisive=group == "channels")
        for name, setting in rows
    ]


def _models(*rows: tuple[str, tuple[str, ...]]) -> list[Row]:
    return [Row(name, "model", settings, decisive=True) for name, settings in rows]


NO_TRACE, NO_HABITS = "trace.widths=()", "habits.width=0"
LEARNT = "owner.habits=False"
SEES = ("owner.picture=True", "cnn.widths=(16, 32)")

ROWS: tuple[Row, ...] = (
    *_models(
        ("path", (NO_HABITS, LEARNT)),
        ("habits, learnt", (NO_TRACE, LEARNT)),
        ("path, habits, learnt", (LEARNT,)),
        ("picture, path, habits, learnt", (*SEES, LEARNT)),
        ("path, habits", ()),
        ("picture, path, habits", SEES),
        ("path, habits, siblings", ("owner.mirrored=True", "owner.paces=(0.8, 1.25)")),
    ),
    Row("habits as they are", "model", kind="habits", decisive=True),
    Row("features", "model", kind="features", decisive=True),
    Row("features + path, habits", "model", kind="fusion", decisive=True),
    *_pictures(
        "channels",
        ("speed", f"canvas.channels=({SPEED},)"),
        ("speed, direction", ""),
        ("speed, direction, press, pause, click", f"canvas.channels=({SPEED}, {DIRECTION}, "
         "'press', 'pause', 'click')"),
        ("signed vx, vy", "canvas.channels=('ink', 'velocity_x', 'velocity_y')"),
    ),
    *_pictures(
        "time",
        ("resampled to 50 ms", "owner.standard.period_ms=50.0"),
        ("resampled to 110 ms", "owner.standard.period_ms=110.0"),
    ),
    *_pictures(
        "place",
        ("absolute, 24 px a cell", "canvas.placement='absolute';canvas.cell_px=24.0"),
        ("box", "canvas.placement='box'"),
    ),
    *_pictures(
        "size",
        ("32 cells of 24 px", "canvas.size=32;canvas.cell_px=24.0"),
        ("48 cells of 16 px", "canvas.size=48;canvas.cell_px=16.0"),
        ("96 cells of 8 px", "canvas.size=96;canvas.cell_px=8.0"),
    ),
    *(
        Row(name, "window", (setting,))
        for name, setting in (
            ("64 events", "owner.window.max_events=64"),
            ("256 events", "owner.window.max_events=256"),
            ("128 events, cut at rests too", "owner.window.rule='both'"),
            ("128 events, cut at rests alone", "owner.window.rule='gap'"),
        )
    ),
)  # fmt: skip


def chosen_rows(names: Iterable[str] = ()) -> list[Row]:
    """Return the rows whose name or group is one of `names`; all, without any."""
    wanted = set(names)
    return [row for row in ROWS if not wanted or wanted & {row.name, row.group}]


def with_settings(config: RunConfig, settings: Sequence[str]) -> RunConfig:
    """Return `config` with each `section.field=value` put in; several, apart by `;`."""
    for setting in ";".join(settings).split(";"):
        if setting:
            path, value = setting.split("=", 1)
            config = _put(config, path.split("."), ast.literal_eval(value))
    return config


def _put(part: Any, path: list[str], value: Any) -> Any:
    """Return a dataclass with the field at the end of `path` set."""
    name, *rest = path
    before = getattr(part, name)
    if rest and not is_dataclass(before):
        raise ValueError(f"{name} has no {'.'.join(rest)}")
    return replace(part, **{name: _put(before, rest, value) if rest else value})
