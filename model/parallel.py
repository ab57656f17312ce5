"""Training on several devices: each takes a share of the batch, and all hold the parameters.

XLA puts the shares together by itself: a step is the same function for one device and for many.
What differs is where its arguments lie. With one device nothing here does anything.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int, Int64

Tree = TypeVar("Tree")


def device_mesh(batch_size: int) -> Mesh | None:
    """Return the devices that share a batch, None if there is only one.

    A batch is dealt out evenly: of eight devices a batch of 36 uses six.
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


def dealt_out(chosen: Int64[np.ndarray, " batch"], mesh: Mesh | None) -> Int[Array, " batch"]:
    """Return the windows of a step, a share of them on each device."""
    if mesh is None:
        return jnp.asarray(chosen)
    return jax.device_put(jnp.asarray(chosen), NamedSharding(mesh, PartitionSpec("batch")))


def on_one_device(tree: Tree, mesh: Mesh | None) -> Tree:
    """Return a tree of arrays, each with a copy on every device, on the first alone."""
    return tree if mesh is None else jax.device_put(tree, mesh.devices.flat[0])
