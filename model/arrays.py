"""NumPy arrays on disk, as npz: read without executing anything, and refused with what is wrong."""

from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from pipeline.errors import SchemaError


def load_arrays(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """Return the arrays of these names; they are numbers, and all of them finite."""
    hint = "train the model again"
    try:
        with np.load(path, allow_pickle=False) as found:
            arrays = [found[name] for name in names]
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise SchemaError(path, f"it can't be read: {error}", hint) from error
    for name, array in zip(names, arrays, strict=True):
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise SchemaError(path, f"a number of {name} is not finite", hint)
    return arrays
