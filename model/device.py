"""How JAX is set up for this machine. Call `prepare_jax` before JAX is imported."""

import ctypes
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Final, Literal

Device = Literal["auto", "cpu", "gpu"]

_M_ARENA_MAX: Final = -8  # of glibc's mallopt


def prepare_jax(device: Device = "auto") -> None:
    """Set the compilation cache and memory rules; what the environment says already is kept.

    With a `device` that isn't "auto" JAX looks for no other: without a GPU "gpu" is an error.
    """
    if device != "auto":
        os.environ["JAX_PLATFORMS"] = {"cpu": "cpu", "gpu": "cuda"}[device]
    version = importlib.metadata.version("jaxlib")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leave room for others
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(compilation_cache(version)))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    if "MALLOC_ARENA_MAX" not in os.environ:
        share_heaps(2)


def share_heaps(at_most: int) -> bool:
    """Let all threads share so many heaps, and return whether the C library can.

    glibc gives a thread a heap of its own, and what one has freed no other gets. Threads that
    read, compute and write in turn would each hold on to the most they ever had.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    return mallopt is not None and mallopt(_M_ARENA_MAX, at_most) == 1


def compilation_cache(version: str) -> Path:
    """Return where compiled programs are kept: apart for each version of jaxlib and each host.

    A program compiled for another processor can crash this one.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return home / "pointerprint" / f"jaxlib-{version}-{platform.node()}-{platform.machine()}"
