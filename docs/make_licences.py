"""Write docs/licences.md from what is installed: `python docs/make_licences.py [FILE]`.

It lists what `pip install pointerprint` brings, not what the tests and benchmarks need.
"""

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

PAGE: Final = Path(__file__).resolve().with_name("licences.md")
HEADING: Final = """\
# Licences

The packages that an installation of pointerprint brings, by the licence that each declares, with
the version in [constraints.txt](../constraints.txt). `python docs/make_licences.py` makes this
page.

| licence | packages |
|---|---|
"""


def brought() -> dict[str, metadata.Distribution]:
    """Return every distribution that the project needs here, directly or not, by name."""
    project = tomllib.loads((PAGE.parent.parent / "pyproject.toml").read_text())["project"]
    found: dict[str, metadata.Distribution] = {}
    waiting = [Requirement(text) for text in project["dependencies"]]
    while waiting:
        needed = waiting.pop()
        name = re.sub(r"[-_.]+", "-", needed.name).lower()
        if name in found or not _applies(needed):
            continue
        found[name] = metadata.distribution(needed.name)
        waiting += [Requirement(text) for text in found[name].requires or ()]
    return dict(sorted(found.items()))


def _applies(needed: Requirement) -> bool:
    return needed.marker is None or needed.marker.evaluate({"extra": ""})


def licence(distribution: metadata.Distribution) -> str:
    """Return the licence that a distribution declares, in a line."""
    declared = distribution.metadata
    classified = [
        word.rpartition(" :: ")[2]
        for word in declared.get_all("Classifier", [])
        if word.startswith("License :: ") and word != "License :: OSI Approved"
    ]
    text = (
        declared.get("License-Expression") or ", ".join(classified) or declared.get("License") or ""
    )
    return text.strip().partition("\n")[0][:80] or "not declared"


def page() -> str:
    """Return the whole page."""
    by_licence: dict[str, list[str]] = {}
    for name, found in brought().items():
        by_licence.setdefault(licence(found), []).append(f"{name} {found.version}")
    rows = [f"| {text} | {', '.join(names)} |\n" for text, names in sorted(by_licence.items())]
    return HEADING + "".join(rows)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    target.write_text(page())
    print(target)
