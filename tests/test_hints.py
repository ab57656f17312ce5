"""What the program says when something is wrong: no option that isn't there, nothing raw."""

import ast
import json
import logging
import re
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from flows.cli import app, main
from flows.prefect.serve import serve
from flows.settings import ServerConfig, Settings
from pipeline.errors import WorkerError

ROOT = Path(__file__).resolve().parent.parent
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*(?:\.[a-z][a-z0-9-]*)*")
PREFECTS = {
    *("--host", "--port", "--pool", "--type", "--limit", "--all", "--prefect-file", "--no-prompt"),
    "--overwrite",
}
"""Options of Prefect's commands, which flows/prefect calls."""


def commands(of, name=""):
    """Return the options of each command, by its whole name."""
    found = {}
    for part in (part for part in of if not part.startswith("-")):
        whole = f"{name} {part}".strip()
        if of[part].default_command is None:
            found |= commands(of[part], whole)
        else:
            arguments = of[part].assemble_argument_collection()
            found[whole] = {option for one in arguments for option in one.names}
    return found


def sayings():
    """Give each text of the code that is no docstring, and where it stands."""
    for folder in ("flows", "model", "pipeline", "rasterize"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            tree = ast.parse(path.read_text())
            docs = {
                id(node.body[0].value)
                for node in ast.walk(tree)
                if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
                and node.body
                and isinstance(node.body[0], ast.Expr)
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.JoinedStr):
                    parts = [p.value if isinstance(p, ast.Constant) else "X" for p in node.values]
                    text = "".join(map(str, parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    text = node.value
                else:
                    continue
                if id(node) not in docs:
                    yield path.relative_to(ROOT), node.lineno, text


def test_every_option_that_the_program_names_is_there():
    of_commands = commands(app)
    known = {option for options in of_commands.values() for option in options}
    known |= {"--quiet", "--help", "--version"}
    unknown = []
    n_named = 0
    for path, line, text in sayings():
        allowed = known | PREFECTS if path.parts[:2] == ("flows", "prefect") else known
        named = set(OPTION.findall(text))
        n_named += len(named)
        unknown += [f"{path}:{line}: {option}" for option in named - allowed]
    assert not unknown
    assert n_named > 40


def test_a_command_that_the_program_names_has_the_options_named_with_it():
    of_commands = commands(app)
    wrong = []
    for path, line, text in sayings():
        for call in re.findall(r"pointerprint ([^`\n]*)", text):
            words = call.split()
            name = next((n for n in (" ".join(words[:2]), *words[:1]) if n in of_commands), None)
            if name is None:
                continue
            extra = set(OPTION.findall(call)) - of_commands[name]
            wrong += [f"{path}:{line}: {name} has no {option}" for option in extra]
    assert not wrong


@pytest.mark.parametrize(
    ("command", "what"),
    [("ingest", "LOG"), ("train", "STORE"), ("enroll", "STORE"), ("score", "LOG|STORE")],
)
def test_a_bare_command_asks_for_what_it_takes_first(command, what, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == (
        f"usage: pointerprint {command} {what}...: name at least one\n"
    )


def test_a_port_in_use_is_said_before_anything_is_started(tmp_path):
    said = []
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = ServerConfig(port=port, home=tmp_path / "prefect")
        settings = replace(Settings(), logs=(tmp_path,), server=server)
        with pytest.raises(WorkerError, match=rf"{port}: Address already in use.*--set server"):
            serve(settings, {}, None, said.append)
    assert said == []
    assert list(server.home.iterdir()) == []  # no server's log


def test_a_warning_is_a_plain_line(monkeypatch, capsys):
    def warn():
        logging.getLogger("flows.jobs.report").warning("%d cases", 3)
        return {}

    monkeypatch.setattr("flows.jobs.info.installation", warn)
    with pytest.raises(SystemExit):
        main(["info", "--json"])
    assert capsys.readouterr().err == "warning: 3 cases\n"
    assert logging.getLogger("flows").propagate


def test_the_programs_own_version_comes_first(capsys):
    with pytest.raises(SystemExit):
        main(["info", "--json"])
    assert next(iter(json.loads(capsys.readouterr().out))) == "pointerprint"
