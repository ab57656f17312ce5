"""Parameters and training state on disk, through Orbax; restored to an explicit target.

Without a target Orbax wants the devices that saved it: a GPU's model would not load on a CPU.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx

from model.network import Network
from pipeline.errors import NotFoundError, SchemaError


def save_parameters(network: Network, folder: Path) -> None:
    """Write parameters and running statistics, and only these, to a new `folder`."""
    arrays = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(network)))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder.resolve(), arrays)
    # Orbax writes the path of the folder into it, and reads it in object stores alone.
    (folder / "commit_success.txt").unlink(missing_ok=True)


def load_parameters(network: Network, folder: Path) -> Network:
    """Return `network` with the parameters in `folder`; shapes must agree."""
    if not folder.is_dir():
        raise NotFoundError(folder, "no checkpoint there", "name a folder that train made")
    graph, params = nnx.split(network)
    target = jax.tree.map(np.asarray, nnx.to_pure_dict(params))
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            arrays = checkpointer.restore(folder.resolve(), target)
    except (ValueError, KeyError) as error:
        raise _misfit(folder) from error
    # Orbax gives the shapes that were saved, whatever the target says.
    if jax.tree.map(np.shape, arrays) != jax.tree.map(np.shape, target):
        raise _misfit(folder)
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(arrays)):
        raise SchemaError(folder, "a parameter is no finite number", "train it again")
    # All at once: `jnp.asarray` compiles a program for each shape.
    nnx.replace_by_pure_dict(params, jax.device_put(arrays))
    return nnx.merge(graph, params)


def _misfit(folder: Path) -> SchemaError:
    return SchemaError(folder, "its parameters don't fit config.json beside it", "train it again")


def save_training(folder: Path, state: object, history: list[dict]) -> None:
    """Write all that training needs to go on; the state before stays until this one is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    number = len(history)
    leaves = {str(i): np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
    target = folder / f"epoch-{number}"
    shutil.rmtree(target, ignore_errors=True)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(target.resolve(), leaves)
    temporary = folder / "history.json.new"
    temporary.write_text(json.dumps(history))
    temporary.replace(folder / "history.json")
    shutil.rmtree(folder / f"epoch-{number - 1}", ignore_errors=True)


def load_training(folder: Path, state: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what `save_training` wrote: the parts of `state`, then the history."""
    if not (folder / "history.json").is_file():
        raise NotFoundError(folder, "no interrupted training there", "train without --resume")
    history = json.loads((folder / "history.json").read_text())
    leaves, structure = jax.tree.flatten(state)
    target = {str(i): np.asarray(leaf) for i, leaf in enumerate(leaves)}
    with ocp.StandardCheckpointer() as checkpointer:
        found = checkpointer.restore((folder / f"epoch-{len(history)}").resolve(), target)
    if jax.tree.map(np.shape, found) != jax.tree.map(np.shape, target):
        raise SchemaError(
            folder,
            "it was trained with other sizes",
            "resume with the settings it was started with",
        )
    arrays = [jnp.asarray(found[str(i)]) for i in range(len(leaves))]
    return (*jax.tree.unflatten(structure, arrays), history)
