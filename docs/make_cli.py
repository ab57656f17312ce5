"""Write docs/cli.md from the commands of the program.

python docs/make_cli.py [FILE]
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cyclopts import App

from flows.cli import app
from model.config import RunConfig

PAGE: Final = Path(__file__).resolve().with_name("cli.md")
SHARED_BY: Final = 3  # an option of so many commands is described once
HEADING: Final = """\
# Command line

`python docs/make_cli.py` makes this page from the program. `pointerprint COMMAND --help` says the
same; `python -m flows` is the same program.

Results go to stdout, progress to stderr. `--quiet` hides progress everywhere; `NO_COLOR=1` turns
colours off. An error that you can correct is one line on stderr, `error: ...`, often with a hint,
and exit code 1. Wrong usage is exit code 2. `eval "$(pointerprint completion bash)"` completes
commands and options with Tab; zsh and fish too.

## Options of several commands

"""
SETTINGS: Final = """\
## Settings of training

Each is an option of `train` (`--train.epochs 20`) and an entry of the TOML that `--config` takes
(`[train]`, `epochs = 20`). `pointerprint settings` prints each with what it is for.

| section | settings and defaults |
|---|---|
"""


def commands(of: App, name: str = "") -> Iterator[tuple[str, App]]:
    """Give each command that does something, with its whole name, subcommands included."""
    for part in sorted(part for part in of if not part.startswith("-")):
        whole = f"{name} {part}".strip()
        if of[part].default_command is None:
            yield from commands(of[part], whole)
        else:
            yield whole, of[part]


def usage(name: str, of: App) -> str:
    """Return a command with its arguments and the options that it requires."""
    found = of.assemble_argument_collection()
    needed = [f"{one.name} {one.name.strip('-').upper()}" for one in found if _is_needed(one)]
    arguments = [_shown_name(one) for one in found if one.index is not None]
    return " ".join(["pointerprint", name, *arguments, *needed])


def _is_needed(one) -> bool:
    return one.required and one.index is None


def options(of: App) -> list[str]:
    """Describe each option that `--help` shows; options without words share a line."""
    groups = defaultdict(list)
    for one in of.assemble_argument_collection():
        if one.show and (one.index is None or _what(one)):
            prefix, dot, _ = one.name.partition(".")
            groups[f"{prefix}.*" if dot else one.name].append(one)
    return [
        f"`{name}`: {', '.join(_setting(one) for one in group)}"
        if name.endswith(".*")
        else f"`{_shown_name(group[0])}`{_default(group[0])}{_what(group[0])}"
        for name, group in groups.items()
    ]


def _setting(one) -> str:
    return f"`{one.name.partition('.')[2]} {one.field_info.default}`"


def _shown_name(one) -> str:
    if one.index is None:
        return one.names[0]
    return one.name.lstrip("-").upper() + ("..." if "tuple" in str(one.hint) else "")


def _default(one) -> str:
    if one.required:
        return " (required)"
    value = one.field_info.default
    if one.index is not None or value in (None, False, "", ()) or isinstance(value, type):
        return ""
    return f" (`{value}`)"


def _what(one) -> str:
    text = " ".join((one.parameter.help or "").split())
    choices = ", ".join(f"`{choice}`" for choice in one.get_choices() or ())
    what = (f"{text} One of {choices}." if choices else text).strip()
    return f": {what}" if what else ""


def setting_rows() -> list[str]:
    """Return a table row for each section of training's settings: names and defaults."""
    sections: dict[str, list[str]] = {}
    for one in app["train"].assemble_argument_collection():
        if one.show or one.children or one.name == "*":
            continue
        *path, name = one.name.lstrip("-").replace("-", "_").split(".")
        value: object = RunConfig()
        for part in (*path, name):
            value = getattr(value, part)
        sections.setdefault(".".join(path), []).append(f"`{name} = {json.dumps(value)}`")
    return [
        f"| {f'`[{name}]`' if name else ''} | {', '.join(values)} |\n"
        for name, values in sections.items()
    ]


def cli_page() -> str:
    """Return the whole page."""
    described = {name: options(of) for name, of in commands(app)}
    used_by: dict[str, list[str]] = defaultdict(list)
    for name, found in described.items():
        for one in found:
            used_by[one].append(name)
    shared = {
        one: names for one, names in used_by.items() if len(names) >= SHARED_BY and ": " in one
    }
    page = HEADING + "".join(f"- {one} *{', '.join(names)}*\n" for one, names in shared.items())
    bare = []
    for name, of in commands(app):
        own = "".join(f"- {one}\n" for one in described[name] if one not in shared)
        what = f"`{usage(name, of)}`: {' '.join(of.help.split())}\n"
        if own:
            page += f"\n## {name}\n\n{what}\n{own}"
        else:
            bare.append(f"- {what}")
    page += "\n## Commands without options of their own\n\n" + "".join(bare)
    return page + "\n" + SETTINGS + "".join(setting_rows())


if __name__ == "__main__":
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    page.write_text(cli_page())
    print(page)
