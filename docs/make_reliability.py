"""The tests of faults run, docs/reliability.md out: `python docs/make_reliability.py`.

With the report of a run there was (pytest --junitxml=REPORT), `... make_reliability.py REPORT`
writes down that one instead.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from faults import FAULTS, Fault  # noqa: E402 - the tests' own list

HEADING: Final = """\
# Reliability

Made by `python docs/make_reliability.py`, which runs the test of each fault
([tests/faults.py](../tests/faults.py)) and writes down how it went.

| fault | the user sees | left on the disk | the same command again | tested |
|---|---|---|---|---|
"""


def outcomes() -> dict[str, str]:
    """Run the tests and return what came of each: `passed`, `failed` or why it was skipped."""
    tests = [f"tests/{fault.test}" for fault in FAULTS]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:randomly",
            f"--junitxml={report}",
        ]
        subprocess.run([*command, *tests], cwd=ROOT, check=False)
        return outcomes_in(report)


def outcomes_in(report: Path) -> dict[str, str]:
    """Return what came of each test in a report of pytest's."""
    cases = ElementTree.parse(report).getroot().iter("testcase")
    return {case.attrib["name"]: _outcome(case) for case in cases}


def _outcome(case: ElementTree.Element) -> str:
    for child in case:
        if child.tag == "skipped":
            return f"skipped: {child.attrib.get('message', '')}"
        if child.tag in ("failure", "error"):
            return "FAILED"
    return "passed"


def row(fault: Fault, came: dict[str, str]) -> str:
    """Return a row of the table."""
    name = fault.test.partition("::")[2]
    test = f"[{came.get(name, 'not run')}](../tests/{fault.test.partition('::')[0]})"
    return f"| {fault.what} | {fault.seen} | {fault.left} | {fault.again} | {test} |"


if __name__ == "__main__":
    page = ROOT / "docs" / "reliability.md"
    came = outcomes_in(Path(sys.argv[1])) if len(sys.argv) > 1 else outcomes()
    page.write_text(HEADING + "\n".join(row(fault, came) for fault in FAULTS) + "\n")
    print(page)
    sys.exit("FAILED" in came.values())
