"""The pages a user reads: they match the program, and their links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli import app
from pipeline import schemas
from pipeline.ingest import clean
from pipeline.reasons.codes import CODES
from pipeline.reasons.measures import ACCOUNT_MEASURES, MEASURES

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "sample_data" / "README.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
LINK = re.compile(r"\]\(([^)\s]+)\)")


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


def test_the_api_page_is_what_the_script_makes(tmp_path):
    script = [sys.executable, str(ROOT / "docs" / "make_api.py"), str(tmp_path / "api.md")]
    subprocess.run(script, cwd=ROOT, check=True, capture_output=True)
    assert (ROOT / "docs" / "api.md").read_text() == (tmp_path / "api.md").read_text(), (
        "make it anew: python docs/make_api.py"
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
    for code in CODES.values():
        assert f"| `{code.name}` | {code.words} | {code.misleads} |" in page
    for measure in MEASURES.values():
        assert f"| `{measure.name}` | {measure.summary} | {measure.unit or '-'} |" in page
    for habit in ACCOUNT_MEASURES.values():
        assert f"| `{habit.name}` | {habit.summary} | {habit.unit or '-'} | {habit.words} |" in page
