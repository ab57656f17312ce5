"""Parameters and training state on disk, as NumPy's npz; nothing in these files is executed."""

import json
from pathlib import Path
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from model.network import Network
from pipeline.errors import NotFoundError, SchemaError
from pipeline.storage.records import load_arrays

PARAMETERS: Final = "parameters.npz"
TRAINING_STATE: Final = "state.npz"
HISTORY: Final = "history"  # beside the numbered leaves of the state


def save_parameters(network: Network, folder: Path) -> None:
    """Write parameters and running statistics, and only these, to a new `folder`."""
    folder.mkdir(parents=True)
    np.savez(folder / PARAMETERS, allow_pickle=False, **_by_name(nnx.state(network)))


def load_parameters(network: Network, folder: Path) -> Network:
    """Return `network` with the parameters in `folder`; names and shapes must agree."""
    path = folder / PARAMETERS
    if not path.is_file():
        raise NotFoundError(folder, "no checkpoint there", "name a folder that train made")
    graph, params = nnx.split(network)
    expected = _by_name(params)
    arrays = load_arrays(path, list(expected))
    for (name, like), array in zip(expected.items(), arrays, strict=True):
        if array.shape != like.shape:
            what = f"`{name}` of {array.shape} doesn't fit config.json, which says {like.shape}"
            raise SchemaError(path, what, "train it again")
    arrays = [array.astype(np.float32) for array in arrays]
    # All at once: `jnp.asarray` compiles a program for each shape.
    leaves = jax.device_put(arrays)
    return nnx.merge(graph, jax.tree.unflatten(jax.tree.structure(params), leaves))


def _by_name(state: nnx.State) -> dict[str, np.ndarray]:
    """Return the arrays of a network by where they are in it, such as `convs/0/kernel`."""
    return {
        jax.tree_util.keystr(path[:-1], simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


def save_training(folder: Path, state: object, history: list[dict]) -> None:
    """Write all that training needs to go on; the state before stays until this one is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    leaves = {str(i): np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
    unfinished = folder / f"unfinished-{TRAINING_STATE}"
    leaves[HISTORY] = np.array(json.dumps(history))
    np.savez(unfinished, allow_pickle=False, **leaves)
    unfinished.replace(folder / TRAINING_STATE)


def load_training(folder: Path, state: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what `save_training` wrote: the parts of `state`, then the history."""
    path = folder / TRAINING_STATE
    if not path.is_file():
        raise NotFoundError(folder, "no interrupted training there", "train without --resume")
    leaves, structure = jax.tree.flatten(state)
    with np.load(path, allow_pickle=False) as found:
        history = json.loads(str(found[HISTORY]))
        arrays = [found[str(i)] for i in range(len(found) - 1)]
    if [array.shape for array in arrays] != [np.shape(leaf) for leaf in leaves]:
        raise SchemaError(
            folder,
            "it was trained with other sizes",
            "resume with the settings it was started with",
        )
    return (*jax.tree.unflatten(structure, list(map(jnp.asarray, arrays))), history)
