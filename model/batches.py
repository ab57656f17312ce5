"""Windows through a compiled function: batches of one shape, as many at a time as cores."""

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Float32, Int, Int64

from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import Windows, pad_windows
from pipeline.storage.overlap import overlapped, usable_cores
from rasterize.motion import Paths, on_host

BATCH: Final = 64  # windows whose prints or explanations are computed at a time
SCORED: Final = 512  # windows whose logits one call of the compiled network gives

Arrays = TypeVar("Arrays")  # an array, or a tuple of them


def map_windows(
    compute: Callable[[Paths, Int64[np.ndarray, " batch"]], Arrays],
    sessions: Sessions,
    windows: Windows,
    n_points: int,
    size: int | None = None,
) -> Iterator[tuple[Int64[np.ndarray, " batch"], Arrays]]:
    """Give, batch by batch and in order, which windows these are and what `compute` returns.

    `compute` is given the paths, and which windows they are of: `size`, or `BATCH`. The last batch
    is filled up with its first window again, and cut afterwards: a batch of its own size would
    compile the function a second time. The first batch goes alone, so that it is compiled once.
    """
    size = size or BATCH

    def batch(begin: int) -> tuple[Int64[np.ndarray, " batch"], Arrays]:
        chosen = np.arange(begin, begin + size)
        filled = np.where(chosen < len(windows), chosen, begin)
        points = pad_windows(sessions, windows.take(filled), n_points)
        found = compute(on_host(points), filled)
        chosen = chosen[chosen < len(windows)]
        return chosen, jax.tree.map(lambda array: np.asarray(array)[: len(chosen)], found)

    begins = range(0, len(windows), size)
    yield from map(batch, begins[:1])
    yield from overlapped(batch, begins[1:], usable_cores())


def predict(
    logits_of: Callable[[Paths, np.int32], Float[Array, " batch"]],
    sessions: Sessions,
    windows: Windows,
    n_points: int,
) -> Float32[np.ndarray, " windows"]:
    """Return the logit of each window, by a compiled network (`model.network.logits_of`)."""

    def compute(paths: Paths, chosen: Int64[np.ndarray, " batch"]) -> Float[Array, " batch"]:
        return logits_of(paths, np.int32(min(SCORED, len(windows) - chosen[0])))

    parts = map_windows(compute, sessions, windows, n_points, SCORED)
    return np.concatenate([*(logits for _, logits in parts), np.zeros(0, np.float32)])


Tree = TypeVar("Tree")


def device_mesh(batch_size: int) -> Mesh | None:
    """Return the devices that share a batch, None if there is only one.

    A batch is split evenly: of eight devices a batch of 36 uses six.
    """
    n = len(jax.devices())
    while batch_size % n:
        n -= 1
    return Mesh(np.array(jax.devices()[:n]), ("batch",)) if n > 1 else None


def on_each_device(tree: Tree, mesh: Mesh | None) -> Tree:
    """Return a tree of arrays with a copy on every device."""
    if mesh is None:
        return tree
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def split_over_devices(
    chosen: Int64[np.ndarray, " batch"], mesh: Mesh | None
) -> Int[Array, " batch"]:
    """Return the windows of a step, a share of them on each device."""
    if mesh is None:
        return jnp.asarray(chosen)
    return jax.device_put(jnp.asarray(chosen), NamedSharding(mesh, PartitionSpec("batch")))


def on_one_device(tree: Tree, mesh: Mesh | None) -> Tree:
    """Return a tree of arrays, each with a copy on every device, on the first alone."""
    return tree if mesh is None else jax.device_put(tree, mesh.devices.flat[0])
