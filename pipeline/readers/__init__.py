"""Read log files of several formats. Each module in this folder reads the format of its name.

`common/` holds what the readers share. This module imports none of them: the command line lists
the formats in its help, and must not load pandas for that.
"""

import pkgutil
from typing import Final

AUTO: Final = "auto"
"""Stands for the format that a file is recognised as."""


def format_names() -> tuple[str, ...]:
    """Return the names of the log formats, which are those of the modules in this folder."""
    return tuple(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)
