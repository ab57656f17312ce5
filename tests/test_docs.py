"""The pages a user reads: they match the program, and their links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli import app
from pipeline import schemas
from pipeline.ingest import clean
from pipeline.reasons.registry import ACCOUNT_MEASURES, CODES, MEASURES

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "sample_data" / "README.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^(?: {4}|\t)(.+)$|`([^`\n]+)`", re.MULTILINE)
CODE_FOLDERS = ("pipeline", "rasterize", "model", "flows", "benchmarks", "tests", "docs")
EVERYWHERE = {"--quiet", "--help", "--version"}
SHOWN = [page for page in PAGES if page.name != "CHANGELOG.md"]  # which speaks of former commands


def relative_links(page: Path) -> list[tuple[str, str]]:
    """Return path and anchor of each link on a page that leads into the checkout."""
    links = (link.partition("#") for link in LINK.findall(page.read_text()))
    return [(path, anchor) for path, _, anchor in links if not re.match(r"[a-z]+:", path)]


def anchors(page: Path) -> set[str]:
    """Return the names that a page's headings can be linked by."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_page_of_commands_is_what_the_script_makes(tmp_path):
    script = [sys.executable, str(ROOT / "docs" / "make_cli.py"), str(tmp_path / "cli.md")]
    subprocess.run(script, cwd=ROOT, check=True, capture_output=True)
    assert (ROOT / "docs" / "cli.md").read_text() == (tmp_path / "cli.md").read_text(), (
        "make it anew: python docs/make_cli.py"
    )


def test_the_tables_of_formats_are_what_the_script_makes(tmp_path):
    script = [sys.executable, str(ROOT / "docs" / "make_formats.py"), str(tmp_path / "formats.md")]
    subprocess.run(script, cwd=ROOT, check=True, capture_output=True)
    assert (ROOT / "docs" / "formats.md").read_text() == (tmp_path / "formats.md").read_text(), (
        "make it anew: python docs/make_formats.py"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading(page):
    for path, anchor in relative_links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), f"{path} leads out of the checkout"
        assert target.exists(), f"{path} does not exist"
        assert not anchor or anchor in anchors(target), f"{path} has no heading #{anchor}"


def test_every_command_is_shown_in_use():
    pages = [page.read_text() for page in PAGES if page.name != "cli.md"]
    commands = [name for name in app if not name.startswith("-")]
    assert commands
    for command in commands:
        called = re.compile(rf"(pointerprint|make) {command}\b")
        assert any(called.search(text) for text in pages), f"no page shows `{command}`"


def calls(page: Path, program: str) -> list[str]:
    """Return each call of a program on a page, in code blocks and in running text."""
    text = page.read_text().replace("\\\n", " ")
    code = (block or inline for block, inline in CODE.findall(text))
    found = (re.search(rf"(?:^|[$&|;(] ?){re.escape(program)} (.+)", line) for line in code)
    return [match[1] for match in found if match]


def options_of(words: list[str]) -> set[str] | None:
    """Return the options of the command that these words begin with; None: there is none."""
    command = app
    while words and not words[0].startswith("-") and words[0] in command:
        command, words = command[words[0]], words[1:]
    if command is app:
        return None
    if command.default_command is None:  # `models`: its commands are meant
        return set()
    arguments = command.assemble_argument_collection()
    return {name for argument in arguments for name in argument.names}


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_and_option_on_a_page_exists(page):
    for call in calls(page, "pointerprint"):
        words = re.split(r"[\s|;&)]+", call.partition("  ")[0].partition(" #")[0])
        options = options_of(words)
        if options is None:
            assert words[0].startswith("-") or not words[0].islower(), f"no command: {call}"
            continue
        used = {word.partition("=")[0] for word in words if re.match(r"--\w", word)}
        assert used <= options | EVERYWHERE, f"{call}: no option {used - options - EVERYWHERE}"


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_benchmark_and_target_on_a_page_exists(page):
    for call in calls(page, "python -m"):
        module = ROOT.joinpath(*call.split()[0].split("."))
        assert module.is_dir() or module.with_suffix(".py").exists(), call
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for call in calls(page, "make"):
        assert call.split()[0] in targets, f"make {call}: no such target"


@pytest.mark.parametrize("name", ["docs/benchmarks.md", "benchmarks/README.md"])
def test_figures_have_the_command_that_made_them(name):
    for section in re.split(r"^## ", (ROOT / name).read_text(), flags=re.MULTILINE)[1:]:
        if re.search(r"^\| .*\d", section, re.MULTILINE):
            assert re.search(r"python -m \w|pointerprint \w|make \w", section), section[:60]


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    for page in sorted((ROOT / "docs").rglob("*.md")):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert name == "README.md" or f"({name})" in index, f"docs/README.md has no link to {name}"


def test_the_cleaning_rules_are_those_of_the_code():
    rules = [line for line in clean.__doc__.splitlines() if line.startswith("| ")]
    page = (ROOT / "docs" / "formats.md").read_text()
    assert len(rules) > 10
    assert [rule for rule in rules if rule not in page] == []


@pytest.mark.parametrize(
    "name", ["SESSIONS", "QUARANTINE", "SCORES", "REASONS", "LABELS", "FEEDBACK", "DRIFT"]
)
def test_every_column_of_every_table_is_described(name):
    page = (ROOT / "docs" / "tables.md").read_text()
    cells = " ".join(row.split("|")[1] for row in page.splitlines() if row.startswith("| `"))
    assert [column for column in getattr(schemas, name).names if f"`{column}`" not in cells] == []


def test_every_reason_and_its_measure_are_described_as_the_code_has_them():
    page = " ".join((ROOT / "docs" / "reasons.md").read_text().split())
    for reason in CODES.values():
        assert f"| `{reason.code}` | {reason.words} | {reason.misleads} |" in page
    for measure in MEASURES.values():
        assert f"| `{measure.name}` | {measure.summary} | {measure.unit or '-'} |" in page
    for known in ACCOUNT_MEASURES.values():
        words = known.words + (f", in % of {known.share_of}" if known.share_of else "")
        assert f"| `{known.name}` | {known.summary} | {known.unit or '-'} | {words} |" in page


def test_every_page_that_the_code_names_exists():
    files = [path for folder in CODE_FOLDERS for path in (ROOT / folder).rglob("*")]
    texts = [path.read_text() for path in files if path.suffix in (".py", ".html", ".js", ".yaml")]
    named = {name for text in texts for name in re.findall(r"\bdocs/[\w/-]+\.md", text)}
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
