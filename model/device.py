"""Set up JAX for this machine. Call `prepare_jax` before JAX is imported."""

import cProfile
import ctypes
import importlib.metadata
import io
import os
import platform
import pstats
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from model.config import Device
from pipeline.errors import NotFoundError
from pipeline.storage.paths import require_local

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


N_FUNCTIONS = 60


@contextmanager
def profiled(folder: Path | None) -> Iterator[None]:
    """Profile what happens inside, if a folder is named.

    `functions.txt` lists the Python functions by time, for any editor; `plugins/profile/*/` holds
    what ran on the device as `perfetto_trace.json.gz`, which ui.perfetto.dev and
    chrome://tracing open. Work in other processes is not seen.
    """
    if folder is None:
        yield
        return
    import jax  # not above: it reads what `prepare_jax` sets when it is imported

    if require_local(folder, "--profile").exists() and not folder.is_dir():
        raise NotFoundError(folder, "it is a file", "--profile takes a folder")
    folder.mkdir(parents=True, exist_ok=True)
    functions = cProfile.Profile()
    jax.profiler.start_trace(folder, create_perfetto_trace=True)
    functions.enable()
    try:
        yield
    finally:
        functions.disable()
        jax.profiler.stop_trace()
        (folder / "functions.txt").write_text(_as_text(functions))


def _as_text(functions: cProfile.Profile) -> str:
    """Return the functions that took longest, with and without what they called."""
    text = io.StringIO()
    for order in ("cumulative", "tottime"):
        pstats.Stats(functions, stream=text).sort_stats(order).print_stats(N_FUNCTIONS)
    return text.getvalue()
