"""Print the settings of a training as TOML, with the descriptions of their docstrings."""

import inspect
from dataclasses import fields, is_dataclass
from typing import Any

from docstring_parser import parse

from model.config import RunConfig


def settings_toml(config: RunConfig = RunConfig()) -> str:
    """Return every setting with its value and what it is for; `train --config` reads it."""
    return "\n".join([*_table(config, ()), ""])


def _table(part: Any, names: tuple[str, ...]) -> list[str]:
    """Return the lines of one table and of those within it."""
    comments = _comments(type(part))
    lines: list[str] = []
    if names:
        lines += ["", f"[{'.'.join(names)}]  # {_first_sentence(type(part))}"]
    tables = []
    for field in fields(part):
        value = getattr(part, field.name)
        if is_dataclass(value):
            tables.append((value, (*names, field.name)))
            continue
        comment = comments.get(field.name)
        lines.append(f"{field.name} = {_value(value)}" + (f"  # {comment}" if comment else ""))
    for value, path in tables:
        lines += _table(value, path)
    return lines


def _comments(kind: type) -> dict[str, str]:
    """Return the description of each field."""
    about = parse(kind.__doc__ or "").params
    return {field.arg_name: " ".join((field.description or "").split()) for field in about}


def _first_sentence(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0].rstrip(".")


def _value(value: object) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return f'"{value}"' if isinstance(value, str) else repr(value)
