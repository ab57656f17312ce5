"""A block of work in; out comes a folder that shows where its time went."""

import cProfile
import io
import pstats
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax

from pipeline.errors import NotFoundError
from pipeline.places import on_disk

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
    if on_disk(folder, "--profile").exists() and not folder.is_dir():
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
