"""Name where tables and models lie: in a local folder, or in an object store (`s3://`, `gs://`).

`as_path` turns text into a `Path` or a `RemotePath`. The latter is no `Path`, but it has those of
its methods that this project needs, so that most functions take either as a `StoragePath`. In an
object store each object appears whole or not at all, but there are no folders, no renames and no
locks: whatever must change at once changes by one object (see `pipeline.storage.publish`).

Credentials and the endpoint are found as every AWS or Google client finds them:
AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ~/.aws, GOOGLE_APPLICATION_CREDENTIALS, the machine's role.
"""

import fnmatch
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath, PurePosixPath
from types import SimpleNamespace
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from pipeline.errors import HIDDEN, ConfigError, StorageError, has_secret

_URL: Final = re.compile(r"(s3|gs|gcs):/+(?=[^/])")
_CREDENTIALS: Final = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use ~/.aws"
_HINT: Final = "are bucket, credentials and endpoint (AWS_ENDPOINT_URL) right, and is it reachable?"


@dataclass(frozen=True, order=True)
class RemotePath:
    """A path in an object store, with the methods of `Path` that make sense there."""

    scheme: str  # s3, gs or gcs
    location: PurePosixPath  # bucket, then the object's name

    def __str__(self) -> str:
        """Return the URL."""
        return f"{self.scheme}://{self.location}"

    __repr__ = __str__

    def __truediv__(self, name: str | PurePath) -> "RemotePath":
        """Return the path of something below it."""
        return RemotePath(self.scheme, self.location / name)

    @property
    def name(self) -> str:
        """Return the last part."""
        return self.location.name

    @property
    def stem(self) -> str:
        """Return the last part without its suffix."""
        return self.location.stem

    @property
    def suffix(self) -> str:
        """Return the file type, as in `.parquet`."""
        return self.location.suffix

    @property
    def parent(self) -> "RemotePath":
        """Return the path above it."""
        return RemotePath(self.scheme, self.location.parent)

    def with_name(self, name: str) -> "RemotePath":
        """Return a sibling."""
        return RemotePath(self.scheme, self.location.with_name(name))

    def resolve(self) -> "RemotePath":
        """Return itself: there are no links."""
        return self

    absolute = resolve

    def as_uri(self) -> str:
        """Return the URL."""
        return str(self)

    @property
    def key(self) -> str:
        """Return bucket and name, as Arrow takes them."""
        return str(self.location)

    @property
    def filesystem(self) -> fs.FileSystem:
        """Return the object store that it lies in."""
        with _storage_errors(self):
            bucket = self.location.parts[0]
            return _connect(self.scheme, bucket, os.environ.get("AWS_ENDPOINT_URL"))

    def _info(self) -> fs.FileInfo:
        with _storage_errors(self):
            return self.filesystem.get_file_info(self.key)

    def exists(self) -> bool:
        """Return whether there is an object, or one below it."""
        return self._info().type != fs.FileType.NotFound

    def is_file(self) -> bool:
        """Return whether it is an object."""
        return self._info().type == fs.FileType.File

    def is_dir(self) -> bool:
        """Return whether there are objects below it."""
        return self._info().type == fs.FileType.Directory

    def stat(self) -> Any:
        """Return size and time of change."""
        info = self._info()
        if info.type == fs.FileType.NotFound:
            raise FileNotFoundError(str(self))
        return SimpleNamespace(
            st_size=info.size, st_mtime_ns=info.mtime_ns, st_mtime=info.mtime_ns / 1e9
        )

    def open(self, mode: str = "rb") -> pa.NativeFile:
        """Open for reading bytes."""
        if mode != "rb":
            raise ValueError(f"{self}: write with `upload`, which is whole or not at all")
        with _storage_errors(self):
            return self.filesystem.open_input_file(self.key)

    def read_bytes(self) -> bytes:
        """Return the object's bytes."""
        with _storage_errors(self), self.open() as file:
            return file.read()

    def read_text(self) -> str:
        """Return the object's text."""
        return self.read_bytes().decode()

    def upload(self, source: Path) -> None:
        """Put a local file here, whole or not at all."""
        with _storage_errors(self):
            # Not through a stream: one that breaks off would be closed, and so published.
            fs.copy_files(
                str(source), self.key,
                source_filesystem=fs.LocalFileSystem(), destination_filesystem=self.filesystem,
            )  # fmt: skip

    def copy_to(self, target: "RemotePath") -> None:
        """Copy the object within its store."""
        with _storage_errors(target):
            self.filesystem.copy_file(self.key, target.key)

    def touch(self) -> None:
        """Make an empty object."""
        with _storage_errors(self), self.filesystem.open_output_stream(self.key):
            pass

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object."""
        if missing_ok and not self.is_file():
            return
        with _storage_errors(self):
            self.filesystem.delete_file(self.key)

    def mkdir(self, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: a folder is there as soon as something is in it."""

    def iterdir(self) -> Iterator["RemotePath"]:
        """Give what lies right below."""
        return iter(self._below(recursive=False))

    def glob(self, pattern: str) -> Iterator["RemotePath"]:
        """Give what matches, level by level, in order; `**` is not known."""
        found = [self]
        for part in pattern.split("/"):
            below = [child for folder in found for child in folder.iterdir()]
            found = [child for child in below if fnmatch.fnmatchcase(child.name, part)]
        return iter(sorted(found))

    def rglob(self, pattern: str) -> Iterator["RemotePath"]:
        """Give what matches at any depth."""
        below = self._below(recursive=True)
        return iter([child for child in below if fnmatch.fnmatchcase(child.name, pattern)])

    def _below(self, recursive: bool) -> list["RemotePath"]:
        selector = fs.FileSelector(self.key, allow_not_found=True, recursive=recursive)
        with _storage_errors(self):
            found = self.filesystem.get_file_info(selector)
        return [RemotePath(self.scheme, PurePosixPath(info.path)) for info in found]


