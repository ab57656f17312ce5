"""The manifest of a RUN: the hash of each file that decides a score, and what it was made for.

    RUN/manifest.json   {"schema": "run", "version": 1, "encoding": 1, "files": {name: [sha256]}}

A model is data: what is read is JSON, Parquet and arrays, and nothing of it runs. The hashes
show damage, a file of another model, or one that came in since; they are no signature, so who
may write to a RUN decides what it scores (docs/trust.md).
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pipeline.errors import SchemaError
from pipeline.storage.paths import StoragePath, relative_path
from pipeline.storage.records import parse_record, read_json, write_record
from pipeline.storage.version import program_version

RUN_MANIFEST: Final = "manifest.json"
VERSION: Final = 1
ENCODING: Final = 2
"""What parameters are fitted to: how sessions are resampled, cut, drawn and embedded.

Raise it with any change that makes a trained network see something else; the golden scores in
tests/test_golden_scores.py fail then.
"""

DECIDING: Final = (
    "config.json", "checkpoint", "calibration.json", "policy.json", "profiles", "replay",
    "reasons.json", "prints", "recorders.json", "levels.json", "level_reference.json",
    "starter.json",
)  # fmt: skip
_AGAIN: Final = "train the model again, or copy it anew"
_OTHER_VERSION: Final = (
    "train it again with this version, or score with the one it was trained with"
)


@dataclass(frozen=True)
class RunManifest:
    """What `manifest.json` holds."""

    schema: Literal["run"]
    version: int
    encoding: int
    files: Mapping[str, tuple[str, ...]]  # hashes; two while a file is being replaced
    pointerprint: str  # the version of the program that wrote it; empty: before it was kept


def write_manifest(run: StoragePath, unfinished: Mapping[str, StoragePath] | None = None) -> None:
    """Write the manifest of what lies in `run`.

    A file that is about to be replaced by an `unfinished` one may be either of the two, so that
    whoever loads the RUN meanwhile, or after a crash, finds it whole.
    """
    files: dict[str, tuple[str, ...]] = {name: (digest,) for name, digest in _hashes(run)}
    for name, path in (unfinished or {}).items():
        files[name] = tuple(sorted({*files.get(name, ()), _sha256(path)}))
    manifest = RunManifest("run", VERSION, ENCODING, files, program_version())
    write_record(manifest, run / RUN_MANIFEST)


def check_manifest(run: StoragePath, where: StoragePath | None = None) -> None:
    """Raise `SchemaError` unless every file that decides a score is as the manifest has it.

    Read once more if it isn't: profiles may have been extended meanwhile. `where` is
    what to call the RUN, if `run` is a copy.
    """
    if _differences(run, _read(run)):
        differences = _differences(run, _read(run))
        if differences:
            raise SchemaError(where or run, f"its manifest does not fit: {differences[0]}", _AGAIN)


def _differences(run: StoragePath, files: Mapping[str, Sequence[str]]) -> list[str]:
    found = dict(_hashes(run))
    changed = [name for name in found if name in files and found[name] not in files[name]]
    return [
        *(f"{name} is missing" for name in files if name not in found),
        *(f"{name} is not one of its files" for name in found if name not in files),
        *(f"{name} is not what it was" for name in changed),
    ]


def _read(run: StoragePath) -> Mapping[str, Sequence[str]]:
    """Return the hashes in a manifest that this version can take."""
    path = run / RUN_MANIFEST
    found = read_json(path, f"it is no whole model: {_AGAIN}")
    if (found.get("schema"), found.get("version")) != ("run", VERSION):
        what = (
            f"it is a model of version {found.get('version')!r}, this pointerprint reads {VERSION}"
        )
        raise SchemaError(path, what, _OTHER_VERSION)
    manifest = parse_record(RunManifest, {"pointerprint": "", **found}, path, _AGAIN)
    if manifest.encoding != ENCODING:
        raise SchemaError(
            path,
            f"it was trained on encoding {manifest.encoding} of paths, this pointerprint has "
            f"{ENCODING}: its scores would be wrong",
            _OTHER_VERSION,
        )
    return manifest.files


def _hashes(run: StoragePath) -> Iterator[tuple[str, str]]:
    """Give the name and hash of each file that decides a score."""
    for part in DECIDING:
        path = run / part
        below = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in below:
            if file.is_file() and not file.name.startswith("."):  # hidden: in the making
                yield relative_path(file, run).as_posix(), _sha256(file)


def _sha256(path: StoragePath) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SchemaError(path, f"it can't be read: {error}", _AGAIN) from error
