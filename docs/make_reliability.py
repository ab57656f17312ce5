"""Run the tests of faults and write docs/reliability.md: `python docs/make_reliability.py`.

`python docs/make_reliability.py REPORT` reads the report of an earlier run instead (pytest
--junitxml=REPORT).
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

`python docs/make_reliability.py` runs the test of each fault
([tests/faults.py](../tests/faults.py)) and writes this page.

| fault | the user sees | left on the disk | the same command again | tested |
|---|---|---|---|---|
"""


def results() -> dict[str, str]:
    """Run the tests and return the result of each: `passed`, `failed` or why it was skipped."""
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
        return results_in(report)


def results_in(report: Path) -> dict[str, str]:
    """Return the result of each test in a report of pytest's."""
    cases = ElementTree.parse(report).getroot().iter("testcase")
    return {case.attrib["name"]: _result(case) for case in cases}


def _result(case: ElementTree.Element) -> str:
    for child in case:
        if child.tag == "skipped":
            return f"skipped: {child.attrib.get('message', '')}"
        if child.tag in ("failure", "error"):
            return "FAILED"
    return "passed"


def row(fault: Fault, results: dict[str, str]) -> str:
    """Return a row of the table."""
    name = fault.test.partition("::")[2]
    test = f"[{results.get(name, 'not run')}](../tests/{fault.test.partition('::')[0]})"
    return f"| {fault.what} | {fault.seen} | {fault.left} | {fault.again} | {test} |"


if __name__ == "__main__":
    page = ROOT / "docs" / "reliability.md"
    found = results_in(Path(sys.argv[1])) if len(sys.argv) > 1 else results()
    page.write_text(HEADING + "\n".join(row(fault, found) for fault in FAULTS) + "\n")
    print(page)
    sys.exit("FAILED" in found.values())
