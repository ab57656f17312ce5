"""The `--help` pages in, docs/cli.md out.

python docs/make_cli.py [FILE]
"""

import io
import sys
from pathlib import Path

from rich.console import Console

from flows.cli import app
from flows.run_settings import settings_toml

WIDTH = 100  # fixed: the page must not depend on whose terminal made it
PAGE = Path(__file__).resolve().with_name("cli.md")
HEADING = """\
# Command line

Made from the `--help` pages by `python docs/make_cli.py`. `python -m flows` is the same program.

An error that you can mend is one line on stderr, `error: ...`, often with a hint, and exit code 1;
wrong usage is exit code 2. Results go to stdout, progress to stderr.
"""


def command_names() -> list[str]:
    """Return the names of the commands, as `pointerprint --help` lists them."""
    return sorted(name for name in app if not name.startswith("-"))


def help_page(*command: str) -> str:
    """Return what `pointerprint COMMAND --help` prints, without frames and colours."""
    app.help_formatter = "plain"
    text = io.StringIO()
    app.help_print(list(command), console=Console(file=text, width=WIDTH, color_system=None))
    return "\n".join(line.rstrip() for line in text.getvalue().strip().splitlines())


def cli_page() -> str:
    """Return the whole page."""
    sections = [f"```\n{help_page()}\n```\n"]
    sections += [f"## {name}\n\n```\n{help_page(name)}\n```\n" for name in command_names()]
    sections.append(f"## Every setting\n\n```toml\n{settings_toml()}```\n")
    return "\n".join([HEADING, *sections])


if __name__ == "__main__":
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    page.write_text(cli_page())
    print(page)