StoragePath: TypeAlias = Path | RemotePath


@lru_cache
def _connect(scheme: str, bucket: str, endpoint: str | None) -> fs.FileSystem:
    """Return Arrow's file system for a bucket; it finds out where the bucket is, so once."""
    return fs.FileSystem.from_uri(f"{scheme}://{bucket}")[0]


@contextmanager
def _storage_errors(path: RemotePath) -> Iterator[None]:
    """Raise an error of the object store as one that names the object."""
    try:
        yield
    except (StorageError, FileNotFoundError):
        raise
    except (OSError, pa.ArrowException) as error:
        raise StorageError(path, f"the object store says: {error}", _HINT) from error


def as_path(path: StoragePath | str) -> StoragePath:
    """Return a path as it is, or a `RemotePath` if it is a URL.

    A `Path` made of a URL, as a command line makes it, has lost one of the two slashes: it is taken
    for the URL all the same.
    """
    if isinstance(path, RemotePath):
        return path
    text = str(path)
    found = _URL.match(text)
    if found is None:
        return Path(path)
    if ":" in text[found.end() :].partition("/")[0] or has_secret(text):
        # It would be written into every manifest.
        raise ConfigError(f"{found[1]}://{HIDDEN}", "credentials don't belong here", _CREDENTIALS)
    return RemotePath(found[1], PurePosixPath(text[found.end() :]))


def require_local(path: StoragePath | str, what: str) -> Path:
    """Return a path of this machine's disk; raise if `path`, a `what`, is a URL."""
    path = as_path(path)
    if isinstance(path, RemotePath):
        raise ConfigError(
            what, f"{path} is in an object store", "it has to be a path on this machine"
        )
    return path


def relative_path(path: StoragePath, folder: StoragePath) -> PurePosixPath:
    """Return `path` as seen from `folder`."""
    return PurePosixPath(str(path)).relative_to(str(folder))


def open_parquet(path: StoragePath) -> pq.ParquetFile:
    """Open a Parquet file, wherever it lies."""
    if isinstance(path, RemotePath):
        return pq.ParquetFile(path.open(), pre_buffer=True)
    return pq.ParquetFile(path)


def remove_tree(folder: StoragePath, ignore_errors: bool = False) -> None:
    """Remove a folder with all that is in it."""
    if not isinstance(folder, RemotePath):
        shutil.rmtree(folder, ignore_errors=ignore_errors)
    elif folder.exists():
        with _storage_errors(folder):
            folder.filesystem.delete_dir(folder.key)


@contextmanager
def local_copy(folder: StoragePath) -> Iterator[Path]:
    """Give a folder on this machine's disk with the same files: itself if it is local."""
    if not isinstance(folder, RemotePath):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="pointerprint-") as copy, _storage_errors(folder):
        fs.copy_files(
            folder.key, copy,
            source_filesystem=folder.filesystem, destination_filesystem=fs.LocalFileSystem(),
        )  # fmt: skip
        yield Path(copy)


@contextmanager
def local_folder(folder: StoragePath) -> Iterator[Path]:
    """Give a folder on this machine's disk to write to: the folder itself if it is local.

    For an object store the files are uploaded at the end, each whole or not at all; if the end
    isn't reached, none is.
    """
    if not isinstance(folder, RemotePath):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="pointerprint-") as made:
        yield Path(made)
        for file in sorted(path for path in Path(made).rglob("*") if path.is_file()):
            (folder / file.relative_to(made).as_posix()).upload(file)
