"""A log file, whatever wrote it, to an events table. One file a format; see `base.py`."""

import importlib
import os
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from pipeline.errors import LogError, NotFoundError, UnknownFormatError, did_you_mean
from pipeline.readers.base import Format, Log, LogFile
from pipeline.readers.opening import read_head
from pipeline.storage.paths import RemotePath

AUTO: Final = "auto"
_MAKE_READABLE = "let this user read it, or name what is to be read"
_SHOWN_BYTES = 60  # of a file that nothing recognises


@cache
def formats() -> dict[str, Format]:
    """Return the formats by name: each module in this folder that has a `FORMAT`."""
    modules = (
        importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)
    )
    found = [module.FORMAT for module in modules if hasattr(module, "FORMAT")]
    return {format_.name: format_ for format_ in sorted(found, key=_asked_in_turn)}


def _asked_in_turn(format_: Format) -> tuple[bool, str]:
    return format_.is_generic, format_.name


def find_logs(path: Path) -> list[Path]:
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


def _files_below(path: Path) -> Iterator[Path]:
    """Give the files below a folder, without hidden ones and what lies in hidden folders."""
    if isinstance(path, RemotePath):
        for file in path.rglob("*"):
            if file.is_file() and not any(map(_is_hidden, file.relative_to(path).parts)):
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


def recognise(path: Path) -> Format:
    """Return the format of a file, by how it begins."""
    head = read_head(path)
    for format_ in formats().values():
        if format_.recognise(head, path):
            return format_
    raise UnknownFormatError(
        path,
        f"no log format begins with {_first_line(head)!r}",
        f"formats: {', '.join(formats())}; a table needs a header with at least four columns",
    )


def _first_line(head: bytes) -> str:
    """Return the beginning of a file as an error shows it."""
    return head[:_SHOWN_BYTES].split(b"\n", 1)[0].decode("utf-8", errors="replace").strip()


def find_format(name: str, path: Path) -> Format:
    """Return the format called `name`; `auto` asks the file."""
    if name == AUTO:
        return recognise(path)
    if name not in formats():
        near = did_you_mean(name, formats())
        raise UnknownFormatError(
            path,
            f"there is no log format {name!r}",
            f"did you mean {near[0]}?" if near else f"formats: {', '.join([AUTO, *formats()])}",
        )
    return formats()[name]


def read_log(
    path: Path, root: Path, format: str = AUTO, columns: Mapping[str, str] = {}
) -> tuple[str, Log]:
    """Return the name of a file's format, and what it holds."""
    format_ = find_format(format, path)
    return format_.name, format_.read(LogFile(path, root, columns))
