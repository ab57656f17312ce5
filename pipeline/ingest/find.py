"""Find the log files in the files and folders that a user names."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from pipeline.errors import ChangedLogError, LogError, NotFoundError, printable
from pipeline.readers.common.limits import limits
from pipeline.storage.paths import RemotePath, StoragePath, as_path, relative_path

_MAKE_READABLE: Final = "let this user read it, or name the files to read"


@dataclass(frozen=True)
class FoundFile:
    """A file that may be a log, and how the user came to name it."""

    path: StoragePath
    root: StoragePath  # the folder that the user named, or the file's own
    is_named: bool  # by itself, not as part of a folder

    @property
    def name(self) -> str:
        """Return its path from the folder that the user named, as tables show it."""
        if self.is_named:
            return printable(self.path.name)
        below = relative_path(self.path, self.root)
        return printable((self.root.resolve().name / below).as_posix())

    @property
    def leads_out(self) -> bool:
        """Say whether it is a link to somewhere outside of the folder that the user named.

        Whoever may write a log may not thereby have any other file of this machine read.
        """
        if self.is_named or isinstance(self.path, RemotePath):
            return False
        return not self.path.resolve().is_relative_to(str(self.root.resolve()))

    @cached_property
    def sha256(self) -> str:
        """Return the hash of its bytes, by which the store knows it."""
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise LogError(self.path, f"it can't be read: {error}") from error

    @cached_property
    def first_seen(self) -> tuple[int, int]:
        """Return its size and the time of its last change, when first asked: before it is read."""
        try:
            stat = self.path.stat()
        except OSError as error:
            raise LogError(self.path, f"it can't be read: {error}") from error
        return stat.st_size, stat.st_mtime_ns

    def check_unchanged(self) -> None:
        """Raise `ChangedLogError` if it was written to since it was first seen."""
        try:
            stat = self.path.stat()
        except OSError as error:
            raise ChangedLogError(self.path, f"it is gone: {error}") from error
        if (stat.st_size, stat.st_mtime_ns) != self.first_seen:
            raise ChangedLogError(self.path)


@dataclass(frozen=True)
class NotALog:
    """A file in a folder that can't be read as a log, and why."""

    name: str
    error: LogError


def find_logs(path: StoragePath) -> list[StoragePath]:
    """Return the file itself, or every file below a folder, in order, but no hidden ones.

    A folder that can't be looked into is an error: what lies in it would be lost in silence.
    """
    try:
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise NotFoundError(path, "there is no such file or folder")
        return sorted(_files_below(path))
    except OSError as error:
        where = Path(error.filename) if error.filename else path
        why = error.strerror or error
        raise LogError(where, f"it can't be looked into: {why}", _MAKE_READABLE) from error


def _files_below(path: StoragePath) -> Iterator[StoragePath]:
    """Give the files below a folder, without hidden ones and what lies in hidden folders."""
    if isinstance(path, RemotePath):
        for file in path.rglob("*"):
            if file.is_file() and not any(map(_is_hidden, relative_path(file, path).parts)):
                yield file
        return
    for folder, folders, names in os.walk(path, onerror=_fail):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        files = (Path(folder, name) for name in names if not _is_hidden(name))
        yield from (file for file in files if file.is_file())


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _fail(error: OSError) -> None:
    raise error


def find_files(paths: Sequence[StoragePath]) -> list[FoundFile]:
    """Return every file that the user named, and every one in a folder, each once."""
    found: dict[StoragePath, FoundFile] = {}
    for path in map(as_path, paths):
        for file in find_logs(path):
            is_named = file == path
            found.setdefault(
                file.resolve(), FoundFile(file, path.parent if is_named else path, is_named)
            )
        if len(found) > limits().files:
            raise LogError(
                path, f"there are more than {limits().files:,} files", "name a folder inside it"
            )
    return list(found.values())


def refused(found: FoundFile) -> NotALog | None:
    """Return why a file must not be opened, None if it may; raise for one that the user named."""
    try:
        if found.leads_out:
            raise LogError(found.path, "it is a link out of the folder", "name it itself")
        found.first_seen  # noqa: B018 - remembered from here on
    except LogError as error:
        if found.is_named:
            raise
        return NotALog(found.name, error)
    return None
