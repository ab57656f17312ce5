"""The errors a user can cause and mend.

    PointerprintError
    +-- LogError          a log that can't be read (the file as a whole; bad rows go to quarantine)
    |   +-- UnknownFormatError
    |   +-- MissingColumnsError
    |   +-- ChangedLogError   written to, or gone, while it was read
    +-- SchemaError       a table of another kind or version
    +-- NotFoundError     a path, session or model that isn't there
    +-- ConfigError       a setting that makes no sense, or a misspelt one
    +-- DataError         too little or contradictory data for what was asked
    +-- PublishError      a table that can't be written
    +-- StorageError      an object store that refuses, or doesn't answer
    +-- WorkerError       a process or cluster that was to do the work is gone, or isn't there

The command line prints one as `error: where: what`, then `hint: ...`, and exits with 1.
"""

import difflib
from collections.abc import Iterable
from typing import Final

from pipeline.names import printable
from pipeline.secrets import without_secrets

_SHOWN: Final = 20  # names that an error lists
_SHOWN_CHARACTERS: Final = 60  # of each


class PointerprintError(ValueError):
    """Base class: catch this to catch every error a user can cause."""

    def __init__(self, where: object, what: str, hint: str = ""):
        # They quote file names and logs, which may hold whatever steers a terminal, and
        # addresses and other programs, which may hold a password.
        self.where, self.what, self.hint = (
            printable(without_secrets(text)) for text in (str(where), what, hint)
        )
        shown = f"{self.where}: {self.what}"
        super().__init__(shown + (f" (hint: {self.hint})" if hint else ""))

    def __reduce__(self) -> tuple:
        """Rebuild from the message's parts, so that worker processes can pass it on."""
        return _rebuild, (type(self), self.where, self.what, self.hint)


def _rebuild(cls: type[PointerprintError], where: str, what: str, hint: str) -> PointerprintError:
    error = cls.__new__(cls)
    PointerprintError.__init__(error, where, what, hint)
    return error


class LogError(PointerprintError):
    """A log that can't be read at all."""


class UnknownFormatError(LogError):
    """No reader recognises a file, or no reader has the name that was given."""


class MissingColumnsError(LogError):
    """A log lacks columns that its format requires."""

    def __init__(self, where: object, missing: Iterable[str], found: Iterable[str]):
        self.missing = sorted(missing)
        self.found = [name[:_SHOWN_CHARACTERS] for name in found]
        shown, n_more = self.found[:_SHOWN], len(self.found[_SHOWN:])
        near = [match for name in self.missing for match in did_you_mean(name, shown)]
        guesses = [(did_you_mean(name, shown) or ["YOUR_NAME"])[0] for name in self.missing]
        example = ",".join(map("=".join, zip(self.missing, guesses, strict=True)))
        super().__init__(
            where,
            f"missing column(s) {', '.join(self.missing)}; found {', '.join(shown) or 'none'}"
            + (f" and {n_more:,} more" if n_more else ""),
            f"{'did you mean ' + ', '.join(near) + '? ' if near else ''}"
            f"say which they are with --columns {example}",
        )


class ChangedLogError(LogError):
    """A file was written to, or went away, while it was read."""

    def __init__(self, where: object, what: str = "it changed while it was read"):
        super().__init__(where, what, "ingest again once it is complete")


class SchemaError(PointerprintError):
    """A table isn't of the kind or version that was expected."""


class NotFoundError(PointerprintError):
    """A path, session or model that isn't there."""


class ConfigError(PointerprintError):
    """A setting that makes no sense."""


class DataError(PointerprintError):
    """Too little, or contradictory, data for what was asked."""


class PublishError(PointerprintError):
    """A table can't be written."""


class StorageError(PointerprintError, OSError):
    """An object store refuses, or doesn't answer."""


class WorkerError(PointerprintError):
    """A process or cluster that was to do the work is gone, or isn't there."""


def did_you_mean(name: str, choices: Iterable[str], n: int = 1) -> list[str]:
    """Return up to `n` of `choices` that look like `name`, best first."""
    return difflib.get_close_matches(name, list(choices), n=n, cutoff=0.5)
