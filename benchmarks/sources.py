"""Where the recordings are that benchmarks need, and settings given on the command line."""

import ast
import os
import sys
from collections.abc import Sequence
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flows.jobs.inputs import each_sessions
from model.config import RunConfig
from pipeline.sessions.sessions import Sessions, concatenate_sessions


def recordings_folder(*needed: str) -> Path:
    """Return the folder of recordings; without it, or what is `needed` in it, say so and exit 0."""
    folder = Path(os.environ.get("POINTERPRINT_DATA", "../shared/data"))
    missing = [name for name in needed if not (folder / name).exists()]
    if not folder.is_dir() or missing:
        lacking = f" with {', '.join(missing)}" if missing else ""
        print(f"skipped: no recordings{lacking} at {folder} (set POINTERPRINT_DATA)")
        sys.exit(0)
    return folder


def read_all(*paths: Path, account: str | None = None) -> Sessions:
    """Return every session of these logs; `account` is the column that holds their account."""
    columns = {"account_id": account} if account else {}
    return concatenate_sessions(list(each_sessions(paths, columns=columns)))


def of_accounts(sessions: Sessions, accounts: Sequence[str] | np.ndarray) -> Sessions:
    """Return the sessions of these accounts."""
    return sessions.take(np.isin(sessions.account_id.astype(str), accounts))


def with_settings(config: RunConfig, settings: Sequence[str]) -> RunConfig:
    """Return `config` with each `section.field=value` put in (a Python literal, or a word)."""
    for setting in settings:
        path, value = setting.split("=", 1)
        try:
            parsed = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            parsed = value
        config = _put(config, path.split("."), parsed)
    return config


def _put(part: Any, path: Sequence[str], value: Any) -> Any:
    """Return a dataclass with the field at the end of `path` set."""
    name, *rest = path
    if not is_dataclass(part) or not hasattr(part, name):
        raise ValueError(f"unknown setting: {type(part).__name__} has no {name!r}")
    return replace(part, **{name: _put(getattr(part, name), rest, value) if rest else value})
