"""Parameters and training state on disk, as NumPy's npz; nothing in these files is executed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from pipeline.errors import NotFoundError, SchemaError
from pipeline.storage.records import load_arrays

PARAMETERS: Final = "parameters.npz"
TRAINING_STATE: Final = "state.npz"
HISTORY: Final = "history"  # beside the numbered leaves of the state


def save_parameters(arrays: Mapping[str, np.ndarray], folder: Path) -> None:
    """Write parameters and running statistics, and only these, to a new `folder`."""
    folder.mkdir(parents=True)
    np.savez(folder / PARAMETERS, allow_pickle=False, **arrays)


def load_parameters(shapes: Mapping[str, tuple[int, ...]], folder: Path) -> dict[str, np.ndarray]:
    """Return the parameters in `folder`; their names and shapes must be `shapes`."""
    path = folder / PARAMETERS
    if not path.is_file():
        raise NotFoundError(folder, "no checkpoint there", "name a folder that train made")
    arrays = dict(zip(shapes, load_arrays(path, list(shapes)), strict=True))
    for name, array in arrays.items():
        if array.shape != shapes[name]:
            what = f"`{name}` of {array.shape} doesn't fit config.json, which says {shapes[name]}"
            raise SchemaError(path, what, "train it again")
    return {name: array.astype(np.float32) for name, array in arrays.items()}


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
