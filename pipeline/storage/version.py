"""Which version of the program this is: every manifest keeps it."""

from functools import cache
from importlib import metadata


@cache
def program_version() -> str:
    """Return the version of pointerprint that runs."""
    return metadata.version("pointerprint")
