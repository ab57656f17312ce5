"""Traced programs, kept from one process to the next beside the compiled ones.

To trace a network takes Flax, and importing that and tracing take a fifth of the time to the first
scores. What is kept is StableHLO (`jax.export`), which JAX runs without either. It lies in the
cache of this machine and not in the RUN: of a RUN, which may come from anywhere, nothing runs
(docs/trust.md).
"""

import hashlib
import logging
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

import jax
from jax import export

import model
import pipeline
import rasterize

log = logging.getLogger(__name__)

_SETTINGS: Final = ("jax_enable_x64", "jax_default_matmul_precision")
_DIGEST_BYTES: Final = 32  # of SHA-256, before the program


def traced_once(trace: Callable[[], export.Exported], *decides: object) -> export.Exported:
    """Return what `trace` returns, or what it returned to an earlier process.

    A program is taken only if pointerprint's source, JAX, the platform and `decides` are the same.
    Without a cache of compiled programs, or where one can't be read or written, it is traced.
    """
    folder = jax.config.values["jax_compilation_cache_dir"]
    if not (folder and jax.config.values["jax_enable_compilation_cache"]) or "://" in folder:
        return trace()
    path = Path(folder) / f"traced-{_key(*decides)}"
    program = _read(path)
    if program is None:
        program = trace()
        _write(path, program.serialize())
    return program


def _read(path: Path) -> export.Exported | None:
    """Return the program in a file; None: there is none, or not all of it."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, program = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(program).digest() != digest:
        log.info("%s is damaged: it is traced again", path)
        return None
    return export.deserialize(bytearray(program))


def _write(path: Path, program: bytearray) -> None:
    """Put a program in a file, whole or not at all."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(hashlib.sha256(program).digest() + program)
        unfinished.replace(path)
    except OSError as error:
        log.info("the traced program isn't kept: %s", error)


def _key(*decides: object) -> str:
    """Return a name for all that a traced program depends on."""
    config = [jax.config.values[name] for name in _SETTINGS]
    parts = (_source_digest(), jax.__version__, jax.default_backend(), *config, *decides)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def _source_digest() -> str:
    """Return a hash of all that is traced, which may call anything in these packages."""
    digest = hashlib.sha256()
    for package in (model, pipeline, rasterize):
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
