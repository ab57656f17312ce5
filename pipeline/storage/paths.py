"""Where tables and models lie: in a folder, or in an object store (`s3://bucket/...`, `gs://...`).

A `RemotePath` is a `Path` that does what this project asks of one, through Arrow's file systems, so
that a function that takes a `Path` takes both. An object appears whole or not at all, but there are
no folders, no renames and no locks: what must change at once, changes by one object
(`pipeline.storage.publish`). Credentials and the endpoint are found as every AWS or Google client
does: AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ~/.aws,
 GOOGLE_APPLICATION_CREDENTIALS, the machine's role.
"""

import fnmatch
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PosixPath
from types import SimpleNamespace
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from pipeline.errors import HIDDEN, ConfigError, StorageError, has_secret

_SCHEMES: Final = ("s3:", "gs:", "gcs:")
_URL: Final = re.compile(r"(s3|gs|gcs):/+(?=[^/])")
_CREDENTIALS: Final = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use ~/.aws"
_HINT: Final = "are bucket, credentials and endpoint (AWS_ENDPOINT_URL) right, and is it reachable?"


class RemotePath(PosixPath):
    """A path in an object store; what isn't written here fails as for a file that isn't there."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return the URL; a `Path` would keep one of the two slashes."""
        slashes = "//" if self.parts and self.parts[0] in _SCHEMES else "/"  # or it is relative
        return "/".join(self.parts[:1]) + slashes[: 2 * len(self.parts[1:])] + self.key

    __repr__ = __str__

    def __fspath__(self) -> str:
        """Refuse: whoever asks would look for it on the disk."""
        raise TypeError(f"{self} is not on this machine's disk")

    def __reduce__(self) -> tuple:
        """Travel to workers as a URL."""
        return type(self), (str(self),)

    @property
    def store(self) -> fs.FileSystem:
        """Return the object store that it lies in."""
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        with _told(self):
            return _connected(self.parts[0], self.parts[1], endpoint)

    @property
    def key(self) -> str:
        """Return bucket and name, as Arrow wants them."""
        return "/".join(self.parts[1:])

    def _info(self) -> fs.FileInfo:
        with _told(self):
            return self.store.get_file_info(self.key)

    def as_uri(self) -> str:
        """Return the URL."""
        return str(self)

    def exists(self, **_: Any) -> bool:
        """Return whether there is an object, or one below it."""
        return self._info().type != fs.FileType.NotFound

    def is_file(self, **_: Any) -> bool:
        """Return whether it is an object."""
        return self._info().type == fs.FileType.File

    def is_dir(self, **_: Any) -> bool:
        """Return whether there are objects below it."""
        return self._info().type == fs.FileType.Directory

    def stat(self, **_: Any) -> Any:
        """Return size and time of change."""
        info = self._info()
        if info.type == fs.FileType.NotFound:
            raise FileNotFoundError(str(self))
        return SimpleNamespace(
            st_size=info.size, st_mtime_ns=info.mtime_ns, st_mtime=info.mtime_ns / 1e9
        )

    def resolve(self, strict: bool = False) -> "RemotePath":
        """Return itself: there are no links."""
        return self

    def absolute(self) -> "RemotePath":
        """Return itself."""
        return self

    def open(self, mode: str = "rb", *_: Any, **__: Any) -> pa.NativeFile:
        """Open for reading bytes."""
        if mode != "rb":
            raise ValueError(f"{self}: write with `upload`, which is whole or not at all")
        with _told(self):
            return self.store.open_input_file(self.key)

    def read_bytes(self) -> bytes:
        """Return the object's bytes."""
        with _told(self), self.open() as file:
            return file.read()

    def read_text(self, *_: Any, **__: Any) -> str:
        """Return the object's text."""
        return self.read_bytes().decode()

    def upload(self, source: Path) -> None:
        """Put a local file here, whole or not at all."""
        with _told(self):
            # Not through a stream: one that breaks off would be closed, and so published.
            fs.copy_files(
                str(source), self.key,
                source_filesystem=fs.LocalFileSystem(), destination_filesystem=self.store,
            )  # fmt: skip

    def copy_to(self, target: "RemotePath") -> None:
        """Copy the object within its store."""
        with _told(target):
            self.store.copy_file(self.key, target.key)

    def touch(self, *_: Any, **__: Any) -> None:
        """Make an empty object."""
        with _told(self), self.store.open_output_stream(self.key):
            pass

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object."""
        if missing_ok and not self.is_file():
            return
        with _told(self):
            self.store.delete_file(self.key)

    def mkdir(self, *_: Any, **__: Any) -> None:
        """Do nothing: a folder is there as soon as something is in it."""

    def iterdir(self) -> Iterator["RemotePath"]:
        """Give what lies right below."""
        return iter(self._below(recursive=False))

    def glob(self, pattern: str, **_: Any) -> Iterator["RemotePath"]:
        """Give what matches, level by level, in order; `**` is not known."""
        found = [self]
        for part in pattern.split("/"):
            below = [child for folder in found for child in folder._below(recursive=False)]
            found = [child for child in below if fnmatch.fnmatchcase(child.name, part)]
        return iter(sorted(found))

    def rglob(self, pattern: str, **_: Any) -> Iterator["RemotePath"]:
        """Give what matches at any depth."""
        below = self._below(recursive=True)
        return iter([child for child in below if fnmatch.fnmatchcase(child.name, pattern)])

    def _below(self, recursive: bool) -> list["RemotePath"]:
        selector = fs.FileSelector(self.key, allow_not_found=True, recursive=recursive)
        with _told(self):
            found = self.store.get_file_info(selector)
        return [RemotePath(f"{self.parts[0]}//{info.path.rstrip('/')}") for info in found]


@lru_cache
def _connected(scheme: str, bucket: str, endpoint: str | None) -> fs.FileSystem:
    """Return Arrow's file system for a bucket; it finds out where the bucket is, so once."""
    return fs.FileSystem.from_uri(f"{scheme}//{bucket}")[0]


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Raise what the store complains of as an error that names the object."""
    try:
        yield
    except (StorageError, FileNotFoundError):
        raise
    except (OSError, pa.ArrowException) as error:
        raise StorageError(path, f"the object store says: {error}", _HINT) from error


def as_path(path: Path | str) -> Path:
    """Return a path as it is, or a `RemotePath` if it is a URL, even one that `Path` has spoilt."""
    if isinstance(path, RemotePath):
        return path
    text = str(path)
    found = _URL.match(text)
    if found is None:
        return Path(path)
    if ":" in text[found.end() :].partition("/")[0] or has_secret(text):
        # It would be written into every manifest.
        raise ConfigError(f"{found[1]}://{HIDDEN}", "credentials don't belong here", _CREDENTIALS)
    return RemotePath(f"{found[1]}://{text[found.end() :]}")


def require_local(path: Path, what: str) -> Path:
    """Return a path of this machine's disk as it is; raise if it, a `what`, is none."""
    if isinstance(as_path(path), RemotePath):
        raise ConfigError(
            what, f"{as_path(path)} is in an object store", "it has to be a path on this machine"
        )
    return path


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file, wherever it lies."""
    if isinstance(path, RemotePath):
        return pq.ParquetFile(path.open(), pre_buffer=True)
    return pq.ParquetFile(path)


def remove_tree(folder: Path, ignore_errors: bool = False) -> None:
    """Take a folder away with all that is in it."""
    if not isinstance(folder, RemotePath):
        shutil.rmtree(folder, ignore_errors=ignore_errors)
    elif folder.exists():
        with _told(folder):
            folder.store.delete_dir(folder.key)


@contextmanager
def local_copy(folder: Path) -> Iterator[Path]:
    """Give a folder on this machine's disk with the same files: the folder itself if it can."""
    if not isinstance(folder, RemotePath):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="pointerprint-") as copy, _told(folder):
        fs.copy_files(
            folder.key, copy,
            source_filesystem=folder.store, destination_filesystem=fs.LocalFileSystem(),
        )  # fmt: skip
        yield Path(copy)


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Give a folder on this machine's disk whose files come into `folder`: itself if it can.

    For an object store they are uploaded at the end, each whole or not at all; if that isn't
    reached, none is.
    """
    if not isinstance(folder, RemotePath):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="pointerprint-") as made:
        yield Path(made)
        for file in sorted(path for path in Path(made).rglob("*") if path.is_file()):
            (folder / file.relative_to(made).as_posix()).upload(file)
