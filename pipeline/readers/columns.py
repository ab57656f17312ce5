"""Columns of words, and of the same value over and over, without a copy that isn't needed."""

import numpy as np
import pyarrow as pa
from jaxtyping import Int64, Shaped

_SHARED = np.zeros(2**22, np.uint8)
_SHARED.flags.writeable = False


def one_dictionary(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Return a column of words as one array with one dictionary."""
    unified = column.unify_dictionaries()
    return unified.chunk(0) if unified.num_chunks == 1 else unified.combine_chunks()


def known_words(column: pa.ChunkedArray) -> list[str | None]:
    """Return the words that a column of words chooses from."""
    unified = column.unify_dictionaries()
    return unified.chunk(0).dictionary.to_pylist() if unified.num_chunks else []


def constant(word: str | None, n: int) -> pa.DictionaryArray:
    """Return `n` times the same word."""
    index = nothing(n, pa.int32()) if word is None else pa.array(zeros(n, np.int32))
    return pa.DictionaryArray.from_arrays(index, pa.array([word or ""]))


def nothing(n: int, type_: pa.DataType) -> pa.Array:
    """Return `n` nulls of a type of fixed width."""
    n_bytes = n * type_.bit_width // 8
    buffers = [pa.py_buffer(zeros(size, np.uint8)) for size in (n // 8 + 1, n_bytes)]
    return pa.Array.from_buffers(type_, n, buffers, null_count=n)


def zeros(n: int, dtype: type[np.generic]) -> Shaped[np.ndarray, " rows"]:
    """Return `n` zeros to read: all columns that hold nothing else share one piece of memory."""
    n_bytes = n * np.dtype(dtype).itemsize
    return (_SHARED if n_bytes <= len(_SHARED) else np.zeros(n_bytes, np.uint8))[:n_bytes].view(
        dtype
    )


def run_starts(codes: Shaped[np.ndarray, " rows"]) -> Int64[np.ndarray, " runs"]:
    """Return where each run of equal values begins."""
    later = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    return np.insert(later, 0, 0) if len(codes) else later
