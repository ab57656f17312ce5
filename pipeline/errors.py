"""The errors a user can cause and mend.

    PointerprintError
    +-- LogError          a log that can't be read (the file as a whole; bad rows go to quarantine)
    |   +-- UnknownFormatError
    |   +-- ColumnsError      its columns can be read in two ways, or not as they were named
    |   |   +-- MissingColumnsError
    |   +-- ChangedLogError   written to, or gone, while it was read
    +-- SchemaError       a table of another kind or version
    +-- NotFoundError     a path, session or model that isn't there
    +-- ConfigError       an invalid setting, or a misspelt one
    +-- DataError         too little or contradictory data for what was asked
    +-- PublishError      a table that can't be written
    +-- StorageError      an object store that refuses, or doesn't answer
    +-- WorkerError       a process or cluster that was to do the work is gone, or isn't there

The command line prints one as `error: where: what`, then `hint: ...`, and exits with 1.
"""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from typing import Final

HIDDEN: Final = "***"

# Of `postgresql://me:secret@host`; a path has lost one of the slashes. The last @ ends it.
_IN_ADDRESS: Final = re.compile(r"(?<=:)(/{1,2})([^/\s:@?#]*):([^/\s]+)@")
_IN_QUERY: Final = re.compile(
    r"(?i)([?&;]|\b)((?:x-(?:amz|goog)-(?:signature|credential|security-token)|signature"
    r"|awsaccesskeyid|access_?token|api_?key|password|passwd|secret(?:_?key)?|sig|token)=)"
    r"[^&;\s'\")]+"
)
_SECRET_NAME: Final = re.compile(
    r"(?i)(secret|secret_key|password|passwd|token|api_?key|access_key|auth_string|credentials?"
    r"|(connection|database)_url)$"
)
_SHORTEST: Final = 6  # a shorter value would be found in words


def without_secrets(text: str, environ: Mapping[str, str] | None = None) -> str:
    """Return `text` with each secret as `***`."""
    for secret in _secrets(os.environ if environ is None else environ):
        text = text.replace(secret, HIDDEN)
    text = _IN_ADDRESS.sub(rf"\1\2:{HIDDEN}@", text)
    return _IN_QUERY.sub(rf"\1\2{HIDDEN}", text)


def has_secret(text: str) -> bool:
    """Say whether an address names credentials."""
    return without_secrets(text, {}) != text


def _secrets(environ: Mapping[str, str]) -> list[str]:
    """Return the values of secret variables, and the passwords in addresses, longest first."""
    found = set()
    for name, value in environ.items():
        in_address = _IN_ADDRESS.search(value)
        if in_address:
            found.add(in_address[3])
        elif _SECRET_NAME.search(name) and not _is_place(value):
            found.add(value)
    return sorted((secret for secret in found if len(secret) >= _SHORTEST), key=len, reverse=True)


def _is_place(value: str) -> bool:
    """Say whether a value is a path or an address, such as GOOGLE_APPLICATION_CREDENTIALS."""
    return "://" in value or value.startswith(("/", "./", "~"))


# Control characters, and marks that turn the direction of what is written behind them.
_UNFIT: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def is_fit(name: str, most_characters: int) -> bool:
    """Say whether a name may be stored: not endless, and it shows as what it is."""
    return len(name) <= most_characters and _UNFIT.search(name) is None


def printable(text: str) -> str:
    """Return text with a visible escape for each character that would do something else.

    The newline too: a file's name could otherwise write a line of its own into an error.
    """
    return _UNFIT.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


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


class ColumnsError(LogError):
    """A log's columns can be read in two ways, or can't be what the user says they are."""


class MissingColumnsError(ColumnsError):
    """A log lacks columns that its format requires.

    `guesses` are what the hint names instead of its own guesses: our column -> the log's.
    """

    def __init__(
        self,
        where: object,
        missing: Iterable[str],
        found: Iterable[str],
        guesses: Mapping[str, str] | None = None,
    ):
        self.missing = sorted(missing)
        self.found = [name[:_SHOWN_CHARACTERS] for name in found]
        shown, n_more = self.found[:_SHOWN], len(self.found[_SHOWN:])
        near = {name: did_you_mean(name, shown) for name in self.missing}
        named = dict(guesses or {}) or {name: match[0] for name, match in near.items() if match}
        is_time_named = any(ours.startswith("t_") for ours in named)
        unnamed = [
            n for n in self.missing if n not in named and not (n == "t_ms" and is_time_named)
        ]
        example = named | dict.fromkeys(unnamed, "YOUR_NAME")
        super().__init__(
            where,
            f"missing column(s) {', '.join(self.missing)}; found {', '.join(shown) or 'none'}"
            + (f" and {n_more:,} more" if n_more else ""),
            f"{'did you mean ' + ', '.join(named.values()) + '? ' if named else ''}"
            f"say which they are with --columns {','.join(map('='.join, example.items()))}",
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
    """A setting with an invalid value."""


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
