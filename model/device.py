"""How JAX is set up for this machine. Call `prepare_jax` before JAX is imported."""

import ctypes
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Final, Literal

Device = Literal["auto", "cpu", "gpu"]

_M_ARENA_MAX: Final = -8  # of glibc's mallopt

# XLA's default sends convolutions of a training step to a slow path on CPUs; with this flag the
# step is 1.4 to 1.6 times as fast (docs/decisions/0003-network.md). It is experimental: only for
# versions it was tried with.
FAST_CPU_CONVOLUTION: Final = "--xla_cpu_experimental_ynn_fusion_type=individual_dot"
TRIED_JAXLIB: Final = ("0.10.2",)


def prepare_jax(device: Device = "auto") -> None:
    """Set XLA's flags and the compilation cache; what the environment says already is kept.

    With a `device` that isn't "auto" JAX looks for no other: without a GPU "gpu" is an error.
    """
    if device != "auto":
        os.environ["JAX_PLATFORMS"] = {"cpu": "cpu", "gpu": "cuda"}[device]
    version = importlib.metadata.version("jaxlib")
    flags = os.environ.get("XLA_FLAGS", "")
    if version in TRIED_JAXLIB and "xla_cpu_experimental_ynn" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {FAST_CPU_CONVOLUTION}".strip()
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
